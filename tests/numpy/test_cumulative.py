"""NumPy's running sums, products and extrema of traced arrays against NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)


def array(dtype: Any) -> Any:
    x = RNG.permutation(24).reshape(3, 4, 2) / 12 + 0.3
    return (x + 1j * x[::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumsum", "nancumprod"])
def test_running_any_axis_equals_numpy_and_differentiates(name: str, dtype: Any) -> None:
    f, x = getattr(np, name), array(dtype)
    for axis in (None, 0, 1, -1, np.int64(2)):
        assert_values(lambda x: f(x, axis=axis), x)
        assert_values(lambda x: f(x, axis=axis, dtype=np.complex64), x)
    assert_values(lambda x: f(x), x[0, 0, 0])
    assert_values(lambda x: f(x, 0), np.empty((0, 2), dtype))
    if dtype is not np.float32:
        assert_derivatives(lambda x: f(x, axis=1), x, order=2 if dtype is np.float64 else 1)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_cumulative_with_initial_equals_numpy_and_differentiates(name: str) -> None:
    f, x = getattr(np, name), array(np.float64)
    for axis in (0, -1):
        for include in (False, True):
            assert_values(lambda x: f(x, axis=axis, include_initial=include), x)
    assert_values(lambda x: f(x, include_initial=True), x[0, :, 0])
    assert_derivatives(lambda x: f(x, axis=-1, include_initial=True), x, order=2)
    with pytest.raises(ValueError, match="axis"):
        funcgrad.vjp(f, x)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum"])
def test_ufunc_accumulate_any_axis_equals_numpy_and_differentiates(name: str) -> None:
    ufunc, x = getattr(np, name), array(np.float64)
    for axis in (0, 1, -1):
        assert_values(lambda x: ufunc.accumulate(x, axis), x)
        assert_derivatives(lambda x: ufunc.accumulate(x, axis), x, order=2)
    with pytest.raises(TypeError, match="cannot accumulate on a scalar"):
        funcgrad.vjp(ufunc.accumulate, 1.0)


@pytest.mark.parametrize("axis", [3, -4, 1.0, (0,)], ids=str)
def test_cumsum_bad_axis_raises_as_numpy(axis: Any) -> None:
    x = array(np.float64)
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        np.cumsum(x, axis=axis)
    with pytest.raises(expected.type) as actual:
        funcgrad.vjp(lambda x: np.cumsum(x, axis=axis), x)
    assert str(actual.value) == str(expected.value)


def test_cumsum_of_small_integers_in_a_small_dtype_wraps_as_numpy() -> None:
    x = np.array([100.0, 100.0, 100.0])
    assert_values(lambda x: np.cumsum(x, dtype=np.int8) * 1.0, x)
    assert_values(lambda x: np.cumsum(x.astype(np.int8)) * 1.0, x)
