"""How much of the four floors that carry derivatives do the tests run?

    python -m tests.coverage                     the tests, but those of benchmarks; a quarter of an hour
    python -m tests.coverage tests/control       these tests alone
    python -m tests.coverage --report            the figures of the last run

Prints lines and branches of each floor with what is missing, and fails where they are less than they have to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FLOORS = ("core", "primitives", "transforms", "control")
LINES, BRANCHES = 97.0, 92.0
ROOT = Path(__file__).parents[1]
TESTS = ("tests", "--ignore=tests/benchmarks", "--ignore=tests/test_demo.py")


def run_tests(tests: list[str]) -> int:
    """The tests under coverage, in two processes; what they have run is in the file .coverage."""
    command = ["pytest", "-q", "-n", "2", "--cov", "--cov-report=", *(tests or TESTS)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **one_thread}).returncode


def figures(floor: str) -> tuple[float, float, dict[str, list[int]]]:
    """Percentages of a floor's lines and branches, and the lines of each file that are missing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "coverage.json")
        options = ["json", "-q", "-o", str(file), f"--include=funcgrad/{floor}/*"]
        subprocess.run([sys.executable, "-m", "coverage", *options], cwd=ROOT, check=True)
        found = json.loads(file.read_text(encoding="utf-8"))
    totals = found["totals"]
    missing = {name: part["missing_lines"] for name, part in found["files"].items() if part["missing_lines"]}
    return (
        100 * totals["covered_lines"] / totals["num_statements"],
        100 * totals["covered_branches"] / totals["num_branches"],
        missing,
    )


def main(options: list[str]) -> int:
    """Run, print the table, and fail if a test or a figure does."""
    failed = 0 if options == ["--report"] else run_tests(options)
    table = {floor: figures(floor) for floor in FLOORS}
    for lines, branches, missing in table.values():
        failed |= lines < LINES or branches < BRANCHES
        for name, numbers in missing.items():
            print(f"  {name} lacks {', '.join(map(str, numbers))}")
    for floor, (lines, branches, _) in table.items():
        print(f"{floor:<12} {lines:6.2f} % of lines {branches:6.2f} % of branches")
    print(f"{'needed':<12} {LINES:6.2f} % of lines {BRANCHES:6.2f} % of branches")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
