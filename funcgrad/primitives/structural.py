"""The few linear primitives that the kinds themselves need: cast, reshape, transpose, broadcast, sum.

Broadcasting is undone here (`unbroadcast`) and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind, bind_unary
from funcgrad.core.tracing import Tracer
from funcgrad.primitives.strict import linear, nondifferentiable, shape_of, tangent_dtype

Shape = tuple[int, ...]
_ndarray = np.ndarray  # looked up on the hot path


# cast: y = x in another inexact dtype ------------------------------------------------------------------------------


def _cast_implementation(x: Any, dtype: np.dtype[Any]) -> Any:
    x = np.asarray(x)
    if x.dtype.kind == "c" and dtype.kind == "f":
        x = x.real
    return x.astype(dtype)[()]


def _cast_abstract(x: ShapedArray, dtype: np.dtype[Any]) -> ShapedArray:
    return ShapedArray(x.shape, dtype)


def _cast_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(cast_p, *xs, **params), dims[0]


cast_p = linear(
    "cast",
    implementation=_cast_implementation,
    abstract=_cast_abstract,
    transpose=lambda ct, x, dtype: cast(ct, tangent_dtype(x)),
    batch=_cast_batch,
    structural=True,
)

# truncate: y = x in an integer or boolean dtype --------------------------------------------------------------------


def _truncate_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(truncate_p, *xs, **params), dims[0]


truncate_p = nondifferentiable(
    "truncate",
    implementation=lambda x, dtype: np.asarray(x).astype(dtype)[()],
    abstract=_cast_abstract,
    batch=_truncate_batch,
)


def cast(x: Any, dtype: Any) -> Any:
    """x in another dtype; the imaginary part is dropped on the way to a real one."""
    dtype = np.dtype(dtype)
    if getattr(x, "dtype", None) == dtype:
        return x
    return bind_unary(cast_p if dtype.kind in "fc" else truncate_p, x, {"dtype": dtype})


# reshape: the same elements in C order -----------------------------------------------------------------------------


def _reshape_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return reshape(moveaxis(xs[0], dims[0], 0), (size, *params["shape"])), 0


reshape_p = linear(
    "reshape",
    implementation=lambda x, shape: (x if type(x) is _ndarray else np.asarray(x)).reshape(shape),
    abstract=lambda x, shape: ShapedArray(shape, x.dtype),
    transpose=lambda ct, x, shape: reshape(ct, shape_of(x)),
    batch=_reshape_batch,
    structural=True,
)


def reshape(x: Any, shape: Shape) -> Any:
    """x with another shape of the same size, elements in C order."""
    return x if shape_of(x) == shape else bind_unary(reshape_p, x, {"shape": shape})


# transpose: y[i_p0, i_p1, ...] = x[i_0, i_1, ...] ------------------------------------------------------------------


def _inverse(permutation: Sequence[int]) -> Shape:
    inverse = [0] * len(permutation)
    for i, axis in enumerate(permutation):
        inverse[axis] = i
    return tuple(inverse)


def _transpose_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    x = moveaxis(xs[0], dims[0], 0)
    return transpose(x, (0, *(axis + 1 for axis in params["permutation"]))), 0


transpose_p = linear(
    "transpose",
    implementation=lambda x, permutation: x.transpose(permutation),
    abstract=lambda x, permutation: ShapedArray(tuple(x.shape[axis] for axis in permutation), x.dtype),
    transpose=lambda ct, x, permutation: transpose(ct, _inverse(permutation)),
    batch=_transpose_batch,
    structural=True,
)


def transpose(x: Any, permutation: Sequence[int]) -> Any:
    """x with its axes permuted: axis i of the result is axis `permutation[i]` of x."""
    permutation = tuple(permutation)
    if permutation == _IDENTITIES[len(permutation)]:
        return x
    return bind_unary(transpose_p, x, {"permutation": permutation})


_IDENTITIES = tuple(tuple(range(rank)) for rank in range(65))


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """x with one axis (both counted from the front) at another place."""
    axes = [axis for axis in range(len(shape_of(x))) if axis != source]
    axes.insert(destination, source)
    return transpose(x, axes)


# broadcast: NumPy's rule -------------------------------------------------------------------------------------------

_float64, _empty = np.float64, np.empty
_FILLED_SIZE = 4096  # up to here a filled array is cheaper than a view with zero strides


def _broadcast_implementation(x: Any, shape: Shape) -> Any:
    if (x_shape := shape_of(x)) == shape:
        return x
    if not x_shape and math.prod(shape) <= _FILLED_SIZE:
        y = np.empty(shape, tangent_dtype(x))
        y.fill(x)
        return y
    return np.broadcast_to(x, shape)


def _broadcast_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    shape = params["shape"]
    return broadcast_to(batch_to_rank(xs[0], dims[0], len(shape)), (size, *shape)), 0


broadcast_p = linear(
    "broadcast",
    implementation=_broadcast_implementation,
    abstract=lambda x, shape: ShapedArray(shape, x.dtype),
    transpose=lambda ct, x, shape: unbroadcast(ct, shape_of(x)),
    batch=_broadcast_batch,
    structural=True,
)


def broadcast_to(x: Any, shape: Shape) -> Any:
    """x repeated to a larger shape, as NumPy broadcasts."""
    if type(x) is not Tracer:
        return _broadcast_implementation(x, shape)  # `bind` without its cost: reverse mode comes here for every sum
    return x if x.shape == shape else bind_unary(broadcast_p, x, {"shape": shape})


def batch_to_rank(x: Any, dim: int, rank: int) -> Any:
    """x with its batch axis in front, followed by `rank` axes: ones are put in where rows have fewer."""
    x = moveaxis(x, dim, 0)
    shape = shape_of(x)
    return reshape(x, (shape[0], *(1,) * (rank + 1 - len(shape)), *shape[1:]))


# reduce_sum: sum over axes; without parameters over all --------------------------------------------------------------


def reduced_shape(shape: Shape, axes: Shape, keepdims: bool) -> Shape:
    """The shape that a reduction leaves."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def spread(y: Any, shape: Shape, axes: Shape, keepdims: bool) -> Any:
    """A reduction's result (or its cotangent) broadcast back to the operand's shape."""
    if not keepdims and len(axes) < len(shape):
        y = reshape(y, reduced_shape(shape, axes, True))
    return broadcast_to(y, shape)


