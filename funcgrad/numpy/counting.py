"""NumPy's counting in bins of traced arrays: bincount, histogram, histogram_bin_edges.

Counts are piecewise constant and have no derivative; sums of weights have one in the weights, and the edges of
automatic bins one in the least and the greatest element.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from funcgrad.core.tracing import Tracer, concrete
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.indexing import mask_values
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.reductions import any_true
from funcgrad.numpy.views import ravel
from funcgrad.primitives import extrema, sorting
from funcgrad.primitives.complex import imag, real
from funcgrad.primitives.cumulative import cumsum
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import cast, reshape


def _bin_sums(places: Any, weights: Any, length: int, dtype: Any) -> Any:
    """The number of elements in each bin, or the sum of their weights, in a dtype."""
    if weights is None:
        weights = np.ones(places.shape)
    if np.dtype(dtype).kind == "c":
        re, im = (sorting.bincount(places, part(weights), length) for part in (real, imag))
        return cast(re + 1j * im, dtype)
    return cast(sorting.bincount(places, weights, length), dtype)


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    """np.bincount, differentiable in the weights; the number of bins depends on the values of x."""
    x = as_array(x)
    if x.size == 0 or x.ndim != 1:  # which NumPy has an error for
        return np.bincount(np.zeros(x.shape, np.intp), minlength=minlength)
    if type(x) is not Tracer:
        length = len(np.bincount(x, minlength=minlength))
    else:
        length = max(operator.index(minlength), int(extrema.reduce_max(x, (0,))) + 1)
    if weights is None:
        return _bin_sums(x, None, length, np.intp)
    weights = as_array(weights)
    if weights.shape != x.shape or weights.dtype.kind == "c":
        np.bincount(np.zeros(x.shape, np.intp), np.zeros(weights.shape, weights.dtype))
    return _bin_sums(x, weights, length, np.float64)


def _range_edges(a: Any, limits: Any) -> tuple[Any, Any]:
    """The outer edges of automatic bins."""
    if limits is not None:
        np.histogram_bin_edges(0.0, 1, tuple(concrete(limit) for limit in limits))
        first, last = limits
    elif a.size == 0:
        first, last = 0, 1
    else:
        first, last = extrema.reduce_min(a, (0,)), extrema.reduce_max(a, (0,))
        if any_true(~np.isfinite(first)) or any_true(~np.isfinite(last)):
            raise ValueError(f"autodetected range of [{concrete(first)}, {concrete(last)}] is not finite")
    same = first == last
    if type(same) is Tracer:
        return select(same, first - 0.5, first), select(same, last + 0.5, last)
    return (first - 0.5, last + 0.5) if same else (first, last)


def _edges(a: Any, bins: Any, limits: Any, weights: Any) -> Any:
    if isinstance(bins, str):
        bins = len(np.histogram_bin_edges(mask_values(a), bins, limits, concrete(weights))) - 1
    elif np.ndim(bins) != 0:
        edges = as_array(bins)
        np.histogram_bin_edges(np.empty(0), concrete(edges))  # NumPy's errors
        return edges
    np.histogram_bin_edges(np.empty(0), bins)
    first, last = _range_edges(a, limits)
    dtype = np.result_type(first, last, a)
    if dtype.kind in "iub":
        dtype = np.result_type(dtype, float)
    # As np.linspace computes it.
    first, last = as_array(first), as_array(last)
    working = np.result_type(first.dtype, last.dtype, 1.0)
    first, last = cast(first, working), cast(last, working)
    edges = np.arange(0, bins, dtype=working) * ((last - first) / bins) + first
    return cast(concatenate((edges, reshape(last, (1,))), 0), dtype)


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """np.histogram_bin_edges."""
    return _edges(ravel(as_array(a)), bins, range, weights)


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """np.histogram: counts have no derivative, sums of weights one in the weights."""
    a = as_array(a)
    if weights is not None:
        weights = as_array(weights)
        if weights.shape != a.shape:
            raise ValueError("weights should have the same shape as a.")
        weights = ravel(weights)
    a = ravel(a)
    edges = _edges(a, bins, range, weights)
    if weights is not None and np.ndim(bins) != 0:
        n = _sums_between(a, weights, edges)
    else:
        n = _counts_between(a, weights, edges)
    if not density:
        return n, edges
    return n / cast(edges[1:] - edges[:-1], np.float64) / n.sum(), edges


def _counts_between(a: Any, weights: Any, edges: Any) -> Any:
    """How many elements, or the sum of what weights, lie between two edges, as NumPy adds for equal bins."""
    count = edges.shape[0] - 1
    # Bin k is place k + 1; what lies below or above all bins, or is NaN, comes to the two places at the ends.
    places = sorting.searchsorted(edges, cast(a, np.result_type(a, edges)), "right")
    places = select(a == edges[-1], count, places)
    dtype = np.intp if weights is None else weights.dtype
    return _bin_sums(places, weights, count + 2, dtype)[1:-1]


_BLOCK = 65536


def _sums_between(a: Any, weights: Any, edges: Any) -> Any:
    """The sums of weights between any edges, as NumPy adds them: differences of running sums, block by block."""
    total: Any = 0
    for start in range(0, max(a.size, 1), _BLOCK):
        block, added = a[start : start + _BLOCK], weights[start : start + _BLOCK]
        order = sorting.argsort(block, 0, None)
        block = block[order]
        sums = concatenate((np.zeros(1, weights.dtype), cumsum(added[order], 0)), 0)
        places = [sorting.searchsorted(block, edges[:-1]), sorting.searchsorted(block, edges[-1:], "right")]
        total = total + sums[concatenate(places, 0)]
    return total[1:] - total[:-1]
