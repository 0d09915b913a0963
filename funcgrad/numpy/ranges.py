"""NumPy's evenly spaced numbers between traced ends: linspace, logspace, geomspace."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from funcgrad.numpy.arrays import as_array, converted, promotable
from funcgrad.numpy.joining import concatenate
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.views import expand_dims, moveaxis
from funcgrad.primitives.structural import broadcast_to, cast, reshape


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """NumPy's linspace."""
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    inexact = np.result_type(promotable(start), promotable(stop), 0.0)
    start, stop = (converted(as_array(x), inexact) for x in (start, stop))
    delta = stop - start
    intervals = num - 1 if endpoint else num
    step = delta / intervals if intervals > 0 else np.nan
    y = np.arange(num, dtype=inexact).reshape(-1, *(1,) * delta.ndim) * (step if intervals > 0 else delta) + start
    if endpoint and num > 1:
        y = concatenate((y[:-1], broadcast_to(stop, y.shape[1:])[None]))
    y = moveaxis(y, 0, axis) if axis != 0 else y
    if dtype is not None:
        y = cast(np.floor(y) if np.dtype(dtype).kind in "iu" else y, dtype)
    return (y, step) if retstep else y


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """NumPy's logspace."""
    if not isinstance(base, (float, int)) and np.ndim(base):
        arrays = [as_array(x) for x in (start, stop, base)]
        rank = len(np.broadcast_shapes(*[x.shape for x in arrays]))
        start, stop, base = (reshape(x, (1,) * (rank - x.ndim) + x.shape) for x in arrays)
        base = expand_dims(base, axis)
    y = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else cast(y, dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """NumPy's geomspace."""
    start, stop = as_array(start), as_array(stop)
    if any(isinstance(zero := x == 0, (np.ndarray, np.bool_)) and zero.any() for x in (start, stop)):
        raise ValueError("Geometric sequence cannot include zero")
    inexact = np.result_type(start.dtype, stop.dtype, float(num), np.zeros((), dtype))
    start, stop = converted(start, inexact), converted(stop, inexact)
    sign = np.sign(start)
    start, stop = start / sign, stop / sign
    y = logspace(np.log10(start), np.log10(stop), num, endpoint, dtype=inexact)
    ends = [broadcast_to(x, y.shape[1:])[None] for x in (start, stop)]
    if num > 1 and endpoint:
        y = concatenate((ends[0], y[1:-1], ends[1]))
    elif num > 0:
        y = concatenate((ends[0], y[1:]))
    y = y * sign
    y = moveaxis(y, 0, axis) if axis != 0 else y
    return y if dtype is None else cast(y, dtype)
