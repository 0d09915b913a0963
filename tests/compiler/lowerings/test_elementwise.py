"""Elementwise primitives at special values, in all dtypes and beside Python's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.primitives import (
    arithmetic,
    comparison,
    exponential,
    masking,
    powers,
    rounding,
    selection,
    special,
    structural,
    trigonometric,
)
from tests.compiler.comparison import assert_ulps, compiled

Function = Callable[..., Any]
DTYPES = [
    np.dtype(name) for name in ("bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64")
]
# These meet in pairs, and Python's numbers.
FEW_DTYPES = [DTYPES[0], DTYPES[1], *DTYPES[5:8]]
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
    values = [special_values(dtype) for dtype in FEW_DTYPES]
    pairs = [(x[:, None], y) for x, y in itertools.permutations(values, 2)]
    assert_all_equal(f, pairs)


@pytest.mark.parametrize("f", BINARY, ids=name_of)
def test_binary_beside_python_numbers_equals_numpy(f: Function) -> None:
    values = [special_values(dtype) for dtype in FEW_DTYPES]
    pairs = list(itertools.product(values, PYTHON_NUMBERS))
    assert_all_equal(f, [*pairs, *[(number, x) for x, number in pairs]])


COMPLEX_FUNCTIONS = [
    arithmetic.add,
    arithmetic.subtract,
    arithmetic.multiply,
    arithmetic.divide,
    comparison.equal,
    comparison.not_equal,
    comparison.logical_and,
]


def complex_values(dtype: Any) -> Any:
    """Zeros of all signs, numbers of all sizes up to those with squares beyond all, and infinite and missing parts."""
    huge = float(np.finfo(dtype).max) * 0.9
    parts = np.array([0.0, -0.0, 1.5, -2.25, 1e15, -3e-15, huge, -huge, np.inf, -np.inf, np.nan])
    z = np.empty((parts.size, parts.size), dtype)
    z.real, z.imag = parts[:, None], parts
    return z.ravel()


def assert_parts_close(f: Function, *args: Any) -> None:
    """Assert that f compiled has the parts of f on NumPy's arrays, to rounding of the larger part."""
    with np.errstate(all="ignore"):
        expected = np.asarray(f(*args))
        program, call = compiled(f, *args)
        (actual,) = call(*args)
    assert not program.fallbacks
    assert actual.dtype == expected.dtype
    if expected.dtype.kind != "c":
        assert_ulps(actual, expected)
        return
    for y, z in ((actual.real, expected.real), (actual.imag, expected.imag)):
        np.testing.assert_array_equal(np.isnan(y), np.isnan(z))
        np.testing.assert_array_equal(np.isposinf(y), np.isposinf(z))
        np.testing.assert_array_equal(np.isneginf(y), np.isneginf(z))
        finite = np.isfinite(z)
        size = np.fmax(np.abs(expected.real), np.abs(expected.imag))[finite]
        size = np.where(np.isfinite(size), size, np.abs(z[finite]))
        assert np.all(np.abs(y[finite] - z[finite]) <= 4 * np.spacing(size))


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
@pytest.mark.parametrize("f", COMPLEX_FUNCTIONS, ids=name_of)
def test_binary_complex_special_values_equal_numpy(f: Function, dtype: Any) -> None:
    z = complex_values(dtype)
    x1, x2 = np.repeat(z, z.size), np.tile(z, z.size)
    assert_parts_close(f, x1, x2)


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
@pytest.mark.parametrize(
    "f",
    [
        arithmetic.negative,
        arithmetic.absolute,
        powers.square,
        powers.reciprocal,
        exponential.exp,
        comparison.isnan,
        comparison.isinf,
        comparison.isfinite,
        comparison.logical_not,
        lambda x: structural.cast(x, np.float64),
        lambda x: masking.select(x.real > 0.0, x, x * 2j),
        lambda x: x.conj().T[::-1].imag,
    ],
    ids=name_of,
)
def test_unary_complex_special_values_equal_numpy(f: Function, dtype: Any) -> None:
    assert_parts_close(f, complex_values(dtype))


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_complex_products_of_huge_parts_are_infinite_where_they_are_for_numpy(dtype: Any) -> None:
    huge = np.array([complex(1, 1), complex(1, -1)], dtype) * (np.finfo(dtype).max * dtype(0.9)).real
    (y,) = compiled(arithmetic.multiply, huge, huge)[1](huge, huge)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(y, huge * huge)


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_exp_of_minus_infinity_is_zero_with_the_sign_of_the_imaginary_part(dtype: Any) -> None:
    z = np.array([complex(-np.inf, np.inf), complex(-np.inf, -np.inf)], dtype)
    (y,) = compiled(exponential.exp, z)[1](z)
    np.testing.assert_array_equal(np.signbit(y.imag), [False, True])
    np.testing.assert_array_equal(np.signbit(y.real), [False, False])
    np.testing.assert_array_equal(y, [0, 0])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64", "bool", "float32"])
