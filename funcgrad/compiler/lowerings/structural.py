"""Lowerings of `primitives/structural.py`: index maps, conversions, and the sum."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.reductions import mapped, reduced
from funcgrad.compiler.tensors import Tensor, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import complex
from funcgrad.kernels.complex import PARTS
from funcgrad.primitives import structural

Shape: TypeAlias = tuple[int, ...]
Dtype: TypeAlias = np.dtype[Any]


@lowers(structural.cast_p, structural.truncate_p, complex_numbers=True)
def _cast(lowering: Lowering, eqn: Equation, x: Tensor, dtype: Dtype) -> Any:
    return lowering.cast(x, np.dtype(dtype))


@lowers(structural.reshape_p, complex_numbers=True)
def _reshape(lowering: Lowering, eqn: Equation, x: Tensor, shape: Shape) -> Any:
    return lowering.reshaped(x, shape)


@lowers(structural.transpose_p, complex_numbers=True)
def _transpose(lowering: Lowering, eqn: Equation, x: Tensor, permutation: Shape) -> Any:
    inverse = [permutation.index(axis) for axis in range(len(permutation))]
    shape = eqn.outputs[0].aval.shape
    return moved(x, shape, lambda index: tuple(index[k] for k in inverse))


@lowers(structural.broadcast_p, complex_numbers=True)
def _broadcast(lowering: Lowering, eqn: Equation, x: Tensor, shape: Shape) -> Any:
    return lowering.repeated(x, shape)


# The sum -------------------------------------------------------------------------------------------------------------


@lowers(structural.reduce_sum_p, complex_numbers=True)
def _reduce_sum(
    lowering: Lowering,
    eqn: Equation,
    x: Tensor,
    axes: Shape | None = None,
    keepdims: bool = False,
    dtype: Dtype | None = None,
) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype.kind == "c":
        return _complex_sum(lowering, lowering.cast(x, aval.dtype), axes, aval.shape)
    return reduced(lowering, x, axes, "any" if aval.dtype.kind == "b" else "sum", aval.shape, aval.dtype)


def _complex_sum(lowering: Lowering, x: Tensor, axes: Shape | None, shape: Shape) -> Tensor:
    """The sums of the parts, as one number again."""
    part = np.dtype(PARTS[x.dtype].name)
    sums = [
        reduced(lowering, mapped(function, 0.0, part, x), axes, "sum", shape)
        for function in (complex.real, complex.imaginary)
    ]
    return mapped(complex.pair, 0.0, x.dtype, *sums)
