"""Arrays that are turned: the same numbers from rows that fill vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.compiler import layouts
from funcgrad.compiler.indices import Affine
from tests.compiler import fuzz
from tests.compiler.comparison import assert_compiled_equals_eager, compiled

RNG = np.random.default_rng(3)


@pytest.fixture
def everything_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of any size are turned for any gain."""
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    monkeypatch.setattr(layouts, "_has_rows", lambda nest: nest.points > 1)
    for name, number in (("_WORTH", 0.0), ("_GAIN", 1.0), ("_MORE", 1)):
        monkeypatch.setattr(layouts, name, number)


def loops(f: Any, *args: Any) -> str:
    """The compiled function's loops."""
    return str(funcgrad.jit(f).lower(*args).as_text("loops"))


def weights(x: Any, centres: Any) -> Any:
    """How much each point belongs to each centre, and the sums over points and over centres."""
    distances = np.sum((x[:, None] - centres) ** 2, axis=2)
    e = np.exp(-(distances - np.min(distances, axis=1)[:, None]))
    w = e / np.sum(e, axis=1)[:, None]
    return w, np.sum(w, axis=0), np.sum(np.log(w + 1.0))


def mixture(q: Any, x: Any, centres: Any) -> Any:
    """The logarithm of a density, with a stack of small products."""
    y = np.einsum("kij,nkj->nki", q, x[:, None] - centres)
    a = -0.5 * np.sum(y**2, axis=2)
    top = np.max(a, axis=1)
    return np.sum(np.log(np.sum(np.exp(a - top[:, None]), axis=1)) + top)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("points", "count", "length"), [(1000, 5, 2), (999, 3, 3), (1000, 50, 2)])
def test_points_with_short_rows_equal_numpy(points: int, count: int, length: int, dtype: Any) -> None:
    x, centres = (RNG.normal(size=(n, length)).astype(dtype) for n in (points, count))
    assert_compiled_equals_eager(weights, x, centres, scale=100.0)


def test_the_longest_axis_becomes_innermost_and_an_input_is_copied_once() -> None:
    x, centres, q = RNG.normal(size=(1000, 2)), RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2, 2))
    text = loops(funcgrad.grad(mixture, argnums=(0, 2)), q, x, centres)
    assert text.count("for i0<1 i1<2 i2<1000:") == 1
    assert "[5*i0 + i1] = " not in text
    assert "[10*i0 + 2*i1 + i2] =" not in text
    assert "[i0 + 2000*i1 + 1000*i2] =" in text


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("count", "points"), [(5, 1000), (25, 300)])
def test_stacks_of_small_products_are_nests_where_arrays_are_turned(count: int, points: int, dtype: Any) -> None:
    shapes = (count, 10, 10), (points, 10), (count, 10)
    q, x, centres = ((RNG.normal(size=shape) / 4).astype(dtype) for shape in shapes)
    gradient = funcgrad.grad(mixture, argnums=(0, 2))
    text = loops(gradient, q, x, centres)
    assert "gemm" not in text
    assert f"[{10 * points}*i0 + {points}*i1 + i2] =sum= multiply(" in text
    assert_compiled_equals_eager(gradient, q, x, centres, scale=1000.0)


def test_products_of_what_is_far_away_stay_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "_NEAR", 10_000)
    q, x, centres = RNG.normal(size=(5, 10, 10)), RNG.normal(size=(1000, 10)), RNG.normal(size=(5, 10))
    assert loops(funcgrad.grad(mixture, argnums=(0, 2)), q, x, centres).count("gemm") == 3


def test_products_stay_blas_where_nothing_is_gained() -> None:
    w1, w2, x = RNG.normal(size=(64, 64)), RNG.normal(size=(64, 10)), RNG.normal(size=(300, 64))
    assert loops(lambda w1, w2, x: np.tanh(x @ w1) @ w2, w1, w2, x).count("gemm") == 2


def test_sums_over_many_centres_stay_sums_across_lanes() -> None:
    x, centres = RNG.normal(size=(1000, 2)), RNG.normal(size=(50, 2))
    text = loops(weights, x, centres)
    assert "[100*i0 + i1 + 50*i2] =" in text or "[50*i0 + i1] =" in text
    assert "[i0 + 1000*i1] =" not in text


def test_infinities_and_nan_pass_through_turned_arrays() -> None:
    x, centres = RNG.normal(size=(1000, 2)), RNG.normal(size=(5, 2))
    x[3], x[700, 1], centres[1, 0] = np.nan, np.inf, -0.0
    assert_compiled_equals_eager(weights, x, centres, scale=100.0)


def test_what_a_loop_carries_and_a_result_equal_numpy() -> None:
    def run(x: Any, centres: Any) -> Any:
        def step(carry: Any, shift: Any) -> Any:
            w, totals, _ = weights(x + shift, carry)
            return np.transpose(w) @ x / totals[:, None], totals

        return funcgrad.scan(step, centres, np.linspace(0.0, 1.0, 4))

    x, centres = RNG.normal(size=(800, 2)), RNG.normal(size=(4, 2))
    _, call = compiled(run, x, centres)
    for actual, expected in zip(call(x, centres), run(x, centres), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(0, 5, 2), (1000, 0, 2), (1000, 5, 0)])
def test_empty_arrays_equal_numpy(shape: tuple[int, ...]) -> None:
    def f(x: Any) -> Any:
        y = np.exp(x) + 1.0
        return y * np.sum(y, axis=2)[:, :, None], np.sum(y * y, axis=0)

    assert_compiled_equals_eager(f, np.zeros(shape))


@pytest.mark.parametrize(
    ("turn", "index", "place"),
    [
        # (100, 6) to (6, 100); (10, 5, 4) to (10, 4, 5), whole, in a part, and within rounds of a loop.
        (layouts.Turn(6, 100), Affine(0, ((0, 6, 100), (1, 1, 6))), Affine(0, ((0, 1, 100), (1, 100, 6)))),
        (
            layouts.Turn(4, 5),
            Affine(0, ((0, 20, 10), (1, 4, 5), (2, 1, 4))),
            Affine(0, ((0, 20, 10), (1, 1, 5), (2, 5, 4))),
        ),
        (layouts.Turn(4, 5), Affine(27, ((0, 4, 3),)), Affine(36, ((0, 1, 3),))),
        (layouts.Turn(6, 100), Affine(0, ((-1, -600, 9), (0, 6, 900))), Affine(0, ((-1, -100, 9), (0, 1, 900)))),
        (layouts.Turn(6, 100), Affine(0, ((0, 1, 600),)), None),
        (layouts.Turn(4, 7), Affine(0, ((0, 4, 7),)), None),
    ],
)
def test_a_turn_moves_elements_or_says_that_it_cannot(turn: Any, index: Affine, place: Affine | None) -> None:
    assert turn.place(index, 600 if turn.stride == 6 else 200) == place


@pytest.mark.usefixtures("everything_turned")
@pytest.mark.parametrize("seed", range(60))
def test_random_programs_equal_numpy(seed: int) -> None:
    fuzz.check(7_000_000 + seed)
