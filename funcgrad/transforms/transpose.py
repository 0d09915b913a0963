"""Reverse mode: cotangents pulled back through recorded equations, last to first.

One loop serves `vjp` and the transposition of linear functions: a primitive's `vjp` rule asks of the operand that
carries the cotangent nothing but its shape and dtype wherever the primitive is linear in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import LinearityError, message
from funcgrad.core.primitive import Primitive
from funcgrad.core.seeding import Made, followed, forget, note
from funcgrad.core.source import begin_replay, definition, end_replay, read_source, replay
from funcgrad.core.tracing import RecordedEquation, Recording, Tracer, outermost
from funcgrad.primitives.identity import stop_gradient_p
from funcgrad.primitives.masking import Masked, masked_vjp, selected


def pull_back(
    recording: Recording, out_ids: Sequence[int | None], out_cts: Sequence[Any], *, consume: bool = False
) -> list[Any]:
    """The cotangents of a recording's inputs, given those of some of its variables; None is zero.

    Each cotangent is dropped when it has been used.

    Args:
        consume: Whether to drop the equations on the way, too.
    """
    assert recording.equations is not None
    cts: list[Any] = [None] * recording.size
    for number, ct in zip(out_ids, out_cts, strict=True):
        if number is not None and ct is not None:
            cts[number] = ct if cts[number] is None else cts[number] + ct
    return sweep(recording, recording.equations if consume else recording.equations.copy(), cts)


def sweep(recording: Recording, equations: list[RecordedEquation], cts: list[Any]) -> list[Any]:
    """Pull cotangents back through equations, taking them off the list, last to first.

    Args:
        cts: The cotangent of each variable of the recording so far.

    Returns:
        The cotangents of the inputs; None is zero.
    """
    if recording.samples:
        recording.check_captured()
    nested = recording.nested or replay.always
    made = followed.made if nested else None
    outer = begin_replay() if nested else None
    ct: Any
    try:
        while equations:
            primitive, params, xs, ids, y, first, place = equations.pop()
            if primitive.multiple_results:
                ct = cts[first : first + len(y)]
                cts[first : first + len(y)] = [None] * len(y)
                if all(part is None for part in ct):
                    continue
                ct = [selected(part) for part in ct]
            else:
                ct = cts[first]
                if ct is None:
                    continue
                cts[first] = None
            if nested:
                replay.place = place
            rule = primitive.vjp
            if rule is None:
                rule = transposed_jvp(primitive)
            if ct.__class__ is Masked:
                rule = partial(masked_vjp, primitive, rule)
            if made is not None and id(ct) in made and _is_followed(primitive):
                x_cts = _followed(made, rule, ct, y, xs, ids, params)
            else:
                if made is not None:
                    forget(made, ct if primitive.multiple_results else (ct,))
                x_cts = rule(ct, y, xs, ids, params)
            i = 0
            for x_ct in x_cts:
                if x_ct is not None:
                    number = ids[i]
                    if number is not None:
                        sum_so_far = cts[number]
                        cts[number] = x_ct if sum_so_far is None else sum_so_far + x_ct
                i += 1  # noqa: SIM113 (counting by hand is faster)
    finally:
        if nested:
            end_replay(outer)
    del cts[len(recording.inputs) :]
    for i, ct in enumerate(cts):
        if ct.__class__ is Masked:
            cts[i] = ct.selected()
    if made is not None:
        forget(made, cts)
    return cts


def _is_followed(primitive: Primitive) -> bool:
    """Whether cotangents that its rule gives are made of that of the result and of operands, and of nothing else."""
    return not primitive.foreign and (primitive.structural or primitive.derivatives is not None)


def _followed(
    made: dict[int, Made],
    rule: Callable[..., Sequence[Any]],
    ct: Any,
    y: Any,
    xs: Sequence[Any],
    ids: Sequence[int | None],
    params: dict[str, Any],
) -> Sequence[Any]:
    """The cotangents of operands, given one of a result that comes of a seed.

    Where a rule would multiply it by an array, perhaps one around the function, a recording of `jit` around takes it
    over, and with it what comes of it, so that the array is an operand there, and nothing is made of its elements now.
    """
    plain = [x for x in xs if type(x) is not Tracer]
    if any(type(x) is np.ndarray for x in plain):
        around = next((outermost(x) for x in xs if type(x) is Tracer), None)
        if around is not None and not around.differentiating:
            return rule(around.append(stop_gradient_p, {}, (ct,), (None,), ct), y, xs, ids, params)
    x_cts = list(rule(ct, y, xs, ids, params))
    note(made, [x_ct for x_ct in x_cts if x_ct is not None and type(x_ct) is not Tracer], ct, *plain)
    return x_cts


def transposed_jvp(primitive: Primitive) -> Callable[..., list[Any]]:
    """The `vjp` rule that follows from a primitive's tangent rule: the rule recorded without values, pulled back."""

    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> list[Any]:
        recording = Recording(primitive.name, abstract=True)
        cts: list[Any] = [None] * len(xs)
        try:
            x_dots = [
                None if number is None else recording.input(tangent_aval(x)) for x, number in zip(xs, ids, strict=True)
            ]
            y_dots = primitive.jvp(x_dots, y, xs, params)
            if y_dots is None:
                return cts
            if not primitive.multiple_results:
                y_dots, ct = (y_dots,), (ct,)
            x_cts = iter(pull_back(recording, [recording.lower(y_dot)[1] for y_dot in y_dots], ct))
            return [None if x_dot is None else next(x_cts) for x_dot in x_dots]
        finally:
            recording.close()

    return vjp


