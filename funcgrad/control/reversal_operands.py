"""The operands of `steps` and `steps_transpose`, and what their body is made into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.derived import Closed, active_carry, active_outputs, closed, derived, restricted
from funcgrad.control.scan import strong
from funcgrad.control.splitting import Split, grouped, transposed_body
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.transforms.evaluate import evaluate, record_abstract

Params = dict[str, Any]
COUNT = ShapedArray((), np.int64)


class Operands(NamedTuple):
    """Operands of `steps` and `steps_transpose`, by kind.

    Attributes:
        number: The number of steps, where it is no parameter.
        positions: Before which steps a state is kept, where some are.
        slots: These states, one array for each carried value.
        cts: Cotangents of the active carry, and of the active ys that have one.
    """

    number: Sequence[Any]
    positions: Sequence[Any]
    consts: Sequence[Any]
    carry: Sequence[Any]
    xs: Sequence[Any]
    slots: Sequence[Any] = ()
    cts: Sequence[Any] = ()

    @property
    def body(self) -> list[Any]:
        """Those that the body has."""
        return [*self.consts, *self.carry, *self.xs]


def by_kind(args: Sequence[Any], params: Params) -> Operands:
    """The operands by kind."""
    consts, carry, kept = params["num_consts"], params["num_carry"], params["kept"] > 0
    rows = len(params["jaxpr"].inputs) - consts - carry
    groups = grouped(args, params["length"] is None, kept, consts, carry, rows, carry if kept else 0)
    return Operands(*groups)


def strong_operands(args: Sequence[Any], params: Params) -> Operands:
    """The operands by kind, Python's numbers as NumPy's of the types that the body expects."""
    operands = by_kind(args, params)
    body = [strong(x, v.aval) for x, v in zip(operands.body, params["jaxpr"].inputs, strict=True)]
    consts, carry, xs = grouped(body, params["num_consts"], params["num_carry"])
    return operands._replace(consts=consts, carry=carry, xs=xs)


def loop_params(params: Params, **changed: Any) -> Params:
    """The parameters of a `steps` like those of `steps_transpose`, or changed."""
    names = ("jaxpr", "length", "reverse", "num_consts", "num_carry", "states", "kept")
    return {name: params[name] for name in names} | changed


def advancing(jaxpr: Jaxpr, num_carry: int) -> Jaxpr:
    """A body without what only its ys need."""
    return derived(
        jaxpr, ("advancing", num_carry), lambda jaxpr: restricted(jaxpr, jaxpr.inputs, jaxpr.outputs[:num_carry])
    )


def chosen_results(jaxpr: Jaxpr, first: tuple[bool, ...], num_consts: int, num_carry: int) -> tuple[bool, ...]:
    """Which results (carry, then ys) have derivatives in the end, given which operands have."""
    active = active_carry(jaxpr, first, num_consts, num_carry)
    return (*active[num_consts : num_consts + num_carry], *active_outputs(jaxpr, active)[num_carry:])


def backward_step(split: Split, given: tuple[bool, ...]) -> Closed:
    """One step backwards: (invariants; cts of consts so far, cts of carry; consts, carry, x; cts of ys given) to
    (cts of consts, cts of carry, cts of x)."""
    return derived(split.tangent, ("step", given), lambda _: _backward_step(split, given))


def _backward_step(split: Split, given: tuple[bool, ...]) -> Closed:
    transposed, known = transposed_body(split, given), split.known.jaxpr
    own = known.inputs[len(split.known.values) :]
    sizes = len(transposed.values), len(split.invariants), split.num_consts + split.num_carry
    _, invariants, cts, rest = grouped(transposed.jaxpr.in_avals, *sizes)

    def step(*args: Any) -> list[Any]:
        invariant, ct, operands, ct_ys = grouped(args, len(invariants), len(cts), len(own))
        outs = evaluate(known, [*split.known.values, *operands])
        rows = split.row_residuals(operands, outs[len(split.result_active) :])
        return evaluate(transposed.jaxpr, [*transposed.values, *invariant, *ct, *rows, *ct_ys])

    avals = [*invariants, *cts, *[v.aval for v in own], *rest[len(split.rows) :]]
    made = closed(record_abstract("transpose", step, avals))
    return Closed(restricted(made.jaxpr, made.jaxpr.inputs, made.jaxpr.outputs), made.values)
