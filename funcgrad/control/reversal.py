"""Loops that keep few of their states, and go backwards by the binomial schedule (see `binomial`).

`steps` is a loop of a number of steps that is known when it begins. Its pullback is one primitive, `steps_transpose`,
which runs steps forwards again from the states kept and takes one step backwards at a time: of a single step only is
there what the backward pass needs. Both stay single equations under every transformation, so the schedule holds at
every order: with T(x, ct) = J(x)^T ct and G the loop over pairs of value and tangent, symmetry of second derivatives
gives T(x, ct)'(u, v) = T_G((x, u), (v, ct)), the part of x, and the cotangents of T for w are T_G((x, w), (0, ct)), the
part of x, and J(x) w.

The states kept are a function of the operands like any other result, but nothing is differentiated in them: what
`steps_transpose` depends on it has among its operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.binomial import distance, kept_positions
from funcgrad.control.derived import active_carry, active_outputs, picked, settled, valued
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.pairs import scan_pairs
from funcgrad.control.reversal_operands import (
    Operands,
    Params,
    advancing,
    backward_step,
    by_kind,
    chosen_results,
    loop_params,
    strong_operands,
)
from funcgrad.control.reversal_rows import batched_steps, placed
from funcgrad.control.running import prepared, rounds_effort
from funcgrad.control.scan import check_linear
from funcgrad.control.splitting import Split, grouped, split_body, spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.transforms.transpose import tangent_aval

# steps: carry, y = body(consts, carry, x), so many times --------------------------------------------------------------


def _steps_implementation(*args: Any, **params: Any) -> tuple[Any, ...]:
    operands = strong_operands(args, params)
    jaxpr, num_carry, reverse = params["jaxpr"], params["num_carry"], params["reverse"]
    length = _length(operands, params)
    run, carry = prepared(jaxpr), operands.carry
    ys = [np.empty((length, *v.aval.shape), v.aval.dtype) for v in jaxpr.outputs[num_carry:]]
    slots = [np.empty((params["kept"], *v.aval.shape), v.aval.dtype) for v in jaxpr.outputs[:num_carry]]
    kept = {int(position): k for k, position in enumerate(*operands.positions)} if operands.positions else {}
    for i in range(length):
        if i in kept:
            for slot, x in zip(slots, carry, strict=True):
                slot[kept[i]] = x
        row = length - 1 - i if reverse else i
        outs = run(*operands.consts, *carry, *[x[row] for x in operands.xs])
        carry = outs[:num_carry]
        for y, part in zip(ys, outs[num_carry:], strict=True):
            y[row] = part
    return (*carry, *ys, *(slots if kept else ()))


def _length(operands: Operands, params: Params) -> int:
    return int(operands.number[0]) if params["length"] is None else params["length"]


def _steps_abstract(*xs: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    num_carry, length, kept = params["num_carry"], params["length"], params["kept"]
    carry, ys = params["jaxpr"].out_avals[:num_carry], params["jaxpr"].out_avals[num_carry:]
    stacked = [(y, length) for y in ys] + [(x, kept) for x in carry if kept]
    rows = [ShapedArray((size, *x.shape), x.dtype) for x, size in stacked]
    return (*[ShapedArray(x.shape, x.dtype) for x in carry], *rows)


def _steps_push(operands: Operands, x_dots: Sequence[Any], active: tuple[bool, ...], params: Params) -> list[Any]:
    """The tangents of the carry and the ys (None: zero), given those of consts, carry and xs."""
    pairs = _pairs_of(operands, x_dots, active, params)
    results = bind(steps_p, *pairs.operands, **pairs.params)
    num_carry, count = params["num_carry"], sum(pairs.active_results[: params["num_carry"]])
    _, carry_dots, rows = grouped(results, num_carry, count)
    y_dots = rows[len(params["jaxpr"].outputs) - num_carry :]
    return spread([*carry_dots, *y_dots], pairs.active_results)


class _Pairs(NamedTuple):
    """The loop over pairs of value and tangent.

    Attributes:
        params: Its parameters.
        operands: Its operands.
        active: Which of the loop's consts, carried values and xs have tangents in it.
        active_results: Which of its carried values and ys have.
        num_values: How many operands precede the consts.
    """

    params: Params
    operands: list[Any]
    active: tuple[bool, ...]
    active_results: tuple[bool, ...]
    num_values: int


def _pairs_of(operands: Operands, x_dots: Sequence[Any], first: tuple[bool, ...], params: Params) -> _Pairs:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    body, active = scan_pairs(jaxpr, first, num_consts, num_carry)
    triples = list(zip(operands.body, x_dots, active, strict=True))
    all_operands: list[Any] = [*operands.number, *body.values]
    for group in grouped(triples, num_consts, num_carry):
        all_operands += [x for x, _, _ in group]
        all_operands += [settled(x_dot, tangent_aval(x)) for x, x_dot, yes in group if yes]
    counts = [sum(part) for part in grouped(active, num_consts, num_carry)]
    sizes = {"num_consts": len(body.values) + num_consts + counts[0], "num_carry": num_carry + counts[1]}
    carry_active = active[num_consts : num_consts + num_carry]
    return _Pairs(
        loop_params(params, jaxpr=body.jaxpr, kept=0, **sizes),
        all_operands,
        active,
        (*carry_active, *active_outputs(jaxpr, active)[num_carry:]),
        len(body.values),
    )


def _steps_inline(*args: Any, **params: Any) -> Any:
    """A loop whose derivative is wanted."""
    lowered = Lowered(args)
    operands, active = by_kind(lowered.values, params), tuple(by_kind(lowered.active, params).body)
    if not any(active):
        return bind(steps_p, *lowered.values, **params)
    count = len(params["jaxpr"].outputs)
    if lowered.recording.abstract:
        check_linear(params["jaxpr"], active_carry(params["jaxpr"], active, params["num_consts"], params["num_carry"]))
        results = _steps_abstract(*map(get_aval, lowered.values), **params)
    elif params["kept"] or params["length"] is None or lowered.forward_only:
        results = bind(steps_p, *lowered.values, **params)
    else:
        kept = kept_positions(params["length"], params["states"])
        positions = np.array(kept, np.int64)
        known = bind(steps_p, positions, *lowered.values, **{**params, "kept": len(kept)})
        results, slots = known[:count], known[count:]
        operands = operands._replace(positions=[positions], slots=slots)
    if params["kept"]:
        operands = operands._replace(slots=results[count:])
    operands = _valued(operands)

    def push(tangents: Sequence[Any]) -> list[Any]:
        dots = _steps_push(operands, spread(tangents, active), active, params)
        return [*dots, *[None for _ in results[count:]]]

    def pull(cts: Sequence[Any]) -> Sequence[Any]:
        return steps_transpose(operands, cts[:count], params, active)

    return lowered.record(_steps_equation, results, push, pull)


def _valued(operands: Operands) -> Operands:
    return Operands(*[list(map(valued, group)) for group in operands])


def _steps_vjp(cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params) -> list[Any]:
    # In a recording without values the loop is linear in its operands without values.
    active = tuple([number is not None for number in by_kind(ids, params).body])
    check_linear(params["jaxpr"], active_carry(params["jaxpr"], active, params["num_consts"], params["num_carry"]))
    operands = _valued(by_kind(xs, params))._replace(positions=())
    x_cts = steps_transpose(operands, cts[: len(params["jaxpr"].outputs)], params, active)
    idle = (None,) * (len(xs) - len(active))
    return [*idle, *spread(x_cts, active)]


# steps_transpose: cotangents of consts, carry and xs, given those of the results --------------------------------------


def steps_transpose(operands: Operands, cts: Sequence[Any], params: Params, first: tuple[bool, ...]) -> Sequence[Any]:
    """The cotangents of the operands in `first`, given those of the carry and the ys (None: zero).

    Args:
        operands: With states kept, if there are.
    """
    jaxpr, num_carry = params["jaxpr"], params["num_carry"]
    chosen = chosen_results(jaxpr, first, params["num_consts"], num_carry)
    length = params["length"]
    ct_carry = [
        settled(ct, tangent_aval(v.aval))
        for ct, v, yes in zip(cts[:num_carry], jaxpr.outputs[:num_carry], chosen[:num_carry], strict=True)
        if yes
    ]
    given = [
        None if ct is None else settled(ct, ShapedArray((length, *v.aval.shape), v.aval.dtype))
        for ct, v, yes in zip(cts[num_carry:], jaxpr.outputs[num_carry:], chosen[num_carry:], strict=True)
        if yes
    ]
    operands = operands._replace(cts=[*ct_carry, *[ct for ct in given if ct is not None]])
    kept = get_aval(operands.positions[0]).shape[0] if operands.positions else 0
    return bind(
        steps_transpose_p,
        *[x for group in operands for x in group],
        **loop_params(params, kept=kept),
        first=first,
        given=tuple([ct is not None for ct in given]),
    )


def _transpose_implementation(
    *args: Any, first: tuple[bool, ...], given: tuple[bool, ...], **params: Any
) -> tuple[Any, ...]:
    operands = strong_operands(args, params)
    jaxpr, num_consts, num_carry, states = (params[name] for name in ("jaxpr", "num_consts", "num_carry", "states"))
    split = split_body(jaxpr, first, num_consts, num_carry)
    backward = backward_step(split, given)
    advance, back = prepared(advancing(jaxpr, num_carry)), prepared(backward.jaxpr)
    length, consts, xs = _length(operands, params), operands.consts, operands.xs
    known = (*backward.values, *split.invariant_residuals(consts))
    ct_carry, ct_ys = grouped(operands.cts, split.num_carry)
    cts: Sequence[Any] = [*[settled(None, x) for x in _const_avals(split)], *ct_carry]
    rows = [np.empty(get_aval(x).shape, get_aval(x).dtype) for x in picked(xs, split.active[num_consts + num_carry :])]
    kept = [int(position) for position in operands.positions[0]] if operands.positions else [0]
    stack = [(p, tuple([slot[k] for slot in operands.slots]) or tuple(operands.carry)) for k, p in enumerate(kept)]
    end = length
    while end:
        position, carry = stack[-1]
        target = position + distance(end - position, states - len(stack) + 1)
        for i in range(position, target):
            row = length - 1 - i if params["reverse"] else i
            carry = advance(*consts, *carry, *[x[row] for x in xs])
        if target < end - 1:
            stack.append((target, carry))
            continue
        if target == position:
            stack.pop()
        end -= 1
        row = length - 1 - end if params["reverse"] else end
        x_rows, ct_rows = [x[row] for x in xs], [ct[row] for ct in ct_ys]
        outs = back(*known, *cts, *consts, *carry, *x_rows, *ct_rows)
        cts = outs[: len(cts)]
        for x_ct, part in zip(rows, outs[len(cts) :], strict=True):
            x_ct[row] = part
    return tuple(picked(spread([*cts, *rows], split.active), first))


def _const_avals(split: Split) -> list[ShapedArray]:
    start = len(split.invariants)
    return split.tangent.in_avals[start : start + split.num_consts]


def _transpose_abstract(
    *xs: ShapedArray, first: tuple[bool, ...], given: tuple[bool, ...], **params: Any
) -> tuple[ShapedArray, ...]:
    return tuple([tangent_aval(x) for x in picked(by_kind(xs, params).body, first)])


class _Pullback:
    """A pullback's own derivatives: see the module's docstring.

    Args:
        args: Operands of `steps_transpose`.
        active: Which of them have a derivative.
    """

    def __init__(self, args: Sequence[Any], active: Sequence[bool], params: Params) -> None:
        self.params, self.first, self.active = params, params["first"], active
        operands = by_kind(args, params)
        self.operands = operands._replace(positions=(), slots=())
        moving = by_kind(active, params)
        self.moving, self.moving_cts = tuple(moving.body), moving.cts
        self.skipped, self.slots = len(operands.number) + len(operands.positions), len(operands.slots)
        self.idle = [None] * sum(moving.slots)
        jaxpr, num_carry = params["jaxpr"], params["num_carry"]
        chosen = chosen_results(jaxpr, self.first, params["num_consts"], num_carry)
        given = spread(params["given"], chosen[num_carry:])
        # Which results have a cotangent among the operands.
        self.known = (*chosen[:num_carry], *[bool(yes) for yes in given])

    def push(self, tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the results, given those of the active operands."""
        x_dots, ct_dots = grouped(spread(tangents, self.active)[self.skipped :], len(self.moving), self.slots)[::2]
        return self._second(x_dots, self.moving, spread(ct_dots, self.known), self.first)

    def pull(self, w: Sequence[Any]) -> list[Any]:
        """The cotangents of the active operands, given those of the results."""
        x_dots = spread(w, self.first)
        x_cts: Sequence[Any] = ()
        if any(self.moving):
            x_cts = self._second(x_dots, self.first, [None] * len(self.known), self.moving)
        cts: Sequence[Any] = ()
        if any(self.moving_cts):
            dots = _steps_push(self.operands, x_dots, self.first, self.params)
            cts = picked(picked(dots, self.known), self.moving_cts)
        return [*x_cts, *self.idle, *cts]

    def _second(
        self, x_dots: Sequence[Any], active: tuple[bool, ...], ct_dots: Sequence[Any], wanted: tuple[bool, ...]
    ) -> Sequence[Any]:
        """T_G((x, x_dots), (ct_dots, ct)), the part of x that is wanted."""
        num_consts, num_carry = self.params["num_consts"], self.params["num_carry"]
        pairs = _pairs_of(self.operands, x_dots, active, self.params)
        known = spread(self.operands.cts, self.known)
        carry_dots, y_dots = ct_dots[:num_carry], ct_dots[num_carry:]
        carry, ys = (
            picked(known[:num_carry], pairs.active_results[:num_carry]),
            picked(known[num_carry:], pairs.active_results[num_carry:]),
        )
        flags = [False] * pairs.num_values
        for part, dots in zip(
            grouped(wanted, num_consts, num_carry), grouped(pairs.active, num_consts, num_carry), strict=True
        ):
            flags += [*part, *[False] * sum(dots)]
        operands = by_kind(pairs.operands, pairs.params)
        return steps_transpose(operands, [*carry_dots, *carry, *y_dots, *ys], pairs.params, tuple(flags))


