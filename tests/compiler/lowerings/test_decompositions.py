from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.core.primitive import bind
from funcgrad.primitives import decompositions
from funcgrad.primitives.decompositions import coincidences_p
from tests.compiler.comparison import assert_compiled_equals_eager, compiled

STACKS: list[tuple[int, ...]] = [(), (3, 2)]
SIZES = [1, 2, 3, 4, 5, 40]


def symmetric(stack: tuple[int, ...], n: int, dtype: Any) -> Any:
    x = np.random.default_rng([*stack, n]).standard_normal((*stack, n, n))
    return (x + x.swapaxes(-1, -2)).astype(dtype)


def positive(stack: tuple[int, ...], n: int, dtype: Any) -> Any:
    x = symmetric(stack, n, np.float64)
    return (x @ x + np.eye(n)).astype(dtype)


CASES: list[Any] = [(stack, n, np.float64) for stack in STACKS for n in SIZES]
CASES += [((3, 2), 3, np.float32), ((), 40, np.float32)]


@pytest.mark.parametrize(("stack", "n", "dtype"), CASES)
def test_cholesky_factors_equal_numpy(stack: tuple[int, ...], n: int, dtype: Any) -> None:
    def f(x: Any) -> Any:
        return [decompositions.cholesky(x), decompositions.cholesky(x, upper=True)]

    x = positive(stack, n, dtype) + np.tri(n, k=-1, dtype=dtype) / 8  # of which one triangle is read
    program, call = compiled(f, x)
    assert not program.fallbacks
    for y, z in zip(call(x), f(x), strict=True):
        assert np.result_type(y) == np.result_type(z)
        tolerance = 1e-12 if dtype is np.float64 else 1e-4
        np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance * np.abs(z).max())


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_indefinite_matrices_stop_the_program(n: int) -> None:
    good = np.stack([np.eye(n), 2 * np.eye(n)])
    _, call = compiled(decompositions.cholesky, good)
    np.testing.assert_allclose(call(good)[0], np.linalg.cholesky(good))
    for bad in (0.0, -1.0):
        x = good.copy()
        x[1, n - 1, n - 1] = bad
        with pytest.raises(RuntimeError):
            call(x)
    x[1, n - 1, n - 1] = np.nan
    np.testing.assert_array_equal(call(x)[0], np.linalg.cholesky(x))


@pytest.mark.parametrize(
    ("stack", "n", "dtype"), [((), 1, np.float64), ((3, 2), 2, np.float64), ((), 40, np.float64), ((3,), 5, np.float32)]
)
def test_eigenvalues_and_vectors_equal_numpy(stack: tuple[int, ...], n: int, dtype: Any) -> None:
    def f(x: Any) -> Any:
        values, vectors = decompositions.eigh(x, "L")
        return [values, abs(vectors), decompositions.eigvalsh(x, "U"), *decompositions.eigh(x + np.tri(n, k=-1), "U")]

    x = symmetric(stack, n, dtype)
    program, call = compiled(f, x)
    assert not program.fallbacks
    actual, expected = call(x), f(x)
    tolerance = 1e-9 if dtype is np.float64 else 2e-3
    for y, z in zip(actual[:4], expected[:4], strict=True):
        assert np.result_type(y) == np.result_type(z)
        np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance * max(1, np.abs(z).max()))
    np.testing.assert_allclose(abs(actual[4]), abs(expected[4]), rtol=tolerance, atol=tolerance)


def test_values_that_cannot_be_told_apart_equal_numpy() -> None:
    w = np.array([[1.0, 1.0 + 1e-16, 2.0, 2.0 + 1e-9], [0.0, 0.0, 1.0, 1.0 + 8e-16]])
    assert_compiled_equals_eager(lambda w: bind(coincidences_p, w), w)
    assert_compiled_equals_eager(lambda w: bind(coincidences_p, w), w.astype(np.float32))
