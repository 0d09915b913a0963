"""The loop of known length: carry, y = body(consts, carry, x) for each row x.

Where derivatives are wanted, the known part of the body (see `splitting`) runs forwards and stacks residuals; its
linear part runs forwards over them for tangents, and the transpose of that backwards for cotangents. All of these are
scans again, so every order and every combination follows. Where tangents alone are asked for, one loop over pairs of
value and tangent does without residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.derived import Closed, active_carry, active_outputs, closed, derived, picked, settled, valued
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.pairs import scan_pairs
from funcgrad.control.running import prepared, rounds_effort
from funcgrad.control.splitting import Split, grouped, split_body, spread, transposed_body
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import LinearityError, message
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.structural import broadcast_to, moveaxis
from funcgrad.transforms.evaluate import record_abstract
from funcgrad.transforms.transpose import tangent_aval
from funcgrad.transforms.vmap import evaluate_batched

Params = dict[str, Any]


def strong(x: Any, aval: ShapedArray) -> Any:
    """A Python number as NumPy's of the type that a body expects; anything else as it is."""
    return aval.dtype.type(x) if type(x) in (float, int, bool, complex) else x


def _rows(aval: ShapedArray, length: int) -> ShapedArray:
    return ShapedArray((length, *aval.shape), aval.dtype)


def _scan_implementation(
    *args: Any, jaxpr: Jaxpr, length: int, reverse: bool, num_consts: int, num_carry: int
) -> tuple[Any, ...]:
    run = prepared(jaxpr)
    consts, carry, xs = grouped(
        [strong(x, v.aval) for x, v in zip(args, jaxpr.inputs, strict=True)], num_consts, num_carry
    )
    ys = [np.empty((length, *v.aval.shape), v.aval.dtype) for v in jaxpr.outputs[num_carry:]]
    for i in range(length - 1, -1, -1) if reverse else range(length):
        outs = run(*consts, *carry, *[x[i] for x in xs])
        carry = outs[:num_carry]
        for y, row in zip(ys, outs[num_carry:], strict=True):
            y[i] = row
    return (*carry, *ys)


def _scan_abstract(
    *xs: ShapedArray, jaxpr: Jaxpr, length: int, reverse: bool, num_consts: int, num_carry: int
) -> tuple[ShapedArray, ...]:
    carry, ys = jaxpr.out_avals[:num_carry], jaxpr.out_avals[num_carry:]
    return (*[ShapedArray(x.shape, x.dtype) for x in carry], *[_rows(y, length) for y in ys])


# Derivatives ----------------------------------------------------------------------------------------------------------


def _scan_inline(*args: Any, **params: Any) -> Any:
    """A scan whose derivative is wanted: it runs one level down, and keeps its residuals."""
    lowered = Lowered(args)
    xs, jaxpr, num_consts, num_carry = lowered.values, params["jaxpr"], params["num_consts"], params["num_carry"]
    if not any(lowered.active):
        return bind(scan_p, *xs, **params)
    if lowered.recording.abstract:
        ys = _scan_abstract(*map(get_aval, xs), **params)
        return lowered.record(_scan_equation, ys, _never, lambda cts: transpose_scan(cts, xs, lowered.active, params))
    split = split_body(jaxpr, lowered.active, num_consts, num_carry)
    if lowered.forward_only and _stacked_bytes(split, len(jaxpr.outputs)) * params["length"] > _MOST_STACKED:
        return _scan_forward(lowered, params)
    known = {**params, "jaxpr": split.known.jaxpr, "num_consts": len(split.known.values) + num_consts}
    results = bind(scan_p, *split.known.values, *xs, **known)
    count = len(jaxpr.outputs)
    residuals = split.residuals(xs, results[count:], num_consts)
    return record_split(lowered, split, results[:count], residuals, Steps(params["length"], params["reverse"]))


# In forward mode residuals spare computing values twice: up to this many bytes they are kept.
_MOST_STACKED = 2**20


def _stacked_bytes(split: Split, count: int) -> int:
    return sum(aval.nbytes for aval in split.known.jaxpr.out_avals[count:])


def _scan_forward(lowered: Lowered, params: Params) -> Any:
    """A scan of which tangents are all that will be asked for: they are computed beside the values, in one loop."""
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    body, active = scan_pairs(jaxpr, lowered.active, num_consts, num_carry)
    groups = grouped(list(zip(lowered.values, active, strict=True)), num_consts, num_carry)
    consts, carry = (len(group) + sum(yes for _, yes in group) for group in groups[:2])
    carry_active = active[num_consts : num_consts + num_carry]
    ys_active = active_outputs(jaxpr, active)[num_carry:]

    def push(tangents: Sequence[Any]) -> list[Any]:
        dots = iter(spread(tangents, lowered.active))
        operands: list[Any] = []
        for group in groups:
            settled_dots = [settled(next(dots), tangent_aval(x)) if yes else next(dots) for x, yes in group]
            operands += [x for x, _ in group]
            operands += [x_dot for x_dot, (_, yes) in zip(settled_dots, group, strict=True) if yes]
        known = {**params, "jaxpr": body.jaxpr, "num_consts": len(body.values) + consts, "num_carry": carry}
        results = bind(scan_p, *body.values, *operands, **known)
        _, carry_dots, _, row_dots = grouped(results, num_carry, carry - num_carry, len(ys_active))
        return [*spread(carry_dots, carry_active), *spread(row_dots, ys_active)]

    return lowered.record(_scan_equation, bind(scan_p, *lowered.values, **params), push, _never)


