from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import logarithm
from tests.kernels.math.harness import (
    Arrays,
    Row,
    Samples,
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
POSITIVE = mixture(
    magnitudes(0, INF, signed=False), numbers(0.5, 2.0), near(1.0, steps=50), magnitudes(1e-3, 1e3, signed=False)
)


def log1p_base_2(x: Any) -> Any:
    return mpmath.log1p(x) / mpmath.ln2


def close(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """Pairs of almost the same numbers."""
    x = everything()(rng, n, dtype)[0]
    return x, (x * (1 + rng.normal(size=n) * 1e-5)).clip(np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)


def faint(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """Zero and negative numbers of which the exponential may be subnormal."""
    return np.zeros(n, dtype), rng.uniform(-1080, 0, n).astype(dtype)


def cancelling(base: float, *distances: float) -> Samples:
    """Logarithms of two numbers whose sum is 1 but for relative distances."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        x = -(np.exp(rng.uniform(-80, 0, n)).astype(dtype))
        y = np.log(-np.expm1(x * np.log(base))) / np.log(base)
        return x, (y * (1 + rng.choice(distances, n) * rng.uniform(0.1, 1, n))).astype(dtype)

    return sample


ROWS = [
    Row(
        kernel=logarithm.log,
        reference=mpmath.log,
        samples=POSITIVE,
        timed=numbers(0, 10),
        numpy=np.log,
        jax="jax.numpy.log",
    ),
    Row(
        kernel=logarithm.log2,
        reference=lambda x: mpmath.log(x) / mpmath.ln2,
        samples=POSITIVE,
        timed=numbers(0, 10),
        numpy=np.log2,
        jax="jax.numpy.log2",
    ),
    Row(
        kernel=logarithm.log10,
        reference=lambda x: mpmath.log(x) / mpmath.ln10,
        samples=POSITIVE,
        timed=numbers(0, 10),
        numpy=np.log10,
        jax="jax.numpy.log10",
    ),
    Row(
        kernel=logarithm.log1p,
        reference=mpmath.log1p,
        samples=mixture(POSITIVE, numbers(-1, 1), magnitudes(0, 1), near(-1.0, -0.29, 0.41, steps=50)),
        timed=numbers(-0.5, 5),
        numpy=np.log1p,
        jax="jax.numpy.log1p",
        precision=1200,
    ),
    Row(
        kernel=logarithm.softplus,
        reference=lambda x: x if x > 2000 else mpmath.log1p(mpmath.exp(x)),
        samples=mixture(numbers(-746, 40), numbers(-104, 20), numbers(-5, 5), everything(), near(-745.1, -708, -40)),
        timed=numbers(-5, 5),
        numpy=lambda x: np.logaddexp(x, 0),
        jax="jax.nn.softplus",
        precision=1200,
    ),
    Row(
        kernel=logarithm.logaddexp,
        reference=lambda x, y: max(x, y) + mpmath.log1p(mpmath.exp(max(-abs(x - y), -5000))),
        samples=mixture(
            numbers(-40, 40, 2),
            numbers(-5, 5, 2),
            everything(2),
            numbers(-760, 760, 2),
            close,
            faint,
            cancelling(np.e, 1e-12, 1e-6, 0.1),
        ),
        timed=numbers(-5, 5, 2),
        numpy=np.logaddexp,
        jax="jax.numpy.logaddexp",
        operands=2,
        precision=1200,
    ),
    Row(
        kernel=logarithm.logaddexp2,
        reference=lambda x, y: max(x, y) + log1p_base_2(mpmath.power(2, max(-abs(x - y), -5000))),
        samples=mixture(
            numbers(-40, 40, 2),
            numbers(-5, 5, 2),
            everything(2),
            numbers(-1100, 1100, 2),
            close,
            faint,
            cancelling(2.0, 1e-12, 1e-6, 0.1),
        ),
        timed=numbers(-5, 5, 2),
        numpy=np.logaddexp2,
        jax="jax.numpy.logaddexp2",
        operands=2,
        precision=1200,
    ),
]
PAIRS = [row for row in ROWS if row.operands == 2]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


POINTS = [(-0.0, -INF), (0.0, -INF), (INF, INF), (-INF, NAN), (-1.0, NAN), (NAN, NAN), (1.0, 0.0)]
SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "log": POINTS,
    "log2": [*POINTS, *((2.0**k, float(k)) for k in range(-126, 128))],
    "log10": [*POINTS, *((10.0**k, float(k)) for k in range(11))],
    "log1p": [(-0.0, -0.0), (0.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, -INF), (-2.0, NAN), (NAN, NAN)],
    "softplus": [(INF, INF), (-INF, 0.0), (NAN, NAN), (1e4, 1e4), (-1e4, 0.0)],
}


@pytest.mark.parametrize(("row", "dtype"), cases([row for row in ROWS if row.operands == 1]), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)


@pytest.mark.parametrize(("row", "dtype"), cases(PAIRS), ids=name_of)
def test_sum_of_exponentials_at_special_points_equals_numpy(row: Row, dtype: str) -> None:
    points = np.array([0.0, -0.0, INF, -INF, NAN, 1e30, -1e30], dtype)
    x, y = (grid.ravel() for grid in np.meshgrid(points, points))
    finite = (x == 0) & (y == 0)
    with np.errstate(invalid="ignore"):
        expected = row.numpy(x, y)
    check_special(row, dtype, (x[~finite], y[~finite]), expected[~finite])


@pytest.mark.parametrize("row", PAIRS, ids=name_of)
def test_sum_of_exponentials_nearest_to_one_keeps_most_digits(row: Row) -> None:
    base = np.e if row.name == "logaddexp" else 2.0
    x, y = cancelling(base, 0.0)(np.random.default_rng(0), 500, np.dtype(np.float64))
    result = compiled(row.kernel, np.float64, 2)(x, y)
    unit = np.maximum(np.abs(result), base**y * 2.0**-50)
    with mpmath.workprec(300):
        exact = [row.reference(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        error = [float(abs(c - d) / u) for c, d, u in zip(exact, result.tolist(), unit.tolist(), strict=True)]
    assert max(error) <= 2 * np.finfo(np.float64).eps
