"""Checkpoints: the same derivatives from less memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad.api.remat import States, memory_limit
from funcgrad.control.schedules import balanced, fitting
from funcgrad.core.errors import ArgumentError, TreeMismatchError

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


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 10**6))
def test_sizes_reach_the_length_within_the_memory(length: int, state: int, step: int, memory: int) -> None:
    sizes = fitting(length, state, step, memory)
    assert np.prod([float(n) for n in sizes]) >= length
    used = sum(sizes[:-1]) * state + sizes[-1] * step
    smallest = 48 * (state + step)  # two of each on every level
    assert used <= max(memory, smallest)
    found = balanced(length, memory)
    assert found is None or (np.prod(found) >= length and sum(found) <= max(memory, length * (length <= memory)))


def test_limits_are_read_as_states_or_bytes() -> None:
    assert memory_limit("scan(f)", None) is None
    assert memory_limit("scan(f)", "sqrt") == "sqrt"
    assert isinstance(memory_limit("scan(f)", 5), States)
    assert memory_limit("scan(f)", "1.5 GiB") == 3 * 2**29
    assert memory_limit("scan(f)", "64MB") == 64 * 10**6
    for wrong in (0, -1, True, "a lot", "5", 2.5):
        with pytest.raises(ArgumentError, match=r"scan\(f\) has checkpoint="):
            memory_limit("scan(f)", wrong)  # type: ignore[arg-type]
