"""Products that sum over an axis of each operand: matmul, dot and vdot. (`vectors.py` and `einsum.py` have more.)

NumPy's functions reach BLAS by different ways and so round differently: each is a primitive of its own. All of them
share their transposes, which are matrix products of reshaped operands; no outer product is made only to be summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.complex import conjugate
from funcgrad.primitives.kinds import broadcast_shapes, multilinear, settle, shape_of, tangent_dtype
from funcgrad.primitives.structural import batch_to_rank, cast, moveaxis, reduce_sum, reshape, transpose

# What the rules are written with ------------------------------------------------------------------------------------


def swap_last(x: Any) -> Any:
    """x with its last two axes exchanged."""
    if type(x) is np.ndarray:
        return x.mT
    rank = len(shape_of(x))
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def column(x: Any) -> Any:
    """A stack of vectors as one of matrices with one column; a scalar, which broadcasts anyway, stays."""
    shape = shape_of(x)
    return reshape(x, (*shape, 1)) if shape else x


def row(x: Any) -> Any:
    """A stack of vectors as one of matrices with one row; a scalar stays."""
    shape = shape_of(x)
    return reshape(x, (*shape[:-1], 1, shape[-1])) if shape else x


def rows(x: Any) -> Any:
    """x as one matrix whose rows are the vectors along x's last axis."""
    shape = shape_of(x)
    return reshape(x, (math.prod(shape[:-1]), shape[-1]))


def flat(x: Any) -> Any:
    """x as one vector."""
    return reshape(x, (math.prod(shape_of(x)),))


def flat_last(x: Any) -> Any:
    """A stack of matrices with one column as a stack of vectors."""
    return reshape(x, shape_of(x)[:-1])


def rows_first(x: Any) -> Any:
    """A stack of matrices side by side in one matrix: (..., n, m) becomes (n, ... m)."""
    shape = shape_of(x)
    return reshape(moveaxis(x, len(shape) - 2, 0), (shape[-2], math.prod(shape[:-2]) * shape[-1]))


def raise_as_numpy(function: Callable[..., Any], *avals: ShapedArray, **params: Any) -> NoReturn:
    """Let NumPy say what is wrong with operands of these types.

    Raises:
        ValueError: as NumPy does (or another class that it chooses).
    """
    function(*[np.broadcast_to(np.zeros((), aval.dtype), aval.shape) for aval in avals], **params)
    raise ValueError(f"{function.__name__}: operands of types {avals} do not fit")


# matmul: NumPy's gufunc (n?,k),(k,m?)->(n?,m?) ----------------------------------------------------------------------


def _matmul_abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    a, b = x1.shape, x2.shape
    if not a or not b or a[-1] != b[-min(len(b), 2)]:
        raise_as_numpy(np.matmul, x1, x2)
    if len(a) == len(b) == 2:
        return ShapedArray((a[0], b[1]), product_dtype(x1, x2))
    stack = broadcast_shapes([a[:-2], b[:-2]])
    shape = (*stack, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))
    return ShapedArray(shape, product_dtype(x1, x2))


def product_dtype(x1: ShapedArray, x2: ShapedArray) -> np.dtype[Any]:
    """The dtype of a sum of products."""
    if x1.dtype is x2.dtype and x1.dtype.isnative:
        return x1.dtype
    return np.matmul.resolve_dtypes((x1.dtype, x2.dtype, None))[-1]


def _matmul_transpose_left(ct: Any, x1: Any, x2: Any) -> Any:
    rank1, rank2 = x1.ndim, x2.ndim
    if rank2 == 2:
        if rank1 == 2:
            left = ct @ x2.T
            return left if left.dtype is x1.dtype else cast(left, x1.dtype)
        left = x2 @ ct if rank1 == 1 else reshape(rows(ct) @ swap_last(x2), shape_of(x1))
    elif rank2 == 1:
        left = column(ct) * x2
    elif rank1 == 1:
        left = flat_last(matmul(x2, column(ct)))
    elif rank1 == 2:
        left = rows_first(ct) @ swap_last(rows_first(x2))
    else:
        left = matmul(ct, swap_last(x2))
    return settle(left, x1)


def _matmul_transpose_right(ct: Any, x1: Any, x2: Any) -> Any:
    rank1, rank2 = x1.ndim, x2.ndim
    if rank2 == 2:
        if rank1 == 2:
            right = x1.T @ ct
            return right if right.dtype is x2.dtype else cast(right, x2.dtype)
        right = column(x1) * ct if rank1 == 1 else swap_last(rows(x1)) @ rows(ct)
    elif rank2 == 1:
        right = ct * x1 if rank1 == 1 else flat(ct) @ rows(x1)
    elif rank1 == 1:
        right = column(x1) * row(ct)
    else:
        right = matmul(swap_last(x1), ct)
    return settle(right, x2)


def _matmul_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    (x1, x2), (dim1, dim2) = xs, dims
    rank1, rank2 = len(shape_of(x1)) - (dim1 is not None), len(shape_of(x2)) - (dim2 is not None)
    if dim2 is None and dim1 is not None and (rank1 == 1 or rank2 <= 2):
        return matmul(moveaxis(x1, dim1, 0), x2), max(rank2 - 2, 0) if rank1 == 1 else 0
    if dim1 is None and dim2 is not None and rank2 == 1:
        return matmul(x1, moveaxis(x2, dim2, 1)), rank1 - 1
    if dim1 is None and rank1 == 1:
        assert dim2 is not None
        return matmul(x1, moveaxis(x2, dim2, 0)), 0
    rank = max(rank1, rank2, 2)
    if dim1 is not None:
        x1 = moveaxis(x1, dim1, 0)
        x1 = batch_to_rank(row(x1) if rank1 == 1 else x1, 0, rank)
    if dim2 is not None:
        x2 = moveaxis(x2, dim2, 0)
        x2 = batch_to_rank(column(x2) if rank2 == 1 else x2, 0, rank)
    y = matmul(x1, x2)
    shape = shape_of(y)
    return reshape(y, (*shape[:-2], *(shape[-2:-1] if rank1 > 1 else ()), *(shape[-1:] if rank2 > 1 else ()))), 0


