"""NumPy's products of traced arrays: dot, vdot, inner, outer, tensordot, multi_dot, kron, cross and their ufuncs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.primitive import bind
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, put_into
from funcgrad.numpy.protocol import implements, method, ufunc_methods, ufunc_primitives
from funcgrad.primitives import contractions, vectors
from funcgrad.primitives.contractions import dot, swap_last
from funcgrad.primitives.structural import cast, moveaxis, reshape, transpose

PRODUCTS = {"matmul": contractions.matmul_p, "vecdot": vectors.vecdot_p, "matvec": vectors.matvec_p}
PRODUCTS["vecmat"] = vectors.vecmat_p


def stand_in(x: Any) -> Any:
    """A plain array of x's shape and dtype in next to no memory, on which NumPy raises its own errors."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape)


def stored(y: Any, out: Any, function: Callable[..., Any], *xs: Any) -> Any:
    """y as the result, or written to `out`.

    Raises:
        ValueError: as NumPy's `function` of operands like xs, if `out` is not of y's shape and dtype.
    """
    if out is None:
        return y
    if (out.shape, out.dtype) != (y.shape, y.dtype):
        function(*map(stand_in, xs), out=np.empty(out.shape, out.dtype))
    return put_into(out, y)


# Products of the last axis


@implements(np.dot)
@method("dot")
def dot_(a: Any, b: Any, out: Any = None) -> Any:
    """np.dot."""
    if type(a) is not Tracer:
        a = as_array(a)
    if type(b) is not Tracer:
        b = as_array(b)
    y = bind(contractions.dot_p, a, b)
    return y if out is None else stored(y, out, np.dot, a, b)


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """np.vdot."""
    return contractions.vdot(as_array(a), as_array(b))


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """np.inner."""
    a, b = as_array(a), as_array(b)
    return dot(a, swap_last(b) if a.ndim and b.ndim > 1 else b)


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """np.outer."""
    a, b = as_array(a), as_array(b)
    y = reshape(a, (a.size, 1)) * reshape(b, (1, b.size))
    return stored(y, out, np.outer, a, b)


