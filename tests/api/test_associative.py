"""associative_scan against a loop, for every length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad import lax
from funcgrad.core.errors import ArgumentError, TreeMismatchError


def affine(a: Any, b: Any) -> Any:
    return {"m": a["m"] * b["m"], "t": a["t"] * b["m"] + b["t"]}


def by_loop(m: Any, t: Any) -> Any:
    state, states = 0.0, []
    for scale, shift in zip(m, t, strict=True):
        state = state * scale + shift
        states.append(state)
    return np.stack(states) if states else np.zeros(t.shape)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.booleans(), st.sampled_from([0, 1, -1]))
def test_prefixes_of_every_length_equal_the_loop(length: int, reverse: bool, axis: int) -> None:
    m, t = np.random.default_rng(length).normal(size=(2, length, 3))
    if axis:
        m, t = m.T, t.T
    found = lax.associative_scan(affine, {"m": m, "t": t}, reverse=reverse, axis=axis)["t"]
    if axis:
        m, t, found = m.T, t.T, found.T
    expected = by_loop(m[::-1], t[::-1])[::-1] if reverse else by_loop(m, t)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_matrix_products_keep_their_order() -> None:
    xs = np.random.default_rng(0).normal(size=(7, 2, 2))
    expected = [np.linalg.multi_dot(xs[: i + 1]) if i else xs[0] for i in range(7)]
    np.testing.assert_allclose(lax.associative_scan(np.matmul, xs), expected, atol=1e-13)


def test_derivatives_and_batches_equal_those_of_the_loop() -> None:
    m, t = np.random.default_rng(0).normal(size=(2, 6))
    loss = lambda m, t: np.sum(np.sin(lax.associative_scan(affine, {"m": m, "t": t})["t"]))
    unrolled = lambda m, t: np.sum(np.sin(by_loop(m, t)))
    for derivative in (fg.grad, fg.hessian, lambda f: fg.jit(fg.grad(f))):
        np.testing.assert_allclose(derivative(loss)(m, t), derivative(unrolled)(m, t), atol=1e-12)
    rows = fg.vmap(fg.grad(loss), (0, None))(np.stack([m, 2 * m]), t)
    np.testing.assert_allclose(rows, [fg.grad(unrolled)(m, t), fg.grad(unrolled)(2 * m, t)], atol=1e-12)


def test_bad_input_is_named() -> None:
    with pytest.raises(ArgumentError, match="different numbers of elements"):
        lax.associative_scan(affine, {"m": np.ones(2), "t": np.ones(3)})
    with pytest.raises(ArgumentError, match="arrays with an axis 1"):
        lax.associative_scan(np.add, np.ones(2), axis=1)
    with pytest.raises(TreeMismatchError, match="changes the type of its elements"):
        lax.associative_scan(lambda a, b: np.sum(a + b), np.ones(4))
