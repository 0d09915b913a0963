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
    magnitudes,
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
    Row(
        kernel=hyperbolic.sinh,
        reference=lambda x: mpmath.sinh(max(-2000, min(x, 2000))),
        samples=mixture(
            numbers(-711, 711), numbers(-90, 90), numbers(-2, 2), everything(), near(0.3466, 1.04, 710.4, 89.4)
        ),
        timed=numbers(-3, 3),
        numpy=np.sinh,
        jax="jax.numpy.sinh",
        precision=1200,
    ),
    Row(
        kernel=hyperbolic.cosh,
        reference=lambda x: mpmath.cosh(max(-2000, min(x, 2000))),
        samples=mixture(
            numbers(-711, 711), numbers(-90, 90), numbers(-2, 2), everything(), near(0.3466, 1.04, 710.4, 89.4)
        ),
        timed=numbers(-3, 3),
        numpy=np.cosh,
        jax="jax.numpy.cosh",
        precision=1200,
    ),
    Row(
        kernel=hyperbolic.asinh,
        reference=lambda x: mpmath.sign(x) * mpmath.asinh(abs(x)),
        samples=mixture(everything(), numbers(-2, 2), magnitudes(1e-3, 1e3)),
        timed=numbers(-3, 3),
        numpy=np.arcsinh,
        jax="jax.numpy.arcsinh",
        precision=1200,
    ),
    Row(
        kernel=hyperbolic.acosh,
        reference=mpmath.acosh,
        samples=mixture(magnitudes(1, INF, signed=False), numbers(1, 4), near(1.0, 1.414, 2.0, steps=52)),
        timed=numbers(1, 5),
        numpy=np.arccosh,
        jax="jax.numpy.arccosh",
    ),
    Row(
        kernel=hyperbolic.atanh,
        reference=lambda x: mpmath.log1p(2 * x / (1 - x)) / 2 if abs(x) < 1 else mpmath.nan,
        samples=mixture(numbers(-1, 1), magnitudes(0, 1), near(1.0, -1.0, steps=51)),
        timed=numbers(-1, 1),
        numpy=np.arctanh,
        jax="jax.numpy.arctanh",
        precision=1200,
    ),
]


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (1e4, 1.0), (-1e4, -1.0)],
    "sinh": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN), (1e4, INF), (-1e4, -INF)],
    "cosh": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, INF), (NAN, NAN), (1e4, INF), (-1e4, INF)],
    "asinh": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "acosh": [(1.0, 0.0), (0.0, NAN), (-1.0, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "atanh": [(0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN), (-2.0, NAN), (INF, NAN), (NAN, NAN)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
