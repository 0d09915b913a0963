"""NumPy's averages, variances and correlations of traced arrays: the same operations in the same order."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.numpy.arrays import as_array, promotable
from funcgrad.numpy.protocol import implements, method
from funcgrad.numpy.reductions import ALL_AXES, NOTHING, any_true, checked_mask, keeping, reduced_axes, stored
from funcgrad.primitives import arithmetic, reductions
from funcgrad.primitives.complex import conjugate, imag, real
from funcgrad.primitives.contractions import matmul
from funcgrad.primitives.powers import square
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import broadcast_to, cast, reduce_sum, reshape, transpose

_EXACT_IN_SINGLE = 2**24
_DOUBLE = np.dtype(np.float64)


def _element_count(a: Any, axes: tuple[int, ...], where: Any, keepdims: bool) -> Any:
    """How many elements each mean is of: a number, or an array where a mask is given."""
    if where is None:
        count = 1
        for axis in axes:
            count *= a.shape[axis]
        return count
    return reduce_sum(broadcast_to(where, a.shape), axes, keepdims, np.intp)


def divided(y: Any, count: Any) -> Any:
    """y / count in y's dtype: NumPy divides in double precision and rounds, which is the same wherever it can be."""
    dtype = y.dtype
    if type(count) is int:
        if dtype.char in "dDgG" or (dtype.char == "f" and count < _EXACT_IN_SINGLE):
            return y / count
        count = np.intp(count)
    return cast(y / count, dtype)


def _mask(where: Any, a: Any, axis: Any) -> Any:
    return None if where is NOTHING or where is True else checked_mask(where, a, axis)


def _accumulator(a: Any, dtype: Any, out: Any) -> np.dtype[Any] | None:
    """The dtype to add in: integers and truth values are averaged in double precision."""
    if dtype is not None:
        return np.dtype(dtype)
    if out is not None:
        return out.dtype
    return _DOUBLE if a.dtype.kind in "iub" else None


def _total(a: Any, axes: tuple[int, ...], keepdims: bool, dtype: Any, mask: Any) -> Any:
    if dtype is not None and dtype.kind in "biu":
        a = cast(a, dtype)
    if mask is None:
        return reduce_sum(a, axes, keepdims, dtype)
    return reductions.masked_sum(a, axes, keepdims, dtype, where=mask)


@implements(np.mean)
@method("mean")
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NOTHING, *, where: Any = NOTHING
) -> Any:
    """np.mean."""
    a = as_array(a)
    axes, keep, mask = _axes(axis, len(a.shape)), keeping(keepdims), _mask(where, a, axis)
    count = _element_count(a, axes, mask, keep)
    if any_true(count == 0):
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
    half = dtype is None and a.dtype == np.float16
    y = divided(_total(a, axes, keep, np.dtype(np.float32) if half else _accumulator(a, dtype, out), mask), count)
    return stored(cast(y, a.dtype) if half and out is None else y, out, "add")


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    """`axis` as NumPy's mean understands it: of a scalar there is none."""
    if axis is None:
        return ALL_AXES[rank]
    axes = reduced_axes(axis, rank)
    if not rank:
        for i in axis if isinstance(axis, tuple) else (axis,):
            normalize_axis_index(i, 0)
    return axes


def corrected(ddof: Any, correction: Any) -> Any:
    """The number taken off the degrees of freedom, under either of its names."""
    if correction is NOTHING:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return correction


@implements(np.var)
def var(
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
    """np.var."""
    return array_var(a, axis, dtype, out, corrected(ddof, correction), keepdims, where=where, mean=mean)


@method("var")
def array_var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
) -> Any:
    """ndarray.var."""
    a = as_array(a)
    axes, mask = _axes(axis, len(a.shape)), _mask(where, a, axis)
    count = _element_count(a, axes, mask, keeping(keepdims))
    if any_true(ddof >= count):
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
    accumulator = _accumulator(a, dtype, None)
    if mean is NOTHING or mean is None:
        divisor = count if mask is None else _element_count(a, axes, mask, True)
        mean = divided(_total(a, axes, True, accumulator, mask), divisor)
    squares = _squared(a - as_array(mean))
    total = _total(squares, axes, keeping(keepdims), accumulator if out is None else out.dtype, mask)
    freedom = count - ddof
    freedom = max(freedom, 0) if mask is None else arithmetic.maximum(freedom, 0)
    return stored(divided(total, freedom), out, "add")


def _squared(x: Any) -> Any:
    """|x|**2."""
    return square(x) if x.dtype.kind != "c" else square(real(x)) + square(imag(x))


@implements(np.std)
def std(
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
    """np.std; of constant data the derivative is 0."""
    return array_std(a, axis, dtype, out, corrected(ddof, correction), keepdims, where=where, mean=mean)


@method("std")
def array_std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
) -> Any:
    """ndarray.std; of constant data the derivative is 0."""
    y = array_var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean)
    return stored(cast(reductions.root(y), y.dtype), out, "add")


