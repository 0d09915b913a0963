"""Loops and branches as users write them: against Python's own loops, in every place of every transformation."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad import lax
from funcgrad.core.errors import ArgumentError, TracedBranchError, TreeMismatchError

A = np.random.default_rng(0).normal(size=(3, 3))
XS = np.random.default_rng(1).normal(size=(6, 3))


def python_scan(f: Any, carry: Any, xs: Any, reverse: bool = False) -> Any:
    ys = []
    for x in xs[::-1] if reverse else xs:
        carry, y = f(carry, x)
        ys.append(y)
    return carry, np.stack(ys[::-1] if reverse else ys)


def python_while(cond: Any, body: Any, value: Any) -> Any:
    while cond(value):
        value = body(value)
    return value


def step(c: Any, x: Any) -> Any:
    c = np.tanh(A @ c) + x
    return c, np.sum(c**2)


def scan_loss(scan: Any) -> Callable[..., Any]:
    def loss(c: Any, xs: Any) -> Any:
        c, ys = scan(step, c, xs)
        return np.sum(c) + np.sum(np.sin(ys))

    return loss


def while_loss(loop: Any) -> Callable[..., Any]:
    def loss(c: Any, xs: Any) -> Any:
        value = loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, np.sin(A @ s[1]) + xs[0] * s[0]), (0, c))
        return np.sum(value[1] ** 2)

    return loss


def cond_loss(cond: Any) -> Callable[..., Any]:
    def loss(c: Any, xs: Any) -> Any:
        return np.sum(cond(c[0] > 0, lambda c: np.sin(c) * xs[0], lambda c: np.exp(c) * xs[1], c))

    return loss


LOSSES = {
    "scan": (scan_loss(fg.scan), scan_loss(python_scan)),
    "while_loop": (while_loss(fg.while_loop), while_loss(python_while)),
    "cond": (cond_loss(fg.cond), cond_loss(lambda pred, f, g, x: f(x) if pred else g(x))),
}
C = np.array([0.3, -0.2, 0.5])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("argnum", [0, 1])
def test_derivatives_up_to_third_order_equal_those_of_the_unrolled_loop(name: str, argnum: int) -> None:
    loss, unrolled = LOSSES[name]
    np.testing.assert_allclose(loss(C, XS), unrolled(C, XS), rtol=1e-14)
    for first, second in itertools.product((fg.jacfwd, fg.jacrev), repeat=2):
        expected = first(second(unrolled, argnum), argnum)(C, XS)
        np.testing.assert_allclose(first(second(loss, argnum), argnum)(C, XS), expected, atol=1e-11)
        np.testing.assert_allclose(fg.jit(first(second(loss, argnum), argnum))(C, XS), expected, atol=1e-11)
    expected = fg.jacfwd(fg.hessian(unrolled, argnum), argnum)(C, XS)
    np.testing.assert_allclose(fg.jacfwd(fg.hessian(loss, argnum), argnum)(C, XS), expected, atol=1e-10)
    np.testing.assert_allclose(fg.jacrev(fg.hessian(loss, argnum), argnum)(C, XS), expected, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_rows_of_a_batch_equal_the_loop_over_rows(name: str) -> None:
    loss, unrolled = LOSSES[name]
    rows = np.random.default_rng(2).normal(size=(4, 3))
    for derivative in (lambda f: f, fg.grad, fg.hessian, lambda f: fg.jvp(f, (C, XS), (C, XS))[1]):
        if not callable(derivative(unrolled)):
            continue
        expected = [derivative(unrolled)(row, XS) for row in rows]
        np.testing.assert_allclose(fg.vmap(derivative(loss), (0, None))(rows, XS), expected, atol=1e-11)
        np.testing.assert_allclose(fg.jit(fg.vmap(derivative(loss), (0, None)))(rows, XS), expected, atol=1e-11)
    total = fg.grad(lambda rows: np.sum(fg.vmap(loss, (0, None))(rows, XS)))(rows)
    np.testing.assert_allclose(total, [fg.grad(unrolled)(row, XS) for row in rows], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.booleans(), st.sampled_from([None, "sqrt", 2, 4, "100 B"]))
def test_scan_of_any_length_and_direction_equals_the_python_loop(length: int, reverse: bool, checkpoint: Any) -> None:
    xs = XS[:length]

    def loss(c: Any, xs: Any, scan: Any) -> Any:
        c, ys = scan(step, c, xs, reverse=reverse)
        return np.sum(c * np.sum(np.sin(ys)))

    def plain(f: Any, c: Any, xs: Any, reverse: bool) -> Any:
        return python_scan(f, c, xs, reverse) if len(xs) else (c, np.zeros(0))

    def kept(f: Any, c: Any, xs: Any, reverse: bool) -> Any:
        return fg.scan(f, c, xs, reverse=reverse, checkpoint=checkpoint)

    for argnum in (0, 1):
        expected = fg.grad(lambda c, xs: loss(c, xs, plain), argnum)(C, xs)
        np.testing.assert_allclose(fg.grad(lambda c, xs: loss(c, xs, kept), argnum)(C, xs), expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 7), st.booleans(), st.sampled_from([1, 2, 3, 7, 9, True, False]), st.sampled_from([None, 2, "sqrt"])
)
def test_unrolled_scan_has_the_same_numbers(length: int, reverse: bool, unroll: Any, checkpoint: Any) -> None:
    def loss(c: Any, xs: Any, unroll: Any) -> Any:
        c, (ys, _) = fg.scan(
            lambda c, x: (step(c, x)[0], (np.sum(c * x), None)),
            c,
            xs,
            reverse=reverse,
            unroll=unroll,
            checkpoint=checkpoint,
        )
        return np.sum(c**2) + np.sum(np.sin(ys))

    xs = np.resize(XS, (length, 3))
    assert loss(C, xs, unroll) == loss(C, xs, 1)
    assert fg.jit(loss, static_argnums=2)(C, xs, unroll) == loss(C, xs, 1)
    for argnum in (0, 1):
        expected = fg.grad(loss, argnum)(C, xs, 1)
        np.testing.assert_allclose(fg.grad(loss, argnum)(C, xs, unroll), expected, rtol=1e-12, atol=1e-14)
        found = fg.jit(fg.grad(loss, argnum), static_argnums=2)(C, xs, unroll)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    expected = fg.hessian(loss)(C, xs, 1)
    np.testing.assert_allclose(fg.hessian(loss)(C, xs, unroll), expected, rtol=1e-11, atol=1e-12)


def test_unrolled_rounds_hold_as_many_copies_of_the_body() -> None:
    def lengths(**options: Any) -> list[int]:
        jaxpr = fg.make_jaxpr(lambda c: fg.scan(step, c, XS, **options)[0])(C)
        return [eqn.params["length"] for eqn in jaxpr.equations if eqn.primitive.name == "scan"]

    def tanhs(**options: Any) -> int:
        return str(fg.make_jaxpr(lambda c: fg.scan(step, c, XS, **options)[0])(C)).count("tanh")

    assert (lengths(), tanhs()) == ([6], 1)
    assert (lengths(unroll=2), tanhs(unroll=2)) == ([3], 2)
    assert (lengths(unroll=4), tanhs(unroll=4)) == ([], 6)
    assert (lengths(unroll=True), tanhs(unroll=True)) == ([], 6)
    assert (lengths(unroll=False), tanhs(unroll=False)) == ([6], 1)
    text = fg.jit(lambda c: fg.scan(step, c, XS, unroll=2)[0]).lower(C).as_text("loops")
    assert "loop t0<3" in text


def test_fori_loop_unrolls_where_its_bounds_are_known() -> None:
    for unroll in (None, 1, 3, True, False):
        assert fg.fori_loop(2, 10, lambda i, total: total + i, 0, unroll=unroll) == 44
        assert (
            abs(fg.grad(lambda x, k=unroll: fg.fori_loop(0, 5, lambda i, y: y * x, x, unroll=k))(1.1) - 6 * 1.1**5)
            < 1e-13
        )
    traced = fg.jit(lambda n: fg.fori_loop(0, n, lambda i, total: total + i, 0, unroll=2))
    with pytest.raises(ArgumentError, match="has unroll=2 and a traced bound"):
        traced(5)


@pytest.mark.parametrize("unroll", [0, -1, 2.0, "all", None])
def test_unroll_is_a_number_from_one_or_a_truth_value(unroll: Any) -> None:
    with pytest.raises(ArgumentError, match="has unroll="):
        fg.scan(step, C, XS, unroll=unroll)
    if unroll is not None:
        with pytest.raises(ArgumentError, match="has unroll="):
            fg.fori_loop(0, 3, lambda i, x: x, 1.0, unroll=unroll)


def test_newton_root_derivatives_and_batch_equal_the_analytic_ones() -> None:
    def root(a: Any) -> Any:
        return fg.while_loop(lambda x: np.abs(x * x - a) > 1e-14 * a, lambda x: 0.5 * (x + a / x), a)

    a = np.array([2.0, 3.0, 50.0, 0.3])
    exact = [np.sqrt(a), 0.5 / np.sqrt(a), -0.25 * a**-1.5, 0.375 * a**-2.5]
    f: Any = root
    for order, expected in enumerate(exact):
        np.testing.assert_allclose([f(x) for x in a], expected, rtol=1e-9 * 10**order)
        np.testing.assert_allclose(fg.vmap(f)(a), expected, rtol=1e-9 * 10**order)
        compiled, batch = fg.jit(f), fg.jit(fg.vmap(f))
        for _ in range(2):  # recorded, then from the recording
            np.testing.assert_allclose([compiled(x) for x in a], expected, rtol=1e-9 * 10**order)
            np.testing.assert_allclose(batch(a), expected, rtol=1e-9 * 10**order)
        f = fg.grad(f)
    np.testing.assert_allclose(fg.hvp(root)(2.0, 1.0), exact[2][0], rtol=1e-9)
    np.testing.assert_allclose(fg.jacrev(fg.vmap(root))(a), np.diag(exact[1]), atol=1e-12)


def test_rows_of_a_batched_while_loop_stop_at_their_own_iteration() -> None:
    counts = fg.vmap(lambda n: fg.while_loop(lambda i: i < n, lambda i: i + 1, 0))(np.array([3, 0, 7]))
    np.testing.assert_array_equal(counts, [3, 0, 7])

    def halved(x: Any) -> Any:
        return fg.while_loop(lambda x: x > 1.0, lambda x: x / 2, x)

    xs = np.array([0.5, 3.0, 40.0])
    np.testing.assert_array_equal(fg.vmap(fg.grad(halved))(xs), [1.0, 0.25, 1 / 64])


def test_rows_that_are_done_leave_no_nan_in_derivatives() -> None:
    def f(x: Any, n: Any) -> Any:
        return fg.while_loop(lambda s: s[1] < n, lambda s: (np.sqrt(s[0]) * np.log(s[0]), s[1] + 1), (x, 0))[0]

    x, n = np.array([0.0, 40.0, -1.0]), np.array([0, 2, 0])
    with np.errstate(all="ignore"):
        for derivative, done in ((fg.grad, 1.0), (fg.hessian, 0.0), (fg.jacfwd, 1.0)):
            expected = [done, derivative(f)(40.0, 2), done]
            np.testing.assert_allclose(fg.vmap(derivative(f))(x, n), expected, rtol=1e-12)
            np.testing.assert_allclose(fg.jit(fg.vmap(derivative(f)))(x, n), expected, rtol=1e-12)
        total = fg.grad(lambda x: np.sum(fg.vmap(f)(x, n)))(x)
    np.testing.assert_allclose(total, [1.0, fg.grad(f)(40.0, 2), 1.0], rtol=1e-12)


def test_fori_loop_with_a_traced_count_has_both_modes() -> None:
    def power(x: Any, n: Any) -> Any:
        return fg.fori_loop(0, n, lambda i, y: y * x, 1.0)

    for f in (fg.grad(power), fg.jit(fg.grad(power)), lambda x, n: fg.jvp(lambda x: power(x, n), (x,), (1.0,))[1]):
        np.testing.assert_allclose([f(2.0, 5), f(2.0, 5), f(2.0, 0)], [80.0, 80.0, 0.0])
    np.testing.assert_allclose(fg.vmap(fg.grad(power))(np.full(3, 2.0), np.array([0, 1, 4])), [0.0, 1.0, 32.0])
    np.testing.assert_allclose(
        fg.jit(fg.vmap(fg.grad(fg.grad(power)), (None, 0)))(2.0, np.array([0, 2, 4])), [0, 2, 48]
    )


def test_fori_loop_counts_from_lower_to_upper() -> None:
    assert fg.fori_loop(3, 6, lambda i, total: total + i, 0) == 12
    assert fg.fori_loop(6, 3, lambda i, total: total + i, 0) == 0
    assert fg.fori_loop(-2, np.int32(2), lambda i, total: total + i, 10) == 8
    assert fg.fori_loop(0, 3, lambda i, s: {"a": s["a"] * 2.0, "b": s["b"]}, {"a": 1.0, "b": None})["a"] == 8.0


def test_integer_and_boolean_carry_has_zero_derivative() -> None:
    def f(x: Any) -> Any:
        def body(s: Any, _: Any) -> Any:
            n, odd, y = s
            return (n + 1, ~odd, np.where(odd, y * x, y) * n), n

        (_, _, y), ns = fg.scan(body, (1, True, 1.0), None, 4)
        return y + np.sum(ns)

    np.testing.assert_allclose(fg.grad(f)(3.0), fg.jacfwd(f)(3.0))
    assert fg.grad(lambda x: 1.0 * fg.fori_loop(0, 3, lambda i, n: n + (x > 0), 0))(2.0) == 0.0
    zeros = fg.vjp(lambda n: fg.fori_loop(0, 3, lambda i, m: m + n, 0) * 1.0, np.int64(4))[1](1.0)
    assert zeros == (0.0,)


def test_python_numbers_in_the_carry_take_the_dtype_of_the_step() -> None:
    last, ys = fg.scan(lambda c, x: (c + x, c), 0, np.ones(3, np.float32))
    assert last.dtype == np.float32
    assert ys.dtype == np.float32
    assert fg.scan(lambda c, x: (c + x, None), 0.0, np.arange(3))[0].dtype == np.float64
    assert fg.while_loop(lambda x: x < 3, lambda x: x + 1, 0).dtype == np.int64
    assert fg.scan(lambda c, x: (0.0, c), np.float32(1), None, 2)[0].dtype == np.float32


def test_scan_with_trees_and_none() -> None:
    carry, ys = fg.scan(
        lambda c, x: ({"t": c["t"] + x["a"]}, (x["b"], None)),
        {"t": np.zeros(2)},
        {"a": np.ones((3, 2)), "b": np.arange(3)},
    )
    np.testing.assert_array_equal(carry["t"], [3.0, 3.0])
    np.testing.assert_array_equal(ys[0], [0, 1, 2])
    assert ys[1] is None


def test_results_share_no_memory_with_arguments() -> None:
    init, xs = np.zeros(2), np.ones((3, 2))
    last, ys = fg.scan(lambda c, x: (c, x), init, xs)
    last[:] = 5.0
    ys[:] = 7.0
    assert not init.any()
    assert (xs == 1.0).all()
    (same,) = fg.cond(True, lambda x: (x,), lambda x: (x,), init)
    same[:] = 1.0
    assert not init.any()


@pytest.mark.parametrize("order", [">f8", "<f8"])
def test_strided_read_only_and_byte_swapped_rows(order: str) -> None:
    xs = np.arange(24.0).reshape(4, 6).T.astype(order)[::-2]
    xs.flags.writeable = False
    np.testing.assert_array_equal(fg.scan(lambda c, x: (c + x, c), np.zeros(4), xs)[1][1:], np.cumsum(xs, 0)[:-1])


def test_map_equals_vmap_in_batches_of_every_size() -> None:
    xs = np.arange(7.0)
    for size in (None, 0, 1, 2, 3, 7, 10):
        np.testing.assert_array_equal(lax.map(lambda x: {"y": x**2}, xs, batch_size=size)["y"], xs**2)
        gradient = fg.grad(lambda xs, size=size: np.sum(lax.map(np.sin, xs, batch_size=size)))(xs)
        np.testing.assert_allclose(gradient, np.cos(xs))
    assert lax.map(np.sin, np.zeros((0, 2))).shape == (0, 2)


def test_while_loop_in_a_scan_in_a_cond_differentiates() -> None:
    def f(x: Any, n: Any) -> Any:
        def body(c: Any, k: Any) -> Any:
            c = fg.while_loop(lambda s: s[0] < k, lambda s: (s[0] + 1, np.sin(s[1]) * x), (0, c))[1]
            return c, c

        return fg.cond(n > 1, lambda x: fg.scan(body, x, np.arange(4))[0], lambda x: x, x)

    def by_hand(x: Any) -> Any:
        c = x
        for k in range(4):
            for _ in range(k):
                c = np.sin(c) * x
        return c

    for derivative in (lambda f: f, fg.grad, lambda f: fg.grad(fg.grad(f)), lambda f: fg.jacfwd(fg.grad(f))):
        expected = derivative(by_hand)(1.3)
        np.testing.assert_allclose(derivative(lambda x: f(x, 2))(1.3), expected, rtol=1e-12)
        compiled = fg.jit(lambda x, n, derivative=derivative: derivative(lambda x: f(x, n))(x))
        np.testing.assert_allclose([compiled(1.3, 2), compiled(1.3, 2)], [expected] * 2, rtol=1e-12)
        rows = fg.vmap(derivative(lambda x: f(x, 2)))(np.array([1.3, 0.4]))
        np.testing.assert_allclose(rows, [expected, derivative(by_hand)(0.4)], rtol=1e-12)


def test_linear_transpose_of_a_scan_is_the_reverse_scan() -> None:
    def filtered(x: Any) -> Any:
        return fg.scan(lambda c, x: (0.5 * c + x, c * 2.0), 0.0, x)[1]

    matrix = fg.jacfwd(filtered)(np.zeros(4))
    np.testing.assert_allclose(fg.linear_transpose(filtered, np.zeros(4))(np.arange(4.0))[0], matrix.T @ np.arange(4.0))


def test_switch_clamps_its_index_and_differentiates_the_branch_taken() -> None:
    branches = [np.sin, np.cos, lambda x: x**2]
    exact = [np.cos, lambda x: -np.sin(x), lambda x: 2 * x]
    for index in (-3, 0, 1, 2, 9):
        expected = exact[min(max(index, 0), 2)](0.7)
        f = lambda x, i: fg.switch(i, branches, x)
        for g in (fg.grad(f), fg.jit(fg.grad(f)), fg.jacfwd(f)):
            np.testing.assert_allclose(g(0.7, index), expected)
    rows = fg.vmap(fg.grad(f))(np.full(5, 0.7), np.array([-3, 0, 1, 2, 9]))
    np.testing.assert_allclose(rows, [exact[min(max(i, 0), 2)](0.7) for i in (-3, 0, 1, 2, 9)])


def test_branch_not_taken_leaves_no_nan_in_a_batch() -> None:
    def f(x: Any) -> Any:
        return fg.cond(x > 0, lambda x: np.sqrt(x), lambda x: 0.0 * x, x)

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(fg.vmap(fg.grad(f))(np.array([4.0, -1.0, 0.0])), [0.25, 0.0, 0.0])


def test_select_chooses_element_by_element() -> None:
    x = np.array([1.0, -2.0])
    np.testing.assert_array_equal(lax.select(x > 0, x, 10 * x), [1.0, -20.0])
    np.testing.assert_array_equal(lax.select_n(np.array([2, 0]), x, x, 3 * x), [3.0, -2.0])
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(lax.select(x > 0, x, 10 * x)))(x), [1.0, 10.0])
    with pytest.raises(ArgumentError, match="select got 2 cases and"):
        lax.select(np.array([0, 1]), x, x)


MESSAGES: list[tuple[type[Exception], Callable[[], Any], str]] = [
    (
        TreeMismatchError,
        lambda: fg.scan(lambda c, x: (c[:1], x), np.zeros(2), XS),
        r"carry: float64\[2\] before a step, float64\[1\] after",
    ),
    (
        TreeMismatchError,
        lambda: fg.scan(lambda c, x: ({"a": c["a"] + 1.5}, x), {"a": np.arange(2)}, XS),
        r"carry\['a'\]: int64\[2\] before a step, float64",
    ),
    (TreeMismatchError, lambda: fg.scan(lambda c, x: ((c, c), x), np.zeros(2), XS), r"before: \*, after: \(\*, \*\)"),
    (TreeMismatchError, lambda: fg.scan(lambda c, x: c, np.zeros(2), XS), "returns a pair"),
    (TreeMismatchError, lambda: fg.scan(lambda c, x: (c, "done"), np.zeros(2), XS), "numbers and arrays"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), 0.0, (np.ones(2), np.ones(3))), r"xs\[0\]: 2, xs\[1\]: 3"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), 0.0, np.ones(2), length=3), "length: 3, xs: 2"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), 0.0, 1.0), "a number where it needs rows"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), 0.0), "does not know how many steps"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), 0.0, XS, checkpoint="often"), "has checkpoint='often'"),
    (ArgumentError, lambda: fg.scan(lambda c, x: (c, x), "init", XS), "no number or array in init"),
    (TreeMismatchError, lambda: fg.while_loop(lambda x: x, lambda x: x, 1.0), "gives one truth value; it gave float64"),
    (TreeMismatchError, lambda: fg.while_loop(lambda x: x > 0, lambda x: x, np.ones(2)), r"it gave bool\[2\]"),
    (TreeMismatchError, lambda: fg.while_loop(lambda x: (True,), lambda x: x, 1.0), "a tree of 1 leaves"),
    (
        TreeMismatchError,
        lambda: fg.while_loop(lambda x: True, lambda x: x + np.ones(2), 1.0),
        "changes the type of its carry",
    ),
    (ArgumentError, lambda: fg.fori_loop(0, 2.5, lambda i, x: x, 1.0), "integers for its bounds"),
    (TreeMismatchError, lambda: fg.cond(True, lambda x: x, lambda x: (x, x), 1.0), "unlike results"),
    (
        TreeMismatchError,
        lambda: fg.cond(True, lambda x: {"a": x}, lambda x: {"a": np.ones(2) * x}, 1.0),
        r"result\['a'\]: float64\[2\] of <lambda>, float64\[\]",
    ),
    (TreeMismatchError, lambda: fg.cond(True, lambda x: x, lambda x: x > 0, np.ones(2)), "bool"),
    (ArgumentError, lambda: fg.cond(np.ones(2) > 0, lambda x: x, lambda x: x, 1.0), "one truth value to choose by"),
    (ArgumentError, lambda: fg.cond(lambda x: x, lambda x: x, 1.0), "a truth value and two functions"),
    (ArgumentError, lambda: fg.switch(0.5, [np.sin], 1.0), "one integer to choose by"),
    (ArgumentError, lambda: fg.switch(0, [], 1.0), "a sequence of functions"),
    (ArgumentError, lambda: lax.map(np.sin, 1.0), "a number where it needs rows"),
    (ArgumentError, lambda: lax.map(np.sin, np.ones(2), batch_size=-1), "batch_size=-1"),
]


@pytest.mark.parametrize(("kind", "call", "words"), MESSAGES, ids=range(len(MESSAGES)))
def test_bad_input_is_named(kind: type[Exception], call: Any, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "fix" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fg.scan(lambda c, x: (c + 1 if c > 0 else c, x), 0.0, XS),
        lambda: fg.while_loop(lambda x: x < 3, lambda x: x + 1 if x > 0 else x, 0.0),
        lambda: fg.fori_loop(0, 3, lambda i, x: x + 1 if i > 0 else x, 0.0),
        lambda: fg.cond(True, lambda x: x + 1 if x > 0 else x, lambda x: x, 0.0),
    ],
)
def test_python_branch_in_a_body_names_the_line_and_cond(call: Any) -> None:
    with pytest.raises(TracedBranchError, match=r"funcgrad\.cond") as caught:
        call()
    assert "test_loops.py" in str(caught.value)


def test_error_in_a_step_names_the_users_line() -> None:
    with pytest.raises(np.linalg.LinAlgError) as caught:
        fg.scan(lambda c, x: (np.linalg.inv(c) + x, None), np.zeros((2, 2)), np.zeros(3))
    assert "test_loops.py" in "".join(caught.value.__notes__)


def test_endless_loop_stops_at_an_interrupt() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let processes behind ignore it
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fg.while_loop(lambda x: x > 0, lambda x: x + 1, 1)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("argnum", [0, 1])
def test_forward_mode_without_residuals_equals_that_with_them(argnum: int, monkeypatch: pytest.MonkeyPatch) -> None:
    args = (C, XS)
    directions = [np.cos(x) for x in args]
    f = lambda x: LOSSES["scan"][0](*[x if i == argnum else y for i, y in enumerate(args)])
    x, x_dot = args[argnum], directions[argnum]
    along = lambda f: lambda x: fg.jvp(f, (x,), (x_dot,))[1]
    derivatives: list[Any] = [along, lambda f: fg.grad(along(f)), lambda f: along(along(f)), lambda f: fg.jit(along(f))]
    derivatives += [lambda f: along(fg.grad(f)), lambda f: lambda x: fg.vmap(along(f))(np.stack([x, x]))[1]]
    expected = [derivative(f)(x) for derivative in derivatives]
    monkeypatch.setattr("funcgrad.control.scan._MOST_STACKED", 0)
    for derivative, value in zip(derivatives, expected, strict=True):
        np.testing.assert_allclose(derivative(f)(x), value, atol=1e-11)


def test_forward_mode_keeps_nothing_from_step_to_step() -> None:
    def peak(steps: int) -> float:
        f = lambda c: fg.scan(lambda c, _: (np.tanh(A @ c), None), c, None, steps)[0]
        fg.jvp(f, (C,), (C,))
        tracemalloc.start()
        fg.jvp(f, (C,), (C,))
        (_, most), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        return most

    assert peak(50_000) < 300_000


def test_derived_jaxprs_do_not_outlive_their_loops() -> None:
    import gc

    from funcgrad.control.derived import _derived

    def loss(c: Any) -> Any:
        c = fg.scan(step, c, XS, checkpoint="sqrt")[0]
        c = fg.scan(step, c, XS, checkpoint=3)[0]
        return np.sum(
            fg.while_loop(lambda s: s[1] < 3, lambda s: (np.sin(s[0]), s[1] + 1), (c, 0), checkpoint="sqrt")[0]
        )

    gc.collect()
    before = len(_derived)
    for _ in range(3):
        fg.vmap(fg.hessian(loss))(C[None])
        fg.grad(loss)(C)
    gc.collect()
    assert len(_derived) <= before
