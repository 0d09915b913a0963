from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.math import trigonometric
from tests.kernels.math.harness import (
    Arrays,
    Compiled,
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

# A double and a float next to a multiple of pi/2, and the ends of the first reduction.
NEIGHBOURS = near(*(np.pi / 2 * np.array([1, 2, 3, 4, 5, 100, 12345, 667543, 2.0**40])), 2.0**20)


def near_quarters(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
    """The numbers nearest to multiples of pi/2 below the end of the first reduction, and their neighbours."""
    exact = rng.integers(1, 667543 if dtype == np.float64 else 41721, n) * (np.longdouble(np.pi) / 2)
    x = exact.astype(dtype)
    return (np.nextafter(x, x.dtype.type(0), where=rng.random(n) < 0.5, out=x.copy()),)


# Where float32 tangents are furthest off, of all up to 2^16, and where they were before what is lost of the reduction
# was multiplied by the derivative.
FURTHEST = near(
    0.7705912590026855, 0.7809837460517883, 2.3676233291625977, 76.16453552246094, 143.74215698242188, steps=4
)

PERIODIC: Samples = mixture(
    numbers(-10, 10),
    magnitudes(1e-3, 1e7),
    everything(),
    magnitudes(2.0**20, INF),
    NEIGHBOURS,
    near_quarters,
    FURTHEST,
)


def rows(precision: int = 1300) -> list[Row]:
    """sin, cos and tan."""
    return [
        Row(
            kernel=getattr(trigonometric, name),
            reference=getattr(mpmath, name),
            samples=PERIODIC,
            timed=numbers(-10, 10),
            numpy=getattr(np, name),
            jax=f"jax.numpy.{name}",
            bound=1.0,
            precision=precision,
        )
        for name in ("sin", "cos", "tan")
    ]


ROWS = rows()


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_against_mpmath_is_within_its_bound(row: Row, dtype: str) -> None:
    check_row(row, dtype)


SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN), (1e-45, 1e-45), (-1e-45, -1e-45)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN), (1e-45, 1.0), (1e-9, 1.0)],
    "tan": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN), (1e-45, 1e-45), (-1e-45, -1e-45)],
}


@pytest.mark.parametrize(("row", "dtype"), cases(ROWS), ids=name_of)
def test_kernel_at_special_points_is_exact(row: Row, dtype: str) -> None:
    *operands, expected = zip(*SPECIAL[row.name], strict=True)
    check_special(row, dtype, operands, expected)


def test_cos_of_the_double_nearest_to_a_zero_of_it_keeps_all_digits() -> None:
    x = np.array([6381956970095103.0 * 2.0**797])
    np.testing.assert_array_equal(compiled(trigonometric.cos, np.float64)(x), [-4.6871659242546277e-19])
    np.testing.assert_array_equal(compiled(trigonometric.sin, np.float64)(x), [1.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sin_and_cos_of_one_number_are_those_of_the_kernels(dtype: str) -> None:
    x = np.concatenate([np.linspace(-10, 10, 1001), [0.0, -0.0, 1e-40, 1e7, 1e30, -1e38, INF, NAN]]).astype(dtype)
    for which, name in enumerate(("sin", "cos")):
        both = Compiled(lambda value, which=which: trigonometric.sin_and_cos(value)[which], (dtype,))
        np.testing.assert_array_equal(both(x), compiled(getattr(trigonometric, name), dtype)(x))
