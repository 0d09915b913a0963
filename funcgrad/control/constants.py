"""Constants of a jaxpr as equations that make them, for jaxprs that stand for a single equation and can have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var
from funcgrad.primitives.arithmetic import add_p
from funcgrad.primitives.cumulative import cumsum_p
from funcgrad.primitives.shaping import stack_p
from funcgrad.primitives.structural import broadcast_p, reshape_p

# Constants of up to so many different elements are written element by element.
_MOST_LITERALS = 64


def without_constants(jaxpr: Jaxpr) -> Jaxpr | None:
    """The jaxpr with equations that make its constants; None where one has too many elements of no simple order."""
    equations: list[Equation] = []
    for v, value in jaxpr.constants:
        made = _making(v, np.asarray(value))
        if made is None:
            return None
        equations += made
    return Jaxpr(jaxpr.inputs, (), [*equations, *jaxpr.equations], jaxpr.outputs) if equations else jaxpr


def _making(v: Var, value: Any) -> list[Equation] | None:
    """Equations that give a variable its value: of one number everywhere, of numbers in equal steps, or of a few."""
    flat = value.ravel()
    if value.size and flat.tobytes() == flat[:1].tobytes() * value.size:
        return [Equation(broadcast_p, [Literal(flat[0])], [v], {"shape": value.shape})]
    row = Var(ShapedArray((value.size,), value.dtype))
    shaped = Equation(reshape_p, [row], [v], {"shape": value.shape})
    if value.dtype == np.int64 and value.size > 2 and np.all(np.diff(flat) == flat[1] - flat[0]):
        steps, sums = Var(row.aval), Var(row.aval)
        return [
            Equation(broadcast_p, [Literal(flat[1] - flat[0])], [steps], {"shape": (value.size,)}),
            Equation(cumsum_p, [steps], [sums], {"axis": 0, "reverse": False}),
            Equation(add_p, [sums, Literal(2 * flat[0] - flat[1])], [row], {}),
            shaped,
        ]
    if not 0 < value.size <= _MOST_LITERALS:
        return None
    return [Equation(stack_p, [Literal(x) for x in flat], [row], {"axis": 0}), shaped]
