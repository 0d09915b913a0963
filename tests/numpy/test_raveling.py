"""A tree as a vector and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError
from funcgrad.tree import ravel_pytree


@dataclass
class Layer:
    w: Any
    name: str = "layer"


TREE = {
    "layers": [Layer(np.arange(6.0).reshape(2, 3)), Layer(np.ones((0, 2), np.float32))],
    "scale": 2.5,
    "count": np.array([1, 2]),
    "nothing": None,
    "activation": np.tanh,
}


def test_tree_comes_back_with_shapes_dtypes_and_configuration() -> None:
    vector, unravel = ravel_pytree(TREE)
    assert (vector.shape, vector.dtype) == ((9,), np.float64)
    tree = unravel(vector)
    assert tree["activation"] is np.tanh
    assert tree["nothing"] is None
    assert tree["layers"][0].name == "layer"
    for x, y in zip(fg.tree.leaves(tree), fg.tree.leaves(TREE), strict=True):
        if not callable(x):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == np.asarray(y).dtype
    assert not np.shares_memory(vector, TREE["layers"][0].w)


def test_derivatives_pass_both_ways() -> None:
    def loss(tree: Any) -> Any:
        return np.sum(np.sin(tree["layers"][0].w) * tree["scale"])

    vector, unravel = ravel_pytree({"layers": TREE["layers"][:1], "scale": 2.5})
    tree = unravel(vector)
    expected, _ = ravel_pytree(fg.grad(loss)(tree))
    for gradient in (fg.grad(lambda v: loss(unravel(v))), fg.jit(fg.grad(lambda v: loss(unravel(v))))):
        for _ in range(3):
            np.testing.assert_allclose(gradient(vector), expected, rtol=1e-15)
    jacobian = fg.jacobian(lambda tree: ravel_pytree(tree)[0])(tree)
    np.testing.assert_array_equal(jacobian["scale"], np.eye(7)[6])
    np.testing.assert_array_equal(jacobian["layers"][0].w.reshape(7, 6), np.eye(7)[:, :6])
    batch = fg.vmap(lambda v: unravel(v)["scale"])(np.stack([vector, 2 * vector]))
    np.testing.assert_array_equal(batch, [2.5, 5.0])


def test_complex_and_integer_leaves_keep_their_dtypes() -> None:
    vector, unravel = ravel_pytree((np.array([1 + 2j]), np.array([3], np.int8), np.float32(1.5)))
    assert vector.dtype == np.complex128
    assert [x.dtype for x in unravel(vector)] == [np.complex128, np.int8, np.float32]


def test_nothing_is_an_empty_vector_and_wrong_shapes_raise() -> None:
    vector, unravel = ravel_pytree({"a": None, "b": []})
    assert vector.shape == (0,)
    assert unravel(vector) == {"a": None, "b": []}
    for wrong in (np.ones(2), np.ones((0, 1)), 1.0):
        with pytest.raises(ArgumentError, match="unravel got an array of shape"):
            unravel(wrong)
