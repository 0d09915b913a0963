"""How many bytes does a recorded equation hold until its pullback is dropped, and a jitted function for good?"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry

COUNT = 1000
X = np.ones(1)


def chain(x: Any) -> Any:
    """COUNT equations on one element, of which each holds its result."""
    for _ in range(COUNT // 2):
        x = np.sin(x) * 1.01
    return x


def held(make: Callable[[], Any]) -> float:
    """Bytes that what `make` returns keeps from being freed."""
    make()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del kept
    return after - before


def recorded() -> Any:
    """A pullback."""
    return funcgrad.vjp(chain, X)[1]


def staged() -> Any:
    """A jitted function that has been called once."""
    f = funcgrad.jit(chain)
    f(X)
    return f


def by_hand() -> list[Any]:
    """The values alone."""
    ys, x = [], X
    for _ in range(COUNT // 2):
        x = np.sin(x)
        ys.append(x)
        x = x * 1.01
        ys.append(x)
    return ys


def measure() -> Iterator[Entry]:
    """Bytes per equation."""
    for case, make in (("vjp", recorded), ("jit, once called", staged)):
        yield entry("memory", case, [held(make) for _ in range(3)], "bytes per equation", scale=1 / COUNT)
    samples = [held(by_hand) for _ in range(3)]
    yield entry("memory", "values alone", samples, "bytes per equation", scale=1 / COUNT, library="numpy")
