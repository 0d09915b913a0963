"""Loops, branches and calls of control flow in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad import lax
from funcgrad.core.tree import tree_leaves

X = np.linspace(-1.0, 1.5, 6)
Z = X * np.exp(2j * X)
F = np.array([[0.5, 0.2, 0.0], [0.1, 0.4, 0.3], [0.0, -0.2, 0.6]])


def assert_compiled(f: Callable[..., Any], *args: Any) -> None:
    expected = tree_leaves(f(*args))
    compiled = fg.jit(f, compile="now")
    compiled(*args)
    for _ in range(2):
        for y, z in zip(tree_leaves(compiled(*args)), expected, strict=True):
            assert np.shape(y) == np.shape(z)
            np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-14)
    program = compiled.explain().programs[0]
    assert program.executable is not None
    assert not program.executable.fallbacks


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "scan": (lambda x: lax.scan(lambda c, v: (c + v, c * 2.0), 0.0, x), (X,)),
    "scan backwards": (lambda x: lax.scan(lambda c, v: (c * v, c - v), 1.0, x, reverse=True), (X,)),
    "carries that change places": (
        lambda x: lax.scan(lambda c, v: ((c[1], c[0] + c[1] * v), c[0]), (0.0, 1.0), x),
        (X,),
    ),
    "vectors": (lambda x: lax.scan(lambda c, v: (np.tanh(c * v), c.sum()), np.ones(5), x), (X,)),
    "matrices": (lambda x: lax.scan(lambda c, v: (F @ c @ F.T + v, np.trace(c)), np.eye(3), x), (X,)),
    "no rounds": (lambda x: lax.scan(lambda c, v: (c + v, c), 1.0, x), (np.zeros(0),)),
    "nested": (lambda x: lax.scan(lambda c, v: (lax.fori_loop(0, 3, lambda i, y: y * 0.5 + v, c), c), 1.0, x), (X,)),
    "updates in place": (lambda x: lax.fori_loop(2, 6, lambda i, c: c.at[i].set(c[i - 1] + c[i - 2]), x), (X,)),
    "while": (lambda a: lax.while_loop(lambda x: np.abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a), (2.0,)),
    "while at once": (lambda a: lax.while_loop(lambda x: x > 10.0, lambda x: x - 1.0, a), (2.0,)),
    "cond": (lambda a: lax.cond(a > 0, lambda x: x * 2, lambda x: x - 1.0, a), (2.0,)),
    "cond otherwise": (lambda a: lax.cond(a > 0, lambda x: x * 2, lambda x: x - 1.0, a), (-2.0,)),
    "switch beyond the last": (lambda i, x: lax.switch(i, [np.sin, np.cos, np.exp], x), (7, X)),
    "complex scan": (lambda z: lax.scan(lambda c, v: (c * v + 1j, (c, abs(c))), z[0], z), (Z,)),
    "complex and real carry": (
        lambda z: lax.scan(lambda c, v: ((c[0] * v.real, c[1] + c[0] * v), np.abs(c[1])), (1.0, 0j), z),
        (Z,),
    ),
    "complex carry of a while loop": (
        fg.vmap(
            lambda z: lax.while_loop(
                lambda s: (abs(s[1]) < 2) & (s[0] < 50), lambda s: (s[0] + 1, s[1] ** 2 + z), (0, z)
            )
        ),
        (Z,),
    ),
    "complex branches": (lambda z: lax.cond(np.sum(z).real > 0, lambda u: u * 1j, lambda u: np.exp(u), z), (Z,)),
    "complex derivative of a while loop": (
        fg.grad(
            lambda z: lax.while_loop(lambda s: abs(s * s - z) > 1e-12, lambda s: 0.5 * (s + z / s), z), holomorphic=True
        ),
        (2 + 1j,),
    ),
    "gradient through complex numbers": (
        fg.hessian(
            lambda x: abs(lax.fori_loop(0, x[0].astype(int), lambda i, c: c * np.exp(1j * x[1]), 1j + x[1])) ** 2
        ),
        (np.array([7.0, 0.3]),),
    ),
    "gradient of scan": (fg.grad(lambda x: np.sum(lax.scan(lambda c, v: (np.tanh(c * v), c), np.ones(3), x)[1])), (X,)),
    "second derivative of scan": (
        fg.hessian(lambda x: lax.scan(lambda c, v: (np.sin(c * v), None), 1.0, x)[0]),
        (X,),
    ),
    "gradient of cond": (fg.grad(lambda a: lax.cond(a > 0, lambda x: x**3, lambda x: -x, a)), (2.0,)),
    "checkpoint": (fg.grad(lambda x: np.sum(fg.checkpoint(lambda y: np.sin(np.exp(y)))(x))), (X,)),
    "rows of cond": (fg.vmap(lambda a: lax.cond(a > 0, lambda x: x * 2, lambda x: x - 1.0, a)), (X,)),
}


@pytest.mark.parametrize("name", CASES)
def test_construct_is_native_and_equals_eager(name: str) -> None:
    f, args = CASES[name]
    assert_compiled(f, *args)


def test_gradient_of_while_loop_compiled_equals_eager() -> None:
    def root(a: Any) -> Any:
        return lax.while_loop(lambda x: np.abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)

    assert_compiled(fg.grad(root), 2.0)
    assert_compiled(fg.vmap(fg.grad(root)), X + 2.0)


def test_custom_rules_compiled_use_the_rule() -> None:
    @fg.custom_jvp
    def f(x: Any) -> Any:
        return np.sin(x)

    f.defjvp(lambda primals, tangents: (f(primals[0]), 2 * np.cos(primals[0]) * tangents[0]))
    assert_compiled(fg.grad(lambda x: np.sum(f(x) ** 2)), X)


def loops(f: Callable[..., Any], *args: Any) -> str:
    return fg.jit(f).lower(*args).as_text("loops")  # type: ignore[no-any-return]


def test_gradient_of_updates_in_place_touches_single_elements_only() -> None:
    def filled(x: Any) -> Any:
        return np.sum(lax.fori_loop(2, 300, lambda i, c: c.at[i].set(np.sin(c[i - 1]) + c[i - 2]), x) ** 2)

    x = np.linspace(-0.3, 0.4, 300)
    assert_compiled(fg.grad(filled), x)
    back = loops(fg.grad(filled), x).split("\nloop ")[-1]
    assert "i0<300" not in back


def test_loop_in_a_loop_carries_on_in_the_same_memory() -> None:
    def nested(x: Any) -> Any:
        return lax.fori_loop(0, 50, lambda i, c: lax.fori_loop(0, 3, lambda j, d: d * 0.99 + x, c), x)

    x = np.linspace(-1, 1, 400)
    assert_compiled(nested, x)
    assert loops(nested, x).count("i0<400") == 2  # the first values, and the step


def test_carry_that_others_need_is_not_overwritten() -> None:
    def shared(x: Any) -> Any:
        def outer(c: Any, k: Any) -> Any:
            d, e = lax.fori_loop(0, 2, lambda j, s: (s[1] * 0.5 + x, s[0] + 1), (c, c))
            rows = lax.scan(lambda s, row: (s + row, s * row), c, np.stack([c, c * 2]))[1]
            last = lax.while_loop(lambda s: np.sum(s) < 9, lambda s: s + 1 + c, c)
            return d - e + last, (c, rows, d)

        return lax.scan(outer, x, np.arange(4))

    x = np.linspace(0.1, 0.2, 5)
    assert_compiled(shared, x)
    assert_compiled(fg.grad(lambda x: sum(np.sum(np.sin(y)) for y in tree_leaves(shared(x)))), x)


def test_rows_that_are_read_after_an_update_are_the_old_ones() -> None:
    def updated(x: Any, i: Any) -> Any:
        def step(c: Any, k: Any) -> Any:
            d = c.at[k].set(c[k - 1] * 2)
            e = d.at[i].add(np.sum(c[:2]))
            return e, (c[k], d[k], c[i] + e[k], e[1:3])

        return lax.scan(step, x, np.arange(6) % 4)

    x = np.linspace(-1, 1, 40)
    assert_compiled(updated, x, np.int64(3))
    assert_compiled(fg.grad(lambda x: sum(np.sum(np.sin(y)) for y in tree_leaves(updated(x, 3)))), x)


def test_what_is_stacked_twice_is_stored_once() -> None:
    f = fg.grad(lambda x: np.sum(lax.scan(lambda c, v: (np.sin(c) * v, (c, c)), np.ones(50), x)[1][0] ** 2))
    assert_compiled(f, X)
    forward = loops(f, X).split("\nloop ")[1]
    assert forward.count("50*t0 + i0] =") <= 3
