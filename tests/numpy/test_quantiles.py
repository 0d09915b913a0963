"""NumPy's order statistics of traced arrays against NumPy's own, to the last bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
AXES = (None, 0, -1, (0, 2), (2, 0))
QS = (0.3, 0.0, 1.0, 1, np.float64(0.7), [0.1, 0.5, 0.9], np.array([0.25]), np.float32(0.4))
METHODS = [
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull"),
    *("linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
]


def array(dtype: Any, nans: str = "") -> Any:
    x = (RNG.permutation(24).reshape(3, 4, 2) / 7).astype(dtype)
    if nans:
        x[0, 1, 0] = x[2, 3, 1] = np.nan
    if nans == "rows":
        x[:, 2, 0] = np.nan
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_median_any_axes_equals_numpy_and_differentiates(dtype: Any) -> None:
    # NumPy's sort of half precision makes signalling NaNs, which then warn.
    for axis, keepdims, nans in itertools.product(AXES, (False, True), ("",) if dtype is np.float16 else ("", "some")):
        assert_values(lambda x: np.median(x, axis=axis, keepdims=keepdims), array(dtype, nans))
    if dtype is np.float64:
        for axis in AXES:
            assert_derivatives(lambda x: np.median(x, axis=axis), array(dtype), order=2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_quantile_any_axes_equals_numpy_and_differentiates(dtype: Any) -> None:
    for axis, keepdims, q in itertools.product(AXES, (False, True), QS):
        assert_values(lambda x: np.quantile(x, q, axis=axis, keepdims=keepdims), array(dtype))
        assert_values(lambda x: np.percentile(x, np.multiply(q, 30), axis=axis, keepdims=keepdims), array(dtype))
        if axis is not None:
            assert_values(lambda x: np.quantile(x, q, axis=axis, keepdims=keepdims), array(dtype, "some"))
        if dtype is np.float64 and not keepdims:
            assert_derivatives(lambda x: np.quantile(x, q, axis=axis), array(dtype))


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("nans", ["", "some", "rows"])
@pytest.mark.parametrize("method", METHODS)
def test_quantile_any_method_equals_numpy(method: str, nans: str) -> None:
    for dtype, q in itertools.product((np.float64, np.float32), (0.3, 0.5, [0, 0.1, 0.5, 0.9, 1.0])):
        assert_values(lambda x: np.quantile(x, q, axis=0, method=method), array(dtype, nans))
        assert_values(lambda x: np.nanquantile(x, q, axis=0, method=method), array(dtype, nans))
        if not nans and dtype is np.float64:
            assert_derivatives(lambda x: np.quantile(x, q, axis=0, method=method), array(dtype))


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_nanquantiles_any_axes_equal_numpy() -> None:
    for axis, keepdims, nans in itertools.product(AXES, (False, True), ("", "some", "rows")):
        x = array(np.float64, nans)
        assert_values(lambda x: np.nanmedian(x, axis=axis, keepdims=keepdims), x)
        assert_values(lambda x: np.nanquantile(x, [0.2, 0.7], axis=axis, keepdims=keepdims), x)
        assert_values(lambda x: np.nanpercentile(x, 30.0, axis=axis, keepdims=keepdims), x)


def test_nanquantile_gradient_is_that_of_what_counts() -> None:
    x = array(np.float64, "some")[0, :, 0]
    for f, plain in ((np.nanmedian, np.median), (lambda x: np.nanquantile(x, 0.3), lambda x: np.quantile(x, 0.3))):
        actual = funcgrad.grad(f)(x)
        assert actual[1] == 0.0
        np.testing.assert_allclose(np.delete(actual, 1), funcgrad.grad(plain)(np.delete(x, 1)), rtol=1e-14)


@pytest.mark.parametrize("method", ["linear", "hazen", "weibull", "median_unbiased", "lower", "midpoint"])
def test_quantile_in_q_differentiates(method: str) -> None:
    x, q = array(np.float64), np.array([0.31, 0.73])
    for f in (np.quantile, np.nanquantile):
        assert_values(lambda x, q: f(x, q, axis=1, method=method), x, q)
        assert_derivatives(lambda x, q: f(x, q, axis=1, method=method), x, q)
    assert_values(lambda x, q: np.quantile(x, q), x.astype(np.float32), 0.31)


def test_median_with_ties_gradient_is_shared() -> None:
    assert funcgrad.grad(np.median)(np.array([1.0, 1.0, 0.0, 5.0, 1.0])).tolist() == [1 / 3, 1 / 3, 0, 0, 1 / 3]


def test_quantile_under_vmap_is_the_loop() -> None:
    x = array(np.float64)
    actual = funcgrad.vmap(lambda x, q: np.quantile(x, q, axis=0))(x, np.array([0.2, 0.5, 0.9]))
    np.testing.assert_array_equal(
        actual, [np.quantile(row, q, axis=0) for row, q in zip(x, [0.2, 0.5, 0.9], strict=True)]
    )


BAD_CALLS = [
    lambda x: np.quantile(x, 1.5),
    lambda x: np.percentile(x, -1),
    lambda x: np.quantile(x, [[[0.1], [0.2]]]),
    lambda x: np.quantile(x, 0.5, method="guess"),
    lambda x: np.median(x, axis=3),
    lambda x: np.median(x, axis=(0, 0)),
    lambda x: np.quantile(x * 1j, 0.5),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_quantile_bad_call_raises_as_numpy(call: Any) -> None:
    x = array(np.float64)
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        call(x)
    with pytest.raises(expected.type) as actual:
        funcgrad.vjp(call, x)
    assert str(actual.value)[:30] == str(expected.value)[:30]


def test_quantile_with_weights_raises_with_the_reason() -> None:
    with pytest.raises(TypeError, match="weights"):
        funcgrad.grad(lambda x: np.quantile(x, 0.5, weights=np.ones(3), method="inverted_cdf"))(np.ones(3))
