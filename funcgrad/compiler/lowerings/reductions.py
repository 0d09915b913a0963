"""Reductions: nests over the operand's elements that accumulate."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.tensors import Tensor, identity
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import extrema, structural

Shape = tuple[int, ...]


def reduced(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape | None, combine: str, dtype: Any) -> Tensor:
    """x reduced over axes (None: all), each element converted first."""
    if axes is None:
        axes = tuple(range(len(x.shape)))
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    aval = eqn.outputs[0].aval
    element = cast(x.at(identity(x.shape)), dtype) if x.size else cast(_zero(x), dtype)
    return lowering.fusion.reduce(x.shape, kept, element, combine, aval.shape, dtype)


def _zero(x: Tensor) -> Any:
    from funcgrad.compiler.loops import Constant

    return Constant(0, x.dtype)


@lowers(structural.reduce_sum_p)
def _reduce_sum(
    lowering: Lowering,
    eqn: Equation,
    x: Tensor,
    axes: Shape | None = None,
    keepdims: bool = False,
    dtype: np.dtype[Any] | None = None,
) -> Any:
    return reduced(lowering, eqn, x, axes, "sum", eqn.outputs[0].aval.dtype)


@lowers(extrema.reduce_max_p)
def _reduce_max(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
    return reduced(lowering, eqn, x, axes, "maximum", x.dtype)


@lowers(extrema.reduce_min_p)
def _reduce_min(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
    return reduced(lowering, eqn, x, axes, "minimum", x.dtype)
