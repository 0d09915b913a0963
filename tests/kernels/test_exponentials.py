from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from funcgrad.kernels.exponentials import row_exponentials
from funcgrad.primitives import softmax

RNG = np.random.default_rng(0)
INF, NAN = np.inf, np.nan
SPECIAL = np.array(
    [
        [1.0, 2.0, 3.0, -4.0, 0.5],
        [-INF, -INF, -INF, -INF, -INF],
        [INF, 1.0, INF, -INF, 0.0],
        [-INF, 3.0, -INF, 3.0, -900.0],
        [NAN, 1.0, 2.0, INF, 0.0],
        [NAN, -INF, -INF, -INF, -INF],
        [0.0, -40.0, -41.0, -800.0, -50.0],
        [-1e300, 1e300, 0.0, 1.0, 5.0],
    ]
)


def run(x: Any, normalise: bool) -> tuple[Any, Any]:
    """The kernel, compiled, whatever its price."""
    e, y = np.empty_like(x), np.empty(len(x), x.dtype)
    row_exponentials(x, e, y, normalise)
    return e, y


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [1, 3, 4, 7, 33, 64])
def test_row_exponentials_any_width_equals_numpy(width: int, dtype: Any) -> None:
    x = (RNG.normal(size=(40, width)) * 20).astype(dtype)
    tolerance = 8 * np.finfo(dtype).eps
    weights, y = run(x, True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, softmax.logsumexp(wide, (1,)), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(weights, softmax.softmax(wide, (1,)), rtol=tolerance, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_row_exponentials_infinities_and_nan_are_exact(dtype: Any) -> None:
    with np.errstate(over="ignore"):
        x = SPECIAL.astype(dtype)
    tolerance = 4 * np.finfo(dtype).eps
    weights, y = run(x, True)
    np.testing.assert_allclose(y, softmax.logsumexp(x, (1,)), rtol=tolerance, atol=0)
    np.testing.assert_allclose(weights, softmax.softmax(x, (1,)), rtol=tolerance, atol=np.finfo(dtype).tiny)
    assert not np.signbit(weights).any()


def test_row_exponentials_error_is_below_one_unit() -> None:
    x = np.concatenate([[0.0], -np.logspace(-17, np.log10(707.9), 3000)])[None]
    e, _ = run(x, False)
    with mpmath.workdps(30):
        errors = [
            abs(mpmath.mpf(float(value)) - mpmath.exp(mpmath.mpf(float(d)))) / mpmath.mpf(float(np.spacing(value)))
            for value, d in zip(e[0], x[0], strict=True)
        ]
    assert max(errors) <= 1.0


def test_logsumexp_of_many_rows_takes_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(row_exponentials), "pays", lambda self, saving, *args: saving > 0)
    x = RNG.normal(size=(50, 10, 8))
    for keepdims in (False, True):
        expected = np.log(np.sum(np.exp(x), axis=2, keepdims=keepdims))
        np.testing.assert_allclose(softmax.logsumexp(x, (2,), keepdims), expected, rtol=1e-14)
    np.testing.assert_allclose(softmax.softmax(x, (2,)).sum(2), 1.0, rtol=1e-14)
