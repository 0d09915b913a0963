from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import logarithm
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
POSITIVE = mixture(
    magnitudes(0, INF, signed=False), numbers(0.5, 2.0), near(1.0, steps=50), magnitudes(1e-3, 1e3, signed=False)
)
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
]


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


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)
