"""How the microbenchmarks measure, and what they report."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from benchmarks.runner import summary
from benchmarks.worker import measure, repetitions

NAMES = (
    "equations",
    "calls",
    "programs",
    "compiling",
    "math_functions",
    "loops",
    "chains",
    "bandwidth",
    "memory",
    "checkpoints",
)

Entry = dict[str, Any]


def timed(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 7, budget: float = 0.02, warm_up: int = 3
) -> dict[str, list[float]]:
    """Seconds per call of each, in rounds over all of them."""
    for call in calls.values():
        for _ in range(warm_up):
            call()
    counts = {name: repetitions(call, budget) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(measure(call, counts[name]))
    return samples


def entry(
    benchmark: str, case: str, samples: Iterable[float], unit: str, *, scale: float = 1.0, library: str = "funcgrad"
) -> Entry:
    """What is reported of samples, each multiplied by `scale` to be in the unit."""
    scaled = [s * scale for s in samples]
    return {
        "workload": f"micro:{benchmark}",
        "size": case,
        "group": "micro",
        "numbers": {},
        "library": library,
        "unit": unit,
        "samples": scaled,
        **summary(scaled),
    }


def jax_and_numpy() -> tuple[Any, Any] | None:
    """`jax` in double precision and `jax.numpy`; None where JAX is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return jax, importlib.import_module("jax.numpy")


def run(name: str) -> Iterator[Entry]:
    """The entries of one of the NAMES."""
    yield from importlib.import_module(f"benchmarks.micro.{name}").measure()


def line(found: Entry) -> str:
    """An entry for the terminal."""
    case = f"{found['workload']:<22}{found['size']:<44}{found['library']:<10}"
    spread = f"({found['low']:.4g} - {found['high']:.4g})"
    return f"{case}{found['median']:>10.4g} {spread:<24}{found['unit']}"
