"""NumPy's functions of one-dimensional signals: convolve, correlate, unwrap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.numpy.arrays import as_array, promotable
from funcgrad.numpy.differences import diff
from funcgrad.numpy.protocol import implements
from funcgrad.primitives import convolution
from funcgrad.primitives.complex import conjugate
from funcgrad.primitives.cumulative import cumsum
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import concatenate, flip, slice_axis
from funcgrad.primitives.structural import cast, reshape


def _mode(mode: Any) -> str:
    """ "full", "same" or "valid".

    Raises:
        ValueError, TypeError: as NumPy, for anything else.
    """
    return {3: "full", 2: "same", 1: "valid"}[len(np.convolve([0, 0], [0, 0], mode))]


def _correlated(a: Any, v: Any, mode: Any) -> Any:
    dtype = np.result_type(a.dtype, v.dtype)
    return convolution.correlate(cast(a, dtype), cast(v, dtype), _mode(mode))


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """np.convolve."""
    a, v = (reshape(x, (1,)) if not x.shape else x for x in map(as_array, (a, v)))
    for name, x in (("a", a), ("v", v)):
        if x.shape[0] == 0:
            raise ValueError(f"{name} cannot be empty")
    if len(a.shape) > 1 or len(v.shape) > 1:
        np.convolve(np.empty((1,) * len(a.shape)), np.empty((1,) * len(v.shape)))
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    return _correlated(a, flip(v, (0,)), mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """np.correlate."""
    a, v = as_array(a), as_array(v)
    if len(a.shape) != 1 or len(v.shape) != 1 or a.size == 0 or v.size == 0:
        np.correlate(np.empty(a.shape), np.empty(v.shape))
    return _correlated(a, conjugate(v), mode)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: Any = -1, *, period: Any = 2 * np.pi) -> Any:
    """np.unwrap; the number of periods that are added has no derivative."""
    p = as_array(p)
    axis = normalize_axis_index(axis, len(p.shape))
    steps = diff(p, axis=axis)
    if discont is None:
        discont = period / 2
    dtype = np.result_type(steps.dtype, promotable(period))
    if dtype.kind in "iu":
        high, rest = divmod(period, 2)
        ambiguous = rest == 0
    else:
        high, ambiguous = period / 2, True
    low = -high
    wrapped = np.mod(steps - low, period) + low
    if ambiguous:
        wrapped = select((wrapped == low) & (steps > 0), high, wrapped)
    correction = select(np.abs(steps) < discont, 0, wrapped - steps)
    first, rest_of_p = slice_axis(p, axis, 0, 1), slice_axis(p, axis, 1, None)
    return concatenate((cast(first, dtype), cast(rest_of_p + cumsum(correction, axis), dtype)), axis)
