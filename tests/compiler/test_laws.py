"""Every row of the spec table, compiled: NumPy's dtypes, shapes and values."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

import funcgrad.primitives
from funcgrad.core.primitive import Primitive
from funcgrad.testing.laws import close
from funcgrad.testing.tolerances import VALUE
from tests.compiler.comparison import assert_ulps, compiled
from tests.primitives.test_laws import CASES, outputs
from tests.spec import Spec


def elementwise_primitives() -> set[str]:
    """Names of those whose every element is a function of one element of each operand."""
    names = set()
    for module in pkgutil.iter_modules(funcgrad.primitives.__path__):
        room = importlib.import_module(f"funcgrad.primitives.{module.name}")
        found = [value for value in vars(room).values() if isinstance(value, Primitive)]
        names |= {primitive.name for primitive in found if primitive.derivatives is not None}
    return names


ELEMENTWISE = elementwise_primitives()
# SciPy's erfc is up to 11 units in the last place off, and 0 where it is subnormal; its gamma functions are less exact
# beside their zeros. What is compiled is held to the functions themselves, with the units that kernels may be off.
# mpmath gives up on huge numbers.
EXACT: dict[str, tuple[Callable[[Any], Any], int]] = {
    "erfc": (lambda x: mpmath.erfc(min(x, 40)), 2),
    "lgamma": (lambda x: mpmath.re(mpmath.loggamma(x)), 4),
    "polygamma": (lambda x: mpmath.digamma(x), 4),
}


# Sums in another order than NumPy's, beside the largest magnitude in play.
SUMS = {**VALUE, "float64": 1e-13, "complex128": 1e-13}


def exact(row: Spec, args: Any, z: Any) -> tuple[Any, int]:
    """What a row's result has to be, to so many units: what eager evaluation gives, unless that is less exact."""
    if row.name not in EXACT:
        return z, 2
    function, units = EXACT[row.name]
    values = np.array(z, float)
    for place, x in np.ndenumerate(args[0]):
        if np.isfinite(values[place]):  # poles and infinities are SciPy's
            values[place] = function(mpmath.mpf(float(x)))
    return values.astype(np.result_type(z)), units


@pytest.mark.parametrize(("row", "dtype"), CASES)
@settings(max_examples=3, deadline=None, print_blob=False, database=InMemoryExampleDatabase())
@seed(1)
@given(data=st.data())
def test_compiled_any_input_equals_eager(row: Spec, dtype: Any, data: Any) -> None:
    args = data.draw(row.arguments(dtype))
    with np.errstate(all="ignore"):
        expected = outputs(row.function, args)
    _, call = compiled(lambda *xs: outputs(row.function, xs), *args)
    actual = call(*args)
    assert len(actual) == len(expected)
    for y, z in zip(actual, expected, strict=True):
        assert np.shape(y) == np.shape(z)
        assert np.result_type(y) == np.result_type(z)
        if set(row.primitives) <= ELEMENTWISE and np.result_type(z).kind != "c":
            assert_ulps(y, *exact(row, args, z))
        else:
            close(row.canonical(y), row.canonical(z), SUMS)
