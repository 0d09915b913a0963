"""NumPy's sorting and searching of traced arrays against NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)


def array(dtype: Any, distinct: bool = True) -> Any:
    x = RNG.permutation(24).reshape(3, 4, 2) / 7
    x = x if distinct else np.round(x)
    return (x + 1j * x[::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_sort_any_axis_equals_numpy_and_differentiates(dtype: Any) -> None:
    for axis in (None, 0, 1, -1):
        for x in (array(dtype), array(dtype, distinct=False), np.where(array(dtype).real > 3, np.nan, array(dtype))):
            assert_values(lambda x: np.sort(x, axis=axis), x)
            assert_values(lambda x: np.sort(x, axis=axis, stable=True), x)
            assert_values(lambda x: np.argsort(x, axis=axis, kind="stable"), x)
        assert_values(lambda x: np.argsort(x, axis=axis), array(dtype))
        if dtype is np.float64:
            assert_derivatives(lambda x: np.sort(x, axis=axis), array(dtype), order=2)


def test_sort_orders_as_numpy_treats_signed_zeros_and_infinities() -> None:
    assert_values(np.sort, np.array([np.inf, -np.inf, np.nan, 1.0, -1.0]))
    assert_values(np.sort, np.empty((0, 3)))
    assert_values(np.sort_complex, array(np.float64)[:, 0, 0])


def test_partition_any_axis_equals_numpy_and_differentiates() -> None:
    for axis in (None, 0, 1, -1):
        for kth in (1, -1, (0, -1), np.array([1, 0])):
            assert_values(lambda x: np.partition(x, kth, axis=axis), array(np.float64))
            assert_values(lambda x: np.argpartition(x, kth, axis=axis), array(np.float64))
        assert_derivatives(lambda x: np.partition(x, 1, axis=axis), array(np.float64), order=2)


def test_lexsort_equals_numpy() -> None:
    x = array(np.float64, distinct=False)
    assert_values(lambda x, y: np.lexsort((x, y)), x, x[::-1].copy())
    assert_values(lambda x, y: np.lexsort((x, y), axis=0), x, x[::-1].copy())
    assert_values(lambda x: np.lexsort((x,)), 2.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_any_arguments_equals_numpy(side: Any) -> None:
    x, v = array(np.float64), np.array([[0.5, 1.0], [2.0, np.nan]])
    assert_values(lambda x: np.searchsorted(np.sort(x[:, 0, 0]), v, side), x)
    assert_values(lambda x: np.searchsorted(np.array([0.0, 1.0, 2.0]), x, side), x)
    assert_values(lambda x: np.searchsorted(x[:, 0, 0], 1.0, side, sorter=np.argsort(x[:, 0, 0])), x)
    assert_values(lambda x: np.sort(x[:, 0, 0]).searchsorted(v, side), x)
    rows = funcgrad.vmap(lambda x, v: np.searchsorted(x, v, side))(np.sort(x[:, :, 0], 1), v[[0, 1, 0]])
    expected = [
        np.searchsorted(row, values, side) for row, values in zip(np.sort(x[:, :, 0], 1), v[[0, 1, 0]], strict=True)
    ]
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("right", [False, True])
def test_digitize_any_bins_equals_numpy(right: bool) -> None:
    for bins in ([0.0, 1.0, 2.0], [2.0, 1.0, 1.0, 0.0], [1.0], [1.0, 1.0]):
        assert_values(lambda x: np.digitize(x, bins, right), np.round(array(np.float64)))
    assert_values(lambda b: np.digitize(np.array([0.5, 1.5]), b, right), np.array([0.0, 1.0, 2.0]))


BAD_CALLS = [
    lambda x: np.sort(x, axis=3),
    lambda x: np.sort(x, kind="guess"),
    lambda x: np.argsort(x, axis=3),
    lambda x: np.sort(x[0, 0, 0]),
    lambda x: np.partition(x, 9),
    lambda x: np.searchsorted(x, 1.0),
    lambda x: np.searchsorted(x[:, 0, 0], 1.0, side="up"),
    lambda x: np.digitize(x, [0.0, 2.0, 1.0]),
    lambda x: np.digitize(x * 1j, [0.0, 1.0]),
    lambda x: np.lexsort((x, x[0])),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_sorting_bad_call_raises_as_numpy(call: Any) -> None:
    x = array(np.float64)
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        call(x)
    with pytest.raises(expected.type) as actual:
        funcgrad.vjp(call, x)
    assert str(actual.value) == str(expected.value)


def test_partition_of_nothing_is_nothing() -> None:
    for shape, axis in [((0,), 0), ((0, 3), 0), ((0, 3), 1), ((2, 0), 1)]:
        for kth in (0, np.array([], int)):
            assert_values(lambda x: np.partition(x, kth, axis), np.ones(shape))
            assert_values(lambda x: np.argpartition(x, kth, axis), np.ones(shape))
