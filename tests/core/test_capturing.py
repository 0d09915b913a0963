"""Plain arrays that are written to after they were used: the derivative is right, or an error says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.core.capturing import SMALL
from funcgrad.core.errors import CapturedArrayError

X = np.array([1.0, 2.0, 3.0])


def test_small_buffer_reused_gives_the_right_derivative() -> None:
    def f(x: Any) -> Any:
        buffer = np.ones(3)
        total = 0.0
        for k in range(3):
            total = total + np.sum(x * buffer) + np.sum(np.where(buffer > 2, x, 0.0) * buffer)
            buffer *= k + 2
        buffer[:] = np.nan
        return total

    # buffer: 1, 2, 6
    np.testing.assert_array_equal(funcgrad.grad(f)(X), np.full(3, 1 + 2 + 6 + 6))
    np.testing.assert_array_equal(funcgrad.jvp(f, (X,), (np.ones(3),))[1], 45)
    np.testing.assert_array_equal(funcgrad.linearize(f, X)[1](np.ones(3)), 45)


def test_small_index_array_reused_gives_the_right_derivative() -> None:
    def f(x: Any) -> Any:
        places = np.array([0, 0])
        y = x[places]
        places += 1
        return np.sum(y * x[places])

    np.testing.assert_array_equal(funcgrad.grad(f)(X), [2 * X[1], 2 * X[0], 0])


def test_large_buffer_reused_is_an_error_that_names_the_use() -> None:
    def model(x: Any) -> Any:
        buffer = np.ones(SMALL + 1)
        y = np.sum(x * buffer)
        buffer *= 2.0
        return y

    for transform in (funcgrad.grad(model), lambda x: funcgrad.jvp(model, (x,), (x,))):
        with pytest.raises(CapturedArrayError, match="used an array that was then modified in place") as error:
            transform(2.0)
        assert "(model)" in str(error.value)
        assert "float64[2049]" in str(error.value)
        assert "in model:  y = np.sum(x * buffer)" in str(error.value)
        assert "array.copy()" in str(error.value)


def test_large_arrays_left_alone_are_no_error() -> None:
    for data in (np.ones(SMALL + 1), np.ones((60, 60)).T, np.ones((120, 120))[::2, ::2], np.full(5000, np.nan)):
        assert np.shape(funcgrad.grad(lambda x, data=data: np.sum(x * data))(1.0)) == ()


def test_arrays_are_used_in_place_where_nothing_is_differentiated() -> None:
    weights = np.ones(3)
    f = funcgrad.jit(lambda x: np.sum(x * weights))
    assert f(X) == 6
    weights[:] = 2.0
    assert f(X) == 12


def test_pullback_does_not_see_later_writes_to_arguments_and_results() -> None:
    x = X.copy()
    y, pull = funcgrad.vjp(lambda x: np.exp(x) * x, x)
    expected = pull(np.ones(3))[0]
    x *= 0.0
    y *= 0.0
    np.testing.assert_array_equal(pull(np.ones(3))[0], expected)
    z, pull = funcgrad.vjp(np.exp, X.copy())
    z *= 0.0
    np.testing.assert_array_equal(pull(np.ones(3))[0], np.exp(X))
    x = X.copy()
    z, linear = funcgrad.linearize(np.exp, x)
    z *= 0.0
    np.testing.assert_array_equal(linear(np.ones(3)), np.exp(X))


def test_results_recorded_outside_do_not_see_later_updates() -> None:
    def f(x: Any) -> Any:
        y, pull = funcgrad.vjp(np.exp, x)
        total = np.sum(y)
        y *= 0.0
        return total + np.sum(pull(np.ones(3))[0] * X)

    np.testing.assert_allclose(funcgrad.grad(f)(X), np.exp(X) * (1 + X))
