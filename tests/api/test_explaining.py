"""What is said of compiled functions, and how compiling is switched off and forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError

X = np.arange(3.0)


def wave(x: Any) -> Any:
    return np.sin(x) * 2.0


def programs(jitted: Any) -> list[Any]:
    return jitted.explain().programs  # type: ignore[no-any-return]


def test_explanation_follows_a_function_from_call_to_call() -> None:
    jitted: Any = fg.jit(wave)
    assert repr(jitted.explain()) == "jit(wave): not called yet"
    jitted(X)
    assert "1 signature\n  (float64[3])" in repr(jitted.explain())
    assert "to be compiled at the next call" in repr(jitted.explain())
    jitted(X)
    jitted(1.0)
    text = repr(jitted.explain())
    assert "2 signatures" in text
    assert "native: all of 2 equations" in text


def test_explanation_names_what_calls_numpy_and_what_is_not_compiled() -> None:
    jitted: Any = fg.jit(wave)
    for _ in range(2):
        jitted(X.astype(np.float16))
    assert "call NumPy:\n      sin  test_explaining.py:" in repr(jitted.explain())
    branching: Any = fg.jit(lambda x: x if x[0] > 0 else -x)
    with pytest.warns(fg.RetracingWarning):
        branching(X)
    assert "evaluated by NumPy: a Python branch" in repr(branching.explain())


def test_compile_now_compiles_at_the_first_call() -> None:
    jitted: Any = fg.jit(wave, compile="now")
    np.testing.assert_array_equal(jitted(X), wave(X))
    assert programs(jitted)[0].executable is not None
    with pytest.raises(ArgumentError, match="compile='later'"):
        fg.jit(wave, compile="later")  # type: ignore[arg-type]


def test_lowered_function_shows_its_stages_and_compiles_without_values() -> None:
    jitted: Any = fg.jit(wave)
    lowered = jitted.lower(fg.ShapeDtypeStruct((3,), np.float64))
    assert "sin a" in lowered.as_text("jaxpr")
    assert lowered.as_text() == lowered.as_text("loops") == "for i0<3:\n  out0[i0] = multiply(sin(in0[i0]), 2.0)"
    assert "define i32 @program(" in lowered.as_text("llvm")
    with pytest.raises(ArgumentError, match="'assembly'"):
        lowered.as_text("assembly")
    assert lowered.compile() is jitted
    np.testing.assert_allclose(jitted(X), wave(X), rtol=1e-15)
    assert programs(jitted)[0].calls == 1


def test_disable_jit_and_clear_caches() -> None:
    jitted: Any = fg.jit(wave)
    with fg.disable_jit():
        for _ in range(3):
            np.testing.assert_array_equal(jitted(X), wave(X))
    assert programs(jitted) == []
    for _ in range(3):
        jitted(X)
    assert programs(jitted)[0].executable is not None
    fg.clear_caches()
    assert programs(jitted) == []
    np.testing.assert_array_equal(jitted(X), wave(X))
