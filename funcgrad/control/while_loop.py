"""The loop of unknown length: carry = body(consts, carry) while cond(consts, carry).

Forward mode is a loop over pairs of value and tangent, and keeps nothing. Reverse mode needs the steps backwards:

- Where nothing but derivatives is recorded around the loop, the values are there. The loop runs, its steps are
  counted, and what is differentiated is a `scan` of that many steps, to any order.
- Otherwise (in `vmap`, `jit` or another loop) the number of steps is not known while recording. The pullback is one
  primitive, `while_transpose`: it runs the loop again with residuals on a stack that grows, and then the transposed
  steps down the stack. The derivatives of this primitive are primitives of the same kind, of the loop over pairs G:
  with T(x, ct) = J(x)^T ct, symmetry of second derivatives gives
  T(x, ct)'(u, v) = T_G((x, u), (v, ct)), the part of x, and the cotangents of T for w are
  T_G((x, w), (0, ct)), the part of x, and J(x) w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.derived import (
    active_carry,
    closed,
    derived,
    only_differentiated,
    picked,
    settled,
    valued,
)
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.pairs import Operands, Params, by_kind, pairs_of
from funcgrad.control.running import prepared, while_effort
from funcgrad.control.scan import Steps, batched_body, batched_jaxpr, in_front, record_split, scan_p, strong
from funcgrad.control.splitting import Split, grouped, split_body, spread, transposed_body
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.tracing import Tracer, concrete
from funcgrad.primitives.extrema import reduce_any
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import reshape
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import tangent_aval


def _strong_operands(args: Sequence[Any], params: Params) -> Operands:
    cond_consts, consts, carry, cts = by_kind(args, params)
    cond: Jaxpr = params["cond_jaxpr"]
    body: Jaxpr = params["body_jaxpr"]
    inputs = [*cond.inputs[: len(cond_consts)], *body.inputs]
    xs = [strong(x, v.aval) for x, v in zip([*cond_consts, *consts, *carry], inputs, strict=True)]
    return by_kind([*xs, *cts], params)


def run_while(*args: Any, **params: Any) -> tuple[Any, ...]:
    """The loop of plain values."""
    cond_consts, consts, carry, _ = _strong_operands(args, params)
    cond, body = prepared(params["cond_jaxpr"]), prepared(params["body_jaxpr"])
    while cond(*cond_consts, *carry)[0]:
        carry = body(*consts, *carry)
    return tuple(carry)


def _while_abstract(*xs: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in params["body_jaxpr"].out_avals])


def _stacking(operands: Operands, split: Split, params: Params) -> tuple[Sequence[Any], list[list[Any]], int]:
    """The loop's results, what its known part stacked in each step, column by column, and the number of steps."""
    cond, body = prepared(params["cond_jaxpr"]), prepared(split.known.jaxpr)
    cond_consts, consts, carry, _ = operands
    num_carry, steps = len(carry), 0
    columns: list[list[Any]] = [[] for _ in split.known.jaxpr.outputs[num_carry:]]
    while cond(*cond_consts, *carry)[0]:
        outs = body(*split.known.values, *consts, *carry)
        carry = outs[:num_carry]
        for column, x in zip(columns, outs[num_carry:], strict=True):
            column.append(x)
        steps += 1
    return carry, columns, steps


# Derivatives --------------------------------------------------------------------------------------------------------


def _push(xs: Operands, x_dots: Sequence[Any], params: Params, first: tuple[bool, ...]) -> list[Any]:
    """The tangents of the carry, None where there is none, given those of consts and carry."""
    pairs = pairs_of(params, first)
    results = bind(while_p, *pairs.operands(xs, x_dots), **pairs.params)
    num_carry = len(xs.carry)
    return spread(results[num_carry:], pairs.active[len(xs.consts) :])


# while: carry = body(consts, carry) while cond(consts, carry) ---------------------------------------------------------


def _while_inline(*args: Any, **params: Any) -> Any:
    """A loop whose derivative is wanted."""
    lowered = Lowered(args)
    xs = by_kind(lowered.values, params)
    first = lowered.active[params["num_cond_consts"] :]
    if not any(first):
        return bind(while_p, *lowered.values, **params)
    if not lowered.forward_only and all(map(only_differentiated, lowered.values)):
        return _as_scan(args, lowered, first, params)
    if lowered.recording.abstract:
        results: Sequence[Any] = _while_abstract(**params)
    else:
        results = bind(while_p, *lowered.values, **params)
    active, skipped = lowered.active, params["num_cond_consts"]
    idle = [None] * sum(active[:skipped])  # cond's consts have no influence on derivatives

    def push(tangents: Sequence[Any]) -> list[Any]:
        return _push(xs, spread(tangents, active)[skipped:], params, first)

    def pull(cts: Sequence[Any]) -> list[Any]:
        return [*idle, *_pull(xs, cts, params, first)]

    return lowered.record(_while_equation, results, push, pull)


