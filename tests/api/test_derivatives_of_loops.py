"""Derivatives through loops and around them, with closed forms: orders, modes, compiled and not, memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad as fg

INSIDE: dict[str, Callable[[Any], Any]] = {"eager": lambda f: f, "compiled": fg.jit}


def twice(f: Any, *args: Any) -> Any:
    """The result of the second call, which runs compiled code if there is some."""
    f(*args)
    return f(*args)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("checkpoint", [None, 3, "sqrt"])
def test_third_derivative_of_a_scan_equals_the_analytic_one(inside: str, checkpoint: Any) -> None:
    def power(x: Any) -> Any:
        return fg.scan(lambda c, _: (c * x, None), 1.0, None, length=7, checkpoint=checkpoint)[0]

    modes = {"g": fg.grad, "f": fg.jacfwd}
    for order in ("ggg", "fgf", "gfg", "ffg", "fff"):
        third: Any = power
        for letter in order:
            third = modes[letter](third)
        np.testing.assert_allclose(twice(INSIDE[inside](third), 1.3), 7 * 6 * 5 * 1.3**4, rtol=1e-12)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("checkpoint", [None, 3])
def test_hessian_vector_product_through_a_while_loop_equals_the_analytic_one(inside: str, checkpoint: Any) -> None:
    rng = np.random.default_rng(0)
    matrix, x, v = rng.normal(size=(4, 4)) / 2, rng.normal(size=4), rng.normal(size=4)

    def loss(x: Any) -> Any:
        body = lambda s: (matrix @ s[0], s[1] + 1)
        y = fg.while_loop(lambda s: s[1] < 5, body, (x, 0), checkpoint=checkpoint)[0]
        return np.sum(y**3)

    whole = np.linalg.matrix_power(matrix, 5)
    exact = whole.T @ (6 * (whole @ x) * (whole @ v))
    forward_over_reverse = lambda x, v: fg.jvp(fg.grad(loss), (x,), (v,))[1]
    reverse_over_reverse = lambda x, v: fg.grad(lambda x: np.vdot(fg.grad(loss)(x), v))(x)
    reverse_over_forward = lambda x, v: fg.grad(lambda x: fg.jvp(loss, (x,), (v,))[1])(x)
    for product in (forward_over_reverse, reverse_over_reverse, reverse_over_forward, fg.hvp(loss)):
        np.testing.assert_allclose(twice(INSIDE[inside](product), x, v), exact, rtol=1e-11)


@pytest.mark.parametrize("inside", INSIDE)
def test_adjoint_by_a_rule_equals_backpropagation_through_the_solver(inside: str) -> None:
    """A neural differential equation, its adjoint integrated backwards in time by the same method."""
    rng = np.random.default_rng(1)
    weights = {"first": rng.normal(size=(6, 3)) / 2, "second": rng.normal(size=(3, 6)) / 2}
    start, steps, h = rng.normal(size=3), 400, 1.0 / 400

    def velocity(w: Any, y: Any) -> Any:
        return w["second"] @ np.tanh(w["first"] @ y)

    def runge_kutta(f: Any, y: Any, h: float) -> Any:
        move = lambda y, k, share: fg.tree.map(lambda a, b: a + share * h * b, y, k)
        k1 = f(y)
        k2 = f(move(y, k1, 0.5))
        k3 = f(move(y, k2, 0.5))
        k4 = f(move(y, k3, 1.0))
        return fg.tree.map(lambda y, a, b, c, d: y + h / 6 * (a + 2 * b + 2 * c + d), y, k1, k2, k3, k4)

    def integrate(w: Any, y: Any) -> Any:
        return fg.fori_loop(0, steps, lambda _, y: runge_kutta(lambda y: velocity(w, y), y, h), y)

    by_adjoint = fg.custom_vjp(integrate)

    def backward(res: Any, ct: Any) -> Any:
        w, y = res

        def reversed_velocity(state: Any) -> Any:
            y, adjoint, _ = state
            value, pull = fg.vjp(velocity, w, y)
            w_ct, y_ct = pull(adjoint)
            return -value, y_ct, w_ct

        first = (y, ct, fg.tree.map(np.zeros_like, w))
        _, adjoint, total = fg.fori_loop(0, steps, lambda _, s: runge_kutta(reversed_velocity, s, h), first)
        return total, adjoint

    by_adjoint.defvjp(lambda w, y: ((end := by_adjoint(w, y)), (w, end)), backward)
    loss = lambda solve: lambda w, y: np.sum(solve(w, y) ** 2)
    expected = INSIDE[inside](fg.grad(loss(integrate), argnums=(0, 1)))(weights, start)
    found = twice(INSIDE[inside](fg.grad(loss(by_adjoint), argnums=(0, 1))), weights, start)
    for a, b in zip(fg.tree.leaves(found), fg.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)  # both integrate to the fourth order in 1/400
    np.testing.assert_allclose(by_adjoint(weights, start), integrate(weights, start), rtol=1e-15)


STEPS = 100_000


def long_gradient(steps: int, checkpoint: Any) -> Any:
    """The gradient of a scan that forgets nothing, and whose derivative needs the values of all steps."""

    def loss(x: Any) -> Any:
        step = lambda c, _: (c + 0.001 * np.sin(c), None)
        return np.sum(fg.scan(step, x, None, length=steps, checkpoint=checkpoint)[0] ** 2)

    return fg.grad(loss)


@pytest.mark.parametrize("checkpoint", ["sqrt", "1 MB", 50])
def test_compiled_scan_of_a_hundred_thousand_steps_is_exact_in_memory_of_the_root(checkpoint: Any) -> None:
    x = np.linspace(-1, 1, 64)
    whole, kept = (fg.jit(long_gradient(STEPS, k)) for k in (None, checkpoint))
    np.testing.assert_array_equal(twice(kept, x), twice(whole, x))
    most, least = (f.explain().programs[-1].stages().workspace for f in (whole, kept))
    assert "native: all" in repr(kept.explain())
    assert most > STEPS * 64 * 8
    assert least < 4 * STEPS**0.5 * 64 * 8


def test_eager_scan_of_a_hundred_thousand_steps_is_exact_in_memory_of_the_root() -> None:
    gradient, most = long_gradient(STEPS, "1 MB"), {}
    x = np.linspace(-1, 1, 64)
    long_gradient(100, "1 MB")(x)
    found = gradient(x)
    np.testing.assert_allclose(found, fg.jit(long_gradient(STEPS, None)).lower(x).compile()(x), rtol=1e-9)
    for steps in (2500, 10_000):  # tracing allocations takes ten times as long
        tracemalloc.start()
        long_gradient(steps, "sqrt")(x)
        most[steps] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most[10_000] < 2.2 * most[2500]
    assert most[10_000] < 4 * 100 * 64 * 8 + 100_000  # with the jaxprs
