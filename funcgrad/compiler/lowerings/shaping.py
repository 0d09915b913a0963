"""Lowerings of `primitives/shaping.py`: index maps, and stores into parts of a buffer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.tensors import Tensor, affine_of, constant, moved, view
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import shaping

Shape = tuple[int, ...]


def part(y: Tensor, starts: Sequence[int], shape: Shape, steps: Sequence[int] | None = None) -> Tensor:
    """The part of a stored tensor from an element on, of a shape, every so many elements of each axis."""
    assert y.buffer is not None
    offset = y.offset.offset + sum(start * stride for start, stride in zip(starts, y.strides, strict=True))
    strides = y.strides if steps is None else tuple(s * step for s, step in zip(y.strides, steps, strict=True))
    return view(y.buffer, shape, strides, Affine(offset, y.offset.terms))


def store(lowering: Lowering, x: Tensor, place: Tensor) -> None:
    """Put x's elements into a part of a buffer that nothing else is put into."""
    if x.buffer is None:
        lowering.fusion.realise(x, place)
    else:  # it stays where it is, too
        lowering.fusion.realise(Tensor(x.shape, x.dtype, x.at), place)


@lowers(shaping.flip_p, complex_numbers=True)
def _flip(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape) -> Any:
    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(affine_of(i, -1, x.shape[k] - 1) if k in axes else i for k, i in enumerate(index))

    return moved(x, x.shape, index_map)


@lowers(shaping.concatenate_p, complex_numbers=True)
def _concatenate(lowering: Lowering, eqn: Equation, *xs: Tensor, axis: int) -> Any:
    aval = eqn.outputs[0].aval
    y = lowering.fusion.buffer(aval.shape, aval.dtype)
    starts = [0] * len(aval.shape)
    for x in xs:
        store(lowering, lowering.cast(x, aval.dtype), part(y, starts, x.shape))
        starts[axis] += x.shape[axis]
    return y


@lowers(shaping.stack_p, complex_numbers=True)
def _stack(lowering: Lowering, eqn: Equation, *xs: Tensor, axis: int) -> Any:
    aval = eqn.outputs[0].aval
    y = lowering.fusion.buffer(aval.shape, aval.dtype)
    assert y.buffer is not None
    strides = (*y.strides[:axis], *y.strides[axis + 1 :])
    for i, x in enumerate(xs):
        place = view(y.buffer, x.shape, strides, Affine(i * y.strides[axis]))
        store(lowering, lowering.cast(x, aval.dtype), place)
    return y


@lowers(shaping.roll_p, complex_numbers=True)
def _roll(lowering: Lowering, eqn: Equation, x: Tensor, shifts: Shape, axes: Shape) -> Any:
    total = [0] * len(x.shape)
    for shift, axis in zip(shifts, axes, strict=True):
        total[axis] += shift
    cuts = [n and shift % n for shift, n in zip(total, x.shape, strict=True)]
    if not any(cuts):
        return x
    y = lowering.fusion.buffer(x.shape, x.dtype)
    # Of each axis the two parts (from, to, length).
    halves = [
        [(0, cut, n - cut), (n - cut, 0, cut)] if cut else [(0, 0, n)] for cut, n in zip(cuts, x.shape, strict=True)
    ]
    for parts in itertools.product(*halves):
        sources, targets, shape = zip(*parts, strict=True)
        store(lowering, _window(x, sources, shape), part(y, targets, shape))
    return y


def _window(x: Tensor, starts: Shape, shape: Shape) -> Tensor:
    return moved(x, shape, lambda index: tuple(affine_of(i, 1, start) for i, start in zip(index, starts, strict=True)))


@lowers(shaping.diagonal_p, complex_numbers=True)
def _diagonal(lowering: Lowering, eqn: Equation, x: Tensor, offset: int) -> Any:
    row, column = max(-offset, 0), max(offset, 0)

    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return (*index[:-1], affine_of(index[-1], 1, row), affine_of(index[-1], 1, column))

    return moved(x, eqn.outputs[0].aval.shape, index_map)


@lowers(shaping.embed_diagonal_p, complex_numbers=True)
def _embed_diagonal(lowering: Lowering, eqn: Equation, x: Tensor, offset: int, matrix: tuple[int, int]) -> Any:
    aval = eqn.outputs[0].aval
    y = lowering.fusion.buffer(aval.shape, aval.dtype)
    assert y.buffer is not None
    lowering.fusion.realise(constant(0, aval.dtype, aval.shape), y)
    columns = matrix[1]
    start = max(-offset, 0) * columns + max(offset, 0)
    place = view(y.buffer, x.shape, (*y.strides[:-2], columns + 1), Affine(start))
    lowering.fusion.overwrite(x, place)
    return y
