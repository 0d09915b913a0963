from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcgrad.kernels.math import floats
from tests.kernels.math.harness import Compiled, compiled

DTYPES = ["float64", "float32"]
WIDTHS = [1, 8]


def numbers(dtype: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Numbers of any bits, and whole numbers and their halves."""
    bits = rng.integers(0, 2**64, n, dtype=np.uint64).astype(dtype.replace("float", "uint")).view(dtype)
    return np.concatenate([np.nan_to_num(bits), rng.integers(-20, 20, n) / 2, rng.uniform(-1e6, 1e6, n)]).astype(dtype)


def corners(dtype: str) -> np.ndarray:
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, 0.1, 0.5, 1, 1.5, 3, 7, 1 / info.eps, info.max, np.inf]
    return np.array([*positive, *(-x for x in positive), np.nan, info.tiny - info.smallest_subnormal], dtype)


def operands(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pairs = [axis.ravel() for axis in np.meshgrid(corners(dtype), corners(dtype))]
    x1, x2 = (np.concatenate([pair, numbers(dtype, rng, 3000)]) for pair in pairs)
    # Multiples, and their neighbours: quotients that round to whole numbers.
    with np.errstate(all="ignore"):
        multiples = (x2 * rng.integers(-1000, 1000, x2.size)).astype(dtype)
        beside = np.nextafter(multiples, rng.choice([-np.inf, np.inf], x2.size).astype(dtype))
    return np.concatenate([x1, multiples, beside]), np.concatenate([x2, x2, x2])


def assert_same_bits(got: np.ndarray, wanted: np.ndarray, *xs: np.ndarray) -> None:
    wrong = (got != wanted) | (np.signbit(got) != np.signbit(wanted))
    wrong &= ~(np.isnan(got) & np.isnan(wanted))
    assert not wrong.any(), [(*(float(x[wrong][0]) for x in xs), got[wrong][0], wanted[wrong][0])]
    assert got.dtype == wanted.dtype


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "nextafter"])
def test_kernel_of_two_numbers_is_numpys_bit_by_bit(name: str, dtype: str, width: int) -> None:
    x1, x2 = operands(dtype)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x1, x2)
    assert_same_bits(compiled(getattr(floats, name), dtype, 2, width)(x1, x2), wanted, x1, x2)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_and_spacing_of_a_number_are_numpys_bit_by_bit(dtype: str, width: int) -> None:
    x = np.concatenate([corners(dtype), numbers(dtype, np.random.default_rng(0), 3000)])
    mantissa, exponent = np.frexp(x)
    with np.errstate(all="ignore"):
        spacing = np.spacing(x)
    assert_same_bits(compiled(floats.mantissa, dtype, 1, width)(x), mantissa, x)
    np.testing.assert_array_equal(compiled(floats.exponent, dtype, 1, width)(x), exponent)
    assert_same_bits(compiled(floats.spacing, dtype, 1, width)(x), spacing, x)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("whole", ["int8", "int32", "int64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ldexp_is_numpys_bit_by_bit(dtype: str, whole: str, width: int) -> None:
    rng, info = np.random.default_rng(0), np.iinfo(whole)
    x = np.concatenate([corners(dtype), numbers(dtype, rng, 3000)])
    limit = min(2200, info.max)
    k = np.concatenate([rng.integers(-limit, limit, x.size - 2), [info.min, info.max]]).astype(whole)
    with np.errstate(all="ignore"):
        wanted = np.ldexp(x, k)
    function: Callable[..., Any] = floats.ldexp
    assert_same_bits(Compiled(function, (dtype, whole), width)(x, k), wanted, x, k)
