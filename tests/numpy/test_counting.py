"""NumPy's counting in bins of traced arrays against NumPy's own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
X = RNG.uniform(-1.0, 4.0, 50)
W = RNG.uniform(0.5, 2.0, 50)
BINS = (4, [0.0, 1.0, 2.0], [-1, 0.5, 1.0, 3.5], "auto")


def test_bincount_in_weights_equals_numpy_and_differentiates() -> None:
    bins = np.array([0, 3, 1, 1, 6])
    for minlength in (0, 3, 10):
        assert_values(lambda w: np.bincount(bins, w, minlength), W[:5])
        assert_derivatives(lambda w: np.bincount(bins, w, minlength), W[:5], order=2)
    assert_values(lambda w: np.bincount(bins, w), W[:5].astype(np.float32))
    assert_values(lambda w: np.bincount(np.empty(0, int), w), np.empty(0))


@pytest.mark.parametrize("bins", [np.zeros((2, 3), int), np.array(3), np.array([1, -2]), np.array([1.5])])
def test_bincount_of_wrong_arrays_raises_as_numpy_does(bins: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as expected:
        np.bincount(bins)
    with pytest.raises(type(expected.value), match=re.escape(str(expected.value))):
        funcgrad.jit(np.bincount)(bins)


def test_bincount_of_places_found_on_the_way_equals_numpy() -> None:
    def f(x: Any) -> Any:
        return np.bincount(np.digitize(x, [0.0, 1.0, 2.0]), x**2)

    np.testing.assert_array_equal(funcgrad.vjp(f, X)[0], f(X))
    assert_derivatives(f, X)
    counts = funcgrad.vmap(lambda w: np.bincount(np.array([0, 1, 1]), w))(W[:6].reshape(2, 3))
    np.testing.assert_array_equal(counts, [np.bincount([0, 1, 1], w) for w in W[:6].reshape(2, 3)])


@pytest.mark.parametrize("bins", BINS, ids=str)
def test_histogram_any_bins_equals_numpy(bins: Any) -> None:
    for density in (False, True):
        for limits in (None, (0.0, 3.0)):
            for f in (
                lambda x: np.histogram(x, bins, limits, density),
                lambda x: np.histogram(x.astype(np.float32), bins, limits, density),
                lambda x: np.histogram_bin_edges(x, bins, limits),
            ):
                for a, b in zip(funcgrad.vjp(f, X)[0], f(X), strict=True):
                    np.testing.assert_array_equal(a, b)
                    assert np.result_type(a) == np.result_type(b)


@pytest.mark.parametrize("bins", BINS[:-1], ids=str)
def test_histogram_in_weights_equals_numpy_and_differentiates(bins: Any) -> None:
    for dtype in (np.float64, np.float32, np.complex128):
        assert_values(lambda x, w: np.histogram(x, bins, weights=w), X, W.astype(dtype))
    assert_derivatives(lambda w: np.histogram(X, bins, weights=w)[0], W)
    assert_derivatives(lambda w: np.histogram(X, bins, weights=w, density=True)[0], W)


def test_histogram_edges_differentiate_in_the_extremes() -> None:
    jacobian = funcgrad.jacobian(lambda x: np.histogram(x, 2)[1])(np.array([0.5, 1.0, 3.0]))
    np.testing.assert_allclose(jacobian, [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]])


def test_histogram_of_equal_elements_equals_numpy() -> None:
    assert_values(lambda x: np.histogram(x, 3), np.ones(4))
    assert_values(lambda x: np.histogram(x, 3), np.empty(0))


BAD_CALLS = [
    lambda x: np.histogram(x, 0),
    lambda x: np.histogram(x, [1.0, 0.0]),
    lambda x: np.histogram(x, [[1.0]]),
    lambda x: np.histogram(x, "guess"),
    lambda x: np.histogram(x, 2, (1.0, 0.0)),
    lambda x: np.histogram(x * np.inf, 2),
    lambda x: np.histogram(x, 2, weights=np.ones(3)),
    lambda x: np.bincount(np.array([-1]), x[:1]),
    lambda x: np.bincount(np.array([1]), x),
    lambda x: np.bincount(np.array([1]), x[:1] * 1j),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_counting_bad_call_raises_as_numpy(call: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        call(X)
    with pytest.raises(expected.type) as actual:
        funcgrad.vjp(call, X)
    assert str(actual.value)[:20] == str(expected.value)[:20]
