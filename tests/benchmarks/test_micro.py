from __future__ import annotations

import json
import os

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import comparison, report
from benchmarks.micro import calls, chains, checkpoints, equations, loops, measuring, memory, programs


@pytest.fixture
def quickly(monkeypatch):
    """Microbenchmarks with one round of one call."""

    def timed(found, **options):
        for call in found.values():
            call()
        return {name: [1e-6, 2e-6] for name in found}

    for module in (calls, chains, equations, loops):
        monkeypatch.setattr(module, "timed", timed)


@pytest.mark.parametrize("name", ["calls", "equations", "loops"])
def test_entries_have_units_and_compare_like_results(name, quickly):
    found = list(measuring.run(name))
    assert found
    assert all(e["unit"] and e["median"] > 0 for e in found)
    names = [(e["workload"], e["size"], e["library"]) for e in found]
    assert len(set(names)) == len(names)
    whole = report.validate({**program.empty_document(1), "micro": json.loads(json.dumps(found))})
    assert {c.verdict for c in comparison.changes(whole, whole)} == {"same"}


def test_chains_are_those_of_all_libraries_that_are_installed(quickly):
    found = list(chains.measure([3]))
    assert {(e["size"], e["library"]) for e in found} >= {
        (f"{name}, 10^3", library) for name in chains.CHAINS for library in ("funcgrad", "numpy")
    }


def test_programs_are_compiled_anew_and_the_cache_on_disk_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(programs, "ROUNDS", 1)
    monkeypatch.setenv("FUNCGRAD_CACHE", "1")
    found = programs.compiled("chain", *programs.cases()["chain of 10 sines"])
    assert [e["unit"] for e in found if e["library"] == "funcgrad"] == ["ms to compile", "MB of temporaries"]
    assert found[0]["size"] == "chain, 65 equations"
    assert found[0]["median"] > 1.0
    assert os.environ["FUNCGRAD_CACHE"] == "1"


@pytest.mark.parametrize("make", [programs.network, programs.mixture])
def test_programs_by_name_are_those_of_the_workloads(make):
    _, args = next(case for case in programs.cases().values() if case[0] is make)
    assert np.isfinite(make(np)(*args))


def test_memory_counts_what_is_kept():
    assert memory.held(lambda: bytearray(10**6)) == pytest.approx(10**6, rel=0.05)


def test_checkpoints_need_less_memory_than_everything_kept(monkeypatch):
    monkeypatch.setattr(checkpoints, "timed", lambda found, **options: {case: [1e-6] for case in found})
    found = {(e["size"], e["unit"]): e["median"] for e in checkpoints.measure(steps=2000)}
    assert len(found) == 5 * len(checkpoints.CASES)
    whole = found["everything kept, compiled, 2000 steps", "MB of workspace"]
    for case in ("sqrt", "10 states"):
        assert found[f"{case}, compiled, 2000 steps", "MB of workspace"] < whole / 4


def test_timed_measures_each_call_in_every_round():
    counts = {"a": 0, "b": 0}

    def count(name):
        counts[name] += 1

    found = measuring.timed({name: lambda name=name: count(name) for name in counts}, rounds=4, budget=1e-5)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 4, "b": 4}
    assert min(counts.values()) > 4


def test_main_of_an_unknown_microbenchmark_says_so(capsys):
    assert program.main(["micro", "--only", "unheard_of"]) == 2
    assert "unheard_of" in capsys.readouterr().err
