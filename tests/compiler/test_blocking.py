"""Steps in blocks: the same numbers, less memory, and only where arrays are large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad
from funcgrad.compiler import grouping
from tests.compiler import fuzz

LARGE = 300_000


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few elements, of arrays of any size."""
    shrink(monkeypatch, 200)


def shrink(patch: pytest.MonkeyPatch, block: int) -> None:
    """Let blocks have so many bytes, of arrays of any size."""
    patch.setenv("FUNCGRAD_CACHE", "0")
    for name, number in (("WORTH", 0), ("BLOCK", block), ("LEAST_LOCAL", 0), ("BLOCK_OF_PRODUCTS", 40_000)):
        patch.setattr(grouping, name, number)


def loops(f: Callable[..., Any], *args: Any) -> str:
    """The compiled function's loops."""
    return str(funcgrad.jit(f).lower(*args).as_text("loops"))


def heat(u: Any, steps: int = 3) -> Any:
    """Explicit steps of the equation of heat: each reads both neighbours of the one before."""
    for _ in range(steps):
        u = np.concatenate([u[:1], u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]), u[-1:]])
    return u


def backwards(u: Any) -> Any:
    """Each pass reads what the one before has stored further on."""
    for k in range(1, 5):
        u = np.sin(u[k:]) * u[:-k]
    return u


def logistic(w: Any, x: Any, y: Any) -> Any:
    """The negative log-likelihood of a logistic regression: rows of x are read for it and for its gradient."""
    z = x @ w
    return np.sum(np.logaddexp(0.0, z) - y * z)


def network(parameters: Any, x: Any) -> Any:
    """A loss of a network of two layers."""
    w1, b1, w2 = parameters
    z = np.tanh(x @ w1 + b1) @ w2
    z = z - np.max(z, axis=1, keepdims=True)
    return -np.mean((z - np.log(np.sum(np.exp(z), axis=1, keepdims=True)))[:, 0]) + np.max(np.abs(w2))


def nearest(centres: Any, x: Any) -> Any:
    """The sum of squared distances from the nearest centre."""
    return np.sum(np.min(np.sum(x**2, 1)[:, None] + np.sum(centres**2, 1) - 2 * x @ centres.T, axis=1))


def mixed(q: Any, x: Any) -> Any:
    """A stack of products, and what is made of them; the differences are needed twice."""
    t = x[None] - q[:, :1]
    y = np.einsum("kij,knj->kni", q, t)
    return np.sum(np.exp(-(y**2) - t**2), axis=(1, 2))


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=12, deadline=None)
@given(st.integers(10, 300), st.integers(1, 6))
def test_stencil_in_blocks_equals_eager(n: int, steps: int) -> None:
    u = np.random.default_rng(n).normal(size=n)
    assert "-block" in loops(lambda u: heat(u, steps), u) or steps == 1
    np.testing.assert_allclose(
        funcgrad.jit(heat, static_argnums=1, compile="now")(u, steps), heat(u, steps), rtol=1e-13
    )
    gradient = funcgrad.grad(lambda u: np.sum(heat(u, steps) ** 3))
    np.testing.assert_allclose(funcgrad.jit(gradient, compile="now")(u), gradient(u), rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=8, deadline=None)
@given(st.integers(12, 200))
def test_steps_that_read_ahead_are_shifted_and_equal_eager(n: int) -> None:
    u = np.random.default_rng(n).normal(size=n)
    f = funcgrad.value_and_grad(lambda u: np.sum(backwards(u)))
    assert "shifted by -" in loops(f, u)
    for y, z in zip(f(u), funcgrad.jit(f, compile="now")(u), strict=True):
        np.testing.assert_allclose(z, y, rtol=1e-12, atol=1e-13)


Stencil = Callable[[Any, Any, int], Any]
STENCILS: tuple[Stencil, ...] = (
    lambda x, y, k: np.concatenate([x[:k], x[k:] * y[:-k]]),
    lambda x, y, k: np.concatenate([x[:-k] + y[k:], y[-k:]]),
    lambda x, y, k: x.at[k:].add(0.5 * y[:-k]),
    lambda x, y, k: x.at[-k].set(y[k]),
    lambda x, y, k: np.pad(np.sin(x)[k:], [(0, k), (0, 0)][: x.ndim]) - y,
    lambda x, y, k: np.pad(x[:-k], [(k, 0), (0, 0)][: x.ndim], constant_values=0.25) * y,
    lambda x, y, k: np.roll(x, k) + y,
    lambda x, y, k: np.where(x > y, x - y, 0.1 * k),
    lambda x, y, k: x * y.sum(axis=0) / len(y),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STENCILS), st.integers(1, 7), st.integers(0, 9)), min_size=2, max_size=9),
    st.sampled_from([(120,), (60, 3)]),
    st.sampled_from([400, 2_000, 6_000]),
)
def test_random_stencils_in_blocks_equal_eager(
    drawn: list[tuple[Stencil, int, int]], shape: tuple[int, ...], block: int
) -> None:
    def f(x: Any, y: Any) -> Any:
        values = [x, y]
        for stencil, k, other in drawn:
            values.append(stencil(values[-1], values[other % len(values)], k))
        return sum(np.sum(v * v[::-1]) if k == 3 else np.sum(v) for v, (_, k, _) in zip(values[2:], drawn, strict=True))

    rng = np.random.default_rng(block)
    x, y = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)
    gradient = funcgrad.value_and_grad(f, argnums=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, block)
        compiled = funcgrad.jit(gradient, compile="now")(x, y)
    for a, b in zip(*map(funcgrad.tree.leaves, (gradient(x, y), compiled)), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11 * np.abs(a).max())


