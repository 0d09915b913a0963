from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.core.primitive import bind
from funcgrad.primitives import cumulative
from funcgrad.primitives.cumulative import runs_p
from tests.compiler.comparison import assert_compiled_equals_eager

SHAPES = [
    ((1,), 0),
    ((7,), 0),
    ((500,), 0),
    ((0,), 0),
    ((3, 0), 1),
    ((5, 40), 1),
    ((40, 5), 0),
    ((9, 12, 3), 1),
    ((9, 12, 8), 1),
]


def numbers(shape: Any, dtype: Any = np.float64, seed: int = 0) -> Any:
    x = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return (3 * x).astype(np.int64).astype(dtype) if np.dtype(dtype).kind in "iub" else x.astype(dtype)


OTHERS = [((9, 12, 3), 1, np.float32), ((70,), 0, np.int8), ((5, 40), 1, np.bool_), ((40, 5), 0, np.int64)]


@pytest.mark.parametrize(("shape", "axis", "dtype"), [*[(*pair, np.float64) for pair in SHAPES], *OTHERS])
def test_running_sums_and_products_equal_numpy(shape: Any, axis: int, dtype: Any) -> None:
    def f(x: Any) -> Any:
        return [
            cumulative.cumsum(x, axis),
            cumulative.cumsum(x, axis, True),
            cumulative.cumprod(x, axis),
            cumulative.cumsum(x + x, axis),
        ]

    assert_compiled_equals_eager(f, numbers(shape, dtype))


@pytest.mark.parametrize(("shape", "axis", "dtype"), [*[(*pair, np.float64) for pair in SHAPES], OTHERS[0]])
def test_recurrences_equal_numpy(shape: Any, axis: int, dtype: Any) -> None:
    def f(x: Any, b: Any) -> Any:
        return [
            cumulative.recurrence(x, b, axis),
            cumulative.recurrence(x, b, axis, True),
            cumulative.exclusive_cumprod(x, axis),
            cumulative.exclusive_cumprod(x, axis, True),
        ]

    assert_compiled_equals_eager(f, numbers(shape, dtype), numbers(shape, dtype, 1))


@pytest.mark.parametrize(
    ("shape", "axis", "dtype"), [*[(*pair, np.float64) for pair in SHAPES], OTHERS[0], OTHERS[1], OTHERS[3]]
)
def test_running_extrema_and_their_runs_equal_numpy(shape: Any, axis: int, dtype: Any) -> None:
    def f(x: Any) -> Any:
        greatest = cumulative.cummax(x, axis)
        runs = bind(runs_p, x, greatest, axis=axis) if np.dtype(dtype).kind == "f" else ()
        return [greatest, cumulative.cummin(x, axis), *runs]

    x = np.round(numbers(shape, dtype))
    assert_compiled_equals_eager(f, x)
    if x.size > 5 and np.dtype(dtype).kind == "f":
        x.flat[x.size // 2] = np.nan
        assert_compiled_equals_eager(f, x)


def test_running_sum_keeps_the_sign_of_zero() -> None:
    for size in (3, 100):
        x = np.full(size, -0.0)
        assert_compiled_equals_eager(lambda x: 1 / cumulative.cumsum(x, 0), x)