# average, cov, corrcoef


def _aligned_weights(weights: Any, a: Any, axes: tuple[int, ...] | None) -> Any:
    """Weights of some axes in a shape that broadcasts against a.

    Raises:
        TypeError, ValueError: as NumPy, where they fit neither a nor those axes.
    """
    weights = as_array(weights)
    if weights.shape == a.shape:
        return weights
    if axes is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    if weights.shape != tuple(a.shape[axis] for axis in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    weights = transpose(weights, sorted(range(len(axes)), key=lambda i: axes[i]))
    return reshape(weights, tuple(n if i in axes else 1 for i, n in enumerate(a.shape)))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NOTHING) -> Any:
    """np.average."""
    a = as_array(a)
    if axis is not None:
        axis = normalize_axis_tuple(axis, len(a.shape), argname="axis")
    if weights is None:
        y = mean(a, axis, keepdims=keepdims)
        scale: Any = y.dtype.type(a.size / y.size) if returned else None
    else:
        weights = _aligned_weights(weights, a, axis)
        double = (_DOUBLE,) if a.dtype.kind in "iub" else ()
        dtype = np.result_type(a.dtype, weights.dtype, *double)
        axes, keep = ALL_AXES[len(a.shape)] if axis is None else axis, keeping(keepdims)
        scale = reduce_sum(weights, tuple(i for i in axes), keep, dtype)
        if any_true(scale == 0.0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        y = reduce_sum(cast(a, dtype) * cast(weights, dtype), axes, keep) / scale
    if not returned:
        return y
    return y, scale if scale.shape == y.shape else broadcast_to(scale, y.shape)


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: Any = True,
    bias: Any = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """np.cov."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = _observations(m, y, rowvar, dtype)
    if x.shape[0] == 0:
        return np.array([]).reshape(0, 0)
    if ddof is None:
        ddof = 1 if bias == 0 else 0
    weights = _frequencies(fweights, x.shape[1])
    if aweights is not None:
        aweights = _sample_weights(aweights, "aweights", x.shape[1])
        weights = aweights if weights is None else weights * aweights
    mean_of_rows, total = average(x, axis=1, weights=weights, returned=True)
    freedom = _degrees_of_freedom(x.shape[1], total[0], weights, aweights, ddof)
    centred = x - reshape(mean_of_rows, (x.shape[0], 1))
    weighted = centred if weights is None else centred * weights
    products = matmul(centred, conjugate(transpose(weighted, (1, 0)))) * np.true_divide(1, freedom)
    return reshape(products, tuple(n for n in products.shape if n != 1))


def _observations(m: Any, y: Any, rowvar: Any, dtype: Any) -> Any:
    """The data of np.cov as a matrix, a variable a row."""
    parts = [("m", as_array(m))] + ([] if y is None else [("y", as_array(y))])
    for name, part in parts:
        if len(part.shape) > 2:
            raise ValueError(f"{name} has more than 2 dimensions")
    if dtype is None:
        dtype = np.result_type(*[promotable(part) for _, part in parts], np.float64)
    rows = []
    for name, part in parts:
        row = cast(reshape(part, (1,) * (2 - len(part.shape)) + part.shape), dtype)
        keep = len(part.shape) == 1 if name == "m" else row.shape[0] == 1
        rows.append(row if rowvar or keep else transpose(row, (1, 0)))
    return rows[0] if len(rows) == 1 or rows[0].shape[0] == 0 else concatenate(rows, 0)


def _frequencies(fweights: Any, count: int) -> Any:
    if fweights is None:
        return None
    fweights = _sample_weights(fweights, "fweights", count)
    if any_true(fweights != np.around(fweights)):
        raise TypeError("fweights must be integer")
    return fweights


def _sample_weights(weights: Any, name: str, count: int) -> Any:
    weights = cast(as_array(weights), _DOUBLE)
    if len(weights.shape) > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape[0] != count:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    if any_true(weights < 0):
        raise ValueError(f"{name} cannot be negative")
    return weights


def _degrees_of_freedom(count: int, total: Any, weights: Any, aweights: Any, ddof: Any) -> Any:
    freedom: Any
    if weights is None:
        freedom = count - ddof
    elif ddof == 0:
        freedom = total
    elif aweights is None:
        freedom = total - ddof
    else:
        freedom = total - ddof * np.sum(weights * aweights) / total
    if any_true(freedom <= 0):
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
        return arithmetic.maximum(freedom, 0.0)
    return freedom


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: Any = True, *, dtype: Any = None) -> Any:
    """np.corrcoef."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return c / c  # of one variable: 1, or NaN where it does not vary
    deviation = np.sqrt(real(np.diagonal(c)))
    c = c / reshape(deviation, (len(deviation), 1))
    c = c / reshape(deviation, (1, len(deviation)))
    if c.dtype.kind != "c":
        return np.clip(c, -1, 1)
    return np.clip(real(c), -1, 1) + 1j * np.clip(imag(c), -1, 1)
