"""vmap: axes in and out, trees, keyword arguments, messages."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, TracedBranchError, TracedConversionError

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(4, 3))
CUBE = RNG.normal(size=(2, 3, 4))


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Config:
    weight: Any
    name: str = "config"
    count: int = 2


def normalise(x: Any) -> Any:
    """Length one."""
    return x / np.sqrt(x @ x)


def loop(f: Any, xs: Any, axis: int, out_axis: int) -> Any:
    return np.stack([f(x) for x in np.moveaxis(xs, axis, 0)], axis=out_axis)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("out_axis", [0, 1, 2, -1, -2, -3])
def test_axes_any_in_and_out_equal_the_stacked_loop(axis: int, out_axis: int) -> None:
    def f(x: Any) -> Any:
        return np.sin(x).T @ x

    actual = fg.vmap(f, in_axes=axis, out_axes=out_axis)(CUBE)
    np.testing.assert_allclose(actual, loop(f, CUBE, axis, out_axis), rtol=1e-14)
    assert actual.flags.c_contiguous


def test_in_axes_none_passes_the_same_value_to_all_rows() -> None:
    w = RNG.normal(size=(2, 3))
    expected = ROWS @ w.T
    np.testing.assert_allclose(fg.vmap(lambda w, x: w @ x, in_axes=(None, 0))(w, ROWS), expected)
    np.testing.assert_allclose(fg.vmap(lambda w, x: w @ x, in_axes=[None, 1])(w, ROWS.T), expected)
    np.testing.assert_array_equal(fg.vmap(lambda x, s: x * s, in_axes=(0, None))(ROWS, 2.0), ROWS * 2)
    np.testing.assert_array_equal(fg.vmap(lambda x: x, in_axes=np.int64(1))(ROWS), ROWS.T)


def test_in_axes_trees_reach_every_leaf() -> None:
    def f(p: Any, pair: Any, x: Any) -> Any:
        return p["w"] * x + p["b"] + pair.a * pair.b

    p = {"w": ROWS, "b": 2.0}
    pair = Pair(RNG.normal(size=(3, 4)), np.ones(3))
    x = RNG.normal(size=(4, 3))
    expected = ROWS * x + 2.0 + pair.a.T * pair.b
    in_axes = ({"w": 0, "b": None}, Pair(1, None), 0)
    np.testing.assert_allclose(fg.vmap(f, in_axes=in_axes)(p, pair, x), expected)
    np.testing.assert_allclose(fg.vmap(lambda q: q[0] * q[1], in_axes=((0, None),))((ROWS, 2.0)), ROWS * 2)
    np.testing.assert_allclose(fg.vmap(lambda q: q[0] * q[1], in_axes=([0, None],))([ROWS, 2.0]), ROWS * 2)


def test_out_axes_trees_reach_every_leaf() -> None:
    def f(x: Any) -> Any:
        return {"x": x, "pair": Pair(x * 2, 1.5), "none": None}

    result = fg.vmap(f, out_axes={"x": 1, "pair": Pair(0, None), "none": None})(ROWS)
    np.testing.assert_array_equal(result["x"], ROWS.T)
    np.testing.assert_array_equal(result["pair"].a, ROWS * 2)
    assert result["pair"].b == 1.5
    assert result["none"] is None
    prefix = fg.vmap(f, out_axes={"x": 1, "pair": 0, "none": 0})(ROWS)
    np.testing.assert_array_equal(prefix["pair"].b, np.full(4, 1.5))


def test_constant_results_are_repeated_and_fresh() -> None:
    c = np.arange(3.0)
    result = fg.vmap(lambda x: (c, 2, True))(ROWS)
    np.testing.assert_array_equal(result[0], np.tile(c, (4, 1)))
    assert result[0].flags.writeable
    np.testing.assert_array_equal(result[1], [2, 2, 2, 2])
    np.testing.assert_array_equal(result[2], [True] * 4)


def test_keyword_arguments_are_mapped_over_axis_zero() -> None:
    y = np.arange(4.0)
    np.testing.assert_array_equal(fg.vmap(lambda x, y: x * y)(ROWS, y=y), ROWS * y[:, None])
    np.testing.assert_array_equal(fg.vmap(lambda *, x: x * 2)(x=ROWS), ROWS * 2)
    in_axes = (None,)
    np.testing.assert_array_equal(fg.vmap(lambda x, y: x * y, in_axes)(2.0, y=y), 2 * y)


def test_axis_size_gives_the_number_of_rows() -> None:
    np.testing.assert_array_equal(fg.vmap(lambda: 2.0, axis_size=3)(), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(fg.vmap(lambda x: x * 2, in_axes=None, axis_size=2)(3.0), [6.0, 6.0])
    np.testing.assert_array_equal(fg.vmap(np.sin, axis_size=4)(ROWS), np.sin(ROWS))


def test_configuration_passes_through() -> None:
    def f(x: Any, mode: str, activation: Any, nothing: Any) -> Any:
        assert nothing is None
        return (activation(x) if mode == "on" else x), mode

    result, mode = fg.vmap(f)(ROWS, "on", np.tanh, None)
    np.testing.assert_array_equal(result, np.tanh(ROWS))
    assert mode == "on"
    config = fg.vmap(lambda c: Config(c.weight * c.count, c.name, c.count))(Config(ROWS))
    assert type(config) is Config
    np.testing.assert_array_equal(config.weight, ROWS * 2)
    assert (config.name, config.count) == ("config", 2)
    assert fg.vmap(lambda c: c, in_axes=1, out_axes=1)(Config(ROWS)).weight.shape == (4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint16, np.bool_, np.complex64])
def test_dtypes_are_numpy_s(dtype: Any) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype)
    for f in (lambda x: x * 2, lambda x: x + x, lambda x: x * 2.0, lambda x: x):
        assert fg.vmap(f)(x).dtype == f(x).dtype
        np.testing.assert_array_equal(fg.vmap(f)(x), f(x))


def test_arguments_in_odd_layouts_count_by_value() -> None:
    read_only = ROWS.copy()
    read_only.setflags(write=False)
    for x in (ROWS.astype(">f8"), ROWS.T.copy().T, np.repeat(ROWS, 2, axis=1)[:, ::2], read_only):
        result = fg.vmap(lambda x: x * 2.0)(x)
        np.testing.assert_array_equal(result, ROWS * 2)
        assert result.dtype.isnative
        assert not np.shares_memory(fg.vmap(lambda x: x)(x), x)
    for rows in (0, 1):
        assert fg.vmap(lambda x: np.sum(x) * x)(np.zeros((rows, 3))).shape == (rows, 3)
    a, b = fg.vmap(lambda x: (x, x))(ROWS)
    assert not np.shares_memory(a, b)


def test_vmap_nests_with_itself_and_derivatives() -> None:
    a, b = np.arange(3.0), np.arange(4.0)
    outer = fg.vmap(fg.vmap(lambda x, y: x * y, (None, 0)), (0, None))(a, b)
    np.testing.assert_array_equal(outer, np.outer(a, b))
    np.testing.assert_array_equal(fg.vmap(fg.grad(lambda x: x**3))(b), 3 * b**2)
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(fg.vmap(lambda y: y**3)(x)))(b), 3 * b**2)
    per_example = fg.vmap(fg.grad(lambda w, x, y: (w @ x - y) ** 2), in_axes=(None, 0, 0))
    w, y = RNG.normal(size=3), RNG.normal(size=4)
    np.testing.assert_allclose(per_example(w, ROWS, y), 2 * (ROWS @ w - y)[:, None] * ROWS)
    np.testing.assert_allclose(fg.jit(fg.vmap(normalise))(ROWS), ROWS / np.linalg.norm(ROWS, axis=1)[:, None])
    np.testing.assert_array_equal(fg.vmap(lambda x: fg.vmap(lambda y: x * y)(b))(a), np.outer(a, b))


# Errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fg.vmap(lambda x, y: x)(ROWS, np.ones(3)), r"different numbers of rows.\n +value +x: 4, y: 3"),
        (lambda: fg.vmap(lambda p: p)({"a": ROWS, "b": ROWS.T}), r"p\['a'\]: 4, p\['b'\]: 3"),
        (lambda: fg.vmap(lambda *rows: rows)(ROWS, ROWS.T), r"rows\[0\]: 4, rows\[1\]: 3"),
        (lambda: fg.vmap(lambda x, y: x)(ROWS, y=ROWS.T), "x: 4, y: 3"),
        (lambda: fg.vmap(np.sin, axis_size=3)(ROWS), "axis_size: 3"),
        (lambda: fg.vmap(lambda x, y: x)(ROWS, 2.0), r"cannot map over y: it is a scalar(.*\n)*.*in_axes=None for y"),
        (lambda: fg.vmap(lambda x: x, in_axes=2)(ROWS), r"cannot map x over axis 2.\n +value +x has 2 axes"),
        (lambda: fg.vmap(lambda x: x, in_axes=-3)(ROWS), "from -2 to 1"),
        (lambda: fg.vmap(lambda x: x, out_axes=2)(ROWS), "cannot map the result over axis 2"),
        (lambda: fg.vmap(lambda x: x, out_axes=None)(ROWS), "differs from row to row"),
        (lambda: fg.vmap(lambda x: x, in_axes=None)(ROWS), "nothing to map over"),
        (lambda: fg.vmap(lambda: 2.0)(), "nothing to map over"),
        (lambda: fg.vmap(lambda x: x, in_axes=(0, 0))(ROWS), "in_axes for 2 arguments, but was called with 1"),
        (
            lambda: fg.vmap(lambda p: p, in_axes=({"a": 0},))({"a": ROWS, "b": ROWS}),
            "in_axes that do not match its arg",
        ),
        (lambda: fg.vmap(lambda x: x, out_axes=(0, 0))(ROWS), "out_axes that do not match the result"),
        (lambda: fg.vmap(lambda x: x, in_axes="0")(ROWS), "in_axes with '0' in it"),
        (lambda: fg.vmap(lambda x: x, in_axes=0.5)(ROWS), "in_axes with 0.5 in it"),
        (lambda: fg.vmap(lambda x: x, in_axes=True)(ROWS), "in_axes with True in it"),
    ],
)
def test_axes_that_do_not_fit_raise(call: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        call()
    assert str(caught.value).startswith("vmap(")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda x: x if x[0] > 0 else -x, TracedBranchError),
        (lambda x: x * (x[0] > 0 and x[1] > 0), TracedBranchError),
        (lambda x: float(x[0]), TracedConversionError),
        (lambda x: np.asarray(x), TracedConversionError),
    ],
)
def test_python_reading_a_row_raises_with_the_line(f: Any, error: Any) -> None:
    with pytest.raises(error, match=r"vmap\(<lambda>\)(.*\n)*.*test_batching.py:\d+") as caught:
        fg.vmap(f)(ROWS)
    assert "fix" in str(caught.value)


def test_values_that_do_not_depend_on_the_rows_may_steer() -> None:
    np.testing.assert_array_equal(fg.vmap(lambda x, n: x * 2 if n > 0 else x, in_axes=(0, None))(ROWS, 3), ROWS * 2)
    np.testing.assert_array_equal(fg.vmap(lambda x: x * len(x) * x.shape[0])(ROWS), ROWS * 3 * 3)


# As functions


def test_transformed_function_keeps_name_signature_and_pickles() -> None:
    g = fg.vmap(normalise, in_axes=1, out_axes=1)
    assert (g.__name__, g.__doc__) == ("normalise", "Length one.")
    assert inspect.signature(g) == inspect.signature(normalise)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(g))(ROWS), g(ROWS))
    assert repr(g) == "vmap(normalise)"


class Scaler:
    factor = 3.0

    def scale(self, x: Any) -> Any:
        return x * self.factor


def test_bound_methods_are_functions() -> None:
    np.testing.assert_array_equal(fg.vmap(Scaler().scale)(ROWS), ROWS * 3)
