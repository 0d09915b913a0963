from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import powers
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
    numbers,
)

INF, NAN = np.inf, np.nan


def results(low: float, high: float, width: float = INF) -> Any:
    """x of any magnitude and y so that log2 of x^y is within limits."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        info = np.finfo(dtype)
        least = max(np.log2(float(info.smallest_subnormal)), -width)
        x = np.exp2(rng.uniform(least, min(float(info.maxexp), width), n)).clip(0, float(info.max)).astype(dtype)
        x = np.where(x == 0, info.smallest_subnormal, x).astype(dtype)
        with np.errstate(divide="ignore", over="ignore"):
            y = (rng.uniform(low, high, n) / np.log2(x.astype(np.longdouble))).astype(dtype)
        return x, np.where(np.isfinite(y), y, 1).astype(dtype)

    return sample


def integers(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """Any x, and small whole and half y."""
    x = everything()(rng, n, dtype)[0]
    x = np.where(rng.random(n) < 0.5, x, rng.integers(-30, 30, n)).astype(dtype)
    return x, (rng.integers(-40, 40, n) / rng.choice([1, 1, 2], n)).astype(dtype)


def power(x: Any, y: Any) -> Any:
    """x^y of finite numbers, as C99 has it."""
    if y == 0 or x == 1:
        return mpmath.mpf(1)
    if x == 0:
        return mpmath.inf if y < 0 else mpmath.mpf(0)
    if x < 0 and y != mpmath.floor(y):
        return mpmath.nan
    size = mpmath.exp(min(y * mpmath.log(abs(x)), mpmath.mpf(2000)))
    return -size if x < 0 and mpmath.fmod(y, 2) else size


ROWS = [
    Row(
        kernel=powers.pow,
        reference=power,
        samples=mixture(
            results(-1075, 1025),
            results(-150, 129),
            results(-1075, 1025, 1.0),
            results(-150, 128, 0.001),
            integers,
            everything(2),
            numbers(0, 10, 2),
        ),
        timed=numbers(0.1, 5, 2),
        numpy=np.power,
        jax="jax.numpy.power",
        bound=4.0,
        operands=2,
        precision=320,
    ),
    Row(
        kernel=powers.hypot,
        reference=mpmath.hypot,
        samples=mixture(
            everything(2), numbers(-10, 10, 2), magnitudes(1e-160, 1e-150, 2), magnitudes(1e-320, 1e-300, 2)
        ),
        timed=numbers(-5, 5, 2),
        numpy=np.hypot,
        jax="jax.numpy.hypot",
        operands=2,
        precision=5000,
    ),
    Row(
        kernel=powers.cbrt,
        reference=lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
        samples=mixture(everything(), numbers(-10, 10)),
        timed=numbers(-10, 10),
        numpy=np.cbrt,
        jax="jax.numpy.cbrt",
    ),
]
PAIRS = [row for row in ROWS if row.operands == 2]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


POINTS = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, 2.5, INF, -INF, NAN])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", PAIRS, ids=name_of)
def test_kernel_at_special_points_equals_numpy(row: Row, dtype: str) -> None:
    x, y = (points.ravel().astype(dtype) for points in np.meshgrid(POINTS, POINTS))
    with np.errstate(all="ignore"):
        expected = row.numpy(x, y)
    special = ~np.isfinite(expected) | (expected == 0) | (expected == np.rint(expected)) & (np.abs(expected) < 100)
    check_special(row, dtype, (x[special], y[special]), expected[special])


def test_pow_of_whole_numbers_is_exact() -> None:
    x, y = np.meshgrid(np.arange(-20.0, 21.0), np.arange(0.0, 12.0))
    np.testing.assert_array_equal(compiled(powers.pow, "float64", 2)(x, y), x**y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cbrt_at_special_points_is_exact(dtype: str) -> None:
    x = [0.0, -0.0, 1.0, -1.0, 8.0, -27.0, 1e3, INF, -INF, NAN]
    row = next(row for row in ROWS if row.name == "cbrt")
    check_special(row, dtype, (x,), [0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 10.0, INF, -INF, NAN])
