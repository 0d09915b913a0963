"""How is a nest run through: which counters become one, in which order they count, and which is a vector's.

All that is decided here changes speed and memory traffic, never results (but for the order of a sum).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import (
    UPDATES,
    Buffer,
    Counter,
    Expression,
    Nest,
    Shape,
    Statement,
)
from funcgrad.compiler.rewriting import rewritten
from funcgrad.compiler.tiling import tiled

# What an access costs beside one of neighbours, in a vector of eight.
_REPEATED, _NEIGHBOURS, _STRIDED_LOAD, _STRIDED_STORE = 0.3, 1.0, 6.0, 12.0
# Reading across rows of a matrix beyond this size in bytes misses the cache and its prefetching.
_CACHE = 1 << 20
# What a core has nearest to it, and how many bytes it holds together.
_FIRST_CACHE, _LINE = 32 << 10, 64


class Plan(NamedTuple):
    """How a nest is run through.

    Attributes:
        nest: The nest with fewer counters.
        order: Its counters from the outermost to the innermost loop.
        vector: The counter that is taken by vectors; None for one by one.
        bits: The width in bits of the widest number that is computed.
    """

    nest: Nest
    order: Shape
    vector: int | None
    bits: int


def plan(nest: Nest) -> Plan:
    """Decide how to run through a nest."""
    if not nest.points:
        return Plan(nest, tuple(range(len(nest.extents))), None, 64)
    nest = collapsed(nest)
    bits = max((_bits(x) for s in nest.statements for x in s.expressions()), default=64)
    axes = tuple(range(len(nest.extents)))
    if nest.ordered or not axes:
        return Plan(nest, axes, None, bits)
    vector = vector_axis(list(accesses(nest)), {a: nest.extents[a] for a in axes if a not in nest.sequential})
    across = None if vector is None else _read_across(nest, vector)
    if vector is not None and across is not None:
        return _by_lines(nest, vector, across, bits)
    nest = tiled(nest, vector)
    return Plan(nest, _order(nest, vector), vector, bits)


def _bits(x: Expression) -> int:
    return 8 * x.dtype.itemsize if x.dtype.kind != "c" else 4 * x.dtype.itemsize


Place: TypeAlias = tuple[Buffer, Index, bool]
"""An element of a buffer, and whether it is stored."""


def accesses(nest: Nest) -> Iterator[Place]:
    """The distinct places that a nest loads from (False) and stores to (True)."""
    seen: set[Place] = set()
    for s in nest.statements:
        places: list[Place] = [(s.buffer, s.index, True)]
        places += [(x.buffer, x.index, False) for x in s.loads()]
        for place in places:
            if place not in seen:
                seen.add(place)
                yield place


# Collapsing: two counters that always count on where the other stops are one ----------------------------------------


def collapsed(nest: Nest) -> Nest:
    """A nest with as few counters as possible."""
    if nest.ordered or nest.sequential:
        return nest
    affine = {i for _, i, _ in accesses(nest) if type(i) is Affine}
    affine |= {x.index for s in nest.statements for x in s.expressions() if type(x) is Counter}
    merged = runs(nest, affine)
    if all(len(group) == 1 for group in merged) and len(merged) == len(nest.extents):
        return nest
    return _renumbered(nest, merged)


def runs(nest: Nest, affine: set[Affine]) -> list[tuple[int, ...]]:
    """The counters that can be one, from the outermost to the innermost; those that do not count are in none.

    Args:
        nest: The nest.
        affine: All affine functions of its counters.
    """
    extents = dict(enumerate(nest.extents))
    parted = None if nest.window is None else nest.window.axis
    merged: dict[int, tuple[int, ...]] = {axis: (axis,) for axis in extents if extents[axis] > 1 or axis == parted}
    again = True
    while again:
        again = False
        for outer in list(merged):
            for inner in list(merged):
                if outer == inner or parted in (outer, inner):
                    continue
                if _continues(affine, merged[outer][-1], merged[inner], extents):
                    merged[outer] += merged.pop(inner)
                    again = True
                    break
            if again:
                break
    return [merged[axis] for axis in sorted(merged)]


def _continues(affine: set[Affine], last: int, inner: tuple[int, ...], extents: dict[int, int]) -> bool:
    """Whether counter `last` is everywhere worth one whole run of the counters `inner`."""
    size = 1
    for axis in inner:
        size *= extents[axis]
    return all(i.coefficient(last) == i.coefficient(inner[-1]) * size for i in affine)


def _renumbered(nest: Nest, groups: list[tuple[int, ...]]) -> Nest:
    """The nest with one counter for each group."""
    extents = []
    new: dict[int, tuple[int, int]] = {}  # of each group's last counter: number and extent
    for number, group in enumerate(groups):
        size = 1
        for axis in group:
            size *= nest.extents[axis]
        extents.append(size)
        new[group[-1]] = (number, size)

    def affine(i: Affine) -> Affine:
        terms = [term for term in i.terms if term[0] < 0]
        terms += [(new[a][0], c, new[a][1]) for a, c, n in i.terms if a in new]
        return Affine(i.offset, tuple(sorted(terms)))

    known: dict[int, Expression] = {}
    made = Nest(tuple(extents), [rewritten(s, affine, known) for s in nest.statements])
    if nest.window is not None:
        made.window = nest.window._replace(axis=new[nest.window.axis][0])
    return made


# Order -------------------------------------------------------------------------------------------------------------


def vector_axis(places: Sequence[Place], extents: Mapping[int, int]) -> int | None:
    """The counter whose neighbours are nearest in memory; of several the one that counts furthest.

    Args:
        places: What is accessed.
        extents: How far the counters in question count.
    """

    def waste(axis: int) -> tuple[float, int]:
        # A counter that ends within a vector wastes the rest of it.
        filled = extents[axis] / (8 * -(-extents[axis] // 8))
        return price(places, axis) / filled, -extents[axis]

    return min(extents, key=waste, default=None)


def price(places: Sequence[Place], axis: int) -> float:
    """What it costs to access places by vectors of a counter."""
    total = 0.0
    for _, index, stored in places:
        stride = index.coefficient(axis) if type(index) is Affine else None
        if stride == 0:
            total += _REPEATED
        elif stride == 1:
            total += _NEIGHBOURS
        else:
            total += _STRIDED_STORE if stored else _STRIDED_LOAD
    return total


def _read_across(nest: Nest, vector: int) -> int | None:
    """The counter along which is read what the vector's counter runs across, as in a transpose of a large matrix."""
    if nest.sequential or nest.window is not None or any(s.combine is not None for s in nest.statements):
        return None
    for buffer, index, stored in accesses(nest):
        line = _LINE // buffer.dtype.itemsize
        if stored or type(index) is not Affine or buffer.nbytes < _FIRST_CACHE or nest.extents[vector] % line:
            continue
        if abs(index.coefficient(vector)) >= line:
            near = [a for a, n in enumerate(nest.extents) if a != vector and index.coefficient(a) == 1 and n >= line]
            if near:
                return near[0]
    return None


