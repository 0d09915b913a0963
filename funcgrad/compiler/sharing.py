"""Which nests are the same but for their buffers? They are compiled once, as a function of pointers.

A Python loop that is written out, layers of one size, stages of a Runge-Kutta method: programs repeat themselves.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Hashable, Sequence

import numpy as np

from funcgrad.compiler.fusion import substitute
from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import Apply, Buffer, Constant, Counter, Expression, Load, Nest, Statement, Step, every

# From so many on: a function of its own takes LLVM twice the time of a part of a larger one.
_LEAST = 3


class Shape:
    """What a nest has in common with others: all but where its operands and results begin, and its window.

    Attributes:
        nest: The nest.
        key: Equal for nests of one shape; None for a nest that is like no other.
        places: Buffers with elements of them that operands and results begin at, in an order that nests of one shape
            have in common.
    """

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.places: dict[tuple[Buffer, int], int] = {}
        self._expressions: dict[int, int] = {}
        window = None if nest.window is None else nest.window._replace(shift=0)
        self._parts: list[Hashable] = [nest.extents, nest.sequential, nest.ordered, window]
        for s in nest.statements:
            value = self._number(s.expression)
            self._parts.append((self._access(s.buffer, s.index), value, s.combine))
        apart = nest.inline or any(buffer.place in ("stack", "frame") for buffer, _ in self.places)
        self.key = None if apart else tuple(self._parts)

    def _access(self, buffer: Buffer, index: Index) -> Hashable:
        place = buffer, index.offset if type(index) is Affine else 0
        if place not in self.places:
            self.places[place] = len(self.places)
            # Of its size no more is asked than which cache it fits.
            self._parts.append((buffer.nbytes.bit_length(), buffer.dtype, buffer.place))
        rest = index.terms if type(index) is Affine else self._number(index)  # type: ignore[arg-type]
        return self.places[place], rest

    def _number(self, x: Expression) -> int:
        """The number of an expression, which is described when it is first met."""
        if id(x) not in self._expressions:
            description = self._description(x)
            self._parts.append((type(x), x.dtype, description))
            self._expressions[id(x)] = len(self._expressions)
        return self._expressions[id(x)]

    def _description(self, x: Expression) -> Hashable:
        if type(x) is Load:
            return self._access(x.buffer, x.index)
        if type(x) is Apply:
            return x.function, tuple(map(self._number, x.operands)), x.own_cost
        if type(x) is Counter:
            return x.index
        if type(x) is Constant:
            return type(x.value), np.asarray(x.value, x.dtype).tobytes()
        return id(x)

    def of_pointers(self) -> tuple[Nest, dict[Buffer, str]]:
        """The nest with buffers that begin where its operands and results do, and names of pointers to them."""
        buffers = {
            (buffer, first): buffer if first == 0 else Buffer(buffer.size, buffer.dtype, buffer.place)
            for buffer, first in self.places
        }

        def load(x: Load) -> Load | None:
            return Load(*moved(x)) if type(x.index) is Affine else None

        def moved(x: Load | Statement) -> tuple[Buffer, Affine]:
            assert type(x.index) is Affine
            return buffers[x.buffer, x.index.offset], Affine(0, x.index.terms)

        known: dict[int, Expression] = {}
        nest = Nest(self.nest.extents, [], self.nest.sequential, self.nest.ordered)
        for s in self.nest.statements:
            if type(s.index) is Affine:
                buffer, index = moved(s)
            else:
                buffer, index = s.buffer, substitute(s.index, load, known)  # type: ignore[arg-type, assignment]
            nest.statements.append(Statement(buffer, index, substitute(s.expression, load, known), s.combine))
        nest.window = self.nest.window
        return nest, {buffer: f"%p{number}" for number, buffer in enumerate(buffers.values())}


def repeated(steps: Sequence[Step]) -> dict[Nest, Shape]:
    """The shapes of nests that occur often in a program."""
    nests = [step for step in every(steps) if type(step) is Nest]
    shapes = {nest: shape for nest in nests if (shape := Shape(nest)).key is not None}
    counts = Counts(shape.key for shape in shapes.values())
    return {nest: shape for nest, shape in shapes.items() if counts[shape.key] >= _LEAST}
