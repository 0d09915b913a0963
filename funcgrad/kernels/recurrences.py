"""The linear recurrence along an axis, which NumPy has no loop for.

Python's own loop costs 0.1 us for each step of one vector, and NumPy's calls 2.5 us for each step of many side by side;
the kernel takes 2 ns an element.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.kernels.compiling import compiled

# Seconds that the kernel saves in each step: of one vector, and of many.
_SAVING_OF_ONE, _SAVING_OF_MANY = 1e-7, 2.5e-6


@compiled
def recur(x: Any, b: Any, z: Any, reverse: bool) -> None:
    """z[:, 0] = 0, z[:, k+1] = x[:, k] z[:, k] + b[:, k] along the middle axis, or from its end."""
    n = x.shape[1]
    for i in range(x.shape[0]):
        for k in range(n):
            here = n - 1 - k if reverse else k
            before = here + 1 if reverse else here - 1
            for j in range(x.shape[2]):
                z[i, here, j] = 0.0 if k == 0 else x[i, before, j] * z[i, before, j] + b[i, before, j]


def recurrence(x: Any, b: Any, axis: int, reverse: bool) -> Any:
    """z with z[0] = 0, z[k+1] = x[k] z[k] + b[k] along an axis, or from its end."""
    z = np.empty(x.shape, np.result_type(x, b))
    n = x.shape[axis]
    saving = n * (_SAVING_OF_ONE if x.size == n else _SAVING_OF_MANY)
    if z.dtype.char in "fdFD" and recur.pays(saving, z, z, z, reverse):
        shape = (math.prod(x.shape[:axis]), n, math.prod(x.shape[axis + 1 :]))
        x, b = (np.ascontiguousarray(array, z.dtype).reshape(shape) for array in (x, b))
        recur(x, b, z.reshape(shape), reverse)
        return z
    order = slice(None, None, -1 if reverse else 1)
    rows_x, rows_b, rows_z = (np.moveaxis(array, axis, 0)[order] for array in (x, b, z))
    carry: Any = np.zeros(rows_z.shape[1:], z.dtype)
    if x.ndim == 1:
        # Python's own numbers: a NumPy scalar at a time costs ten times as much.
        rows_x, rows_b, carry = rows_x.tolist(), rows_b.tolist(), 0.0
    for k in range(n):
        rows_z[k] = carry
        carry = rows_x[k] * carry + rows_b[k]
    return z
