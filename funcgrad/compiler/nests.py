"""One nest as assembly: loops in the planned order, invariants outside, one counter by vectors, the rest of it masked.

The nest `for i<n: y[i] = exp(x[i] + s)` becomes, with vectors of eight,

    s = load; loop i = 0, 8, ... of whole vectors: y[i:i+8] = exp(x[i:i+8] + s); the same for n % 8 lanes, masked
"""

from __future__ import annotations

from typing import Any

from funcgrad.compiler import accumulators, dividing, ordering, streaming
from funcgrad.compiler.elements import Elements
from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import UPDATES, Apply, Constant, Counter, Expression, Load, Nest, Statement, Window
from funcgrad.compiler.scalars import multiply
from funcgrad.compiler.scope import Scope
from funcgrad.kernels.assembly import BOOL, ELEMENTS, I64, Value, select
from funcgrad.kernels.complex import PARTS
from funcgrad.kernels.complex import constant as complex_constant

# Up to which cost of its expressions two vectors may take turns at the divider: their functions have room beside each
# other.
_MOST_COST_OF_TURNS = 60.0
# Sums of so few vectors are short, and so are loops of less than so many elements.
_SHORT, _LONG = 16, 4096


class NestEmitter(Elements):
    """A nest being emitted into a function of its own."""

    def __init__(self, scope: Scope, nest: Nest, vector_bits: int) -> None:
        super().__init__(scope)
        self.vector_bits = vector_bits
        self.nest_is_inline = nest.inline
        self.plan = ordering.plan(nest)
        self.nest = self.plan.nest
        self.order = self.plan.order
        self.depth = len(self.order)
        self.position = {axis: level for level, axis in enumerate(self.order)}
        self.vector = self.plan.vector
        self.width = self._width(vector_bits)
        if self.width == 1:
            self.vector = None
        self._axes: dict[int, int] = {}  # by id of an expression, the bits of the counters that it depends on
        self.copies = 1
        self.streamed = streaming.streamed(self.plan, self.width, vector_bits) if self.width > 1 else set()
        self._streams = False  # whether the loop being emitted stores past the cache
        self._fused = self._products_of_sums()
        self._levels = self._by_level()
        self._instead = self._beside_the_divider(vector_bits)
        # Values by (expression, copy), one dictionary for each level of loops that are open.
        self._frames: list[dict[tuple[int, int], Value]] = [{} for _ in range(self.depth + 1)]
        self.sums = [
            accumulators.Accumulator(self, s)
            for s in self.nest.statements
            if s.combine is not None and s.combine not in UPDATES
        ]
        self._by_statement = {id(x.statement): x for x in self.sums}

    def _width(self, vector_bits: int) -> int:
        if self.vector is None:
            return 1
        most, extent = vector_bits // self.plan.bits, self.nest.extents[self.vector]
        if self.nest_is_inline:
            # Masks would keep the arrays from being registers. One width alone: LLVM 22 joins narrow vectors that are
            # stored into wide ones that are loaded before they are there.
            return 4 if most >= 4 and extent % 4 == 0 else 1
        width = 1
        while width < most and width < extent:
            width *= 2
        return width

    def _products_of_sums(self) -> set[int]:
        """The products that are used only to be summed: they are added without being rounded."""
        uses: dict[int, int] = {}
        for s in self.nest.statements:
            for x in s.expressions():
                for part in _parts(x):
                    uses[id(part)] = uses.get(id(part), 0) + 1
            uses[id(s.expression)] = uses.get(id(s.expression), 0) + 1
        return {
            id(s.expression)
            for s in self.nest.statements
            if s.combine == "sum"
            and type(s.expression) is Apply
            and s.expression.function is multiply
            and s.expression.dtype.kind == "f"
            and uses[id(s.expression)] == 1
        }

    # What depends on what

    def axes_of(self, x: Expression) -> int:
        """The counters that an expression depends on, as bits."""
        known = self._axes.get(id(x))
        if known is None:
            if (type(x) is Load and type(x.index) is Affine) or type(x) is Counter:
                known = _bits(x.index)  # type: ignore[arg-type]
            else:
                known = 0
                for part in _parts(x):
                    known |= self.axes_of(part)
            self._axes[id(x)] = known
        return known

    def level_of(self, x: Expression) -> int:
        """The innermost loop that an expression depends on; -1 for none."""
        axes = self.axes_of(x)
        return max((level for axis, level in self.position.items() if axes >> axis & 1), default=-1)

    def is_vector(self, x: Expression) -> bool:
        """Whether an expression differs from lane to lane."""
        return self.vector is not None and bool(self.axes_of(x) >> self.vector & 1)

    def _by_level(self) -> list[list[Expression]]:
        levels: list[list[Expression]] = [[] for _ in range(self.depth + 1)]
        seen: set[int] = set()
        for s in self.nest.statements:
            for x in s.expressions():
                if id(x) not in seen:
                    seen.add(id(x))
                    if id(x) not in self._fused and type(x) is not Constant:
                        levels[self.level_of(x) + 1].append(x)
        return levels

    def _beside_the_divider(self, vector_bits: int) -> list[dividing.Instead]:
        if self.width == 1 or self.nest_is_inline:
            return [{}]
        vectors = [x for level in self._levels for x in level if self.is_vector(x)]
        return dividing.by_turns(vectors, vector_bits, 1 if self._cost() > _MOST_COST_OF_TURNS else 2)

    def _cost(self) -> float:
        return sum(s.expression.cost for s in self.nest.statements)

    # Loops

    def emit(self) -> None:
        """Emit the nest."""
        if self.nest.window is not None:
            self._part(self.nest.window)
            return
        self._whole()
        if self.streamed:
            streaming.finish(self.builder)

    def _whole(self) -> None:
        for total in self.sums:
            total.prepare()
        if self.nest.points:
            self._block(0)

    def _part(self, window: Window) -> None:
        """The part of the nest that this round of the loop around does; nothing is computed where that is none."""
        b, extent = self.builder, self.nest.extents[window.axis]
        shift = window.shift if self.scope.shift is None else self.scope.shift
        first = self.scope.outer[window.loop] * window.block + shift
        last = first + window.block
        low = select(first < 0, b.constant(0, I64), first)
        high = select(last > extent, b.constant(extent, I64), last)
        self._bounds = low, high
        some, onward = b.label("part"), b.label("parted")
        b.branch(low < high, some, onward)
        b.start(some)
        self._whole()
        b.jump(onward)
        b.start(onward)

    def _block(self, level: int) -> None:
        """What is done inside of `level` loops."""
        frame = self._frames[level] = {}
        for x in self._levels[level]:
            for copy in range(self.copies if self.is_vector(x) else 1):
                frame[id(x), copy] = self._compute(x, copy)
        for total in self.sums:
            if total.level == level:
                total.begin()
        window = self.nest.window
        if level == self.depth:
            self._statements()
        elif window is not None and window.axis == self.order[level]:
            self._part_of_loop(level, window)
        elif self.order[level] == self.vector:
            self._vector_loops(level)
        else:
            self._loop(level, 0, self.nest.extents[self.order[level]], 1)
        for total in self.sums:
            if total.level == level:
                total.end()

    def _loop(self, level: int, start: int, count: int, step: int) -> None:
        """`count` rounds of the loop at a level, its counter beginning at `start`."""
        axis, b = self.order[level], self.builder
        if count == 1 or self.nest_is_inline:
            for k in range(count):
                self.counters[axis] = b.constant(start + k * step, I64)
                self._block(level + 1)
            return
        before, label, after = b.block, b.label("loop"), b.label("done")
        b.jump(label)
        b.start(label)
        number, following = b.name(), b.name()
        place = len(b.lines)
        b.lines.append("")
        self.counters[axis] = Value(b, number, I64, 1)
        self._block(level + 1)
        b.do(f"{following} = add nuw nsw i64 {number}, {step}")
        again = b.name()
        b.do(f"{again} = icmp ult i64 {following}, {start + count * step}")
        b.lines[place] = f"  {number} = phi i64 [ {start}, %{before} ], [ {following}, %{b.block} ]"
        b.do(f"br i1 {again}, label %{label}, label %{after}")
        b.start(after)

    def _part_of_loop(self, level: int, window: Window) -> None:
        """The loop whose counter takes some of its values only."""
        b = self.builder
        low, high = self._bounds
        if self.nest.extents[window.axis] == 1:
            self.counters[window.axis] = b.constant(0, I64)
            self._block(level + 1)
            return
        if window.axis != self.vector:
            self._counted(level, low, high, 1)
            return
        low = self._counted(level, low, high, self.width)
        some, onward = b.label("rest"), b.label("rested")
        b.branch(low < high, some, onward)
        b.start(some)
        self.counters[window.axis] = low
        self.mask = self._lanes(1) < self.splat(high - low)
        b.cold = True
        self._block(level + 1)
        self.mask, b.cold = None, False
        b.jump(onward)
        b.start(onward)

    def _counted(self, level: int, low: Value, high: Value, step: int) -> Value:
        """Rounds of the loop at a level as long as `step` values are left below `high`; the first value left."""
        b = self.builder
        before, label, inside, after = b.block, b.label("loop"), b.label("body"), b.label("done")
        b.jump(label)
        b.start(label)
        number, following = b.name(), b.name()
        place = len(b.lines)
        b.lines.append("")
        counter = self.counters[self.order[level]] = Value(b, number, I64, 1)
        b.branch(counter + step <= high, inside, after)
        b.start(inside)
        self._block(level + 1)
        b.do(f"{following} = add nsw i64 {number}, {step}")
        b.lines[place] = f"  {number} = phi i64 [ {low.text}, %{before} ], [ {following}, %{b.block} ]"
        b.jump(label)
        b.start(after)
        return counter

    def fill(self, statement: Statement, number: Any) -> None:
        """Set all that a statement accumulates into to a number."""
        kept = ordering.kept_axes(statement)
        extents = tuple([n if axis in kept else 1 for axis, n in enumerate(self.nest.extents)])
        value = Constant(number, statement.buffer.dtype)
        nest = Nest(extents, [Statement(statement.buffer, statement.index, value)])
        if self.nest.window is not None and self.nest.window.axis in kept:
            nest.window = self.nest.window
        nest.inline = self.nest_is_inline
        NestEmitter(self.scope, nest, self.vector_bits).emit()

    def _vector_loops(self, level: int) -> None:
        """The loop whose counter is taken by vectors: by several, by one, and what is left."""
        extent = self.nest.extents[self.order[level]]
        copies = self._most_copies(extent)
        rounds = extent // (self.width * copies)
        done = rounds * self.width * copies
        if rounds:
            self.copies = copies
            self._whole_vectors(level, rounds)
            self.copies = 1
        whole = (extent - done) // self.width
        if whole:
            self._loop(level, done, whole, self.width)
            done += whole * self.width
        if done < extent:
            self.mask = self._mask(extent - done)
            self.builder.cold = done > 0
            self._loop(level, done, 1, self.width)
            self.mask, self.builder.cold = None, False

    def _whole_vectors(self, level: int, rounds: int) -> None:
        """The loop that does most of the work, in two versions if it may store past the cache."""
        if not self.streamed:
            self._loop(level, 0, rounds, self.width * self.copies)
            return
        b = self.builder
        aligned = streaming.are_aligned(self.scope, self.nest, self.streamed)
        labels, after = [b.label("streams"), b.label("stores")], b.label("stored")
        b.do(f"br i1 {aligned}, label %{labels[0]}, label %{labels[1]}")
        for label, self._streams in zip(labels, (True, False), strict=True):
            b.start(label)
            self._loop(level, 0, rounds, self.width * self.copies)
            b.jump(after)
        b.start(after)

    def _most_copies(self, extent: int) -> int:
        """How many vectors to take at once."""
        cost, turns = self._cost(), len(self._instead)
        if self.nest_is_inline or (cost > streaming.MOST_COST and turns == 1) or len(self.nest.statements) > 3:
            return 1
        if any(total.level >= 0 for total in self.sums):
            # Long sums wait for each addition; short ones of neighbours do not wait for each other.
            several = 4 if cost <= streaming.MOST_COST else 2
            copies = several if any(total.level >= 0 and total.length > _SHORT for total in self.sums) else 1
        else:
            # What is left of a short loop would be another one.
            copies = 2 if extent >= _LONG or extent % (2 * self.width) == 0 else 1
        while copies > 1 and extent < self.width * copies:
            copies //= 2
        return copies

    def _mask(self, lanes: int) -> Value:
        bits = ", ".join(f"i1 {'true' if k < lanes else 'false'}" for k in range(self.width))
        return Value(self.builder, f"<{bits}>", BOOL, self.width)

    # Values

    def value(self, x: Expression, copy: int = 0) -> Any:
        """The value of an expression that has been computed."""
        if type(x) is Constant:
            if x.dtype in PARTS:
                return complex_constant(self.builder, x.value, PARTS[x.dtype])
            return self.builder.constant(x.value, ELEMENTS[x.dtype])
        if not self.is_vector(x):
            copy = 0
        return self._frames[self.level_of(x) + 1][id(x), copy]

    def _compute(self, x: Expression, copy: int) -> Value:
        if type(x) is Counter:
            return self._count(x.index, copy)
        if type(x) is Load:
            return self.load(x.buffer, x.index, copy)
        assert type(x) is Apply
        operands = [self.value(part, copy) for part in x.operands]
        if any(operand.width > 1 for operand in operands):
            operands = [self.splat(operand) for operand in operands]
        return self._instead[copy % len(self._instead)].get(id(x), x.function)(*operands)

    # Statements

    def _statements(self) -> None:
        for s in self.nest.statements:
            for copy in range(self.copies):
                if s.combine is None:
                    streams = self._streams and id(s) in self.streamed
                    self.store(s.buffer, s.index, self.value(s.expression, copy), copy, streams)
                elif s.combine in UPDATES:
                    self._update(s, copy)
                else:
                    self._by_statement[id(s)].add(copy)
        folded = [total for total in self.sums if total.folds()]
        if folded:
            accumulators.fold_sometimes(self, folded)

    def _update(self, s: Statement, copy: int) -> None:
        x = self.value(s.expression, copy)
        if s.combine != "set":
            assert s.combine is not None
            y = self.load(s.buffer, s.index, copy)
            if y.width != x.width:
                x, y = self.splat(x), self.splat(y)
            x = accumulators.COMBINE[s.combine](y, x)
        self.store(s.buffer, s.index, x, copy)

    def product(self, x: Expression, copy: int) -> tuple[Value, Value] | None:
        """The factors of an expression that is only summed."""
        if id(x) not in self._fused:
            return None
        assert type(x) is Apply
        first, second = (self.value(part, copy) for part in x.operands)
        return first, second


def _parts(x: Expression) -> tuple[Expression, ...]:
    if type(x) is Apply:
        return x.operands
    if type(x) is Load and isinstance(x.index, Expression):
        return (x.index,)
    return ()


def _bits(index: Affine) -> int:
    bits = 0
    for axis, _, _ in index.terms:
        if axis >= 0:
            bits |= 1 << axis
    return bits
