"""A scan whose rounds take several steps each: so many copies of the body, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.control.derived import Closed, closed, derived
from funcgrad.control.splitting import grouped
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.primitives.index import Index
from funcgrad.primitives.indexing import basic_index
from funcgrad.primitives.shaping import concatenate, slice_axis, stack
from funcgrad.primitives.structural import reshape
from funcgrad.transforms.evaluate import evaluate, record_abstract

# (body, consts, carry, xs, length, reverse) -> (carry, ys)
Scan = Callable[[Jaxpr, Sequence[Any], Sequence[Any], Sequence[Any], int, bool], tuple[list[Any], list[Any]]]


def unrolled_scan(
    scan: Scan,
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    copies: int,
) -> tuple[list[Any], list[Any]]:
    """The results of a scan with so many steps in each of its rounds; what is left over is one round less.

    Args:
        scan: What runs the rounds.
    """
    rounds, rest = divmod(length, copies)
    if copies == 1 or not length:
        return scan(jaxpr, consts, carry, xs, length, reverse)
    parts = []
    if rounds:
        start = rest if reverse else 0
        blocks = [
            reshape(slice_axis(x, 0, start, start + rounds * copies), (rounds, copies, *get_aval(x).shape[1:]))
            for x in xs
        ]
        if rounds == 1:  # all steps in one round are no loop
            carry, ys = _straight(jaxpr, consts, carry, [basic_index(x, _at(0)) for x in blocks], copies, reverse)
        else:
            body = _several(jaxpr, copies, reverse, len(consts), len(carry))
            carry, ys = scan(body.jaxpr, [*body.values, *consts], carry, blocks, rounds, reverse)
            ys = [reshape(y, (rounds * copies, *get_aval(y).shape[2:])) for y in ys]
        parts.append(ys)
    if rest:
        start = 0 if reverse else rounds * copies
        rows = [slice_axis(x, 0, start, start + rest) for x in xs]
        carry, ys = _straight(jaxpr, consts, carry, rows, rest, reverse)
        parts.append(ys)
    ordered = zip(*(parts[::-1] if reverse else parts), strict=True)
    return list(carry), [column[0] if len(column) == 1 else concatenate(column) for column in ordered]


def _at(row: int) -> Index:
    return Index((row,))


def _straight(
    jaxpr: Jaxpr, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any], steps: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    """So many steps one after the other."""
    num_carry, rows = len(carry), []
    for i in reversed(range(steps)) if reverse else range(steps):
        outs = evaluate(jaxpr, [*consts, *carry, *[basic_index(x, _at(i)) for x in xs]])
        carry = outs[:num_carry]
        rows.append(outs[num_carry:])
    columns = zip(*(rows[::-1] if reverse else rows), strict=True)
    return list(carry), [stack(column) for column in columns]


def _several(jaxpr: Jaxpr, copies: int, reverse: bool, num_consts: int, num_carry: int) -> Closed:
    """A body of several steps, for as many rows."""

    def make(jaxpr: Jaxpr) -> Closed:
        def steps(*args: Any) -> list[Any]:
            consts, carry, xs = grouped(args, num_consts, num_carry)
            last, ys = _straight(jaxpr, consts, carry, xs, copies, reverse)
            return [*last, *ys]

        first_row = num_consts + num_carry
        rows = [ShapedArray((copies, *aval.shape), aval.dtype) for aval in jaxpr.in_avals[first_row:]]
        return closed(record_abstract("scan", steps, [*jaxpr.in_avals[:first_row], *rows]))

    return derived(jaxpr, ("unrolled", copies, reverse, num_consts), make)
