"""What every NumPy function must satisfy on traced arguments, whatever its family."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import funcgrad
from funcgrad.testing.tolerances import ADJOINT, DIFFERENCES, tolerance


def outputs(y: Any) -> list[Any]:
    """The inexact and other outputs of a function as a flat list."""
    return list(y) if isinstance(y, (tuple, list)) else [y]


def assert_same(actual: Any, expected: Any) -> None:
    """Equal structure, shapes, dtypes and, bit for bit, elements."""
    assert type(actual) is type(expected) or not isinstance(expected, tuple)
    for a, b in zip(outputs(actual), outputs(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.result_type(a) == np.result_type(b)
        np.testing.assert_array_equal(np.signbit(np.real(a)), np.signbit(np.real(b)))
        np.testing.assert_array_equal(a, b)


def assert_values(f: Any, *xs: Any) -> None:
    """f of traced arguments equals f of plain ones bit for bit; recorded without values, it has the same types."""
    expected = f(*xs)
    assert_same(funcgrad.vjp(f, *xs)[0], expected)
    avals = outputs(funcgrad.eval_shape(f, *xs))
    for aval, y in zip(avals, outputs(expected), strict=True):
        assert (aval.shape, aval.dtype) == (np.shape(y), np.result_type(y))


def assert_derivatives(f: Any, *xs: Any, order: int = 1, seed: int = 0) -> None:
    """The tangent of f equals central differences, and the pullback is its transpose, up to an order."""
    rng = np.random.default_rng(seed)
    ts = tuple(_direction(rng, x) for x in xs)
    ys, y_dots = [outputs(part) for part in funcgrad.jvp(f, xs, ts)]
    for y, y_dot, difference in zip(ys, y_dots, _central(f, xs, ts), strict=True):
        if np.result_type(y).kind not in "fc":
            continue
        assert np.result_type(y_dot) == np.result_type(y)
        scale = max(1.0, float(np.max(np.abs(difference), initial=0.0)), float(np.max(np.abs(y), initial=0.0)))
        np.testing.assert_allclose(y_dot, difference, rtol=0, atol=tolerance(DIFFERENCES, y) * scale)

    def inexact(*values: Any) -> Any:
        return [y for y in outputs(f(*values)) if y.dtype.kind in "fc"]

    values, pull = funcgrad.vjp(inexact, *xs)
    cts = [_direction(rng, y) for y in values]
    x_cts = pull(cts)
    y_dots = funcgrad.jvp(inexact, xs, ts)[1]
    left, right = [
        sum(np.sum(np.real(np.multiply(a, b, dtype=complex))) for a, b in pairs)
        for pairs in (zip(cts, y_dots, strict=True), zip(x_cts, ts, strict=True))
    ]
    scale = max([1.0, *[float(np.sum(np.abs(np.multiply(a, b)))) for a, b in zip(cts, y_dots, strict=True)]])
    assert abs(left - right) <= tolerance(ADJOINT, *xs) * scale
    if order > 1:
        assert_derivatives(lambda *values: funcgrad.jvp(inexact, values, ts)[1], *xs, order=order - 1, seed=seed + 1)


def _direction(rng: Any, x: Any) -> Any:
    t = rng.uniform(-1, 1, np.shape(x))
    if np.result_type(x).kind == "c":
        t = t + 1j * rng.uniform(-1, 1, np.shape(x))
    return np.asarray(t).astype(np.result_type(x))[()]


def _central(f: Any, xs: Any, ts: Any) -> list[Any]:
    """Central differences in double precision, extrapolated once."""

    def difference(h: float) -> list[Any]:
        sides = []
        for step in (h, -h):
            wide = [np.asarray(x, np.result_type(x, np.float64)) + step * t for x, t in zip(xs, ts, strict=True)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sides.append(outputs(f(*wide)))
        return [np.subtract(a, b) / (2 * h) for a, b in zip(*sides, strict=True)]

    coarse, fine = difference(2e-4), difference(1e-4)
    return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)]
