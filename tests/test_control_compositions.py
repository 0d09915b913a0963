"""Loops, branches, rules, checkpoints and implicit functions inside any two transformations: against 60 digits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import funcgrad as fg
from tests.test_compositions import TRANSFORMATIONS, X


def scan(x: Any) -> Any:
    return fg.scan(lambda c, k: (np.sin(c) * x + k, None), x, np.array([0.1, 0.2, 0.3]))[0]


def scan_reference(x: Any) -> Any:
    c = x
    for k in ("0.1", "0.2", "0.3"):
        c = mpmath.sin(c) * x + mpmath.mpf(k)
    return c


def checkpointed(x: Any) -> Any:
    return fg.scan(lambda c, k: (np.sin(c) * x + k, None), x, np.array([0.1, 0.2, 0.3]), checkpoint=2)[0]


def while_loop(x: Any) -> Any:
    return fg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, np.cos(s[1]) * x), (0, x))[1]


def while_reference(x: Any) -> Any:
    c = x
    for _ in range(3):
        c = mpmath.cos(c) * x
    return c


def newton(x: Any) -> Any:
    return fg.while_loop(lambda s: s[1] < 7, lambda s: (0.5 * (s[0] + x / s[0]), s[1] + 1), (0.0 * x + 1.0, 0))[0]


def counted(x: Any) -> Any:
    return fg.fori_loop(0, 3, lambda i, c: np.cos(c) * x, x)


def branches(x: Any) -> Any:
    return fg.cond(x > 0.1, lambda x: np.exp(x) * x, lambda x: np.sin(x), x)


def switched(x: Any) -> Any:
    return fg.switch((10.0 * x).astype(int) // 3 if hasattr(x, "astype") else 2, [np.cos, np.tanh, np.sinh], x)


def checkpoint(x: Any) -> Any:
    return fg.checkpoint(lambda y: np.exp(np.sin(y) * x))(x)


def by_tangent(x: Any) -> Any:
    f = fg.custom_jvp(lambda x: np.exp(x) * x)
    f.defjvp(lambda xs, dots: (np.exp(xs[0]) * xs[0], (np.exp(xs[0]) + f(xs[0])) * dots[0]))
    return f(x)


def by_cotangent(x: Any) -> Any:
    f = fg.custom_vjp(lambda x: np.exp(x) * x)
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * (np.exp(x) + f(x)),))
    return f(x)


def root(x: Any) -> Any:
    return fg.root(lambda y, x: y**3 + y - x, 0.5, x, tol=1e-13)


def opaque(x: Any) -> Any:
    sine = fg.opaque(np.sin, derivative=fg.jit(lambda x: np.cos(x)))
    return sine(x) * x


CONSTRUCTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "scan": (scan, scan_reference),
    "checkpointed": (checkpointed, scan_reference),
    "while_loop": (while_loop, while_reference),
    "newton": (newton, mpmath.sqrt),
    "fori_loop": (counted, while_reference),
    "cond": (branches, lambda x: mpmath.exp(x) * x),
    "switch": (switched, mpmath.sinh),
    "checkpoint": (checkpoint, lambda x: mpmath.exp(mpmath.sin(x) * x)),
    "custom_jvp": (by_tangent, lambda x: mpmath.exp(x) * x),
    "custom_vjp": (by_cotangent, lambda x: mpmath.exp(x) * x),
    "root": (root, lambda x: mpmath.findroot(lambda y: y**3 + y - x, 0.5)),
    "opaque": (opaque, lambda x: mpmath.sin(x) * x),
}
PAIRS = list(itertools.product(TRANSFORMATIONS, repeat=2))


def reference(function: Callable[[Any], Any], order: int) -> float:
    with mpmath.workdps(60):
        return float(mpmath.diff(function, mpmath.mpf(X), order))


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct_in_pairs_of_transformations_equals_the_derivative_in_60_digits(name: str) -> None:
    function, exact = CONSTRUCTS[name]
    expected: dict[int, float] = {}
    for outer, inner in random.Random(name).sample(PAIRS, 50):
        (first, order), (second, more) = TRANSFORMATIONS[inner], TRANSFORMATIONS[outer]
        order += more
        if order not in expected:
            expected[order] = reference(exact, order)
        actual = second(first(function))(X)
        assert abs(float(actual) - expected[order]) < 1e-10 * 20**order * max(1.0, abs(expected[order])), (outer, inner)
