"""Loops over pairs of value and tangent: forward mode that keeps nothing from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from funcgrad.control.derived import Closed, active_carry, active_outputs, closed, derived, picked, settled
from funcgrad.control.splitting import grouped
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import tangent_aval

Params = dict[str, Any]


class Operands(NamedTuple):
    """A loop's operands by kind."""

    cond_consts: Sequence[Any]
    consts: Sequence[Any]
    carry: Sequence[Any]
    cts: Sequence[Any] = ()


def by_kind(args: Sequence[Any], params: Params) -> Operands:
    """The operands of a loop or its pullback, by kind."""
    cond_consts, consts, rest = grouped(args, params["num_cond_consts"], params["num_body_consts"])
    num_carry = len(params["body_jaxpr"].outputs)
    return Operands(cond_consts, consts, rest[:num_carry], rest[num_carry:])


class Pairs(NamedTuple):
    """The loop over pairs of a loop.

    Attributes:
        params: Its parameters.
        values: The constants of its body.
        active: Which of the loop's consts and carry have tangents in it.
    """

    params: Params
    values: tuple[Any, ...]
    active: tuple[bool, ...]

    def operands(self, xs: Operands, x_dots: Sequence[Any]) -> list[Any]:
        """Its operands, given the loop's own and tangents for consts and carry (None: zero)."""
        dots = [
            settled(x_dot, tangent_aval(x))
            for x, x_dot, yes in zip([*xs.consts, *xs.carry], x_dots, self.active, strict=True)
            if yes
        ]
        count = sum(self.active[: len(xs.consts)])
        return [*xs.cond_consts, *self.values, *xs.consts, *dots[:count], *xs.carry, *dots[count:]]


def pairs_of(params: Params, first: tuple[bool, ...]) -> Pairs:
    """The loop over pairs, given which of a loop's consts and carried values have tangents in the first step."""
    cond, body, num_consts = params["cond_jaxpr"], params["body_jaxpr"], params["num_body_consts"]
    active = active_carry(body, first, num_consts, len(body.outputs))
    pair_body = derived(body, ("pairs", active), lambda body: _pair_body(body, active, num_consts))
    carry = picked(body.inputs[num_consts:], active[num_consts:])
    avals = tuple(tangent_aval(v.aval) for v in carry)
    pair_cond = derived(
        cond, ("pairs", avals), lambda cond: Jaxpr([*cond.inputs, *map(Var, avals)], (), cond.equations, cond.outputs)
    )
    count = num_consts + sum(active[:num_consts]) + len(pair_body.values)
    pair_params = {**params, "cond_jaxpr": pair_cond, "body_jaxpr": pair_body.jaxpr, "num_body_consts": count}
    return Pairs(pair_params, pair_body.values, active)


def _pair_body(body: Jaxpr, active: Sequence[bool], num_consts: int) -> Closed:
    """(consts, their dots; carry, its dots) to (carry, its dots)."""
    variables = body.inputs
    const_dots, carry_dots = (
        picked(variables[:num_consts], active[:num_consts]),
        picked(variables[num_consts:], active[num_consts:]),
    )
    sizes = num_consts, len(const_dots), len(variables) - num_consts

    def pairs(*args: Any) -> list[Any]:
        consts, const_dots, carry, carry_dots = grouped(args, *sizes)
        xs = [*consts, *carry]

        def moving(*chosen: Any) -> list[Any]:
            new = iter(chosen)
            return evaluate(body, [next(new) if yes else x for x, yes in zip(xs, active, strict=True)])

        ys, y_dots = jvp(moving, picked(xs, active), [*const_dots, *carry_dots])
        kept = picked(zip(ys, y_dots, strict=True), active[num_consts:])
        return [*ys, *[settled(y_dot, tangent_aval(y)) for y, y_dot in kept]]

    order = [*variables[:num_consts], *const_dots, *variables[num_consts:], *carry_dots]
    dot_start = len(order) - len(carry_dots)
    avals = [
        tangent_aval(v.aval) if num_consts <= i < num_consts + len(const_dots) or i >= dot_start else v.aval
        for i, v in enumerate(order)
    ]
    return closed(record_abstract("jvp", pairs, avals))


def scan_pairs(
    jaxpr: Jaxpr, first: tuple[bool, ...], num_consts: int, num_carry: int
) -> tuple[Closed, tuple[bool, ...]]:
    """The body over pairs of a scan's body, and which inputs have tangents.

    From (consts, their dots; carry, its dots; x, its dots) to (carry, its dots; ys, their dots): dots are tangents.
    """
    active = active_carry(jaxpr, first, num_consts, num_carry)
    return derived(
        jaxpr, ("scan pairs", active), lambda jaxpr: _scan_pairs(jaxpr, active, num_consts, num_carry)
    ), active


def _scan_pairs(jaxpr: Jaxpr, active: Sequence[bool], num_consts: int, num_carry: int) -> Closed:
    parts = grouped(list(zip(jaxpr.inputs, active, strict=True)), num_consts, num_carry)
    sizes = [size for part in parts for size in (len(part), sum(yes for _, yes in part))]
    carry_active = active[num_consts : num_consts + num_carry]
    ys_active = active_outputs(jaxpr, active)[num_carry:]

    def pairs(*args: Any) -> list[Any]:
        groups = grouped(args, *sizes[:-1])
        xs = [x for values in groups[::2] for x in values]
        dots = [x for tangents in groups[1::2] for x in tangents]

        def moving(*chosen: Any) -> list[Any]:
            new = iter(chosen)
            return evaluate(jaxpr, [next(new) if yes else x for x, yes in zip(xs, active, strict=True)])

        ys, y_dots = jvp(moving, picked(xs, active), dots)
        full = [settled(y_dot, tangent_aval(y)) for y, y_dot in zip(ys, y_dots, strict=True)]
        carry_dots, row_dots = picked(full[:num_carry], carry_active), picked(full[num_carry:], ys_active)
        return [*ys[:num_carry], *carry_dots, *ys[num_carry:], *row_dots]

    avals = []
    for part in parts:
        avals += [v.aval for v, _ in part]
        avals += [tangent_aval(v.aval) for v, yes in part if yes]
    return closed(record_abstract("jvp", pairs, avals))
