"""First calls of jitted functions whose values take much memory: nothing is computed that nobody looks at."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.api import staging
from funcgrad.control.scan import scan_p
from tests.compiler import fuzz
from tests.compiler.drawing import Drawn

X = np.linspace(0.5, 2.0, 12).reshape(3, 4)


@pytest.fixture
def deferring(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that comes after the first equation is deferred."""
    monkeypatch.setattr(staging, "_BUDGET", 0.0)


def pairwise(x: Any) -> Any:
    """A sum over arrays of n^2 elements."""
    return np.sum(np.exp(-((x[:, None] - x[None, :]) ** 2)))


def test_first_call_takes_little_memory_where_numpy_takes_much() -> None:
    x = np.linspace(0, 1, 3000)
    expected = fg.grad(pairwise)(x)
    gradient = fg.jit(fg.grad(pairwise))
    tracemalloc.start()
    try:
        found = gradient(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert peak < 10e6  # an array of n^2 numbers takes 72
    assert "compiled in" in str(gradient.explain())


def test_small_first_call_compiles_nothing() -> None:
    gradient = fg.jit(fg.grad(pairwise))
    gradient(np.linspace(0, 1, 100))
    assert "compiled in" not in str(gradient.explain())


def test_long_loop_is_not_run_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **params: Any) -> Any:
        raise AssertionError("a long loop is run step by step")

    monkeypatch.setattr(scan_p, "implementation", never)
    loop = lambda x: fg.scan(lambda c, _: (np.cos(c), None), x, None, length=100_000)[0]
    for within in (loop, fg.jit(loop), fg.checkpoint(loop), lambda x: fg.jit(fg.jit(loop))(x) + 0.0):
        np.testing.assert_allclose(fg.jit(within)(1.0), 0.7390851332151607, rtol=1e-15)


@pytest.mark.usefixtures("deferring")
def test_function_runs_once_and_may_look_at_any_value() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        y = np.sin(x)
        z = y[:, None] * y
        seen.append((str(z), f"{np.sum(z):.3f}", np.sum(z) > 0, bool(np.all(z == z)), z.strides))
        return z if np.sum(z) > 0 else -z

    expected = f(X)
    with pytest.warns(fg.RetracingWarning):
        found = fg.jit(f)(X)
    np.testing.assert_array_equal(found, expected)
    assert len(seen) == 2
    assert seen[0][:2] == seen[1][:2]
    assert seen[0][3:] == seen[1][3:]


@pytest.mark.usefixtures("deferring")
def test_array_that_is_written_to_after_its_use_counts_as_it_was() -> None:
    def f(x: Any) -> Any:
        buffer = np.ones((3, 4))
        y = np.sin(x) * buffer
        buffer *= 100.0
        return y + buffer

    with pytest.warns(fg.RetracingWarning, match="writes to an array"):
        np.testing.assert_allclose(fg.jit(f)(X), np.sin(X) + 100.0, rtol=1e-15)


def _written(x: Any, order: str, view: Callable[[Any], Any]) -> Any:
    """An array that is written to through a view of it, or through what is none."""
    y = np.sin(np.asfortranarray(x) if order == "F" else x)
    part = view(y)
    y[1] = 5.0
    part *= 2.0
    part[0] = 7.0
    return y, part


@pytest.mark.usefixtures("deferring")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "view",
    [
        lambda y: y.reshape(-1),
        lambda y: y.T,
        lambda y: y[1:],
        lambda y: y.T.reshape(-1),
        lambda y: y.T[::2].ravel(),
        lambda y: y[[0, 2]],
        lambda y: y.reshape(2, 6)[:, ::2],
        lambda y: y,
    ],
    ids=["reshape", "T", "rows", "T.reshape", "T.ravel", "copy", "reshape and slice", "itself"],
)
def test_writes_reach_what_numpy_s_views_reach(order: str, view: Callable[[Any], Any]) -> None:
    x = np.asarray(X, order=order)  # type: ignore[call-overload]
    for found, expected in zip(fg.jit(lambda x: _written(x, "as it is", view))(x), _written(x, "", view), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.usefixtures("deferring")
def test_transformations_and_loops_within() -> None:
    @fg.checkpoint
    def kept(x: Any) -> Any:
        return np.tanh(x) * np.sum(x)

    inner = fg.jit(lambda x: np.where(x > 1, np.cos(x), x))

    def f(x: Any) -> Any:
        y = inner(kept(np.sin(x)))
        y = fg.vmap(lambda row: fg.cond(np.sum(row) > 0.5, lambda r: 2 * r, lambda r: r, row))(y)
        return np.sum(fg.scan(lambda c, row: (c * row, np.sum(c)), np.ones(4), y)[1] ** 2)

    for g in (f, fg.grad(f), fg.hessian(f), lambda x: fg.vmap(fg.grad(lambda r: f(r[None])))(x)):
        np.testing.assert_allclose(fg.jit(g)(X), g(X), rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("deferring")
def test_numpy_s_errors_are_raised_where_they_are_asked_for() -> None:
    def f(x: Any) -> Any:
        y = x - 1.0
        with np.errstate(divide="raise"):
            return np.sum(1.0 / (y * 0.0))  # <-- here

    with pytest.raises(FloatingPointError, match="divide by zero") as error:
        fg.jit(f)(X)
    assert any("<-- here" in str(entry.statement) for entry in error.traceback)


@pytest.mark.usefixtures("deferring")
@pytest.mark.filterwarnings("ignore::funcgrad.RetracingWarning")
def test_error_of_a_deferred_value_names_the_line() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return np.linalg.inv(y * 0.0)  # <-- here

    with pytest.raises(np.linalg.LinAlgError, match="Singular") as error:
        fg.jit(f)(X[:, :3])
    assert "<-- here" in "".join(error.value.__notes__)
    with pytest.raises(np.linalg.LinAlgError, match="Singular") as error:
        fg.jit(lambda x: f(x) if np.sum(f(x)) > 0 else x)(X[:, :3])
    assert "<-- here" in "".join(error.value.__notes__)


@pytest.mark.usefixtures("deferring")
def test_python_s_integers_may_be_large() -> None:
    assert fg.jit(lambda n: (n * 3) ** 50)(2) == 6**50


@pytest.mark.usefixtures("deferring")
@pytest.mark.filterwarnings("ignore::funcgrad.RetracingWarning")
def test_draws_are_made_anew() -> None:
    f = fg.jit(lambda x: np.sin(x) + np.random.default_rng().normal(size=3) * np.cos(x))
    assert not np.array_equal(f(X[:, 0]), f(X[:, 0]))


@pytest.mark.usefixtures("deferring")
@pytest.mark.parametrize("loops", [False, True])
def test_random_programs_give_what_numpy_gives(loops: bool) -> None:
    for seed in range(12):
        try:
            fuzz.check(seed, loops)
        except AssertionError as error:
            error.add_note(repr(Drawn(seed, 7, loops) if loops else Drawn(seed)))
            raise
