"""Primitives that change no value: stop_gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import nondifferentiable

# stop_gradient: y = x, without derivative --------------------------------------------------------------------------


def _stop_gradient_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return stop_gradient(xs[0]), dims[0]


def _stop_gradient_abstract(x: ShapedArray) -> ShapedArray:
    return x


stop_gradient_p = nondifferentiable(
    "stop_gradient",
    implementation=lambda x: x,
    abstract=_stop_gradient_abstract,
    batch=_stop_gradient_batch,
)


def stop_gradient(x: Any) -> Any:
    """x, as a constant to every derivative."""
    return bind(stop_gradient_p, x)
