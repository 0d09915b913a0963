"""The command: all mutants, what noticed them, and a table of survivors."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

import tests.mutation
from tests.mutation.changes import Mutant
from tests.mutation.explained import EXPLAINED
from tests.mutation.noticing import breaks_conventions, noticed
from tests.mutation.rules import all_mutants


def main() -> int:
    """Run the mutants, print what noticed them, and fail if one survives without explanation."""
    parser = argparse.ArgumentParser(
        description=tests.mutation.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("primitives", nargs="*", help="names of primitives; all if there are none")
    parser.add_argument("--sample", type=int, help="so many mutants, at random")
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts, for as many processes")
    parser.add_argument("--laws-only", action="store_true", help="leave out the tests of conventions")
    options = parser.parse_args()
    start = time.perf_counter()
    mutants = all_mutants(options.primitives or None)
    if options.sample:
        mutants = random.Random(0).sample(mutants, min(options.sample, len(mutants)))
    part, parts = map(int, options.part.split("/"))
    mutants = mutants[part - 1 :: parts]
    survivors = []
    for i, mutant in enumerate(mutants):
        mutant.verdict = noticed(mutant)
        if not mutant.verdict:
            survivors.append(mutant)
            print(f"{i} of {len(mutants)}: no law notices {mutant.name}", flush=True)
    for mutant in survivors:
        if not options.laws_only and mutant.name not in EXPLAINED and breaks_conventions(mutant):
            mutant.verdict = "conventions"
    report(mutants, time.perf_counter() - start)
    return int(any(not m.verdict and m.name not in EXPLAINED for m in mutants))


def report(mutants: list[Mutant], seconds: float) -> None:
    """The table."""
    by = Counter(("an error" if m.verdict.startswith("an error") else m.verdict) or "survives" for m in mutants)
    kinds = Counter(m.what for m in mutants)
    print(f"{len(mutants)} mutants of {len({p for m in mutants for p in m.primitives})} primitives in {seconds:.0f} s")
    print("  changes:   ", ", ".join(f"{n} {change}" for change, n in kinds.most_common()))
    print("  noticed by:", ", ".join(f"{n} {what}" for what, n in by.most_common()))
    for mutant in mutants:
        if not mutant.verdict:
            print(f"  survives: {mutant.name}\n            {EXPLAINED.get(mutant.name, 'NOT EXPLAINED')}")


if __name__ == "__main__":
    sys.exit(main())
