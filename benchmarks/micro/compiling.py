"""How long do the first calls of a jitted gradient take, by the number of equations; in a second process, too?

Each case runs in processes of its own, with an empty folder for compiled programs before the first one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import libraries
from benchmarks.micro.measuring import Entry, entry
from benchmarks.runner import ProcessError

ROUNDS = 3
COUNTS = (10, 100, 1000)
CALLS = ("first call, recorded", "second call, compiled", "third call")


def chain(count: int) -> Callable[[Any], Any]:
    """`count` elementwise equations on 1000 elements: one loop."""

    def f(x: Any) -> Any:
        for _ in range(count // 2):
            x = np.sin(x) * 1.01
        return np.sum(x)

    return f


def layers(count: int) -> Callable[[Any], Any]:
    """`count` equations of matrix products and what is between them: many loops."""
    w = np.eye(16) * 0.9

    def f(x: Any) -> Any:
        x = x[:256].reshape(16, 16)
        for _ in range(count // 4):
            x = np.tanh(x @ w) + 0.1 * np.mean(x, axis=0)
        return np.sum(x)

    return f


KINDS = {"chain": chain, "layers": layers}


def first_calls(kind: str, count: int) -> list[float]:
    """Seconds of the first calls of the gradient, in this process."""
    import funcgrad

    gradient = funcgrad.jit(funcgrad.grad(KINDS[kind](count)))
    x = np.linspace(0.1, 0.9, 1000)
    seconds = []
    for _ in CALLS:
        start = time.perf_counter()
        gradient(x)
        seconds.append(time.perf_counter() - start)
    return seconds


def in_process(kind: str, count: int, cache: Path) -> list[float]:
    """The same in a process with that folder for what is compiled."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.micro.compiling", kind, str(count)],
        env={**os.environ, **libraries.variables(1, cache, keep=False)},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ProcessError(f"{kind} of {count} equations: {done.stderr.strip().splitlines()[-1]}")
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def measure() -> Iterator[Entry]:
    """Milliseconds of first calls."""
    for kind in KINDS:
        for count in COUNTS:
            cold, warm = [], []
            for _ in range(ROUNDS):
                with tempfile.TemporaryDirectory(prefix="funcgrad-benchmarks-") as folder:
                    cold.append(in_process(kind, count, Path(folder)))
                    warm.append(in_process(kind, count, Path(folder)))
            for process, found in (("", cold), ("second process, ", warm)):
                for call, samples in zip(CALLS, zip(*found, strict=True), strict=True):
                    yield entry("compiling", f"{kind} of {count}: {process}{call}", samples, "ms", scale=1e3)


if __name__ == "__main__":
    print(json.dumps(first_calls(sys.argv[1], int(sys.argv[2]))))
