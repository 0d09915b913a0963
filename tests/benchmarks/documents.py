"""Documents like those that a run writes, for the tests of what reads them."""

from __future__ import annotations

from typing import Any

from benchmarks.report import SCHEMA


def result(library: str, median: float, **changes: Any) -> dict[str, Any]:
    """One library's figures on `lse n=2500`, with a spread of 2% on each side."""
    return {
        "workload": "lse",
        "size": "n=2500",
        "group": "small",
        "numbers": {"n": 2500},
        "library": library,
        "samples": [median] * 9,
        "median": median,
        "low": median * 0.98,
        "high": median * 1.02,
        "minimum": median * 0.97,
        "memory": {"first_calls": 2**20, "call": 4096},
        "import": 0.2,
        "first_calls": [0.001, 0.1, 0.0001],
        "error": 1e-16,
        **changes,
    }


def failed(library: str) -> dict[str, Any]:
    """A library whose result was wrong."""
    whole = result(library, 1.0)
    kept = {key: whole[key] for key in ("workload", "size", "group", "numbers", "library")}
    return {**kept, "why_not": "WrongResultError: array 0 differs"}


def document(*results: dict[str, Any]) -> dict[str, Any]:
    """A document of results."""
    return {
        "schema": SCHEMA,
        "environment": {"python": "3.12"},
        "command": "python -m benchmarks",
        "threads": 1,
        "date": "2026-01-01T00:00:00+00:00",
        "results": list(results),
        "micro": [],
    }
