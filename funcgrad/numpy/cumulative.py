"""NumPy's running sums, products and extrema of traced arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import Primitive, bind
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import implements, method, ufunc_methods
from funcgrad.numpy.reductions import stored
from funcgrad.primitives import cumulative
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import cast, reshape

Rule = Callable[..., Any]


def _vector(a: Any) -> Any:
    return reshape(a, (a.size,)) if len(a.shape) != 1 else a


def _accumulated(primitive: Primitive, a: Any, axis: Any, dtype: Any, out: Any, **params: Any) -> Any:
    """A running reduction along one axis, of the flattened array if `axis` is None."""
    a = as_array(a)
    if axis is None or not a.shape:
        if axis is not None:
            np.cumsum(0.0, axis)  # raises, unless it is the axis that a scalar is lent
        a, axis = _vector(a), 0
    elif type(axis) is not int or not 0 <= axis < len(a.shape):
        np.cumsum(np.empty((1,) * len(a.shape)), axis=axis)
        axis = operator.index(axis) % len(a.shape)
    if dtype is None and out is not None:
        dtype = out.dtype
    if dtype is not None:
        a = cast(a, dtype)
    y = bind(primitive, a, axis=axis, **params)
    # Small integers were added as larger ones; sums wrap around in the end as well as on the way.
    return stored(y if dtype is None else cast(y, dtype), out, "accumulate")


@implements(np.cumsum)
@method("cumsum")
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.cumsum."""
    return _accumulated(cumulative.cumsum_p, a, axis, dtype, out, reverse=False)


@implements(np.cumprod)
@method("cumprod")
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.cumprod."""
    return _accumulated(cumulative.cumprod_p, a, axis, dtype, out)


def _with_initial(
    accumulate: Rule, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool, initial: int
) -> Any:
    x = as_array(x)
    x = x if x.shape else reshape(x, (1,))
    if axis is None:
        if len(x.shape) >= 2:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
        axis = 0
    y = accumulate(x, axis, dtype)
    if include_initial:
        axis %= len(x.shape)
        first = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), initial, y.dtype)
        y = concatenate((first, y), axis)
    return stored(y, out, "accumulate")


@implements(np.cumulative_sum)
def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """np.cumulative_sum."""
    return _with_initial(cumsum, x, axis, dtype, out, include_initial, 0)


@implements(np.cumulative_prod)
def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """np.cumulative_prod."""
    return _with_initial(cumprod, x, axis, dtype, out, include_initial, 1)


# Ufuncs' own method: np.add.accumulate and its like

_ACCUMULATE: dict[np.ufunc, tuple[Primitive, dict[str, Any]]] = {
    np.add: (cumulative.cumsum_p, {"reverse": False}),
    np.multiply: (cumulative.cumprod_p, {}),
    np.maximum: (cumulative.cummax_p, {}),
    np.minimum: (cumulative.cummin_p, {}),
}


def _accumulate(ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    (out,) = out or (None,)
    primitive, params = _ACCUMULATE[ufunc]
    if not as_array(array).shape:
        ufunc.accumulate(0.0)  # NumPy's error
    return _accumulated(primitive, array, axis, dtype, out, **params)


ufunc_methods.update({(ufunc, "accumulate"): _accumulate for ufunc in _ACCUMULATE})
