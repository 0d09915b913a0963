"""How close do fused chains come to copying an array, in the cache and out of it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed

CHAINS: dict[str, Callable[[Any], Any]] = {
    "x + 1": lambda x: x + 1.0,
    "((x + 1) * 2 - x) / 3": lambda x: ((x + 1.0) * 2.0 - x) / 3.0,
    "where(x > 0, x, 0.1 x)": lambda x: np.where(x > 0, x, 0.1 * x),
    "sum(x)": np.sum,
    "sum((x - 1)**2)": lambda x: np.sum((x - 1.0) ** 2),
    "gradient of sum((x - 1)**2)": funcgrad.grad(lambda x: np.sum((x - 1.0) ** 2)),
    "max(x)": np.max,
}


def measure() -> Iterator[Entry]:
    """Time over that of `x.copy()`."""
    for elements, where in ((8192, "64 kB"), (8388608, "64 MB")):
        x = np.linspace(-1, 1, elements)
        calls: dict[str, Callable[[], Any]] = {"copy": x.copy}
        for name, f in CHAINS.items():
            compiled = funcgrad.jit(f)
            calls[name] = lambda compiled=compiled, x=x: compiled(x)  # type: ignore[misc]
        samples = timed(calls, rounds=5)
        copies = samples.pop("copy")
        yield entry("bandwidth", f"copy, {where}", copies, "ns per element", scale=1e9 / elements, library="numpy")
        for name, seconds in samples.items():
            ratios = [s / c for s, c in zip(seconds, copies, strict=True)]
            yield entry("bandwidth", f"{name}, {where}", ratios, "of a copy's time")
