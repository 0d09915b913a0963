"""NumPy's reductions that pass over NaN, of traced arrays: NaN is replaced by what does not count."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.cumulative import cumprod, cumsum
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.reductions import NOTHING, all_, any_true, argmax, argmin, max_, min_, prod, stored, sum_
from funcgrad.numpy.statistics import array_var, corrected, divided, mean
from funcgrad.primitives import reductions
from funcgrad.primitives.complex import conjugate, real
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import cast, reshape

Rule = Callable[..., Any]


def _replaced(a: Any, value: Any) -> tuple[Any, Any]:
    """a with NaN replaced by a value, and where NaN was; None for dtypes without NaN."""
    a = as_array(a)
    if a.dtype.kind not in "fc":
        return a, None
    mask = a != a
    return select(mask, value, a), mask


# Sums and products


@implements(np.nansum)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Any:
    """np.nansum."""
    return sum_(_replaced(a, 0)[0], axis, dtype, out, keepdims, initial, where)


@implements(np.nanprod)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Any:
    """np.nanprod."""
    return prod(_replaced(a, 1)[0], axis, dtype, out, keepdims, initial, where)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.nancumsum."""
    return cumsum(_replaced(a, 0)[0], axis, dtype, out)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """np.nancumprod."""
    return cumprod(_replaced(a, 1)[0], axis, dtype, out)


# The greatest and the least


def _extremum(reduce: Rule, worst: float, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    a, mask = _replaced(a, worst)
    y = reduce(a, axis, None, keepdims, initial, where)
    if mask is not None and initial is NOTHING:
        empty = all_(mask, axis, keepdims=keepdims)
        if any_true(empty):
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=3)
        y = select(empty, np.nan, y)
    return stored(y, out, "fmax")


@implements(np.nanmax)
def nanmax(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, initial: Any = NOTHING, where: Any = NOTHING
) -> Any:
    """np.nanmax."""
    return _extremum(max_, -np.inf, a, axis, out, keepdims, initial, where)


@implements(np.nanmin)
def nanmin(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, initial: Any = NOTHING, where: Any = NOTHING
) -> Any:
    """np.nanmin."""
    return _extremum(min_, np.inf, a, axis, out, keepdims, initial, where)


def _argument(find: Rule, worst: float, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    a, mask = _replaced(a, worst)
    if mask is not None and a.size and any_true(all_(mask, axis)):
        raise ValueError("All-NaN slice encountered")
    return find(a, axis, out, keepdims=keepdims)


@implements(np.nanargmax)
def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Any:
    """np.nanargmax."""
    return _argument(argmax, -np.inf, a, axis, out, keepdims)


@implements(np.nanargmin)
def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Any:
    """np.nanargmin."""
    return _argument(argmin, np.inf, a, axis, out, keepdims)


# Means and variances


def _check_inexact(dtype: Any, out: Any) -> None:
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise TypeError("If a is inexact, then dtype must be inexact")
    if out is not None and out.dtype.kind not in "fc":
        raise TypeError("If a is inexact, then out must be inexact")


@implements(np.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NOTHING, *, where: Any = NOTHING
) -> Any:
    """np.nanmean."""
    a, mask = _replaced(a, 0)
    if mask is None:
        return mean(a, axis, dtype, out, keepdims, where=where)
    _check_inexact(dtype, out)
    count = sum_(~mask, axis, np.intp, None, keepdims, NOTHING, where)
    total = sum_(a, axis, dtype, None, keepdims, NOTHING, where)
    with np.errstate(invalid="ignore", divide="ignore"):
        y = divided(total, count)
    if any_true(count == 0):
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
    return stored(y, out, "add")


@implements(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Any:
    """np.nanvar."""
    a, mask = _replaced(a, 0)
    ddof = corrected(ddof, correction)
    if mask is None:
        return array_var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    _check_inexact(dtype, out)
    count = sum_(~mask, axis, np.intp, None, True, NOTHING, where)
    with np.errstate(invalid="ignore", divide="ignore"):
        if mean is NOTHING:
            mean = divided(sum_(a, axis, dtype, None, True, NOTHING, where), count)
        deviation = select(mask, 0, cast(a - mean, a.dtype))
        squares = real(deviation * conjugate(deviation))
        total = sum_(squares, axis, dtype, None, keepdims, NOTHING, where)
        freedom = reshape(count, total.shape) - ddof
        y = divided(total, freedom)
    if any_true(freedom <= 0):
        warnings.warn("Degrees of freedom <= 0 for slice.", RuntimeWarning, stacklevel=2)
    return stored(select(freedom <= 0, np.nan, y), out, "add")


@implements(np.nanstd)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Any:
    """np.nanstd; of constant data the derivative is 0."""
    y = nanvar(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction)
    return stored(reductions.root(y), out, "add")
