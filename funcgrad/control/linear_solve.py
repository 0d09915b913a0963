"""Solutions of linear systems by any method: x with A x = b, where A is a function of some consts and of x.

However x is computed, its tangent is the solution of A x_dot = b_dot - A_dot x, and its cotangent that of the
transposed system. The primitive is linear in b and carries the jaxprs of A and of the methods for A and its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from funcgrad.control.derived import (
    Closed,
    closed,
    derived,
    picked,
    pulled_back,
    settled,
    valued,
)
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.running import prepared
from funcgrad.control.scan import batched_jaxpr, in_front
from funcgrad.control.splitting import grouped, spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import DifferentiationError, message
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import caller
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import pull_back, tangent_aval, vjp

Params = dict[str, Any]


class System(NamedTuple):
    """A system, all jaxprs without constants, of inputs (consts, a vector as so many arrays).

    Attributes:
        matvec: A x.
        solve: The x with A x = b.
        transposed: The y with A^T y = b; None if there is no method.
        num_consts: The number of consts.
    """

    matvec: Jaxpr
    solve: Jaxpr
    transposed: Jaxpr | None
    num_consts: int


def transposed_matvec(system: System) -> Closed:
    """A^T y as a jaxpr of (its own values, consts, y)."""

    def make(matvec: Jaxpr) -> Closed:
        dots = matvec.inputs[system.num_consts :]

        def transposed(*args: Any) -> list[Any]:
            consts, cts = grouped(args, system.num_consts)
            x_cts = pulled_back(matvec, consts, cts, dots)
            return [settled(ct, v.aval) for ct, v in zip(x_cts, dots, strict=True)]

        return closed(
            record_abstract("transpose", transposed, [*matvec.in_avals[: system.num_consts], *matvec.out_avals])
        )

    return derived(system.matvec, ("transposed", system.num_consts), make)


def _implementation(*args: Any, system: System) -> tuple[Any, ...]:
    return prepared(system.solve)(*args)


def _abstract(*xs: ShapedArray, system: System) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in system.solve.out_avals])


def _solve_transposed(system: System, consts: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """The solution of the transposed system."""
    if system.transposed is None:
        raise DifferentiationError(
            message(
                "a linear solve has no method for the transposed system, which reverse mode needs.",
                where=caller(),
                fix="transpose_solve=a method, or symmetric=True if the matrix is.",
            )
        )
    matvec, values = transposed_matvec(system)
    solve, back = (
        _with_unused(jaxpr, 0, values, 0) if values else jaxpr for jaxpr in (system.transposed, system.solve)
    )
    transposed = System(matvec, solve, back, len(values) + system.num_consts)
    return list(bind(linear_solve_p, *values, *consts, *cts, system=transposed))


def _inline(*args: Any, system: System) -> Any:
    lowered = Lowered(args)
    active, count = lowered.active, system.num_consts
    if not any(active):
        return bind(linear_solve_p, *lowered.values, system=system)
    known = list(map(valued, lowered.values))
    xs: Sequence[Any] = bind(linear_solve_p, *known, system=system)
    consts = known[:count]
    of_consts, of_b = active[:count], active[count:]

    def applied(*moved: Any) -> list[Any]:
        new = iter(moved)
        return evaluate(
            system.matvec, [*[next(new) if yes else c for c, yes in zip(consts, of_consts, strict=True)], *xs]
        )

    def push(tangents: Sequence[Any]) -> list[Any]:
        full = spread(tangents, active)
        rhs = [settled(x_dot, tangent_aval(x)) for x_dot, x in zip(full[count:], xs, strict=True)]
        if any(of_consts):
            dots = [settled(c_dot, tangent_aval(c)) for c_dot, c in picked(zip(full, consts, strict=False), of_consts)]
            _, changes = jvp(applied, picked(consts, of_consts), dots)
            rhs = [r if change is None else r - change for r, change in zip(rhs, changes, strict=True)]
        return list(bind(linear_solve_p, *consts, *rhs, system=system))

    def pull(cts: Sequence[Any]) -> list[Any]:
        full = [settled(ct, tangent_aval(x)) for ct, x in zip(cts, xs, strict=True)]
        b_cts = _solve_transposed(system, consts, full)
        c_cts: list[Any] = []
        if any(of_consts):
            _, recording, ids = vjp(applied, picked(consts, of_consts), transformation="linear_solve")
            try:
                c_cts = pull_back(recording, ids, [-ct for ct in b_cts])
            finally:
                recording.close()
        return [*c_cts, *picked(b_cts, of_b)]

    results = list(map(get_aval, xs)) if lowered.recording.abstract else xs
    return lowered.record(_equation, results, push, pull)


def _vjp(cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params) -> list[Any]:
    # In a recording without values this is linear in b.
    system: System = params["system"]
    count = system.num_consts
    avals = system.solve.out_avals
    full = [settled(ct, tangent_aval(aval)) for ct, aval in zip(cts, avals, strict=True)]
    return [*[None] * count, *_solve_transposed(system, xs[:count], full)]


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    system: System = params["system"]
    count = system.num_consts
    rows = [
        x if dim is None and i < count else in_front(x, dim, size)
        for i, (x, dim) in enumerate(zip(xs, dims, strict=True))
    ]
    in_dims = tuple(None if dim is None and i < count else 0 for i, dim in enumerate(dims))
    everywhere = (True,) * (len(xs) - count)
    jaxprs = [system.matvec, system.solve, *([] if system.transposed is None else [system.transposed])]
    bodies = [batched_jaxpr(jaxpr, size, in_dims, everywhere)[0] for jaxpr in jaxprs]
    values = [value for body in bodies for value in body.values]
    batched = []
    for i, body in enumerate(bodies):
        before = [value for other in bodies[:i] for value in other.values]
        batched.append(_with_unused(body.jaxpr, len(before), values, len(body.values)))
    new = System(batched[0], batched[1], batched[2] if len(batched) > 2 else None, count + len(values))
    return bind(linear_solve_p, *values, *rows, system=new), [0] * (len(xs) - count)


def _with_unused(jaxpr: Jaxpr, first: int, values: Sequence[Any], own: int) -> Jaxpr:
    """A jaxpr whose first inputs are some of these values, from a number on, with all of them for inputs."""
    fresh = record_abstract("vmap", lambda *xs: [], [get_aval(value) for value in values]).inputs
    inputs = [*fresh[:first], *jaxpr.inputs[:own], *fresh[first + own :], *jaxpr.inputs[own:]]
    return Jaxpr(inputs, (), jaxpr.equations, jaxpr.outputs)


_equation = derivative_equation("linear_solve")

linear_solve_p = Primitive(
    "linear_solve",
    implementation=_implementation,
    abstract=_abstract,
    batch=_batch,
    inline=_inline,
    vjp=_vjp,
    is_linear=lambda active: True,
    multiple_results=True,
)
