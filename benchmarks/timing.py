"""Interleaved timing of several implementations of one thing, in one process and one thread."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> None:
    """Ask every library for one thread; to be called before any of them is imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclass(frozen=True)
class Timing:
    """Seconds per call over the rounds of one run."""

    median: float
    minimum: float
    maximum: float

    def __str__(self) -> str:
        return f"{self.median * 1e6:9.2f} us  ({self.minimum * 1e6:.2f} - {self.maximum * 1e6:.2f})"


def interleaved(calls: Mapping[str, Callable[[], Any]], *, rounds: int = 15, budget: float = 0.05) -> dict[str, Timing]:
    """Time each call `rounds` times in turn, A B C A B C ..., so that drift of the machine meets all alike.

    Args:
        calls: The calls by name.
        rounds: How often each is measured.
        budget: Seconds that one measurement of one call takes, about.
    """
    counts = {name: _repetitions(call, budget) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(_measure(call, counts[name]))
    return {name: Timing(statistics.median(times), min(times), max(times)) for name, times in samples.items()}


def _measure(call: Callable[[], Any], count: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count
    finally:
        gc.enable()


def _repetitions(call: Callable[[], Any], budget: float) -> int:
    call()
    count, elapsed = 1, 0.0
    while elapsed < budget / 10:
        count *= 2
        elapsed = _measure(call, count) * count
    return max(1, round(count * budget / elapsed))


def environment(*packages: str) -> dict[str, str]:
    """The machine and the versions behind the figures."""
    versions = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    for package in ("funcgrad", "numpy", *packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