matmul_p = multilinear(
    "matmul",
    implementation=np.matmul,
    abstract=_matmul_abstract,
    transposes=(_matmul_transpose_left, _matmul_transpose_right),
    batch=_matmul_batch,
)


def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product of NumPy's `@`: vectors, matrices, and stacks of matrices that broadcast."""
    return bind(matmul_p, x1, x2)


# dot: (...I,k) and (...J,k,m) -> (...I,...J,m), vectors and scalars as NumPy has them --------------------------------


def _dot_abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    a, b = x1.shape, x2.shape
    if a and b:
        if a[-1] != b[-min(len(b), 2)]:
            raise_as_numpy(np.dot, x1, x2)
        a, b = a[:-1], (*b[:-2], *b[-1:]) if len(b) > 1 else ()
    return ShapedArray((*a, *b), product_dtype(x1, x2))


def _scaled(ct: Any, x: Any, other: Any) -> Any:
    """The cotangent of x, where x or the other operand is a scalar."""
    left = ct * other
    axes = tuple(range(len(shape_of(left)))) if not shape_of(x) else ()
    return cast(reduce_sum(left, axes) if axes else left, tangent_dtype(x))


def _dot_transpose_left(ct: Any, x1: Any, x2: Any) -> Any:
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        return _scaled(ct, x1, x2)
    if len(a) == 1 or len(b) <= 2:
        return _matmul_transpose_left(ct, x1, x2)
    side = rows_first(x2)
    return settle(reshape(reshape(ct, (math.prod(a[:-1]), shape_of(side)[1])) @ swap_last(side), a), x1)


def _dot_transpose_right(ct: Any, x1: Any, x2: Any) -> Any:
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        return _scaled(ct, x2, x1)
    if len(a) == 1 or len(b) <= 2:
        return _matmul_transpose_right(ct, x1, x2)
    side = swap_last(rows(x1)) @ reshape(ct, (math.prod(a[:-1]), math.prod(b[:-2]) * b[-1]))
    return settle(moveaxis(reshape(side, (b[-2], *b[:-2], b[-1])), 0, len(b) - 2), x2)


def _dot_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    (x1, x2), (dim1, dim2) = xs, dims
    rank1, rank2 = len(shape_of(x1)) - (dim1 is not None), len(shape_of(x2)) - (dim2 is not None)
    if rank1 == 0 or rank2 == 0:
        rank = max(rank1, rank2)
        x1, x2 = [x if dim is None else batch_to_rank(x, dim, rank) for x, dim in zip(xs, dims, strict=True)]
        return x1 * x2, 0
    if dim2 is None:
        assert dim1 is not None
        return dot(moveaxis(x1, dim1, 0), x2), 0
    if dim1 is None:
        return dot(x1, moveaxis(x2, dim2, 1 if rank2 == 1 else 0)), rank1 - 1
    x1, x2 = moveaxis(x1, dim1, 0), moveaxis(x2, dim2, 0)
    a, b = shape_of(x1)[1:], shape_of(x2)[1:]
    left = reshape(x1, (size, math.prod(a[:-1]), a[-1]))
    if rank2 == 1:
        return reshape(matmul(left, column(x2)), (size, *a[:-1])), 0
    right = reshape(moveaxis(x2, rank2 - 1, 1), (size, b[-2], math.prod(b[:-2]) * b[-1]))
    return reshape(matmul(left, right), (size, *a[:-1], *b[:-2], b[-1])), 0


dot_p = multilinear(
    "dot",
    implementation=np.dot,
    abstract=_dot_abstract,
    transposes=(_dot_transpose_left, _dot_transpose_right),
    batch=_dot_batch,
)


def dot(x1: Any, x2: Any) -> Any:
    """NumPy's dot: the sum over x1's last axis and x2's last but one."""
    return bind(dot_p, x1, x2)


# vdot: y = sum over all elements of conj(x1) x2 ---------------------------------------------------------------------


def _vdot_abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    if x1.size != x2.size:
        raise_as_numpy(np.vdot, x1, x2)
    return ShapedArray((), product_dtype(x1, x2))


def _vdot_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    x1, x2 = [
        flat(x) if dim is None else rows_of_batch(moveaxis(x, dim, 0), size) for x, dim in zip(xs, dims, strict=True)
    ]
    if dims[1] is None:
        return matmul(conjugate(x1), x2), 0
    return matmul(x2, conjugate(x1)) if dims[0] is None else reduce_sum(conjugate(x1) * x2, (1,)), 0


def rows_of_batch(x: Any, size: int) -> Any:
    """A batch along the first axis as a matrix, one row for each member."""
    return reshape(x, (size, math.prod(shape_of(x)[1:])))


vdot_p = multilinear(
    "vdot",
    implementation=np.vdot,
    abstract=_vdot_abstract,
    transposes=(
        lambda ct, x1, x2: cast(reshape(conjugate(ct * x2), shape_of(x1)), tangent_dtype(x1)),
        lambda ct, x1, x2: cast(reshape(ct * conjugate(x1), shape_of(x2)), tangent_dtype(x2)),
    ),
    batch=_vdot_batch,
)


def vdot(x1: Any, x2: Any) -> Any:
    """The inner product of all elements, the first operand conjugated."""
    return bind(vdot_p, x1, x2)
