from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from funcgrad.kernels.math import special
from tests.kernels.math.harness import (
    Row,
    cases,
    check_row,
    check_special,
    everything,
    magnitudes,
    mixture,
    name_of,
    near,
    numbers,
)

INF, NAN = np.inf, np.nan
ROWS = [
    Row(
        kernel=special.erf,
        reference=mpmath.erf,
        samples=mixture(numbers(-6, 6), numbers(-1, 1), magnitudes(1e-6, 6), everything(), near(5.92, 3.9, 0.5)),
        timed=numbers(-3, 3),
        numpy=scipy.special.erf,
        jax="jax.scipy.special.erf",
    ),
    Row(
        kernel=special.erfc,
        reference=lambda x: mpmath.erfc(min(x, 40)),  # mpmath gives up on huge numbers
        samples=mixture(
            numbers(-6, 6), numbers(0, 2), numbers(0, 28), everything(), near(0.81, 26.5, 27.2, 9.2, 10.05)
        ),
        timed=numbers(-3, 3),
        numpy=scipy.special.erfc,
        jax="jax.scipy.special.erfc",
    ),
]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (6.0, 1.0), (-1e30, -1.0)],
    "erfc": [(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (NAN, NAN), (28.0, 0.0), (-6.0, 2.0), (1e-30, 1.0)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