@implements(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """np.linalg.outer."""
    x1, x2 = as_array(x1), as_array(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"Input arrays must be one-dimensional, but they are {x1.ndim=} and {x2.ndim=}.")
    return outer(x1, x2)


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """np.tensordot."""
    a, b = as_array(a), as_array(b)
    axes_a, axes_b = _summed_axes(axes)
    repeated = len(set(axes_a)) != len(axes_a) or len(set(axes_b)) != len(axes_b)
    if repeated or [a.shape[i] for i in axes_a] != [b.shape[j] for j in axes_b]:
        np.tensordot(stand_in(a), stand_in(b), axes)  # NumPy says what is wrong
    axes_a, axes_b = [i % a.ndim for i in axes_a], [j % b.ndim for j in axes_b]
    kept_a = [i for i in range(a.ndim) if i not in axes_a]
    kept_b = [j for j in range(b.ndim) if j not in axes_b]
    rows, columns = [a.shape[i] for i in kept_a], [b.shape[j] for j in kept_b]
    summed = math.prod(a.shape[i] for i in axes_a)
    left = reshape(transpose(a, (*kept_a, *axes_a)), (math.prod(rows), summed))
    right = reshape(transpose(b, (*axes_b, *kept_b)), (summed, math.prod(columns)))
    return reshape(dot(left, right), (*rows, *columns))


def _summed_axes(axes: Any) -> tuple[list[int], list[int]]:
    """`axes` of tensordot, either a number of axes or two lists, as two lists."""
    try:
        axes_a, axes_b = axes
    except TypeError:
        return list(range(-axes, 0)), list(range(axes))
    return tuple([i] if isinstance(i, (int, np.integer)) else list(i) for i in (axes_a, axes_b))  # type: ignore[return-value]


@implements(np.linalg.tensordot)
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """np.linalg.tensordot."""
    return tensordot(x1, x2, axes)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """np.kron."""
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return dot(a, b)
    rank = max(a.ndim, b.ndim)
    a_shape, b_shape = (1,) * (rank - a.ndim) + a.shape, (1,) * (rank - b.ndim) + b.shape
    y = reshape(a, tuple(n for i in a_shape for n in (i, 1))) * reshape(b, tuple(n for i in b_shape for n in (1, i)))
    return reshape(y, tuple(i * j for i, j in zip(a_shape, b_shape, strict=True)))


# Chains of products


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """np.linalg.multi_dot."""
    if len(arrays) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(arrays) == 2:
        return dot_(arrays[0], arrays[1], out)
    factors = [as_array(a) for a in arrays]
    first, last = factors[0].ndim, factors[-1].ndim
    if first == 1:
        factors[0] = reshape(factors[0], (1, factors[0].size))
    if last == 1:
        factors[-1] = reshape(factors[-1], (factors[-1].size, 1))
    for a in factors:
        if a.ndim != 2:
            raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. Array must be two-dimensional")
    y = _chain(factors)
    y = reshape(y, (y.shape[0],) * (first != 1) + (y.shape[1],) * (last != 1))
    return stored(y, out, lambda *xs, out: np.linalg.multi_dot(xs, out=out), *arrays)


def _chain(factors: Sequence[Any]) -> Any:
    """The product of three or more matrices in NumPy's order."""
    sizes = [a.shape[0] for a in factors] + [factors[-1].shape[1]]
    if len(factors) == 3:
        a, b, c = factors
        n, k, m, p = sizes
        return dot(dot(a, b), c) if n * m * (k + p) < k * p * (n + m) else dot(a, dot(b, c))
    splits = _cheapest_splits(sizes)

    def product(i: int, j: int) -> Any:
        return factors[i] if i == j else dot(product(i, splits[i, j]), product(splits[i, j] + 1, j))

    return product(0, len(factors) - 1)


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of matrices i..j; matrix i is sizes[i] by sizes[i + 1].

    Reference: Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, chapter 15.2.
    """
    n = len(sizes) - 1
    cost = {(i, i): 0.0 for i in range(n)}
    splits = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            costs = [cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)]
            cost[i, j] = min(costs)
            splits[i, j] = i + costs.index(cost[i, j])
    return splits


# cross


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """np.cross."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_array(a), as_array(b)
    if a.ndim < 1 or b.ndim < 1:
        raise ValueError("At least one array has zero dimension")
    a = moveaxis(a, normalize_axis_index(axisa, a.ndim, msg_prefix="axisa"), a.ndim - 1)
    b = moveaxis(b, normalize_axis_index(axisb, b.ndim, msg_prefix="axisb"), b.ndim - 1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        return _plane_cross(a, b, axisc)
    dtype = np.promote_types(a.dtype, b.dtype)
    y = vectors.cross(cast(a, dtype), cast(b, dtype))
    return moveaxis(y, y.ndim - 1, normalize_axis_index(axisc, y.ndim, msg_prefix="axisc"))


def _plane_cross(a: Any, b: Any, axisc: int) -> Any:
    """The cross product where a vector has two components, which NumPy deprecates."""
    np.cross(np.empty((1, a.shape[-1])), np.empty((1, b.shape[-1])))  # NumPy's warning, or its error
    y = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    if a.shape[-1] == b.shape[-1]:
        return y
    if a.shape[-1] == 2:
        parts = [a[..., 1] * b[..., 2], -(a[..., 0] * b[..., 2]), y]
    else:
        parts = [-(a[..., 2] * b[..., 1]), a[..., 2] * b[..., 0], y]
    return np.stack(parts, axis=normalize_axis_index(axisc, y.ndim + 1, msg_prefix="axisc"))


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """np.linalg.cross."""
    x1, x2 = as_array(x1), as_array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, "
            f"but they are {x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return cross(x1, x2, axis=axis)


# Ufuncs


@implements(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """np.linalg.matmul."""
    return contractions.matmul(as_array(x1), as_array(x2))


@implements(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """np.linalg.vecdot."""
    return product(np.vecdot, x1, x2, axis=axis)


def product(
    ufunc: Any,
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    axis: int | None = None,
    axes: Any = None,
    keepdims: bool = False,
    dtype: Any = None,
    **others: Any,
) -> Any:
    """A call of np.matmul, np.vecdot, np.matvec or np.vecmat with keywords."""
    if others:
        raise UnsupportedFunctionError(f"np.{ufunc.__name__} with {', '.join(others)}")
    xs = [as_array(x1), as_array(x2)]
    if axis is not None or axes is not None or keepdims:
        # What NumPy says of these axes, and the shape that it finds.
        keywords = {"axis": axis, "axes": axes, "keepdims": keepdims or None}
        keywords = {name: value for name, value in keywords.items() if value is not None}
        shape = ufunc(*map(stand_in, xs), **keywords).shape
    if axis is not None:
        axes = [axis, axis, ()]
    if axes is not None:
        axes = [(i,) if isinstance(i, int) else tuple(i) for i in axes]
        xs = [_cores_last(x, core) for x, core in zip(xs, axes, strict=False)]
    if dtype is not None:
        xs = [cast(x, dtype) for x in xs]
    y = bind(PRODUCTS[ufunc.__name__], *xs)
    if keepdims:
        y = reshape(y, shape)
    elif axes is not None and len(axes) == 3 and axes[2]:
        y = _cores_last(y, axes[2], inverse=True)
    return stored(y, out[0] if isinstance(out, tuple) else out, ufunc, *xs)


def _cores_last(x: Any, core: tuple[int, ...], inverse: bool = False) -> Any:
    """x with some axes moved to the end, or back from there."""
    core = tuple(normalize_axis_index(i, x.ndim) for i in core)
    order = [i for i in range(x.ndim) if i not in core] + list(core)
    return transpose(x, [order.index(i) for i in range(x.ndim)] if inverse else order)


for _name in PRODUCTS:
    if hasattr(np, _name):
        ufunc_primitives[getattr(np, _name)] = PRODUCTS[_name]
        ufunc_methods[getattr(np, _name), "__call__"] = product
