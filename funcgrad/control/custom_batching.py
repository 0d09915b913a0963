"""Functions with a rule of their own for batches.

Derivatives are those of the function's equations. Where a batch may still come (in `vmap`, `jit` or a loop), tangents
and cotangents are calls of the same kind, whose rules for batches are the derivatives of the rule: so `vmap(grad(f))`
computes all rows by the rule, as `grad` of a `vmap` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.control.checkpoint import pulled, pushed
from funcgrad.control.derived import only_differentiated, picked, settled, valued
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.running import prepared
from funcgrad.control.scan import strong
from funcgrad.control.splitting import grouped, spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.structural import broadcast_to, moveaxis
from funcgrad.transforms.evaluate import evaluate
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import pull_back, tangent_aval, vjp
from funcgrad.transforms.vmap import evaluate_batched

# (size, which operands have rows, operands with rows in front) -> (results, which of them have rows, in front)
BatchRule = Callable[[int, Sequence[bool], Sequence[Any]], tuple[Sequence[Any], Sequence[bool]]]


def _implementation(*args: Any, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[Any, ...]:
    return prepared(jaxpr)(*[strong(x, v.aval) for x, v in zip(args, jaxpr.inputs, strict=True)])


def _abstract(*xs: ShapedArray, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in jaxpr.out_avals])


def _inline(*args: Any, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[Any, ...]:
    lowered = Lowered(args)
    xs, active = lowered.values, lowered.active
    if lowered.recording.abstract or all(map(only_differentiated, args)) or any(active[:captured]):
        return tuple(evaluate(jaxpr, args))  # no batch can come, or the rule does not know what is differentiated
    ys = bind(custom_vmap_p, *xs, jaxpr=jaxpr, rule=rule, captured=captured)

    def push(x_dots: Sequence[Any]) -> list[Any]:
        body, chosen = pushed(jaxpr, active)
        avals = map(tangent_aval, picked(jaxpr.in_avals, active))
        dots = [settled(x_dot, aval) for x_dot, aval in zip(x_dots, avals, strict=True)]
        forward = _pushed_rule(rule, active[captured:], chosen)
        return spread(custom_vmap([*body.values, *xs, *dots], body.jaxpr, forward, len(body.values) + captured), chosen)

    return lowered.record(_equation, ys, push, lambda cts: _pull(xs, active, cts, jaxpr, rule, captured))


def _pull(
    xs: Sequence[Any], active: tuple[bool, ...], cts: Sequence[Any], jaxpr: Jaxpr, rule: BatchRule, captured: int
) -> list[Any]:
    """The cotangents of the active operands, given those of the results (None: zero)."""
    given = tuple([ct is not None for ct in cts])
    body = pulled(jaxpr, active, given)
    full = [settled(ct, tangent_aval(y)) for ct, y in picked(zip(cts, jaxpr.out_avals, strict=True), given)]
    backward = _pulled_rule(rule, active[captured:], given)
    return custom_vmap([*body.values, *xs, *full], body.jaxpr, backward, len(body.values) + captured)


def _vjp(
    cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> list[Any]:
    # In a recording without values the function is linear in its operands without values.
    active = tuple([number is not None for number in ids])
    return spread(_pull(list(map(valued, xs)), active, cts, **params), active)


# The derivatives of rules ---------------------------------------------------------------------------------------------


def _moving(
    rule: BatchRule, size: int, batched: Sequence[bool], rows: Sequence[Any], active: Sequence[bool]
) -> tuple[Callable[..., list[Any]], list[Any]]:
    """A rule as a function of its active operands, all of which have rows, with rows in all results; and these."""
    marks = [a or b for a, b in zip(batched, active, strict=True)]

    def function(*chosen: Any) -> list[Any]:
        new = iter(chosen)
        ys, has_rows = rule(size, marks, [next(new) if yes else x for x, yes in zip(rows, active, strict=True)])
        return [y if yes else _repeated(y, size) for y, yes in zip(ys, has_rows, strict=True)]

    return function, _all_rows(picked(rows, active), picked(batched, active), size)


def _all_rows(xs: Sequence[Any], batched: Sequence[bool], size: int) -> list[Any]:
    return [x if yes else _repeated(x, size) for x, yes in zip(xs, batched, strict=True)]


def _repeated(x: Any, size: int) -> Any:
    return broadcast_to(x, (size, *get_aval(x).shape))


def _pushed_rule(rule: BatchRule, active: tuple[bool, ...], chosen: tuple[bool, ...]) -> BatchRule:
    """The rule for (operands, tangents of the active ones) to tangents of the results chosen."""

    def forward(size: int, batched: Sequence[bool], args: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        rows, dots = grouped(args, len(active))
        rows_batched, dots_batched = grouped(batched, len(active))
        function, xs = _moving(rule, size, rows_batched, rows, active)
        ys, y_dots = jvp(function, xs, _all_rows(dots, dots_batched, size))
        found = [settled(y_dot, tangent_aval(y)) for y, y_dot in picked(zip(ys, y_dots, strict=True), chosen)]
        return found, [True] * len(found)

    return forward


def _pulled_rule(rule: BatchRule, active: tuple[bool, ...], given: tuple[bool, ...]) -> BatchRule:
    """The rule for (operands, cotangents of the results given) to cotangents of the active operands."""

    def backward(size: int, batched: Sequence[bool], args: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        rows, cts = grouped(args, len(active))
        rows_batched, cts_batched = grouped(batched, len(active))
        function, xs = _moving(rule, size, rows_batched, rows, active)
        _, recording, ids = vjp(function, xs, transformation="custom_vmap")
        try:
            x_cts = pull_back(recording, ids, spread(_all_rows(cts, cts_batched, size), given))
        finally:
            recording.close()
        found = [settled(ct, tangent_aval(x)) for ct, x in zip(x_cts, xs, strict=True)]
        return found, [True] * len(found)

    return backward


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    captured = params["captured"]
    if any(dim is not None for dim in dims[:captured]):  # the rule does not know of what the function captured
        return evaluate_batched(params["jaxpr"], size, xs, dims)
    rows = [x if dim is None else moveaxis(x, dim, 0) for x, dim in zip(xs, dims, strict=True)][captured:]
    ys, batched = params["rule"](size, [dim is not None for dim in dims[captured:]], rows)
    return ys, [0 if yes else None for yes in batched]


_equation = derivative_equation("custom_vmap")

custom_vmap_p = Primitive(
    "custom_vmap",
    implementation=_implementation,
    abstract=_abstract,
    batch=_batch,
    inline=_inline,
    vjp=_vjp,
    is_linear=lambda active: True,
    multiple_results=True,
)


def custom_vmap(args: Sequence[Any], jaxpr: Jaxpr, rule: BatchRule, captured: int) -> list[Any]:
    """The results of a jaxpr, with a rule for batches of all operands but the first few."""
    return list(bind(custom_vmap_p, *args, jaxpr=jaxpr, rule=rule, captured=captured))
