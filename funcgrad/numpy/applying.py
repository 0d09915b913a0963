"""What NumPy itself writes with its other functions: polyval, apply_along_axis, sliding_window_view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import implements


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """np.polyval: Horner's rule, step by step as NumPy."""
    x = as_array(x)
    y = np.zeros_like(x)
    for coefficient in as_array(p):
        y = y * x + coefficient
    return y


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """np.apply_along_axis: one call of a function for each one-dimensional slice."""
    arr = as_array(arr)
    axis = normalize_axis_index(axis, arr.ndim)
    slices = np.moveaxis(arr, axis, -1)
    places = list(np.ndindex(slices.shape[:-1]))
    if not places:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [as_array(func1d(slices[place], *args, **kwargs)) for place in places]
    inner = results[0].shape
    y = np.stack(results).astype(results[0].dtype).reshape(slices.shape[:-1] + inner)
    source = tuple(range(axis, arr.ndim - 1))  # the axes behind the slices': behind the results' again
    return np.moveaxis(y, source, tuple(k + len(inner) for k in source))


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """np.lib.stride_tricks.sliding_window_view: of a traced array it is a copy."""
    x = as_array(x)
    rank = x.ndim
    lengths = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    if any(n < 0 for n in lengths):
        raise ValueError("`window_shape` cannot contain negative values")
    axes = tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank, allow_duplicate=True)
    if len(lengths) != len(axes):
        raise ValueError(
            f"Must provide matching length window_shape and axis; got {len(lengths)} window_shape elements "
            f"and {len(axes)} axes elements."
            if axis is not None
            else "Since axis is `None`, must provide window_shape for all dimensions of `x`; "
            f"got {len(lengths)} window_shape elements and `x.ndim` is {rank}."
        )
    for k, n in zip(axes, lengths, strict=True):
        count = x.shape[k] - n + 1
        if count < 1:
            raise ValueError("window shape cannot be larger than input array shape")
        places = np.arange(count)[:, None] + np.arange(n)
        x = np.moveaxis(x[(*(slice(None),) * k, places)], k + 1, -1)
    return x