class Steps(NamedTuple):
    """How many steps a loop takes, and in which direction."""

    length: int
    reverse: bool = False


def record_split(
    lowered: Lowered,
    split: Split,
    results: Sequence[Any],
    residuals: tuple[list[Any], list[Any]],
    steps: Steps,
    skipped: int = 0,
) -> Any:
    """The results of a loop that has run one level down, recorded with the derivative that its parts give.

    Args:
        skipped: How many of the loop's operands precede the body's.
    """
    first = lowered.active[skipped:]
    idle = [None] * sum(lowered.active[:skipped])
    chosen = split.result_active

    def push(tangents: Sequence[Any]) -> list[Any]:
        full = picked(spread(tangents[len(idle) :], first), split.active)
        return spread(_push(split, residuals, full, steps), chosen)

    def pull(cts: Sequence[Any]) -> list[Any]:
        full = spread(_pull(split, residuals, picked(cts, chosen), steps), split.active)
        return [*idle, *picked(full, first)]

    return lowered.record(_scan_equation, results, push, pull)


def _never(tangents: Sequence[Any]) -> Any:
    raise AssertionError("this recording goes the other way only")


def _push(split: Split, residuals: tuple[list[Any], list[Any]], tangents: Sequence[Any], steps: Steps) -> Sequence[Any]:
    """The tangents of active carry and ys, given those of the active operands (None: zero)."""
    invariants, rows = residuals
    groups = grouped(split.tangent.in_avals, len(invariants), split.num_consts + split.num_carry, len(rows))
    loop_dots, x_dots = grouped(tangents, split.num_consts + split.num_carry)
    loop_dots = [settled(x, aval) for x, aval in zip(loop_dots, groups[1], strict=True)]
    x_dots = [settled(x, _rows(aval, steps.length)) for x, aval in zip(x_dots, groups[3], strict=True)]
    return bind(
        scan_p,
        *invariants,
        *loop_dots,
        *rows,
        *x_dots,
        jaxpr=split.tangent,
        length=steps.length,
        reverse=steps.reverse,
        num_consts=len(invariants) + split.num_consts,
        num_carry=split.num_carry,
    )


def _pull(split: Split, residuals: tuple[list[Any], list[Any]], cts: Sequence[Any], steps: Steps) -> Sequence[Any]:
    """The cotangents of the active operands, given those of active carry and ys (None: zero)."""
    invariants, rows = residuals
    ct_carry, ct_ys = grouped(cts, split.num_carry)
    given = tuple(ct is not None for ct in ct_ys)
    body = transposed_body(split, given)
    _, const_avals, carry_avals, _ = grouped(split.tangent.in_avals, len(invariants), split.num_consts, split.num_carry)
    y_avals = [_rows(v.aval, steps.length) for v in split.tangent.outputs[split.num_carry :]]
    return bind(
        scan_p,
        *body.values,
        *invariants,
        *[settled(None, aval) for aval in const_avals],
        *[settled(ct, aval) for ct, aval in zip(ct_carry, carry_avals, strict=True)],
        *rows,
        *[settled(ct, aval) for ct, aval in zip(ct_ys, y_avals, strict=True) if ct is not None],
        jaxpr=body.jaxpr,
        length=steps.length,
        reverse=not steps.reverse,
        num_consts=len(body.values) + len(invariants),
        num_carry=split.num_consts + split.num_carry,
    )


def transpose_scan(cts: Sequence[Any], xs: Sequence[Any], active: tuple[bool, ...], params: Params) -> list[Any]:
    """The cotangents of operands in which a scan is linear, of which there are types only; the others have values.

    Raises:
        LinearityError: It is not linear in them.
    """
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    split = split_body(params["jaxpr"], active, num_consts, num_carry)
    check_linear(params["jaxpr"], split.active)
    known, count = split.known, len(params["jaxpr"].outputs)
    xs = list(map(valued, xs))
    stacked: Sequence[Any] = ()
    if len(known.jaxpr.outputs) > count:
        augmented = {**params, "jaxpr": known.jaxpr, "num_consts": len(known.values) + num_consts}
        stacked = bind(scan_p, *known.values, *xs, **augmented)[count:]
    residuals = split.residuals(xs, stacked, num_consts)
    full = _pull(split, residuals, picked(cts, split.result_active), Steps(params["length"], params["reverse"]))
    return picked(spread(full, split.active), active)


