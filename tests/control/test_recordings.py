"""Constructs in recordings of every kind: of values, of types alone, of integers that have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad import lax

A = np.random.default_rng(0).normal(size=(3, 3)) / 2
C = np.array([0.3, -0.2, 0.5])
EYE = np.eye(3)


def linear_rule(x: Any) -> Any:
    f = fg.custom_jvp(lambda x: A @ x)
    f.defjvp(lambda xs, dots: (A @ xs[0], A @ dots[0]))
    return f(x)


# A x, each in its own way.
LINEAR: dict[str, Any] = {
    "scan": lambda x: lax.scan(lambda c, row: (c, row @ c), x, A)[1],
    "steps": lambda x: lax.scan(lambda c, row: (c, row @ c), x, A, checkpoint=2)[1],
    "while": lambda x: lax.while_loop(lambda s: s[1] < 1, lambda s: (A @ s[0], s[1] + 1), (x, 0))[0],
    "checkpointed_while": lambda x: lax.while_loop(
        lambda s: s[1] < 1, lambda s: (A @ s[0], s[1] + 1), (x, 0), checkpoint=2
    )[0],
    "checkpoint": lambda x: fg.checkpoint(lambda x: A @ x)(x),
    "cond": lambda x: lax.cond(True, lambda x: A @ x, lambda x: x, x),
    "custom_jvp": linear_rule,
    "linear_solve": lambda x: fg.linear_solve(np.linalg.inv(A), x),
    "by_row": lambda x: fg.vmap(lambda row, s: lax.cond(s > 0, lambda r: r @ x, lambda r: r @ x, row))(A, C),
    "custom_vmap": lambda x: with_batches(lambda x: A @ x)(x),
}


def with_batches(f: Any) -> Any:
    g = fg.custom_vmap(f)
    g.def_vmap(lambda size, batched, x: (fg.vmap(f)(x), True))
    return g


@pytest.mark.parametrize("name", LINEAR)
def test_linear_construct_is_transposed_without_values(name: str) -> None:
    f = LINEAR[name]
    np.testing.assert_allclose(fg.linear_transpose(f, C)(C)[0], A.T @ C, rtol=1e-12)
    np.testing.assert_allclose(fg.jit(lambda ct: fg.linear_transpose(f, C)(ct)[0])(C), A.T @ C, rtol=1e-12)
    rows = fg.vmap(lambda ct: fg.linear_transpose(f, C)(ct)[0])(EYE)
    np.testing.assert_allclose(rows, A, rtol=1e-12)


def test_linear_branch_by_an_index_without_value_is_transposed() -> None:
    choose = lambda k: lambda x: lax.switch(k, [lambda x: A @ x, lambda x: 3 * x, lambda x: A.T @ x], x)
    transposed = lambda k, ct: fg.linear_transpose(choose(k), C)(ct)[0]
    exact = [A.T @ C, 3 * C, A @ C]
    for k in range(3):
        np.testing.assert_allclose(fg.jit(transposed)(k, C), exact[k], rtol=1e-12)
    np.testing.assert_allclose(fg.vmap(transposed, (0, None))(np.arange(3), C), exact, rtol=1e-12)


LOOPS: dict[str, Any] = {
    "scan": lambda c: lax.scan(lambda c, row: (np.sin(A @ c) * row, None), c, A)[0],
    "steps": lambda c: lax.scan(lambda c, row: (np.sin(A @ c) * row, None), c, A, checkpoint=2)[0],
    "while": lambda c: lax.while_loop(lambda s: s[1] < 3, lambda s: (np.sin(A @ s[0]), s[1] + 1), (c, 0))[0],
    "checkpointed_while": lambda c: lax.while_loop(
        lambda s: s[1] < 3, lambda s: (np.sin(A @ s[0]), s[1] + 1), (c, 0), checkpoint=2
    )[0],
}


@pytest.mark.parametrize("name", LOOPS)
def test_pullback_of_a_loop_is_transposed_as_any_linear_function(name: str) -> None:
    loop = LOOPS[name]
    jacobian = fg.jacfwd(loop)(C)
    pull = lambda ct: fg.vjp(loop, C)[1](ct)[0]
    np.testing.assert_allclose(fg.linear_transpose(pull, C)(C)[0], jacobian @ C, rtol=1e-11)
    transposed = lambda c, v: fg.linear_transpose(lambda ct: fg.vjp(loop, c)[1](ct)[0], C)(v)[0]
    for around in (fg.jit, lambda f: lambda c, v: fg.vmap(f)(np.stack([c, c]), np.stack([v, v]))[1]):
        np.testing.assert_allclose(around(transposed)(C, C), jacobian @ C, rtol=1e-11)
    f = fg.custom_jvp(lambda c: jacobian.T @ c)  # a rule whose tangent is the pullback
    f.defjvp(lambda cs, dots: (jacobian.T @ cs[0], pull(dots[0])))
    np.testing.assert_allclose(fg.grad(lambda c: np.sum(f(c) ** 2))(C), 2 * jacobian @ (jacobian.T @ C), rtol=1e-11)
    in_a_loop = lambda c: lax.scan(lambda c, _: (np.sin(f(c)), None), c, None, 2)[0]
    exact = lambda c: np.sin(jacobian.T @ np.sin(jacobian.T @ c))
    np.testing.assert_allclose(fg.jacrev(in_a_loop)(C), fg.jacrev(exact)(C), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", LOOPS)
def test_pullback_of_a_loop_transposed_twice_is_the_pullback(name: str) -> None:
    expected = fg.vjp(LOOPS[name], C)[1](C)[0]

    def once(c: Any, v: Any) -> Any:
        return fg.linear_transpose(lambda ct: fg.vjp(LOOPS[name], c)[1](ct)[0], C)(v)[0]

    def twice(c: Any, ct: Any) -> Any:
        return fg.linear_transpose(lambda v: once(c, v), C)(ct)[0]

    def by_a_rule(c: Any, ct: Any) -> Any:
        f = fg.custom_jvp(lambda v: once(c, v))
        f.defjvp(lambda vs, dots: (once(c, vs[0]), once(c, dots[0])))
        return fg.vjp(f, C)[1](ct)[0]

    for f in (twice, by_a_rule):
        np.testing.assert_allclose(f(C, C), expected, rtol=1e-11)
        np.testing.assert_allclose(fg.jit(f)(C, C), expected, rtol=1e-11)
        np.testing.assert_allclose(fg.vmap(f, (0, None))(np.stack([C, C]), C), [expected] * 2, rtol=1e-11)


@pytest.mark.parametrize("name", ["while", "checkpointed_while", "steps"])
def test_pullback_that_depends_on_a_traced_integer_alone_passes_through(name: str) -> None:
    checkpoint = None if name == "while" else 2

    def loop(c: Any, n: Any) -> Any:
        if name == "steps":
            return lax.scan(lambda c, _: (np.sin(A @ c) * n, None), c, None, 3, checkpoint=checkpoint)[0]
        body = lambda s: (np.sin(A @ s[0]) * n, s[1] + 1)
        return lax.while_loop(lambda s: s[1] < n, body, (c, 0), checkpoint=checkpoint)[0]

    gradient = lambda n: fg.grad(lambda c: np.sum(loop(c, n)))(C)

    def product(x: Any) -> Any:
        y, n = lax.scan(lambda c, _: ((np.sin(c[0]), c[1] + 1), None), (x, 0), None, 3)[0]
        return y * np.sum(fg.vmap(gradient)(n - np.arange(2)))

    total = np.sum(gradient(3)) + np.sum(gradient(2))
    sine = lambda x: np.sin(np.sin(np.sin(x))) * total
    np.testing.assert_allclose(product(0.5), sine(0.5), rtol=1e-12)
    np.testing.assert_allclose(fg.grad(product)(0.5), fg.grad(sine)(0.5), rtol=1e-12)
    np.testing.assert_allclose(fg.jacfwd(product)(0.5), fg.grad(sine)(0.5), rtol=1e-12)


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_integers_that_a_loop_gives_pass_through_further_constructs(checkpoint: Any) -> None:
    doubled = fg.custom_jvp(lambda n: n * 2)
    doubled.defjvp(lambda xs, dots: (xs[0] * 2, dots[0]))
    constructs = [
        lambda n: lax.scan(lambda c, _: (c + 1, None), n, None, 2, checkpoint=checkpoint)[0],
        lambda n: lax.while_loop(lambda m: m < 7, lambda m: m + 1, n, checkpoint=checkpoint),
        lambda n: lax.cond(n > 1, lambda n: n * 3, lambda n: n, n),
        fg.checkpoint(lambda n: n * 2),
        doubled,
    ]

    def f(x: Any) -> Any:
        y, n = lax.scan(lambda c, _: ((np.sin(c[0]), c[1] + 1), None), (x, 0), None, 3, checkpoint=checkpoint)[0]
        return y * sum(construct(n) for construct in constructs)

    total = 5 + 7 + 9 + 6 + 6
    sine = lambda x: np.sin(np.sin(np.sin(x))) * total
    for around in (lambda f: f, fg.jit, lambda f: lambda x: fg.vmap(f)(np.array([x, 0.1]))[0]):
        np.testing.assert_allclose(around(fg.grad(f))(0.4), fg.grad(sine)(0.4), rtol=1e-13)
        np.testing.assert_allclose(around(fg.jacfwd(f))(0.4), fg.grad(sine)(0.4), rtol=1e-13)


@pytest.mark.parametrize("checkpoint", [None, 2, "sqrt"])
def test_what_is_the_same_in_all_steps_is_a_residual_once(checkpoint: Any) -> None:
    def loop(w: Any, c: Any) -> Any:
        step = lambda c, x: (np.sin(c) * np.exp(w) + x * np.cos(2.0), np.cosh(w) * c)
        c, ys = lax.scan(step, c, A, checkpoint=checkpoint)
        return np.sum(c) + np.sum(ys**2)

    def unrolled(w: Any, c: Any) -> Any:
        ys = []
        for x in A:
            ys.append(np.cosh(w) * c)
            c = np.sin(c) * np.exp(w) + x * np.cos(2.0)
        return np.sum(c) + np.sum(np.stack(ys) ** 2)

    for derivative in (
        lambda f: fg.grad(f, argnums=1),
        lambda f: fg.hessian(f, argnums=1),
        lambda f: fg.grad(f, argnums=0),
        lambda f: fg.jacfwd(fg.grad(f, argnums=1), argnums=0),
    ):
        expected = derivative(unrolled)(0.3, C)
        np.testing.assert_allclose(derivative(loop)(0.3, C), expected, rtol=1e-12)
        np.testing.assert_allclose(fg.jit(derivative(loop))(0.3, C), expected, rtol=1e-12)
        rows = fg.vmap(derivative(loop), (0, None))(np.array([0.3, 0.4]), C)
        np.testing.assert_allclose(rows, [expected, derivative(unrolled)(0.4, C)], rtol=1e-12)


def test_captured_batches_of_a_function_with_a_batching_rule_are_batched_by_its_equations() -> None:
    def f(k: Any, x: Any) -> Any:
        g = fg.custom_vmap(lambda x: np.sin(x) * k)
        g.def_vmap(lambda size, batched, x: (np.sin(x) * 100.0, True))
        return g(x)

    ks, xs = np.array([1.0, 2.0]), np.array([0.3, 0.4])
    np.testing.assert_allclose(fg.vmap(f)(ks, xs), np.sin(xs) * ks)
    np.testing.assert_allclose(fg.vmap(fg.grad(f, argnums=1))(ks, xs), np.cos(xs) * ks)
