"""NumPy's order statistics of traced arrays: median, quantile, percentile, and those that pass over NaN.

The elements are sorted once and read at the places that NumPy computes from their number and q. Derivatives are
those of `sort`: equal elements share theirs evenly.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.indexing import take_along_axis
from funcgrad.numpy.protocol import implements, is_weak
from funcgrad.numpy.reductions import ALL_AXES, any_true, keeping, stored
from funcgrad.numpy.statistics import mean
from funcgrad.primitives import arithmetic, sorting
from funcgrad.primitives.extrema import count_nonzero
from funcgrad.primitives.identity import stop_gradient
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import slice_axis
from funcgrad.primitives.structural import broadcast_to, cast, reduced_shape, reshape, transpose

Shape = tuple[int, ...]


def _sorted_in_front(a: Any, axes: Shape) -> Any:
    """The elements over some axes in ascending order along one axis, the first, before all other axes."""
    rest = tuple(i for i in range(len(a.shape)) if i not in axes)
    moved = transpose(a, (*axes, *rest))
    joined = reshape(moved, (math.prod(a.shape[i] for i in axes), *(a.shape[i] for i in rest)))
    return sorting.sort(joined, 0)


def _axes(axis: Any, a: Any) -> Shape:
    return ALL_AXES[len(a.shape)] if axis is None else normalize_axis_tuple(axis, len(a.shape))


def _with_nan(y: Any, last: Any) -> Any:
    """y, or NaN where the greatest element, which comes `last`, is NaN."""
    if last.dtype.kind not in "fc":
        return y
    mask = last != last
    if type(mask) is not Tracer and not np.any(mask):
        return y
    return select(mask, last, y)


# median


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """np.median."""
    a = as_array(a)
    axes = _axes(axis, a)
    ordered = _sorted_in_front(a, axes)
    n = ordered.shape[0]
    y = mean(slice_axis(ordered, 0, max((n - 1) // 2, 0), n // 2 + 1 if n else 0), axis=0)
    y = _with_nan(y, ordered[-1]) if n else y
    return stored(reshape(y, reduced_shape(a.shape, axes, keeping(keepdims))), out, "median")


# quantile, percentile


@implements(np.quantile)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """np.quantile, differentiable in a and in q."""
    return _quantile(a, q, axis, out, method, keepdims, weights, "quantile", ignore_nan=False)


@implements(np.percentile)
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """np.percentile, differentiable in a and in q."""
    return _quantile(a, q, axis, out, method, keepdims, weights, "percentile", ignore_nan=False)


def _quantile(
    a: Any, q: Any, axis: Any, out: Any, method: str, keepdims: Any, weights: Any, name: str, ignore_nan: bool
) -> Any:
    a = as_array(a)
    if a.dtype.kind == "c":
        raise TypeError("a must be an array of real numbers")
    weak = is_weak(q)
    q = _fractions(q, name)
    if weights is not None:
        raise UnsupportedFunctionError(f"np.{name} with weights")
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {_METHODS.keys()}")
    axes = _axes(axis, a)
    ordered = _sorted_in_front(a, axes)
    if ignore_nan:
        y = _valid_quantiles(ordered, q, method, weak)
    else:
        y = _with_nan(_interpolated(ordered, ordered.shape[0], q, method, weak), ordered[-1])
    return stored(reshape(y, (*q.shape, *reduced_shape(a.shape, axes, keeping(keepdims)))), out, name)


def _fractions(q: Any, name: str) -> Any:
    """q as fractions of 1.

    Raises:
        ValueError: as NumPy, if they are not between 0 and 1, or are a matrix.
    """
    q = as_array(q)
    if name == "percentile":
        q = as_array(np.true_divide(q, 100))
    if not any_true(~((q >= 0) & (q <= 1))):
        if len(q.shape) > 2:
            raise ValueError("q must be a scalar or 1d")
        return q
    raise ValueError(
        "Percentiles must be in the range [0, 100]" if name == "percentile" else "Quantiles must be in the range [0, 1]"
    )


def _interpolated(ordered: Any, n: Any, q: Any, method: str, weak: bool) -> Any:
    """Between the sorted elements along the first axis, of which the first n count: q's axes, then the others.

    n is a number, or, for each of the slices along that axis, one in an array.
    """
    if type(n) is not int:
        q = reshape(q, (*q.shape, *(1,) * len(n.shape)))
    count = n if type(n) is int or q.dtype.kind != "f" else cast(n, q.dtype)
    virtual, gamma = _METHODS[method](count, q)
    if gamma is None:
        return _at(ordered, cast(_clipped(virtual, n), np.intp), n)
    floor = np.floor(stop_gradient(virtual))
    low, high = (_at(ordered, cast(_clipped(index, n), np.intp), n) for index in (floor, floor + 1))
    parts = [cast(part, virtual.dtype) for part in (gamma, 1 - gamma)]
    if weak and type(gamma) is not Tracer and not gamma.shape:
        return _between(low, high, *map(float, parts))
    if weak:
        parts = [cast(part, ordered.dtype) for part in parts]
    elif type(n) is int:
        parts = [reshape(part, (*virtual.shape, *(1,) * (len(ordered.shape) - 1))) for part in parts]
    return _between(low, high, *parts)


# Each method: from n and q the virtual index (a place in the sorted elements, between two of them if it has a
# fraction), and how far from the lower to the upper neighbour the quantile lies; None for just that element.


def _continuous(alpha: float, beta: float) -> Any:
    def method(n: Any, q: Any) -> tuple[Any, Any]:
        virtual = n * q + (alpha + q * (1 - alpha - beta)) - 1
        return virtual, virtual - np.floor(stop_gradient(virtual))

    return method


def _linear(n: Any, q: Any) -> tuple[Any, Any]:
    virtual = (n - 1) * q
    return virtual, None if q.dtype.kind in "iu" else virtual - np.floor(stop_gradient(virtual))


def _averaged_inverted_cdf(n: Any, q: Any) -> tuple[Any, Any]:
    virtual = n * q - 1
    return virtual, select(virtual == np.floor(virtual), 0.5, 1.0)


def _midpoint(n: Any, q: Any) -> tuple[Any, Any]:
    virtual = 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q))
    return virtual, select(virtual % 1 == 0, 0.0, 0.5)


def _inverted_cdf(n: Any, q: Any) -> tuple[Any, Any]:
    return np.ceil(n * q - 1), None


def _closest_observation(n: Any, q: Any) -> tuple[Any, Any]:
    index = n * q - 1 - 0.5
    floor = np.floor(index)
    return select((index == floor) & (floor % 2 == 1), floor, floor + 1), None


_METHODS: dict[str, Any] = {
    "inverted_cdf": _inverted_cdf,
    "averaged_inverted_cdf": _averaged_inverted_cdf,
    "closest_observation": _closest_observation,
    "interpolated_inverted_cdf": _continuous(0, 1),
    "hazen": _continuous(0.5, 0.5),
    "weibull": _continuous(0, 0),
    "linear": _linear,
    "median_unbiased": _continuous(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _continuous(3 / 8.0, 3 / 8.0),
    "lower": lambda n, q: (np.floor((n - 1) * q), None),
    "higher": lambda n, q: (np.ceil((n - 1) * q), None),
    "midpoint": _midpoint,
    "nearest": lambda n, q: (np.rint((n - 1) * q), None),
}


def _clipped(index: Any, n: Any) -> Any:
    return arithmetic.maximum(arithmetic.minimum(index, n - 1), 0)


def _at(ordered: Any, index: Any, n: Any) -> Any:
    if type(n) is int:
        return ordered[index]
    # A place of its own in every slice.
    q_shape = index.shape[: len(index.shape) - len(n.shape)]
    places = reshape(broadcast_to(index, (*q_shape, *n.shape)), (math.prod(q_shape), *n.shape))
    return reshape(take_along_axis(ordered, places, 0), (*q_shape, *n.shape))


def _between(low: Any, high: Any, t: Any, rest: Any) -> Any:
    """low + t (high - low), from the nearer end, as NumPy computes it; rest is 1 - t."""
    difference = high - low
    if type(t) is float:
        return high - difference * rest if t >= 0.5 else low + difference * t
    return select(t >= 0.5, high - difference * rest, low + difference * t)


# nanmedian, nanquantile, nanpercentile: NaN is sorted behind all others


def _valid_counts(ordered: Any) -> Any:
    """How many elements of each slice along the first axis are not NaN."""
    counts = count_nonzero(ordered == ordered, (0,))
    if any_true(counts == 0):
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
    return as_array(counts)


def _valid_quantiles(ordered: Any, q: Any, method: str, weak: bool) -> Any:
    return _interpolated(ordered, arithmetic.maximum(_valid_counts(ordered), 1), q, method, weak)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """np.nanmedian."""
    a = as_array(a)
    axes = _axes(axis, a)
    if a.dtype.kind not in "fc" or a.size == 0:
        return median(a, axis, out, keepdims=keepdims)
    ordered = _sorted_in_front(a, axes)
    counts = _valid_counts(ordered)
    low, high = _at(ordered, _clipped(counts - 1, counts) // 2, counts), _at(ordered, counts // 2, counts)
    y = select(counts % 2 == 1, high, (low + high) / 2)
    return stored(reshape(y, reduced_shape(a.shape, axes, keeping(keepdims))), out, "nanmedian")


@implements(np.nanquantile)
def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """np.nanquantile, differentiable in a and in q."""
    return _quantile(a, q, axis, out, method, keepdims, weights, "quantile", ignore_nan=True)


@implements(np.nanpercentile)
def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """np.nanpercentile, differentiable in a and in q."""
    return _quantile(a, q, axis, out, method, keepdims, weights, "percentile", ignore_nan=True)
