from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcgrad import jit
from funcgrad.compiler import scalars
from funcgrad.compiler.dividing import beside, by_turns
from funcgrad.compiler.loops import Apply, Constant

DOUBLE = np.dtype(np.float64)


def applied(*functions: Any, dtype: Any = DOUBLE, cost: float = 4.0) -> list[Apply]:
    return [Apply(function, (Constant(1.0, dtype),), dtype, cost) for function in functions]


def test_one_root_among_cheap_functions_leaves_the_divider() -> None:
    expressions = applied(scalars.sqrt, scalars.divide)
    assert set(beside(expressions, 512)) == {id(expressions[0])}


def test_the_divider_keeps_what_it_has_time_for() -> None:
    assert beside([*applied(scalars.divide), *applied(scalars.add, cost=100.0)], 512) == {}


def test_many_quotients_are_shared_between_divider_and_multipliers() -> None:
    expressions = applied(*[scalars.divide] * 100)
    assert 40 < len(beside(expressions, 512)) < 80


def test_one_root_beside_a_function_is_computed_by_turns() -> None:
    root, other = expressions = applied(scalars.sqrt, scalars.add, cost=16.0)
    assert [set(instead) for instead in by_turns(expressions, 512, 2)] == [{id(root)}, set()]
    assert by_turns([other], 512, 2) == [{}]


def test_vectors_that_gain_nothing_by_turns_are_treated_alike() -> None:
    assert len(by_turns(applied(scalars.sqrt, scalars.add, cost=100.0), 512, 2)) == 1
    assert by_turns(applied(scalars.sqrt), 256, 2) == [{}]


def test_narrow_vectors_and_single_precision_are_divided_by_the_divider() -> None:
    assert beside(applied(scalars.sqrt), 256) == {}
    assert beside(applied(scalars.sqrt, dtype=np.dtype(np.float32)), 512) == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: np.sqrt(x) / y,
        lambda x, y: 1.0 / np.sqrt(x) + y / x + x / y,
        lambda x, y: x / (1.0 + np.sqrt(y * y + x * x)),
        lambda x, y: np.reciprocal(x) * np.reciprocal(y),
        lambda x, y: np.sqrt(x) + ((((x * y + x) * y - x) * y + x) * y + y) * x,
    ],
)
def test_compiled_quotients_and_roots_are_numpys_bit_by_bit(function: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 1e308, 1e-200]
    x, y = np.r_[rng.normal(size=1000), special], np.r_[rng.normal(size=1000), special[::-1]]
    np.testing.assert_array_equal(jit(function, compile="now")(x, y), function(x, y))
