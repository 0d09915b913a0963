"""What has changed between two runs, beyond the noise?

A change counts when the ratio of the medians is outside of what the quartiles of both runs allow, and more than a few
percent. Where both runs have peers, whose code has not changed, their change is the machine's, and is divided out.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.libraries import package_of
from benchmarks.report import DocumentError, seconds, validate
from benchmarks.workload import OURS

LEAST_CHANGE = 0.05


@dataclass(frozen=True)
class Change:
    """One library on one workload and size: times in both runs, their ratio without the machine's part, the noise."""

    workload: str
    size: str
    library: str
    old: float
    new: float
    ratio: float
    noise: float

    @property
    def verdict(self) -> str:
        """ "faster", "slower", or "same" within the noise."""
        if abs(math.log(self.ratio)) <= math.log1p(max(LEAST_CHANGE, self.noise)):
            return "same"
        return "slower" if self.ratio > 1 else "faster"


def noise(result: dict[str, Any]) -> float:
    """Half the distance of the quartiles, relative to the median, and at least the error of a median of few."""
    return float((result["high"] - result["low"]) / (2 * result["median"])) + 0.1 / len(result["samples"])


def key(result: dict[str, Any]) -> tuple[str, str, str]:
    """What is compared with what."""
    return result["workload"], result["size"], result["library"]


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """All that both runs have measured."""
    before = {key(r): r for r in [*old["results"], *old["micro"]] if "median" in r}
    pairs = [(before[key(r)], r) for r in [*new["results"], *new["micro"]] if "median" in r and key(r) in before]
    machine: dict[tuple[str, str], list[float]] = {}
    for a, b in pairs:
        if package_of(b["library"]) != OURS:
            machine.setdefault((b["workload"], b["size"]), []).append(math.log(b["median"] / a["median"]))
    found = []
    for a, b in pairs:
        drift = math.exp(statistics.median(machine.get((b["workload"], b["size"]), [0.0])))
        found.append(Change(*key(b), a["median"], b["median"], b["median"] / a["median"] / drift, noise(a) + noise(b)))
    return found


def text(found: Sequence[Change], all_of_them: bool) -> str:
    """Lines for changes of ours, and of the others if asked for."""
    lines = [f"{'':<44}{'old':>10}{'new':>10}{'ratio':>8}{'noise':>8}"]
    shown = [c for c in found if all_of_them or (package_of(c.library) == OURS and c.verdict != "same")]
    for c in sorted(shown, key=lambda c: -abs(math.log(c.ratio))):
        name = f"{c.workload} {c.size} {c.library}"
        line = f"{name:<44}{seconds(c.old):>10}{seconds(c.new):>10}{c.ratio:>8.2f}{c.noise:>8.0%}"
        lines.append(f"{line}  {c.verdict}")
    ours = [c for c in found if package_of(c.library) == OURS]
    counts = {verdict: sum(c.verdict == verdict for c in ours) for verdict in ("faster", "slower", "same")}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if ours:
        mean = math.exp(sum(math.log(c.ratio) for c in ours) / len(ours))
        summary += f"; geometric mean of new / old {mean:.3f}"
    return "\n".join([*(lines if shown else ["no change beyond the noise"]), f"funcgrad: {summary}"])


def read(path: Path) -> dict[str, Any]:
    """A document of a run.

    Raises:
        DocumentError: The file holds something else.
    """
    try:
        return validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, DocumentError) as error:
        raise DocumentError(f"{path}: {error}") from None


def main(arguments: Sequence[str]) -> int:
    """Compare two files; the status is 1 if something of ours became slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--all", action="store_true", help="also what did not change, and the peers")
    options = parser.parse_args(arguments)
    try:
        found = changes(read(options.old), read(options.new))
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    print(text(found, options.all))
    return int(any(c.verdict == "slower" and package_of(c.library) == OURS for c in found))
