"""Every row of the spec table, compiled: NumPy's dtypes, shapes and values."""

from __future__ import annotations

import importlib
import pkgutil
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


# SciPy's gamma functions are less accurate beside their zeros.
ELEMENTWISE = elementwise_primitives() - {"lgamma", "polygamma"}
# SciPy's erfc is up to 11 units in the last place off, and 0 where it is subnormal: what is compiled is held to the
# function itself. mpmath gives up on huge numbers.
EXACT = {"erfc": lambda x: mpmath.erfc(min(x, 40))}


def exact(row: Spec, args: Any, z: Any) -> Any:
    """What a row's result has to be: what eager evaluation gives, unless that is less exact."""
    if row.name not in EXACT:
        return z
    values = [float(EXACT[row.name](mpmath.mpf(float(x)))) for x in np.ravel(args[0])]
    return np.asarray(values).reshape(np.shape(z)).astype(np.result_type(z))


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
            assert_ulps(y, exact(row, args, z))
        else:
            close(row.canonical(y), row.canonical(z), VALUE)
