"""What notices a mutant: the laws on the rows of the spec tables, and the tests of conventions."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

from funcgrad.core.avals import get_aval
from funcgrad.testing.flat import cotangent_function, directions, is_inexact, quietly, tangent_function
from funcgrad.testing.laws import close, pullback_is_adjoint, tangent_equals_differences
from funcgrad.testing.tolerances import VALUE
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.vmap import evaluate_batched
from tests.control import specs as control_specs
from tests.mutation.changes import Mutant, is_controlling
from tests.mutation.rules import all_mutants
from tests.primitives import specs
from tests.spec import Spec, flat

# Few for a start, since most mutants fail at once; many for those that do not, so that all branches are reached.
FEW, MANY = 8, 60
# The shapes of programs that carry programs are the same in all examples.
MANY_CONTROLLED = 10
# So many seconds may pass with a mutant; without it, laws take a few.
LIMIT = 60
# And so many with the tests of conventions.
LONG = 900
# Quick tests of what the laws' examples do not reach: special values, large arrays, phases.
CONVENTIONS = ["tests/primitives", "tests/api/test_loops.py", "tests/control", "--ignore=tests/primitives/test_laws.py"]
# What a process says whose tests failed; 1 is what it says when Python itself fails.
FAILED = 77


@functools.cache
def rows() -> dict[str, list[Spec]]:
    """The rows of the spec table by primitive."""
    found: dict[str, list[Spec]] = {}
    modules = [
        importlib.import_module(f"{specs.__name__}.{part.name}") for part in pkgutil.iter_modules(specs.__path__)
    ]
    for module in [*modules, control_specs]:
        for row in module.ROWS:
            for name in row.primitives:
                found.setdefault(name, []).append(row)
    return found


_examples: dict[tuple[Any, ...], list[Any]] = {}


def examples(row: Spec, dtype: Any) -> list[Any]:
    """Some arguments of a row, the same at each call."""
    key = (row.name, dtype)
    if key not in _examples:
        drawn: list[Any] = []

        @settings(
            max_examples=MANY_CONTROLLED if row in control_specs.ROWS else MANY,
            deadline=None,
            database=InMemoryExampleDatabase(),
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @seed(1)
        @given(data=st.data())
        def draw(data: Any) -> None:
            drawn.append(data.draw(row.arguments(dtype)))

        draw()
        _examples[key] = drawn
    return _examples[key]


def break_laws(row: Spec, args: Any) -> str:
    """The law that a row breaks at some arguments; empty if none."""
    f, xs = flat(row, args)
    return _broken(f, xs, row.order)


def _broken(f: Any, xs: list[Any], order: int) -> str:
    rng = np.random.default_rng(0)
    try:
        pullback_is_adjoint(f, xs, rng, order)
    except Exception as error:
        return "adjoint" if isinstance(error, AssertionError) else f"an error: {type(error).__name__}"
    try:
        tangent_equals_differences(f, xs, directions(rng, xs), order)
    except Exception as error:
        return "differences" if isinstance(error, AssertionError) else f"an error: {type(error).__name__}"
    return ""


# Arguments at which derivatives are conventions: zeros, ties, and both.
EDGES: tuple[Callable[[Any], Any], ...] = (
    np.zeros_like,
    np.ones_like,
    lambda x: np.round(x),
    lambda x: -np.abs(np.round(x)),
)


def edge_arguments(row: Spec, dtype: Any) -> list[Any]:
    """Arguments at edges of a row's domain where its derivative is the mean of both sides', as the convention says."""
    key = (row.name, dtype, "edges")
    if key not in _examples:
        made = [
            tuple(edge(x).astype(x.dtype)[()] if is_inexact(x) else x for x in args)
            for args in examples(row, dtype)[:FEW]
            for edge in EDGES
        ]
        _examples[key] = [args for args in made if not quietly(break_law_at_edge, row, args)]
    return _examples[key]


def break_law_at_edge(row: Spec, args: Any) -> str:
    """Whether a derivative is not the mean of both sides' (of their differences, that is), or no adjoint."""
    f, xs = flat(row, args)
    return _broken(f, xs, 1)


def break_laws_alone(row: Spec, args: Any) -> str:
    """The law that a row breaks where only one of its operands is differentiated, the others being constants."""
    f, xs = flat(row, args)
    for i in range(len(xs) if len(xs) > 1 else 0):
        broken = _broken(lambda x, i=i: f(*xs[:i], x, *xs[i + 1 :]), [xs[i]], 1)
        if broken:
            return broken
    return ""


