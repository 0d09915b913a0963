"""The rows of an array as so many results of one equation, for Python's loops and unpacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.tracing import Tracer
from funcgrad.primitives.kinds import shape_of, tangent_dtype, zeros_like
from funcgrad.primitives.shaping import stack
from funcgrad.primitives.structural import moveaxis

# unstack: y_0, y_1, ... = x[0], x[1], ... --------------------------------------------------------------------------


def _unstack_abstract(x: ShapedArray) -> tuple[ShapedArray, ...]:
    return (ShapedArray(x.shape[1:], x.dtype),) * x.shape[0]


def _unstack_vjp(cts: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], ids: Any, params: Any) -> tuple[Any]:
    if any(type(ct) is Tracer for ct in cts):
        return (stack([zeros_like(y) if ct is None else ct for ct, y in zip(cts, ys, strict=True)]),)
    total = np.zeros(shape_of(xs[0]), tangent_dtype(xs[0]))
    for i, ct in enumerate(cts):
        if ct is not None:
            total[i] = ct
    return (total,)


def _unstack_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int]]:
    ys = unstack(moveaxis(xs[0], dims[0], 1))
    return ys, [0] * len(ys)


unstack_p = Primitive(
    "unstack",
    implementation=tuple,
    abstract=_unstack_abstract,
    multiple_results=True,
    jvp=lambda tangents, y, xs, params: unstack(tangents[0]),
    vjp=_unstack_vjp,
    batch=_unstack_batch,
    is_linear=lambda active: True,
    structural=True,
)


def unstack(x: Any) -> tuple[Any, ...]:
    """The rows of x, one by one."""
    return tuple(bind(unstack_p, x))
