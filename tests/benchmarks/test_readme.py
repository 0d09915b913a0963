from __future__ import annotations

import pytest

from benchmarks import readme
from tests.benchmarks.documents import document, failed, result

MARKS = "before\n<!-- workloads: begin (by hand) -->\nold\n<!-- workloads: end -->\nafter\n"


def test_table_has_the_largest_size_and_the_fastest_way_of_each_library():
    small = [result("funcgrad", 1e-6), result("jax", 9e-6)]
    large = [result(name, time, size="n=9", group="large") for name, time in (("funcgrad", 2e-3), ("jax", 9e-3))]
    ways = [result("jax:scan", 5e-3, size="n=9", group="large"), failed("torch")]
    row = readme.table(document(*small, *large, *ways)).splitlines()[-1]
    assert row == "| lse, n=9 | 2.00 ms | 2.5 |  |  |  |"


def test_written_replaces_what_is_between_the_marks():
    text = readme.written(MARKS, document(result("funcgrad", 1e-6), result("torch", 3e-6), result("numba", 2e-6)))
    assert text.startswith("before\n<!-- workloads: begin (by hand) -->\nCompiled")
    assert "old" not in text
    assert text.endswith("| lse, n=2500 | 1.00 us |  | 3.0 |  | 2.0 |\n<!-- workloads: end -->\nafter\n")


def test_written_without_marks_says_so():
    with pytest.raises(ValueError, match="workloads: begin"):
        readme.written("no marks", document(result("funcgrad", 1e-6)))
