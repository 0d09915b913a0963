from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import hyperbolic
from tests.kernels.math.harness import (
    Row,
    cases,
    check_row,
    check_special,
    everything,
    mixture,
    name_of,
    near,
    numbers,
)

INF, NAN = np.inf, np.nan
ROWS = [
    Row(
        kernel=hyperbolic.tanh,
        reference=mpmath.tanh,
        samples=mixture(numbers(-22, 22), numbers(-1, 1), everything(), near(0.1733, 0.52, 19.06, 9.01)),
        timed=numbers(-3, 3),
        numpy=np.tanh,
        jax="jax.numpy.tanh",
        precision=1200,
    ),
]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (1e4, 1.0), (-1e4, -1.0)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
