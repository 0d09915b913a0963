from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from funcgrad.kernels.math import gamma
from tests.kernels.math.harness import (
    Arrays,
    Row,
    cases,
    check_row,
    check_special,
    compiled,
    magnitudes,
    mixture,
    name_of,
    near,
    numbers,
)

INF, NAN = np.inf, np.nan

# The zeros of lgamma and digamma, as far as these are exact.
LGAMMA_ZEROS = (
    -2.457024738220801,
    -2.747682646727413,
    -3.143580888349980,
    -3.955294284858598,
    -4.039361839740537,
    1,
    2,
)
DIGAMMA_ZEROS = (1.4616321449683622, -0.504083008264455, -1.573498473162390, -2.610720868444144, -10.702725524264)


def near_poles(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """Neighbours of negative integers."""
    distance = np.exp2(-rng.uniform(1, 45, n)) * rng.choice([-1, 1], n)
    x = (distance - rng.integers(1, 20, n)).astype(dtype)
    return (np.where(x == np.rint(x), dtype.type(0.3), x),)


def lgamma_reference(x: Any) -> Any:
    if x <= 0 and x == mpmath.floor(x):
        return mpmath.inf
    if x > 0:
        return mpmath.loggamma(x)
    return mpmath.log(mpmath.pi / abs(mpmath.sinpi(x))) - mpmath.loggamma(1 - x)


def digamma_reference(x: Any) -> Any:
    if x == 0:
        return -mpmath.inf
    return mpmath.nan if x < 0 and x == mpmath.floor(x) else mpmath.digamma(x)


ROWS = [
    Row(
        kernel=gamma.lgamma,
        reference=lgamma_reference,
        samples=mixture(
            numbers(0, 3), numbers(0, 30), magnitudes(1e-300, 1e300), near(*LGAMMA_ZEROS), numbers(-25, 0), near_poles
        ),
        timed=numbers(0.1, 20),
        numpy=scipy.special.gammaln,
        jax="jax.scipy.special.gammaln",
        bound=4.0,
    ),
    Row(
        kernel=gamma.digamma,
        reference=digamma_reference,
        samples=mixture(
            numbers(0, 3), numbers(0, 30), magnitudes(1e-30, 1e300, signed=False), near(*DIGAMMA_ZEROS, steps=45),
            numbers(-20.5, 0), near_poles,
        ),
        timed=numbers(0.1, 20),
        numpy=scipy.special.digamma,
        jax="jax.scipy.special.digamma",
        bound=4.0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


def test_digamma_below_the_last_exact_zero_is_exact_beside_its_terms() -> None:
    rng = np.random.default_rng(0)
    x = -np.concatenate([rng.uniform(20.5, 60, 1000), np.exp(rng.uniform(3, 25, 1000))])
    y = compiled(gamma.digamma, np.float64)(x)
    with mpmath.workprec(200):
        exact = [mpmath.digamma(mpmath.mpf(value)) for value in x.tolist()]
        errors = np.array([float(abs(got - want)) for got, want in zip(y.tolist(), exact, strict=True)])
    assert (errors <= 2.0**-53 * (np.abs(y) + np.log(-x))).all()


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "lgamma": [
        (0.0, INF), (-0.0, INF), (1.0, 0.0), (2.0, 0.0), (-1.0, INF), (-30.0, INF), (-1e30, INF),
        (INF, INF), (-INF, INF), (NAN, NAN),
    ],
    "digamma": [(0.0, -INF), (-0.0, INF), (-1.0, NAN), (-30.0, NAN), (-1e30, NAN), (INF, INF), (NAN, NAN)],
}  # fmt: skip


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