def tangent_aval(x: Any) -> ShapedArray:
    """The type of a value's tangents: its own shape and dtype, never weak."""
    aval = get_aval(x)
    return ShapedArray(aval.shape, aval.dtype)


def vjp(
    function: Callable[..., Any], primals: Sequence[Any], *, transformation: str = "vjp", user: Any = None
) -> tuple[list[Any], Recording, list[int | None]]:
    """Values of a flat function, its recording, and the variables of its outputs: all that `pull_back` needs."""
    recording = Recording(transformation, user or function, differentiating=True)
    outputs = [recording.lower(y) for y in function(*map(recording.input, primals))]
    return [y for y, _ in outputs], recording, [number for _, number in outputs]


def linear_transpose(function: Callable[..., Any], avals: Sequence[ShapedArray], user: Any = None) -> Any:
    """The transpose of a linear flat function: a function from output cotangents to input cotangents.

    Raises:
        LinearityError: naming the first equation that is not linear.
    """
    recording = Recording("linear_transpose", user or function, abstract=True, differentiating=True)
    outputs = [recording.lower(y) for y in function(*map(recording.input, avals))]
    check_linear(recording, [number for _, number in outputs])
    out_avals = [get_aval(y) for y, _ in outputs]
    return out_avals, lambda cts: pull_back(recording, [number for _, number in outputs], cts)


def check_linear(recording: Recording, out_ids: Sequence[int | None]) -> None:
    """Check that the function is linear (an affine constant among the outputs is not)."""
    for primitive, _, xs, ids, _, _, place in recording.equations or ():
        active = [i for i, number in enumerate(ids) if number is not None]
        # An operand in which the primitive is linear together with the active ones is a summand.
        summands = [x for i, x in enumerate(xs) if i not in active and primitive.is_linear(sorted([*active, i]))]
        affine = any(isinstance(x, Tracer) or np.any(x) for x in summands)
        if affine or not primitive.is_linear(active):
            raise LinearityError(
                message(
                    f"{recording.name} got a function that is not linear.",
                    value=f"`{primitive.name}` "
                    + ("adds a constant other than zero" if affine else "is not linear in its traced operands"),
                    where=read_source(place),
                    fix="funcgrad.linearize(f, x) gives the linear part at a point; funcgrad.vjp its transpose.",
                )
            )
    if any(number is None for number in out_ids):
        raise LinearityError(
            message(
                f"{recording.name} got a function with a constant output.",
                where=definition(recording.function),
                why="a constant other than zero is not linear, and a zero has no transpose to speak of.",
                fix="return only what depends on the arguments.",
            )
        )
