"""Runs workloads: each library in a process of its own, alternating, and every result checked before it is timed."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import libraries
from benchmarks.workload import Size, Workload

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """How to measure.

    Args:
        threads: Threads, and cores, of each process.
        rounds: How often each library is measured in turn.
        budget: Seconds that one measurement takes, about.
        patience: Seconds after which a library that has not yet prepared is given up.
        most: Seconds of measurements of one library after which it is not measured further.
        second_process: Whether to time the first call of a second process, which finds what the first one compiled.
        pin: Whether to keep processes on as many cores as they have threads.
    """

    threads: int = 1
    rounds: int = 9
    budget: float = 0.1
    patience: float = 300.0
    most: float = 20.0
    second_process: bool = True
    pin: bool = True


class ProcessError(Exception):
    """A process ended without an answer, or its result was wrong."""


@dataclass
class Process:
    """A process of `benchmarks.worker`."""

    workload: str
    size: str
    library: str
    options: Options
    cache: Path
    cores: Sequence[int] = ()
    keep: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arguments = [self.workload, self.size, self.library]
        arguments += ["--threads", str(self.options.threads), "--budget", str(self.options.budget)]
        arguments += ["--cores", ",".join(map(str, self.cores))] if self.cores else []
        variables = libraries.variables(self.options.threads, self.cache, keep=self.keep)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **variables},
        )

    def prepare(self) -> None:
        """Wait for the first calls and the check.

        Raises:
            ProcessError: With the reason.
        """
        self.report = self._answer()
        if not self.report.pop("ok"):
            raise ProcessError(self.report["why"])

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        guard = threading.Timer(self.options.patience, self.process.kill)
        guard.start()
        try:
            line = self.process.stdout.readline()
        finally:
            guard.cancel()
        if not line:
            status = self.process.wait()
            late = f", or took more than {self.options.patience:.0f} s" if status == -9 else ""
            raise ProcessError(f"the process ended with status {status}{late}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and minimum."""
    low, high = samples[0], samples[0]
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return {"median": statistics.median(samples), "low": low, "high": high, "minimum": min(samples)}


def run_size(
    workload: Workload, size: Size, names: Sequence[str], options: Options, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure libraries on one size: prepare one after the other, then all in turn, round by round."""
    results: dict[str, dict[str, Any]] = {}
    processes: dict[str, Process] = {}
    cores = libraries.idlest(options.threads) if options.pin else []
    with tempfile.TemporaryDirectory(prefix="funcgrad-benchmarks-") as folder:
        try:
            for name in names:
                say(f"{workload.name} {size.name}: preparing {name}")
                results[name] = _described(workload, size, name)
                process = Process(workload.name, size.name, name, options, Path(folder, name), cores)
                try:
                    process.prepare()
                    processes[name] = process
                except ProcessError as error:
                    process.end()
                    results[name]["why_not"] = str(error)
            _measure(processes, results, options, lambda text: say(f"{workload.name} {size.name}: {text}"))
        finally:
            for process in processes.values():
                process.end()
        if options.second_process:
            for name in processes:
                if {name, libraries.package_of(name)} & set(libraries.COMPILERS):
                    say(f"{workload.name} {size.name}: second process of {name}")
                    again = Process(workload.name, size.name, name, options, Path(folder, name), cores, keep=True)
                    results[name]["second_process"] = _second_process(again)
    return list(results.values())


def start_once(workload: Workload, size: Size, name: str, options: Options) -> None:
    """Start a library, so that the first process of it that is timed does not wait for the disk."""
    with tempfile.TemporaryDirectory(prefix="funcgrad-benchmarks-") as folder:
        process = Process(workload.name, size.name, name, options, Path(folder))
        try:
            process.prepare()
        except ProcessError:
            pass  # it will be said where it is measured
        finally:
            process.end()


def _described(workload: Workload, size: Size, name: str) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "size": size.name,
        "group": size.group,
        "numbers": size.numbers,
        "library": name,
    }


def _measure(
    processes: dict[str, Process], results: dict[str, dict[str, Any]], options: Options, say: Callable[[str], None]
) -> None:
    """Rounds over all processes, and the memory at the end."""
    samples: dict[str, list[float]] = {name: [] for name in processes}
    spent = dict.fromkeys(processes, 0.0)
    for i in range(options.rounds):
        say(f"round {i + 1} of {options.rounds}")
        for name, process in processes.items():
            if spent[name] > options.most and len(samples[name]) >= 3:
                continue
            start = time.perf_counter()
            samples[name].append(process.ask("measure")["seconds"])
            spent[name] += time.perf_counter() - start
    for name, process in processes.items():
        memory = {"first_calls": process.report.pop("first_memory"), "call": process.ask("memory")["memory"]}
        results[name] |= {"samples": samples[name], **summary(samples[name]), "memory": memory, **process.report}


def _second_process(process: Process) -> list[float] | None:
    """Seconds of the first calls of a process that finds the compiled code of one before it."""
    try:
        process.prepare()
        if {process.library, libraries.package_of(process.library)} & set(libraries.KEEP_BY_DEFAULT):
            return list(process.report["first_calls"])
    except ProcessError:
        return None
    finally:
        process.end()
    # The process that was measured kept nothing: this one has, for another.
    another = dataclasses.replace(process, report={})
    try:
        another.prepare()
        return list(another.report["first_calls"])
    except ProcessError:
        return None
    finally:
        another.end()