@pytest.mark.parametrize("source", ["float64", "float32", "int64", "uint8", "bool"])
def test_cast_any_values_equal_numpy(source: str, dtype: str) -> None:
    values = special_values(np.dtype(source))
    if np.dtype(dtype).kind in "iu" and np.dtype(source).kind == "f":  # infinities are nothing that C defines
        values = np.append(values[np.isfinite(values)], [200.0, -200.0, 1e9, 4e9, 1e10]).astype(source)
    assert_all_equal(lambda x: structural.cast(x, dtype), [(values,)])


def test_clip_and_larger_share_special_values_equal_numpy() -> None:
    x = special_values(np.dtype(np.float64))
    bounds = [(-1.0, 2.0), (0.0, -0.0), (2.0, -1.0), (np.nan, 1.0), (0.0, np.nan)]
    assert_all_equal(selection.clip, [(x, low, high) for low, high in bounds])
    assert_all_equal(selection.clip, [(x[:, None, None], x[:, None], x)])
    assert_all_equal(arithmetic.larger_share, [(np.array([1.0, -2.0]), x[:, None, None], x[:, None])])


@pytest.mark.parametrize("decimals", [0, 1, 3, -1, 25])
def test_round_to_decimals_equals_numpy(decimals: int) -> None:
    x = np.array([0.25, 0.35, -2.5, 1234.5678, np.inf, np.nan, -0.04, 1e300])
    with np.errstate(over="ignore"):
        arrays = [x, x.astype(np.float32), np.arange(-20, 20), np.array([True, False])]
    assert_all_equal(lambda x: rounding.round(x, decimals), [(a,) for a in arrays])


@pytest.mark.parametrize("exponent", [2, 3, 4, 5, 6, 7, 8, 9, 0, 1, -1, -2, 0.5, -0.5, 3.0, 2.5])
def test_pow_by_a_number_equals_numpy(exponent: float) -> None:
    rng = np.random.default_rng(1)
    x = np.append(rng.normal(size=3000) * 10.0 ** rng.integers(-30, 30, 3000), special_values(np.dtype(np.float64)))
    with np.errstate(all="ignore"):
        single = x.astype(np.float32)
    arrays = [x, single, *([np.arange(-30, 30), np.arange(9, dtype=np.uint8)] if exponent >= 0 else [])]
    assert_all_equal(lambda x: x**exponent, [(a,) for a in arrays])
    assert_all_equal(lambda x: powers.power(x, exponent), [(a,) for a in arrays])


def test_integer_to_a_negative_power_is_left_to_numpy() -> None:
    jitted = funcgrad.jit(lambda x, p: x**p, compile="now")
    x, p = np.array([2, 3]), np.array([3, 2])
    for _ in range(2):
        np.testing.assert_array_equal(jitted(x, p), [8, 9])
    with pytest.raises(ValueError, match="negative integer powers"):
        jitted(x, -p)


def test_python_numbers_as_arguments_raise_what_python_raises() -> None:
    jitted = funcgrad.jit(lambda a, b: a / b, compile="now")
    for _ in range(2):
        assert jitted(3.0, 2.0) == 1.5
    with pytest.raises(ZeroDivisionError):
        jitted(3.0, 0.0)
    small = funcgrad.jit(lambda x, n: x + n, compile="now")
    for _ in range(2):
        np.testing.assert_array_equal(small(np.arange(3, dtype=np.int8), 5), [5, 6, 7])
    with pytest.raises(OverflowError):
        small(np.arange(3, dtype=np.int8), 300)


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_complex_sums_and_moves_equal_numpy(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    z = (rng.normal(size=(7, 13)) + 1j * rng.normal(size=(7, 13))).astype(dtype)
    i = np.array([0, -1, 3, 3])

    def f(z: Any, i: Any) -> Any:
        moved = np.concatenate([z[i].T[::-1], np.roll(z, 2, 1)[:4].T * 2.0], 1)
        return z.sum(), z.sum(0), moved, np.exp(1j * z.real).sum(1), np.where(z.imag > 0, z, 0).conj(), abs(z) ** 2

    with np.errstate(all="ignore"):
        expected = f(z, i)
        program, call = compiled(f, z, i)
    assert not program.fallbacks
    for y, x in zip(call(z, i), expected, strict=True):
        assert y.dtype == x.dtype
        tolerance = 50 * np.finfo(dtype).eps
        np.testing.assert_allclose(y, x, rtol=tolerance, atol=tolerance * np.max(np.abs(x)))