def _by_lines(nest: Nest, vector: int, across: int, bits: int) -> Plan:
    """The vector's counter in two, so that lines of what is read across are used up while they are in the cache."""
    line = _LINE * 8 // bits
    inner, extent = len(nest.extents), nest.extents[vector]
    if extent % line or extent == line:
        return Plan(nest, _order(nest, vector), vector, bits)

    def affine(i: Affine) -> Affine:
        factor = i.coefficient(vector)
        if not factor:
            return i
        rest = [term for term in i.terms if term[0] != vector]
        return Affine(i.offset, tuple(sorted([*rest, (vector, factor * line, extent // line), (inner, factor, line)])))

    known: dict[int, Expression] = {}
    extents = [extent // line if axis == vector else n for axis, n in enumerate(nest.extents)]
    made = Nest((*extents, line), [rewritten(s, affine, known) for s in nest.statements])
    order = [axis for axis in _order(nest, vector) if axis not in (vector, across)]
    return Plan(made, (*order, vector, across, inner), inner, bits)


def kept_axes(statement: Statement) -> set[int]:
    """The counters that tell an accumulation's results apart."""
    return {a for a, _, _ in statement.index.terms} if type(statement.index) is Affine else set()


def _order(nest: Nest, vector: int | None) -> Shape:
    axes = [axis for axis in range(len(nest.extents)) if axis not in nest.sequential]
    sums = [s for s in nest.statements if s.combine is not None and s.combine not in UPDATES]
    places = list(accesses(nest))

    def jump(axis: int) -> int:
        return max((abs(i.coefficient(axis)) for _, i, _ in places if type(i) is Affine), default=0)

    # Large strides outside, small ones inside.
    axes.sort(key=lambda axis: (-jump(axis), axis))
    if sums:
        kept = set.intersection(*map(kept_axes, sums))
        stored = any(s.combine is None for s in nest.statements)
        if not stored or vector not in kept:
            inside = [axis for axis in axes if axis not in kept]
            if vector is None or vector not in kept or _fits_across(nest, vector, inside):
                axes = [axis for axis in axes if axis in kept] + inside
                return (*nest.sequential, *axes)
    if vector is not None and axes:
        axes.remove(vector)
        axes.append(vector)
    return (*nest.sequential, *axes)


def _fits_across(nest: Nest, vector: int, inside: list[int]) -> bool:
    """Whether to sum across rows with the results in registers, since what is read stays in the cache."""
    footprint = 0.0
    for buffer, index, stored in accesses(nest):
        if stored or type(index) is not Affine or not index.coefficient(vector):
            continue
        if any(index.coefficient(axis) for axis in inside):
            w = nest.window
            part = 1.0 if w is None or not index.coefficient(w.axis) else min(1.0, w.block / nest.extents[w.axis])
            footprint = max(footprint, part * buffer.nbytes)
    return footprint <= _CACHE
