"""Which statements share a nest: the order of all that is computed, decided while a jaxpr is lowered.

A statement goes into the latest nest of its domain in which its operands are ready. What a nest stores it hands on to
later statements of the same point without loading it again, and what nobody else loads is never stored (`drop_dead`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import (
    UPDATES,
    Apply,
    Branch,
    Buffer,
    Expression,
    Load,
    Loop,
    Nest,
    Shape,
    Statement,
    Step,
)
from funcgrad.compiler.tensors import Tensor, flat_index, identity, lies_by_columns, moved, view

# A nest that computes more at once would run out of registers.
_MOST_STATEMENTS = 24
_MOST_COST = 400.0


class Fusion:
    """A program under construction.

    Attributes:
        steps: In the order of execution.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._ready: dict[Buffer, int] = {}
        self._last_read: dict[Buffer, int] = {}
        self._nests: dict[Shape, list[int]] = {}
        # The functions that each nest applies, by identity, and their cost.
        self._applied: dict[int, tuple[set[int], float]] = {}

    def buffer(self, shape: Shape, dtype: np.dtype[Any]) -> Tensor:
        """Workspace for an array."""
        size = 1
        for n in shape:
            size *= n
        return view(Buffer(size, dtype), shape)

    def has_written(self, buffer: Buffer) -> bool:
        """Whether a step so far writes a buffer of the workspace."""
        return buffer.place == "workspace" and buffer in self._ready

    def append(self, step: Step) -> None:
        """Add a step behind all others."""
        self.steps.append(step)
        for buffer in step.writes():
            self._ready[buffer] = len(self.steps) - 1
        for buffer in step.reads():
            self._last_read[buffer] = len(self.steps) - 1

    def realise(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        """x with its elements stored, in a given place if it matters; x itself is the stored tensor afterwards."""
        if x.buffer is not None and into is None:
            return x
        target = into or self._place_for(x)
        if x.size:
            index = identity(x.shape)
            assert target.buffer is not None
            flat = flat_index(index, target.strides, target.offset)
            self.add(x.shape, Statement(target.buffer, flat, x.at(index)))
        x.store(target)
        return x

    def laid_out(self, x: Tensor, layout: tuple[int, ...]) -> Tensor:
        """Workspace for an array with its axes in an order in memory."""
        y = self.buffer(tuple(x.shape[axis] for axis in layout), x.dtype)
        return moved(y, x.shape, lambda index: tuple(index[axis] for axis in layout))

    def _place_for(self, x: Tensor) -> Tensor:
        """Workspace for an array, laid out as what it is made of if that matters."""
        if not lies_by_columns(x):
            return self.buffer(x.shape, x.dtype)
        *stack, count, length = range(len(x.shape))
        return self.laid_out(x, (*stack, length, count))

    def overwrite(self, x: Tensor, place: Tensor) -> None:
        """Store x's elements in a part of a buffer, after all that is stored there already."""
        if x.size:
            index = identity(x.shape)
            assert place.buffer is not None
            flat = flat_index(index, place.strides, place.offset)
            self.append(Nest(x.shape, [Statement(place.buffer, flat, x.at(index))]))

    def stored_in(self, buffer: Buffer) -> int:
        """The number of the step that was the last to store in a buffer; -1 for none."""
        return self._ready.get(buffer, -1)

    def hold(self, x: Tensor) -> None:
        """Let everything that loads from a stored tensor from now on come after all steps so far."""
        assert x.buffer is not None
        self._ready[x.buffer] = len(self.steps) - 1

    def contiguous(self, x: Tensor) -> Tensor:
        """x stored in C order at the beginning of a buffer of its own."""
        self.realise(x)
        assert x.buffer is not None
        if x.is_contiguous() and x.offset.offset == 0 and not x.offset.terms and x.buffer.size == x.size:
            return x
        copy = self.buffer(x.shape, x.dtype)
        y = Tensor(x.shape, x.dtype, x.at)
        return self.realise(y, copy)

    def reduce(
        self,
        extents: Shape,
        kept: Sequence[int],
        element: Expression,
        combine: str,
        shape: Shape,
        dtype: np.dtype[Any],
    ) -> Tensor:
        """The reduction of a nest's expression over all counters but `kept`, as a stored tensor of a shape."""
        y = self.buffer(shape, dtype)
        assert y.buffer is not None
        if not y.size:
            return y
        strides = [1] * len(kept)
        for i in range(len(kept) - 2, -1, -1):
            strides[i] = strides[i + 1] * extents[kept[i + 1]]
        counters = identity(extents)
        index = flat_index([counters[axis] for axis in kept], strides)
        self.add(extents, Statement(y.buffer, index, element, combine))
        return y

    def add(self, extents: Shape, statement: Statement) -> None:
        """Put a statement into a nest.

        A statement that overwrites what others read (a carried value of a loop) must be added after they are.
        """
        earliest = max((self._ready.get(load.buffer, -1) for load in statement.loads()), default=-1)
        last_read = self._last_read.get(statement.buffer, -1)
        if statement.combine in UPDATES:
            last_read = max(last_read, self._ready.get(statement.buffer, -1))
        for number in reversed(self._nests.get(extents, ())):
            if number < max(earliest, last_read):
                break
            nest = self.steps[number]
            assert type(nest) is Nest
            if number == last_read and not _reads_only_here(nest, statement):
                break
            merged: Statement | None = statement
            if number == earliest:
                merged = _forwarded(nest, statement)
                if merged is None:
                    break
            assert merged is not None
            if not self._has_room(number, merged):
                continue
            nest.statements.append(merged)
            self._ready[statement.buffer] = max(number, self._ready.get(statement.buffer, -1))
            for load in statement.loads():
                self._last_read[load.buffer] = max(number, self._last_read.get(load.buffer, -1))
            return
        self._nests.setdefault(extents, []).append(len(self.steps))
        self._applied[len(self.steps)] = _with_applied(set(), 0.0, statement)
        self.append(Nest(extents, [statement]))

    def _has_room(self, number: int, statement: Statement) -> bool:
        """Whether a nest takes a statement more; what it computes anyway is free."""
        nest = self.steps[number]
        assert type(nest) is Nest
        together = _with_applied(*self._applied[number], statement)
        if len(nest.statements) >= _MOST_STATEMENTS or together[1] > _MOST_COST:
            return False
        self._applied[number] = together
        return True


def _reads_only_here(nest: Nest, statement: Statement) -> bool:
    """Whether a nest loads from a statement's buffer only what the statement stores at the same point."""
    if type(statement.index) is not Affine or statement.combine is not None:
        return False
    found = [load for s in nest.statements for load in s.loads() if load.buffer is statement.buffer]
    return all(load.index == statement.index for load in found)


def _with_applied(known: set[int], cost: float, statement: Statement) -> tuple[set[int], float]:
    """The functions that a nest applies, by identity, and their cost, with those of a statement more."""
    new = [x for x in statement.expressions() if type(x) is Apply and id(x) not in known]
    return known | {id(x) for x in new}, cost + sum([x.own_cost for x in new])


def _forwarded(nest: Nest, statement: Statement) -> Statement | None:
    """The statement with a nest's own values in place of loads of what it stores; None if it cannot be in the nest."""
    stored = {s.buffer: s for s in nest.statements}
    if len(stored) < len(nest.statements) and any(
        sum(s.buffer is load.buffer for s in nest.statements) > 1 for load in statement.loads()
    ):
        return None
    for load in statement.loads():
        source = stored.get(load.buffer)
        if source is None:
            continue
        if source.combine is not None or type(load.index) is not Affine or source.index != load.index:
            return None

    def replace(load: Load) -> Expression | None:
        source = stored.get(load.buffer)
        return None if source is None else source.expression

    return Statement(
        statement.buffer,
        statement.index if type(statement.index) is Affine else substitute(statement.index, replace),  # type: ignore
        substitute(statement.expression, replace),
        statement.combine,
    )


def substitute(
    x: Expression, replace: Callable[[Load], Expression | None], known: dict[int, Expression] | None = None
) -> Expression:
    """An expression with other expressions in place of some loads; what is shared stays shared.

    Args:
        x: The expression.
        replace: What to put in place of a load; None for itself.
        known: What has been made of expressions by id, for several that share parts.
    """
    known = {} if known is None else known

    def visit(y: Expression) -> Expression:
        done = known.get(id(y))
        if done is None:
            done = known[id(y)] = _rebuilt(y, visit, replace)
        return done

    return visit(x)


def _rebuilt(
    y: Expression, visit: Callable[[Expression], Expression], replace: Callable[[Load], Expression | None]
) -> Expression:
    if type(y) is Load:
        other = replace(y)
        if other is not None:
            return other
        if isinstance(y.index, Expression):
            index: Index = visit(y.index)
            return y if index is y.index else Load(y.buffer, index)
        return y
    if type(y) is Apply:
        operands = [visit(operand) for operand in y.operands]
        if all(a is b for a, b in zip(operands, y.operands, strict=True)):
            return y
        return Apply(y.function, operands, y.dtype, y.own_cost)
    return y


def drop_dead(steps: Sequence[Step]) -> list[Step]:
    """The steps without stores that nobody reads, and without steps that do nothing more."""
    return _needed_steps(steps, set())


def _needed_steps(steps: Sequence[Step], needed: set[Buffer]) -> list[Step]:
    kept: list[Step] = []
    for step in reversed(steps):
        if type(step) is Nest:
            step.statements = [s for s in step.statements if s.buffer in needed or s.buffer.place == "output"]
            if not step.statements:
                continue
        elif all(b not in needed and b.place != "output" for b in step.writes()) and any(True for _ in step.writes()):
            continue
        if type(step) is Loop:
            # What any round reads, an earlier round must not lose.
            needed.update(step.reads())
            step.body = _needed_steps(step.body, set(needed))
            step.condition = _needed_steps(step.condition, set(needed))
        elif type(step) is Branch:
            step.branches = [_needed_steps(part, set(needed)) for part in step.branches]
        needed.update(step.reads())
        kept.append(step)
    return kept[::-1]
