from __future__ import annotations

import numpy as np
import pytest

from funcgrad.compiler import native
from funcgrad.kernels.math.divider import divided, over_root, rooted
from tests.kernels.math.harness import compiled

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SMALL = [0.0, 5e-324, 2.0**-1022, 2.0**-256, 2.0**-255, 0.1]
CORNERS = np.array([*SMALL, 1 - 2**-53, 1.0, 1 + 2**-52, 3.0, 2.0**256, 2.0**257, 2.0**1023, np.inf, np.nan])


def numbers(rng: np.random.Generator, n: int, exponents: tuple[int, int]) -> np.ndarray:
    """Of both signs; mantissas that are random, short, or nearly full."""
    mantissa = rng.integers(0, 2**52, n)
    short = (mantissa >> 46) << rng.integers(0, 46, n)
    mantissa = np.choose(rng.integers(0, 4, n), [mantissa, short, 2**52 - 1 - short, mantissa >> 46])
    exponent = rng.integers(*exponents, n) + 1023
    return ((exponent << 52) | mantissa).view(np.float64) * rng.choice([-1, 1], n)


def assert_same_bits(got: np.ndarray, wanted: np.ndarray, *xs: np.ndarray) -> None:
    wrong = (got.view(np.int64) != wanted.view(np.int64)) & ~(np.isnan(got) & np.isnan(wanted))
    assert not wrong.any(), [(*(float(x[wrong][0]) for x in xs), got[wrong][0], wanted[wrong][0])]


@pytest.mark.parametrize("exponents", [(-2, 3), (-1022, 1024)])
def test_quotient_is_that_of_the_divider(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y, x2 = numbers(rng, 200_000, exponents), numbers(rng, 200_000, exponents)
    exact = y * x2
    # Quotients next to the middle between two numbers.
    middle = 0.5 * y * x2 + 0.5 * np.nextafter(y, np.inf) * x2
    for x1 in (numbers(rng, 200_000, exponents), exact, middle, np.nextafter(middle, np.inf)):
        assert_same_bits(compiled(divided, np.float64, 2)(x1, x2), x1 / x2, x1, x2)


@pytest.mark.parametrize("exponents", [(-2, 3), (-1022, 1024)])
def test_root_is_that_of_the_divider(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y = np.abs(numbers(rng, 200_000, exponents))
    for x in (y, y * y, y * np.nextafter(y, np.inf), -y):
        for beside in (x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf)):
            assert_same_bits(compiled(rooted, np.float64)(beside), np.sqrt(beside), beside)


def solutions(j: int, power: int) -> list[int]:
    """All m below 2^power for which m (m + 1) + j is a multiple of that, bit by bit."""
    known = [0]
    for bit in range(power):
        known = [m for start in known for m in (start, start | 1 << bit) if (m * (m + 1) + j) % (2 << bit) == 0]
    return known


def test_roots_nearest_to_the_middle_of_two_numbers_are_those_of_the_divider() -> None:
    wholes = {m | 2**52 for j in range(-40, 41) for m in solutions(j, 52)}
    squares = {m * (m + 1) + j for m in wholes for j in range(-40, 41)}
    x = np.array(sorted(float(number) for number in squares if int(float(number)) == number))
    assert x.size > 50
    assert_same_bits(compiled(rooted, np.float64)(x), np.sqrt(x), x)


def test_zeros_infinities_and_subnormal_numbers_beside_others_in_a_vector() -> None:
    x1, x2 = (axis.ravel() for axis in np.meshgrid(np.r_[CORNERS, -CORNERS], np.r_[CORNERS, -CORNERS]))
    assert_same_bits(compiled(divided, np.float64, 2)(x1, x2), x1 / x2, x1, x2)
    assert_same_bits(compiled(rooted, np.float64)(x1), np.sqrt(x1), x1)


@pytest.mark.parametrize("exponents", [(-2, 3), (-1000, 1000)])
def test_quotient_by_a_root_is_within_a_unit_of_the_exact_one(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x1, x2 = numbers(rng, 200_000, exponents), np.abs(numbers(rng, 200_000, exponents))
    got = compiled(over_root, np.float64, 2)(x1, x2)
    exact = x1.astype(np.longdouble) / np.sqrt(x2.astype(np.longdouble))
    known = (np.abs(exact) < 2.0**1023) & (np.abs(exact) > 2.0**-1022)
    most = 0.75 if native.vector_bytes() == 64 else 1.5  # elsewhere the root is rounded first
    assert np.all(np.abs(got - exact)[known] < most * np.spacing(np.abs(got))[known])
    np.testing.assert_array_less(np.abs(got - x1 / np.sqrt(x2))[known], 2.5 * np.spacing(np.abs(got))[known])


def test_quotient_by_a_root_of_corners_among_ordinary_numbers_is_that_of_the_divider() -> None:
    signed = np.concatenate([CORNERS, -CORNERS])
    function = compiled(over_root, np.float64, 2)
    for x1 in signed:
        for x2 in signed:
            a, b = np.full(16, 3.0), np.full(16, 2.0)
            a[5], b[5] = x1, x2
            got, wanted = function(a, b)[5], (a / np.sqrt(b))[5]
            assert np.isnan(wanted) == np.isnan(got)
            assert (
                np.isnan(wanted)
                or (got == wanted and np.signbit(got) == np.signbit(wanted))
                or abs(got - wanted) <= np.spacing(abs(wanted))
            ), (x1, x2, got, wanted)
