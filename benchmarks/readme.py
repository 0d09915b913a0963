"""README's table of compiled workloads: of each the largest size that a run has measured.

python -m benchmarks readme benchmarks/results.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.workload import LIMIT, OURS

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- workloads: begin", "<!-- workloads: end -->"
PEERS = {"jax": "JAX", "torch": "PyTorch", "autograd": "autograd"}
# Those of the readers' own trade, and one each of loops, networks and statistics.
SHOWN = ("lse", "llsq", "kmeans", "ode", "gmm", "ba", "kalman", "digits")


def table(document: dict[str, Any]) -> str:
    """The table with what it was measured by."""
    environment = ", ".join(f"{name} {version}" for name, version in document["environment"].items())
    lines = [
        "Compiled, from and to NumPy arrays: funcgrad's time, and how many times as long the fastest way of each other",
        f"library and derivatives by hand in numba take; {document['threads']} thread, medians, more in "
        f"`benchmarks/results.json`; {environment}.",
        "",
        f"| | funcgrad | {' | '.join(PEERS.values())} | by hand |",
        f"|---|---|{'---|' * (len(PEERS) + 1)}",
    ]
    largest: dict[str, list[dict[str, Any]]] = {}
    for (workload, _), group in report.grouped(document["results"]).items():
        if OURS in report.by_library(group):
            largest[workload] = group
    for workload in SHOWN:
        if workload in largest:
            lines.append(_row(workload, largest[workload]))
    return "\n".join(lines)


def _row(workload: str, group: Sequence[dict[str, Any]]) -> str:
    medians = report.by_library(group)
    cells = [report.seconds(medians[OURS])]
    for package in (*PEERS, LIMIT):
        found = report.best(medians, package)
        ratio = 0.0 if found is None else found[1] / medians[OURS]
        cells.append("" if found is None else f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}")
    return f"| {workload}, {group[0]['size']} | {' | '.join(cells)} |"


def written(text: str, document: dict[str, Any]) -> str:
    """README's text with the table between its marks.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    mark, _, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"README.md has no {BEGIN} ... --> and {END}")
    return f"{before}{begin}{mark}\n{table(document)}\n{end}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the table of a run into README.md."""
    command = argparse.ArgumentParser(prog="python -m benchmarks readme")
    command.add_argument("run", type=Path, help="what `--json` wrote")
    options = command.parse_args(arguments)
    document = report.validate(json.loads(options.run.read_text(encoding="utf-8")))
    README.write_text(written(README.read_text(encoding="utf-8"), document), encoding="utf-8")
    return 0
