"""Any two transformations nest in either order, to any depth: against derivatives in 60 digits, which know no rule."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import funcgrad as fg

X = 0.7
MP = SimpleNamespace(
    sin=mpmath.sin,
    cos=mpmath.cos,
    exp=mpmath.exp,
    log=mpmath.log,
    tanh=mpmath.tanh,
    sqrt=mpmath.sqrt,
    arctan=mpmath.atan,
    log1p=lambda x: mpmath.log(1 + x),
    sinh=mpmath.sinh,
    maximum=max,
    where=lambda c, a, b: a if c else b,
)

# Each is written once, for NumPy and for mpmath.
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sin": lambda np, x: np.sin(2 * x),
    "product": lambda np, x: x * np.exp(-x) * np.cos(x),
    "quotient": lambda np, x: np.sin(x) / (1 + x * x),
    "power": lambda np, x: x**3 + x**2.5 - 1 / x,
    "chain": lambda np, x: np.tanh(np.sin(x) ** 2 + 0.5),
    "logarithm": lambda np, x: np.log(x) * np.sqrt(1 + x),
    "sharing": lambda np, x: (lambda y: y * y + y)(np.arctan(x)),
    "constant": lambda np, x: 0 * x + 3.0,
    "exponent": lambda np, x: x**x,
    "branch": lambda np, x: np.where(x > 0.5, np.log1p(x), np.sinh(x)),
    "maximum": lambda np, x: np.maximum(np.sin(x), x * x / 2),
    "softplus": lambda np, x: np.log(1 + np.exp(3 * x)) / 3,
}


def first(values: Any) -> Any:
    return values[0]


# A transformation of a scalar function of a scalar, and how many derivatives it takes.
TRANSFORMATIONS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "grad": (fg.grad, 1),
    "value_and_grad": (lambda f: lambda x: fg.value_and_grad(f)(x)[1], 1),
    "vjp": (lambda f: lambda x: fg.vjp(f, x)[1](np.ones_like(fg.vjp(f, x)[0]))[0], 1),
    "jvp": (lambda f: lambda x: fg.jvp(f, (x,), (1.0,))[1], 1),
    "linearize": (lambda f: lambda x: fg.linearize(f, x)[1](1.0), 1),
    "jacfwd": (fg.jacfwd, 1),
    "jacrev": (fg.jacrev, 1),
    "jacobian": (fg.jacobian, 1),
    "elementwise_grad": (fg.elementwise_grad, 1),
    "hessian": (fg.hessian, 2),
    "hvp": (lambda f: lambda x: fg.hvp(f)(x, 1.0), 2),
    "vmap": (lambda f: lambda x: first(fg.vmap(f)(np.stack([x, 0.9 * x]))), 0),
    "vmap_of_closure": (lambda f: lambda x: first(fg.vmap(lambda scale: f(scale * x))(np.array([1.0, 2.0]))), 0),
    "jit": (fg.jit, 0),
}
PAIRS = list(itertools.product(TRANSFORMATIONS, repeat=2))
TRIPLES = random.Random(0).sample(list(itertools.product(TRANSFORMATIONS, repeat=3)), 150)


def reference(function: Callable[[Any, Any], Any], order: int) -> float:
    with mpmath.workdps(60):
        return float(mpmath.diff(lambda x: function(MP, x), mpmath.mpf(X), order))


def check(names: tuple[str, ...], function: Callable[[Any, Any], Any]) -> None:
    transformed: Any = lambda x: function(np, x)
    order = 0
    for name in reversed(names):
        transformation, derivatives = TRANSFORMATIONS[name]
        transformed = transformation(transformed)
        order += derivatives
    expected = reference(function, order)
    actual = transformed(X)
    assert np.shape(actual) == ()
    scale = max(1.0, abs(expected))
    assert abs(float(actual) - expected) < 1e-11 * scale * 10**order


@pytest.mark.parametrize("names", PAIRS, ids=lambda names: "-".join(names))
def test_pair_of_transformations_every_function_equals_the_derivative_in_60_digits(names: tuple[str, ...]) -> None:
    for function in FUNCTIONS.values():
        check(names, function)


@pytest.mark.parametrize("names", TRIPLES, ids=lambda names: "-".join(names))
def test_triple_of_transformations_equals_the_derivative_in_60_digits(names: tuple[str, ...]) -> None:
    for function in random.Random(str(names)).sample(list(FUNCTIONS.values()), 3):
        check(names, function)


def test_reverse_over_forward_over_reverse_equals_the_third_derivative() -> None:
    for function in FUNCTIONS.values():
        check(("grad", "jvp", "grad"), function)
        check(("jvp", "grad", "jvp"), function)
        check(("grad", "grad", "grad"), function)


def test_vmap_of_grad_of_jit_of_vmap_equals_the_loop() -> None:
    rows = np.linspace(0.1, 1.0, 12).reshape(3, 4)

    def f(row: Any) -> Any:
        return np.sum(fg.vmap(lambda x: np.sin(x) * x)(row))

    expected = np.cos(rows) * rows + np.sin(rows)
    np.testing.assert_allclose(fg.vmap(fg.grad(fg.jit(f)))(rows), expected, rtol=1e-13)
    np.testing.assert_allclose(fg.jit(fg.vmap(fg.grad(f)))(rows), expected, rtol=1e-13)
    np.testing.assert_allclose(fg.jit(fg.vmap(fg.jit(fg.grad(fg.jit(f)))))(rows), expected, rtol=1e-13)


def test_perturbation_confusion_inner_and_outer_derivatives_stay_apart() -> None:
    for inner, outer in itertools.product((fg.grad, fg.jacfwd), repeat=2):
        # d/dx x * d/dy (x + y) = 1; a confused system says 2.
        assert outer(lambda x, inner=inner: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0
        # d/dx x * d/dy (x * y) at y=2: x * x, so 2 x.
        assert outer(lambda x, inner=inner: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0


def test_inner_derivative_of_a_closure_that_ignores_its_argument_is_zero() -> None:
    assert fg.grad(lambda x: x * fg.grad(lambda y: x * x)(x))(3.0) == 0.0


def test_nested_closures_over_outer_tracers_of_three_levels_are_right() -> None:
    def f(x: Any) -> Any:
        def g(y: Any) -> Any:
            def h(z: Any) -> Any:
                return np.sin(x * y) * z**2 + x * y * z

            return fg.grad(h)(y) * x  # 2 x y sin(x y) + x^2 y

        return fg.grad(g)(x)  # in y at y = x: 2 x sin(x^2) + 2 x^3 cos(x^2) + x^2

    def by_hand(x: Any) -> Any:
        s, c = np.sin(x * x), np.cos(x * x)
        return 2 * s + 4 * x**2 * c + 6 * x**2 * c - 4 * x**4 * s + 2 * x

    np.testing.assert_allclose(fg.grad(f)(0.7), by_hand(0.7), rtol=1e-13)
    np.testing.assert_allclose(fg.jacfwd(f)(0.7), by_hand(0.7), rtol=1e-13)
    np.testing.assert_allclose(fg.vmap(fg.grad(f))(np.array([0.7, 0.2])), by_hand(np.array([0.7, 0.2])), rtol=1e-13)


MATRIX = np.random.default_rng(0).normal(size=(3, 3))


def network(x: Any) -> Any:
    return np.sum(np.tanh(MATRIX @ x) ** 2 * np.exp(x))


def tensor_by_differences(f: Any, x: Any, h: float = 1e-4) -> Any:
    columns = [
        (8 * (f(x + h * e) - f(x - h * e)) - (f(x + 2 * h * e) - f(x - 2 * h * e))) / (12 * h) for e in np.eye(x.size)
    ]
    return np.stack(columns, axis=-1)


def test_third_derivative_tensor_every_nesting_equals_differences_of_the_hessian() -> None:
    x = np.array([0.3, -0.2, 0.5])
    expected = tensor_by_differences(fg.hessian(network), x)
    for a, b, c in itertools.product((fg.jacfwd, fg.jacrev), repeat=3):
        np.testing.assert_allclose(a(b(c(network)))(x), expected, atol=1e-8)
    np.testing.assert_allclose(fg.vmap(fg.jacfwd(fg.hessian(network)))(x[None])[0], expected, atol=1e-8)
    np.testing.assert_allclose(fg.jit(fg.jacrev(fg.hessian(network)))(x), expected, atol=1e-8)


def test_vmap_in_every_position_of_a_hessian_product_equals_the_loop() -> None:
    xs = np.random.default_rng(1).normal(size=(4, 3))
    vs = np.random.default_rng(2).normal(size=(4, 3))
    expected = np.stack([fg.hessian(network)(x) @ v for x, v in zip(xs, vs, strict=True)])
    np.testing.assert_allclose(fg.vmap(fg.hvp(network))(xs, vs), expected, rtol=1e-10)
    product = fg.vmap(lambda x, v: fg.jvp(fg.grad(network), (x,), (v,))[1])
    np.testing.assert_allclose(product(xs, vs), expected, rtol=1e-10)
    reverse = fg.vmap(lambda x, v: fg.grad(lambda y: np.vdot(fg.grad(network)(y), v))(x))
    np.testing.assert_allclose(reverse(xs, vs), expected, rtol=1e-10)
