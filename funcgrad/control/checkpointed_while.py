"""The loop of unknown length that keeps few of its states: it counts its steps, and then its length is known.

See `reversal` for the way back. Where the loop has values, the steps are counted before derivatives are taken; in a
recording without values the loop counts while it runs, and its pullback takes the count as an operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.control.derived import derived, only_differentiated, valued
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.pairs import by_kind, pairs_of
from funcgrad.control.reversal import steps_p, steps_transpose
from funcgrad.control.reversal_operands import COUNT, Operands
from funcgrad.control.running import while_effort
from funcgrad.control.splitting import spread
from funcgrad.control.while_loop import batched_loop, count_steps, run_while, while_loop, while_p
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.tracing import concrete
from funcgrad.primitives.arithmetic import add_p

Params = dict[str, Any]


def _abstract(*xs: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in params["body_jaxpr"].out_avals])


def while_equations(params: Params) -> Jaxpr:
    """The jaxpr that computes the loop with these parameters."""
    cond, body, num_cond_consts = params["cond_jaxpr"], params["body_jaxpr"], params["num_cond_consts"]
    return derived(body, ("while", cond, num_cond_consts), lambda body: _equations(cond, body, num_cond_consts))


def _equations(cond: Jaxpr, body: Jaxpr, num_cond_consts: int) -> Jaxpr:
    count = len(body.inputs) - len(body.outputs)
    inputs = [Var(aval) for aval in (*cond.in_avals[:num_cond_consts], *body.in_avals)]
    outputs = [Var(ShapedArray(aval.shape, aval.dtype)) for aval in body.out_avals]
    # The same body in another object: what is derived of a jaxpr is not to keep it alive.
    same = Jaxpr(body.inputs, (), body.equations, body.outputs)
    params = {"cond_jaxpr": cond, "body_jaxpr": same, "num_cond_consts": num_cond_consts, "num_body_consts": count}
    return Jaxpr(inputs, (), [Equation(while_p, inputs, outputs, params)], outputs)


def _counting(body: Jaxpr, num_consts: int) -> Jaxpr:
    """The body with a number in front of the carry that counts the steps."""

    def make(body: Jaxpr) -> Jaxpr:
        done, following = Var(COUNT), Var(COUNT)
        inputs = [*body.inputs[:num_consts], done, *body.inputs[num_consts:]]
        more = Equation(add_p, [done, Literal(np.int64(1))], [following], {})
        return Jaxpr(inputs, (), [*body.equations, more], [following, *body.outputs])

    return derived(body, ("counting", num_consts), make)


def _uncounted(cond: Jaxpr, num_cond_consts: int) -> Jaxpr:
    """The condition for a carry with a number in front."""

    def make(cond: Jaxpr) -> Jaxpr:
        inputs = [*cond.inputs[:num_cond_consts], Var(COUNT), *cond.inputs[num_cond_consts:]]
        return Jaxpr(inputs, (), cond.equations, cond.outputs)

    return derived(cond, ("uncounted", num_cond_consts), make)


def _inline(*args: Any, **params: Any) -> Any:
    """A loop whose derivative is wanted."""
    lowered = Lowered(args)
    xs, skipped = by_kind(lowered.values, params), params["num_cond_consts"]
    first = lowered.active[skipped:]
    if not any(first):
        return bind(checkpointed_while_p, *lowered.values, **params)
    if not lowered.forward_only and all(map(only_differentiated, lowered.values)):
        length = count_steps(list(map(concrete, lowered.values)), params)
        return bind(steps_p, *args[skipped:], **_steps_params(params, length))
    idle = [None] * sum(lowered.active[:skipped])  # cond's consts have no influence on derivatives

    def push(tangents: Sequence[Any]) -> list[Any]:
        pairs = pairs_of(params, first)
        dots = spread(tangents, lowered.active)[skipped:]
        results = bind(checkpointed_while_p, *pairs.operands(xs, dots), **pairs.params)
        return spread(results[len(xs.carry) :], pairs.active[len(xs.consts) :])

    if lowered.forward_only:
        results: Sequence[Any] = bind(checkpointed_while_p, *lowered.values, **params)
        return lowered.record(_equation, results, push, _never)
    if lowered.recording.abstract:
        known = list(map(valued, lowered.values))
        count, _ = _counted(known, params)
        results = _abstract(**params)
    else:
        known = lowered.values
        count, results = _counted(known, params)

    def pull(cts: Sequence[Any]) -> list[Any]:
        return [*idle, *_pull(count, known, cts, params, first)]

    return lowered.record(_equation, results, push, pull)


def _never(cts: Sequence[Any]) -> Any:
    raise AssertionError("this recording goes forwards only")


def _counted(args: Sequence[Any], params: Params) -> tuple[Any, list[Any]]:
    """The number of steps, and the results."""
    xs = by_kind(args, params)
    cond = _uncounted(params["cond_jaxpr"], len(xs.cond_consts))
    body = _counting(params["body_jaxpr"], len(xs.consts))
    count, *results = while_loop(cond, body, xs.cond_consts, xs.consts, [np.int64(0), *xs.carry])
    return count, results


def _steps_params(params: Params, length: int | None) -> Params:
    body, num_consts = params["body_jaxpr"], params["num_body_consts"]
    states = params["states"] if length is None else max(1, min(params["states"], length))
    return {
        "jaxpr": body,
        "length": length,
        "reverse": False,
        "num_consts": num_consts,
        "num_carry": len(body.outputs),
        "states": states,
        "kept": 0,
    }


def _pull(
    count: Any, args: Sequence[Any], cts: Sequence[Any], params: Params, first: tuple[bool, ...]
) -> Sequence[Any]:
    xs = by_kind(args, params)
    operands = Operands([count], [], xs.consts, xs.carry, [])
    return steps_transpose(operands, cts, _steps_params(params, None), first)


def _vjp(cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: Params) -> list[Any]:
    # In a recording without values the loop is linear in its operands without values.
    skipped = params["num_cond_consts"]
    active = tuple([number is not None for number in ids[skipped:]])
    known = list(map(valued, xs))
    x_cts = _pull(_counted(known, params)[0], known, cts, params, active)
    return [*(None,) * skipped, *spread(x_cts, active)]


def _batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], params: Params
) -> tuple[Sequence[Any], Sequence[int | None]]:
    xs = by_kind(args, params)
    whole = (False,) * (len(xs.consts) + len(xs.carry))
    rows = batched_loop(size, xs, by_kind(dims, params), params, whole)
    results = bind(checkpointed_while_p, *rows.operands, **rows.params, states=params["states"])
    return results, rows.dims[len(xs.consts) :]


_equation = derivative_equation("checkpointed_while")

checkpointed_while_p = Primitive(
    "checkpointed_while",
    implementation=run_while,
    abstract=_abstract,
    batch=_batch,
    inline=_inline,
    vjp=_vjp,
    effort=while_effort,
    is_linear=lambda active: True,
    multiple_results=True,
)


def checkpointed_while(
    cond: Jaxpr,
    body: Jaxpr,
    cond_consts: Sequence[Any],
    consts: Sequence[Any],
    carry: Sequence[Any],
    states: int,
) -> list[Any]:
    """`while_loop`, of whose states derivatives keep so many at a time, the first one among them."""
    return list(
        bind(
            checkpointed_while_p,
            *cond_consts,
            *consts,
            *carry,
            cond_jaxpr=cond,
            body_jaxpr=body,
            num_cond_consts=len(cond_consts),
            num_body_consts=len(consts),
            states=states,
        )
    )
