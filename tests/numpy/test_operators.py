"""Python's operators on traced arrays: what Python and NumPy give, for operands of every kind."""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import Recording, Tracer
from tests.numpy.checks import assert_derivatives

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "divmod": divmod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
UNARY = {"-": operator.neg, "+": operator.pos, "abs": abs, "~": operator.invert}
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}

OPERANDS: dict[str, Any] = {
    "float64 array": np.array([-1.5, -0.0, 0.4, 3.0, np.inf, np.nan]),
    "float32 column": np.array([-2.5, 0.0, 1.0], np.float32)[:, None],
    "complex64 column": np.array([0.5 - 1.5j, 1j], np.complex64)[:, None],
    "int64 column": np.array([-3, 0, 2, 7])[:, None],
    "uint8 column": np.array([0, 3, 250], np.uint8)[:, None],
    "bool column": np.array([True, False])[:, None],
    "0-d array": np.array(0.7),
    "float64 scalar": np.float64(-0.7),
    "float32 scalar": np.float32(0.3),
    "int64 scalar": np.int64(3),
    "float": 0.3,
    "int": 3,
    "list": [[0.5], [2.0]],
    "tuple": (1, 2, 3, 4, 5, 6),
    "None": None,
    "str": "a",
}
TRACED = [name for name in OPERANDS if name not in ("list", "tuple", "None", "str")]


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attempt(f: Any, *args: Any) -> Any:
    try:
        y = f(*args)
    except (TypeError, ValueError, ArithmeticError) as error:
        return type(error) if not isinstance(error, TypeError) else TypeError
    return y if isinstance(y, tuple) else (y,)


def assert_identical(actual: Any, expected: Any, what: str, comparison: bool) -> None:
    if isinstance(expected, type):
        assert actual is expected, what
        return
    assert isinstance(actual, tuple), f"{what}: {actual}"
    for a, b in zip(actual, expected, strict=True):
        a = a.value if type(a) is Tracer else a
        if comparison and type(b) is bool:
            b = np.bool_(b)  # which ~ inverts
        assert type(a) is type(b), f"{what}: {type(a)}, not {type(b)}"
        assert get_aval(a) == get_aval(b), what
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), f"{what}: {a}, not {b}"


def is_numpys_own(sign: str, pair: tuple[str, str], traced: tuple[bool, bool]) -> bool:
    """Whether NumPy gets to see a traced operand of the pair as it would see the plain one."""
    scalars = [np.ndim(OPERANDS[name]) == 0 and not isinstance(OPERANDS[name], np.ndarray) for name in pair]
    if {"list", "tuple"} & set(pair) and any(scalars):
        return False  # a traced scalar takes lists for arrays, as arrays do
    if "str" in pair and sign in "*%":
        return False  # which are Python's
    # A NumPy number leaves its `**` to np.power, when it meets a stranger.
    return sign != "**" or traced[0] or not isinstance(OPERANDS[pair[0]], np.generic)


def check(sign: str, pair: tuple[str, str], traced: tuple[bool, bool]) -> None:
    f, xs = BINARY[sign], [OPERANDS[name] for name in pair]
    expected = attempt(f, *xs)
    what = " ".join(f"{name}{' (traced)' * t}" for name, t in zip(pair, traced, strict=True)) + f" {sign}"
    for recording in (Recording("test"), Recording("test", differentiating=True)):
        args = [recording.input(x) if t else x for x, t in zip(xs, traced, strict=True)]
        assert_identical(attempt(f, *args), expected, what, sign in COMPARISONS)
    abstract = Recording("test", abstract=True)
    actual = attempt(f, *[abstract.input(x) if t else x for x, t in zip(xs, traced, strict=True)])
    if isinstance(expected, tuple) and not isinstance(expected[0], complex):
        assert [get_aval(y).shape for y in actual] == [get_aval(y).shape for y in expected], what
        assert [get_aval(y).dtype for y in actual] == [get_aval(y).dtype for y in expected], what


