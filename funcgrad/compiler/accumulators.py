"""Reductions inside a nest: partial results in vector registers, as many as there are lanes and copies of the body.

A sum is that of at least as many partial sums as there are lanes; long ones are folded every few hundred elements
into a sum that keeps its rounding errors (Knuth's two-sum), so that the error does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from funcgrad.compiler.indices import Affine, Expression, Index
from funcgrad.compiler.loops import Buffer, Nest, Statement
from funcgrad.compiler.ordering import kept_axes
from funcgrad.compiler.scalars import add, multiply
from funcgrad.compiler.scope import Scope
from funcgrad.kernels.assembly import BOOL, ELEMENTS, Builder, Element, Value, fma, select


class Emitting(Protocol):
    """What accumulators ask of the nest that is being emitted (`nests.NestEmitter`)."""

    scope: Scope
    builder: Builder
    nest: Nest
    order: tuple[int, ...]
    position: dict[int, int]
    depth: int
    vector: int | None
    width: int
    copies: int
    counters: dict[int, Value]
    mask: Value | None

    def value(self, x: Expression, copy: int = 0) -> Value:
        """The value of an expression that has been computed."""

    def splat(self, x: Value) -> Value:
        """A scalar in all lanes."""

    def product(self, x: Expression, copy: int) -> tuple[Value, Value] | None:
        """The factors of an expression that is only summed."""

    def load(self, buffer: Buffer, index: Index, copy: int) -> Value:
        """An element, or a vector of them."""

    def store(self, buffer: Buffer, index: Index, x: Value, copy: int) -> None:
        """Store an element, or a vector of them."""

    def fill(self, statement: Statement, number: Any) -> None:
        """Set all that a statement accumulates into to a number."""


# Additions into one partial sum before it is folded: as many as in NumPy's pairwise sum along the last axis; along the
# others NumPy's errors grow with the length.
_RUN_ACROSS, _RUN = 16, 64


def _maximum(x1: Value, x2: Value) -> Value:
    """The greater; NaN if either is. The processor's own instruction gives its second operand for NaN."""
    y = select(x2 > x1, x2, x1)
    return select(x2.is_nan(), x2, y) if x1.element.kind == "f" else y


def _minimum(x1: Value, x2: Value) -> Value:
    y = select(x2 < x1, x2, x1)
    return select(x2.is_nan(), x2, y) if x1.element.kind == "f" else y


COMBINE: dict[str, Callable[[Value, Value], Value]] = {
    "sum": add,
    "add": add,
    "product": multiply,
    "scale": multiply,
    "maximum": _maximum,
    "raise": _maximum,
    "minimum": _minimum,
    "lower": _minimum,
    "any": lambda x1, x2: x1 | x2,
    "all": lambda x1, x2: x1 & x2,
}


def neutral(combine: str, element: Element) -> Any:
    """What a reduction of nothing is; of minus zeros NumPy's sum, too, is zero."""
    if combine == "sum":
        return 0
    if combine == "product":
        return 1
    if combine in ("any", "all"):
        return combine == "all"
    low = combine == "maximum"
    if element.kind == "f":
        return -np.inf if low else np.inf
    if element is BOOL:
        return not low
    info = np.iinfo(element.name)
    return info.min if low else info.max


