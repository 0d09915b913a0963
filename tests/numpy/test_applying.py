"""polyval, apply_along_axis and sliding_window_view of traced arrays against NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5))
sliding_window_view = np.lib.stride_tricks.sliding_window_view

CALLS: dict[str, tuple[Any, list[Any]]] = {
    "polyval": (np.polyval, [X[0, 0], X[1]]),
    "polyval-coefficients": (lambda p: np.polyval(p, 2.0), [X[0, 0]]),
    "polyval-number": (lambda x: np.polyval([1, 2, 3], x), [np.array(0.5)]),
    "polyval-integers": (lambda x: np.polyval(x, np.arange(3)), [X[0, 0]]),
    "polyval-none": (lambda x: np.polyval([], x), [X[0]]),
    "windows": (lambda x: sliding_window_view(x, 3), [X[0, 0]]),
    "windows-all": (lambda x: sliding_window_view(x, (2, 1, 3)), [X]),
    "windows-axis": (lambda x: sliding_window_view(x, 2, axis=1).sum(-1), [X]),
    "windows-twice": (lambda x: sliding_window_view(x, (2, 3), axis=(2, 2)), [X]),
    "windows-axes": (lambda x: sliding_window_view(x, (3, 2), axis=(-1, 0)), [X]),
    **{
        f"along-{name}-{axis}": (lambda x, f=f, axis=axis: np.apply_along_axis(f, axis, x), [X])
        for axis in (0, 1, -1)
        for name, f in {
            "number": lambda row: row[0] * row.sum(),
            "vector": lambda row: np.cumsum(row * row),
            "matrix": lambda row: np.outer(row, row[:2]),
        }.items()
    },
    "along-arguments": (lambda x: np.apply_along_axis(lambda r, k, power: k * r**power, 0, x, 3, power=2), [X[0]]),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_equals_numpy_and_differentiates(name: str) -> None:
    f, args = CALLS[name]
    assert_values(f, *args)
    assert_derivatives(f, *args)
    batch = np.stack([args[0], args[0] * 0.5])
    np.testing.assert_array_equal(
        funcgrad.vmap(lambda x: f(x, *args[1:]))(batch), np.stack([f(x, *args[1:]) for x in batch])
    )


BAD_CALLS = [
    lambda x: sliding_window_view(x, 6, axis=2),
    lambda x: sliding_window_view(x, 2),
    lambda x: sliding_window_view(x, (2, 2), axis=0),
    lambda x: sliding_window_view(x, -1, axis=0),
    lambda x: sliding_window_view(x, 2, axis=3),
    lambda x: np.apply_along_axis(np.sum, 3, x),
    lambda x: np.apply_along_axis(np.sum, 0, x[:, :0]),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_call_raises_as_numpy(call: Any) -> None:
    with pytest.raises(ValueError) as expected:  # noqa: PT011 (compared below)
        call(X)
    with pytest.raises(type(expected.value)) as actual:
        funcgrad.vjp(call, X)
    assert str(actual.value) == str(expected.value)
