"""What a run has found, as JSON and as tables in the terminal.

The document: `schema` (see `SCHEMA`), `environment`, `command`, `threads`, `date`, `results` (one for each workload,
size and library, in seconds and bytes) and `micro` (measurements of `benchmarks.micro`, by name).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.libraries import package_of
from benchmarks.workload import BY_HAND, GRADBENCH, LIMIT, OURS

SCHEMA = "funcgrad-benchmarks/1"
RESULT_KEYS = ("workload", "size", "group", "numbers", "library")
MEASURED_KEYS = ("samples", "median", "low", "high", "minimum", "memory", "import", "first_calls", "error")


class DocumentError(ValueError):
    """A file is not what a run of `python -m benchmarks` writes."""


def validate(document: Any) -> dict[str, Any]:
    """The document, if it is one.

    Raises:
        DocumentError: It is not, with the reason.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise DocumentError(f"not a document of the schema {SCHEMA!r}")
    for key, kind in (("environment", dict), ("command", str), ("threads", int), ("results", list), ("micro", list)):
        if not isinstance(document.get(key), kind):
            raise DocumentError(f"{key!r} is missing, or not of type {kind.__name__}")
    for result in document["results"]:
        expected = RESULT_KEYS + (("why_not",) if "why_not" in result else MEASURED_KEYS)
        if missing := [key for key in expected if key not in result]:
            raise DocumentError(f"a result lacks {', '.join(missing)}: {result}")
    return document


def seconds(time: float) -> str:
    """A time with a unit, in three digits."""
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))
    unit, scale = next((u for u in units if time >= u[1]), units[-1])
    value = time / scale
    return f"{value:.{max(0, 2 - math.floor(math.log10(max(value, 1e-9))))}f} {unit}"


def size_of(memory: float) -> str:
    """A number of bytes with a unit."""
    return f"{memory / 2**20:.0f} MB" if memory >= 2**20 else f"{memory / 2**10:.0f} kB"


def is_peer(library: str) -> bool:
    """Whether a library differentiates, and is not ours."""
    return package_of(library) not in (OURS, BY_HAND, LIMIT)


def by_library(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Medians of those that were measured."""
    return {r["library"]: r["median"] for r in results if "median" in r}


def best(medians: dict[str, float], package: str | None = None) -> tuple[str, float] | None:
    """The fastest of a package, or of all peers."""
    found = [
        (time, name) for name, time in medians.items() if (package_of(name) == package if package else is_peer(name))
    ]
    return (min(found)[1], min(found)[0]) if found else None


def grouped(results: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Results by workload and size, in their order."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["workload"], result["size"]), []).append(result)
    return groups


def table(results: Sequence[dict[str, Any]]) -> str:
    """One workload at one size: a line for each library, from the fastest."""
    medians = by_library(results)
    ours = medians.get(OURS)
    lines = []
    for r in sorted(results, key=lambda r: r.get("median", math.inf)):
        if "why_not" in r:
            lines.append(f"  {r['library']:<22}not measured: {r['why_not'][:90]}")
            continue
        spread = f"({seconds(r['low'])} - {seconds(r['high'])})"
        ratio = f"{r['median'] / ours:9.2f}" if ours else ""
        first = " ".join(seconds(t) for t in r["first_calls"][:2])
        second = r.get("second_process")
        lines.append(
            f"  {r['library']:<22}{seconds(r['median']):>9} {spread:<23}{ratio}   first {first}"
            + (f", second process {' '.join(seconds(t) for t in second[:2])}" if second else "")
            + f"   {size_of(r['memory']['call'])}"
        )
    return "\n".join(lines)


def overview(results: Sequence[dict[str, Any]]) -> str:
    """Every workload and size in one line: ours, and the ratios of the best peer, NumPy by hand and the limit to it.

    Then what the first two calls take, and the ratios of JAX's to it, without and with the import of the library; each
    library in the way that takes least, but ours in one that is faster than all of JAX's afterwards, if there is one.
    """
    ratios = "".join(f"{title:>9}" for title in ("by hand", "limit"))
    titles = f"{'funcgrad':>10}   {'best peer / funcgrad':<32}{ratios}{'first':>12}{'JAX':>9}{'import':>9}"
    lines = [f"{'':<38}{titles}"]
    for (workload, size), group in grouped(results).items():
        medians = by_library(group)
        ours = medians.get(OURS)
        if ours is None:
            continue
        peer = best(medians)
        text = f"{peer[1] / ours:6.2f}  {peer[0]}, {seconds(peer[1])}" if peer else ""
        rest = "".join(f"{medians[name] / ours:9.2f}" if name in medians else " " * 9 for name in (BY_HAND, LIMIT))
        jax = best(medians, "jax")
        first, start = first_calls(group, OURS, jax[1] if jax else math.inf)
        jax_first, jax_start = first_calls(group, "jax")
        rest += f"{seconds(first):>12}" + (f"{jax_first / first:9.2f}{jax_start / start:9.2f}" if jax_first else "")
        lines.append(f"{workload:<14}{size:<24}{seconds(ours):>10}   {text:<32}{rest}")
    lines += [""] + [f"{label}: {text}" for label, text in means(results).items()]
    return "\n".join(lines)


def first_calls(results: Iterable[dict[str, Any]], package: str, longest: float = math.inf) -> tuple[float, float]:
    """Seconds of the first two calls of a package, without and with its import, of the way that takes least.

    Args:
        results: Of one size.
        package: Its name.
        longest: What a way may take afterwards, if there is one that takes no more.

    Returns:
        Zeros if none was measured.
    """
    measured = [r for r in results if "median" in r and package_of(r["library"]) == package]
    found = [r for r in measured if r["median"] <= longest] or measured
    sums = [(sum(r["first_calls"][:2]), r["import"]) for r in found]
    return min((first, first + importing) for first, importing in sums) if sums else (0.0, 0.0)


def means(results: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Geometric means of JAX's time over ours over GradBench's workloads: small calls, and the largest sizes."""
    groups = grouped(
        [r for r in results if (r["workload"] in GRADBENCH and r["group"] != "smoke") or r["workload"] == "hello"]
    )
    ratios: dict[str, list[float]] = {}
    for group in groups.values():
        medians = by_library(group)
        fastest, ours = best(medians, "jax"), medians.get(OURS)
        if fastest is None or ours is None:
            continue
        ways = {"JAX's fastest way": fastest[1], "JAX as usually written": medians.get("jax", fastest[1])}
        sizes = ["calls under 1 ms"] * (fastest[1] < 1e-3) + ["largest sizes"] * (group[0]["group"] == "large")
        for size in sizes:
            for way, time in ways.items():
                ratios.setdefault(f"geometric mean of {way} / funcgrad, {size}", []).append(time / ours)
    return {label: f"{math.exp(sum(map(math.log, x)) / len(x)):.2f} ({len(x)})" for label, x in ratios.items()}
