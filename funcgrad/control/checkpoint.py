"""A function whose inner values are computed again for derivatives, instead of being kept.

It stays one equation to every transformation, and so does its pullback: what simplifies equations does not see that
both compute the same, and memory is saved in compiled code, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.control.derived import (
    Closed,
    active_outputs,
    closed,
    derived,
    picked,
    settled,
    valued,
)
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.running import prepared
from funcgrad.control.scan import batched_jaxpr, check_linear, in_front, strong
from funcgrad.control.splitting import grouped, spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr, body_effort
from funcgrad.core.primitive import Primitive, bind
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import pull_back, tangent_aval, vjp


def _implementation(*args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
    return prepared(jaxpr)(*[strong(x, v.aval) for x, v in zip(args, jaxpr.inputs, strict=True)])


def _abstract(*xs: ShapedArray, jaxpr: Jaxpr) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in jaxpr.out_avals])


def _moving(jaxpr: Jaxpr, xs: Sequence[Any], active: Sequence[bool]) -> Any:
    """The jaxpr as a function of its active inputs alone."""

    def function(*chosen: Any) -> list[Any]:
        new = iter(chosen)
        return evaluate(jaxpr, [next(new) if yes else x for x, yes in zip(xs, active, strict=True)])

    return function


def pushed(jaxpr: Jaxpr, active: tuple[bool, ...]) -> tuple[Closed, tuple[bool, ...]]:
    """The jaxpr from inputs and tangents of the active ones to tangents of outputs, and of which outputs."""
    chosen = tuple(active_outputs(jaxpr, active))
    return derived(jaxpr, ("push", active), lambda jaxpr: _pushed(jaxpr, active, chosen)), chosen


def pulled(jaxpr: Jaxpr, active: tuple[bool, ...], given: tuple[bool, ...]) -> Closed:
    """The jaxpr from inputs and the cotangents of the outputs given to cotangents of the active inputs."""
    return derived(jaxpr, ("pull", active, given), lambda jaxpr: _pulled(jaxpr, active, given))


def _pushed(jaxpr: Jaxpr, active: Sequence[bool], chosen: Sequence[bool]) -> Closed:
    def push(*args: Any) -> list[Any]:
        xs, x_dots = grouped(args, len(active))
        ys, y_dots = jvp(_moving(jaxpr, xs, active), picked(xs, active), x_dots)
        return [settled(y_dot, tangent_aval(y)) for y, y_dot in picked(zip(ys, y_dots, strict=True), chosen)]

    return closed(record_abstract("jvp", push, [*jaxpr.in_avals, *map(tangent_aval, picked(jaxpr.in_avals, active))]))


def _pulled(jaxpr: Jaxpr, active: Sequence[bool], given: Sequence[bool]) -> Closed:
    def pull(*args: Any) -> list[Any]:
        xs, cts = grouped(args, len(active))
        _, recording, ids = vjp(_moving(jaxpr, xs, active), picked(xs, active), transformation="checkpoint")
        try:
            x_cts = pull_back(recording, ids, spread(cts, given))
        finally:
            recording.close()
        return [settled(ct, tangent_aval(x)) for ct, x in zip(x_cts, picked(xs, active), strict=True)]

    return closed(record_abstract("vjp", pull, [*jaxpr.in_avals, *map(tangent_aval, picked(jaxpr.out_avals, given))]))


def _push(jaxpr: Jaxpr, xs: Sequence[Any], active: tuple[bool, ...], x_dots: Sequence[Any]) -> list[Any]:
    body, chosen = pushed(jaxpr, active)
    dots = [settled(x_dot, tangent_aval(x)) for x_dot, x in zip(x_dots, picked(jaxpr.in_avals, active), strict=True)]
    return spread(bind(checkpoint_p, *body.values, *xs, *dots, jaxpr=body.jaxpr), chosen)


def _pull(jaxpr: Jaxpr, xs: Sequence[Any], active: tuple[bool, ...], cts: Sequence[Any]) -> Sequence[Any]:
    given = tuple([ct is not None for ct in cts])
    body = pulled(jaxpr, active, given)
    full = [settled(ct, tangent_aval(y)) for ct, y in picked(zip(cts, jaxpr.out_avals, strict=True), given)]
    return bind(checkpoint_p, *body.values, *xs, *full, jaxpr=body.jaxpr)


def _inline(*args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
    lowered = Lowered(args)
    xs, active = lowered.values, lowered.active
    if not any(active):
        return bind(checkpoint_p, *xs, jaxpr=jaxpr)
    if lowered.recording.abstract:
        check_linear(jaxpr, active)
        ys = _abstract(*map(get_aval, xs), jaxpr=jaxpr)
        xs = list(map(valued, xs))
    else:
        ys = bind(checkpoint_p, *xs, jaxpr=jaxpr)
    return lowered.record(
        _equation, ys, lambda x_dots: _push(jaxpr, xs, active, x_dots), lambda cts: _pull(jaxpr, xs, active, cts)
    )


def _vjp(
    cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> list[Any]:
    # In a recording without values the function is linear in its operands without values.
    active = tuple([number is not None for number in ids])
    check_linear(params["jaxpr"], active)
    return spread(_pull(params["jaxpr"], list(map(valued, xs)), active, cts), active)


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    rows = [x if dim is None else in_front(x, dim, size) for x, dim in zip(xs, dims, strict=True)]
    body, out_dims = batched_jaxpr(params["jaxpr"], size, tuple(None if dim is None else 0 for dim in dims), ())
    return bind(checkpoint_p, *body.values, *rows, jaxpr=body.jaxpr), out_dims


_equation = derivative_equation("checkpoint")

checkpoint_p = Primitive(
    "checkpoint",
    implementation=_implementation,
    abstract=_abstract,
    batch=_batch,
    effort=body_effort,
    inline=_inline,
    vjp=_vjp,
    is_linear=lambda active: True,
    multiple_results=True,
)


def checkpoint(jaxpr: Jaxpr, args: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr without constants, of which derivatives keep the operands only."""
    return list(bind(checkpoint_p, *args, jaxpr=jaxpr))
