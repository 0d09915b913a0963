"""Random programs, compiled: NumPy's values, types and exceptions; `python -m tests.compiler.fuzz` tries more."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler import fuzz
from tests.compiler.drawing import Noise

_PROGRAMS = 120
_PORTIONS = 6


@pytest.mark.parametrize("portion", range(_PORTIONS))
def test_compiled_random_program_equals_eager(portion: int) -> None:
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(portion, _PROGRAMS, _PORTIONS):
        try:
            counts[fuzz.check(seed)] += 1
        except AssertionError as error:
            error.add_note(repr(fuzz.Drawn(seed)))
            raise
    assert counts["compiled"] > 0.8 * counts.total()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1_000_000, 2_000_000_000))
def test_compiled_random_program_of_a_drawn_seed_equals_eager(seed: int) -> None:
    fuzz.check(seed)


@pytest.mark.parametrize("seed", [473, 912, 200204])
def test_compiled_random_program_on_the_edge_of_numbers_equals_eager(seed: int) -> None:
    # A hyperbolic tangent that rounds to 1 or to the number below; complex products beyond all numbers; and a complex
    # cosine beyond all numbers at an angle so large that its rounding decides the signs.
    assert fuzz.check(seed, loops=True) == "compiled"


@np.errstate(invalid="ignore")
def test_number_that_is_none_is_compared_unless_rounding_decides_what_it_is() -> None:
    z = np.array([np.inf, np.nan, 1.0, np.inf, np.nan, np.inf])
    y = np.array([-np.inf, 1.0, np.inf, np.inf, np.nan, np.nan])
    assert fuzz._near(y, z, [z, z]).tolist() == [False, False, False, True, True, False]
    for other in (y, -z):
        assert fuzz._near(y, z, [z, other])[[0, 3, 4]].all()
    assert fuzz._near(y, z, [z, y]).all()


def test_noise_keeps_what_may_be_a_sine_within_one() -> None:
    x = np.array([np.nextafter(np.float32(1), np.float32(0)), 1, -1, 1.5, 0.25], np.float32)
    noisy = np.stack([Noise(seed)(x) for seed in range(20)])
    assert set(np.abs(noisy[:, :3]).max(axis=0)) == {1.0}
    assert np.all(noisy[:, 3:] != x[3:])


def test_mismatch_is_found_and_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(seed for seed in range(100) if "np.sin" in fuzz.Drawn(seed).source and fuzz.check(seed) == "compiled")
    right = fuzz.outcome
    calls: list[int] = []

    def wrong(f: object, arguments: object) -> object:
        calls.append(1)
        results = right(f, arguments)  # type: ignore[arg-type]
        return results if len(calls) != 6 else [y + 1 if y.dtype.kind == "f" else ~y for y in results]

    monkeypatch.setattr(fuzz, "outcome", wrong)
    fuzz.check_many(seed, seed + 1)
    printed = capsys.readouterr().out
    assert "MISMATCH" in printed
    assert "def program(" in printed
