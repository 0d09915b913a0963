"""`steps` and `steps_transpose` as loops of other primitives: what compiled code runs.

The states kept lie in the rows of arrays that the loops carry and update in place. One loop does all: it goes forwards
from the last state kept by the distance that the schedule says, and then either keeps the state or takes a step
backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.control.cond import cond
from funcgrad.control.constants import without_constants
from funcgrad.control.derived import Closed, closed, derived, picked, settled
from funcgrad.control.reversal_operands import Operands, Params, advancing, backward_step, by_kind
from funcgrad.control.scan import scan
from funcgrad.control.splitting import grouped, split_body, spread
from funcgrad.control.while_loop import while_loop
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.primitives.arithmetic import add, floor_divide, maximum, minimum, multiply, subtract
from funcgrad.primitives.comparison import equal, less
from funcgrad.primitives.index import ARRAY, Index
from funcgrad.primitives.indexing import gather
from funcgrad.primitives.masking import select
from funcgrad.primitives.scattering import scatter_set
from funcgrad.primitives.shaping import concatenate, slice_axis
from funcgrad.primitives.structural import broadcast_to, cast, reshape
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import tangent_aval

_ROW = Index((ARRAY,), (ARRAY,))
_ONE = np.int64(1)
_ZERO = np.int64(0)


def steps_equations(params: Params) -> Jaxpr | None:
    """The jaxpr that computes `steps` with these parameters; None if it would be too long."""
    what = "steps", *[params[name] for name in ("length", "reverse", "num_consts", "num_carry", "kept")]
    return derived(params["jaxpr"], what, lambda jaxpr: _recorded(_steps, jaxpr, params, []))


def transpose_equations(params: Params) -> Jaxpr | None:
    """The jaxpr that computes `steps_transpose` with these parameters; None if it would be too long."""
    names = ("length", "reverse", "num_consts", "num_carry", "states", "kept", "first", "given")
    what = "steps_transpose", *[params[name] for name in names]
    return derived(params["jaxpr"], what, lambda jaxpr: _recorded(_transpose, jaxpr, params, _ct_avals(jaxpr, params)))


def _ct_avals(jaxpr: Jaxpr, params: Params) -> list[ShapedArray]:
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    split = split_body(jaxpr, params["first"], num_consts, num_carry)
    results = picked(jaxpr.outputs, split.result_active)
    ys = picked(results[split.num_carry :], params["given"])
    return [
        *[tangent_aval(v.aval) for v in results[: split.num_carry]],
        *[ShapedArray((params["length"], *v.aval.shape), v.aval.dtype) for v in ys],
    ]


def _recorded(
    function: Callable[[Operands, Params], list[Any]], jaxpr: Jaxpr, params: Params, ct_avals: Sequence[ShapedArray]
) -> Jaxpr | None:
    """A function of the operands as a jaxpr of them."""
    consts, carry, xs = grouped(jaxpr.in_avals, params["num_consts"], params["num_carry"])
    kept, number = params["kept"], ShapedArray((), np.int64)
    positions = [ShapedArray((kept,), np.int64)] if kept else []
    is_pullback = "first" in params
    slots = [ShapedArray((kept, *x.shape), x.dtype) for x in carry] if kept and is_pullback else []
    rows = [ShapedArray((params["length"], *x.shape), x.dtype) for x in xs]
    count = [number] if params["length"] is None else []
    # The same body in another object: what is derived of a jaxpr is not to keep it alive.
    same = {**params, "jaxpr": Jaxpr(jaxpr.inputs, jaxpr.constants, jaxpr.equations, jaxpr.outputs)}
    avals = [*count, *positions, *consts, *carry, *rows, *slots, *ct_avals]
    return without_constants(record_abstract("steps", lambda *args: function(by_kind(args, same), same), avals))


def _row(x: Any, i: Any) -> Any:
    return gather(x, _ROW, i)


def _with_row(x: Any, i: Any, row: Any) -> Any:
    return scatter_set(x, row, _ROW, i)


def _while(
    going: Callable[..., Any],
    step: Callable[..., list[Any]],
    consts: Sequence[Any],
    carry: Sequence[Any],
) -> list[Any]:
    """A while loop of functions of (consts, carry)."""
    avals = [get_aval(x) for x in (*consts, *carry)]
    body = closed(record_abstract("while_loop", step, avals))
    condition = closed(record_abstract("while_loop", lambda *xs: [going(*xs)], avals))
    assert not condition.values
    return while_loop(condition.jaxpr, body.jaxpr, consts, [*body.values, *consts], carry)


def _steps(operands: Operands, params: Params) -> list[Any]:
    if params["length"] is None:
        return _counted(operands, params)
    if not params["kept"]:
        arguments = operands.consts, operands.carry, operands.xs, params["length"], params["reverse"]
        carry, ys = scan(params["jaxpr"], *arguments)
        return [*carry, *ys]
    return _keeping(operands, params)


def _counted(operands: Operands, params: Params) -> list[Any]:
    num_consts, jaxpr = params["num_consts"], params["jaxpr"]

    def step(*args: Any) -> list[Any]:
        _, consts, done, carry = grouped(args, 1, num_consts, 1)
        return [add(done[0], _ONE), *evaluate(jaxpr, [*consts, *carry])]

    def going(*args: Any) -> Any:
        return less(args[1 + num_consts], args[0])

    return _while(going, step, [*operands.number, *operands.consts], [_ZERO, *operands.carry])[1:]


def _keeping(operands: Operands, params: Params) -> list[Any]:
    """A scan that keeps states: in each step the state is put into a row, that of no use where it is not kept."""
    jaxpr, num_consts, num_carry, kept = (params[name] for name in ("jaxpr", "num_consts", "num_carry", "kept"))
    length, reverse = params["length"], params["reverse"]

    def step(*args: Any) -> list[Any]:
        (positions,), consts, (done, count), old_slots, rest = grouped(args, 1, num_consts, 2, num_carry)
        carry, xs = grouped(rest, num_carry)
        following = _row(positions, minimum(count, np.int64(kept - 1)))
        keeps = equal(done, following)
        row = select(keeps, count, np.int64(kept))
        slots = [_with_row(slot, row, x) for slot, x in zip(old_slots, carry, strict=True)]
        outs = evaluate(jaxpr, [*consts, *carry, *xs])
        return [add(done, _ONE), add(count, cast(keeps, np.int64)), *slots, *outs]

    slots = [broadcast_to(x.dtype.type(0), (kept + 1, *x.shape)) for x in map(get_aval, operands.carry)]
    consts, carry = [*operands.positions, *operands.consts], [_ZERO, _ZERO, *slots, *operands.carry]
    rows = [ShapedArray(get_aval(x).shape[1:], get_aval(x).dtype) for x in operands.xs]
    body = closed(record_abstract("scan", step, [*map(get_aval, consts), *map(get_aval, carry), *rows]))
    last, ys = scan(body.jaxpr, [*body.values, *consts], carry, operands.xs, length, reverse)
    _, kept_slots, results = grouped(last, 2, num_carry)
    return [*results, *ys, *[slice_axis(slot, 0, 0, kept) for slot in kept_slots]]


def _distance(length: Any, states: Any) -> Any:
    """`binomial.distance` of traced numbers."""

    def going(length: Any, states: Any, reached: Any, runs: Any) -> Any:
        return less(reached, length)

    def more(length: Any, states: Any, reached: Any, runs: Any) -> list[Any]:
        runs = add(runs, _ONE)
        return [floor_divide(multiply(reached, add(states, runs)), runs), runs]

    reached, runs = _while(going, more, [length, states], [_ONE, _ZERO])
    before = floor_divide(multiply(reached, runs), add(states, runs))
    fewest = floor_divide(multiply(before, subtract(runs, _ONE)), maximum(subtract(add(states, runs), _ONE), _ONE))
    furthest = subtract(length, subtract(reached, before))
    return maximum(maximum(fewest, furthest), minimum(subtract(length, _ONE), _ONE))


class _Backwards:
    """The loop that goes backwards, given its parameters and operands.

    Its constants are (the number of steps; residuals that are the same in all steps, consts; xs, cts of ys); it carries
    (the number of steps left, the number of states kept less one; their positions, the states; cts of consts and carry,
    cts of xs).
    """

    def __init__(self, operands: Operands, params: Params) -> None:
        self.params, self.operands = params, operands
        self.num_carry = params["num_carry"]
        self.split = split_body(params["jaxpr"], params["first"], params["num_consts"], self.num_carry)
        self.backward: Closed = backward_step(self.split, params["given"])
        self.known = [*self.backward.values, *self.split.invariant_residuals(operands.consts)]
        self.count = operands.number[0] if params["length"] is None else np.int64(params["length"])
        ct_carry, self.ct_ys = grouped(operands.cts, self.split.num_carry)
        start = len(self.split.invariants)
        totals = [settled(None, x) for x in self.split.tangent.in_avals[start : start + self.split.num_consts]]
        self.cts = [*totals, *ct_carry]
        self.x_active = self.split.active[params["num_consts"] + self.num_carry :]

    def run(self) -> list[Any]:
        """The cotangents of the active operands."""
        states, kept, operands = self.params["states"], self.params["kept"], self.operands
        positions = [broadcast_to(_ZERO, (states + 1 - kept,))]
        slots: list[Any] = []
        for k, x in enumerate(operands.carry):
            aval = get_aval(x)
            first = operands.slots[k] if kept else reshape(x, (1, *aval.shape))
            rest = broadcast_to(aval.dtype.type(0), (states + 1 - max(kept, 1), *aval.shape))
            slots.append(concatenate([first, rest]))
        rows = [settled(None, get_aval(x)) for x in picked(operands.xs, self.x_active)]
        carry = [
            self.count,
            np.int64(max(kept, 1) - 1),
            concatenate([*operands.positions, *positions]) if kept else positions[0],
            *slots,
            *self.cts,
            *rows,
        ]
        consts = [self.count, *self.known, *operands.consts, *operands.xs, *self.ct_ys]
        self.sizes = 1, len(self.known), len(operands.consts), len(operands.xs), len(self.ct_ys)
        results = _while(lambda *args: less(_ZERO, args[len(consts)]), self.step, consts, carry)
        _, _, found = grouped(results, 3, self.num_carry)
        return picked(spread(found, self.split.active), self.params["first"])

    def step(self, *args: Any) -> list[Any]:
        """One round: some steps forwards, and a state to keep or a step backwards."""
        (count,), known, consts, xs, ct_ys, rest = grouped(args, *self.sizes)
        (left, top, positions), slots, rest = grouped(rest, 3, self.num_carry)
        cts, rows = grouped(rest, len(self.cts))
        position, states = _row(positions, top), np.int64(self.params["states"])
        target = add(position, _distance(subtract(left, position), subtract(states, top)))
        state = self._forwards(count, consts, xs, [_row(slot, top) for slot in slots], position, target)
        backwards = equal(target, subtract(left, _ONE))
        row = self._row_of(count, target)
        outs = self._choose(backwards, known, cts, consts, state, [_row(x, row) for x in (*xs, *ct_ys)])
        taken, stays = cast(backwards, np.int64), cast(equal(target, position), np.int64)
        above = add(top, _ONE)
        return [
            subtract(left, taken),
            subtract(above, multiply(taken, add(_ONE, stays))),
            _with_row(positions, above, target),
            *[_with_row(slot, above, x) for slot, x in zip(slots, state, strict=True)],
            *outs[: len(cts)],
            *[_with_row(x, row, part) for x, part in zip(rows, outs[len(cts) :], strict=True)],
        ]

    def _row_of(self, count: Any, i: Any) -> Any:
        return subtract(subtract(count, _ONE), i) if self.params["reverse"] else i

    def _forwards(
        self, count: Any, consts: Sequence[Any], xs: Sequence[Any], state: Sequence[Any], start: Any, stop: Any
    ) -> list[Any]:
        jaxpr = advancing(self.params["jaxpr"], self.num_carry)
        sizes = 2, len(consts), len(xs), 1

        def step(*args: Any) -> list[Any]:
            (_, count), consts, xs, (i,), state = grouped(args, *sizes)
            row = self._row_of(count, i)
            return [add(i, _ONE), *evaluate(jaxpr, [*consts, *state, *[_row(x, row) for x in xs]])]

        def going(*args: Any) -> Any:
            return less(args[sum(sizes) - 1], args[0])

        return _while(going, step, [stop, count, *consts, *xs], [start, *state])[1:]

    def _choose(
        self,
        backwards: Any,
        known: Sequence[Any],
        cts: Sequence[Any],
        consts: Sequence[Any],
        state: Sequence[Any],
        rows: Sequence[Any],
    ) -> list[Any]:
        """Cotangents after a step backwards, and those of its row of xs; or the former, and zeros."""
        back = self.backward.jaxpr
        start = len(known)

        def keep(*args: Any) -> list[Any]:
            zeros = [settled(None, aval) for aval in back.out_avals[len(cts) :]]
            return [*args[start : start + len(cts)], *zeros]

        kept = closed(record_abstract("cond", keep, back.in_avals))
        taken = Jaxpr([*kept.jaxpr.inputs[: len(kept.values)], *back.inputs], (), back.equations, back.outputs)
        operands = [*kept.values, *known, *cts, *consts, *state, *rows]
        return cond(cast(backwards, np.int64), [kept.jaxpr, taken], operands)


def _transpose(operands: Operands, params: Params) -> list[Any]:
    return _Backwards(operands, params).run()
