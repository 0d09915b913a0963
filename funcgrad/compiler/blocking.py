"""Steps over large arrays are run block by block, so that what one step stores the next one finds in the cache.

Steps one after the other over arrays larger than the cache send every element to memory and back between any two of
them. Where step after step goes through the arrays in the same direction, they take turns instead: a loop in whose
round t each step does its points t B to (t + 1) B of one counter, a block. A step that reads elements beyond its own
block, which the steps before it have not come to yet, stays behind by so many: its shift. (Loop fusion with shifts.)

A sum over the counter that is divided is that of the blocks' sums; matrix products are divided alike. Such groups, and
stacks of products that are divided into members, go in step: without shifts.

An array that only one group of steps uses, each in round t no other part of it than the rest, is no more than a block
large. What a group only reads, and what is cheaper to compute than to read, it computes itself.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from funcgrad.compiler.accumulators import neutral
from funcgrad.compiler.fusion import drop_dead, substitute
from funcgrad.compiler.indices import ZERO, Affine, Index, Term, add_affine
from funcgrad.compiler.loops import (
    Branch,
    Buffer,
    Call,
    Check,
    Constant,
    Division,
    Exchange,
    Expression,
    Load,
    Loop,
    Nest,
    Round,
    Statement,
    Step,
    Window,
    loads,
    parts,
)
from funcgrad.compiler.ordering import accesses, rewritten
from funcgrad.kernels.assembly import ELEMENTS

# Arrays that several steps of a group use: so many bytes in all are worth it, a second-level cache's.
_WORTH = 2 << 20
# What is used in a round.
_BLOCK = 256 << 10
# The same where each round copies parts of matrices for BLAS.
_BLOCK_OF_PRODUCTS = 1 << 20
# How the blocks of a sum are combined.
_FOLDS = {"sum": "add", "product": "scale", "maximum": "raise", "minimum": "lower"}
# One unit of all arrays may be so large, where it cannot be divided; arrays of less are not worth shrinking.
_LARGEST_UNIT, _LEAST_LOCAL = 4 << 20, 64 << 10
# Steps with arrays of so many bytes may be put off until after a group.
_LITTLE = 64 << 10
# How far steps of a group may be apart, in elements of a block counter; how many statements it may have.
_FURTHEST, _MOST_STATEMENTS = 1024, 256
# The cost of what is computed again, and how much smaller its operands must be.
_CHEAP, _SMALLER = 3.0, 4


def blocked(steps: Sequence[Step]) -> list[Step]:
    """A program's steps, those in blocks that gain from it.

    Args:
        steps: Of a program, dead ones dropped.
    """
    if not _is_large([leaf for leaf in _leaves(steps) if type(leaf) in (Nest, Call)]):
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


def _leaves(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        inner = parts(step)
        if inner:
            for piece in inner:
                yield from _leaves(piece)
        else:
            yield step


def _mentions(steps: Sequence[Step]) -> Counter[Buffer]:
    """How many steps read or write an array, what contains steps not counted."""
    return Counter(b for leaf in _leaves(steps) for b in {*leaf.reads(), *leaf.writes()})


def _is_large(steps: Sequence[Step], size: int | None = None) -> bool:
    buffers = {b for step in steps if type(step) in (Nest, Call) for b in (*step.reads(), *step.writes())}
    return sum(b.nbytes for b in buffers) > (_WORTH if size is None else size)


class _Place(NamedTuple):
    """What a step accesses: an element for each of its points."""

    buffer: Buffer
    at: Index
    writes: bool


class _Use(NamedTuple):
    """What part of an array a step uses: `extent` units from `first` on, one for each value of its block counter."""

    first: int
    extent: int
    shift: int
    writes: bool


@dataclass
class _Member:
    """A step of a group.

    Attributes:
        axis: Its block counter.
        shift: By how many of its values it is ahead of the block.
    """

    step: Nest | Call
    axis: int
    shift: int

    def division(self) -> Division:
        """A call's division."""
        assert type(self.step) is Call
        return self.step.divisions[self.axis]

    def folds(self) -> list[Statement]:
        """The sums of a nest over its block counter."""
        return _folds(self.step, self.axis) if type(self.step) is Nest else []


