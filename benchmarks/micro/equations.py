"""What does each equation cost that un-jitted `grad` records, forward and back, beside the same by hand in NumPy?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed

SMALL, SQUARE = np.linspace(0.1, 0.9, 5), np.eye(5) * 0.9
COUNT = 200

# One step, of one recorded equation, from an array of 5 to another.
STEPS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "sin(x)": (np.sin, 1),
    "x * number": (lambda x: x * 1.01, 1),
    "x * x": (lambda x: x * x, 1),
    "matrix @ x": (lambda x: SQUARE @ x, 1),
    "x[::-1]": (lambda x: x[::-1], 1),
    "x + sum(x)": (lambda x: x + np.sum(x), 2),
    "where(x > 0, x, 0)": (lambda x: np.where(x > 0, x, 0.0), 2),
    "concatenate(x[1:], x[:1])": (lambda x: np.concatenate([x[1:], x[:1]]), 3),
}


def repeated(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`step` COUNT times over."""

    def f(x: Any) -> Any:
        for _ in range(COUNT):
            x = step(x)
        return np.sum(x)

    return f


def measure() -> Iterator[Entry]:
    """Microseconds per equation."""
    with np.errstate(all="ignore"):
        for name, (step, equations) in STEPS.items():
            f = repeated(step)
            gradient = funcgrad.grad(f)
            samples = timed({"funcgrad": lambda g=gradient: g(SMALL), "numpy": lambda f=f: f(SMALL)})  # type: ignore[misc]
            scale = 1e6 / (COUNT * equations)
            yield entry("equations", name, samples["funcgrad"], "us per equation, grad", scale=scale)
            yield entry(
                "equations", name, samples["numpy"], "us per equation, value only", scale=scale, library="numpy"
            )