def _transpose_inline(*args: Any, **params: Any) -> Any:
    """A pullback whose derivative is wanted."""
    lowered = Lowered(args)
    if not any(lowered.active):
        return bind(steps_transpose_p, *lowered.values, **params)
    derivative = _Pullback(list(map(valued, lowered.values)), lowered.active, params)
    if lowered.recording.abstract:
        results: Sequence[Any] = _transpose_abstract(*map(get_aval, lowered.values), **params)
    else:
        results = bind(steps_transpose_p, *lowered.values, **params)
    return lowered.record(_steps_equation, results, derivative.push, derivative.pull)


def _transpose_vjp(
    ws: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params
) -> list[Any]:
    # In a recording without values the pullback is linear in its operands without values.
    active = [number is not None for number in ids]
    return spread(_Pullback(list(map(valued, xs)), active, params).pull(ws), active)


# Batching -------------------------------------------------------------------------------------------------------------


def _steps_batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    operands = by_kind(args, params)
    rows = batched_steps(size, operands, by_kind(dims, params), params, [False] * len(operands.body))
    added, num_carry = rows.added[1], rows.params["num_carry"]
    results = bind(steps_p, *[x for group in rows.operands for x in group], **rows.params)
    later = [None if dim is None else 1 for dim in (*rows.out_dims[num_carry:], *rows.out_dims[:num_carry])]
    out_dims = [*rows.out_dims[:num_carry], *later][: len(results)]
    return results[added:], out_dims[added:]


