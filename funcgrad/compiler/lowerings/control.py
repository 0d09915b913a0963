"""Loops and branches: regions of steps, their carried values in buffers that each round overwrites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.compiler.fusion import Fusion
from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Branch, Buffer, Load, Loop, loads
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.simplify import simplified
from funcgrad.compiler.tensors import Tensor, alias, identity, moved
from funcgrad.control.cond import cond_p
from funcgrad.control.scan import scan_p
from funcgrad.control.while_loop import while_p
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr
from funcgrad.kernels.assembly import ELEMENTS


def _is_native(*jaxprs: Jaxpr) -> bool:
    """Whether values of these types can be carried natively."""
    return all(x.aval.dtype in ELEMENTS for jaxpr in jaxprs for x in (*jaxpr.inputs, *jaxpr.outputs))


def _stored(lowering: Lowering, xs: Sequence[Tensor], avals: Sequence[ShapedArray]) -> list[Tensor]:
    """Operands of a region, computed before it, of the types that it expects."""
    ys = [lowering.cast(x, aval.dtype) for x, aval in zip(xs, avals, strict=True)]
    return [alias(lowering.fusion.realise(y) if y.cost > 0.0 else y) for y in ys]


def _carried(lowering: Lowering, xs: Sequence[Tensor], avals: Sequence[ShapedArray]) -> list[Tensor]:
    """Buffers for carried values, with the first values in them."""
    places = []
    for x, aval in zip(xs, avals, strict=True):
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


@lowers(scan_p)
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
    body = simplified(jaxpr)
    avals = body.in_avals
    first, last = num_consts, num_consts + num_carry
    consts = _stored(lowering, args[:first], avals[:first])
    carry = _carried(lowering, args[first:last], avals[first:last])
    stacks = [lowering.fusion.buffer(v.aval.shape, v.aval.dtype) for v in eqn.outputs[num_carry:]]
    if length:
        rows = [ShapedArray((length, *aval.shape), aval.dtype) for aval in avals[last:]]
        xs = _stored(lowering, args[last:], rows)
        axis = -1 - lowering.depth
        lowering.depth += 1
        number = Affine(length - 1, ((axis, -1, length),)) if reverse else Affine(0, ((axis, 1, length),))
        number = number if length > 1 else Affine(0)
        fusion, outs = lowering.inner(body, [*consts, *carry, *[_row(x, number) for x in xs]], carry)
        for y, stack in zip(outs[num_carry:], stacks, strict=True):
            fusion.realise(Tensor(y.shape, y.dtype, y.at), _row(stack, number))
        _carry_on(fusion, outs[:num_carry], carry)
        lowering.depth -= 1
        lowering.fusion.append(Loop(axis, length, fusion.steps))
    return [*carry, *stacks]


def _row(x: Tensor, number: Affine) -> Tensor:
    return moved(x, x.shape[1:], lambda index: (number, *index))


@lowers(while_p)
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
    condition, body = simplified(cond_jaxpr), simplified(body_jaxpr)
    last = num_cond_consts + num_body_consts
    cond_consts = _stored(lowering, args[:num_cond_consts], condition.in_avals[:num_cond_consts])
    consts = _stored(lowering, args[num_cond_consts:last], body.in_avals[:num_body_consts])
    carry = _carried(lowering, args[last:], body.in_avals[num_body_consts:])
    flag = lowering.fusion.buffer((), np.dtype(np.bool_))
    axis = -1 - lowering.depth
    lowering.depth += 1
    asking, (answer,) = lowering.inner(condition, [*cond_consts, *carry])
    asking.realise(Tensor((), flag.dtype, lowering.cast(answer, flag.dtype).at), flag)
    fusion, outs = lowering.inner(body, [*consts, *carry], carry)
    _carry_on(fusion, outs, carry)
    lowering.depth -= 1
    lowering.fusion.append(Loop(axis, None, fusion.steps, asking.steps, flag.buffer))
    return carry


@lowers(cond_p)
def _cond(lowering: Lowering, eqn: Equation, index: Tensor, *operands: Tensor, branches: tuple[Jaxpr, ...]) -> Any:
    if not _is_native(*branches):
        return NotImplemented
    number = lowering.fusion.contiguous(lowering.cast(index, np.dtype(np.int64)))
    assert number.buffer is not None
    results = [lowering.fusion.buffer(v.aval.shape, v.aval.dtype) for v in eqn.outputs]
    xs = _stored(lowering, operands, branches[0].in_avals)
    parts = []
    for branch in branches:
        fusion, outs = lowering.inner(simplified(branch), [alias(x) for x in xs])
        for y, place in zip(outs, results, strict=True):
            fusion.realise(Tensor(y.shape, y.dtype, lowering.cast(y, place.dtype).at), place)
        parts.append(fusion.steps)
    lowering.fusion.append(Branch(number.buffer, parts))
    return results
