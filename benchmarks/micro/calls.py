"""What does a call of a jitted function cost, by the number of its arguments, of leaves in a tree, and of results?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed


def of_arguments(count: int) -> Callable[[], Any]:
    """A call with `count` arrays of one element."""
    f = funcgrad.jit(lambda *xs: sum(xs[1:], xs[0]))
    xs = [np.ones(1) for _ in range(count)]
    return lambda: f(*xs)


def of_leaves(count: int) -> Callable[[], Any]:
    """A call with one dict of `count` arrays of one element."""
    f = funcgrad.jit(lambda tree: sum(tree.values()))
    tree = {f"leaf{i}": np.ones(1) for i in range(count)}
    return lambda: f(tree)


def of_results(count: int) -> Callable[[], Any]:
    """A call that gives `count` arrays."""
    f = funcgrad.jit(lambda x: tuple(x + i for i in range(count)))
    x = np.ones(1)
    return lambda: f(x)


def of_scalar() -> Callable[[], Any]:
    """A call with a Python float."""
    f = funcgrad.jit(lambda x: x + 1.0)
    return lambda: f(2.0)


def measure() -> Iterator[Entry]:
    """Microseconds per call."""
    calls = {f"{n} arguments": of_arguments(n) for n in (1, 2, 5, 10, 20)}
    calls |= {f"dict of {n} leaves": of_leaves(n) for n in (1, 10, 100)}
    calls |= {f"{n} results": of_results(n) for n in (1, 5, 20)}
    calls["a float"] = of_scalar()
    for case, samples in timed(calls).items():
        yield entry("calls", case, samples, "us per call", scale=1e6)
