"""Loops that keep few of their states, and compute the others again for derivatives.

A loop of known length n is cut into blocks. The states before some blocks are kept, and what the backward pass needs of
the steps is there for one block at a time. Where the states of all blocks are kept, sqrt(n) blocks of sqrt(n) steps
need 2 sqrt(n) places, and each step runs once more; where they are fewer, the binomial schedule says which.

Where the length is not known beforehand, "sqrt" makes pieces of 1, 2, 3, ... steps, each a checkpoint, so that n steps
are made of sqrt(2 n) pieces of at most sqrt(2 n); for a number of states the steps are counted, and then the binomial
schedule applies (see `checkpointed_while`).

Reference: A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
differentiation", Optimization Methods and Software 1 (1992).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.control.checkpoint import checkpoint
from funcgrad.control.derived import closed, derived, is_inexact
from funcgrad.control.reversal import steps
from funcgrad.control.scan import scan
from funcgrad.control.splitting import grouped, split_body
from funcgrad.control.while_loop import while_loop
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.primitives.arithmetic import add
from funcgrad.primitives.comparison import bitwise_and, less
from funcgrad.primitives.shaping import concatenate, slice_axis
from funcgrad.primitives.structural import reshape
from funcgrad.transforms.evaluate import evaluate, record_abstract


def step_bytes(jaxpr: Jaxpr, num_consts: int, num_carry: int) -> tuple[int, int]:
    """The memory of a state, and of what the backward pass needs of one step."""
    active = tuple([is_inexact(aval) for aval in jaxpr.in_avals])
    split = split_body(jaxpr, active, num_consts, num_carry)
    stacked = split.known.jaxpr.out_avals[len(jaxpr.outputs) :]
    return _bytes(jaxpr.out_avals[:num_carry]), _bytes(stacked)


def _bytes(avals: Sequence[ShapedArray]) -> int:
    return sum(aval.nbytes for aval in avals)


def checkpointed_scan(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    sizes: tuple[int, int],
) -> tuple[list[Any], list[Any]]:
    """`scan` of blocks of steps, of whose first states some are kept; everything else is computed again by blocks.

    Args:
        sizes: The number of steps in a block, and of states to keep.
    """
    block, states = sizes
    if block >= length:
        return scan(jaxpr, consts, carry, xs, length, reverse)
    blocks, rest = divmod(length, block)
    counts = len(consts), len(carry)

    def whole(carry: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        start = rest if reverse else 0
        rows = [
            reshape(slice_axis(x, 0, start, start + blocks * block), (blocks, block, *get_aval(x).shape[1:]))
            for x in xs
        ]
        piece = _piece(jaxpr, block, reverse, *counts)
        if states >= blocks:  # the states are the outputs of a loop
            last, ys = scan(_checkpointed(piece), consts, carry, rows, blocks, reverse)
        else:
            last, ys = steps(piece, consts, carry, rows, blocks, reverse, states)
        return last, [reshape(y, (blocks * block, *get_aval(y).shape[2:])) for y in ys]

    def remainder(carry: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        start = 0 if reverse else blocks * block
        rows = [slice_axis(x, 0, start, start + rest) for x in xs]
        return _cut(checkpoint(_piece(jaxpr, rest, reverse, *counts), [*consts, *carry, *rows]), counts[1])

    if not rest:
        return whole(carry)
    carry, first = whole(carry)
    carry, second = remainder(carry)
    ordered = zip(second, first, strict=True) if reverse else zip(first, second, strict=True)
    return list(carry), [concatenate(pair) for pair in ordered]


def _cut(outs: Sequence[Any], num_carry: int) -> tuple[list[Any], list[Any]]:
    return list(outs[:num_carry]), list(outs[num_carry:])


def _piece(jaxpr: Jaxpr, steps: int, reverse: bool, num_consts: int, num_carry: int) -> Jaxpr:
    """Some steps of a loop as a jaxpr."""

    def make(jaxpr: Jaxpr) -> Jaxpr:
        def run(*args: Any) -> list[Any]:
            consts, carry, xs = grouped(args, num_consts, num_carry)
            last, ys = scan(_same(jaxpr), consts, carry, xs, steps, reverse)
            return [*last, *ys]

        first_row = num_consts + num_carry
        rows = [ShapedArray((steps, *x.shape), x.dtype) for x in jaxpr.in_avals[first_row:]]
        made = closed(record_abstract("scan", run, [*jaxpr.in_avals[:first_row], *rows]))
        assert not made.values
        return made.jaxpr

    return derived(jaxpr, ("piece", steps, reverse, num_consts), make)


def _checkpointed(jaxpr: Jaxpr) -> Jaxpr:
    """A jaxpr that is one checkpoint."""
    return derived(
        jaxpr,
        "checkpointed",
        lambda jaxpr: record_abstract("checkpoint", lambda *xs: checkpoint(_same(jaxpr), xs), jaxpr.in_avals),
    )


def _same(jaxpr: Jaxpr) -> Jaxpr:
    """The same equations in another object, so that what is derived of a jaxpr does not keep it alive."""
    return Jaxpr(jaxpr.inputs, jaxpr.constants, jaxpr.equations, jaxpr.outputs)


def while_in_pieces(
    cond: Jaxpr, body: Jaxpr, cond_consts: Sequence[Any], consts: Sequence[Any], carry: Sequence[Any]
) -> list[Any]:
    """`while_loop` in pieces of 1, 2, 3, ... steps, of which derivatives keep the first states."""
    num_cond_consts, num_consts = len(cond_consts), len(consts)
    piece = derived(body, ("piece", cond), lambda body: _while_piece(cond, body, num_cond_consts, num_consts))

    def outer(*args: Any) -> list[Any]:
        most, *rest = args[num_cond_consts + num_consts :]
        outs = checkpoint(piece, [*args[: num_cond_consts + num_consts], most, *rest])
        return [add(most, np.int64(1)), *outs]

    count = ShapedArray((), np.int64)
    constant_avals = [*cond.in_avals[:num_cond_consts], *body.in_avals[:num_consts]]
    step = closed(record_abstract("while_loop", outer, [*constant_avals, count, *body.in_avals[num_consts:]]))
    assert not step.values
    going = record_abstract(
        "while_loop",
        lambda *xs: evaluate(cond, [*xs[:num_cond_consts], *xs[num_cond_consts + 1 :]]),
        [*cond.in_avals[:num_cond_consts], count, *cond.in_avals[num_cond_consts:]],
    )
    return while_loop(going, step.jaxpr, cond_consts, [*cond_consts, *consts], [np.int64(1), *carry])[1:]


def _while_piece(cond: Jaxpr, body: Jaxpr, num_cond_consts: int, num_consts: int) -> Jaxpr:
    """From (cond's consts, the body's, a number, carry) to the carry after at most so many steps."""

    def goes_on(*args: Any) -> list[Any]:
        cond_consts, most, count, carry = grouped(args, num_cond_consts, 1, 1)
        return [bitwise_and(less(count[0], most[0]), evaluate(cond, [*cond_consts, *carry])[0])]

    def counted(*args: Any) -> list[Any]:
        consts, count, carry = grouped(args, num_consts, 1)
        return [add(count[0], np.int64(1)), *evaluate(body, [*consts, *carry])]

    number = ShapedArray((), np.int64)
    carry_avals = body.in_avals[num_consts:]
    cond_avals, const_avals = cond.in_avals[:num_cond_consts], body.in_avals[:num_consts]
    inner_cond = record_abstract("while_loop", goes_on, [*cond_avals, number, number, *carry_avals])
    inner_body = record_abstract("while_loop", counted, [*const_avals, number, *carry_avals])

    def run(*args: Any) -> list[Any]:
        cond_consts, consts, most, carry = grouped(args, num_cond_consts, num_consts, 1)
        return while_loop(inner_cond, inner_body, [*cond_consts, *most], consts, [np.int64(0), *carry])[1:]

    made = closed(record_abstract("while_loop", run, [*cond_avals, *const_avals, number, *carry_avals]))
    assert not made.values
    return made.jaxpr