class Accumulator:
    """One reduction of a nest.

    Attributes:
        statement: Which.
        level: Inside of how many loops its partial results are set up; -1 where they are kept in the buffer itself.
        length: Of how many elements each result is.
        run: How many additions go into a partial sum before it is folded.
    """

    def __init__(self, emitter: Emitting, statement: Statement) -> None:
        self.emitter = emitter
        self.statement = statement
        self.element = ELEMENTS[statement.buffer.dtype]
        assert statement.combine is not None
        self.combine = statement.combine
        kept = kept_axes(statement)
        reduced = [axis for axis in emitter.order if axis not in kept]
        first = min((emitter.position[axis] for axis in reduced), default=emitter.depth)
        inside = emitter.order[first:]
        self.level = first if all(axis in reduced for axis in inside) else -1
        self.across = emitter.vector is not None and emitter.vector in reduced
        self.width = emitter.width
        self.run = _RUN_ACROSS if self.across or self.width == 1 else _RUN
        # Partial results; those of copies of the body are of one result where the vector runs across it, else of
        # their own, and so are folded sums.
        self._places: list[str] = []
        self._big: list[tuple[str, str]] = []
        self.length = 1
        for axis in inside:
            self.length *= emitter.nest.extents[axis]

    def prepare(self) -> None:
        """Before all loops: fill the buffer, where partial results are kept in it or there are none."""
        empty = not self.emitter.nest.points
        if self.level < 0 or empty:
            self.emitter.fill(self.statement, neutral(self.combine, self.element))

    def begin(self) -> None:
        """Set the partial results up."""
        e = self.emitter
        kind = self.element.of_width(self.width)
        start = e.builder.constant(neutral(self.combine, self.element), self.element, self.width)
        if not self._places:
            count = 4 if e.vector is not None else 1
            self._places = [e.scope.allocate(kind) for _ in range(count)]
            if self.folds():
                folded = 1 if self.across else count
                self._big = [(e.scope.allocate(kind), e.scope.allocate(kind)) for _ in range(folded)]
        for place in (*self._places, *[place for pair in self._big for place in pair]):
            e.builder.do(f"store {kind} {start.text}, ptr {place}")

    def folds(self) -> bool:
        """Whether the sum is so long that its errors have to be kept."""
        lanes = self.width if self.across else 1
        return (
            self.level >= 0
            and self.combine == "sum"
            and self.element.kind == "f"
            and self.length > 4 * self.run * lanes
        )

    def add(self, copy: int) -> None:
        """One more element, or vector of them."""
        e = self.emitter
        factors = e.product(self.statement.expression, copy)
        x = None if factors is not None else e.value(self.statement.expression, copy)
        if self.level < 0:
            self._add_in_memory(x, factors, copy)
            return
        y = self._load(self._places[copy])
        if factors is not None:
            first, second = (self._lanes(factor) for factor in factors)
            total = fma(first, second, y)
        else:
            assert x is not None
            total = COMBINE[self.combine](y, self._lanes(x))
        if e.mask is not None and self.across:
            total = select(e.mask, total, y)
        self._store(self._places[copy], total)

    def _lanes(self, x: Value) -> Value:
        return self.emitter.splat(x) if self.width > 1 else x

    def _load(self, place: str) -> Value:
        kind = self.element.of_width(self.width)
        return self.emitter.builder.emit(f"load {kind}, ptr {place}", self.element, self.width)

    def _store(self, place: str, x: Value) -> None:
        self.emitter.builder.do(f"store {x.type} {x.text}, ptr {place}")

    def _add_in_memory(self, x: Value | None, factors: tuple[Value, Value] | None, copy: int) -> None:
        e, s = self.emitter, self.statement
        index = s.index
        assert type(index) is Affine
        if self.across:
            # All lanes go into one element.
            if x is None:
                assert factors is not None
                x = (
                    factors[0] * factors[1]
                    if factors[0].width == factors[1].width
                    else (e.splat(factors[0]) * e.splat(factors[1]))
                )
            x = e.splat(x)
            if e.mask is not None:
                x = select(e.mask, x, x.like(neutral(self.combine, self.element)))
            x = self._horizontal(x)
            e.store(s.buffer, index, COMBINE[self.combine](e.load(s.buffer, index, copy), x), copy)
            return
        y = e.load(s.buffer, index, copy)
        if factors is not None:
            wide = max(y.width, factors[0].width, factors[1].width)
            first, second, y = (e.splat(v) if wide > 1 else v for v in (*factors, y))
            total = fma(first, second, y)
        else:
            assert x is not None
            wide = max(y.width, x.width)
            y, x = (e.splat(v) if wide > 1 else v for v in (y, x))
            total = COMBINE[self.combine](y, x)
        e.store(s.buffer, index, total, copy)

    # Long sums

    def fold(self) -> None:
        """Move the partial sums into the compensated one."""
        start = self.emitter.builder.constant(0.0, self.element, self.width)
        parts = [self._load(place) for place in self._places[: self.emitter.copies]]
        if self.across:
            parts = [self._combined(parts)]
        for x, big in zip(parts, self._big, strict=False):
            total, error = self._folded(big, x)
            self._store(big[0], total)
            self._store(big[1], error)
        for place in self._places[: self.emitter.copies]:
            self._store(place, start)

    def _combined(self, parts: list[Value]) -> Value:
        """Partial results as one, pair by pair."""
        while len(parts) > 1:
            parts = [COMBINE[self.combine](*parts[k : k + 2]) for k in range(0, len(parts), 2)]
        return parts[0]

    def _folded(self, big: tuple[str, str], x: Value) -> tuple[Value, Value]:
        """A folded sum and its errors, with a partial sum added to it (Knuth's two-sum)."""
        total, error = self._load(big[0]), self._load(big[1])
        y = total + x
        rest = y - total
        return y, error + ((total - (y - rest)) + (x - rest))

    # The end

    def end(self) -> None:
        """Combine the partial results and store the result, or one for each copy of the body."""
        e = self.emitter
        parts = [self._load(place) for place in self._places]
        if not self.across:
            for copy in range(e.copies):
                y = self._compensated(parts[copy], self._big[copy]) if self._big else parts[copy]
                e.store(self.statement.buffer, self.statement.index, y, copy)
            return
        x = self._combined(parts)
        y = self._compensated(x, self._big[0]) if self._big else self._horizontal(x)
        e.store(self.statement.buffer, self.statement.index, y, 0)

    def _compensated(self, x: Value, big: tuple[str, str]) -> Value:
        """The folded sum, its errors and what came last; without the errors where they are no numbers."""
        y, error = self._folded(big, x)
        if self.across:
            y, error = self._horizontal(y), self._horizontal(error)
        corrected = y + error
        return select(corrected.is_nan(), y, corrected)

    def _horizontal(self, x: Value) -> Value:
        """All lanes as one, by halves."""
        b, width = self.emitter.builder, x.width
        while width > 1:
            half = width // 2
            parts = []
            for start in (0, half):
                lanes = ", ".join(f"i32 {start + k}" for k in range(half))
                if half == 1:
                    parts.append(b.emit(f"extractelement {x.type} {x.text}, i64 {start}", x.element))
                else:
                    parts.append(
                        b.emit(
                            f"shufflevector {x.type} {x.text}, {x.type} poison, <{half} x i32> <{lanes}>",
                            x.element,
                            half,
                        )
                    )
            x, width = COMBINE[self.combine](parts[0], parts[1]), half
        return x


def fold_sometimes(emitter: Emitting, totals: Sequence[Accumulator]) -> None:
    """Every so many rounds of the innermost loop, move partial sums into the compensated ones."""
    e, b, axis = emitter, emitter.builder, emitter.order[-1]
    step = e.width * e.copies if axis == e.vector else 1
    for run in dict.fromkeys(total.run for total in totals):
        now, onward = b.label("fold"), b.label("onward")
        b.branch((e.counters[axis] & ((run - 1) * step)).equals(0), now, onward)
        b.start(now)
        for total in totals:
            if total.run == run:
                total.fold()
        b.jump(onward)
        b.start(onward)
