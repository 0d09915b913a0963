"""How loops read: each shared expression once, so that the text is as long as the program."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad import ShapeDtypeStruct, cond, jit, while_loop

X = ShapeDtypeStruct((3,), np.float64)


def loops(f: Any, *args: Any) -> str:
    return str(jit(f).lower(*args).as_text("loops"))


def test_loops_name_shared_expressions() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return y * y + np.cos(y)

    assert loops(f, X) == "\n".join(
        ["for i0<3:", "  let e0 = sin(in0[i0])", "  out0[i0] = add(multiply(e0, e0), cos(e0))"]
    )


def test_loops_of_doubling_expressions_grow_with_the_program() -> None:
    def f(x: Any) -> Any:
        for _ in range(30):
            x = x * x + x
        return x

    text = loops(f, X)
    assert len(text) < 3000
    assert max(map(len, text.splitlines())) < 150


def test_loops_break_long_expressions() -> None:
    def f(x: Any) -> Any:
        for k in range(30):
            x = np.sin(x) * (k + 0.5)
        return x

    text = loops(f, X)
    assert "let e1 = " in text
    assert max(map(len, text.splitlines())) < 150


def test_loops_say_what_other_steps_do() -> None:
    def f(x: Any, i: Any) -> Any:
        y = while_loop(lambda s: np.sum(s) < 9.0, lambda s: s * 2.0 + 1.0, np.abs(x) + 1.0)
        y = cond(y[0] > 1.0, np.sin, np.cos, y)
        return y[i]

    text = loops(f, X, ShapeDtypeStruct((2,), np.int64))
    for part in ("while:", "if not", "break", "case 0 of", "case 1 of", "check ", "in0[i0]"):
        assert part in text


def test_loops_name_equations_that_call_numpy() -> None:
    text = loops(lambda x: np.sin(x) * np.float16(2), ShapeDtypeStruct((3,), np.float16))
    assert "tmp0 = numpy sin(in0)" in text
    assert "out0 = numpy multiply(tmp0)" in text
