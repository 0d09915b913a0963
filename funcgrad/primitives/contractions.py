"""Products that sum over axes: matmul and einsum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import multilinear, shape_of
from funcgrad.primitives.structural import moveaxis, reshape, transpose, unbroadcast

# matmul: NumPy's gufunc (n?,k),(k,m?)->(n?,m?) ---------------------------------------------------------------------


def _matmul_abstract(x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    a, b = x1.shape, x2.shape
    rows, columns = a[-2:-1] if len(a) > 1 else (), b[-1:] if len(b) > 1 else ()
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ValueError(f"matmul: operands of shapes {a} and {b} do not match: {a[-1]} is different from {inner}")
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    return ShapedArray((*batch, *rows, *columns), np.matmul.resolve_dtypes((x1.dtype, x2.dtype, None))[-1])


def swap_last(x: Any) -> Any:
    """x with its last two axes exchanged."""
    rank = len(shape_of(x))
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def _column(x: Any) -> Any:
    return reshape(x, (*shape_of(x), 1))


def _row(x: Any) -> Any:
    shape = shape_of(x)
    return reshape(x, (*shape[:-1], 1, shape[-1]))


def _matmul_transpose_left(ct: Any, x1: Any, x2: Any) -> Any:
    if len(x1.shape) == len(x2.shape) == 2:
        return ct @ x2.T
    if len(shape_of(x2)) == 1:
        left = _column(ct) * x2 if len(shape_of(x1)) > 1 else ct * x2
    elif len(shape_of(x1)) == 1:
        left = matmul(x2, _column(ct))[..., 0]
    else:
        left = matmul(ct, swap_last(x2))
    return unbroadcast(left, shape_of(x1))


def _matmul_transpose_right(ct: Any, x1: Any, x2: Any) -> Any:
    if len(x1.shape) == len(x2.shape) == 2:
        return x1.T @ ct
    if len(shape_of(x1)) == 1:
        right = _column(x1) * _row(ct) if len(shape_of(x2)) > 1 else ct * x1
    elif len(shape_of(x2)) == 1:
        right = matmul(swap_last(x1), _column(ct))[..., 0]
    else:
        right = matmul(swap_last(x1), ct)
    return unbroadcast(right, shape_of(x2))


def _matmul_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    raise NotImplementedError


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
