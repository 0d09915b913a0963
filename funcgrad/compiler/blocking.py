"""Steps over large arrays are run block by block, so that what one step stores the next one finds in the cache.

Steps one after the other over arrays larger than the cache send every element to memory and back between any two of
them. Where step after step goes through the arrays in the same direction, they take turns instead: a loop in whose
round t each step does its points t B to (t + 1) B of one counter, a block. A step that reads elements beyond its own
block, which the steps before it have not come to yet, stays behind by so many: its shift. (Loop fusion with shifts.)

A sum over the counter that is divided is that of the blocks' sums; matrix products are divided alike. Groups with
products, and with stacks of products that are divided into members, go in step: without shifts.

An array that only one group of steps uses is no more than a block large, and what rounds leave to later ones of it is
moved to its beginning. What a group only reads, and what is cheaper to compute than to read, it computes itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from funcgrad.compiler import grouping
from funcgrad.compiler.accumulators import neutral
from funcgrad.compiler.fusion import drop_dead, substitute
from funcgrad.compiler.grouping import Group, Member, belongs, division_of, extent_of
from funcgrad.compiler.indices import ZERO, Affine, Index, add_affine
from funcgrad.compiler.loops import (
    Branch,
    Buffer,
    Call,
    Check,
    Constant,
    Exchange,
    Expression,
    Load,
    Loop,
    Nest,
    Round,
    Statement,
    Step,
    Window,
    every,
    loads,
    parts,
)
from funcgrad.compiler.rewriting import rewritten
from funcgrad.kernels.assembly import ELEMENTS

# Steps with arrays of so many bytes may be put off until after a group.
_LITTLE = 64 << 10
# Rows of arrays begin at multiples of so many elements.
_ALIGNMENT = 8
# The cost of what is computed again, and how much smaller its operands must be.
_CHEAP, _SMALLER = 3.0, 4


def blocked(steps: Sequence[Step]) -> list[Step]:
    """A program's steps, those in blocks that gain from it.

    Args:
        steps: Of a program, dead ones dropped.
    """
    if not _is_large([leaf for leaf in every(steps) if type(leaf) in (Nest, Call)]):
        return list(steps)
    return drop_dead(_blocked(steps, 0, Counter()))


def _blocked(steps: Sequence[Step], depth: int, elsewhere: Counter[Buffer]) -> list[Step]:
    """
    Args:
        depth: How many loops are around the steps.
        elsewhere: How many steps that are not among these, nor within these, mention an array.
    """
    made = []
    for number, step in enumerate(steps):
        others = elsewhere + _mentions([*steps[:number], *steps[number + 1 :]]) if parts(step) else elsewhere
        if type(step) is Loop:
            step.body = _blocked(step.body, depth + 1, others + _mentions(step.condition))
        elif type(step) is Branch:
            pieces = step.branches
            for k, piece in enumerate(pieces):
                rest = [x for other in (*pieces[:k], *pieces[k + 1 :]) for x in other]
                pieces[k] = _blocked(piece, depth, others + _mentions(rest))
        made.append(step)
    return _Blocking(made, depth, elsewhere).steps() if _is_large(made) else made


def _mentions(steps: Sequence[Step]) -> Counter[Buffer]:
    """How many steps read or write an array; of what contains steps, what it reads itself."""
    found: Counter[Buffer] = Counter()
    for step in steps:
        if type(step) is Branch:
            found[step.index] += 1
        elif type(step) is Loop and step.flag is not None:
            found[step.flag] += 1
        inner = parts(step)
        for piece in inner:
            found += _mentions(piece)
        if not inner:
            found.update({*step.reads(), *step.writes()})
    return found


def _is_large(steps: Sequence[Step], size: int | None = None) -> bool:
    buffers = {b for step in steps if type(step) in (Nest, Call) for b in (*step.reads(), *step.writes())}
    return sum(b.nbytes for b in buffers) > (grouping.WORTH if size is None else size)


class _Blocking:
    """A list of steps on its way into groups."""

    def __init__(self, steps: Sequence[Step], depth: int, elsewhere: Counter[Buffer]) -> None:
        self._steps = steps
        self._pieces = [piece for step in steps for piece in _pieces(step)]
        self._loop = -1 - depth
        self._elsewhere = elsewhere
        self._parts: list[Step | Group] = []

    def steps(self) -> list[Step]:
        """The steps, in blocks where that is worth it."""
        group: Group | None = None
        for step in self._pieces:
            group = self._put(step, group)
        self._parts.extend([] if group is None else group.behind.taken())
        if not any(type(part) is Group and part.pays() for part in self._parts):
            return list(self._steps)
        self._parts = [self._computing(part) if type(part) is Group and part.pays() else part for part in self._parts]
        leaves = [step for part in self._parts for step in _steps_of(part)]
        mentions = _mentions(leaves) + self._elsewhere
        made: list[Step] = []
        for part in self._parts:
            if type(part) is Group and part.pays():
                made.extend(self._loop_of(part, mentions))
            else:
                made.extend(_steps_of(part))
        return made

    def _put(self, step: Step, group: Group | None) -> Group | None:
        """Put a step into the group, before it, or behind it; returns the group that is open then."""
        if group is not None:
            if not group.behind.clashes(step):
                if _can_be_parted(step) and belongs(step, group) and group.take(step):
                    return group
                if type(step) in (Nest, Check) and _is_independent(step, group):
                    self._parts.insert(len(self._parts) - 1, step)
                    return group
            if type(step) is Nest and not _is_large([step], _LITTLE):
                group.behind.append(step)
                return group
            self._parts.extend(group.behind.taken())
        fresh = Group()
        if _can_be_parted(step) and fresh.take(step):
            self._parts.append(fresh)
            return fresh
        self._parts.append(step)
        return None

    def _computing(self, group: Group) -> Group:
        """A group that computes for itself what is cheaper to compute than to read."""
        again: dict[Buffer, tuple[Buffer, Affine]] = {}
        other = Group()
        for b in group.layouts:
            nest = self._recipe(b) if b not in group.written and group.layouts[b] is not None else None
            if nest is not None:
                copy = Buffer(b.size, b.dtype)
                if other.take(Nest(nest.extents, _moved(nest.statements, _same, {b: (copy, ZERO)}))):
                    again[b] = copy, ZERO
        if not again:
            return group
        taken = all(other.take(_renamed(m.step, again)) for m in group.members)
        return other if taken and other.pays() else group

    def _recipe(self, b: Buffer) -> Nest | None:
        """The steps' way to compute an array, if it is cheap and gives the same later on."""
        if b.nbytes < grouping.WORTH or self._elsewhere[b]:
            return None
        steps = [step for part in self._parts for step in _steps_of(part)]
        makers = [number for number, step in enumerate(steps) if b in set(step.writes())]
        nest = steps[makers[0]] if len(makers) == 1 else None
        if type(nest) is not Nest or nest.ordered or nest.sequential:
            return None
        (s, *more) = [s for s in nest.statements if s.buffer is b]
        sources = {load.buffer for load in loads(s.expression)}
        if more or s.combine is not None or s.expression.cost > _CHEAP or b in sources:
            return None
        changed = {x for step in steps[makers[0] :] for x in step.writes()}
        if sources & changed or _SMALLER * sum(x.nbytes for x in sources) > b.nbytes:
            return None
        if any(self._elsewhere[x] for x in sources if x.place not in ("input", "constant")):
            return None
        return Nest(nest.extents, [s])

    def _loop_of(self, group: Group, mentions: Counter[Buffer]) -> list[Step]:
        """A group as a loop, and what has to be stored before it."""
        ahead = max(member.shift for member in group.members)
        block = group.block()
        count = max(-(-(extent_of(m.step, m.axis) - m.shift + ahead) // block) for m in group.members)
        small, moves = self._shortened(group, mentions, ahead, block, count)
        before: list[Step] = []
        body: list[Step] = []
        for member in group.members:
            if type(member.step) is Call:
                division = member.division()
                if division.adds:
                    (total,) = member.step.outputs
                    before.append(_filled((total.size,), Affine(0, ((0, 1, total.size),)), total, 0))
                body.append(division.call(Round(self._loop, count, block), small))
            elif group.single:
                assert type(member.step) is Nest
                body.append(_fixed(member.step, member.axis, self._loop, small))
            else:
                window = Window(member.axis, self._loop, block, member.shift - ahead)
                body.extend(_windowed(member, window, small, before))
        return [*before, Loop(self._loop, count, [*body, *moves])]

    def _shortened(
        self, group: Group, mentions: Counter[Buffer], ahead: int, block: int, count: int
    ) -> tuple[Exchange, list[Nest]]:
        """What takes the place of arrays of which a round needs a block only, and what is done with it after a round.

        Those of which later rounds need as much are rows of one array, and their last elements are moved at once.

        Args:
            ahead: The shift of the step that is furthest ahead.
            block: How many values of the block counter a round takes.
            count: The number of rounds.
        """
        small: dict[Buffer, tuple[Buffer, Affine]] = {}
        alike: dict[tuple[int, np.dtype[Any]], list[tuple[Buffer, Affine, int]]] = {}
        for b, layout in group.layouts.items():
            left = None if layout is None else group.history(b, mentions)
            if layout is None or left is None:
                continue
            size = block * layout.stride
            begin = layout.stride * (min(group.begins(b)) - ahead)
            place = Affine(-begin, ((self._loop, -size, count),))
            if left:
                alike.setdefault((size, b.dtype), []).append((b, place, left * layout.stride))
            else:
                small[b] = Buffer(size, b.dtype), place
        moves = []
        for (size, dtype), arrays in alike.items():
            left = max(length for _, _, length in arrays)
            row = -(-(size + left) // _ALIGNMENT) * _ALIGNMENT
            shared = Buffer(len(arrays) * row, dtype)
            small |= {b: (shared, add_affine(place, Affine(k * row))) for k, (b, place, _) in enumerate(arrays)}
            to = ((0, row, len(arrays)), (1, 1, left))
            moves.append(Nest((len(arrays), left), [Statement(shared, Affine(0, to), Load(shared, Affine(size, to)))]))
        return small, moves


def _pieces(step: Step) -> list[Step]:
    """The statements of a single point by the place where they store, for which different rounds are right."""
    if type(step) is not Nest or step.points != 1 or any(type(s.index) is not Affine for s in step.statements):
        return [step]
    found: dict[Index, list[Statement]] = {}
    for s in step.statements:
        found.setdefault(s.index, []).append(s)
    return [Nest(step.extents, statements) for statements in found.values()]


def _steps_of(part: Step | Group) -> list[Step]:
    return [member.step for member in part.members] if type(part) is Group else [part]  # type: ignore[list-item]


def _can_be_parted(step: Step) -> TypeGuard[Nest | Call]:
    if type(step) is Nest:
        return not step.ordered and not step.sequential and step.points > 0
    return type(step) is Call and bool(step.divisions)


def _is_independent(step: Step, group: Group) -> bool:
    return not group.written & set(step.reads()) and not group.layouts.keys() & set(step.writes())


def _same(index: Affine) -> Affine:
    return index


def _renamed(step: Nest | Call, others: Exchange) -> Nest | Call:
    """A step with other arrays."""
    if type(step) is Nest:
        return Nest(step.extents, _moved(step.statements, _same, others))
    return division_of(step, 0).call(None, others)


def _fixed(nest: Nest, axis: int, loop: int, small: Exchange) -> Nest:
    """A nest for one value of a counter, that of a loop."""
    extents = tuple([1 if k == axis else n for k, n in enumerate(nest.extents)])
    return Nest(extents, _moved(nest.statements, lambda index: index.renamed({axis: loop}), small))


def _windowed(member: Member, window: Window, small: Exchange, before: list[Step]) -> Iterator[Nest]:
    """A nest of which each round does a part; what it sums over the block counter is added to what was summed."""
    nest = member.step
    assert type(nest) is Nest
    others, additions = dict(small), []
    for s in member.folds():
        assert type(s.index) is Affine
        assert s.combine is not None
        kept = {axis for axis, _, _ in s.index.terms}
        extents = tuple([n if axis in kept else 1 for axis, n in enumerate(nest.extents)])
        part, nothing = Buffer(s.buffer.size, s.buffer.dtype), neutral(s.combine, ELEMENTS[s.buffer.dtype])
        others[s.buffer] = part, ZERO
        before.append(_filled(extents, s.index, s.buffer, nothing))
        yield _filled(extents, s.index, part, nothing)  # which it is where the round comes before or after the nest
        update = Statement(s.buffer, s.index, Load(part, s.index), grouping.FOLDS[s.combine])
        additions.append(Nest(extents, [update]))
    made = Nest(nest.extents or (1,), _moved(nest.statements, _same, others))
    made.window = window
    yield made
    yield from additions


def _filled(extents: tuple[int, ...], index: Index, buffer: Buffer, number: Any) -> Nest:
    return Nest(extents, [Statement(buffer, index, Constant(number, buffer.dtype))])


def _moved(
    statements: Sequence[Statement],
    affine: Callable[[Affine], Affine],
    small: Exchange,
) -> list[Statement]:
    """Statements with other indices, and with other arrays in place of some."""
    known: dict[int, Expression] = {}
    exchanged: dict[int, Expression] = {}

    def exchange(load: Load) -> Expression | None:
        if load.buffer not in small or type(load.index) is not Affine:
            return None
        buffer, begin = small[load.buffer]
        return Load(buffer, add_affine(load.index, begin))

    made = []
    for s in [rewritten(s, affine, known) for s in statements]:
        buffer, index = s.buffer, s.index
        if buffer in small and type(index) is Affine:
            buffer, begin = small[buffer]
            index = add_affine(index, begin)
        made.append(Statement(buffer, index, substitute(s.expression, exchange, exchanged), s.combine))
    return made
