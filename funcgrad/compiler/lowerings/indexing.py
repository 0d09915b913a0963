"""Lowerings of `primitives/indexing.py`: index maps, with computed indices where there are index arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.compiler import scalars
from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import BOOL, INT64, Apply, Constant, Expression, Nest, Statement
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.shaping import part, store
from funcgrad.compiler.tensors import Tensor, affine_of, constant, flat_index, identity, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import indexing
from funcgrad.primitives.index import Index as Selection
from funcgrad.primitives.structural import broadcast_shapes

Shape = tuple[int, ...]

# What an ordered nest, one number at a time, may compute itself.
_CHEAP = 2.0


class Selected:
    """What an index selects of an array of a shape, its index arrays checked.

    Attributes:
        shape: The selection's shape.
        array_axes: Which of its axes are the index arrays'.
    """

    def __init__(self, lowering: Lowering, index: Selection, shape: Shape, arrays: Sequence[Tensor]) -> None:
        place, _ = index.arrays_place()
        picked = broadcast_shapes([a.shape for a in arrays]) if arrays else ()
        self.array_axes = tuple(range(place, place + len(picked)))
        self._entries = _whole_entries(index, shape)
        self._arrays: list[Tensor] = []
        axis, remaining = 0, iter(arrays)
        for entry in self._entries:
            if type(entry) is str:
                self._arrays.append(lowering.repeated(_checked(lowering, next(remaining), shape[axis]), picked))
            axis += entry is not None

    def source(self, index: tuple[Index, ...]) -> tuple[Index, ...]:
        """Where in the array an element of the selection is."""
        first, last = (self.array_axes[0], self.array_axes[-1] + 1) if self.array_axes else (0, 0)
        rest, picked = iter(index[:first] + index[last:]), index[first:last]
        arrays = iter(self._arrays)
        result: list[Index] = []
        for entry in self._entries:
            if entry is None:
                next(rest)
            elif type(entry) is tuple:
                start, _, step = entry
                result.append(affine_of(next(rest), step, start))
            elif type(entry) is str:
                result.append(_position(next(arrays).at(picked)))
            else:
                result.append(Affine(entry))
        return tuple(result)


def _position(x: Expression) -> Index:
    return Affine(int(x.value)) if type(x) is Constant else x


def _whole_entries(index: Selection, shape: Shape) -> list[Any]:
    """An index's entries, with those of the axes that it does not name."""
    taken = sum(entry is not None for entry in index.entries)
    return [*index.entries, *((0, n, 1) for n in shape[taken:])]


def _checked(lowering: Lowering, array: Tensor, size: int) -> Tensor:
    """An index array without negative numbers; NumPy takes over where one is out of bounds."""
    array = lowering.cast(array, INT64)
    lowering.fusion.realise(array)
    low, high = Constant(-size, INT64), Constant(size, INT64)

    def inside(index: tuple[Index, ...]) -> Expression:
        i = array.at(index)
        parts = Apply(scalars.greater_equal, (i, low), BOOL), Apply(scalars.less, (i, high), BOOL)
        return Apply(scalars.logical_and, parts, BOOL)

    lowering.require(Tensor(array.shape, BOOL, inside), "an index is out of bounds")
    # Nothing may load by these indices before they are checked.
    lowering.fusion.hold(array)

    def wrapped(index: tuple[Index, ...]) -> Expression:
        return Apply(scalars.wrapped_index, (array.at(index), high), INT64, 0.0)

    return Tensor(array.shape, INT64, wrapped)


# Reading -----------------------------------------------------------------------------------------------------------


@lowers(indexing.basic_index_p, complex_numbers=True)
def _basic_index(lowering: Lowering, eqn: Equation, x: Tensor, index: Selection) -> Any:
    return moved(x, eqn.outputs[0].aval.shape, Selected(lowering, index, x.shape, ()).source)


@lowers(indexing.gather_p, complex_numbers=True)
def _gather(lowering: Lowering, eqn: Equation, x: Tensor, *arrays: Tensor, index: Selection) -> Any:
    if any(a.dtype == BOOL for a in arrays):
        return NotImplemented
    if x.cost > 0.0:
        lowering.fusion.realise(x)
    selected = Selected(lowering, index, x.shape, arrays)
    shape = eqn.outputs[0].aval.shape
    return Tensor(shape, x.dtype, lambda i: x.at(selected.source(i)))


# Writing into zeros ------------------------------------------------------------------------------------------------


@lowers(indexing.embed_p, complex_numbers=True)
def _embed(lowering: Lowering, eqn: Equation, x: Tensor, index: Selection, shape: Shape) -> Any:
    y = lowering.fusion.buffer(shape, x.dtype)
    entries = [entry for entry in _whole_entries(index, shape) if entry is not None]
    starts, steps, lengths = [], [], []
    for entry in entries:
        start, stop, step = entry if type(entry) is tuple else (entry, entry + 1, 1)
        starts.append(start)
        steps.append(step)
        lengths.append(len(range(start, -1 if stop is None else stop, step)))
    x = lowering.reshaped(x, tuple(lengths))
    if any(step != 1 and n > 1 for step, n in zip(steps, lengths, strict=True)):
        lowering.fusion.realise(constant(0, x.dtype, shape), y)
        lowering.fusion.overwrite(x, part(y, starts, x.shape, steps))
        return y
    if x.size:
        store(lowering, x, part(y, starts, x.shape))
    for corner, block in _around(starts, lengths, shape) if x.size else [([0] * len(shape), shape)]:
        lowering.fusion.realise(constant(0, x.dtype, block), part(y, corner, block))
    return y


def _around(starts: Sequence[int], lengths: Sequence[int], shape: Shape) -> list[tuple[list[int], Shape]]:
    """Blocks, by corner and shape, that fill an array around one block."""
    blocks = []
    for axis, (start, length, n) in enumerate(zip(starts, lengths, shape, strict=True)):
        for first, count in ((0, start), (start + length, n - start - length)):
            if count:
                corner = [*starts[:axis], first, *([0] * (len(shape) - axis - 1))]
                blocks.append((corner, (*lengths[:axis], count, *shape[axis + 1 :])))
    return blocks


@lowers(indexing.scatter_sum_p, complex_numbers=True)
def _scatter_sum(lowering: Lowering, eqn: Equation, x: Tensor, *arrays: Tensor, index: Selection, shape: Shape) -> Any:
    if any(a.dtype == BOOL for a in arrays):
        return NotImplemented
    y = lowering.fusion.buffer(shape, x.dtype)
    lowering.fusion.realise(constant(0, x.dtype, shape), y)
    update(lowering, y, Selected(lowering, index, shape, arrays), x, "add")
    return y


def update(lowering: Lowering, y: Tensor, selected: Selected, x: Tensor, combine: str) -> None:
    """Combine what is selected of a stored tensor with x, element after element of the index arrays."""
    if not x.size:
        return
    if selected.array_axes and x.cost > _CHEAP:
        lowering.fusion.realise(x)
    assert y.buffer is not None
    place = identity(x.shape)
    flat = flat_index(selected.source(place), y.strides, y.offset)
    statement = Statement(y.buffer, flat, x.at(place), combine)
    if selected.array_axes or type(flat) is not Affine:
        lowering.fusion.append(Nest(x.shape, [statement], sequential=selected.array_axes))
    else:  # each element once
        lowering.fusion.add(x.shape, statement)