def _as_scan(args: Sequence[Any], lowered: Lowered, first: tuple[bool, ...], params: Params) -> Any:
    """A loop with values: it runs, and what is differentiated is a scan of so many steps."""
    if any(type(x) is Tracer for x in lowered.values):
        steps = count_steps(list(map(concrete, lowered.values)), params)
        xs = by_kind(args, params)
        body, num_consts = params["body_jaxpr"], params["num_body_consts"]
        return bind(
            scan_p,
            *xs.consts,
            *xs.carry,
            jaxpr=body,
            length=steps,
            reverse=False,
            num_consts=num_consts,
            num_carry=len(xs.carry),
        )
    operands = _strong_operands(lowered.values, params)
    split = split_body(params["body_jaxpr"], first, len(operands.consts), len(operands.carry))
    results, columns, steps = _stacking(operands, split, params)
    avals = split.known.jaxpr.out_avals[len(results) :]
    stacked = [_stack(column, aval) for column, aval in zip(columns, avals, strict=True)]
    residuals = split.residuals([*operands.consts, *operands.carry], stacked, len(operands.consts))
    return record_split(lowered, split, results, residuals, Steps(steps), len(operands.cond_consts))


def count_steps(args: Sequence[Any], params: Params) -> int:
    """How many steps the loop of plain values takes."""
    operands = _strong_operands(args, params)
    cond, body = prepared(params["cond_jaxpr"]), prepared(params["body_jaxpr"])
    carry, steps = operands.carry, 0
    while cond(*operands.cond_consts, *carry)[0]:
        carry = body(*operands.consts, *carry)
        steps += 1
    return steps


def _stack(column: list[Any], aval: ShapedArray) -> Any:
    """Rows one below the other; their memory is given back on the way."""
    rows = np.empty((len(column), *aval.shape), aval.dtype)
    column.reverse()
    for i in range(len(column)):
        rows[i] = column.pop()
    return rows


def _while_vjp(cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params) -> list[Any]:
    # In a recording without values the loop is linear in its operands without values.
    active = tuple(number is not None for number in ids)
    operands, skipped = by_kind(xs, params), params["num_cond_consts"]
    x_cts = _pull(operands, cts, params, active[skipped:])
    return [*(None,) * skipped, *spread(x_cts, active[skipped:])]


# while_transpose: cotangents of consts and carry, given those of the result -------------------------------------------


def _pull(xs: Operands, cts: Sequence[Any], params: Params, first: tuple[bool, ...]) -> Sequence[Any]:
    """The cotangents of the consts and carried values in `first`, given those of the results (None: zero)."""
    chosen = active_carry(params["body_jaxpr"], first, len(xs.consts), len(xs.carry))[len(xs.consts) :]
    full = [settled(ct, tangent_aval(x)) for ct, x, yes in zip(cts, xs.carry, chosen, strict=True) if yes]
    known = [valued(x) for x in (*xs.cond_consts, *xs.consts, *xs.carry)]
    return bind(while_transpose_p, *known, *full, **params, first=first)


def _transpose_implementation(*args: Any, first: tuple[bool, ...], **params: Any) -> tuple[Any, ...]:
    operands = _strong_operands(args, params)
    _, consts, carry, cts = operands
    split = split_body(params["body_jaxpr"], first, len(consts), len(carry))
    _, columns, steps = _stacking(operands, split, params)
    invariants, rows = split.residuals([*consts, *carry], columns, len(consts))
    body = transposed_body(split, ())
    run = prepared(body.jaxpr)
    totals = [
        settled(None, v.aval) for v in picked(params["body_jaxpr"].inputs[: len(consts)], split.active[: len(consts)])
    ]
    state: Sequence[Any] = (*totals, *cts)
    for _ in range(steps):
        state = run(*body.values, *invariants, *state, *[column.pop() for column in rows])
    return tuple(picked(spread(state, split.active), first))


def _transpose_abstract(*xs: ShapedArray, first: tuple[bool, ...], **params: Any) -> tuple[ShapedArray, ...]:
    operands = by_kind(xs, params)
    return tuple([tangent_aval(x) for x in picked([*operands.consts, *operands.carry], first)])


