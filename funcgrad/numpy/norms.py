"""NumPy's norms of traced vectors and matrices: the same operations in the same order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.numpy.arrays import as_array, converted
from funcgrad.numpy.protocol import implements
from funcgrad.primitives import reductions
from funcgrad.primitives.arithmetic import abs as absolute
from funcgrad.primitives.decompositions import svdvals
from funcgrad.primitives.extrema import reduce_max
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import reduce_sum, reshape, transpose

Shape = tuple[int, ...]


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm. At 0, where norms have kinks, the derivative is 0."""
    x = as_array(x)
    if x.dtype.kind not in "fc":
        x = converted(x, np.float64)
    rank = x.ndim
    if axis is None:
        if ord is None or (rank == 2 and ord in ("f", "fro")) or (rank == 1 and ord == 2):
            return reductions.norm(x, tuple(range(rank)), bool(keepdims), flat=True)
        axes: Shape = tuple(range(rank))
    elif isinstance(axis, tuple):
        axes = axis
    else:
        try:
            axes = (int(axis),)
        except Exception as error:
            raise TypeError("'axis' must be None, an integer or a tuple of integers") from error
    if len(axes) == 1:
        return _vector_norm(x, ord, normalize_axis_index(axes[0], rank), bool(keepdims))
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    i, j = (normalize_axis_index(k, rank) for k in axes)
    if i == j:
        raise ValueError("Duplicate axes given.")
    y = _matrix_norm(x, ord, i, j)
    return reshape(y, tuple(1 if k in (i, j) else n for k, n in enumerate(x.shape))) if keepdims else y


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord is None or ord == 2:
        return reductions.norm(x, (axis,), keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if ord == 0:
        return (x != 0).astype(x.real.dtype).sum(axis=axis, keepdims=keepdims)
    size = absolute(x)
    if ord == np.inf:
        return _largest(size, axis, keepdims)
    if ord == -np.inf:
        return size.min(axis=axis, keepdims=keepdims)
    if ord == 1:
        return reduce_sum(size, (axis,), keepdims)
    total = reduce_sum(size**ord, (axis,), keepdims)
    y = total ** np.reciprocal(ord, dtype=total.dtype)
    if ord < 0:
        return y
    y = select(total == 0, 0.0, y)
    return y if y.ndim else y[()]  # a scalar, as NumPy's


def _matrix_norm(x: Any, ord: Any, i: int, j: int) -> Any:
    """The norms of the matrices whose rows are counted along axis i and columns along axis j."""
    if ord is None or ord in ("fro", "f"):
        return reductions.norm(x, (i, j))
    if ord in (2, -2, "nuc"):
        s = svdvals(transpose(x, [k for k in range(x.ndim) if k not in (i, j)] + [i, j]))
        if ord == -2:
            return np.min(s, axis=-1)
        return np.sum(s, axis=-1) if ord == "nuc" else _largest(s, s.ndim - 1)
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError("Invalid norm order for matrices.")
    summed, other = (i, j) if abs(ord) == 1 else (j, i)
    sums = reduce_sum(absolute(x), (summed,))
    other -= other > summed
    return _largest(sums, other) if ord > 0 else np.min(sums, axis=other)


def _largest(x: Any, axis: int, keepdims: bool = False) -> Any:
    """The largest of numbers that are not negative, 0 of none."""
    if x.shape[axis]:
        return reduce_max(x, (axis,), keepdims)
    return x.max(axis=axis, keepdims=keepdims, initial=0)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """np.linalg.matrix_norm."""
    return norm(x, axis=(-2, -1), keepdims=keepdims, ord=ord)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """np.linalg.vector_norm: over any number of axes, as of one vector."""
    x = as_array(x)
    if axis is None:
        y = norm(reshape(x, (x.size,)), axis=0, ord=ord)
    elif isinstance(axis, tuple):
        axes = normalize_axis_tuple(axis, x.ndim)
        rest = tuple(k for k in range(x.ndim) if k not in axes)
        moved = transpose(x, (*axes, *rest))
        shape = (math.prod(x.shape[k] for k in axes), *(x.shape[k] for k in rest))
        y = norm(reshape(moved, shape), axis=0, ord=ord)
    else:
        y = norm(x, axis=axis, ord=ord)
    if keepdims:
        axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
        y = reshape(y, tuple(1 if k in axes else n for k, n in enumerate(x.shape)))
    return y