_sum: Any = np.add.reduce


def _reduce_sum_implementation(x: Any, axes: Shape | None = None, keepdims: bool = False, dtype: Any = None) -> Any:
    return _sum(x, axes, dtype, None, keepdims)


def _reduce_sum_abstract(
    x: ShapedArray, axes: Shape | None = None, keepdims: bool = False, dtype: Any = None
) -> ShapedArray:
    dtype = np.add.reduce(np.empty(0, x.dtype), dtype=dtype).dtype
    return ShapedArray(() if axes is None else reduced_shape(x.shape, axes, keepdims), dtype)


def _reduce_sum_transpose(ct: Any, x: Any, axes: Shape | None = None, keepdims: bool = False, dtype: Any = None) -> Any:
    if dtype is not None:
        ct = cast(ct, tangent_dtype(x))
    if type(ct) is _float64 and type(x) is _ndarray and x.size <= _FILLED_SIZE:
        y = _empty(x.shape)  # the gradient of nearly every loss begins here
        y.fill(ct)
        return y
    return broadcast_to(ct, x.shape) if axes is None else spread(ct, x.shape, axes, keepdims)


def _reduce_sum_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    x = moveaxis(xs[0], dims[0], 0)
    axes = params.get("axes", range(len(x.shape) - 1))
    return bind(reduce_sum_p, x, **{"keepdims": False, **params, "axes": tuple(axis + 1 for axis in axes)}), 0


reduce_sum_p = linear(
    "reduce_sum",
    implementation=_reduce_sum_implementation,
    abstract=_reduce_sum_abstract,
    transpose=_reduce_sum_transpose,
    batch=_reduce_sum_batch,
    structural=True,
)


def reduce_sum(x: Any, axes: Shape, keepdims: bool = False, dtype: Any = None) -> Any:
    """The sum over some axes, counted from the front, in NumPy's dtype for it or in another."""
    params = {"axes": axes, "keepdims": keepdims}
    if dtype is not None:
        params["dtype"] = np.dtype(dtype)
    return bind_unary(reduce_sum_p, x, params)


def unbroadcast(ct: Any, shape: Shape) -> Any:
    """The transpose of broadcasting `shape` to ct's shape: sums over the axes that were added or repeated."""
    ct_shape = shape_of(ct)
    if ct_shape == shape:
        return ct
    added = len(ct_shape) - len(shape)
    axes = tuple(i for i, n in enumerate(ct_shape) if i < added or (shape[i - added] == 1 and n != 1))
    return reshape(reduce_sum(ct, axes), shape) if axes else reshape(ct, shape)


def settle(ct: Any, x: Any) -> Any:
    """A cotangent of the broadcast x as one of x itself: its shape and dtype."""
    if type(ct) is _ndarray and type(x) is _ndarray and ct.shape == x.shape and ct.dtype is x.dtype:
        return ct
    return cast(unbroadcast(ct, shape_of(x)), tangent_dtype(x))


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The shape that these broadcast to.

    Raises:
        ValueError: as NumPy, where they do not.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    return np.broadcast_shapes(*shapes)