class _Layout(NamedTuple):
    """How an array is made of units: their distance; what does not depend on counters within the steps."""

    stride: int
    around: tuple[Term, ...]


class _Found(NamedTuple):
    """How a step can be in a group.

    Attributes:
        member: The step.
        units: What it accesses, and by which unit it begins.
        layouts: The units of all arrays that it accesses.
    """

    member: _Member
    units: Sequence[tuple[_Place, tuple[int, _Layout] | None]]
    layouts: dict[Buffer, _Layout | None]

    def is_stiff(self) -> bool:
        """Whether all steps of its group have to go in step with it."""
        return type(self.member.step) is Call or bool(self.member.folds())

    def bytes(self) -> int:
        """The size of what the step goes through unit by unit."""
        return sum(b.nbytes for b, layout in self.layouts.items() if layout is not None)


class _Group:
    """Steps that take turns."""

    def __init__(self) -> None:
        self.members: list[_Member] = []
        self.layouts: dict[Buffer, _Layout | None] = {}  # None: it is not used unit by unit
        self.uses: dict[Buffer, list[_Use]] = {}
        self.written: set[Buffer] = set()
        self.users: dict[Buffer, list[Nest | Call]] = {}
        self.behind: list[Step] = []  # what comes after it, while the group goes on
        self.in_step: int | None = None  # how far all block counters count, if there are no shifts
        self.single = False  # whether a block is one value
        self.least = 1  # how many values must be in a block
        self.statements = 0

    def take(self, step: Nest | Call) -> bool:
        """Whether a step can be in the group, and is now."""
        found = self.place_for(step)
        if found is None:
            return False
        self.members.append(found.member)
        self.statements += len(step.statements) if type(step) is Nest else 1
        self.layouts |= found.layouts
        for place, _ in found.units:
            if place.writes:
                self.written.add(place.buffer)
        for buffer in found.layouts:
            self.users.setdefault(buffer, []).append(step)
        count, shift = _extent(step, found.member.axis), found.member.shift
        for place, unit in found.units:
            if unit is not None:
                self.uses.setdefault(place.buffer, []).append(_Use(unit[0], count, shift, place.writes))
        if found.is_stiff():
            self.in_step = count
        if type(step) is Call:
            self.single = found.member.division().single
            self.least = max(self.least, found.member.division().least)
        return True

    def place_for(self, step: Nest | Call) -> _Found | None:
        """How a step can be in the group; None if it cannot."""
        size = len(step.statements) if type(step) is Nest else 1
        if self.statements + size > _MOST_STATEMENTS:
            return None
        found = [self._by(step, axis) for axis in _axes(step)]
        return max([x for x in found if x is not None], key=lambda x: x.bytes(), default=None)

    def _by(self, step: Nest | Call, axis: int) -> _Found | None:
        """A step as a member by one of its counters, if it can be one."""
        count, places = _extent(step, axis), list(_places(step, axis))
        units = [(place, self._unit(place, axis, count)) for place in places]
        if not all(self._is_allowed(place, unit, count) for place, unit in units):
            return None
        layouts: dict[Buffer, _Layout | None] = {}
        for place, unit in units:
            layout = None if unit is None else unit[1]
            if layouts.setdefault(place.buffer, layout) != layout:
                if any(other.writes for other, _ in units if other.buffer is place.buffer):
                    return None
                layouts[place.buffer] = None
        if not self.members and not any(layouts[place.buffer] is not None for place in places if place.writes):
            return None
        uses = [(place, unit[0]) for place, unit in units if unit is not None]
        shift = min([0, *[bound for place, first in uses for bound in self._bounds(place, first, count)]])
        found = _Found(_Member(step, axis, shift), units, layouts)
        if shift < -_FURTHEST or not self._goes_along(found, count):
            return None
        return found

    def _goes_along(self, found: _Found, count: int) -> bool:
        """Whether a step can be in step with the others, if it has to."""
        member, least, single = found.member, self.least, self.single
        if type(member.step) is Call:
            if any(type(m.step) is Call for m in self.members) and member.division().single != self.single:
                return False
            if member.division().single and any(m.folds() for m in self.members):
                return False
            least, single = max(least, member.division().least), member.division().single
        if self.in_step is not None or found.is_stiff():
            size = count if self.in_step is None else self.in_step
            others = [(m.shift, _extent(m.step, m.axis)) for m in self.members]
            if any(pair != (0, size) for pair in [(member.shift, count), *others]):
                return False
        if single and member.folds():
            return False
        layouts = self.layouts | found.layouts
        return single or least == 1 or least * _unit_bytes(layouts) <= _BLOCK_OF_PRODUCTS

    def _unit(self, place: _Place, axis: int, count: int) -> tuple[int, _Layout] | None:
        """The unit that a step's first points access, and how the array is made of units; None if it is not."""
        if type(place.at) is not Affine:
            return None
        around = tuple([term for term in place.at.terms if term[0] < 0])
        layout = _Layout(place.at.coefficient(axis), around)
        if count == 1:
            layout = self._likely(place.buffer, around)
        known = self.layouts.get(place.buffer, layout)
        if layout.stride <= 0 or known != layout or any(factor % layout.stride for _, factor, _ in around):
            return None
        inner = tuple([term for term in place.at.terms if term[0] >= 0 and term[0] != axis])
        low, high = Affine(place.at.offset, inner).bounds()
        return (low // layout.stride, layout) if low // layout.stride == high // layout.stride else None

    def _likely(self, buffer: Buffer, around: tuple[Term, ...]) -> _Layout:
        """The units of an array of which a step uses one: if they are not known, those of another of its size."""
        known = self.layouts.get(buffer)
        if known is None:
            same = (x for b, x in self.layouts.items() if x is not None and b.size == buffer.size)
            known = next(same, None) or _Layout(1, around)
        return _Layout(known.stride, around)

    def _is_allowed(self, place: _Place, unit: tuple[int, _Layout] | None, count: int) -> bool:
        if unit is not None:
            return True
        if not place.writes:
            return place.buffer not in self.written
        # Each point has elements of its own, which no other step of the group uses.
        return place.buffer not in self.layouts and count > 1

    def _bounds(self, place: _Place, unit: int, count: int) -> Iterator[int]:
        """The most that a step can be ahead, for each use that has to come before."""
        for use in self.uses.get(place.buffer, ()):
            meets = use.first < unit + count and unit < use.first + use.extent
            if meets and (use.writes or place.writes):
                yield use.shift - (unit - use.first)

    def shared_bytes(self) -> int:
        """The size of what several of its steps use, unit by unit."""
        total = 0
        for buffer, uses in self.uses.items():
            layout = self.layouts[buffer]
            if len(uses) > 1 and layout is not None:
                total += max(use.extent for use in uses) * layout.stride * buffer.dtype.itemsize
        return total

    def pays(self) -> bool:
        """Whether its steps are faster by turns."""
        return len(self.members) > 1 and self.shared_bytes() > _WORTH and self.unit_bytes() <= _LARGEST_UNIT

    def block(self) -> int:
        """How many values of the block counter each round takes."""
        block = 1
        room = _BLOCK if self.least == 1 else _BLOCK_OF_PRODUCTS
        while not self.single and 2 * block * self.unit_bytes() <= room:
            block *= 2
        return block

    def is_local(self, b: Buffer, mentions: Counter[Buffer]) -> bool:
        """Whether a large array is of no use outside of a round.

        Args:
            b: The array.
            mentions: How many steps of the program mention each.
        """
        if b.place != "workspace" or b.nbytes < _LEAST_LOCAL or mentions[b] != len(self.users[b]):
            return False
        first = self.users[b][0]
        begins = b in set(first.writes()) and b not in set(first.reads())
        return begins and len({use.first + use.shift for use in self.uses[b]}) == 1

    def unit_bytes(self) -> int:
        """What is used for one value of the block counter."""
        return _unit_bytes(self.layouts)


def _unit_bytes(layouts: Mapping[Buffer, _Layout | None]) -> int:
    return sum(layout.stride * b.dtype.itemsize for b, layout in layouts.items() if layout is not None)


def _places(step: Nest | Call, axis: int) -> Iterator[_Place]:
    return itertools.starmap(_Place, accesses(step) if type(step) is Nest else _division(step, axis).places)


def _division(step: Step, axis: int) -> Division:
    assert type(step) is Call
    return step.divisions[axis]


def _extent(step: Nest | Call, axis: int) -> int:
    if type(step) is Nest:
        return step.extents[axis] if step.extents else 1
    return _division(step, axis).size


def _axes(step: Nest | Call) -> Sequence[int]:
    """The counters by which a step can go block by block, those of the largest strides first."""
    if type(step) is Call:
        return range(len(step.divisions))
    assert type(step) is Nest
    if any(type(s.index) is not Affine for s in step.statements):
        return ()
    if step.points == 1:
        return () if any(s.combine in _REDUCTIONS for s in step.statements) else (0,)
    axes = [axis for axis, n in enumerate(step.extents) if n > 1 and all(_can_go(s, axis) for s in step.statements)]
    return sorted(axes, key=lambda axis: -max(_stride(s, axis) * s.buffer.dtype.itemsize for s in step.statements))


_REDUCTIONS = {"sum", "product", "maximum", "minimum", "any", "all"}


def _can_go(s: Statement, axis: int) -> bool:
    """Whether a counter tells the elements apart that are stored, or counts the terms of a sum."""
    return _stride(s, axis) != 0 or s.combine in _FOLDS


def _folds(nest: Nest, axis: int) -> list[Statement]:
    return [s for s in nest.statements if s.combine in _FOLDS and not _stride(s, axis)]


def _stride(s: Statement, axis: int) -> int:
    return abs(s.index.coefficient(axis)) if type(s.index) is Affine else 0


class _Blocking:
    """A list of steps on its way into groups."""

    def __init__(self, steps: Sequence[Step], depth: int, elsewhere: Counter[Buffer]) -> None:
        self._steps = steps
        self._loop = -1 - depth
        self._elsewhere = elsewhere
        self._parts: list[Step | _Group] = []

    def steps(self) -> list[Step]:
        """The steps, in blocks where that is worth it."""
        group: _Group | None = None
        for step in self._steps:
            group = self._put(step, group)
        self._parts.extend([] if group is None else group.behind)
        if not any(type(part) is _Group and part.pays() for part in self._parts):
            return list(self._steps)
        self._parts = [self._computing(part) if type(part) is _Group and part.pays() else part for part in self._parts]
        leaves = [step for part in self._parts for step in _steps_of(part)]
        mentions = _mentions(leaves) + self._elsewhere
        made: list[Step] = []
        for part in self._parts:
            if type(part) is _Group and part.pays():
                made.extend(self._loop_of(part, mentions))
            else:
                made.extend(_steps_of(part))
        return made

    def _put(self, step: Step, group: _Group | None) -> _Group | None:
        """Put a step into the group, before it, or behind it; returns the group that is open then."""
        if group is not None:
            if not _clashes(step, group.behind):
                if _can_be_parted(step) and _belongs(step, group) and group.take(step):
                    return group
                if type(step) in (Nest, Check) and _is_independent(step, group):
                    self._parts.insert(len(self._parts) - 1, step)
                    return group
            if type(step) is Nest and not _is_large([step], _LITTLE):
                group.behind.append(step)
                return group
            self._parts.extend(group.behind)
            group.behind.clear()
        fresh = _Group()
        if _can_be_parted(step) and fresh.take(step):
            self._parts.append(fresh)
            return fresh
        self._parts.append(step)
        return None

    def _computing(self, group: _Group) -> _Group:
        """A group that computes for itself what is cheaper to compute than to read."""
        again: dict[Buffer, tuple[Buffer, Affine]] = {}
        other = _Group()
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
        if b.nbytes < _WORTH or self._elsewhere[b]:
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

    def _loop_of(self, group: _Group, mentions: Counter[Buffer]) -> list[Step]:
        """A group as a loop, and what has to be stored before it."""
        ahead = max(member.shift for member in group.members)
        block = group.block()
        count = max(-(-(_extent(m.step, m.axis) - m.shift + ahead) // block) for m in group.members)
        small: dict[Buffer, tuple[Buffer, Affine]] = {}
        for b, layout in group.layouts.items():
            if layout is not None and group.is_local(b, mentions):
                use = group.uses[b][0]
                begin = layout.stride * (use.first + use.shift - ahead)
                place = Affine(-begin, ((self._loop, -layout.stride * block, count),))
                small[b] = Buffer(block * layout.stride, b.dtype), place
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
        return [*before, Loop(self._loop, count, body)]


def _belongs(step: Nest | Call, group: _Group) -> bool:
    """Whether a step goes well with a group: not by a counter that skips about in what it uses most."""
    found, alone = group.place_for(step), _Group().place_for(step)
    return found is not None and (alone is None or 2 * found.bytes() >= alone.bytes())


def _steps_of(part: Step | _Group) -> list[Step]:
    return [member.step for member in part.members] if type(part) is _Group else [part]  # type: ignore[list-item]


def _can_be_parted(step: Step) -> TypeGuard[Nest | Call]:
    if type(step) is Nest:
        return not step.ordered and not step.sequential and step.points > 0
    return type(step) is Call and bool(step.divisions)


def _clashes(step: Step, others: Sequence[Step]) -> bool:
    """Whether a step cannot come before others that it is behind."""
    reads, writes = set(step.reads()), set(step.writes())
    return any(reads & set(x.writes()) or writes & {*x.reads(), *x.writes()} for x in others)


def _is_independent(step: Step, group: _Group) -> bool:
    return not group.written & set(step.reads()) and not group.layouts.keys() & set(step.writes())


def _same(index: Affine) -> Affine:
    return index


def _renamed(step: Nest | Call, others: Exchange) -> Nest | Call:
    """A step with other arrays."""
    if type(step) is Nest:
        return Nest(step.extents, _moved(step.statements, _same, others))
    return _division(step, 0).call(None, others)


def _fixed(nest: Nest, axis: int, loop: int, small: Exchange) -> Nest:
    """A nest for one value of a counter, that of a loop."""
    extents = tuple([1 if k == axis else n for k, n in enumerate(nest.extents)])
    return Nest(extents, _moved(nest.statements, lambda index: index.renamed({axis: loop}), small))


def _windowed(member: _Member, window: Window, small: Exchange, before: list[Step]) -> Iterator[Nest]:
    """A nest of which each round does a part; what it sums over the block counter is added to what was summed."""
    nest = member.step
    assert type(nest) is Nest
    others, additions = dict(small), []
    for s in member.folds():
        assert type(s.index) is Affine
        assert s.combine is not None
        kept = {axis for axis, _, _ in s.index.terms}
        extents = tuple([n if axis in kept else 1 for axis, n in enumerate(nest.extents)])
        part = Buffer(s.buffer.size, s.buffer.dtype)
        others[s.buffer] = part, ZERO
        before.append(_filled(extents, s.index, s.buffer, neutral(s.combine, ELEMENTS[s.buffer.dtype])))
        update = Statement(s.buffer, s.index, Load(part, s.index), _FOLDS[s.combine])
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