def check_linear(jaxpr: Jaxpr, active: Sequence[bool]) -> None:
    """Check that a jaxpr, such as a loop's body, is linear in its active inputs; loops in it, too.

    Raises:
        LinearityError: naming the line that is not.
    """
    moving = set(picked(jaxpr.inputs, active))
    for eqn in jaxpr.equations:
        places = [i for i, x in enumerate(eqn.inputs) if isinstance(x, Var) and x in moving]
        if not places or not eqn.primitive.differentiable:
            continue
        if not eqn.primitive.is_linear(places):
            raise LinearityError(
                message(
                    "a loop is to be transposed that is not linear.",
                    value=f"`{eqn.primitive.name}` is not linear in its traced operands",
                    where=eqn.source,
                    fix="funcgrad.linearize(f, x) gives the linear part at a point; funcgrad.vjp its transpose.",
                )
            )
        inner = eqn.params.get("jaxpr")
        if isinstance(inner, Jaxpr) and "rule" not in eqn.params and len(inner.inputs) == len(eqn.inputs):
            inner_active = tuple([i in places for i in range(len(eqn.inputs))])
            if "num_carry" in eqn.params:
                inner_active = active_carry(inner, inner_active, eqn.params["num_consts"], eqn.params["num_carry"])
            check_linear(inner, inner_active)
        moving.update(eqn.outputs)


def _scan_vjp(cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params) -> list[Any]:
    active = tuple(number is not None for number in ids)
    return spread(transpose_scan(cts, xs, active, params), active)


# Batching -------------------------------------------------------------------------------------------------------------


def _scan_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], list[int | None]]:
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    body, in_dims, out_dims = batched_body(params["jaxpr"], size, dims, num_consts, num_carry)
    operands = [
        x if wanted is None else in_front(x, dim, size, 0 if i < num_consts + num_carry else 1)
        for i, (x, dim, wanted) in enumerate(zip(xs, dims, in_dims, strict=True))
    ]
    known = {**params, "jaxpr": body.jaxpr, "num_consts": num_consts + len(body.values)}
    ys = bind(scan_p, *body.values, *operands, **known)
    return ys, [*out_dims[:num_carry], *[None if dim is None else 1 for dim in out_dims[num_carry:]]]


def in_front(x: Any, dim: int | None, size: int, axis: int = 0) -> Any:
    """x with its rows along an axis; rows that are all alike are repeated."""
    return broadcast_to(x, (size, *get_aval(x).shape)) if dim is None else moveaxis(x, dim, axis)


def batched_body(
    jaxpr: Jaxpr, size: int, dims: Sequence[int | None], num_consts: int, num_carry: int
) -> tuple[Closed, tuple[int | None, ...], tuple[int | None, ...]]:
    """A loop's body for all rows at once, and the axes along which rows lie in its operands and in its results.

    They lie in front, or nowhere; carried values keep to one of these, so some may have rows that had none at first.
    """
    batched = [dim is not None for dim in dims]
    while True:
        in_dims = tuple(0 if yes else None for yes in batched)
        carry = tuple(batched[num_consts : num_consts + num_carry])
        body, out_dims = batched_jaxpr(jaxpr, size, in_dims, carry)
        grown = [dim is not None for dim in out_dims[:num_carry]]
        if tuple(grown) == carry:
            return body, in_dims, out_dims
        batched[num_consts : num_consts + num_carry] = grown


def batched_jaxpr(
    jaxpr: Jaxpr, size: int, dims: tuple[int | None, ...], forced: tuple[bool, ...]
) -> tuple[Closed, tuple[int | None, ...]]:
    """A jaxpr for all rows at once; the first results that are `forced` have rows in any case."""

    def make(jaxpr: Jaxpr) -> tuple[Closed, tuple[int | None, ...]]:
        out_dims: list[int | None] = []

        def rows(*args: Any) -> list[Any]:
            ys, y_dims = evaluate_batched(jaxpr, size, args, dims)
            everywhere = [*forced, *(False,) * (len(ys) - len(forced))]
            out_dims[:] = [0 if yes or dim is not None else None for yes, dim in zip(everywhere, y_dims, strict=True)]
            return [
                y if out is None else in_front(y, dim, size) for y, dim, out in zip(ys, y_dims, out_dims, strict=True)
            ]

        avals = [
            v.aval if dim is None else ShapedArray((size, *v.aval.shape), v.aval.dtype)
            for v, dim in zip(jaxpr.inputs, dims, strict=True)
        ]
        body = closed(record_abstract("vmap", rows, avals))
        return body, tuple(out_dims)

    return derived(jaxpr, ("batched", size, dims, forced), make)


_scan_equation = derivative_equation("scan")

scan_p = Primitive(
    "scan",
    implementation=_scan_implementation,
    abstract=_scan_abstract,
    batch=_scan_batch,
    inline=_scan_inline,
    vjp=_scan_vjp,
    effort=rounds_effort,
    is_linear=lambda active: True,  # its body is looked at when it is transposed
    multiple_results=True,
)


def scan(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool = False,
) -> tuple[list[Any], list[Any]]:
    """The final carry and the stacked ys of a body without constants, `(consts, carry, x) -> (carry, y)`."""
    results = bind(
        scan_p,
        *consts,
        *carry,
        *xs,
        jaxpr=jaxpr,
        length=length,
        reverse=reverse,
        num_consts=len(consts),
        num_carry=len(carry),
    )
    return list(results[: len(carry)]), list(results[len(carry) :])
