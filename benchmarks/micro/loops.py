"""What does a step of `scan`, of its gradient, and of `while_loop` cost in compiled code?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed
from funcgrad import lax

STEPS = 10000


def scanned(x: Any) -> Any:
    """A scan of a number: a few operations a step, whose derivative needs the values."""
    return lax.scan(lambda c, _: (c * (0.9 - 0.1 * c) + 0.1, None), x, None, length=STEPS)[0]


def collected(x: Any) -> Any:
    """A scan that reads and writes an element a step."""
    return np.sum(lax.scan(lambda c, y: (c * (0.5 - 0.1 * c) + y, c), x[0], x)[1])


def vectors(x: Any) -> Any:
    """A scan of 16 numbers."""
    return np.sum(lax.scan(lambda c, _: (c * (0.9 - 0.1 * c) + 0.1, None), x[:16], None, length=STEPS)[0])


def counted(x: Any) -> Any:
    """A while loop on a number."""
    return lax.while_loop(lambda c: c[1] < STEPS, lambda c: (c[0] * 0.999 + 0.1, c[1] + 1), (x, 0))[0]


def measure() -> Iterator[Entry]:
    """Nanoseconds per step."""
    xs = np.linspace(0, 1, STEPS)
    calls: dict[str, Callable[[], Any]] = {
        "scan of a number": _jitted(scanned, 1.0),
        "gradient of it": _jitted(funcgrad.grad(scanned), 1.0),
        "scan over elements": _jitted(collected, xs),
        "gradient of that": _jitted(funcgrad.grad(collected), xs),
        "scan of 16 numbers": _jitted(vectors, xs),
        "gradient of those": _jitted(funcgrad.grad(vectors), xs),
        "while_loop on a number": _jitted(counted, 1.0),
    }
    for case, samples in timed(calls).items():
        yield entry("loops", case, samples, "ns per step", scale=1e9 / STEPS)


def _jitted(f: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    compiled = funcgrad.jit(f)
    return lambda: compiled(x)