def _transpose_batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    loop, first = loop_params(params), params["first"]
    operands, all_dims = by_kind(args, loop), by_kind(dims, loop)
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    active = active_carry(params["jaxpr"], first, num_consts, num_carry)
    rows = batched_steps(size, operands, all_dims, loop, active)
    count = sum(active[num_consts : num_consts + num_carry])
    cts = [
        placed(ct, dim, size, 0 if i < count else 1)
        for i, (ct, dim) in enumerate(zip(operands.cts, all_dims.cts, strict=True))
    ]
    consts, carry = rows.params["num_consts"] - num_consts, rows.added[1]
    new_first = (*(False,) * consts, *first[:num_consts], *(False,) * carry, *first[num_consts:])
    all_operands = rows.operands._replace(cts=cts)
    results = bind(
        steps_transpose_p,
        *[x for group in all_operands for x in group],
        **rows.params,
        first=new_first,
        given=params["given"],
    )
    axes = [0] * (num_consts + num_carry) + [1] * (len(first) - num_consts - num_carry)
    return results, picked(axes, first)


_steps_equation = derivative_equation("steps")

steps_p = Primitive(
    "steps",
    implementation=_steps_implementation,
    abstract=_steps_abstract,
    batch=_steps_batch,
    inline=_steps_inline,
    vjp=_steps_vjp,
    effort=rounds_effort,
    is_linear=lambda active: True,  # its body is looked at when it is transposed
    multiple_results=True,
)

steps_transpose_p = Primitive(
    "steps_transpose",
    implementation=_transpose_implementation,
    abstract=_transpose_abstract,
    batch=_transpose_batch,
    inline=_transpose_inline,
    vjp=_transpose_vjp,
    effort=rounds_effort,
    is_linear=lambda active: True,
    multiple_results=True,
)


def steps(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    states: int,
) -> tuple[list[Any], list[Any]]:
    """`scan`, of whose states derivatives keep so many at a time, the first one among them."""
    results = bind(
        steps_p,
        *consts,
        *carry,
        *xs,
        jaxpr=jaxpr,
        length=length,
        reverse=reverse,
        num_consts=len(consts),
        num_carry=len(carry),
        states=max(1, min(states, length)),
        kept=0,
    )
    return list(results[: len(carry)]), list(results[len(carry) :])
