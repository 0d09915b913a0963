"""Checkpoints: the same derivatives from less memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.api.remat import States, memory_limit
from funcgrad.control.binomial import advances, evaluations
from funcgrad.core.errors import ArgumentError, LinearityError, TreeMismatchError

A = np.random.default_rng(0).normal(size=(3, 3))
C = np.array([-0.3, 0.2, 0.1])
XS = np.random.default_rng(1).normal(size=(37, 3))
LIMITS = ["sqrt", 1, 2, 5, 12, 100, "200 B", "1 kB", "64 MB"]
DERIVATIVES = {
    "value": lambda f: f,
    "grad": fg.grad,
    "hessian": fg.hessian,
    "jit_grad": lambda f: fg.jit(fg.grad(f)),
    "grad_jit": lambda f: fg.grad(fg.jit(f)),
    "vmap_grad": lambda f: lambda c: fg.vmap(fg.grad(f))(np.stack([c, 2 * c])),
    "grad_vmap": lambda f: lambda c: fg.grad(lambda c: np.sum(fg.vmap(f)(np.stack([c, 2 * c]))))(c),
    "jvp": lambda f: lambda c: fg.jvp(f, (c,), (np.ones(3),))[1],
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_checkpoint_of_a_closure_has_the_derivatives_of_the_function(derivative: str) -> None:
    def loss(c: Any, around: Any) -> Any:
        return np.sum(around(lambda y: np.sin(A @ np.cos(A @ y)) * np.where(c[0] > 0, 1.0, c))(c) ** 2)

    transformed = DERIVATIVES[derivative]
    expected = transformed(lambda c: loss(c, lambda f: f))(C)
    np.testing.assert_allclose(transformed(lambda c: loss(c, fg.checkpoint))(C), expected, atol=1e-13)


def test_checkpoint_runs_python_branches_on_values() -> None:
    f = fg.checkpoint(lambda x: x**2 if x > 0 else -x)
    assert fg.grad(f)(3.0) == 6.0
    assert fg.grad(f)(-3.0) == -1.0
    assert f(2.0) == 4.0


def test_checkpoint_takes_static_and_keyword_arguments() -> None:
    f = fg.checkpoint(lambda g, x, scale: {"y": g(x) * scale}, static_argnums=0)
    assert fg.grad(lambda x: f(np.sin, x, scale=3.0)["y"])(0.0) == 3.0
    with pytest.raises(TreeMismatchError, match="numbers and arrays"):
        fg.grad(fg.checkpoint(lambda x: object()))(1.0)


def test_checkpoint_keeps_the_arguments_only() -> None:
    def chain(x: Any) -> Any:
        for _ in range(20):
            x = np.sin(x)
        return x

    def peak(f: Any) -> float:
        tracemalloc.start()
        fg.grad(lambda x: np.sum(f(f(f(x)))))(np.ones(20_000))
        (_, most), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        return most

    assert peak(fg.checkpoint(chain)) < 0.6 * peak(chain)


@pytest.mark.parametrize("derivative", ["value", "grad", "hessian", "jit_grad", "vmap_grad"])
@pytest.mark.parametrize("reverse", [False, True])
def test_checkpointed_scan_is_exact(derivative: str, reverse: bool) -> None:
    def loop(c: Any, checkpoint: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            return np.tanh(A @ c) + x, np.sum(c**2)

        c, ys = fg.scan(step, c, XS, reverse=reverse, checkpoint=checkpoint)
        return np.sum(c) + np.sum(np.sin(ys))

    transformed = DERIVATIVES[derivative]
    expected = transformed(lambda c: loop(c, None))(C)
    for checkpoint in LIMITS if derivative != "hessian" else ["sqrt", 3, "1 kB"]:
        np.testing.assert_allclose(transformed(lambda c, k=checkpoint: loop(c, k))(C), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("derivative", ["value", "grad", "hessian", "jit_grad", "vmap_grad"])
def test_checkpointed_while_loop_is_exact(derivative: str) -> None:
    def loop(c: Any, checkpoint: Any) -> Any:
        def step(s: Any) -> Any:
            return np.tanh(A @ s[0]) * np.sin(s[1]), s[1] + 1

        return np.sum(fg.while_loop(lambda s: s[1] < 23, step, (c, 0), checkpoint=checkpoint)[0])

    transformed = DERIVATIVES[derivative]
    expected = transformed(lambda c: loop(c, None))(C)
    for checkpoint in LIMITS if derivative != "hessian" else ["sqrt", 3, "1 kB"]:
        np.testing.assert_allclose(transformed(lambda c, k=checkpoint: loop(c, k))(C), expected, rtol=1e-10, atol=1e-12)


def test_checkpointed_fori_loop_is_exact() -> None:
    f = lambda x, n, k: fg.fori_loop(0, n, lambda i, y: np.sin(y) + x * i, x, checkpoint=k)
    expected = fg.grad(lambda x: f(x, 12, None))(0.3)
    for checkpoint in LIMITS:
        assert abs(fg.grad(lambda x, k=checkpoint: f(x, 12, k))(0.3) - expected) < 1e-12
        assert abs(fg.jit(fg.grad(lambda x, n, k=checkpoint: f(x, n, k)))(0.3, 12) - expected) < 1e-12


def peak_of_gradient(steps: int, checkpoint: Any) -> tuple[Any, float]:
    matrix = np.random.default_rng(0).normal(size=(40, 40)) / 20
    c = np.linspace(-1, 1, 40)

    def loss(c: Any) -> Any:
        return np.sum(fg.scan(lambda c, _: (np.tanh(matrix @ c) + c, None), c, None, steps, checkpoint=checkpoint)[0])

    tracemalloc.start()
    gradient = fg.grad(loss)(c)
    (_, most), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    return gradient, most


def test_memory_of_a_checkpointed_scan_grows_with_the_root_of_its_length() -> None:
    exact, whole = peak_of_gradient(3000, None)
    gradient, kept = peak_of_gradient(3000, "sqrt")
    np.testing.assert_array_equal(gradient, exact)
    assert kept < whole / 4
    gradient, budget = peak_of_gradient(3000, "100 kB")
    np.testing.assert_array_equal(gradient, exact)
    assert budget < 350_000  # with the jaxprs
    _, four_times = peak_of_gradient(12000, "sqrt")
    assert four_times < 2.5 * kept


class CountedSine:
    """A sine that no transformation looks into, and how often it has been computed."""

    def __init__(self) -> None:
        self.calls = 0
        self._function = fg.opaque(self._sine, derivative=fg.jit(lambda x: np.cos(x)))

    def __call__(self, x: Any) -> Any:
        return self._function(x)

    def _sine(self, x: Any) -> Any:
        self.calls += 1
        return np.sin(x)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(("states", "steps"), [(1, 12), (2, 10), (3, 50), (5, 100), (10, 30), (40, 30), (3, 0), (1, 1)])
def test_steps_of_a_gradient_are_computed_as_often_as_the_binomial_schedule_says(
    states: int, steps: int, compiled: bool
) -> None:
    counted = CountedSine()
    step = lambda c, _: (np.cos(counted(c)), None)
    gradient = fg.grad(lambda c: fg.scan(step, c, None, length=steps, checkpoint=states)[0])
    gradient = fg.jit(gradient) if compiled else gradient
    for _ in range(2):
        gradient(0.3)
    counted.calls = 0
    gradient(0.3)
    assert counted.calls == evaluations(steps, min(states, steps))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_steps_of_a_while_loop_are_counted_and_then_computed_as_the_schedule_says(compiled: bool) -> None:
    counted = CountedSine()
    step = lambda s: (np.cos(counted(s[0])), s[1] + 1)
    gradient = fg.grad(lambda c: fg.while_loop(lambda s: s[1] < 50, step, (c, 0), checkpoint=3)[0])
    gradient = fg.jit(gradient) if compiled else gradient
    for _ in range(2):
        gradient(0.3)
    counted.calls = 0
    gradient(0.3)
    # Compiled, the run that gives the value counts, and keeps no state.
    assert counted.calls == (2 * 50 + advances(50, 3) if compiled else 50 + evaluations(50, 3))


def test_gradient_of_a_while_loop_with_values_runs_each_step_once() -> None:
    counted = CountedSine()
    step = lambda s: (np.cos(counted(s[0])), s[1] + 1)
    gradient = fg.grad(lambda c: fg.while_loop(lambda s: s[1] < 50, step, (c, 0))[0])
    gradient(0.3)
    counted.calls = 0
    gradient(0.3)
    assert counted.calls == 50


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("states", [1, 2, 5, 40])
def test_number_of_states_gives_the_same_bits_in_all_arguments(states: int, reverse: bool) -> None:
    def loss(c: Any, xs: Any, matrix: Any, checkpoint: Any) -> Any:
        step = lambda c, x: (np.tanh(matrix @ c) + x, np.sum(c**2))
        c, ys = fg.scan(step, c, xs, reverse=reverse, checkpoint=checkpoint)
        return np.sum(c) + np.sum(np.sin(ys))

    gradient = fg.grad(loss, argnums=(0, 1, 2))
    for actual, expected in zip(gradient(C, XS, A, states), gradient(C, XS, A, None), strict=True):
        np.testing.assert_array_equal(actual, expected)
    compiled, whole = (fg.jit(lambda c, xs, m, k=k: gradient(c, xs, m, k)) for k in (states, None))
    for _ in range(2):
        results = compiled(C, XS, A), whole(C, XS, A)
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("states", [1, 3, 9])
def test_derivatives_of_order_three_pass_a_number_of_states(states: int) -> None:
    def loop(x: Any, checkpoint: Any) -> Any:
        return fg.scan(lambda c, k: (np.sin(c) * x + k, c * k), x, np.linspace(0.1, 0.5, 7), checkpoint=checkpoint)[0]

    for third in (
        lambda f: fg.grad(fg.grad(fg.grad(f))),
        lambda f: fg.jacfwd(fg.grad(fg.jacfwd(f))),
        lambda f: fg.jit(fg.grad(fg.jacfwd(fg.grad(f)))),
        lambda f: lambda x: fg.vmap(fg.grad(fg.grad(fg.grad(f))))(np.array([x, 0.1]))[0],
    ):
        expected = third(lambda x: loop(x, None))(0.7)
        np.testing.assert_allclose(third(lambda x: loop(x, states))(0.7), expected, rtol=1e-11)


@pytest.mark.parametrize("checkpoint", [1, 3, "sqrt", "1 kB"])
def test_rows_that_take_different_numbers_of_steps_have_their_own_derivatives(checkpoint: Any) -> None:
    def counted(x: Any, n: Any) -> Any:
        return fg.fori_loop(0, n, lambda i, y: np.sin(y) + x * i, x, checkpoint=checkpoint)

    xs, ns = np.array([0.3, 0.7, -0.2]), np.array([5, 0, 9])
    for derivative in (fg.grad, fg.jacfwd, lambda f: fg.grad(fg.grad(f)), lambda f: fg.jit(fg.grad(f))):
        g = derivative(counted)
        np.testing.assert_allclose(fg.vmap(g)(xs, ns), [g(x, n) for x, n in zip(xs, ns, strict=True)], rtol=1e-12)


@pytest.mark.parametrize("checkpoint", [None, 2, "sqrt", "1 kB"])
def test_transposed_linear_loops_agree_with_the_loop(checkpoint: Any) -> None:
    linear = lambda c: fg.scan(lambda c, _: (A @ c, c[0]), c, None, length=9, checkpoint=checkpoint)
    y = linear(C)
    cts = (np.array([1.0, -2.0, 0.5]), np.linspace(-1, 1, 9))
    (ct,) = fg.linear_transpose(linear, C)(cts)
    np.testing.assert_allclose(C @ ct, cts[0] @ y[0] + cts[1] @ y[1], rtol=1e-13)
    square = lambda c: fg.scan(lambda c, _: (c * c, None), c, None, length=9, checkpoint=checkpoint)[0]
    with pytest.raises(LinearityError):
        fg.linear_transpose(square, C)(C)


def test_number_of_states_bounds_memory() -> None:
    exact, _ = peak_of_gradient(1000, None)
    for states in (2, 5, 20):
        peak_of_gradient(1000, states)
        gradient, most = peak_of_gradient(1000, states)
        np.testing.assert_array_equal(gradient, exact)
        assert most < 2 * states * 40 * 8 + 100_000  # with the jaxprs


def test_limits_are_read_as_states_or_bytes() -> None:
    assert memory_limit("scan(f)", None) is None
    assert memory_limit("scan(f)", "sqrt") == "sqrt"
    assert isinstance(memory_limit("scan(f)", 5), States)
    assert memory_limit("scan(f)", "1.5 GiB") == 3 * 2**29
    assert memory_limit("scan(f)", "64MB") == 64 * 10**6
    for wrong in (0, -1, True, "a lot", "5", 2.5):
        with pytest.raises(ArgumentError, match=r"scan\(f\) has checkpoint="):
            memory_limit("scan(f)", wrong)  # type: ignore[arg-type]
