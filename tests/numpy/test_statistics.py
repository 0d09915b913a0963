"""NumPy's averages, variances and correlations of traced arrays against NumPy's own, to the last bit."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
AXES = (None, 0, -1, (0, 2), (), np.int64(1))
DTYPES = (np.float64, np.float32, np.complex128, np.complex64, np.float16)


def array(dtype: Any, shape: Any = (3, 4, 2)) -> Any:
    x = RNG.uniform(0.5, 2.0, shape)
    return (x + 1j * RNG.uniform(0.5, 2.0, shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_average_any_axes_equals_numpy_and_differentiates(name: str, dtype: Any) -> None:
    f = getattr(np, name)
    for axis, keepdims, shape in itertools.product(AXES, (False, True), ((3, 4, 2), (30, 40, 5))):
        assert_values(lambda x: f(x, axis=axis, keepdims=keepdims), array(dtype, shape))
    where = np.array([[True, False], [True, True], [True, True], [False, True]])
    for axis in (1, None):
        assert_values(lambda x: f(x, axis=axis, where=where), array(dtype))
    if dtype in (np.float64, np.complex128):
        for options in ({"axis": 1}, {}, {"axis": 1, "where": where}):
            assert_derivatives(lambda x: f(x, **options), array(dtype), order=2)


@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_average_in_another_dtype_equals_numpy(name: str) -> None:
    f = getattr(np, name)
    outs = (np.float32, np.float64, np.complex64, *((int,) if name != "std" else ()))
    for dtype, out in itertools.product((np.float64, np.float32, np.float16), outs):
        assert_values(lambda x: f(x, axis=0, dtype=out), array(dtype, (300, 7)))


@pytest.mark.parametrize("name", ["var", "std"])
def test_variance_with_ddof_and_mean_equals_numpy(name: str) -> None:
    f, x = getattr(np, name), array(np.float64)
    for options in ({"ddof": 1}, {"correction": 1}, {"ddof": 0.5}, {"ddof": 1, "axis": 1}):
        assert_values(lambda x: f(x, **options), x)
        assert_derivatives(lambda x: f(x, **options), x)
    assert_values(lambda x: f(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)), x)
    with pytest.raises(ValueError, match="simultaneously"):
        funcgrad.vjp(lambda x: f(x, ddof=1, correction=1), x)


def test_std_of_constant_data_derivatives_are_zero() -> None:
    for f in (np.std, np.nanstd, lambda x: x.std(ddof=1)):
        assert not funcgrad.grad(f)(np.ones(3)).any()
        assert not funcgrad.hessian(f)(np.ones(3)).any()
    rows = np.array([[1.0, 1.0], [0.0, 2.0]])
    np.testing.assert_allclose(funcgrad.grad(lambda x: np.std(x, axis=1).sum())(rows), [[0, 0], [-0.5, 0.5]])


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_average_of_nothing_warns_as_numpy(name: str) -> None:
    f = getattr(np, name)
    for x, axis in ((np.empty(0), None), (np.empty((0, 2)), 0), (np.empty((2, 0)), 1)):
        messages = []
        for call in (lambda: f(x, axis=axis), lambda: funcgrad.vjp(lambda x: f(x, axis=axis), x)[0]):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                y = call()
            messages.append({str(warning.message) for warning in caught})
            assert np.isnan(y).all()
        assert any("slice" in message for message in messages[0])
        assert {m for m in messages[0] if "slice" in m} <= messages[1]


def test_mean_of_a_scalar_has_no_axis() -> None:
    with pytest.raises(np.exceptions.AxisError):
        funcgrad.grad(lambda x: np.mean(x, axis=0))(1.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_average_with_weights_equals_numpy_and_differentiates(dtype: Any) -> None:
    x, order = array(dtype), 1 if dtype is np.float32 else 2
    for axis, shape in ((1, (4,)), ((2, 1), (2, 4)), (None, (3, 4, 2)), (0, (3, 4, 2))):
        for keepdims in (False, True):
            assert_values(lambda x, w: np.average(x, axis=axis, weights=w, keepdims=keepdims), x, array(dtype, shape))
            assert_values(lambda x, w: np.average(x, axis, w, returned=True), x, array(dtype, shape))
        if dtype is not np.float32:
            assert_derivatives(lambda x, w: np.average(x, axis=axis, weights=w), x, array(dtype, shape), order=order)
    assert_values(lambda x: np.average(x, axis=1, returned=True), x)


def test_average_bad_weights_raise_as_numpy() -> None:
    x = array(np.float64)
    for error, weights, axis in ((TypeError, np.ones(3), None), (ValueError, np.ones(3), 1)):
        with pytest.raises(error):
            funcgrad.vjp(lambda x: np.average(x, axis=axis, weights=weights), x)
    with pytest.raises(ZeroDivisionError):
        funcgrad.vjp(lambda x: np.average(x, axis=1, weights=np.array([1, -1, 1, -1])), x)


COVARIANCES = [
    lambda x: np.cov(x),
    lambda x: np.cov(x, rowvar=False),
    lambda x: np.cov(x, bias=True),
    lambda x: np.cov(x, ddof=2),
    lambda x: np.cov(x[0]),
    lambda x: np.cov(x[0], x[1]),
    lambda x: np.cov(x[:1], x[1:]),
    lambda x: np.cov(x, fweights=[1, 2, 1, 3]),
    lambda x: np.cov(x, aweights=[0.1, 0.2, 0.3, 0.4], fweights=[1, 2, 1, 3]),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_cov_any_options_equals_numpy_and_differentiates(covariance: Any, dtype: Any) -> None:
    x = array(dtype, (3, 4))
    assert_values(covariance, x)
    if dtype is np.float64:
        assert_derivatives(covariance, x, order=2)


def test_cov_in_traced_weights_differentiates() -> None:
    assert_derivatives(lambda x, w: np.cov(x, aweights=w), array(np.float64, (3, 4)), np.array([0.1, 0.2, 0.3, 0.4]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_corrcoef_equals_numpy_and_differentiates(dtype: Any) -> None:
    for f in (np.corrcoef, lambda x: np.corrcoef(x, rowvar=False), lambda x: np.corrcoef(x[0], x[1])):
        assert_values(f, array(dtype, (3, 4)))
    if dtype is np.float64:
        assert_derivatives(lambda x: np.corrcoef(x)[0, 1], array(dtype, (3, 4)), order=2)
    assert_values(lambda x: np.corrcoef(x), array(dtype, (4,)))
