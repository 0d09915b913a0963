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


def apart(*parts: Samples) -> Samples:
    """Pairs of which the sum of exponentials is not so near 1 that its logarithm cancels."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        x, y = mixture(*parts)(rng, n, dtype)
        wide = np.maximum(x, y, dtype=np.float64)
        near_zero = np.abs(np.logaddexp(x, y, dtype=np.float64)) < np.abs(wide) / 8
        near_zero |= np.abs(np.logaddexp2(x, y, dtype=np.float64)) < np.abs(wide) / 8
        return np.where(near_zero, 1, x).astype(dtype), y

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
        samples=apart(numbers(-40, 40, 2), numbers(-5, 5, 2), everything(2), numbers(-760, 760, 2), close, faint),
        timed=numbers(-5, 5, 2),
        numpy=np.logaddexp,
        jax="jax.numpy.logaddexp",
        operands=2,
        precision=1200,
    ),
    Row(
        kernel=logarithm.logaddexp2,
        reference=lambda x, y: max(x, y) + log1p_base_2(mpmath.power(2, max(-abs(x - y), -5000))),
        samples=apart(numbers(-40, 40, 2), numbers(-5, 5, 2), everything(2), numbers(-1100, 1100, 2), close, faint),
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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logaddexp_where_it_cancels_keeps_absolute_precision(dtype: str) -> None:
    x = np.log(np.random.default_rng(0).uniform(0, 1, 2000)).astype(dtype)
    y = np.log1p(-np.exp(x)).astype(dtype)
    with mpmath.workprec(200):
        exact = [float(mpmath.log(mpmath.exp(a) + mpmath.exp(b))) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    error = np.abs(compiled(logarithm.logaddexp, dtype, 2)(x, y) - np.array(exact))
    assert error.max() < np.finfo(dtype).eps / 4
