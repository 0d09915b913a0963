"""NumPy's set operations of traced arrays: unique, isin, union1d, intersect1d, setdiff1d, setxor1d.

Which elements come out depends on the values, which must therefore be there (not under `vmap`); the derivative goes
to the first of several equal elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.indexing import mask_values, take
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.views import ravel
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import cast

# With options that are not literals NumPy's stubs know no overload.
_unique: Any = np.unique
_intersection: Any = np.intersect1d


@implements(np.unique)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    **options: Any,
) -> Any:
    """np.unique."""
    ar = as_array(ar)
    _, index, *rest = _unique(mask_values(ar), True, return_inverse, return_counts, axis, **options)
    y = take(ar, index, axis)
    results = (y, *((index,) if return_index else ()), *rest)
    return results if len(results) > 1 else y


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """np.unique_values."""
    return unique(x, equal_nan=False)


@implements(np.unique_counts)
def unique_counts(x: Any) -> Any:
    """np.unique_counts."""
    return type(np.unique_counts([0]))(*unique(x, return_counts=True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: Any) -> Any:
    """np.unique_inverse."""
    return type(np.unique_inverse([0]))(*unique(x, return_inverse=True, equal_nan=False))


@implements(np.unique_all)
def unique_all(x: Any) -> Any:
    """np.unique_all."""
    return type(np.unique_all([0]))(*unique(x, True, True, True, equal_nan=False))


@implements(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    """np.isin."""
    element, test_elements = (mask_values(as_array(x)) for x in (element, test_elements))
    return np.isin(element, test_elements, assume_unique, invert, kind=kind)


def _chosen(operation: Any, ar1: Any, ar2: Any, *options: Any) -> Any:
    """What a set operation leaves of two arrays' elements, taken out of them."""
    parts = [ravel(as_array(ar)) for ar in (ar1, ar2)]
    values = [mask_values(part) for part in parts]
    result = operation(*values, *options)
    dtype = np.result_type(*values)
    both = concatenate([cast(part, dtype) for part in parts], 0)
    flat = np.concatenate(values)
    order = np.argsort(flat, kind="stable")
    return cast(both[order[np.searchsorted(flat, result, sorter=order)]], result.dtype)


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """np.union1d."""
    return _chosen(np.union1d, ar1, ar2)


@implements(np.intersect1d)
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """np.intersect1d."""
    y = _chosen(np.intersect1d, ar1, ar2, assume_unique)
    if not return_indices:
        return y
    values = [mask_values(as_array(ar)) for ar in (ar1, ar2)]
    return (y, *_intersection(*values, assume_unique, True)[1:])


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """np.setdiff1d."""
    return _chosen(np.setdiff1d, ar1, ar2, assume_unique)


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """np.setxor1d."""
    return _chosen(np.setxor1d, ar1, ar2, assume_unique)
