"""NumPy's set operations of traced arrays against NumPy's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import funcgrad

X = np.array([[3.0, 1.0, 2.0], [1.0, np.nan, 3.0]])
Y = np.array([1.0, 5.0, 3.0])


def test_unique_any_options_equals_numpy() -> None:
    for options in itertools.product((False, True), repeat=3):
        for x in (X, X.astype(np.float32), X.ravel(), np.empty(0)):
            actual, expected = funcgrad.vjp(lambda x: np.unique(x, *options), x)[0], np.unique(x, *options)
            for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (actual, expected)), strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(funcgrad.vjp(lambda x: np.unique(x, axis=0), rows)[0], np.unique(rows, axis=0))


@pytest.mark.parametrize("name", ["unique_values", "unique_counts", "unique_inverse", "unique_all"])
def test_unique_of_the_array_standard_equals_numpy(name: str) -> None:
    f = getattr(np, name)
    actual, expected = funcgrad.vjp(f, X)[0], f(X)
    for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (actual, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_unique_derivative_goes_to_the_first_of_equals() -> None:
    jacobian = funcgrad.jacrev(np.unique)(np.array([2.0, 1.0, 2.0]))
    np.testing.assert_array_equal(jacobian, [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("name", ["union1d", "intersect1d", "setdiff1d", "setxor1d", "isin"])
def test_set_operation_equals_numpy(name: str) -> None:
    f, x = getattr(np, name), np.nan_to_num(X)
    for g in (lambda x, y: f(x, y) * 1.0, lambda x, y: f(x[0], [1.0, 3.0]) * 1.0):
        np.testing.assert_array_equal(funcgrad.vjp(g, x, Y)[0], g(x, Y))
    y, i, j = funcgrad.vjp(lambda x, y: np.intersect1d(x, y, return_indices=True), x, Y)[0]
    np.testing.assert_array_equal([y, x.ravel()[i], Y[j]], [[1.0, 3.0]] * 3)


def test_set_operation_derivative_is_that_of_the_chosen() -> None:
    gradient = funcgrad.grad(lambda x: np.setdiff1d(x, Y).sum())(np.array([1.0, 2.0, 7.0]))
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 1.0])


def test_unique_without_values_raises() -> None:
    with pytest.raises(IndexError, match="vmap"):
        funcgrad.vmap(np.unique)(np.ones((2, 3)))
