"""Loops that keep few states, and branches by row, inside of other programs: compiled, linear, without values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad import lax
from funcgrad.control.constants import without_constants
from funcgrad.core.jaxpr import Jaxpr, check_jaxpr
from funcgrad.transforms.evaluate import evaluate

A = np.random.default_rng(0).normal(size=(3, 3)) / 2
C = np.array([0.3, -0.2, 0.5])


def counted(c: Any, n: Any, checkpoint: Any) -> Any:
    body = lambda s: (np.sin(A @ s[0]) + s[0], s[1] + 1)
    return lax.while_loop(lambda s: s[1] < n, body, (c, 0), checkpoint=checkpoint)[0]


def scanned(c: Any, n: Any, checkpoint: Any) -> Any:
    return lax.scan(lambda c, x: (np.sin(A @ c) + x, None), c, np.linspace(0, 1, 7), checkpoint=checkpoint)[0]


@pytest.mark.parametrize("loop", [counted, scanned], ids=lambda f: f.__name__)
@pytest.mark.parametrize("checkpoint", [1, 3])
def test_value_and_both_modes_are_native_and_equal_the_loop_that_keeps_everything(loop: Any, checkpoint: int) -> None:
    forms = {
        "value": lambda k: lambda c, n: loop(c, n, k),
        "jvp": lambda k: lambda c, n: fg.jvp(lambda c: loop(c, n, k), (c,), (c,))[1],
        "vjp": lambda k: lambda c, n: fg.vjp(lambda c: loop(c, n, k), c)[1](c)[0],
        "reverse over forward": lambda k: (
            lambda c, n: fg.grad(lambda c: np.sum(fg.jvp(lambda c: loop(c, n, k), (c,), (c,))[1]))(c)
        ),
    }
    for form in forms.values():
        expected, compiled = form(None)(C, 7), fg.jit(form(checkpoint))
        np.testing.assert_allclose(form(checkpoint)(C, 7), expected, rtol=1e-12)
        for _ in range(2):
            np.testing.assert_allclose(compiled(C, 7), expected, rtol=1e-12)
        assert "native: all" in repr(compiled.explain())
        rows = fg.vmap(form(checkpoint), (0, None))(np.stack([C, 2 * C]), 7)
        np.testing.assert_allclose(rows, [expected, form(None)(2 * C, 7)], rtol=1e-12)


@pytest.mark.parametrize("loop", [counted, scanned], ids=lambda f: f.__name__)
def test_loop_of_integers_alone_has_no_derivative(loop: Any) -> None:
    power = lambda n: lax.while_loop(lambda s: s[1] < n, lambda s: (s[0] * 2, s[1] + 1), (1, 0), checkpoint=2)[0]
    total = lambda n: lax.scan(lambda c, k: (c + k, None), n, np.arange(4), checkpoint=2)[0]
    for f, y in ((power, 32), (total, 11)):
        value, pull = fg.vjp(lambda x, n, f=f: x * f(n), 0.5, 5)
        assert value == 0.5 * y
        assert pull(1.0)[0] == y
        assert fg.jit(lambda x, n, f=f: fg.grad(lambda x: x * f(n))(x))(0.5, 5) == y


@pytest.mark.parametrize("checkpoint", [2, "sqrt"])
def test_linear_loop_in_a_rule_is_transposed_where_there_are_no_values(checkpoint: Any) -> None:
    loops = {
        "scan": lambda v: lax.scan(lambda v, row: (A @ v, row @ v), v, A, checkpoint=checkpoint),
        "while": lambda v: (
            lax.while_loop(lambda s: s[1] < 3, lambda s: (A @ s[0], s[1] + 1), (v, 0), checkpoint=checkpoint)[0],
            np.stack([A[0] @ v, A[1] @ (A @ v), A[2] @ (A @ (A @ v))]),
        ),
    }
    plain = lambda v: (A @ A @ A @ v, np.stack([A[0] @ v, A[1] @ (A @ v), A[2] @ (A @ (A @ v))]))

    def ruled(linear: Any) -> Any:
        g = fg.custom_jvp(plain)
        g.defjvp(lambda vs, dots: (plain(vs[0]), linear(dots[0])))
        return lambda v: np.sum(np.sin(g(v)[0])) + np.sum(g(v)[1] ** 2)

    expected = fg.grad(lambda v: np.sum(np.sin(plain(v)[0])) + np.sum(plain(v)[1] ** 2))(C)
    for linear in loops.values():
        f = ruled(linear)
        for g in (fg.grad(f), fg.jit(fg.grad(f)), lambda c, f=f: fg.vmap(fg.grad(f))(np.stack([c, c]))[1]):
            np.testing.assert_allclose(g(C), expected, rtol=1e-12)
            np.testing.assert_allclose(g(C), expected, rtol=1e-12)


def by_row(x: Any, k: Any) -> Any:
    """A branch for each row, one of which looks into a table."""
    table = np.linspace(0, 1, 5)
    look_up = lambda x, k: x * fg.numpy.take(table, k)
    return fg.vmap(lambda x, k: lax.cond(x > 0, look_up, lambda x, k: x**2, x, k))(x, k)


@pytest.mark.parametrize("size", [5, 200])
def test_branches_by_row_in_a_loop_are_native(size: int) -> None:
    x, k = np.linspace(-1, 1, size), np.arange(size) % 5

    def loss(x: Any, branches: Any) -> Any:
        return np.sum(lax.fori_loop(0, 3, lambda i, x: branches(x, k) + 0.1, x) ** 2)

    plain = lambda x, k: np.where(x > 0, x * np.linspace(0, 1, 5)[k], x**2)
    for derivative in (lambda f: f, fg.grad, lambda f: lambda x: fg.jvp(fg.grad(f), (x,), (x,))[1]):
        expected = derivative(lambda x: loss(x, plain))(x)
        f = derivative(lambda x: loss(x, by_row))
        compiled = fg.jit(f)
        np.testing.assert_allclose(f(x), expected, rtol=1e-12)
        for _ in range(2):
            np.testing.assert_allclose(compiled(x), expected, rtol=1e-12)
        assert "native: all" in repr(compiled.explain())


def test_linear_branches_by_row_in_a_rule_are_transposed_where_there_are_no_values() -> None:
    signs, x = np.array([1.0, -1.0, 2.0]), np.array([0.5, 0.7, -0.2])
    choose = lambda s, v: lax.cond(s > 0, lambda v: 3 * v, lambda v: s * v, v)
    linear = lambda v: fg.vmap(choose)(signs, v)
    g = fg.custom_jvp(lambda v: linear(v))
    g.defjvp(lambda vs, dots: (linear(vs[0]), linear(dots[0])))
    slopes = np.where(signs > 0, 3, signs)
    gradient = fg.grad(lambda v: np.sum(g(v) ** 2))
    np.testing.assert_allclose(gradient(x), 2 * slopes**2 * x)
    np.testing.assert_allclose(fg.vmap(gradient)(np.stack([x, -x])), [2 * slopes**2 * x, -2 * slopes**2 * x])
    looped = fg.scan(lambda v, _: (0.1 * gradient(v), None), x, None, 2)[0]
    np.testing.assert_allclose(looped, 0.04 * slopes**4 * x)


@pytest.mark.parametrize(
    "value",
    [
        np.full((2, 3), 7.5),
        np.arange(100),
        np.arange(10, -90, -1).reshape(4, 25),
        np.array([[1.5, -0.0], [np.nan, np.inf]]),
        np.arange(3) * 2,
    ],
    ids=["uniform", "in steps", "downwards", "few", "even"],
)
def test_constants_are_made_by_equations(value: Any) -> None:
    jaxpr = fg.make_jaxpr(lambda x: x * value)(2.0)
    made = without_constants(jaxpr)
    assert jaxpr.constants
    assert made is not None
    assert not made.constants
    check_jaxpr(made)
    np.testing.assert_array_equal(evaluate(made, [1.0])[0], value)


def test_constants_of_many_elements_of_no_order_cannot_be_made() -> None:
    jaxpr = fg.make_jaxpr(lambda x: x * np.sin(np.arange(100.0)))(2.0)
    assert without_constants(jaxpr) is None
    assert without_constants(fg.make_jaxpr(lambda x: x * np.ones(0))(2.0)) is None
    assert type(without_constants(fg.make_jaxpr(np.sin)(2.0))) is Jaxpr