@pytest.mark.parametrize("sign", BINARY)
def test_binary_operator_any_pair_equals_numpy(sign: str) -> None:
    for pair in itertools.product(OPERANDS, repeat=2):
        for traced in itertools.product((True, False), repeat=2):
            known = all(name in TRACED for name, t in zip(pair, traced, strict=True) if t)
            if any(traced) and known and is_numpys_own(sign, pair, traced):
                check(sign, pair, traced)


@pytest.mark.parametrize("sign", UNARY)
@pytest.mark.parametrize("name", TRACED)
def test_unary_operator_any_operand_equals_numpy(sign: str, name: str) -> None:
    expected = attempt(UNARY[sign], OPERANDS[name])
    for recording in (Recording("test"), Recording("test", differentiating=True)):
        assert_identical(attempt(UNARY[sign], recording.input(OPERANDS[name])), expected, f"{sign} {name}", False)


def test_every_operator_differentiates() -> None:
    x, y = np.array([0.3, 1.7, 2.2]), np.array([1.1, 0.4, 0.9])
    for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.mod, operator.pow):
        assert_derivatives(f, x, y, order=2)
    assert_derivatives(lambda x, y: (-x + +y) * abs(x - 1.0), x, y, order=2)
    assert_derivatives(lambda x: [1.0, 2.0, 3.0] * x + (x % 0.25) ** [2, 1, 3] - np.float64(2.0) / x, x, order=2)


def test_operator_with_tracers_in_a_list_differentiates() -> None:
    gradient = funcgrad.grad(lambda x: (x * [x[0], 1.0, x[2]]).sum())(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(gradient, [2.0, 1.0, 6.0])


def test_scalar_of_python_stays_weak() -> None:
    single = np.ones(3, np.float32)

    def f(x: Any) -> Any:
        y = (x * 2 + 1) ** 2 / 3 * single
        assert y.dtype == np.float32
        assert np.multiply(x, 2).dtype == np.float64
        assert (np.multiply(x, 2) * single).dtype == np.float64
        return y.sum()

    assert type(funcgrad.grad(f)(3.0)) is np.float64
    funcgrad.jit(f)(3.0)


def test_unknown_operand_is_left_to_it() -> None:
    class Unit:
        def __rmul__(self, x: Any) -> str:
            return "with unit"

        def __eq__(self, x: object) -> bool:
            return isinstance(x, Tracer)

        __hash__ = None  # type: ignore[assignment]

    x = Recording("test").input(np.ones(2))
    assert x * Unit() == "with unit"
    assert (x == Unit()) is True
    for wrong in (Fraction(1, 2), {}, object()):
        with pytest.raises(TypeError, match="unsupported operand"):
            x + wrong


def test_contains_asks_for_equality() -> None:
    x = Recording("test").input(np.array([1.0, 2.0]))
    assert 2.0 in x
    assert 3.0 not in x


def test_inplace_operators_on_a_name_differentiate() -> None:
    def f(x: Any) -> Any:
        y = x
        y = y * 2.0
        y += x
        y **= 2
        y /= 3
        y -= 1
        return y.sum()

    np.testing.assert_allclose(funcgrad.grad(f)(np.array([1.0, 2.0])), 6 * np.array([1.0, 2.0]))


# To integers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [2.6, np.float64(2.5), np.float64(-3.5)])
def test_rounding_to_an_integer_of_a_scalar_equals_python(x: Any) -> None:
    def f(x: Any) -> Any:
        assert (round(x), math.floor(x), math.ceil(x), math.trunc(x)) == expected
        assert all(type(n) is int for n in (round(x), math.floor(x), math.ceil(x), math.trunc(x)))
        assert type(round(x, 1)) is not Tracer
        assert round(x, 1) == rounded
        return x * round(x) + math.floor(x)

    expected, rounded = (round(x), math.floor(x), math.ceil(x), math.trunc(x)), round(x, 1)
    assert funcgrad.grad(f)(x) == round(x)


def test_rounding_of_an_array_raises_as_numpy() -> None:
    with pytest.raises(TypeError, match="doesn't define __round__ method"):
        round(Recording("test").input(np.ones(2)))


def test_hash_and_truth_of_an_array_raise_as_numpy() -> None:
    x = Recording("test").input(np.ones(2))
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    with pytest.raises(ValueError, match="truth value of an array"):
        bool(x == x)
