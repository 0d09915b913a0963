"""Derivatives of what equations define, whoever solves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize
from scipy.sparse.linalg import LinearOperator, cg

import funcgrad as fg
from funcgrad import lax
from funcgrad.core.errors import DifferentiationError, TreeMismatchError

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3))
A = A @ A.T + 3 * np.eye(3)
B = np.array([1.0, -2.0, 0.5])
AROUND: dict[str, Any] = {
    "plain": lambda f: f,
    "jit": fg.jit,
    "vmap": lambda f: lambda *xs: fg.vmap(f)(*[np.stack([x, x]) for x in xs])[1],
    "jit_vmap": lambda f: fg.jit(lambda *xs: fg.vmap(f)(*[np.stack([x, x]) for x in xs])[1]),
}


@pytest.mark.parametrize("around", AROUND)
def test_root_has_all_derivatives_in_both_modes(around: str) -> None:
    inside = AROUND[around]

    def cube_root(a: Any) -> Any:
        return fg.root(lambda x, a: x**3 - a, 1.0, a)

    exact = [2.0, 1 / 12, -2 / 9 * 8 ** (-5 / 3), 10 / 27 * 8 ** (-8 / 3)]
    np.testing.assert_allclose(inside(cube_root)(8.0), exact[0], rtol=1e-12)
    for first in (fg.grad, fg.jacfwd):
        np.testing.assert_allclose(inside(first(cube_root))(8.0), exact[1], rtol=1e-12)
        for second in (fg.grad, fg.jacfwd):
            np.testing.assert_allclose(inside(second(first(cube_root)))(8.0), exact[2], rtol=1e-11)
            np.testing.assert_allclose(second(inside(first(cube_root)))(8.0), exact[2], rtol=1e-11)
    np.testing.assert_allclose(inside(fg.grad(fg.grad(fg.grad(cube_root))))(8.0), exact[3], rtol=1e-10)


def test_second_derivative_of_an_inverse_by_scipys_bisection() -> None:
    def inverse(y: Any) -> Any:
        return fg.root(lambda x: x + np.sin(x) / 2 - y, 0.0, solver=lambda f, x0: optimize.bisect(f, -9, 9, xtol=1e-14))

    x = inverse(1.3)
    slope = 1 + np.cos(x) / 2
    np.testing.assert_allclose(fg.grad(inverse)(1.3), 1 / slope, rtol=1e-12)
    np.testing.assert_allclose(fg.grad(fg.grad(inverse))(1.3), np.sin(x) / 2 / slope**3, rtol=1e-10)
    np.testing.assert_allclose(fg.vmap(fg.grad(inverse))(np.array([1.3, 1.3])), 1 / slope, rtol=1e-12)


def test_root_of_scipy_in_trees_with_a_traced_closure() -> None:
    def solution(p: Any) -> Any:
        def equations(x: Any) -> Any:
            return {"u": A @ x["u"] + np.tanh(x["v"]) * p, "v": x["v"] - np.sum(x["u"]) * 0.1 - 1.0}

        return fg.root(equations, {"u": np.zeros(3), "v": 0.0})

    jacobian = fg.jacrev(lambda p: solution(p)["u"])(B)
    h = 1e-6
    expected = np.stack([(solution(B + h * e)["u"] - solution(B - h * e)["u"]) / (2 * h) for e in np.eye(3)], 1)
    np.testing.assert_allclose(jacobian, expected, atol=1e-8)
    found = fg.root(lambda x: x**2 - 2.0, 1.0, solver=lambda f, x0: optimize.root(f, x0))
    np.testing.assert_allclose(found, np.sqrt(2.0))


def test_fixed_point_equals_its_linear_system() -> None:
    def state(w: Any, b: Any) -> Any:
        return fg.fixed_point(lambda x: np.tanh(w @ x) + b, np.zeros(3))

    w = A / 20
    x = state(w, B)
    slope = 1 - np.tanh(w @ x) ** 2
    inverse = np.linalg.inv(np.eye(3) - slope[:, None] * w)
    np.testing.assert_allclose(fg.jacrev(state, 1)(w, B), inverse, rtol=1e-10)
    np.testing.assert_allclose(fg.jacfwd(state, 1)(w, B), inverse, rtol=1e-10)
    np.testing.assert_allclose(fg.jacrev(state)(w, B), np.einsum("ij,j,k->ijk", inverse, slope, x), atol=1e-12)
    repelling = lambda a: fg.fixed_point(lambda x, a: x * x + x - a, 1.2, a)  # either root of a
    np.testing.assert_allclose(fg.grad(repelling)(2.0), 0.5 / repelling(2.0), rtol=1e-8)


def test_argmin_of_any_solver_has_the_inverse_hessian_for_derivative() -> None:
    def minimum(a: Any, b: Any, solver: Any) -> Any:
        return fg.argmin(lambda x: x @ a @ x / 2 - b @ x + np.sum(x**4), np.zeros(3), solver=solver)

    for solver in (
        None,
        lambda f, x0: optimize.minimize(f, x0, method="Nelder-Mead", tol=1e-14, options={"maxiter": 9999}),
    ):
        x = minimum(A, B, solver)
        inverse = np.linalg.inv(A + np.diag(12 * x**2))
        np.testing.assert_allclose(fg.jacrev(minimum, 1)(A, B, solver), inverse, atol=1e-6)
        np.testing.assert_allclose(fg.jacfwd(minimum, 1)(A, B, solver), inverse, atol=1e-6)


def test_what_is_no_solution_raises() -> None:
    with pytest.raises(fg.SolutionError, match="root got something from its solver that is no solution"):
        fg.root(lambda x: x * x + 1.0, 1.0)
    with pytest.raises(fg.SolutionError, match="fixed_point got something from <lambda>"):
        fg.fixed_point(np.cos, 0.3, solver=lambda f, x: x)
    with pytest.raises(fg.SolutionError, match="argmin"):
        fg.argmin(lambda x: (x - 2.0) ** 2, 0.0, solver=lambda f, x: x + 1.0)
    with pytest.raises(fg.SolutionError, match="linear_solve"):
        fg.linear_solve(A, B, solver=lambda a, b: b)
    with pytest.raises(ArithmeticError, match="nan"):
        fg.root(lambda x: x - 1.0, 0.0, solver=lambda f, x: np.nan)
    assert fg.root(lambda x: x - 1.0, 0.0, solver=lambda f, x: 0.9, tol=0.2) == 0.9


def by_matrix(a: Any, b: Any) -> Any:
    return fg.linear_solve(a, b)


def by_numpy(a: Any, b: Any) -> Any:
    return fg.linear_solve(a, b, solver=lambda a, b: np.linalg.solve(a, b))


def by_conjugate_gradients(a: Any, b: Any) -> Any:
    def solver(f: Any, b: Any) -> Any:
        return cg(LinearOperator((3, 3), f), b, rtol=1e-15)[0]

    return fg.linear_solve(lambda x: a @ x, b, solver=solver, symmetric=True)


def by_function(a: Any, b: Any) -> Any:
    return fg.linear_solve(lambda x: a @ x, b)


def by_iteration(a: Any, b: Any) -> Any:
    def jacobi(matvec: Any, b: Any) -> Any:
        def goes_on(s: Any) -> Any:
            return (np.max(np.abs(matvec(s[0]) - b)) > 1e-14) & (s[1] < 500)

        return fg.while_loop(goes_on, lambda s: (s[0] + (b - matvec(s[0])) / 12, s[1] + 1), (0 * b, 0))[0]

    return lax.custom_linear_solve(lambda x: a @ x, b, jacobi, jacobi)


@pytest.mark.parametrize("solve", [by_matrix, by_numpy, by_conjugate_gradients, by_function, by_iteration])
@pytest.mark.parametrize("around", AROUND)
def test_linear_solve_by_any_method_equals_numpys(solve: Any, around: str) -> None:
    inside = AROUND[around]
    derivatives: list[Any] = [
        lambda f: f,
        fg.jacrev,
        fg.jacfwd,
        lambda f: fg.jacrev(f, 1),
        lambda f: fg.jacfwd(fg.grad(lambda a, b: np.sum(f(a, b) ** 2))),
    ]
    for derivative in derivatives:
        expected = derivative(np.linalg.solve)(A, B)
        if solve is by_conjugate_gradients:  # of a symmetric matrix: as it stays symmetric
            matrix = lambda f: lambda a, b: f((a + a.T) / 2, b)
            expected = derivative(matrix(np.linalg.solve))(A, B)
            np.testing.assert_allclose(inside(derivative(matrix(solve)))(A, B), expected, atol=1e-10)
        else:
            np.testing.assert_allclose(inside(derivative(solve))(A, B), expected, atol=1e-10)


def test_linear_solve_of_trees() -> None:
    def matvec(x: Any) -> Any:
        return {"p": 2.0 * x["p"] + x["q"], "q": 3.0 * x["q"] - np.sum(x["p"])}

    x = fg.linear_solve(matvec, {"p": np.ones(2), "q": 1.0})
    np.testing.assert_allclose(matvec(x)["p"], 1.0)
    np.testing.assert_allclose(matvec(x)["q"], 1.0)


def test_custom_linear_solve_without_transpose_has_forward_mode_only() -> None:
    def f(b: Any) -> Any:
        return lax.custom_linear_solve(lambda x: A @ x, b, lambda _, b: np.linalg.solve(A, b))

    np.testing.assert_allclose(fg.jacfwd(f)(B), np.linalg.inv(A))
    with pytest.raises(DifferentiationError, match="no method for the transposed system"):
        fg.jacrev(f)(B)
    with_aux = lambda b: lax.custom_linear_solve(
        lambda x: A @ x, b, lambda _, b: (np.linalg.solve(A, b), 7), has_aux=True
    )
    assert with_aux(B)[1] == 7
    with pytest.raises(TreeMismatchError, match="gives another type than that of b"):
        lax.custom_linear_solve(lambda x: x[:2], B, lambda _, b: b)


def test_custom_root_with_recorded_methods_equals_the_formula() -> None:
    def newton(f: Any, x: Any) -> Any:
        return fg.fori_loop(0, 30, lambda _, x: x - f(x) / fg.grad(f)(x), x)

    def cube_root(a: Any) -> Any:
        return lax.custom_root(lambda x: x**3 - a, 1.0, newton, lambda g, y: y / g(1.0))

    for inside in AROUND.values():
        np.testing.assert_allclose(inside(fg.grad(cube_root))(8.0), 1 / 12)
        np.testing.assert_allclose(inside(fg.grad(fg.grad(cube_root)))(8.0), -2 / 9 * 8 ** (-5 / 3))
        np.testing.assert_allclose(inside(fg.jacfwd(fg.jacfwd(cube_root)))(8.0), -2 / 9 * 8 ** (-5 / 3))
    with pytest.raises(TreeMismatchError, match="as many equations as unknowns"):
        lax.custom_root(lambda x: x[:1], np.ones(2), newton, newton)
