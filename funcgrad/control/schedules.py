"""Loops that keep few of their states, and compute the others again for derivatives.

A loop of known length n becomes loops within loops: of a_1 * a_2 * ... * a_k >= n steps, all but the innermost keep the
states with which their steps begin, and each of their steps is a `checkpoint`. Then a_1 + ... + a_k states are kept at
any time, and each step runs at most k times. Two levels of sqrt(n) keep 2 sqrt(n) states and cost one more run. For
few states the binomial schedule is better: it is made of checkpoints of different lengths.

Where the length is not known the loop goes on in pieces, each a checkpoint: of 1, 2, 3, ... steps for "sqrt", so that n
steps are made of sqrt(2 n) pieces of at most sqrt(2 n); of equal numbers of steps for a given amount of memory.

Reference: A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
differentiation", Optimization Methods and Software 1 (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcgrad.control.checkpoint import checkpoint
from funcgrad.control.derived import closed, derived, is_inexact
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

_DEEPEST = 24


def step_bytes(jaxpr: Jaxpr, num_consts: int, num_carry: int) -> tuple[int, int]:
    """The memory of a state, and of what the backward pass needs of one step."""
    active = tuple([is_inexact(aval) for aval in jaxpr.in_avals])
    split = split_body(jaxpr, active, num_consts, num_carry)
    stacked = split.known.jaxpr.out_avals[len(jaxpr.outputs) :]
    return _bytes(jaxpr.out_avals[:num_carry]), _bytes(stacked)


def _bytes(avals: Sequence[ShapedArray]) -> int:
    return sum(aval.size * aval.dtype.itemsize for aval in avals)


def balanced(length: int, count: int) -> tuple[int, ...] | None:
    """The numbers of steps on each of at most two levels that keep so many states at most in all, if there are any."""
    if length <= count:
        return (length,)
    side = math.isqrt(length - 1) + 1
    return (side, side) if 2 * side <= count else None


def _tight(length: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes with a product that is no larger than it must be."""
    tight = list(sizes)
    for i in range(len(tight)):
        others = math.prod(tight[:i] + tight[i + 1 :])
        tight[i] = max(1, math.ceil(length / others))
    return tuple(tight)