def break_laws_in_reverse(row: Spec, args: Any) -> str:
    """The law that cotangents of a row's results, bent, break when they are differentiated again."""
    f, xs = flat(row, args)
    g = bent(f)
    cts = directions(np.random.default_rng(1), g(*xs))
    return _broken(cotangent_function(g, cts), xs, 1) if row.order > 1 else ""


def bent(f: Any) -> Any:
    """Polynomials of a function's results: derivatives that depend on the results, and on their signs."""
    return lambda *xs: [y * y + y for y in f(*xs) if is_inexact(y)]


def break_law_in_recording(row: Spec, args: Any) -> str:
    """Whether a row's tangents or cotangents, recorded without values, are others than with values."""
    f, xs = flat(row, args)
    g = bent(f)
    rng = np.random.default_rng(2)
    try:
        for derivative in (
            tangent_function(g, directions(rng, xs)),
            cotangent_function(g, directions(rng, g(*xs))),
        ):
            jaxpr = record_abstract("jit", derivative, [get_aval(x) for x in xs])
            for a, b in zip(evaluate(jaxpr, xs), derivative(*xs), strict=True):
                close(a, b, VALUE)
    except Exception as error:
        return "recording" if isinstance(error, AssertionError) else f"an error: {type(error).__name__}"
    return ""


def break_law_in_batch(row: Spec, args: Any) -> str:
    """The law that a row breaks when it is batched, and then differentiated."""
    f, xs = flat(row, args)
    jaxpr = record_abstract("vmap", f, [get_aval(x) for x in xs])

    def batched(*rows: Any) -> list[Any]:
        ys, dims = evaluate_batched(jaxpr, 3, rows, [0] * len(rows))
        return [y for y, dim in zip(ys, dims, strict=True) if dim is not None]

    return _broken(batched, [np.stack([x * (1 - k / 64) for k in range(3)]).astype(x.dtype) for x in xs], 1)


def noticed(mutant: Mutant, most: int = MANY) -> str:
    """What notices a mutant, by so many examples of each row at most; empty if it survives."""
    table = [row for name in mutant.primitives for row in rows().get(name, []) if row.order]
    columns = [
        (row, examples(row, dtype)[:most], edge_arguments(row, dtype)[:most])
        for row in table
        for dtype in row.dtypes
        if np.dtype(dtype).name in _DOUBLE
    ]
    with mutant.applied(), time_limit():
        for law, cases in (
            (break_laws, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_laws_alone, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_laws_in_reverse, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_law_at_edge, [(row, args) for row, _, edges in columns for args in edges]),
            (break_law_in_recording, [(row, args) for row, drawn, _ in columns for args in drawn[: FEW // 2]]),
            (break_law_in_batch, [(row, args) for row, drawn, _ in columns for args in drawn[: FEW // 2]]),
            (break_laws, [(row, args) for row, drawn, _ in columns for args in drawn[FEW:]]),
        ):
            for row, args in cases:
                try:
                    broken = quietly(law, row, args)
                except TimeoutError:
                    return "an error: TimeoutError"
                if broken:
                    return str(broken)
    return ""


@contextmanager
def time_limit() -> Iterator[None]:
    """A context that raises TimeoutError when it takes too long: a mutant may be a loop without end."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 1)  # again and again: where nobody listens, the first is lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_DOUBLE = ("float64", "complex128")


def breaks_conventions(mutant: Mutant) -> bool:
    """Whether a test of kinks, infinities and other special values fails with a mutant, in a process of its own."""
    code = (
        f"import sys; from tests.mutation.noticing import run_conventions; sys.exit(run_conventions({mutant.name!r}))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, FAILED):
        raise RuntimeError(f"the tests of conventions did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == FAILED


def run_conventions(name: str) -> int:
    """The tests of conventions with a mutant in place."""
    import pytest

    mutant = next(m for m in all_mutants() if m.name == name)
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
    with mutant.applied():
        code = pytest.main([*options, *(tests_of_programs() if is_controlling(mutant.function) else CONVENTIONS)])
    return FAILED if code == pytest.ExitCode.TESTS_FAILED else int(code)


def tests_of_programs() -> list[str]:
    """Those of the primitives that carry programs, the laws of all their rows last: these take longest."""
    files = sorted(Path("tests/control").glob("test_*.py"), key=lambda path: path.stem == "test_laws")
    return [*(f"tests/api/test_{name}.py" for name in ("loops", "branches", "remat", "products")), *map(str, files)]
