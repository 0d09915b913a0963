"""Functions with a batching rule of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, TreeMismatchError

A = np.array([[3.0, 1.0], [0.0, 2.0]])
B = np.arange(6.0).reshape(3, 2)


def solver(calls: list[Any]) -> Any:
    @fg.custom_vmap
    def solve(a: Any, b: Any) -> Any:
        return np.linalg.solve(a, b)

    @solve.def_vmap
    def rows(axis_size: int, in_batched: Any, a: Any, b: Any) -> Any:
        calls.append((axis_size, tuple(in_batched)))
        if in_batched[0]:
            return np.stack([np.linalg.solve(a[i], b[i] if in_batched[1] else b) for i in range(axis_size)]), True
        return np.linalg.solve(a, b.T).T, True

    return solve


def test_rule_computes_the_batch_and_is_told_what_has_rows() -> None:
    calls: list[Any] = []
    solve = solver(calls)
    expected = np.linalg.solve(A, B.T).T
    np.testing.assert_allclose(fg.vmap(solve, (None, 0))(A, B), expected)
    np.testing.assert_allclose(fg.jit(fg.vmap(solve, (None, 0)))(A, B), expected)
    np.testing.assert_allclose(fg.vmap(solve)(np.stack([A, A, A]), B), expected)
    assert calls == [(3, (False, True)), (3, (False, True)), (3, (True, True))]
    np.testing.assert_allclose(solve(A, B[0]), expected[0])


def test_derivatives_are_those_of_the_equations() -> None:
    solve = solver([])
    np.testing.assert_allclose(fg.jacrev(solve, 1)(A, B[0]), np.linalg.inv(A))
    total = fg.grad(lambda b: np.sum(fg.vmap(solve, (None, 0))(A, b)))(B)
    np.testing.assert_allclose(total, np.tile(np.linalg.inv(A).sum(0), (3, 1)))
    rows = fg.vmap(fg.jacrev(solve, 1), (None, 0))(A, B)
    np.testing.assert_allclose(rows, np.stack([np.linalg.inv(A)] * 3))


def cube(calls: list[Any]) -> Any:
    """x**3 * k, of whose batches a rule takes note."""
    f = fg.custom_vmap(lambda x, k: x**3 * k)

    @f.def_vmap
    def rows(axis_size: int, in_batched: Any, x: Any, k: Any) -> Any:
        calls.append(tuple(in_batched))
        return x**3 * k, any(in_batched)

    return f


ORDERS: dict[str, Any] = {
    "vmap_grad": lambda f: fg.vmap(fg.grad(f), (0, None)),
    "vmap_jacfwd": lambda f: fg.vmap(fg.jacfwd(f), (0, None)),
    "jit_vmap_grad": lambda f: fg.jit(fg.vmap(fg.grad(f), (0, None))),
    "vmap_jit_grad": lambda f: fg.vmap(fg.jit(fg.grad(f)), (0, None)),
    "grad_vmap": lambda f: lambda x, k: fg.grad(lambda x: np.sum(fg.vmap(f, (0, None))(x, k)))(x),
    "jit_grad_vmap": lambda f: fg.jit(lambda x, k: fg.grad(lambda x: np.sum(fg.vmap(f, (0, None))(x, k)))(x)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_rule_computes_the_batch_in_every_order_of_derivative_and_vmap(order: str) -> None:
    calls: list[Any] = []
    transformed = ORDERS[order](cube(calls))
    x = np.array([1.0, 2.0, -3.0])
    np.testing.assert_allclose(transformed(x, 2.0), 6 * x**2)
    assert calls
    assert set(calls) == {(True, False)}


SECOND: dict[str, Any] = {
    "vmap_grad_grad": lambda f: fg.vmap(fg.grad(fg.grad(f)), (0, None)),
    "vmap_hessian": lambda f: fg.vmap(fg.hessian(f), (0, None)),
    "vmap_jacrev_jacfwd": lambda f: fg.vmap(fg.jacrev(fg.jacfwd(f)), (0, None)),
    "grad_vmap_grad": lambda f: lambda x, k: fg.grad(lambda x: np.sum(fg.vmap(fg.grad(f), (0, None))(x, k)))(x),
    "jacfwd_vmap_grad": lambda f: lambda x, k: np.diag(fg.jacfwd(lambda x: fg.vmap(fg.grad(f), (0, None))(x, k))(x)),
    "jit_vmap_hessian": lambda f: fg.jit(fg.vmap(fg.hessian(f), (0, None))),
}


@pytest.mark.parametrize("order", SECOND)
def test_rule_computes_the_batch_of_second_derivatives(order: str) -> None:
    calls: list[Any] = []
    x = np.array([1.0, 2.0, -3.0])
    np.testing.assert_allclose(SECOND[order](cube(calls))(x, 2.0), 12 * x)
    assert calls


def test_argument_that_is_the_same_in_all_rows_has_a_derivative_in_each() -> None:
    calls: list[Any] = []
    x = np.array([1.0, 2.0, -3.0])
    np.testing.assert_allclose(fg.vmap(fg.grad(cube(calls), argnums=1), (0, None))(x, 2.0), x**3)
    assert set(calls[1:]) == {(True, True)}


def test_loops_and_nested_batches_keep_the_rule() -> None:
    calls: list[Any] = []
    f = cube(calls)
    loop = lambda x: fg.scan(lambda c, k: (0.1 * f(c, k), c), x, np.array([1.0, 2.0]))[0]
    plain = lambda x: 0.1 * (0.1 * x**3) ** 3 * 2.0
    x = np.array([0.5, 0.9, -1.0])
    np.testing.assert_allclose(fg.vmap(fg.grad(loop))(x), fg.vmap(fg.grad(plain))(x))
    assert calls
    table = fg.vmap(fg.vmap(fg.grad(f), (0, None)), (None, 0))(x, np.array([1.0, 2.0]))
    np.testing.assert_allclose(table, 3 * x**2 * np.array([[1.0], [2.0]]))


def test_function_that_captures_a_differentiated_value_is_differentiated_by_its_equations() -> None:
    calls: list[Any] = []

    def g(x: Any, k: Any) -> Any:
        f = fg.custom_vmap(lambda x: x**3 * k)
        f.def_vmap(lambda size, batched, x: calls.append(size) or (x**3 * k, True))
        return f(x)

    x = np.array([1.0, 2.0, -3.0])
    np.testing.assert_allclose(fg.vmap(fg.grad(g, argnums=(0, 1)), (0, None))(x, 2.0), (6 * x**2, x**3))
    np.testing.assert_allclose(fg.vmap(fg.grad(g), (0, None))(x, 2.0), 6 * x**2)


def test_linear_function_with_a_rule_is_transposed() -> None:
    calls: list[Any] = []
    f = fg.custom_vmap(lambda x: 3.0 * x)
    f.def_vmap(lambda size, batched, x: calls.append(size) or (3.0 * x, True))
    (ct,) = fg.linear_transpose(f, 1.0)(2.0)
    assert ct == 6.0
    g = fg.custom_jvp(lambda x: 3.0 * x)
    g.defjvp(lambda xs, dots: (3.0 * xs[0], f(dots[0])))
    np.testing.assert_array_equal(fg.vmap(fg.grad(lambda x: g(x) ** 2))(np.ones(3)), 18.0)
    assert calls == [3]


def test_wrong_rules_are_named() -> None:
    f = fg.custom_vmap(lambda x: x)
    with pytest.raises(ArgumentError, match="has no batching rule yet"):
        f(1.0)
    for rule, words in (
        (lambda size, batched, x: x, "gives no pair"),
        (lambda size, batched, x: ((x, x), True), "another structure"),
        (lambda size, batched, x: (np.sum(x), True), "no 3 rows along axis 0"),
    ):
        f.def_vmap(rule)
        with pytest.raises(TreeMismatchError, match=words):
            fg.vmap(f)(np.ones(3))


def test_result_without_rows_is_the_same_for_all() -> None:
    f = fg.custom_vmap(lambda x: (x, 1.0))
    f.def_vmap(lambda size, batched, x: ((x * 2, 5.0), (True, False)))
    y, constant = fg.vmap(f)(np.ones(3))
    np.testing.assert_array_equal(y, 2.0)
    np.testing.assert_array_equal(constant, [5.0, 5.0, 5.0])
