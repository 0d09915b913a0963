"""logsumexp and softmax of short rows in one pass.

NumPy reduces rows of a few elements at 5 ns an element. Measured per element, float64: 100000 rows of 10 in 11.4 ns by
NumPy and 5.3 ns here; 10000 of 100 in 3.0 and 2.7 ns, so that longer rows are left to NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.kernels.compiling import compiled

# With fewer elements NumPy's calls cost no more than finding out.
LARGE = 2048
_LONG_ROW = 64
# Seconds that the kernel saves for each element.
_SAVING = 5e-9


@compiled
def row_exponentials(x: Any, e: Any, y: Any, normalise: bool) -> None:
    """For each row of x: e = exp(x - max(x)), or the softmax if `normalise`; y = logsumexp(x).

    exp is that of Cody and Waite: x = k log 2 + r, a Taylor polynomial in r, and k put into the exponent; below 1 ulp
    of exp(x - max(x)), and 0 below 1e-307. LLVM vectorises it, unlike a call of the mathematics library.

    Args:
        x: The rows.
        e: As many rows, or one that each row of x overwrites.
        y: A vector.
        normalise: Whether to divide each row of e by its sum.
    """
    n = x.shape[1]
    for i in range(x.shape[0]):
        row = min(i, e.shape[0] - 1)
        a0 = a1 = a2 = a3 = -np.inf
        for j in range(0, n - 3, 4):
            a0 = x[i, j] if x[i, j] > a0 else a0
            a1 = x[i, j + 1] if x[i, j + 1] > a1 else a1
            a2 = x[i, j + 2] if x[i, j + 2] > a2 else a2
            a3 = x[i, j + 3] if x[i, j + 3] > a3 else a3
        for j in range(n - n % 4, n):
            a0 = x[i, j] if x[i, j] > a0 else a0
        top = max(max(a0, a1), max(a2, a3))
        if math.isinf(top):
            # Minus infinities (and NaN) alone weigh nothing; plus infinities share.
            for j in range(n):
                e[row, j] = x[i, j] if x[i, j] != x[i, j] else (1.0 if x[i, j] == np.inf else 0.0)
        else:
            for j in range(n):
                d: Any = np.float64(x[i, j]) - top
                d = -708.0 if d < -708.0 else d
                k = np.floor(d * 1.4426950408889634 + 0.5)
                r = (d - k * 0.6931471803691238) - k * 1.9082149292705877e-10
                p = 1.0 / 6227020800.0
                p = p * r + 1.0 / 479001600.0
                p = p * r + 1.0 / 39916800.0
                p = p * r + 1.0 / 3628800.0
                p = p * r + 1.0 / 362880.0
                p = p * r + 1.0 / 40320.0
                p = p * r + 1.0 / 5040.0
                p = p * r + 1.0 / 720.0
                p = p * r + 1.0 / 120.0
                p = p * r + 1.0 / 24.0
                p = p * r + 1.0 / 6.0
                p = p * r + 0.5
                p = (p * r) * r + r + 1.0
                # NaN arrives in the sum, below -708 is 0.
                e[row, j] = p * np.int64((np.int64(k) + 1023) << 52).view(np.float64) if d > -708.0 else d + 708.0
        s0 = s1 = s2 = s3 = 0.0
        for j in range(0, n - 3, 4):
            s0 += e[row, j]
            s1 += e[row, j + 1]
            s2 += e[row, j + 2]
            s3 += e[row, j + 3]
        for j in range(n - n % 4, n):
            s0 += e[row, j]
        total = (s0 + s1) + (s2 + s3)
        z = math.log(total) + top if total > 0.0 else top + total
        if abs(z) < 0.1:
            # The greatest terms are 1 each: the others are summed without them, so that log1p sees them fully.
            others, count = 0.0, 0.0
            for j in range(n):
                if e[row, j] == 1.0:
                    count += 1.0
                else:
                    others += e[row, j]
            z = math.log1p(others / count) + math.log(count) + top
        y[i] = z
        if normalise:
            scale = 1.0 if total == 0.0 else total
            for j in range(n):
                e[row, j] = e[row, j] / scale


def _fits(x: Any) -> bool:
    """Whether the kernel takes rows like these, and pays."""
    if x.size < LARGE or x.ndim < 2 or x.shape[-1] >= _LONG_ROW or x.dtype.char not in "fd":
        return False
    return x.flags.c_contiguous and x.dtype.isnative and row_exponentials.pays(x.size * _SAVING, x, x, x, True)


def logsumexp_rows(x: Any) -> Any:
    """log(sum(exp(x))) along the last axis; None where NumPy does as well."""
    if not _fits(x):
        return None
    y = np.empty(x.shape[:-1], x.dtype)
    row_exponentials(x.reshape(-1, x.shape[-1]), np.empty((1, x.shape[-1]), x.dtype), y.reshape(-1), False)
    return y


def softmax_rows(x: Any) -> Any:
    """exp(x) over its sum along the last axis; None where NumPy does as well."""
    if not _fits(x):
        return None
    y = np.empty(x.shape, x.dtype)
    rows = (-1, x.shape[-1])
    row_exponentials(x.reshape(rows), y.reshape(rows), np.empty(x.size // x.shape[-1], x.dtype), True)
    return y
