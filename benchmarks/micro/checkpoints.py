"""How much memory, and how much time, does the gradient of a long scan need for each `checkpoint=`?"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed
from funcgrad import lax

STEPS = 100_000
SIZE = 64
CASES: dict[str, int | str | None] = {
    "everything kept": None,
    "sqrt": "sqrt",
    "a budget of 1 MB": "1 MB",
    "10 states": 10,
    "100 states": 100,
}
# Eager steps cost fifty times as much as compiled ones: they are measured in a shorter loop.
TRACED_SHARE = 10


def gradient(steps: int, checkpoint: int | str | None) -> Callable[[Any], Any]:
    """The gradient of a scan that carries SIZE numbers, of which each step's derivative needs the values."""

    def loss(x: Any) -> Any:
        step = lambda c, _: (c + 0.001 * np.sin(c), None)
        return np.sum(lax.scan(step, x, None, length=steps, checkpoint=checkpoint)[0] ** 2)

    return funcgrad.grad(loss)


def traced_peak(f: Callable[[Any], Any], x: Any) -> int:
    """The most bytes that a call holds at any time."""
    f(x)
    gc.collect()
    tracemalloc.start()
    try:
        f(x)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def workspace(f: Any, x: Any) -> int:
    """The bytes that compiled code has for temporaries, states and residuals among them."""
    f(x)
    return f.explain().programs[-1].stages().workspace


def measure(steps: int = STEPS) -> Iterator[Entry]:
    """Megabytes and microseconds per step, eager and compiled."""
    x, few = np.linspace(-1.0, 1.0, SIZE), steps // TRACED_SHARE
    eager, compiled = {}, {}
    for case, checkpoint in CASES.items():
        eager[case] = _call(gradient(few, checkpoint), x)
        compiled[case] = funcgrad.jit(gradient(steps, checkpoint))
        for count in (few // TRACED_SHARE, few):
            peak = traced_peak(gradient(count, checkpoint), x)
            yield entry("checkpoints", f"{case}, eager, {count} steps", [peak], "MB at the peak", scale=1e-6)
        size = workspace(compiled[case], x)
        yield entry("checkpoints", f"{case}, compiled, {steps} steps", [size], "MB of workspace", scale=1e-6)
    for case, samples in timed(eager, rounds=3, warm_up=0).items():
        yield entry("checkpoints", f"{case}, eager", samples, "us per step", scale=1e6 / few)
    for case, samples in timed({case: _call(f, x) for case, f in compiled.items()}).items():
        yield entry("checkpoints", f"{case}, compiled", samples, "us per step", scale=1e6 / steps)


def _call(f: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    return lambda: f(x)