def runge_kutta(x: Any, y: Any, steps: int = 2) -> Any:
    """Steps of which each reads one element behind, four times."""
    slope = lambda y: np.concatenate([x[:1], x[1:] * y[:-1]])
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + 0.1 * k1)
        k3 = slope(y + 0.1 * k2)
        y = y + (k1 + 2 * k2 + 2 * k3 + slope(y + 0.2 * k3)) / 15
    return y


def test_arrays_that_are_read_behind_are_no_larger_than_a_block_and_what_is_left_of_it() -> None:
    x = np.random.default_rng(0).uniform(size=LARGE)
    f = funcgrad.value_and_grad(lambda x: np.sum(runge_kutta(x, np.ones(LARGE)) ** 2))
    program = funcgrad.jit(f).lower(x)
    assert program._program.stages().workspace < 20 * x.nbytes // 10
    for a, b in zip(f(x), funcgrad.jit(f, compile="now")(x), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=6, deadline=None)
@given(st.integers(2, 6), st.integers(20, 60), st.sampled_from([20, 24]))
def test_stack_of_products_member_by_member_equals_eager(k: int, n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    q, x = rng.normal(size=(k, d, d)) * 0.3, rng.normal(size=(n, d))
    f = funcgrad.value_and_grad(lambda q, x: np.sum(mixed(q, x)), argnums=(0, 1))
    text = loops(f, q, x)
    assert "loop t0" in text
    assert "gemm" in text
    (y, (q_bar, x_bar)), (z, (q_dot, x_dot)) = f(q, x), funcgrad.jit(f, compile="now")(q, x)
    for a, b in ((y, z), (q_bar, q_dot), (x_bar, x_dot)):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=6, deadline=None)
@given(st.integers(64, 300), st.integers(20, 50), st.sampled_from([np.float64, np.float32]))
def test_products_by_rows_equal_eager(n: int, m: int, dtype: Any) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, m)).astype(dtype)
    w, y = rng.normal(size=m).astype(dtype), (rng.uniform(size=n) < 0.5).astype(dtype)
    parameters = [rng.normal(size=shape).astype(dtype) / 4 for shape in ((m, 40), (40,), (40, 12))]
    tolerance = 1e-12 if dtype is np.float64 else 2e-5
    for f, first, *rest in ((logistic, w, x, y), (network, parameters, x), (nearest, x[:30] + dtype(0.25), x)):
        gradient = funcgrad.value_and_grad(f)
        compiled = funcgrad.jit(gradient, compile="now")(first, *rest)
        for a, b in zip(*map(funcgrad.tree.leaves, (gradient(first, *rest), compiled)), strict=True):
            np.testing.assert_allclose(b, a, rtol=10 * tolerance, atol=tolerance * n * np.abs(a).max())
        if f is not logistic or n * m > 8000:
            assert "gemm" in loops(gradient, first, *rest) or f is logistic


def test_product_and_its_transpose_read_a_large_matrix_together() -> None:
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(5000, 100)), rng.normal(size=100), rng.integers(0, 2, 5000)
    gradient = funcgrad.grad(logistic)
    text = loops(gradient, w, x, y)
    assert text.index("loop t0") < text.index("gemv") < text.index("=add=")
    np.testing.assert_allclose(funcgrad.jit(gradient, compile="now")(w, x, y), gradient(w, x, y), rtol=1e-11, atol=1e-9)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("portion", range(4))
def test_random_program_in_blocks_equals_eager(portion: int) -> None:
    for seed in range(portion, 48, 4):
        try:
            fuzz.check(seed)
        except AssertionError as error:
            error.add_note(repr(fuzz.Drawn(seed)))
            raise


def test_small_arrays_are_not_divided() -> None:
    assert "-block" not in loops(heat, np.ones(1000))


def test_large_arrays_are_divided_and_equal_eager() -> None:
    u = np.random.default_rng(0).normal(size=LARGE)
    assert "-block" in loops(heat, u)
    np.testing.assert_allclose(funcgrad.jit(heat, compile="now")(u), heat(u), rtol=1e-13)


def test_what_only_a_round_needs_takes_no_memory_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    q, x = rng.normal(size=(40, 32, 32)), rng.normal(size=(1000, 32))
    program = funcgrad.jit(lambda q, x: np.sum(np.einsum("kij,nkj->nki", q, x[:, None] - q[:, 0]) ** 2, axis=-1))
    assert program.lower(q, x)._program.stages().workspace < 0.2 * 40 * 1000 * 32 * 8


def test_loop_of_many_steps_over_large_arrays_equals_eager() -> None:
    u = np.random.default_rng(1).normal(size=LARGE)

    def f(u: Any) -> Any:
        return funcgrad.scan(lambda u, _: (heat(u, 2), None), u, None, length=3)[0]

    assert "t1 of" in loops(f, u)
    np.testing.assert_allclose(funcgrad.jit(f, compile="now")(u), heat(u, 6), rtol=1e-13)


@pytest.mark.parametrize("shape", [(200, 96), (96, 200), (7, 64, 96), (72, 100), (100, 72), (1000, 8)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_large_transposes_equal_numpys(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    f = funcgrad.jit(lambda x: (np.swapaxes(x, -1, -2) + dtype(1), x.T * dtype(2)), compile="now")
    for y, z in zip(f(x), (np.swapaxes(x, -1, -2) + dtype(1), x.T * dtype(2)), strict=True):
        np.testing.assert_array_equal(y, z)