def fitting(length: int, state: int, step: int, memory: int) -> tuple[int, ...]:
    """The numbers of steps on each level that keep so many bytes at most, or as few as can be."""
    if length * step <= memory:
        return (length,)
    best: tuple[int, tuple[int, ...]] | None = None
    for levels in range(2, _DEEPEST):
        for share in (0.5, 0.25, 0.75):
            inner = max(1, min(length, int(memory * share) // max(step, 1)))
            side = math.ceil(math.ceil(length / inner) ** (1 / (levels - 1)) - 1e-9)
            sizes = (*_tight(math.ceil(length / inner), (side,) * (levels - 1)), inner)
            used = sum(sizes[:-1]) * state + sizes[-1] * step
            if used <= memory:
                return sizes
            if best is None or used < best[0]:
                best = used, sizes
    assert best is not None
    return best[1]


def checkpointed_scan(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    sizes: tuple[int, ...],
) -> tuple[list[Any], list[Any]]:
    """`scan` in so many levels: numbers of steps from the outermost to the innermost."""
    if len(sizes) == 1 or length <= 1:
        return scan(jaxpr, consts, carry, xs, length, reverse)
    inner = math.prod(sizes[1:])
    pieces, rest = divmod(length, inner)
    counts = len(consts), len(carry)

    def piece(steps: int) -> Jaxpr:
        return _piece(jaxpr, steps, reverse, sizes[1:], *counts)

    def whole(carry: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        start = rest if reverse else 0
        rows = [
            reshape(slice_axis(x, 0, start, start + pieces * inner), (pieces, inner, *get_aval(x).shape[1:]))
            for x in xs
        ]
        last, ys = scan(_checkpointed(piece(inner)), consts, carry, rows, pieces, reverse)
        return last, [reshape(y, (pieces * inner, *get_aval(y).shape[2:])) for y in ys]

    def remainder(carry: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        start = 0 if reverse else pieces * inner
        rows = [slice_axis(x, 0, start, start + rest) for x in xs]
        return _cut(checkpoint(piece(rest), [*consts, *carry, *rows]), counts[1])

    if not rest:
        return whole(carry)
    if not pieces:
        return remainder(carry)
    carry, first = whole(carry)
    carry, second = remainder(carry)
    ordered = zip(second, first, strict=True) if reverse else zip(first, second, strict=True)
    return list(carry), [concatenate(pair) for pair in ordered]


def binomial_scan(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    states: int,
    runs: int | None = None,
    pieces: dict[tuple[int, int, int], Jaxpr] | None = None,
) -> tuple[list[Any], list[Any]]:
    """`scan` that keeps so many states at most, each step running as often as it must: the binomial schedule.

    With s states and t runs of each step it reaches (s + t)! / (s! t!) steps: so many with s states and t - 1 runs, in
    one checkpoint, and behind it so many with s - 1 states and t runs.

    Args:
        pieces: The checkpoints' jaxprs so far, by number of steps, states and runs.

    Reference: A. Griewank and A. Walther, "Algorithm 799: revolve", ACM Trans. Math. Software 26 (2000).
    """
    if pieces is None:
        pieces = {}
    if runs is None:
        runs = next(t for t in range(length + 1) if math.comb(states + t, t) >= length)
    parts = []
    done, counts = 0, (len(consts), len(carry))
    while done < length:
        left = length - done
        plain = runs <= 1 or left <= states + 1
        size = left if plain else min(left, math.comb(states + runs - 1, runs - 1))
        start = length - done - size if reverse else done
        rows = [slice_axis(x, 0, start, start + size) for x in xs]
        if plain:
            carry, ys = scan(_checkpointed(jaxpr), consts, carry, rows, size, reverse)
        else:
            key = size, states, runs - 1
            if key not in pieces:
                arguments = jaxpr, counts, reverse, key, pieces
                pieces[key] = _recorded_piece(jaxpr, partial(_binomial_piece, *arguments), size, sum(counts))
            carry, ys = _cut(checkpoint(pieces[key], [*consts, *carry, *rows]), counts[1])
        parts.append(ys)
        done, states = done + size, states - 1
    columns = zip(*(parts[::-1] if reverse else parts), strict=True)
    return list(carry), [concatenate(column) for column in columns]


def _binomial_piece(
    jaxpr: Jaxpr,
    counts: tuple[int, int],
    reverse: bool,
    key: tuple[int, int, int],
    pieces: dict[tuple[int, int, int], Jaxpr],
    *args: Any,
) -> list[Any]:
    consts, carry, xs = grouped(args, *counts)
    last, ys = binomial_scan(jaxpr, consts, carry, xs, key[0], reverse, key[1], key[2], pieces)
    return [*last, *ys]


def _recorded_piece(jaxpr: Jaxpr, run: Callable[..., list[Any]], steps: int, first_row: int) -> Jaxpr:
    rows = [ShapedArray((steps, *x.shape), x.dtype) for x in jaxpr.in_avals[first_row:]]
    made = closed(record_abstract("scan", run, [*jaxpr.in_avals[:first_row], *rows]))
    assert not made.values
    return made.jaxpr


def _cut(outs: Sequence[Any], num_carry: int) -> tuple[list[Any], list[Any]]:
    return list(outs[:num_carry]), list(outs[num_carry:])


def _piece(jaxpr: Jaxpr, steps: int, reverse: bool, sizes: tuple[int, ...], num_consts: int, num_carry: int) -> Jaxpr:
    """Some steps of a loop as a jaxpr."""

    def make(jaxpr: Jaxpr) -> Jaxpr:
        def run(*args: Any) -> list[Any]:
            consts, carry, xs = grouped(args, num_consts, num_carry)
            last, ys = checkpointed_scan(_same(jaxpr), consts, carry, xs, steps, reverse, sizes)
            return [*last, *ys]

        return _recorded_piece(jaxpr, run, steps, num_consts + num_carry)

    return derived(jaxpr, ("piece", steps, reverse, sizes), make)


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


def checkpointed_while(
    cond: Jaxpr,
    body: Jaxpr,
    cond_consts: Sequence[Any],
    consts: Sequence[Any],
    carry: Sequence[Any],
    steps: int | None,
) -> list[Any]:
    """`while_loop` in pieces of so many steps (None: of 1, 2, 3, ...)."""
    num_cond_consts, num_consts = len(cond_consts), len(consts)
    which = cond, steps is None
    piece = derived(body, ("piece", *which), lambda body: _while_piece(cond, body, num_cond_consts, num_consts))
    grows = steps is None

    def outer(*args: Any) -> list[Any]:
        most, *rest = args[num_cond_consts + num_consts :]
        outs = checkpoint(piece, [*args[: num_cond_consts + num_consts], most, *rest])
        return [add(most, np.int64(1)) if grows else most, *outs]

    count = ShapedArray((), np.int64)
    constant_avals = [*cond.in_avals[:num_cond_consts], *body.in_avals[:num_consts]]
    step = closed(record_abstract("while_loop", outer, [*constant_avals, count, *body.in_avals[num_consts:]]))
    assert not step.values
    going = record_abstract(
        "while_loop",
        lambda *xs: evaluate(cond, [*xs[:num_cond_consts], *xs[num_cond_consts + 1 :]]),
        [*cond.in_avals[:num_cond_consts], count, *cond.in_avals[num_cond_consts:]],
    )
    first = [np.int64(1 if steps is None else steps), *carry]
    return while_loop(going, step.jaxpr, cond_consts, [*cond_consts, *consts], first)[1:]


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
