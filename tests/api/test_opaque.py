"""Functions of plain arrays as operations: SciPy's derivatives by hand, by differences and by a complex step."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

import numba
import numpy as np
import pytest
from scipy import integrate, special

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError, TreeMismatchError

X = np.array([0.3, 0.7, 2.0])


def bessel(**options: Any) -> Any:
    return fg.opaque(lambda x: special.jv(0, x), **options)


EXACT = bessel(derivative=fg.opaque(lambda x: -special.jv(1, x), derivative=lambda x: -special.jvp(1, x)))
AROUND: dict[str, Any] = {
    "plain": lambda f: f,
    "jit": fg.jit,
    "vmap": lambda f: lambda x: fg.vmap(f)(np.stack([x, x]))[1],
    "jit_vmap": lambda f: fg.jit(lambda x: fg.vmap(f)(np.stack([x, x]))[1]),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("f", "tolerance"), [(EXACT, 1e-14), (bessel(derivative="differences"), 1e-10)])
def test_bessel_function_has_its_derivatives_in_both_modes(around: str, f: Any, tolerance: float) -> None:
    inside = AROUND[around]
    for _ in range(2):
        np.testing.assert_allclose(inside(f)(X), special.jv(0, X), rtol=1e-15)
        gradient = inside(fg.grad(lambda x: np.sum(f(x) * x)))(X)
        np.testing.assert_allclose(gradient, special.jv(0, X) - X * special.jv(1, X), atol=tolerance)
        np.testing.assert_allclose(inside(fg.jacfwd(f))(X), np.diag(-special.jv(1, X)), atol=tolerance)
        np.testing.assert_allclose(fg.jacrev(inside(f))(X), np.diag(-special.jv(1, X)), atol=tolerance)
        second = inside(fg.hessian(lambda x: np.sum(f(x))))(X)
        np.testing.assert_allclose(second, np.diag(-special.jvp(1, X)), atol=1e5 * tolerance)


def test_complex_step_is_exact() -> None:
    f = fg.opaque(lambda x: np.exp(x) / np.sqrt(np.sin(x) ** 3 + np.cos(x) ** 3), derivative="complex")
    reference = lambda x: np.exp(x) / np.sqrt(np.sin(x) ** 3 + np.cos(x) ** 3)
    np.testing.assert_allclose(fg.grad(f)(1.5), fg.grad(reference)(1.5), rtol=1e-14)


def test_trees_of_arguments_and_results() -> None:
    a = np.random.default_rng(0).normal(size=(2, 3))
    f = fg.opaque(lambda p, scale=1.0: {"u": p["a"] @ p["b"] * scale, "n": 3}, derivative="differences")
    p = {"a": a, "b": np.ones(3)}
    assert f(p)["n"] == 3
    jacobian = fg.jacrev(lambda p: f(p, scale=2.0)["u"])(p)
    np.testing.assert_allclose(jacobian["b"], 2 * a, atol=1e-9)
    np.testing.assert_allclose(
        fg.jacfwd(lambda p: f(p)["u"])(p)["a"], np.einsum("ij,k->ijk", np.eye(2), np.ones(3)), atol=1e-9
    )
    assert fg.vmap(lambda b: f({"a": a, "b": b})["u"])(np.ones((4, 3))).shape == (4, 2)


def test_full_jacobian_given_by_a_function() -> None:
    f = fg.opaque(np.cumsum, derivative=lambda x: np.tril(np.ones((len(x), len(x)))))
    np.testing.assert_array_equal(fg.jacrev(f)(X), np.tril(np.ones((3, 3))))
    np.testing.assert_array_equal(fg.jacfwd(f)(X), np.tril(np.ones((3, 3))))


def test_quadrature_of_scipy_is_differentiated_by_its_limits() -> None:
    integral = fg.opaque(lambda a, b: integrate.quad(np.exp, a, b)[0], derivative=lambda a, b: (-np.exp(a), np.exp(b)))
    assert np.allclose(fg.grad(integral, (0, 1))(0.0, 1.0), (-1.0, np.e))


def test_batch_rule_is_called_once_for_all_rows() -> None:
    calls: list[int] = []

    def rows(x: Any) -> Any:
        calls.append(len(x))
        return np.sort(x, -1)

    f = fg.opaque(lambda x: np.sort(x), batch=rows, result=fg.ShapeDtypeStruct((3,), float))
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(fg.vmap(f)(x), np.sort(x, -1))
    nested = fg.vmap(fg.vmap(f))(x.reshape(5, 1, 3))
    np.testing.assert_array_equal(nested, np.sort(x, -1)[:, None])
    assert calls == [5, 5]


def test_without_a_derivative_it_says_so_and_constants_pass() -> None:
    f = fg.opaque(special.gamma)
    with pytest.raises(DifferentiationError, match=r"opaque\(gamma\) has no derivative"):
        fg.grad(f)(2.0)
    assert fg.grad(lambda x: x * f(fg.stop_gradient(x)))(3.0) == 2.0
    with pytest.raises(DifferentiationError, match="has no derivative"):
        fg.grad(fg.grad(fg.opaque(np.sin, derivative=np.cos)))(1.0)


def test_bad_declarations_and_results_are_named() -> None:
    with pytest.raises(ArgumentError, match="has derivative='exact'"):
        fg.opaque(np.sin, derivative="exact")
    with pytest.raises(TreeMismatchError, match="derivative of the wrong shape"):
        fg.grad(lambda x: np.sum(fg.opaque(np.sin, derivative=lambda x: np.ones(5))(x)))(X)
    with pytest.raises(TreeMismatchError, match="derivative of 2 arrays where it needs 1"):
        fg.grad(lambda x: np.sum(fg.opaque(np.sin, derivative=lambda x: (x, x))(x)))(X)
    shifting = fg.opaque(lambda x: x[x > 1], result=fg.ShapeDtypeStruct((3,), float))
    with pytest.raises(TreeMismatchError, match="another type than before"):
        fg.jit(lambda x: shifting(x))(X)


def test_functions_of_numba_and_c_take_part() -> None:
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    library.cos.restype, library.cos.argtypes = ctypes.c_double, [ctypes.c_double]
    by_c = fg.opaque(np.vectorize(library.cos, otypes=[float]), derivative=lambda x: -np.sin(x))
    np.testing.assert_allclose(fg.grad(lambda x: np.sum(by_c(x) * x))(X), np.cos(X) - X * np.sin(X), rtol=1e-14)

    @numba.njit
    def powers(x: Any) -> Any:
        total = np.zeros_like(x)
        for i in range(x.size):
            total[i] = x[i] ** 3
        return total

    by_numba = fg.opaque(powers, derivative=fg.jit(lambda x: 3 * x**2))
    np.testing.assert_allclose(fg.hessian(lambda x: np.sum(by_numba(x)))(X), np.diag(6 * X), rtol=1e-12)
    np.testing.assert_allclose(fg.jit(fg.vmap(fg.grad(lambda x: np.sum(by_numba(x)))))(X[None])[0], 3 * X**2)
