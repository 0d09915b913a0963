from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.primitives import linalg
from tests.compiler.comparison import assert_compiled_equals_eager, compiled

STACKS: list[tuple[int, ...]] = [(), (3,), (2, 1, 5), (40,), (0,)]
SIZES = [1, 2, 3, 4, 5, 6, 9, 40]


def matrices(stack: tuple[int, ...], n: int, m: int = 0, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng([*stack, n, m])
    return rng.standard_normal((*stack, n, m or n)).astype(dtype)


def well_conditioned(stack: tuple[int, ...], n: int, dtype: Any = np.float64) -> Any:
    return matrices(stack, n, dtype=dtype) + 3 * np.eye(n, dtype=dtype)


CASES: list[Any] = [((), n, np.float64) for n in SIZES] + [((20,), n, np.float64) for n in SIZES]
CASES += [((2, 1, 5), 3, np.float64), ((40,), 4, np.float32), ((), 5, np.float32), ((3,), 9, np.float32)]


@pytest.mark.parametrize(("stack", "n", "dtype"), CASES)
def test_systems_and_determinants_equal_numpy(stack: tuple[int, ...], n: int, dtype: Any) -> None:
    def f(x: Any, b: Any, c: Any) -> Any:
        return [linalg.inv(x), linalg.solve(x, b), linalg.solve(x, c), linalg.det(x), *linalg.slogdet(x)]

    x = well_conditioned(stack, n, dtype)
    program, call = compiled(f, x, matrices(stack, n, 1, dtype), matrices(stack, n, 3, dtype))
    assert not program.fallbacks
    args = (x, matrices(stack, n, 1, dtype), matrices(stack, n, 3, dtype))
    for y, z in zip(call(*args), f(*args), strict=True):
        assert np.result_type(y) == np.result_type(z)
        assert np.shape(y) == np.shape(z)
        tolerance = 1e-10 if dtype is np.float64 else 2e-3
        np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance * np.max(np.abs(z), initial=0.0))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 12])
def test_pivots_are_chosen_and_exchanged(n: int) -> None:
    """Matrices that elimination in the given order does not get through."""
    rng = np.random.default_rng(n)
    _, call = compiled(lambda x: [linalg.inv(x), linalg.det(x), *linalg.slogdet(x)], np.eye(n))
    for _ in range(20):
        x = np.eye(n)[rng.permutation(n)] * rng.uniform(0.5, 2, n)
        x[0, 0] = 1e-17 if n > 1 else 1.0
        for y, z in zip(call(x), [np.linalg.inv(x), np.linalg.det(x), *np.linalg.slogdet(x)], strict=True):
            np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 4, 7])
@pytest.mark.parametrize("f", [lambda x: linalg.inv(x), lambda x: linalg.solve(x, x)])
def test_singular_matrices_stop_the_program(n: int, f: Any) -> None:
    x = np.stack([np.eye(n), np.ones((n, n))])
    _, call = compiled(f, np.stack([x[0], x[0]]))
    with pytest.raises(RuntimeError):
        call(x)
    _, call = compiled(f, x[0])
    np.testing.assert_allclose(call(x[0])[0], np.eye(n))
    with pytest.raises(RuntimeError):
        call(np.zeros((n, n)))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_inverse_of_what_may_be_singular_is_nan(n: int) -> None:
    x = np.stack([np.eye(n), np.zeros((n, n))])
    assert_compiled_equals_eager(lambda x: linalg.inv(x, invertible=False), x)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_determinants_of_singular_matrices_equal_numpy(n: int) -> None:
    x = np.stack([np.eye(n), np.zeros((n, n)), np.full((n, n), np.inf), np.full((n, n), np.nan)])
    with np.errstate(all="ignore"):
        assert_compiled_equals_eager(lambda x: [linalg.det(x), *linalg.slogdet(x)], x[:2])


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_determinants_out_of_range_of_their_factors_equal_numpy(n: int) -> None:
    large = np.diag([1e200, 1e200, 1e-300, 1e-90, 1.0, 1.0][:n])
    x = np.stack([large, np.diag([1e-200, 1e-200, 1e300, 1e90, 1.0, 1.0][:n])])
    with np.errstate(all="ignore"):
        expected = np.linalg.det(x)
    _, call = compiled(linalg.det, x)
    np.testing.assert_allclose(call(x)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("stack", STACKS[:3])
def test_cofactors_and_their_slopes_equal_numpy(stack: tuple[int, ...], n: int) -> None:
    x, t = well_conditioned(stack, n), matrices(stack, n)
    program, call = compiled(lambda x, t: [linalg.cofactor(x), linalg.cofactor_slope(x, t)], x, t)
    assert not program.fallbacks
    for y, z in zip(call(x, t), [linalg.cofactor(x), linalg.cofactor_slope(x, t)], strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-11, atol=1e-11 * np.abs(z).max())


def test_empty_stacks_give_empty_results() -> None:
    x = np.empty((0, 3, 3))
    for f in (linalg.inv, linalg.det, lambda x: linalg.solve(x, x)):
        _, call = compiled(f, x)
        assert call(x)[0].size == 0


def test_matrix_that_is_solved_with_and_transposed_is_factored_once() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 40)) + 8 * np.eye(40), rng.normal(size=40)

    def f(a: Any, b: Any) -> Any:
        return np.sum(np.linalg.solve(np.exp(0.1 * a), b) ** 2) + np.linalg.slogdet(np.exp(0.1 * a))[1]

    gradient = funcgrad.grad(f, argnums=(0, 1))
    text = funcgrad.jit(gradient).lower(a, b).as_text("loops")
    assert text.count("getrf") == 2  # the gradient of slogdet is an inverse, in place of the factors
    for y, z in zip(gradient(a, b), funcgrad.jit(gradient, compile="now")(a, b), strict=True):
        np.testing.assert_allclose(z, y, rtol=1e-9, atol=1e-9)


def test_matrix_that_is_overwritten_is_factored_anew() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 30)) + 8 * np.eye(30), rng.normal(size=30)

    def f(a: Any, b: Any) -> Any:
        c = a * 1.0
        y = np.linalg.solve(c, b)
        c[0] += y
        return np.linalg.solve(c, b) + np.linalg.solve(c.T, y)

    np.testing.assert_allclose(funcgrad.jit(f, compile="now")(a, b), f(a, b), rtol=1e-10)
