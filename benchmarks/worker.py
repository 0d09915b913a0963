"""One process of one library: prepares a workload at a size, checks it, and measures when it is told to.

Started by `benchmarks.runner`, which writes commands to its standard input, one a line, and reads JSON lines from its
standard output: "measure", and "memory" at the end.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

from benchmarks import libraries
from benchmarks.workload import Call, Size, Workload, check, load

FIRST_CALLS = 3


def resident(entry: str) -> int:
    """Bytes of this process in memory: now ("VmRSS"), or at most since `forget_peak` ("VmHWM")."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(entry):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak() -> None:
    """Let "VmHWM" begin anew."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_of(call: Call) -> int:
    """Bytes by which a call raises the memory of this process at its peak."""
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    call()
    return max(0, resident("VmHWM") - before)


def first_calls(workload: Workload, library: str, inputs: dict[str, Any]) -> tuple[Call, list[Any], list[float]]:
    """Build the call and call it.

    Returns:
        The call; the results of the first and of the last call here, since a library may run other code then; and the
        seconds of these calls, with building in the first.
    """
    seconds = []
    start = time.perf_counter()
    call = workload.implementations[library](inputs)
    results = [call()]
    seconds.append(time.perf_counter() - start)
    for _ in range(FIRST_CALLS - 1):
        if sum(seconds) > 60:
            break
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        results[1:] = [result]
    return call, results, seconds


def prepare(workload: Workload, size: Size, library: str) -> tuple[Call, dict[str, Any]]:
    """Build, call and check one implementation.

    Returns:
        The call, and what is reported of it.
    """
    inputs = workload.make_inputs(**size.numbers)
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    call, results, seconds = first_calls(workload, library, inputs)
    first_memory = max(0, resident("VmHWM") - before)
    expected = workload.reference(inputs)
    error = max(check(result, expected, workload.tolerance) for result in results)
    for numbers in workload.also_check:
        further = workload.make_inputs(**numbers)
        another = workload.implementations[library](further)
        expected = workload.reference(further)
        error = max(error, *(check(another(), expected, workload.tolerance) for _ in range(FIRST_CALLS)))
    return call, {"first_calls": seconds, "error": error, "first_memory": first_memory}


def measure(call: Call, count: int) -> float:
    """Seconds per call."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count
    finally:
        gc.enable()


def repetitions(call: Call, budget: float) -> int:
    """How many calls take about `budget` seconds."""
    count = 1
    while (elapsed := measure(call, count) * count) < budget / 8 and count < 10**6:
        count *= 4
    return max(1, round(count * budget / elapsed))


def serve(answers: TextIO, options: argparse.Namespace) -> None:
    """Prepare, report, and obey commands until there are no more."""
    start = time.perf_counter()
    libraries.prepare(options.library, options.threads)
    imported = time.perf_counter() - start
    workload = load(options.workload)
    size = next(size for size in workload.sizes if size.name == options.size)
    call, report = prepare(workload, size, options.library)
    count = 0
    print(json.dumps({"ok": True, "import": imported, **report}), file=answers, flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "measure":
            count = count or repetitions(call, options.budget)
            answer = {"seconds": measure(call, count), "count": count}
        else:
            answer = {"memory": peak_of(call)}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("size")
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--cores", default="", help="the cores to stay on")
    options = parser.parse_args()
    if options.cores:
        libraries.pin([int(core) for core in options.cores.split(",")])
    # What a library prints is not an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        serve(answers, options)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        report = {"ok": False, "why": text.strip()[:400], "traceback": traceback.format_exc()}
        print(json.dumps(report), file=answers, flush=True)


if __name__ == "__main__":
    main()
