"""Every NumPy ufunc on traced arguments: the values, dtypes and errors of NumPy, whatever the arguments."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.numpy import protocol

UFUNCS = {ufunc.__name__: ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc) and not ufunc.signature}

_FLOATS = [-1.5, -0.0, 0.0, 0.4, 1.0, 3.0, np.inf, -np.inf, np.nan]
_COMPLEX = [0.5 - 1.5j, 0j, -2.0 + 0.25j, 1j, complex(np.inf, 1.0), complex(np.nan, 0.0)]
OPERANDS: dict[str, Any] = {
    "float64 array": np.array(_FLOATS),
    "float32 column": np.array(_FLOATS, np.float32)[:, None],
    "float16 array": np.array(_FLOATS, np.float16),
    "complex128 column": np.array(_COMPLEX)[:, None],
    "complex64 column": np.array(_COMPLEX, np.complex64)[:, None],
    "int64 column": np.array([-3, 0, 1, 2, 7])[:, None],
    "int8 column": np.array([-3, 0, 1, 2, 7], np.int8)[:, None],
    "bool column": np.array([True, False])[:, None],
    "0-d array": np.array(0.7),
    "float64 scalar": np.float64(-0.7),
    "float32 scalar": np.float32(0.3),
    "complex128 scalar": np.complex128(0.3 - 0.9j),
    "int64 scalar": np.int64(3),
    "Python float": 0.3,
    "Python int": 3,
    "Python complex": 0.2 - 0.6j,
    "Python bool": True,
}
UNARY = [name for name, ufunc in UFUNCS.items() if ufunc.nin == 1]
BINARY = [name for name, ufunc in UFUNCS.items() if ufunc.nin == 2]


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attempt(f: Any, *args: Any) -> Any:
    """The outputs as a tuple, or the class of the error."""
    try:
        y = f(*args)
    except (TypeError, ValueError, ArithmeticError) as error:
        return TypeError if isinstance(error, TypeError) else type(error)
    return y if isinstance(y, tuple) else (y,)


def value(x: Any) -> Any:
    return x.value if type(x) is Tracer else x


def assert_identical(actual: Any, expected: Any, what: str) -> None:
    if isinstance(expected, type):
        assert actual is expected, what
        return
    assert isinstance(actual, tuple), f"{what}: {actual}"
    for a, b in zip(map(value, actual), expected, strict=True):
        assert type(a) is type(b), f"{what}: {type(a)}, not {type(b)}"
        assert a.dtype == b.dtype, f"{what}: {a.dtype}, not {b.dtype}"
        assert a.shape == b.shape, what
        assert a.tobytes() == b.tobytes(), f"{what}: {a}, not {b}"


def assert_types(actual: Any, expected: Any, what: str) -> None:
    if isinstance(expected, type):
        return  # errors may depend on values
    assert isinstance(actual, tuple), f"{what}: {actual}"
    for a, b in zip(actual, expected, strict=True):
        assert get_aval(a) == get_aval(b), f"{what}: {get_aval(a)}, not {get_aval(b)}"


def check(ufunc: Any, names: tuple[str, ...]) -> None:
    xs = [OPERANDS[name] for name in names]
    expected = attempt(ufunc, *xs)
    for traced in itertools.product((True, False), repeat=len(xs)):
        if not any(traced):
            continue
        what = f"{ufunc.__name__}({', '.join(f'{n} (traced)' if t else n for n, t in zip(names, traced, strict=True))})"
        for recording in (Recording("test"), Recording("test", differentiating=True)):
            args = [recording.input(x) if t else x for x, t in zip(xs, traced, strict=True)]
            assert_identical(attempt(ufunc, *args), expected, what)
        abstract = Recording("test", abstract=True)
        args = [abstract.input(x) if t else x for x, t in zip(xs, traced, strict=True)]
        assert_types(attempt(ufunc, *args), expected, what)


@pytest.mark.parametrize("name", UNARY)
def test_unary_ufunc_any_operand_equals_numpy(name: str) -> None:
    for operand in OPERANDS:
        check(UFUNCS[name], (operand,))


@pytest.mark.parametrize("name", BINARY)
def test_binary_ufunc_any_pair_equals_numpy(name: str) -> None:
    for pair in itertools.product(OPERANDS, repeat=2):
        check(UFUNCS[name], pair)


def test_every_ufunc_of_numpy_has_a_rule() -> None:
    known = {ufunc for ufunc in [*protocol.ufunc_primitives, *protocol.functions] if isinstance(ufunc, np.ufunc)}
    assert {ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc)} <= known
