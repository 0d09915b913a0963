"""Loops keep less for their way back, and compute the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad import lax
from funcgrad.compiler import recomputing
from funcgrad.compiler.recomputing import recomputed
from funcgrad.control.derived import closed
from funcgrad.control.scan import scan_p
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.tree import tree_leaves
from tests.compiler import fuzz
from tests.compiler.drawing import Drawn

Body = Callable[[Any, Any, Any], tuple[Any, Any]]


def runge_kutta(a: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """A step of order 4 in a chain in which each element feeds the next."""

    def slope(y: Any) -> Any:
        return np.concatenate([a[:1], a[1:] * y[:-1]])

    k1 = slope(y)
    k2 = slope(y + 0.01 * k1)
    k3 = slope(y + 0.01 * k2)
    k4 = slope(y + 0.02 * k3)
    return y + 0.02 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None


def network(a: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """Of a function that takes long only its result is kept; what comes of that and of rows is made again."""
    z = np.tanh(y * x + a)
    return z * (1 - z) * (1 + z) + y, z * x


def rows_alone(a: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """What comes of rows and of constants is never kept."""
    w = x * x + a
    return y * w + y * (w - x), None


def branches(a: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """With comparisons, and the same result kept twice."""
    z = np.where(y > x, y * a, -y) * y
    return np.minimum(z, 1 - z) * z, z * z


BODIES = [runge_kutta, network, rows_alone, branches]


def gradient(body: Body, length: int) -> Callable[..., Any]:
    """All derivatives of a sum over what a loop gives."""

    def total(a: Any, y: Any, xs: Any) -> Any:
        y, zs = lax.scan(lambda y, x: body(a, y, x), y, xs, length)
        return np.sum(y * y) + (0.0 if zs is None else np.sum(np.sin(zs)))

    return fg.value_and_grad(total, (0, 1, 2))


def inputs(n: int, length: int) -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.uniform(0.1, 0.9, n), rng.uniform(0.1, 0.9, n), rng.uniform(0.1, 0.9, (length, n))]


def kept(jaxpr: Jaxpr) -> list[int]:
    """The bytes of what each loop of a program stacks."""
    loops = [eqn for eqn in jaxpr.equations if eqn.primitive is scan_p]
    return [sum(v.aval.size * v.aval.dtype.itemsize for v in eqn.outputs[eqn.params["num_carry"] :]) for eqn in loops]


@pytest.mark.parametrize(("body", "rows"), [(runge_kutta, 1), (network, 3), (rows_alone, 1), (branches, 2)])
def test_loops_keep_no_more_than_they_need(body: Body, rows: int) -> None:
    n, length = 5000, 40
    jaxpr = closed(fg.make_jaxpr(gradient(body, length))(*inputs(n, length))).jaxpr
    assert kept(recomputed(jaxpr))[0] == rows * n * length * 8
    assert kept(recomputed(jaxpr))[0] < kept(jaxpr)[0]


def test_short_loops_keep_everything() -> None:
    jaxpr = closed(fg.make_jaxpr(gradient(runge_kutta, 40))(*inputs(50, 40))).jaxpr
    assert kept(recomputed(jaxpr))[0] == kept(jaxpr)[0]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("of", ["gradient", "hessian", "rows"])
def test_derivatives_are_the_same_bits(body: Body, of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f = gradient(body, 5)
    a, y, xs = inputs(6, 5)
    if of == "hessian":
        g: Any = fg.jacobian(lambda y: f(a, y, xs)[1][1])
    elif of == "rows":
        g = fg.vmap(lambda y: f(a, y, xs)[1])
        y = np.stack([y, 0.5 * y, y[::-1]])
    else:
        g = lambda y: f(a, y, xs)
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    results = []
    for large in (10**9, 0):
        monkeypatch.setattr(recomputing, "_LARGE", large)
        compiled = fg.jit(g, compile="now")
        compiled(y)
        results.append(tree_leaves(compiled(y)))
    for before, after in zip(*results, strict=True):
        np.testing.assert_array_equal(before, after)


def test_products_that_are_only_summed_are_never_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(y: Any, xs: Any) -> Any:
        _, outer = lax.scan(lambda y, x: (y * 0.2 + x, np.outer(y, x)), y, xs)
        return lax.scan(lambda z, t: (z * 0.3, np.sum(t, 0)), y, outer, reverse=True)[1]

    _, y, xs = inputs(40, 5)
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    monkeypatch.setattr(recomputing, "_LARGE", 0)
    compiled = fg.jit(f, compile="now")
    compiled(y, xs)
    np.testing.assert_allclose(compiled(y, xs), f(y, xs), rtol=1e-13)


def test_stack_that_two_loops_read_is_stacked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(y: Any, xs: Any) -> Any:
        _, (a, b) = lax.scan(lambda y, x: (np.sin(y) + x, (y + 1.0, y * y)), y, xs)
        first = lax.scan(lambda z, t: (z + t, None), y, a)[0]
        return lax.scan(lambda z, t: (z * t, None), first, b)[0]

    _, y, xs = inputs(6, 5)
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    monkeypatch.setattr(recomputing, "_LARGE", 0)
    monkeypatch.setattr(recomputing._Sources, "_pays", lambda self, results, leaves, between: bool(between))
    assert kept(recomputed(closed(fg.make_jaxpr(f)(y, xs)).jaxpr))[0] == 5 * 6 * 8
    compiled = fg.jit(f, compile="now")
    compiled(y, xs)
    np.testing.assert_allclose(compiled(y, xs), f(y, xs), rtol=1e-14)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
@example(2249)  # a stack that is kept for one loop is read by another, too
def test_random_loops_equal_eager_ones(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUNCGRAD_CACHE", "0")
        patch.setattr(recomputing, "_LARGE", 0)
        # Whether it pays or not.
        patch.setattr(recomputing._Sources, "_pays", lambda self, results, leaves, between: bool(between))
        try:
            fuzz.check(seed, loops=True)
        except AssertionError as error:
            error.add_note(repr(Drawn(seed, 7, True)))
            raise


def many_functions(a: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """Several results that take long, of which more comes cheaply."""
    parts = [np.tanh(y * x), np.sin(y + a), np.cos(y - x), np.exp(-y * a), np.arctan(x * y)]
    total = y
    for k, p in enumerate(parts):
        for q in parts[k + 1 :]:
            total = total + (p + q) * (p - q) * (p * q - a)
    return total, None


def test_programs_are_the_same_in_every_process() -> None:
    """What is kept has an order: programs are found on disk by their text."""
    arguments = inputs(5000, 40)
    before = kept(closed(fg.make_jaxpr(gradient(many_functions, 40))(*arguments)).jaxpr)[0]
    made = [recomputed(closed(fg.make_jaxpr(gradient(many_functions, 40))(*arguments)).jaxpr) for _ in range(10)]
    assert all(kept(jaxpr)[0] < 0.6 * before for jaxpr in made)
    assert len(set(map(str, made))) == 1
