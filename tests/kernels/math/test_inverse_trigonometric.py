from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import inverse_trigonometric
from tests.kernels.math.harness import (
    Arrays,
    Row,
    cases,
    check_row,
    check_special,
    compiled,
    everything,
    magnitudes,
    mixture,
    name_of,
    near,
    numbers,
)

INF, NAN = np.inf, np.nan
ENDS = mixture(numbers(-1, 1), magnitudes(1e-12, 1), near(0.5, 0.999999, -0.5, -0.999999, steps=30), magnitudes(0, 1))


def close_pairs(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """Points near the diagonals."""
    x = rng.uniform(-1, 1, n)
    return x.astype(dtype), (x * (1 + rng.uniform(-1, 1, n) * np.exp2(-rng.uniform(0, 50, n)))).astype(dtype)


def row(name: str, **rest: Any) -> Row:
    return Row(
        kernel=getattr(inverse_trigonometric, name),
        reference=getattr(mpmath, name),
        numpy=getattr(np, "arc" + name[1:]),
        jax=f"jax.numpy.arc{name[1:]}",
        **rest,
    )


ROWS = [
    row("asin", samples=ENDS, timed=numbers(-1, 1)),
    row("acos", samples=ENDS, timed=numbers(-1, 1)),
    row(
        "atan",
        samples=mixture(numbers(-1, 1), numbers(-5, 5), magnitudes(1e-9, 1e9), everything(), near(1.0, -1.0)),
        timed=numbers(-5, 5),
    ),
    row(
        "atan2",
        samples=mixture(numbers(-1, 1, 2), magnitudes(1e-5, 1e5, 2), close_pairs, everything(2)),
        timed=numbers(-5, 5, 2),
        operands=2,
        precision=2400,
    ),
]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


H = np.pi / 2
SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "asin": [(0.0, 0.0), (-0.0, -0.0), (1.0, H), (-1.0, -H), (1.0001, NAN), (-INF, NAN), (NAN, NAN), (1e-45, 1e-45)],
    "acos": [(0.0, H), (-0.0, H), (1.0, 0.0), (-1.0, np.pi), (1.0001, NAN), (INF, NAN), (-2.0, NAN), (NAN, NAN)],
    "atan": [(0.0, 0.0), (-0.0, -0.0), (INF, H), (-INF, -H), (NAN, NAN), (1.0, np.pi / 4), (1e-45, 1e-45)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS[:3]), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_atan2_of_zeros_infinities_and_nan_is_numpys(dtype: str, width: int) -> None:
    points = np.array([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e38, -1e38, INF, -INF, NAN], dtype)
    y, x = (axis.ravel() for axis in np.meshgrid(points, points))
    got = compiled(inverse_trigonometric.atan2, dtype, 2, width)(y, x)
    with np.errstate(all="ignore"):
        wanted = np.arctan2(y.astype(np.float64), x.astype(np.float64)).astype(dtype)
    np.testing.assert_array_max_ulp(got[~np.isnan(wanted)], wanted[~np.isnan(wanted)], 1)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(wanted[~np.isnan(got)]))
