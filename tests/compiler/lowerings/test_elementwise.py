"""Elementwise primitives at special values, in all dtypes and beside Python's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcgrad.primitives import (
    arithmetic,
    comparison,
    exponential,
    powers,
    rounding,
    special,
    trigonometric,
)
from tests.compiler.comparison import assert_ulps, compiled

Function = Callable[..., Any]
DTYPES = [
    np.dtype(name) for name in ("bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64")
]
PYTHON_NUMBERS = [True, 3, 0, 2.5, -0.0]

_UNARY = {
    room: [getattr(room, name) for name in names.split()]
    for room, names in {
        arithmetic: "negative positive sign absolute abs fabs",
        powers: "square sqrt cbrt reciprocal",
        comparison: "logical_not isnan isinf isfinite signbit invert bitwise_count",
        rounding: "floor ceil trunc rint round spacing mantissa exponent fraction",
        exponential: "exp exp2 expm1 log log2 log10 log1p",
        trigonometric: "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh deg2rad rad2deg",
        special: "logistic softplus erf erfc sinc",
    }.items()
}
_BINARY = {
    room: [getattr(room, name) for name in names.split()]
    for room, names in {
        arithmetic: "add subtract multiply divide floor_divide remainder fmod copysign heaviside maximum minimum fmax "
        "fmin",
        powers: "pow power float_power",
        comparison: "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor "
        "bitwise_and bitwise_or bitwise_xor left_shift right_shift gcd lcm",
        rounding: "nextafter ldexp",
        exponential: "logaddexp logaddexp2 logaddexp_share",
        trigonometric: "arctan2 hypot",
    }.items()
}

UNARY = list(itertools.chain(*_UNARY.values()))
BINARY = list(itertools.chain(*_BINARY.values()))


def name_of(f: Any) -> str:
    return str(f.__name__)


def special_values(dtype: np.dtype[Any]) -> Any:
    """Zeros, ones, limits and what is between, more than fills a vector."""
    if dtype.kind == "b":
        return np.array([False, True, True])
    if dtype.kind == "f":
        info = np.finfo(dtype)
        values = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.7, np.inf, -np.inf, np.nan, info.tiny, -info.max, 1e-3, 77.0]
        return np.array([*values, float(info.smallest_subnormal)], dtype)
    info_i = np.iinfo(dtype)
    values = [0, 1, 2, 3, 7, info_i.max, info_i.max - 1, info_i.min, info_i.min + 1]
    return np.array([*values, *([-1, -2, -9] if dtype.kind == "i" else [9, 64])], dtype)


def works(f: Function, *args: Any) -> bool:
    """Whether NumPy has a loop for these types, and no objection to the values."""
    try:
        with np.errstate(all="ignore"):
            f(*args)
    except (TypeError, OverflowError, ValueError, ZeroDivisionError):
        return False
    return True


def assert_all_equal(f: Function, cases: list[tuple[Any, ...]]) -> None:
    """Assert that f compiled is f on NumPy's arrays; arguments that are not arrays are literals of the program."""
    cases = [case for case in cases if works(f, *case)]
    assert cases
    arrays = [x for case in cases for x in case if isinstance(x, np.ndarray)]

    def together(*xs: Any) -> list[Any]:
        remaining = iter(xs)
        return [f(*[next(remaining) if isinstance(x, np.ndarray) else x for x in case]) for case in cases]

    with np.errstate(all="ignore"):
        expected = together(*arrays)
        _, call = compiled(together, *arrays)
        actual = call(*arrays)
    for case, y, z in zip(cases, actual, expected, strict=True):
        kinds = [getattr(x, "dtype", x) for x in case]
        assert np.shape(y) == np.shape(z), kinds
        assert np.result_type(y) == np.result_type(z), kinds
        try:
            # Which of two zeros fmax gives depends on how far NumPy's vectors reach.
            assert_ulps(y + 0.0, z + 0.0) if f in (arithmetic.fmax, arithmetic.fmin) else assert_ulps(y, z)
        except AssertionError as error:
            raise AssertionError(f"{kinds}: {error}") from error


@pytest.mark.parametrize("f", UNARY, ids=name_of)
def test_unary_special_values_equal_numpy(f: Function) -> None:
    assert_all_equal(f, [(special_values(dtype),) for dtype in DTYPES])


@pytest.mark.parametrize("f", BINARY, ids=name_of)
def test_binary_special_values_of_one_dtype_equal_numpy(f: Function) -> None:
    values = [special_values(dtype) for dtype in DTYPES]
    if f in (powers.pow, powers.power):
        values = [x if x.dtype.kind == "f" else np.abs(x) for x in values]
    assert_all_equal(f, [(x[:, None], x) for x in values])


@pytest.mark.parametrize("f", BINARY, ids=name_of)
def test_binary_mixed_dtypes_equal_numpy(f: Function) -> None:
    values = [special_values(dtype) for dtype in DTYPES]
    pairs = [(x[:, None], y) for x, y in itertools.permutations(values, 2)]
    assert_all_equal(f, pairs)


@pytest.mark.parametrize("f", BINARY, ids=name_of)
def test_binary_beside_python_numbers_equals_numpy(f: Function) -> None:
    values = [special_values(dtype) for dtype in DTYPES]
    pairs = list(itertools.product(values, PYTHON_NUMBERS))
    assert_all_equal(f, [*pairs, *[(number, x) for x, number in pairs]])
