"""`steps` and its pullback for all rows of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.derived import closed, derived
from funcgrad.control.reversal_operands import COUNT, Operands, Params, chosen_results
from funcgrad.control.scan import batched_body, batched_jaxpr
from funcgrad.control.splitting import grouped
from funcgrad.core.avals import get_aval
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.primitives.arithmetic import add
from funcgrad.primitives.comparison import less
from funcgrad.primitives.extrema import reduce_max
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import broadcast_to, moveaxis
from funcgrad.transforms.evaluate import evaluate, record_abstract


class Rows(NamedTuple):
    """A loop for all rows at once.

    Attributes:
        params: Its parameters.
        operands: Its operands.
        dims: Along which axis rows lie in the body's operands, None for none.
        out_dims: Along which axis they lie in the body's results.
        added: How many consts, and carried values, stand in front of the loop's own.
    """

    params: Params
    operands: Operands
    dims: tuple[int | None, ...]
    out_dims: tuple[int | None, ...]
    added: tuple[int, int]


def batched_steps(size: int, operands: Operands, dims: Operands, params: Params, whole: Sequence[bool]) -> Rows:
    """The loop over all rows at once.

    Args:
        whole: Which consts, carried values and xs are to have rows in any case.
    """
    added_carry = 0
    if any(dim is not None for dim in dims.number):
        operands, dims, params = _counted_by_row(operands, dims, params)
        whole = [False, *whole[: params["num_consts"] - 1], False, *whole[params["num_consts"] - 1 :]]
        added_carry = 1
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    in_dims = [0 if dim is not None or yes else None for dim, yes in zip(dims.body, whole, strict=True)]
    body, rows, out_dims = batched_body(jaxpr, size, in_dims, num_consts, num_carry)
    if any(whole):
        carry_rows = tuple(dim is not None for dim in rows[num_consts : num_consts + num_carry])
        flags = tuple(yes and v.aval.dtype.kind in "fc" for v, yes in zip(jaxpr.inputs, whole, strict=True))
        ys_rows = chosen_results(jaxpr, flags, num_consts, num_carry)[num_carry:]
        body, out_dims = batched_jaxpr(jaxpr, size, rows, (*carry_rows, *ys_rows))
    axes = [0] * (num_consts + num_carry) + [1] * (len(rows) - num_consts - num_carry)
    located = [
        x if to is None else placed(x, dim, size, axis)
        for x, dim, to, axis in zip(operands.body, dims.body, rows, axes, strict=True)
    ]
    consts, carry, xs = grouped(located, num_consts, num_carry)
    slots = [
        x if to is None else placed(x, dim, size, 1)
        for x, dim, to in zip(operands.slots, dims.slots, rows[num_consts : num_consts + num_carry], strict=False)
    ]
    known = {**params, "jaxpr": body.jaxpr, "num_consts": num_consts + len(body.values)}
    new = operands._replace(consts=[*body.values, *consts], carry=carry, xs=xs, slots=slots)
    added_consts = known["num_consts"] - len(operands.consts) + added_carry
    return Rows(known, new, rows, out_dims, (added_consts, added_carry))


def placed(x: Any, dim: int | None, size: int, axis: int) -> Any:
    """x with its rows along an axis; rows that are all alike are repeated."""
    if dim is None:
        x, dim = broadcast_to(x, (size, *get_aval(x).shape)), 0
    return moveaxis(x, dim, axis)


def _counted_by_row(operands: Operands, dims: Operands, params: Params) -> tuple[Operands, Operands, Params]:
    """The loop for rows that take different numbers of steps: those that are done stay as they are."""
    num_consts = params["num_consts"]

    def make(jaxpr: Jaxpr) -> Jaxpr:
        def step(*args: Any) -> list[Any]:
            (count,), consts, (done,), carry = grouped(args, 1, num_consts, 1)
            going = less(done, count)
            new = evaluate(jaxpr, [*consts, *carry])
            return [add(done, np.int64(1)), *[select(going, x, old) for x, old in zip(new, carry, strict=True)]]

        avals = [COUNT, *jaxpr.in_avals[:num_consts], COUNT, *jaxpr.in_avals[num_consts:]]
        made = closed(record_abstract("vmap", step, avals))
        assert not made.values
        return made.jaxpr

    counted = derived(params["jaxpr"], ("counted by row", num_consts), make)
    changed = {**params, "jaxpr": counted, "num_consts": num_consts + 1, "num_carry": params["num_carry"] + 1}
    rows = moveaxis(operands.number[0], dims.number[0], 0)
    operands = operands._replace(
        number=[reduce_max(rows, (0,))], consts=[rows, *operands.consts], carry=[np.int64(0), *operands.carry]
    )
    return operands, dims._replace(number=[None], consts=[0, *dims.consts], carry=[None, *dims.carry]), changed
