"""Functions with a rule of their own for batches. Derivatives are those of their equations, and of the rule's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.control.running import prepared
from funcgrad.control.scan import strong
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.structural import moveaxis
from funcgrad.transforms.evaluate import evaluate
from funcgrad.transforms.vmap import evaluate_batched

# (size, which operands have rows, operands with rows in front) -> (results, which of them have rows, in front)
BatchRule = Callable[[int, Sequence[bool], Sequence[Any]], tuple[Sequence[Any], Sequence[bool]]]


def _implementation(*args: Any, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[Any, ...]:
    return prepared(jaxpr)(*[strong(x, v.aval) for x, v in zip(args, jaxpr.inputs, strict=True)])


def _abstract(*xs: ShapedArray, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in jaxpr.out_avals])


def _inline(*args: Any, jaxpr: Jaxpr, rule: BatchRule, captured: int) -> tuple[Any, ...]:
    return tuple(evaluate(jaxpr, args))


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    captured = params["captured"]
    if any(dim is not None for dim in dims[:captured]):  # the rule does not know of what the function captured
        return evaluate_batched(params["jaxpr"], size, xs, dims)
    rows = [x if dim is None else moveaxis(x, dim, 0) for x, dim in zip(xs, dims, strict=True)][captured:]
    ys, batched = params["rule"](size, [dim is not None for dim in dims[captured:]], rows)
    return ys, [0 if yes else None for yes in batched]


custom_vmap_p = Primitive(
    "custom_vmap",
    implementation=_implementation,
    abstract=_abstract,
    batch=_batch,
    inline=_inline,
    multiple_results=True,
)


def custom_vmap(args: Sequence[Any], jaxpr: Jaxpr, rule: BatchRule, captured: int) -> list[Any]:
    """The results of a jaxpr, with a rule for batches of all operands but the first few."""
    return list(bind(custom_vmap_p, *args, jaxpr=jaxpr, rule=rule, captured=captured))
