"""A thousand random smooth functions, and a thousand with kinks; loops, branches and linear algebra among them.

    python -m tests.testing.random_functions             a thousand of each kind
    python -m tests.testing.random_functions 200 5000    two hundred, the first from seed 5000

No derivative of them may be found wrong, or be undecided, to order 2; in double precision and in single.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from funcgrad.testing import check_grads
from funcgrad.testing.programs import random_program


def count_alarms(seeds: range, dtype: Any, smooth: bool) -> tuple[int, int, int]:
    """How many programs raise an alarm, in how many comparisons, of which how many are not right."""
    alarms = comparisons = undecided = 0
    for seed in seeds:
        program = random_program(np.random.default_rng(seed), smooth=smooth)
        try:
            report = check_grads(program, program.example(seed, dtype), order=2)
        except AssertionError as error:
            alarms += 1
            print(f"seed {seed}:{program!r}{error}")
            continue
        comparisons += len(report.comparisons)
        undecided += sum(c.verdict != "right" for c in report.comparisons)
        if smooth and any(c.verdict != "right" for c in report.comparisons):
            print(f"seed {seed}:{program!r}{report}")
    return alarms, comparisons, undecided


def main() -> int:
    """Run all, print a table, and fail if there was an alarm."""
    count, first = (*map(int, sys.argv[1:]), *(1000, 0)[len(sys.argv) - 1 :])
    total = 0
    for dtype in (np.float64, np.float32):
        for smooth in (True, False):
            start = time.perf_counter()
            alarms, comparisons, undecided = count_alarms(range(first, first + count), dtype, smooth)
            total += alarms
            print(
                f"{count} {'smooth' if smooth else 'kinked'} functions in {np.dtype(dtype).name}: {alarms} alarms, "
                f"{undecided} not decided, of {comparisons} comparisons ({time.perf_counter() - start:.0f} s)"
            )
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
