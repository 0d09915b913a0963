"""NumPy's convolve, correlate and unwrap of traced arrays against NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)


def vector(n: int, dtype: Any) -> Any:
    x = RNG.uniform(0.5, 2.0, n)
    return (x + 1j * RNG.uniform(0.5, 2.0, n) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("f", [np.convolve, np.correlate])
def test_sliding_product_any_lengths_equals_numpy_and_differentiates(f: Any, mode: Any, dtype: Any) -> None:
    for n1, n2 in ((5, 3), (3, 5), (4, 2), (2, 4), (4, 4), (50, 7), (1, 3)):
        assert_values(lambda a, v: f(a, v, mode), vector(n1, dtype), vector(n2, dtype))
        assert_values(lambda a: f(a, [1, 2, 3], mode), vector(n1, dtype))
        if dtype is not np.float32 and n1 < 50:
            assert_derivatives(lambda a, v: f(a, v, mode), vector(n1, dtype), vector(n2, dtype), order=1)


def test_convolve_of_a_scalar_equals_numpy() -> None:
    assert_values(lambda a, v: np.convolve(a, v), vector(3, np.float64), 2.0)


def test_unwrap_any_period_equals_numpy_and_differentiates() -> None:
    x = RNG.uniform(0.0, 1.0, (4, 6)) * 20
    for options in ({}, {"axis": 0}, {"period": 3.0}, {"period": 3, "discont": 2.5}, {"discont": 4.0}):
        assert_values(lambda x: np.unwrap(x, **options), x)
        assert_values(lambda x: np.unwrap(x, **options), x.astype(np.float32))
        assert_derivatives(lambda x: np.unwrap(x, **options), x)
    assert_values(lambda x: np.unwrap(x * np.pi), np.array([0.0, 1.0, 2.0, 1.0, -1.0]))
    assert_values(lambda x: np.unwrap(x.astype(int), period=4) * 1.0, np.array([0.0, 3.0, 1.0, 2.0]))


BAD_CALLS = [
    lambda x: np.convolve(x, x[:0]),
    lambda x: np.convolve(x, x, "guess"),
    lambda x: np.convolve(x[None], x),
    lambda x: np.correlate(x, x[:0]),
    lambda x: np.correlate(x, x[0]),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_sliding_product_bad_call_raises_as_numpy(call: Any) -> None:
    with pytest.raises(ValueError) as expected:  # noqa: PT011 (compared below)
        call(np.ones(3))
    with pytest.raises(ValueError) as actual:  # noqa: PT011
        funcgrad.vjp(call, np.ones(3))
    assert str(actual.value) == str(expected.value)
