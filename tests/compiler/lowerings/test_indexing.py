"""Compiled reads and writes by index: bounds, negative and repeated numbers, and what NumPy says of wrong ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad
from funcgrad.compiler.runtime import ProgramError
from funcgrad.primitives import indexing, scattering
from funcgrad.primitives.index import ARRAY, Index
from tests.compiler.comparison import assert_compiled_equals_eager, compiled

ROWS = Index((ARRAY,))


@given(st.lists(st.integers(-5, 4), max_size=9), st.sampled_from([np.int64, np.int8, np.uint8, np.int32]))
@settings(max_examples=20, deadline=None)
def test_gather_any_integers_equals_numpy(numbers: list[int], dtype: Any) -> None:
    i = np.array(numbers, dtype) if dtype != np.uint8 else np.abs(np.array(numbers, np.int64)).astype(dtype) % 5
    x = np.arange(15.0).reshape(5, 3)
    assert_compiled_equals_eager(lambda x, i: (x[i], x[:, 1][i] + 1.0, np.exp(x)[i]), x, i)


@pytest.mark.parametrize("wrong", [5, -6, 2**40])
def test_gather_out_of_bounds_raises_what_numpy_raises(wrong: int) -> None:
    jitted = funcgrad.jit(lambda x, i: x[i] * 2.0, compile="now")
    x, i = np.arange(5.0), np.array([0, 4, -5])
    np.testing.assert_array_equal(jitted(x, i), x[i] * 2.0)
    np.testing.assert_array_equal(jitted(x, i), x[i] * 2.0)
    i[1] = wrong
    with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis 0 with size 5"):
        jitted(x, i)


def test_gather_out_of_bounds_beside_work_of_the_same_shape_reads_nothing() -> None:
    def f(x: Any, y: Any, i: Any) -> Any:
        return np.sqrt(y) + 1.0, x[i] + y

    _, call = compiled(f, np.ones(5), np.ones(3), np.zeros(3, np.int64))
    with pytest.raises(ProgramError):
        call(np.ones(5), np.ones(3), np.array([0, 2**50, 1]))


@given(st.lists(st.integers(-4, 3), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_scatters_of_repeated_rows_equal_numpy(numbers: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    i = np.array(numbers)
    x, v = rng.normal(size=(4, 11)), rng.normal(size=(len(i), 11))
    assert_compiled_equals_eager(lambda v, i: indexing.scatter_sum(v, ROWS, (4, 11), i), v, i)
    assert_compiled_equals_eager(lambda v, i: indexing.scatter_sum(v[:, 0], ROWS, (4,), i), v, i)
    assert_compiled_equals_eager(lambda x, i: scattering.gather_last(x, ROWS, i), x, i)
    for write in (
        scattering.scatter_set,
        scattering.scatter_add,
        scattering.scatter_min,
        scattering.scatter_max,
    ):
        assert_compiled_equals_eager(partial(_written, write), x, v, i)


def _written(write: Any, x: Any, v: Any, i: Any) -> Any:
    return write(x, v * 2.0, ROWS, i)


def test_scatter_of_a_constant_equals_numpy() -> None:
    i = np.array([3, 0, 3])
    ones = np.ones((3, 20))
    assert_compiled_equals_eager(
        lambda x, i: scattering.scatter_add(x, np.broadcast_to(1.0, (3, 20)), ROWS, i), ones[:, :] * [[1.0]] * 4, i % 3
    )


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_gather_of_nothing_equals_numpy(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    i = np.zeros(0, np.int64) if shape[0] == 0 else np.array([1, -2])
    assert_compiled_equals_eager(lambda x, i: x[i], x, i)


@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([(3, 4), (1, 5), (0, 2)]))
@settings(max_examples=15, deadline=None)
def test_roll_any_shift_equals_numpy(first: int, second: int, shape: tuple[int, int]) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    assert_compiled_equals_eager(lambda x: np.roll(x * 2.0, (first, second, 1), (0, 1, 0)), x)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_slices_and_their_gradients_equal_numpy(data: Any) -> None:
    shape = (5, 4)
    entries = tuple(
        data.draw(st.one_of(st.slices(n), st.integers(-n, n - 1), st.just(None)), label=f"of {n}") for n in shape
    )
    x = np.arange(20.0).reshape(shape) - 7.0

    def selected(x: Any) -> Any:
        return x[entries]

    assert_compiled_equals_eager(selected, x)
    assert_compiled_equals_eager(funcgrad.grad(lambda x: (selected(x) ** 2).sum()), x)
