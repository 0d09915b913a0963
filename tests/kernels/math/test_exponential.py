from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.special import expit

from funcgrad.kernels.math import exponential
from tests.kernels.math.harness import Row, cases, check_row, check_special, everything, mixture, name_of, near, numbers

INF, NAN = np.inf, np.nan
ROWS = [
    Row(
        kernel=exponential.exp,
        reference=mpmath.exp,
        samples=mixture(numbers(-746, 710), numbers(-104, 89), numbers(-1, 1), everything(), near(709.7, -745.1, -708)),
        timed=numbers(-5, 5),
        numpy=np.exp,
        jax="jax.numpy.exp",
    ),
    Row(
        kernel=exponential.exp2,
        reference=lambda x: mpmath.exp(min(x, 2000) * mpmath.ln2),
        samples=mixture(
            numbers(-1076, 1025), numbers(-150, 129), numbers(-1, 1), everything(), near(-1074, -1021, 0.5)
        ),
        timed=numbers(-5, 5),
        numpy=np.exp2,
        jax="jax.numpy.exp2",
    ),
    Row(
        kernel=exponential.expm1,
        reference=mpmath.expm1,
        samples=mixture(
            numbers(-50, 710), numbers(-30, 89), numbers(-2, 2), everything(), near(709.7, 0.3466, -0.3466)
        ),
        timed=numbers(-5, 5),
        numpy=np.expm1,
        jax="jax.numpy.expm1",
        precision=1200,
    ),
    Row(
        kernel=exponential.logistic,
        reference=lambda x: 1 / (1 + mpmath.exp(-x)),
        samples=mixture(numbers(-746, 40), numbers(-104, 20), numbers(-5, 5), everything(), near(-745.1, -708)),
        timed=numbers(-5, 5),
        numpy=expit,
        jax="jax.nn.sigmoid",
    ),
]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (1e4, INF), (-1e4, 0.0)],
    "exp2": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (1e4, INF), (-1e4, 0.0), (-3.0, 0.125)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (NAN, NAN), (1e4, INF), (-1e4, -1.0)],
    "logistic": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN), (1e4, 1.0), (-1e4, 0.0)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
