"""Sums at repeated indices: what `np.add.at` does, by the fastest way for the index.

np.add.at is fast for one index array into a vector (1 ns an element); for rows, pairs of index arrays and the like
it takes 7-10 ns, bincount of flattened indices 2.5 ns, the kernel 0.3 ns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.kernels.compiling import compiled

# Up to this many elements np.add.at costs less than finding out how to avoid it.
_SMALL = 512
# With more rows than this per element added, clearing them costs more than np.add.at.
_SPARSE = 32
# Seconds that the kernel saves for each element against the flat bincount.
_SAVING = 2e-9
# Dtypes that bincount sums without loss.
_SUMMED = frozenset("dfDF")


@compiled
def add_rows(y: Any, rows: Any, updates: Any) -> Any:
    """y[rows[i], :] += updates[i, :] in order; False, and y unchanged, where a row is out of range."""
    n = y.shape[0]
    for i in range(rows.size):
        if rows[i] >= n or rows[i] < -n:
            return False
    for i in range(rows.size):
        row = rows[i] if rows[i] >= 0 else rows[i] + n
        for j in range(y.shape[1]):
            y[row, j] += updates[i, j]
    return True


def scatter_sum(x: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with x added at an index as `np.add.at` does it.

    Args:
        x: Of exactly the shape that the index selects.
        index: What NumPy is to be given, at least one integer array in it.
        shape: Of the result.

    Returns:
        An array of x's dtype.

    Raises:
        IndexError: as NumPy.
    """
    if x.size > _SMALL and x.dtype.char in _SUMMED and not (len(shape) == len(index) == x.ndim == 1):
        y = _sum_rows(x, index, shape)
        if y is not None:
            return y
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


def _sum_rows(x: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The sum with the index flattened to one array of rows; None where np.add.at is better."""
    axes = len(index) if all(type(entry) is np.ndarray for entry in index) else len(shape)
    count = math.prod(shape[:axes])
    if count > _SPARSE * x.size:
        return None
    rows = index[0] if len(index) == axes == 1 else np.arange(count).reshape(shape[:axes])[index]
    rows = np.ascontiguousarray(rows, np.intp).ravel()
    updates = np.ascontiguousarray(x).reshape(rows.size, -1)
    if add_rows.pays(_SAVING * x.size, updates, rows, updates):
        y = np.zeros((count, updates.shape[1]), x.dtype)
        return y.reshape(shape) if add_rows(y, rows, updates) else None
    if rows.min() < 0:
        rows = np.where(rows < 0, rows + count, rows)
    if rows.min() < 0 or rows.max() >= count:
        return None
    places = (rows[:, None] * updates.shape[1] + np.arange(updates.shape[1])).ravel()
    parts = [updates.real, updates.imag] if x.dtype.kind == "c" else [updates]
    sums = [np.bincount(places, part.ravel(), math.prod(shape)) for part in parts]
    y = sums[0] if len(sums) == 1 else sums[0] + 1j * sums[1]
    return y.astype(x.dtype, copy=False).reshape(shape)
