"""Products of vectors along last axes, which broadcast over all others: vecdot, matvec, vecmat; and cross."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.complex import conjugate
from funcgrad.primitives.contractions import (
    column,
    flat_last,
    matmul,
    product_dtype,
    raise_as_numpy,
    row,
    rows,
    swap_last,
)
from funcgrad.primitives.kinds import broadcast_shapes, multilinear, settle, shape_of
from funcgrad.primitives.structural import batch_to_rank

Rule = Callable[..., Any]


def _gufunc(name: str, first: str, second: str, out: str, left: Rule, right: Rule) -> Primitive:
    """A multilinear primitive that is one of NumPy's generalised ufuncs, by its signature `first,second->out`.

    The ufunc is looked up when it is called: NumPy 2.1 has not all of them.
    """

    def abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
        a, b = x1.shape, x2.shape
        core = a[len(a) - len(first) :] + b[len(b) - len(second) :]
        sizes = dict(zip(first + second, core, strict=False))
        if len(core) < len(first + second) or core != tuple(sizes[label] for label in first + second):
            raise_as_numpy(getattr(np, name), x1, x2)
        stack = broadcast_shapes([a[: len(a) - len(first)], b[: len(b) - len(second)]])
        return ShapedArray((*stack, *(sizes[label] for label in out)), product_dtype(x1, x2))

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
        ranks = [len(shape_of(x)) - (dim is not None) for x, dim in zip(xs, dims, strict=True)]
        stack = max(ranks[0] - len(first), ranks[1] - len(second))
        operands = [
            x if dim is None else batch_to_rank(x, dim, stack + len(core))
            for x, dim, core in zip(xs, dims, (first, second), strict=True)
        ]
        return bind(primitive, *operands), 0

    primitive = multilinear(
        name,
        implementation=lambda x1, x2: getattr(np, name)(x1, x2),
        abstract=abstract,
        transposes=(left, right),
        batch=batch,
    )
    return primitive


# vecdot: y = sum_k conj(x1[..., k]) x2[..., k] ----------------------------------------------------------------------

vecdot_p = _gufunc(
    "vecdot",
    "k",
    "k",
    "",
    lambda ct, x1, x2: settle(conjugate(column(ct) * x2), x1),
    lambda ct, x1, x2: settle(column(ct) * conjugate(x1), x2),
)


def vecdot(x1: Any, x2: Any) -> Any:
    """The inner products of vectors along the last axes, the first operand conjugated."""
    return bind(vecdot_p, x1, x2)


# matvec: y[..., n] = sum_k x1[..., n, k] x2[..., k] -----------------------------------------------------------------


def _times(matrices: Any, vectors: Any) -> Any:
    """The products of stacks of matrices and vectors, which broadcast."""
    return flat_last(matmul(matrices, column(vectors)))


def _outer(x1: Any, x2: Any, matrix: Any) -> Any:
    """The outer products of stacks of vectors as a cotangent of `matrix`; summed at once where that is only one."""
    if len(shape_of(matrix)) == 2 and shape_of(x1)[:-1] == shape_of(x2)[:-1] != ():
        return settle(swap_last(rows(x1)) @ rows(x2), matrix)
    return settle(column(x1) * row(x2), matrix)


matvec_p = _gufunc(
    "matvec",
    "nk",
    "k",
    "n",
    lambda ct, x1, x2: _outer(ct, x2, x1),
    lambda ct, x1, x2: settle(_times(swap_last(x1), ct), x2),
)


def matvec(x1: Any, x2: Any) -> Any:
    """The products of matrices and vectors along the last axes."""
    return bind(matvec_p, x1, x2)


# vecmat: y[..., m] = sum_k conj(x1[..., k]) x2[..., k, m] -----------------------------------------------------------

vecmat_p = _gufunc(
    "vecmat",
    "k",
    "km",
    "m",
    lambda ct, x1, x2: settle(conjugate(_times(x2, ct)), x1),
    lambda ct, x1, x2: _outer(conjugate(x1), ct, x2),
)


def vecmat(x1: Any, x2: Any) -> Any:
    """The products of vectors, conjugated, and matrices along the last axes."""
    return bind(vecmat_p, x1, x2)


# cross: the vector product of three-vectors along the last axis -----------------------------------------------------


def _cross_abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    try:
        shape = broadcast_shapes([x1.shape, x2.shape])
    except ValueError:
        raise_as_numpy(np.cross, x1, x2)
    return ShapedArray(shape, np.promote_types(x1.dtype, x2.dtype))


def _cross_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    rank = max(len(shape_of(x)) - (dim is not None) for x, dim in zip(xs, dims, strict=True))
    return cross(*[x if dim is None else batch_to_rank(x, dim, rank) for x, dim in zip(xs, dims, strict=True)]), 0


# ct . (x1 x x2) = x1 . (x2 x ct) = x2 . (ct x x1)
cross_p = multilinear(
    "cross",
    implementation=np.cross,
    abstract=_cross_abstract,
    transposes=(
        lambda ct, x1, x2: settle(cross(x2, ct), x1),
        lambda ct, x1, x2: settle(cross(ct, x1), x2),
    ),
    batch=_cross_batch,
)


def cross(x1: Any, x2: Any) -> Any:
    """The vector products of three-vectors along the last axes; the others broadcast."""
    return bind(cross_p, x1, x2)
