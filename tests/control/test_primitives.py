"""The primitives that carry jaxprs, as jaxprs: well formed at every order, and the same batched, evaluated, printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad import lax
from funcgrad.core.jaxpr import check_jaxpr, subjaxprs
from funcgrad.transforms.evaluate import evaluate

A = np.random.default_rng(0).normal(size=(3, 3))
XS = np.random.default_rng(1).normal(size=(5, 3))


def recurrent(c: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        c = np.tanh(A @ c) + x
        return c, np.sum(c**2)

    c, ys = lax.scan(step, c, XS)
    return np.sum(c) + np.sum(np.sin(ys))


def counted(c: Any) -> Any:
    return np.sum(lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, np.sin(A @ s[1])), (0, c))[1])


def chosen(c: Any) -> Any:
    return np.sum(lax.cond(c[0] > 0, lambda c: np.sin(c) * c, lambda c: np.exp(c), c))


def switched(c: Any) -> Any:
    branches = [np.sin, lambda c: c * c, lambda c: np.tanh(A @ c)]
    return np.sum(lax.switch(np.argmax(c), branches, c))


def kept(c: Any) -> Any:
    return np.sum(fg.checkpoint(lambda c: np.sin(A @ np.tanh(c)))(c))


def by_rule(c: Any) -> Any:
    f = fg.custom_jvp(lambda c: np.exp(c) * c)
    f.defjvp(lambda xs, dots: (np.exp(xs[0]) * xs[0], (np.exp(xs[0]) + f(xs[0])) * dots[0]))
    return np.sum(f(c))


def foreign(c: Any) -> Any:
    return np.sum(fg.opaque(lambda c: A @ c, derivative=fg.jit(lambda c: A + 0 * c))(c) ** 2)


def solved(c: Any) -> Any:
    return np.sum(fg.linear_solve(lambda x: A @ x + 5 * x * np.sum(c**2), c))


PROGRAMS = [recurrent, counted, chosen, switched, kept, by_rule, foreign, solved]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_jaxpr_of_every_order_is_well_formed_and_computes_the_same(f: Any) -> None:
    c = np.array([0.3, -0.2, 0.5])
    for g in (f, fg.grad(f), fg.jacfwd(fg.grad(f)), fg.jacrev(fg.grad(f)), fg.jacfwd(fg.hessian(f))):
        jaxpr = fg.make_jaxpr(g)(c)
        check_jaxpr(jaxpr)
        np.testing.assert_allclose(evaluate(jaxpr, [c])[0], g(c), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_batched_rows_equal_the_loop_over_rows(f: Any) -> None:
    rows = np.random.default_rng(2).normal(size=(4, 3))
    for g in (f, fg.grad(f), fg.hessian(f)):
        np.testing.assert_allclose(fg.vmap(g)(rows), [g(row) for row in rows], rtol=1e-10, atol=1e-12)


def test_subjaxprs_of_a_cond_are_its_branches() -> None:
    jaxpr = fg.make_jaxpr(switched)(np.ones(3))
    eqn = next(eqn for eqn in jaxpr.equations if eqn.primitive.name == "cond")
    assert [name for name, _ in subjaxprs(eqn)] == ["branches[0]", "branches[1]", "branches[2]"]
    assert "branches=({ lambda" in str(jaxpr)


THROUGH = {
    "checkpoint": lambda n: fg.checkpoint(lambda n: n * 2)(n),
    "cond": lambda n: lax.cond(np.array([True])[0], lambda n: n * 2, lambda n: n, n),
    "scan": lambda n: lax.scan(lambda c, _: (c + n, None), n, None, 1)[0],
    "while": lambda n: lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, s[1] * 2), (0, n))[1],
    "custom": lambda n: fg.custom_vjp(lambda n: n * 2)(n),
}


@pytest.mark.parametrize("name", THROUGH)
def test_traced_integers_pass_through_as_they_are(name: str) -> None:
    f = THROUGH[name]
    if name == "custom":
        inner = fg.custom_jvp(lambda n: n * 2)
        inner.defjvp(lambda xs, dots: (xs[0] * 2, dots[0]))
        f = inner
    product = lambda n, x: np.sum(f(n) * np.sin(x))
    for n in (3, np.array(3), np.array([1, 2])):
        value, (_, slope) = fg.value_and_grad(product, argnums=(0, 1), allow_int=True)(n, 0.5)
        assert value == pytest.approx(6 * np.sin(0.5))
        assert slope == pytest.approx(6 * np.cos(0.5))


@pytest.mark.parametrize(("index", "expected"), [(-3, 1.0), (0, 1.0), (1, 4.0), (2, 12.0), (9, 12.0)])
def test_switch_beyond_its_ends_takes_the_nearest_branch_with_its_derivative(index: int, expected: float) -> None:
    branches = [lambda x: x, lambda x: x**2, lambda x: x**3]
    f = lambda x: lax.switch(index, branches, x)
    assert fg.grad(f)(2.0) == expected
    assert (
        fg.vmap(lambda x, i: fg.grad(lambda x: lax.switch(i, branches, x))(x))(np.array([2.0]), np.array([index]))
        == expected
    )
    assert fg.jit(lambda i, x: fg.grad(lambda x: lax.switch(i, branches, x))(x))(index, 2.0) == expected
