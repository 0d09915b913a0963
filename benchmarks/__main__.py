"""Measure workloads in funcgrad and its peers, or compare two runs.

    python -m benchmarks --only gmm,ba --sizes small --libraries funcgrad,jax
    python -m benchmarks --json new.json --html new.html
    python -m benchmarks compare old.json new.json
    python -m benchmarks page run.json run.html
    python -m benchmarks readme run.json
    python -m benchmarks micro --only calls,loops --json micro.json
    python -m benchmarks --smoke

A workload is left out where a library is not installed. `--libraries jax` takes all ways in which a workload is
written in JAX (`jax`, `jax:scan`, ...); `--libraries jax:scan` only that one. Sizes are classes (small, medium, large)
or names ("D=2,K=5", with semicolons between several).
"""

from __future__ import annotations

import argparse
import compileall
import datetime
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import funcgrad
from benchmarks import comparison, libraries, page, readme, report
from benchmarks.micro import checkpoints, measuring
from benchmarks.runner import Options, run_size, start_once
from benchmarks.timing import environment, one_thread
from benchmarks.workload import ALL, OURS, Size, Workload, load

GROUPS = ("smoke", "small", "medium", "large")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--only", default="all", help=f"workloads: {', '.join(ALL)}")
    result.add_argument("--sizes", default="small;medium;large", help="classes or names of sizes")
    result.add_argument("--libraries", default="all", help="libraries, or single ways to write a workload")
    result.add_argument("--without", default="", help="libraries to leave out, in the same way")
    result.add_argument("--threads", type=int, default=1)
    result.add_argument("--rounds", type=int, default=9)
    result.add_argument("--budget", type=float, default=0.1, help="seconds of one measurement, about")
    result.add_argument("--no-second-process", action="store_true", help="do not time first calls with a warm cache")
    result.add_argument("--no-pin", action="store_true", help="do not keep processes on as many cores as threads")
    result.add_argument("--json", type=Path, help="where to write the figures")
    result.add_argument("--html", type=Path, help="where to write a page with plots")
    result.add_argument("--smoke", action="store_true", help="the smallest sizes in funcgrad: does everything work?")
    return result


def chosen(names: Sequence[str], wanted: str) -> list[str]:
    """Those of the names that are wanted, by name or by package.

    Raises:
        SystemExit: Nothing has a name that is wanted.
    """
    parts = [part.strip() for part in wanted.split(",") if part.strip()]
    return list(names) if parts == ["all"] else [n for n in names if n in parts or libraries.package_of(n) in parts]


def sizes_of(workload: Workload, wanted: str) -> list[Size]:
    """Sizes of the classes or names that are wanted; workloads without classes are measured at the only size."""
    parts = {p.strip() for p in wanted.split(";")} | ({p.strip() for p in wanted.split(",")} & set(GROUPS))
    if len(workload.sizes) == 1:
        return list(workload.sizes)
    return [size for size in workload.sizes if size.name in parts or size.group in parts]


def say(text: str) -> None:
    """Progress, in one line that is written over on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what is asked for, and print as it comes: the document."""
    names = chosen(ALL, options.only)
    if not names:
        raise SystemExit(f"there is no workload {options.only}: {', '.join(ALL)}")
    compileall.compile_dir(str(Path(funcgrad.__file__).parent), quiet=2)  # as pip does with what it installs
    how = Options(
        threads=options.threads,
        rounds=options.rounds,
        budget=options.budget,
        second_process=not options.no_second_process,
        pin=not options.no_pin,
    )
    document = empty_document(options.threads)
    started: set[str] = set()
    print("  ".join(f"{key} {value}" for key, value in document["environment"].items()))
    for workload in map(load, names):
        for size in sizes_of(workload, options.sizes):
            wanted = [OURS] if options.smoke else chosen(workload.libraries_at(size), options.libraries)
            left_out = chosen(wanted, options.without) if options.without else []
            wanted = [n for n in wanted if n not in left_out and libraries.is_installed(n)]
            if not wanted:
                continue
            for name in wanted if not options.smoke else ():
                if libraries.package_of(name) not in started:
                    started.add(libraries.package_of(name))
                    start_once(workload, size, name, how)
            results = run_size(workload, size, wanted, how, say)
            document["results"] += results
            say("")
            print(f"\n{workload.name} {size.name}: {workload.title}\n{report.table(results)}", flush=True)
            if options.json:
                write(options.json, document)
    return document


def empty_document(threads: int) -> dict[str, Any]:
    """A document without figures yet."""
    return {
        "schema": report.SCHEMA,
        "environment": environment(*libraries.PACKAGES[2:]),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "threads": threads,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "results": [],
        "micro": [],
    }


def micro_main(arguments: Sequence[str]) -> int:
    """Run microbenchmarks in this process, which has one thread and one core."""
    command = argparse.ArgumentParser(prog="python -m benchmarks micro")
    command.add_argument("--only", default=",".join(measuring.NAMES), help=f"of {', '.join(measuring.NAMES)}")
    command.add_argument("--json", type=Path, help="where to write the figures")
    options = command.parse_args(arguments)
    one_thread()
    libraries.pin(libraries.idlest(1))
    document = empty_document(1)
    for name in options.only.split(","):
        if name not in measuring.NAMES:
            print(f"there is no microbenchmark {name}: {', '.join(measuring.NAMES)}", file=sys.stderr)
            return 2
        for found in measuring.run(name):
            print(measuring.line(found), flush=True)
            document["micro"].append(found)
    if options.json:
        write(options.json, document)
    return 0


def smoke_micro() -> list[dict[str, Any]]:
    """The microbenchmark of long loops, with short ones."""
    found = list(checkpoints.measure(steps=1000))
    print("", *map(measuring.line, found), sep="\n", flush=True)
    return found


def write(path: Path, document: dict[str, Any]) -> None:
    """Write the figures, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the status says whether all that was asked for gave right results."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["compare"]:
        return comparison.main(arguments[1:])
    if arguments[:1] == ["page"]:
        return page.main(arguments[1:])
    if arguments[:1] == ["readme"]:
        return readme.main(arguments[1:])
    if arguments[:1] == ["micro"]:
        return micro_main(arguments[1:])
    options = parser().parse_args(arguments)
    if options.smoke:
        options.sizes, options.rounds, options.budget = "smoke", 1, 0.001
        options.no_second_process = True
    start = time.perf_counter()
    document = run(options)
    if not document["results"]:
        print("nothing to measure: no installed library, or no size, has that name", file=sys.stderr)
        return 2
    if options.smoke:
        document["micro"] += smoke_micro()
    print(f"\n{report.overview(document['results'])}")
    if options.html:
        options.html.write_text(page.page(document), encoding="utf-8")
        print(f"{options.html}: a page to look at")
    wrong = [r for r in document["results"] if "why_not" in r]
    print(f"{len(document['results']) - len(wrong)} measured, {len(wrong)} not, {time.perf_counter() - start:.0f} s")
    return 1 if wrong and options.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
