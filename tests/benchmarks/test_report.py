from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import report
from tests.benchmarks.documents import document, failed, result


def test_validate_document_of_a_run_returns_it():
    whole = document(result("funcgrad", 1e-5), failed("jax"))
    assert report.validate(json.loads(json.dumps(whole))) == whole


@pytest.mark.parametrize("key", ["schema", "environment", "command", "threads", "results", "micro"])
def test_validate_without_a_part_names_it(key):
    whole = document(result("funcgrad", 1e-5))
    del whole[key]
    with pytest.raises(report.DocumentError, match=key):
        report.validate(whole)


@pytest.mark.parametrize("key", ["library", "samples", "memory", "import", "first_calls"])
def test_validate_result_without_a_part_names_it(key):
    incomplete = result("funcgrad", 1e-5)
    del incomplete[key]
    with pytest.raises(report.DocumentError, match=key):
        report.validate(document(incomplete))


@pytest.mark.parametrize("other", [None, [], {}, {"schema": "other"}, "text"])
def test_validate_something_else_raises(other):
    with pytest.raises(report.DocumentError, match="schema"):
        report.validate(other)


@given(st.floats(1e-9, 1e4))
def test_seconds_reads_back_within_the_digits_shown(time):
    number, unit = report.seconds(time).split()
    assert float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit] == pytest.approx(time, rel=6e-3)


def test_best_takes_differentiating_libraries_only():
    medians = {"funcgrad": 1.0, "numpy": 0.1, "numba": 0.01, "jax": 3.0, "jax:scan": 2.0, "torch": 4.0}
    assert report.best(medians) == ("jax:scan", 2.0)
    assert report.best(medians, "torch") == ("torch", 4.0)
    assert report.best({"funcgrad": 1.0, "numpy": 1.0}) is None


def test_overview_shows_ratios_to_ours_and_their_mean():
    text = report.overview([result("funcgrad", 1e-5), result("jax", 4e-5), result("numba", 5e-6), failed("torch")])
    assert "4.00  jax" in text
    assert "0.50" in text
    assert "calls under 1 ms: 4.00 (1)" in text


def test_first_calls_are_those_of_the_way_that_takes_least():
    slow = result("funcgrad", 1e-5) | {"first_calls": [1.0, 2.0, 0.1], "import": 0.5}
    quick = result("funcgrad:scan", 2e-5) | {"first_calls": [0.5, 0.25, 0.1], "import": 0.5}
    eager = result("funcgrad:eager", 1e-3) | {"first_calls": [0.01, 0.01, 0.01], "import": 0.5}
    others = [result("jax", 3e-5) | {"first_calls": [1.5, 0.0, 0.0], "import": 1.0}, failed("jax:loop")]
    found = [slow, quick, eager, *others]
    assert report.first_calls(found, "funcgrad") == (0.02, 0.52)
    assert report.first_calls(found, "funcgrad", 3e-5) == (0.75, 1.25)
    assert report.first_calls(found, "funcgrad", 1e-6) == (0.02, 0.52)
    assert report.first_calls(found, "jax") == (1.5, 2.5)
    assert report.first_calls(found, "torch") == (0.0, 0.0)
    assert report.overview(found).splitlines()[1].endswith("750 ms     2.00     2.00")


def test_table_shows_why_a_library_was_not_measured():
    assert "not measured: WrongResultError" in report.table([result("funcgrad", 1e-5), failed("jax")])
