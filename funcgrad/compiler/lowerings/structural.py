"""Lowerings of `primitives/structural.py` and `primitives/identity.py`: index maps, and conversions."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.tensors import Tensor, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import identity, structural

Shape = tuple[int, ...]


@lowers(structural.cast_p, structural.truncate_p, complex_numbers=True)
def _cast(lowering: Lowering, eqn: Equation, x: Tensor, dtype: np.dtype[Any]) -> Any:
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


@lowers(identity.stop_gradient_p, complex_numbers=True)
def _stop_gradient(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return x
