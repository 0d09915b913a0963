"""NumPy's reductions that pass over NaN, of traced arrays, against NumPy's own."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
NAN = np.nan
NAMES = ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"]


def with_nan(dtype: Any, whole_rows: bool = False) -> Any:
    x = (RNG.permutation(24).reshape(3, 4, 2) / 7 + 0.3).astype(dtype)
    x[0, 1, 0] = x[2, 3, 1] = NAN
    if whole_rows:
        x[:, 1, 0] = x[1, 2] = NAN
    return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NAMES)
def test_nanfunction_any_axes_equals_numpy(name: str, dtype: Any) -> None:
    f = getattr(np, name)
    for axis, keepdims, whole in itertools.product((None, 0, -1, (0, 2)), (False, True), (False, True)):
        assert_values(lambda x: f(x, axis=axis, keepdims=keepdims), with_nan(dtype, whole))


@pytest.mark.parametrize("name", NAMES)
def test_nanfunction_gradient_is_that_of_what_counts(name: str) -> None:
    x = with_nan(np.float64)[0, :, 0]
    for f, plain in ((getattr(np, name), getattr(np, name[3:])),):
        actual = funcgrad.grad(f)(x)
        assert actual[1] == 0.0
        np.testing.assert_allclose(np.delete(actual, 1), funcgrad.grad(plain)(np.delete(x, 1)), rtol=1e-14)
    mask = np.where(np.isnan(with_nan(np.float64)), NAN, 1.0)
    clean = np.nan_to_num(with_nan(np.float64), nan=1.0)

    def masked(x: Any) -> Any:
        return getattr(np, name)(np.where(np.isnan(mask), NAN, x), axis=1)

    assert_derivatives(masked, clean + np.arange(24.0).reshape(3, 4, 2), order=2)


@pytest.mark.parametrize("name", ["nanargmax", "nanargmin"])
def test_nanargument_equals_numpy(name: str) -> None:
    f = getattr(np, name)
    for axis in (None, 0, -1):
        assert_values(lambda x: f(x, axis=axis), with_nan(np.float64))
    with pytest.raises(ValueError, match="All-NaN"):
        funcgrad.vjp(lambda x: f(x, axis=0), with_nan(np.float64, True))


@pytest.mark.parametrize("name", ["nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanmedian"])
def test_nanfunction_of_nan_alone_warns_as_numpy(name: str) -> None:
    f, x = getattr(np, name), np.array([[NAN, NAN], [1.0, 2.0]])
    for g in (lambda x: f(x, axis=1), lambda x: funcgrad.vjp(lambda x: f(x, axis=1), x)[0]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = g(x)
        assert np.isnan(y).tolist() == [True, False]
        assert any("slice" in str(warning.message) for warning in caught)


def test_nanmean_bad_dtype_raises_as_numpy() -> None:
    with pytest.raises(TypeError, match="inexact"):
        funcgrad.vjp(lambda x: np.nanmean(x, dtype=int), np.ones(3))
