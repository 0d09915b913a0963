"""Compiled functions beside what NumPy makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.api.staging import make_jaxpr
from funcgrad.compiler.pipeline import Program
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.tree import tree_flatten


def compiled(f: Callable[..., Any], *args: Any) -> tuple[Program, Callable[..., list[Any]]]:
    """A function compiled for arguments of these types, past all caches: the program, and what calls it."""
    with np.errstate(all="ignore"):
        recorded = make_jaxpr(f)(*args)
    constants = [value for _, value in recorded.constants]
    variables = [v for v, _ in recorded.constants]
    program = Program(Jaxpr([*variables, *recorded.inputs], [], recorded.equations, recorded.outputs))
    executable = program.compile()

    def call(*xs: Any) -> list[Any]:
        given = [np.require(x, None, ["C", "A"]) if isinstance(x, np.ndarray) and x.shape else x for x in xs]
        ys = executable.call(*constants, *given)
        assert ys is not NotImplemented
        return [ys] if len(recorded.outputs) == 1 else list(ys)

    return program, call


def assert_compiled_equals_eager(
    f: Callable[..., Any], *args: Any, scale: Any = None, fallbacks: tuple[str, ...] = ()
) -> None:
    """Assert that compiled code gives NumPy's dtypes, shapes and, to rounding, values.

    Args:
        scale: To what size of numbers rounding is relative; that of the results, if not said.
        fallbacks: Names of the primitives that call NumPy.
    """
    with np.errstate(all="ignore"):
        expected = tree_flatten(f(*args))[0]
    program, call = compiled(f, *args)
    assert tuple(eqn.primitive.name for eqn in program.fallbacks) == fallbacks
    actual = call(*args)
    assert len(actual) == len(expected)
    for y, z in zip(actual, expected, strict=True):
        assert np.shape(y) == np.shape(z)
        assert np.result_type(y) == np.result_type(z)
        assert_close(y, z, scale)


def assert_close(y: Any, z: Any, scale: Any = None) -> None:
    """Assert that numbers are equal up to the rounding of a sum."""
    dtype = np.result_type(z)
    if dtype.kind not in "fc":
        np.testing.assert_array_equal(y, z)
        return
    finite = np.abs(z)[np.isfinite(z)]
    size = scale if scale is not None else np.max(finite, initial=0.0)
    tolerance = 1e-13 if dtype.itemsize // (2 if dtype.kind == "c" else 1) == 8 else 5e-6
    np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance * size)


def assert_ulps(y: Any, z: Any, ulps: int = 2) -> None:
    """Assert that numbers are equal up to some units in the last place; NaN and integers exactly, zeros with sign."""
    y, z = np.asarray(y), np.asarray(z)
    if z.dtype.kind != "f":
        np.testing.assert_array_equal(y, z)
        return
    np.testing.assert_array_equal(np.isnan(y), np.isnan(z))
    known = ~np.isnan(z)
    y, z = y[known], z[known]
    zero = (y == 0) & (z == 0)
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(z[zero]))
    finite = np.isfinite(z)
    np.testing.assert_array_equal(y[~finite], z[~finite])
    y, z = y[finite], z[finite]
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.abs(y - z) > ulps * np.spacing(np.abs(z))
    assert not np.any(far), (y[far], z[far])
