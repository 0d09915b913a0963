"""Nests that are the same but for their buffers are compiled once, and compute what they computed apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.compiler import sharing
from tests.compiler import fuzz
from tests.compiler.drawing import Drawn


def end(x: Any, steps: int) -> Any:
    """The end of Heun steps of a chain in which each element feeds the next."""
    y = np.zeros_like(x)
    for _ in range(steps):
        k = np.concatenate([x[:1], x[1:] * y[:-1]])
        z = y + 0.1 * k
        y = y + 0.05 * (k + np.concatenate([x[:1], x[1:] * z[:-1]]))
    return y


def sizes(steps: int, n: int) -> np.ndarray[Any, Any]:
    """How many loops a gradient of so many steps is made of, and how many functions of loops."""
    lowered = fg.jit(fg.grad(lambda x: end(x, steps)[-1])).lower(np.ones(n))
    return np.array(
        [lowered.as_text("loops").count("for i0"), lowered.as_text("llvm").count("define internal void @n")]
    )


@pytest.mark.parametrize("n", [300, 20_000], ids=["whole", "by blocks"])
def test_longer_loops_written_out_need_hardly_more_functions(n: int) -> None:
    loops, functions = sizes(36, n) - sizes(24, n)
    assert loops >= 5 * 12
    assert functions <= 0.3 * loops


@pytest.mark.parametrize("n", [300, 5000, 20_000])
def test_shared_loops_compute_the_same_bits(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(n).normal(size=n)
    shared = fg.jit(fg.value_and_grad(lambda x: np.sum(end(x, 8))), compile="now")
    shared(x)
    monkeypatch.setattr(sharing, "_LEAST", 10**9)
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    apart = fg.jit(fg.value_and_grad(lambda x: np.sum(end(x, 8))), compile="now")
    apart(x)
    for y, z in zip(shared(x), apart(x), strict=True):
        np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("loops", [False, True])
def test_random_programs_of_shared_loops_equal_eager_ones(loops: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST", 1)
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    for seed in range(100, 120):
        try:
            fuzz.check(seed, loops)
        except AssertionError as error:
            error.add_note(repr(Drawn(seed, 7, loops) if loops else Drawn(seed)))
            raise
