"""A loop's body in two parts: what is known without tangents, and what is linear in them; and the latter's transpose.

The known part gives the residuals that the linear part takes. Those that differ from step to step are stacked; rows of
the operands are taken as they are; what depends on consts alone is computed once, outside the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from funcgrad.control.derived import (
    Closed,
    active_carry,
    active_outputs,
    closed,
    derived,
    linearized,
    picked,
    pulled_back,
    restricted,
    settled,
)
from funcgrad.core.jaxpr import Atom, Jaxpr, Literal, Var
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import tangent_aval


class Split(NamedTuple):
    """A loop's body `(consts, carry, x) -> (carry, y)` in two parts.

    Attributes:
        known: The body, with each step's residuals as further ys.
        hoisted: From the consts to residuals that are the same in all steps.
        tangent: `(invariant residuals, dots of consts; dots of carry; rows of residuals, dots of x)` to
            `(dots of carry, dots of y)`, dots being the tangents of what is active.
        invariants: What the invariant residuals are: numbers of operands, of results of `hoisted`, or arrays.
        rows: What the rows of residuals are: numbers of operands, or of further ys of `known`.
        active: Which of the body's inputs have tangents.
        result_active: Which results have: the carry, then the ys.
        num_consts: How many consts have tangents.
        num_carry: How many carried values have.
    """

    known: Closed
    hoisted: Closed
    tangent: Jaxpr
    invariants: tuple[tuple[str, Any], ...]
    rows: tuple[tuple[str, int], ...]
    active: tuple[bool, ...]
    result_active: tuple[bool, ...]
    num_consts: int
    num_carry: int

    def residuals(
        self, operands: Sequence[Any], stacked: Sequence[Any], num_consts: int
    ) -> tuple[list[Any], list[Any]]:
        """The invariant residuals and the rows, given the loop's operands and what `known` gave beyond its results."""
        return self.invariant_residuals(operands[:num_consts]), self.row_residuals(operands, stacked)

    def invariant_residuals(self, consts: Sequence[Any]) -> list[Any]:
        """The residuals that are the same in all steps."""
        hoisted = evaluate(self.hoisted.jaxpr, [*self.hoisted.values, *consts])
        sources = {"operand": consts, "hoisted": hoisted}
        return [x if kind == "array" else sources[kind][x] for kind, x in self.invariants]

    def row_residuals(self, operands: Sequence[Any], stacked: Sequence[Any]) -> list[Any]:
        """The residuals that differ from step to step: of one step, given its operands, or of all."""
        sources = {"operand": operands, "known": stacked}
        return [sources[kind][x] for kind, x in self.rows]


def split_body(jaxpr: Jaxpr, active: tuple[bool, ...], num_consts: int, num_carry: int) -> Split:
    """The two parts of a body, of whose operands some have tangents."""
    return derived(jaxpr, ("split", active, num_consts), lambda jaxpr: _split(jaxpr, active, num_consts, num_carry))


def _split(jaxpr: Jaxpr, first: Sequence[bool], num_consts: int, num_carry: int) -> Split:
    active = active_carry(jaxpr, first, num_consts, num_carry)
    carry_active = active[num_consts : num_consts + num_carry]
    active_ys = tuple(active_outputs(jaxpr, active)[num_carry:])
    known, residuals, tangent = linearized(jaxpr, active, (*carry_active, *active_ys))
    steady = _same_in_all_steps(known, num_consts)
    invariants: list[tuple[Var, tuple[str, Any]]] = []
    rows: list[tuple[Var, tuple[str, int]]] = []
    hoisted: list[Atom] = []
    stacked: list[Atom] = []
    for v, residual in residuals:
        if not isinstance(residual, Atom):
            invariants.append((v, ("array", residual)))
        elif residual in known.inputs[:num_consts]:
            invariants.append((v, ("operand", known.inputs.index(residual))))
        elif residual in known.inputs[num_consts + num_carry :]:
            rows.append((v, ("operand", known.inputs.index(residual))))
        elif isinstance(residual, Literal) or residual in steady:
            invariants.append((v, ("hoisted", len(hoisted))))
            hoisted.append(residual)
        else:
            rows.append((v, ("known", len(stacked))))
            stacked.append(residual)
    consts, carry = sum(active[:num_consts]), sum(carry_active)
    dots = tangent.inputs
    inputs = [*[v for v, _ in invariants], *dots[: consts + carry], *[v for v, _ in rows], *dots[consts + carry :]]
    return Split(
        closed(restricted(known, known.inputs, [*known.outputs, *stacked])),
        closed(restricted(known, known.inputs[:num_consts], hoisted)),
        Jaxpr(inputs, [], tangent.equations, tangent.outputs),
        tuple(x for _, x in invariants),
        tuple(x for _, x in rows),
        active,
        (*carry_active, *active_ys),
        consts,
        carry,
    )


def _same_in_all_steps(jaxpr: Jaxpr, num_consts: int) -> set[Atom]:
    """The variables that depend on consts alone."""
    steady: set[Atom] = {*jaxpr.inputs[:num_consts], *[v for v, _ in jaxpr.constants]}
    for eqn in jaxpr.equations:
        if all(isinstance(x, Literal) or x in steady for x in eqn.inputs):
            steady.update(eqn.outputs)
    return steady


def spread(xs: Iterable[Any], active: Iterable[bool]) -> list[Any]:
    """One entry for each of all, None for those that are not active."""
    rest = iter(xs)
    return [next(rest) if yes else None for yes in active]


def transposed_body(split: Split, given: tuple[bool, ...]) -> Closed:
    """The reverse loop's body: `(invariants; cts of consts so far, cts of carry; rows, cts of ys)` to
    `(cts of consts, cts of carry, cts of x)`.

    Args:
        given: Which active ys have a cotangent other than zero.
    """
    return derived(split.tangent, ("transposed", given), lambda jaxpr: _transpose(split, given))


def _transpose(split: Split, given: Sequence[bool]) -> Closed:
    tangent, consts = split.tangent, split.num_consts
    groups = grouped(tangent.inputs, len(split.invariants), consts, split.num_carry, len(split.rows))
    invariants, const_dots, carry_dots, rows, x_dots = groups
    dots = [*const_dots, *carry_dots, *x_dots]
    reordered = Jaxpr([*invariants, *rows, *dots], [], tangent.equations, tangent.outputs)

    def body(*args: Any) -> list[Any]:
        known, totals, ct_carry, residuals, ct_ys = grouped(args, len(invariants), consts, len(carry_dots), len(rows))
        x_cts = pulled_back(reordered, [*known, *residuals], [*ct_carry, *spread(ct_ys, given)], dots)
        sums = [a if b is None else a + b for a, b in zip(totals, x_cts[:consts], strict=True)]
        return [settled(ct, v.aval) for ct, v in zip([*sums, *x_cts[consts:]], dots, strict=True)]

    variables = [*invariants, *const_dots, *carry_dots, *rows, *picked(tangent.outputs[len(carry_dots) :], given)]
    return closed(record_abstract("transpose", body, [tangent_aval(v.aval) for v in variables]))


def grouped(xs: Sequence[Any], *sizes: int) -> list[Sequence[Any]]:
    """A sequence cut into groups of these sizes, and a last one of what is left."""
    groups, start = [], 0
    for size in sizes:
        groups.append(xs[start : start + size])
        start += size
    return [*groups, xs[start:]]
