"""The primitive that carries a jaxpr: a nested `jit` is one equation.

Where derivatives are wanted it dissolves into the equations of its jaxpr; batched, it is one equation again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr, body_effort
from funcgrad.core.primitive import Primitive, bind
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.vmap import evaluate_batched


def _jit_abstract(*xs: ShapedArray, jaxpr: Jaxpr, name: str) -> tuple[ShapedArray, ...]:
    return tuple(jaxpr.out_avals)


def _jit_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    jaxpr: Jaxpr = params["jaxpr"]
    out_dims: list[int | None] = []

    def batched(*rows: Any) -> list[Any]:
        ys, out_dims[:] = evaluate_batched(jaxpr, size, rows, dims)
        return ys

    inner = record_abstract("jit", batched, [get_aval(x) for x in xs])
    return bind(jit_p, *xs, jaxpr=inner, name=params["name"]), out_dims


def _jit_evaluate(*xs: Any, jaxpr: Jaxpr, name: str) -> tuple[Any, ...]:
    return tuple(evaluate(jaxpr, xs))


jit_p = Primitive(
    "jit",
    implementation=_jit_evaluate,
    abstract=_jit_abstract,
    batch=_jit_batch,
    effort=body_effort,
    inline=_jit_evaluate,
    multiple_results=True,
)
