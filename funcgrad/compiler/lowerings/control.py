"""Loops and branches: regions of steps, their carried values in buffers that each round overwrites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.compiler.fusion import Fusion
from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Branch, Buffer, Frames, Load, Loop, loads
from funcgrad.compiler.lowering import NUMBERS, Lowering, lowers, reads
from funcgrad.compiler.recomputing import recomputed
from funcgrad.compiler.tensors import Tensor, alias, constant, identity, moved, view
from funcgrad.control.cond import cond_p
from funcgrad.control.derived import picked
from funcgrad.control.pairs import by_kind
from funcgrad.control.scan import scan_p
from funcgrad.control.splitting import Split, split_body, spread, transposed_body
from funcgrad.control.while_loop import while_p, while_transpose_p
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr


def _is_native(*jaxprs: Jaxpr) -> bool:
    """Whether values of these types can be carried natively."""
    return all(x.aval.dtype in NUMBERS for jaxpr in jaxprs for x in (*jaxpr.inputs, *jaxpr.outputs))


def _stored(lowering: Lowering, xs: Sequence[Tensor], avals: Sequence[ShapedArray]) -> list[Tensor]:
    """Operands of a region, computed before it, of the types that it expects."""
    ys = [lowering.cast(x, aval.dtype) for x, aval in zip(xs, avals, strict=True)]
    return [alias(lowering.fusion.realise(y) if y.cost > 0.0 else y) for y in ys]


def _carried(
    lowering: Lowering, xs: Sequence[Tensor], avals: Sequence[ShapedArray], others: Sequence[Tensor]
) -> list[Tensor]:
    """Buffers for carried values, with the first values in them: those that they are in, if nothing else needs them.

    Args:
        others: The loop's other operands.
    """
    places: list[Tensor] = []
    for k, (x, aval) in enumerate(zip(xs, avals, strict=True)):
        b, elsewhere = x.buffer, (*others, *xs[:k], *xs[k + 1 :])
        if b is not None and x.dtype == aval.dtype and lowering.is_free(x) and not any(reads(y, b) for y in elsewhere):
            places.append(view(b, x.shape))
            continue
        place = lowering.fusion.buffer(aval.shape, aval.dtype)
        y = lowering.cast(x, aval.dtype)
        lowering.fusion.realise(Tensor(y.shape, y.dtype, y.at), place)
        places.append(place)
    return places


def _carry_on(fusion: Fusion, ys: Sequence[Tensor], places: Sequence[Tensor]) -> None:
    """Store the new values of carried buffers, when all that reads the old ones has been computed."""
    carried: set[Buffer] = {place.buffer for place in places if place.buffer is not None}
    pending = []
    for y, place in zip(ys, places, strict=True):
        if y.buffer is place.buffer and y.is_contiguous() and y.offset == place.offset:
            continue  # as it was
        others = carried - {place.buffer}
        if y.size and _reads(y, others, place):
            copy = fusion.realise(Tensor(y.shape, y.dtype, y.at), fusion.buffer(y.shape, y.dtype))
            pending.append((copy, place))
        else:
            pending.append((y, place))
    for y, place in pending:
        fusion.realise(Tensor(y.shape, y.dtype, y.at), place)


def _reads(y: Tensor, others: set[Buffer], place: Tensor) -> bool:
    """Whether y is made of carried values that may be overwritten before it is stored."""
    index = identity(y.shape)
    same = place.at(index)
    assert type(same) is Load
    for load in loads(y.at(index)):
        if load.buffer in others:
            return True
        if load.buffer is place.buffer and load.index != same.index:
            return True
    return False


@lowers(scan_p, complex_numbers=True)
def _scan(
    lowering: Lowering,
    eqn: Equation,
    *args: Tensor,
    jaxpr: Jaxpr,
    length: int,
    reverse: bool,
    num_consts: int,
    num_carry: int,
) -> Any:
    if not _is_native(jaxpr):
        return NotImplemented
    body = recomputed(jaxpr)
    avals = body.in_avals
    first, last = num_consts, num_consts + num_carry
    consts = _stored(lowering, args[:first], avals[:first])
    carry = _carried(lowering, args[first:last], avals[first:last], [*consts, *args[last:]])
    stacks = [lowering.fusion.buffer(v.aval.shape, v.aval.dtype) for v in eqn.outputs[num_carry:]]
    if length:
        rows = [ShapedArray((length, *aval.shape), aval.dtype) for aval in avals[last:]]
        xs = _stored(lowering, args[last:], rows)
        axis = -1 - lowering.depth
        lowering.depth += 1
        number = Affine(length - 1, ((axis, -1, length),)) if reverse else Affine(0, ((axis, 1, length),))
        number = number if length > 1 else Affine(0)
        fusion, outs = lowering.inner(body, [*consts, *carry, *[_row(x, number) for x in xs]], carry)
        known: dict[int, Tensor] = {}  # what is stacked twice is stacked once
        for k, y in enumerate(outs[num_carry:]):
            if id(y) not in known:
                known[id(y)] = stacks[k]
                fusion.realise(Tensor(y.shape, y.dtype, y.at), _row(stacks[k], number))
            stacks[k] = alias(known[id(y)])
        _carry_on(fusion, outs[:num_carry], carry)
        lowering.depth -= 1
        lowering.fusion.append(Loop(axis, length, fusion.steps))
    return [*carry, *stacks]


def _row(x: Tensor, number: Affine) -> Tensor:
    return moved(x, x.shape[1:], lambda index: (number, *index))


@lowers(while_p, complex_numbers=True)
def _while(
    lowering: Lowering,
    eqn: Equation,
    *args: Tensor,
    cond_jaxpr: Jaxpr,
    body_jaxpr: Jaxpr,
    num_cond_consts: int,
    num_body_consts: int,
) -> Any:
    if not _is_native(cond_jaxpr, body_jaxpr):
        return NotImplemented
    condition, body = recomputed(cond_jaxpr), recomputed(body_jaxpr)
    back = lowering.returns.get(id(eqn))
    way = None if back is None else _way(back)
    last = num_cond_consts + num_body_consts
    cond_consts = _stored(lowering, args[:num_cond_consts], condition.in_avals[:num_cond_consts])
    consts = _stored(lowering, args[num_cond_consts:last], body.in_avals[:num_body_consts])
    carry = _carried(lowering, args[last:], body.in_avals[num_body_consts:], [*cond_consts, *consts])
    if back is None or way is None:
        _rounds(lowering, condition, cond_consts, body, consts, carry)
    else:
        lowering.left[id(back)] = _there(lowering, way, condition, cond_consts, consts, carry)
    return carry


def _rounds(
    lowering: Lowering,
    condition: Jaxpr,
    cond_consts: Sequence[Tensor],
    body: Jaxpr,
    consts: Sequence[Tensor],
    carry: Sequence[Tensor],
    frames: Frames | None = None,
) -> list[Tensor]:
    """A loop while a condition holds; what its body gives beyond the carry is kept in frames. Gives that."""
    flag = lowering.fusion.buffer((), np.dtype(np.bool_))
    axis = -1 - lowering.depth
    lowering.depth += 1
    asking, (answer,) = lowering.inner(condition, [*cond_consts, *carry])
    asking.realise(Tensor((), flag.dtype, lowering.cast(answer, flag.dtype).at), flag)
    fusion, outs = lowering.inner(body, [*consts, *carry], carry)
    kept = [] if frames is None else _kept(fusion, outs[len(carry) :], frames)
    _carry_on(fusion, outs[: len(carry)], carry)
    lowering.depth -= 1
    loop = Loop(axis, None, fusion.steps, asking.steps, flag.buffer)
    loop.pushes = frames
    lowering.fusion.append(loop)
    return kept


def _kept(fusion: Fusion, ys: Sequence[Tensor], frames: Frames) -> list[Tensor]:
    """Values of a round, stored in its frame, each once; what is the same in every round is not."""
    kept: dict[int, Tensor] = {}
    for y in ys:
        if id(y) in kept:
            continue
        if y.size and not any(loads(y.at(identity(y.shape)))):
            kept[id(y)] = y
            continue
        place = view(frames.buffer(y.size, y.dtype), y.shape)
        fusion.realise(Tensor(y.shape, y.dtype, y.at), place)
        kept[id(y)] = place
    return [kept[id(y)] for y in ys]


class _Way(NamedTuple):
    """How a loop is gone through, and back.

    Attributes:
        split: The parts of its body.
        known: The body that keeps what the way back needs.
        back: The transposed body.
        values: The constants of that.
    """

    split: Split
    known: Jaxpr
    back: Jaxpr
    values: tuple[Any, ...]


def _way(eqn: Equation) -> _Way | None:
    """The way that a `while_transpose` takes; None where it carries what compiled code does not know."""
    jaxpr: Jaxpr = eqn.params["body_jaxpr"]
    num_consts = eqn.params["num_body_consts"]
    split = split_body(jaxpr, eqn.params["first"], num_consts, len(jaxpr.outputs))
    body = transposed_body(split, ())
    way = _Way(split, recomputed(split.known.jaxpr), recomputed(body.jaxpr), body.values)
    return way if _is_native(eqn.params["cond_jaxpr"], jaxpr, way.known, way.back) else None


def _there(
    lowering: Lowering,
    way: _Way,
    condition: Jaxpr,
    cond_consts: Sequence[Tensor],
    consts: Sequence[Tensor],
    carry: Sequence[Tensor],
) -> tuple[Frames, list[Tensor]]:
    """The loop that keeps what the way back needs: frames, and the tensors in them."""
    frames = Frames()
    constants = _constants(way.split.known.values)
    return frames, _rounds(lowering, condition, cond_consts, way.known, [*constants, *consts], carry, frames)


@lowers(while_transpose_p, complex_numbers=True)
def _while_transpose(lowering: Lowering, eqn: Equation, *args: Tensor, **params: Any) -> Any:
    """The loop once more, unless it has just run, and what its way back needs in frames; then back, frame by frame."""
    way = _way(eqn)
    if way is None:
        return NotImplemented
    operands, split, back = by_kind(args, params), way.split, way.back
    avals, num_consts = params["body_jaxpr"].in_avals, params["num_body_consts"]
    consts = _stored(lowering, operands.consts, avals[:num_consts])
    steady = _steady(lowering, split, consts)
    left = lowering.left.pop(id(eqn), None)
    if left is None:
        condition = recomputed(params["cond_jaxpr"])
        cond_consts = _stored(lowering, operands.cond_consts, condition.in_avals[: len(operands.cond_consts)])
        carry = _carried(lowering, operands.carry, avals[num_consts:], [*cond_consts, *consts, *operands.cts])
        left = _there(lowering, way, condition, cond_consts, consts, carry)
    frames, kept = left
    rows = [kept[number] for _, number in split.rows]
    types = back.in_avals[len(way.values) + len(steady) :][: split.num_consts + split.num_carry]
    zeros = [constant(0, aval.dtype, aval.shape) for aval in types[: split.num_consts]]
    state = _carried(lowering, [*zeros, *operands.cts], types, [*steady, *rows])
    axis = -1 - lowering.depth
    lowering.depth += 1
    fusion, outs = lowering.inner(back, [*_constants(way.values), *steady, *state, *rows], [*state, *rows])
    _carry_on(fusion, outs, state)
    lowering.depth -= 1
    loop = Loop(axis, None, fusion.steps)
    loop.pops = frames
    lowering.fusion.append(loop)
    return picked(spread(state, split.active), params["first"])


def _steady(lowering: Lowering, split: Split, consts: Sequence[Tensor]) -> list[Tensor]:
    """What the backward pass needs that is the same in all rounds, computed before them."""
    hoisted = recomputed(split.hoisted.jaxpr)
    fusion, ys = lowering.inner(hoisted, [*_constants(split.hoisted.values), *map(alias, consts)])
    for step in fusion.steps:
        lowering.fusion.append(step)
    sources = {"operand": consts, "hoisted": ys}
    found = [_constants([x])[0] if kind == "array" else sources[kind][x] for kind, x in split.invariants]
    return _stored(lowering, found, [ShapedArray(x.shape, x.dtype) for x in found])


def _constants(values: Sequence[Any]) -> list[Tensor]:
    """Arrays that are known, as tensors."""
    found = []
    for value in values:
        array = np.asarray(value)
        if not array.ndim:
            found.append(constant(value, array.dtype))
            continue
        buffer = Buffer(array.size, array.dtype, "constant")
        buffer.values = array.reshape(-1)
        found.append(view(buffer, array.shape))
    return found


@lowers(cond_p, complex_numbers=True)
def _cond(lowering: Lowering, eqn: Equation, index: Tensor, *operands: Tensor, branches: tuple[Jaxpr, ...]) -> Any:
    if not _is_native(*branches):
        return NotImplemented
    number = lowering.fusion.contiguous(lowering.cast(index, np.dtype(np.int64)))
    assert number.buffer is not None
    results = [lowering.fusion.buffer(v.aval.shape, v.aval.dtype) for v in eqn.outputs]
    xs = _stored(lowering, operands, branches[0].in_avals)
    parts = []
    for branch in branches:
        fusion, outs = lowering.inner(recomputed(branch), [alias(x) for x in xs])
        for y, place in zip(outs, results, strict=True):
            fusion.realise(Tensor(y.shape, y.dtype, lowering.cast(y, place.dtype).at), place)
        parts.append(fusion.steps)
    lowering.fusion.append(Branch(number.buffer, parts))
    return results
