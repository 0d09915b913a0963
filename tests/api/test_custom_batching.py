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
