"""Forward mode: tangents pushed through recorded equations, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.core.source import begin_replay, end_replay, replay
from funcgrad.core.tracing import Recording


def push_forward(recording: Recording, tangents: Sequence[Any], out_ids: Sequence[int | None]) -> list[Any]:
    """The tangents of some of a recording's variables, given those of its inputs; None is zero.

    Each tangent is dropped after its last use.
    """
    equations = recording.equations
    assert equations is not None
    if recording.samples:
        recording.check_captured()
    x_dots: list[Any] = [*tangents, *[None] * (recording.size - len(tangents))]
    last_uses = {number: i for i, equation in enumerate(equations) for number in equation[3]}
    last_uses.update(dict.fromkeys(out_ids, len(equations)))
    outer = begin_replay()
    try:
        for i, (primitive, params, xs, ids, y, first, place) in enumerate(equations):
            ins = [None if number is None else x_dots[number] for number in ids]
            if all(x_dot is None for x_dot in ins):
                continue
            for number in ids:
                if number is not None and last_uses[number] == i:
                    x_dots[number] = None
            replay.place = place
            y_dot = primitive.jvp(ins, y, xs, params)
            if primitive.multiple_results:
                x_dots[first : first + len(y)] = [None] * len(y) if y_dot is None else y_dot
            else:
                x_dots[first] = y_dot
    finally:
        end_replay(outer)
    return [None if number is None else x_dots[number] for number in out_ids]


def prune(recording: Recording, out_ids: Sequence[int | None]) -> None:
    """Drop the equations of a recording on which none of these variables depends."""
    assert recording.equations is not None
    needed = set(out_ids)
    kept = []
    for equation in reversed(recording.equations):
        primitive, _, _, ids, y, first, _ = equation
        if primitive.multiple_results:
            if needed.isdisjoint(range(first, first + len(y))):
                continue
        elif first not in needed:
            continue
        needed.update(ids)
        kept.append(equation)
    recording.equations = kept[::-1]


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], user: Any = None) -> Any:
    """Values and tangents of a flat function at `primals` along `tangents` (None: zero)."""
    recording = Recording("jvp", user or function, differentiating=True)
    try:
        outputs = [recording.lower(y) for y in function(*map(recording.input, primals))]
        y_dots = push_forward(recording, tangents, [number for _, number in outputs])
    finally:
        recording.close()
    return [y for y, _ in outputs], y_dots
