"""Processes, command line and page, on the library that is always there."""

from __future__ import annotations

import json

import pytest

from benchmarks import __main__ as program
from benchmarks import libraries, report, runner
from benchmarks.workload import load
from tests.benchmarks.documents import document, failed, result

QUICK = runner.Options(rounds=2, budget=0.001, second_process=False)


def run(name, libraries, options=QUICK):
    workload = load(name)
    return runner.run_size(workload, workload.sizes[0], libraries, options, lambda text: None)


def test_run_size_measures_in_processes_and_gives_a_valid_document():
    found = run("lse", ["numpy"])
    whole = report.validate(json.loads(json.dumps(document(*found))))
    (r,) = whole["results"]
    assert len(r["samples"]) == 2
    assert 0 < r["minimum"] <= r["low"] <= r["median"] <= r["high"]
    assert len(r["first_calls"]) == 3
    assert r["error"] <= 1e-9


def test_run_size_of_a_library_that_fails_says_why():
    (r,) = run("lse", ["unheard_of"])
    assert "unheard_of" in r["why_not"]
    assert "median" not in r


def test_run_size_gives_up_on_a_process_without_an_answer():
    (r,) = run("lse", ["numpy"], runner.Options(patience=0.01))
    assert "more than" in r["why_not"]


def test_second_process_of_a_compiler_is_timed():
    (r,) = run("hello", ["funcgrad"], runner.Options(rounds=1, budget=0.001))
    assert len(r["second_process"]) == 3


def test_variables_ask_for_threads_and_keep_caches_apart(tmp_path):
    one = libraries.variables(1, tmp_path, keep=False)
    assert one["OMP_NUM_THREADS"] == one["NUMBA_NUM_THREADS"] == "1"
    assert one["FUNCGRAD_CACHE_DIR"].startswith(str(tmp_path))
    assert "JAX_COMPILATION_CACHE_DIR" not in one
    assert "JAX_COMPILATION_CACHE_DIR" in libraries.variables(2, tmp_path, keep=True)


def test_chosen_takes_packages_and_single_ways():
    names = ["funcgrad", "jax", "jax:scan", "numpy"]
    assert program.chosen(names, "jax") == ["jax", "jax:scan"]
    assert program.chosen(names, "jax:scan, numpy") == ["jax:scan", "numpy"]
    assert program.chosen(names, "all") == names


def test_sizes_of_takes_classes_and_names():
    workload = load("gmm")
    assert [s.name for s in program.sizes_of(workload, "D=2,K=5;smoke")] == ["D=3,K=4,N=20", "D=2,K=5"]
    assert {s.group for s in program.sizes_of(workload, "small,large")} == {"small", "large"}
    assert [s.name for s in program.sizes_of(load("hello"), "large")] == ["scalar"]


def test_main_writes_figures_that_can_be_compared(tmp_path, capsys):
    path = tmp_path / "run.json"
    arguments = ["--only", "hello", "--libraries", "numpy", "--rounds", "1", "--budget", "0.001", "--json", str(path)]
    assert program.main(arguments) == 0
    report.validate(json.loads(path.read_text()))
    assert program.main(["compare", str(path), str(path)]) == 0
    assert "1 measured, 0 not" in capsys.readouterr().out


def test_main_without_anything_to_measure_says_so(capsys):
    assert program.main(["--only", "lse", "--libraries", "unheard_of"]) == 2
    assert "nothing to measure" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="there is no workload"):
        program.main(["--only", "unheard_of"])


def test_page_is_complete_in_one_file(tmp_path):
    pytest.importorskip("matplotlib")
    second = [result(n, t, size="n=40000", numbers={"n": 40000}) for n, t in (("funcgrad", 1e-4), ("jax", 3e-4))]
    whole = document(result("funcgrad", 1e-5), result("jax", 4e-5), failed("torch"), *second)
    figures, page = tmp_path / "run.json", tmp_path / "run.html"
    figures.write_text(json.dumps(whole))
    assert program.main(["page", str(figures), str(page)]) == 0
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "src=" not in text
    assert "WrongResultError" in text


def test_main_smoke_takes_the_smallest_size_in_funcgrad_and_fails_with_it(monkeypatch, capsys):
    asked = []

    def run_size(workload, size, names, options, say):
        asked.append((workload.name, size.group, names, options.rounds))
        return [failed("funcgrad")] if workload.name == "gmm" else [result("funcgrad", 1e-5)]

    monkeypatch.setattr(program, "run_size", run_size)
    assert program.main(["--smoke", "--only", "lse,ode"]) == 0
    assert asked == [("lse", "smoke", ["funcgrad"], 1), ("ode", "smoke", ["funcgrad"], 1)]
    assert program.main(["--smoke", "--only", "gmm"]) == 1
    assert "not measured: WrongResultError" in capsys.readouterr().out