class _Pullback:
    """A pullback's own derivatives: see the module's docstring.

    Args:
        args: Operands of `while_transpose`.
        active: Which of them have a derivative.
        first: Of which of the loop's consts and carried values it gives the cotangents.
    """

    def __init__(self, args: Sequence[Any], active: Sequence[bool], params: Params, first: tuple[bool, ...]) -> None:
        self.xs, moving = by_kind(args, params), by_kind(active, params)
        self.active, self.params, self.first = active, params, first
        self.moving = (*moving.consts, *moving.carry)
        self.moving_cts = moving.cts
        self.idle = [None] * sum(moving.cond_consts)
        num_consts = len(self.xs.consts)
        self.chosen = active_carry(params["body_jaxpr"], first, num_consts, len(self.xs.carry))[num_consts:]

    def push(self, tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the results, given those of the active operands."""
        skipped = len(self.xs.cond_consts)
        x_dots, ct_dots = grouped(spread(tangents, self.active)[skipped:], len(self.moving))
        return self._second(x_dots, self.moving, spread(ct_dots, self.chosen), self.first)

    def pull(self, w: Sequence[Any]) -> list[Any]:
        """The cotangents of the active operands, given those of the results."""
        x_dots = spread(w, self.first)
        x_cts: Sequence[Any] = ()
        if any(self.moving):
            x_cts = self._second(x_dots, self.first, [None] * len(self.chosen), self.moving)
        cts = _push(self.xs, x_dots, self.params, self.first)
        return [*self.idle, *x_cts, *picked(picked(cts, self.chosen), self.moving_cts)]

    def _second(
        self, x_dots: Sequence[Any], active: tuple[bool, ...], cts: Sequence[Any], wanted: tuple[bool, ...]
    ) -> Sequence[Any]:
        """T_G((x, x_dots), (cts, ct)), the part of x that is wanted."""
        xs, pairs = self.xs, pairs_of(self.params, active)
        operands = by_kind(pairs.operands(xs, x_dots), pairs.params)
        num_consts = len(xs.consts)
        all_cts = [*cts, *picked(spread(xs.cts, self.chosen), pairs.active[num_consts:])]
        of_consts = [*(False,) * len(pairs.values), *wanted[:num_consts]]
        of_consts += [False] * (len(operands.consts) - len(of_consts))
        of_carry = [*wanted[num_consts:], *(False,) * (len(operands.carry) - len(xs.carry))]
        return _pull(operands, all_cts, pairs.params, (*of_consts, *of_carry))


def _transpose_inline(*args: Any, first: tuple[bool, ...], **params: Any) -> Any:
    """A pullback whose derivative is wanted."""
    lowered = Lowered(args)
    if not any(lowered.active):
        return bind(while_transpose_p, *lowered.values, **params, first=first)
    derivative = _Pullback(list(map(valued, lowered.values)), lowered.active, params, first)
    if lowered.recording.abstract:
        results: Sequence[Any] = _transpose_abstract(*map(get_aval, lowered.values), **params, first=first)
    else:
        results = bind(while_transpose_p, *lowered.values, **params, first=first)
    return lowered.record(_while_equation, results, derivative.push, derivative.pull)


def _transpose_vjp(
    ws: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params
) -> list[Any]:
    # In a recording without values the pullback is linear in its operands without values.
    loop = {name: value for name, value in params.items() if name != "first"}
    active = [number is not None for number in ids]
    return spread(_Pullback(list(map(valued, xs)), active, loop, params["first"]).pull(ws), active)


# Batching -------------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """A loop for all rows at once.

    Attributes:
        params: Its parameters.
        operands: Its operands.
        dims: Along which axis rows lie in the consts and carried values of the loop that it came from.
    """

    params: Params
    operands: list[Any]
    dims: Sequence[int | None]


def batched_loop(size: int, xs: Operands, dims: Operands, params: Params, whole: Sequence[bool]) -> _Rows:
    """The loop over all rows at once, until the last of them is done; rows that are done stay as they are.

    Args:
        whole: Which consts and carried values are to have rows in any case.
    """
    cond, body, num_carry = params["cond_jaxpr"], params["body_jaxpr"], len(xs.carry)
    num_consts = len(xs.consts)
    in_dims: Sequence[int | None] = [
        0 if dim is not None or yes else None for dim, yes in zip([*dims.consts, *dims.carry], whole, strict=True)
    ]
    cond_dims = [None if dim is None else 0 for dim in dims.cond_consts]
    batched, in_dims, _ = batched_body(body, size, in_dims, num_consts, num_carry)
    rows_cond, (pred_dim,) = batched_jaxpr(cond, size, (*cond_dims, *in_dims[num_consts:]), ())
    if pred_dim is not None:
        in_dims = (*in_dims[:num_consts], *(0,) * num_carry)
        batched, in_dims, _ = batched_body(body, size, in_dims, num_consts, num_carry)
        rows_cond, _ = batched_jaxpr(cond, size, (*cond_dims, *in_dims[num_consts:]), ())
    cond_consts = [*rows_cond.values, *_placed(xs.cond_consts, dims.cond_consts, cond_dims, size)]
    consts = [*batched.values, *_placed(xs.consts, dims.consts, in_dims[:num_consts], size)]
    carry = _placed(xs.carry, dims.carry, in_dims[num_consts:], size)
    new_cond, new_body = rows_cond.jaxpr, batched.jaxpr
    if pred_dim is not None:
        count = len(cond_consts)
        new_body = derived(
            new_body, ("frozen", new_cond), lambda body: _frozen(rows_cond.jaxpr, body, count, num_carry)
        )
        new_cond = derived(new_cond, "any", _any_row)
        consts = [*cond_consts, *consts]
    rows_params = {
        "cond_jaxpr": new_cond,
        "body_jaxpr": new_body,
        "num_cond_consts": len(cond_consts),
        "num_body_consts": len(consts),
    }
    return _Rows(rows_params, [*cond_consts, *consts, *carry], in_dims)


def _placed(xs: Sequence[Any], dims: Sequence[int | None], wanted: Sequence[int | None], size: int) -> list[Any]:
    return [x if to is None else in_front(x, dim, size) for x, dim, to in zip(xs, dims, wanted, strict=True)]


def _any_row(cond: Jaxpr) -> Jaxpr:
    jaxpr = closed(record_abstract("vmap", lambda *xs: [reduce_any(evaluate(cond, xs)[0], (0,))], cond.in_avals))
    assert not jaxpr.values
    return jaxpr.jaxpr


def _frozen(cond: Jaxpr, body: Jaxpr, num_cond_consts: int, num_carry: int) -> Jaxpr:
    """A step that leaves the rows alone whose condition does not hold any more."""
    num_consts = len(body.inputs) - num_carry

    def step(*xs: Any) -> list[Any]:
        cond_consts, consts, carry = grouped(xs, num_cond_consts, num_consts)
        (going,) = evaluate(cond, [*cond_consts, *carry])
        return [
            select(reshape(going, (going.shape[0], *(1,) * (len(old.shape) - 1))), new, old)
            for new, old in zip(evaluate(body, [*consts, *carry]), carry, strict=True)
        ]

    avals = [*cond.in_avals[:num_cond_consts], *body.in_avals]
    jaxpr = closed(record_abstract("vmap", step, avals))
    assert not jaxpr.values
    return jaxpr.jaxpr


def _while_batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    xs = by_kind(args, params)
    whole = (False,) * (len(xs.consts) + len(xs.carry))
    rows = batched_loop(size, xs, by_kind(dims, params), params, whole)
    return bind(while_p, *rows.operands, **rows.params), rows.dims[len(xs.consts) :]


def _transpose_batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    loop = {name: value for name, value in params.items() if name != "first"}
    first = params["first"]
    xs, all_dims = by_kind(args, loop), by_kind(dims, loop)
    num_consts = len(xs.consts)
    active = active_carry(loop["body_jaxpr"], first, num_consts, len(xs.carry))
    rows = batched_loop(size, xs, all_dims, loop, active)
    cts = [in_front(ct, dim, size) for ct, dim in zip(xs.cts, all_dims.cts, strict=True)]
    added = rows.params["num_body_consts"] - num_consts
    results = bind(while_transpose_p, *rows.operands, *cts, **rows.params, first=(*(False,) * added, *first))
    return results, [0] * len(results)


_while_equation = derivative_equation("while")

while_p = Primitive(
    "while",
    implementation=run_while,
    abstract=_while_abstract,
    batch=_while_batch,
    inline=_while_inline,
    vjp=_while_vjp,
    effort=while_effort,
    is_linear=lambda active: True,
    multiple_results=True,
)

while_transpose_p = Primitive(
    "while_transpose",
    implementation=_transpose_implementation,
    abstract=_transpose_abstract,
    batch=_transpose_batch,
    inline=_transpose_inline,
    vjp=_transpose_vjp,
    effort=while_effort,
    is_linear=lambda active: True,
    multiple_results=True,
)


def while_loop(
    cond: Jaxpr, body: Jaxpr, cond_consts: Sequence[Any], consts: Sequence[Any], carry: Sequence[Any]
) -> list[Any]:
    """The carry when cond, `(cond_consts, carry) -> bool`, fails; body is `(consts, carry) -> carry`."""
    return list(
        bind(
            while_p,
            *cond_consts,
            *consts,
            *carry,
            cond_jaxpr=cond,
            body_jaxpr=body,
            num_cond_consts=len(cond_consts),
            num_body_consts=len(consts),
        )
    )
