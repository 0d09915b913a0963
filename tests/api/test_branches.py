"""Branches in batches whose rows choose differently: each row as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg

W = np.array([[2.0, 1.0], [1.0, 3.0]])
ROWS = np.array([[1.0, 2.0], [-1.0, -3.0], [-0.5, -2.0], [4.0, 5.0]])
INDICES = np.array([0, 1, 2, 2, -4, 9])
OPERANDS = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [3.0, 1.0], [1.0, 1.0]])


def chosen(x: Any) -> Any:
    """Branches that are not defined where the other one is, and mix elements: no mask of elements would do."""
    return fg.cond(x[0] > 0, lambda x: np.sum(W @ np.log(x)), lambda x: np.sum(W @ np.sqrt(-x)), x)


def switched(i: Any, x: Any) -> Any:
    """Branches that divide by zero, or look beyond a table, where others are meant."""
    table = lambda x: fg.numpy.take(W[:, 0], np.abs(x[0]).astype(int)) * x[1]
    return fg.switch(i, [lambda x: x[0] / x[1], lambda x: np.log(x[0]) / x[1], table], x)


@pytest.mark.parametrize("derivative", [lambda f: f, fg.grad, fg.jacfwd, fg.hessian], ids=["value", "1", "fwd", "2"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_row_is_neither_warned_of_nor_differentiated_in_a_branch_that_it_did_not_choose(
    derivative: Any, compiled: bool
) -> None:
    around = fg.jit if compiled else lambda f: f
    g = derivative(chosen)
    batched = around(fg.vmap(g))
    h = derivative(lambda x, i: switched(i, x))
    switches = around(fg.vmap(h))
    for _ in range(2):
        np.testing.assert_allclose(batched(ROWS), [g(x) for x in ROWS], rtol=1e-13)
        found = switches(OPERANDS, INDICES)
        np.testing.assert_allclose(found, [h(x, i) for x, i in zip(OPERANDS, INDICES, strict=True)], rtol=1e-13)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_derivative_of_a_batch_does_not_see_branches_that_rows_did_not_choose(compiled: bool) -> None:
    around = fg.jit if compiled else lambda f: f
    first = around(fg.grad(lambda rows: np.sum(fg.vmap(chosen)(rows))))
    second = around(lambda rows: fg.jvp(fg.grad(lambda r: np.sum(fg.vmap(chosen)(r))), (rows,), (rows,))[1])
    for _ in range(2):
        np.testing.assert_allclose(first(ROWS), [fg.grad(chosen)(x) for x in ROWS])
        np.testing.assert_allclose(second(ROWS), [fg.hessian(chosen)(x) @ x for x in ROWS])


def test_infinite_derivative_of_one_row_stays_in_it() -> None:
    f = lambda x: fg.cond(x >= 0, np.sqrt, lambda x: x * x, x)
    x = np.array([0.0, -1.0, 4.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(fg.grad(lambda x: np.sum(fg.vmap(f)(x)))(x), [np.inf, -2.0, 0.25])
        np.testing.assert_array_equal(fg.vmap(fg.grad(f))(x), [np.inf, -2.0, 0.25])


def test_warning_of_a_row_that_chose_the_branch_is_given() -> None:
    f = fg.vmap(lambda x: fg.cond(x >= 0, lambda x: 1 / x, lambda x: x, x))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.testing.assert_array_equal(f(np.array([0.0, -1.0])), [np.inf, -1.0])
    np.testing.assert_array_equal(f(np.array([-2.0, -1.0])), [-2.0, -1.0])


def test_branch_that_no_row_chooses_is_not_computed() -> None:
    f = fg.vmap(lambda x: fg.cond(x > 0, lambda x: 1 / (x + 1), lambda x: -x, x))
    np.testing.assert_array_equal(f(np.array([-1.0, -2.0])), [1.0, 2.0])


def test_batch_without_rows_has_results_without_rows() -> None:
    for f in (fg.vmap(chosen), fg.jit(fg.vmap(chosen)), fg.vmap(lambda x: switched(np.sum(x).astype(int), x))):
        assert f(ROWS[:0]).shape == (0,)
    assert fg.vmap(fg.grad(chosen))(ROWS[:0]).shape == (0, 2)


def test_branches_in_batches_of_batches_choose_by_element() -> None:
    f = lambda x, y: fg.cond(x > y, lambda x, y: np.log(x - y), lambda x, y: np.sqrt(y - x), x, y)
    x, y = np.array([1.0, 2.0, 3.5]), np.array([0.5, 3.0])
    table = fg.vmap(fg.vmap(f, (None, 0)), (0, None))(x, y)
    np.testing.assert_allclose(table, [[f(a, b) for b in y] for a in x])
    slopes = fg.vmap(fg.vmap(fg.grad(f), (None, 0)), (0, None))(x, y)
    np.testing.assert_allclose(slopes, [[fg.grad(f)(a, b) for b in y] for a in x])
