"""Masked cotangents: what `select` leaves, and what elementwise and structural primitives make of it."""

from __future__ import annotations

import numpy as np
import pytest

from funcgrad.core.avals import get_aval
from funcgrad.core.errors import LinearityError
from funcgrad.primitives import exponential, indexing, shaping, structural
from funcgrad.primitives.index import Index
from funcgrad.primitives.masking import Later, Masked, select, selected
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import linear_transpose, pull_back, vjp

MASK = np.array([True, False, True])
X = np.array([2.0, 0.0, 0.5])


def gradient(f, *xs, ct=None):
    with np.errstate(all="ignore"):
        ys, recording, ids = vjp(lambda *xs: [f(*xs)], xs)
        return pull_back(recording, ids, [np.ones(np.shape(ys[0])) if ct is None else ct])


def test_selected_unselected_elements_are_zero():
    dirty = np.array([1.0, np.nan, -np.inf])
    np.testing.assert_array_equal(selected(Masked(dirty, MASK)), [1.0, 0.0, -np.inf])
    assert selected(Masked(np.float64(np.nan), np.False_)) == 0.0
    assert selected(Masked(np.float32(2.0), np.True_)) == 2.0
    assert type(selected(Masked(np.float32(np.nan), np.False_))) is np.float32
    assert selected(None) is None


def test_selected_is_computed_once():
    ct = Masked(np.array([1.0, np.nan, 3.0]), MASK)
    assert ct.selected() is ct.selected()


def test_sum_of_masked_cotangents_is_selected_by_either_mask():
    total = Masked(np.array([1.0, np.nan, 3.0]), MASK) + Masked(np.array([np.inf, 5.0, 7.0]), ~MASK)
    np.testing.assert_array_equal(total.selected(), [1.0, 5.0, 3.0])
    np.testing.assert_array_equal(total.where(), [True, True, True])


@pytest.mark.parametrize("plain", [np.array([1.0, 1.0, 1.0]), np.float64(1.0)])
def test_sum_of_masked_and_plain_cotangent_is_plain(plain):
    for total in (
        plain + Masked(np.array([1.0, np.nan, 3.0]), MASK),
        Masked(np.array([1.0, np.nan, 3.0]), MASK) + plain,
    ):
        np.testing.assert_array_equal(total, [2.0, 1.0, 4.0])


def test_mask_that_nobody_asks_for_is_not_computed():
    def fail():
        raise AssertionError

    assert selected(Masked(X, Later(fail), clean=True)) is X


def test_mask_is_computed_once():
    calls = []
    later = Later(lambda: calls.append(1) or MASK)
    assert later.array() is later.array()
    assert len(calls) == 1


STRUCTURAL = {
    "reshape": lambda u: structural.reshape(u, (3, 1)),
    "transpose": lambda u: structural.transpose(structural.reshape(u, (3, 1)), (1, 0)),
    "broadcast": lambda u: structural.broadcast_to(u, (2, 3)),
    "cast": lambda u: structural.cast(u, np.complex128),
    "flip": lambda u: shaping.flip(u, (0,)),
    "roll": lambda u: shaping.roll(u, (1,), (0,)),
    "concatenate": lambda u: shaping.concatenate([u, X]),
    "stack": lambda u: shaping.stack([X, u], 1),
    "diagonal": lambda u: shaping.diagonal(structural.broadcast_to(u, (3, 3))),
    "embed_diagonal": lambda u: shaping.embed_diagonal(u, 1, (4, 4)),
    "basic_index": lambda u: indexing.basic_index(u, Index(((0, 2, 1),))),
    "embed": lambda u: shaping.pad(u, ((1, 2),)),
}


@pytest.mark.parametrize("name", STRUCTURAL)
def test_mask_goes_through_structural_primitives(name):
    def f(x):
        y = STRUCTURAL[name](exponential.log(x))
        return select(np.isfinite(y.value), y, 0.0)

    (x_ct,) = gradient(f, X)
    assert x_ct[1] == 0.0
    assert np.all(np.isfinite(x_ct))
    assert x_ct[0] != 0.0


def test_mask_goes_back_through_a_sum_if_any_of_its_uses_counts():
    def f(x, r):
        return select(MASK, exponential.log(x) / r, 0.0)

    x_ct, r_ct = gradient(f, X, np.array(2.0))
    np.testing.assert_array_equal(x_ct, [0.25, 0.0, 1.0])
    np.testing.assert_allclose(r_ct, -(np.log(2.0) + np.log(0.5)) / 4, atol=1e-16)


def test_masked_cotangent_ends_at_other_primitives():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    (x_ct,) = gradient(lambda x: select(MASK, exponential.log(a @ x), 0.0), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(x_ct, [2.0, 1.0])


def test_select_predicate_and_constant_branches_get_no_cotangent():
    (x_ct,) = gradient(lambda x: select(MASK, X, x), X)
    np.testing.assert_array_equal(x_ct, [0.0, 1.0, 0.0])


def test_select_python_bool_is_a_predicate():
    assert gradient(lambda x: select(True, x, 0.0), np.float64(2.0)) == [1.0]
    assert gradient(lambda x: select(False, x, 0.0), np.float64(2.0)) == [0.0]


def test_select_same_tangent_in_both_branches_passes():
    _, (y_dot,) = jvp(lambda x: [select(MASK, x, x)], [X], [X])
    np.testing.assert_array_equal(y_dot, X)


def test_linear_transpose_of_select_beside_zero():
    _, transposed = linear_transpose(lambda x: [select(MASK, x, 0.0)], [get_aval(X)])
    np.testing.assert_array_equal(transposed([X])[0], [2.0, 0.0, 0.5])
    with pytest.raises(LinearityError):
        linear_transpose(lambda x: [select(MASK, x, 1.0)], [get_aval(X)])
