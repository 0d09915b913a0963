"""Primitives that only move elements: index maps, and stores into parts of a buffer."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler.indices import ZERO, Index
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.tensors import Tensor, affine_of, moved, reshaped
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import identity, indexing, shaping, structural
from funcgrad.primitives.index import Index as Selection

Shape = tuple[int, ...]


@lowers(structural.reshape_p)
def _reshape(lowering: Lowering, eqn: Equation, x: Tensor, shape: Shape) -> Any:
    y = reshaped(x, shape)
    if y is None:
        y = reshaped(lowering.fusion.contiguous(x), shape)
    assert y is not None
    return y


@lowers(structural.transpose_p)
def _transpose(lowering: Lowering, eqn: Equation, x: Tensor, permutation: Shape) -> Any:
    inverse = [permutation.index(axis) for axis in range(len(permutation))]
    shape = eqn.outputs[0].aval.shape
    return moved(x, shape, lambda index: tuple(index[k] for k in inverse))


@lowers(structural.broadcast_p)
def _broadcast(lowering: Lowering, eqn: Equation, x: Tensor, shape: Shape) -> Any:
    return lowering.repeated(x, shape)


@lowers(identity.stop_gradient_p)
def _stop_gradient(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return x


@lowers(indexing.basic_index_p)
def _basic_index(lowering: Lowering, eqn: Equation, x: Tensor, index: Selection) -> Any:
    """x[index], a view."""
    shape = eqn.outputs[0].aval.shape
    entries = list(index.entries)
    taken = sum(entry is not None for entry in entries)
    entries += [(0, n, 1) for n in x.shape[taken:]]

    def index_map(i: tuple[Index, ...]) -> tuple[Index, ...]:
        result: list[Index] = []
        axis = 0
        for entry in entries:
            if entry is None:
                axis += 1
            elif type(entry) is tuple:
                start, _, step = entry
                result.append(affine_of(i[axis], step, start))
                axis += 1
            else:
                result.append(affine_of(ZERO, 1, entry))  # type: ignore[arg-type]
        return tuple(result)

    return moved(x, shape, index_map)


@lowers(shaping.flip_p)
def _flip(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape) -> Any:
    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(affine_of(i, -1, x.shape[k] - 1) if k in axes else i for k, i in enumerate(index))

    return moved(x, x.shape, index_map)
