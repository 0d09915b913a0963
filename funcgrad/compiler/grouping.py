"""Which steps can take turns, block by block: those that go through the arrays they share in the same direction.

An array that steps share is made of units at a distance, one for each value of a counter of each of the steps: its
block counter. What a step reads must be there, and what it overwrites no longer needed: from that follows by how many
values it has to stay behind, its shift.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from funcgrad.compiler.indices import Affine, Index, Term
from funcgrad.compiler.loops import Buffer, Call, Division, Nest, Statement, Step
from funcgrad.compiler.ordering import accesses

# Arrays that several steps of a group use: so many bytes in all are worth it, a second-level cache's.
WORTH = 2 << 20
# What is used in a round.
BLOCK = 256 << 10
# The same where each round copies parts of matrices for BLAS.
BLOCK_OF_PRODUCTS = 1 << 20
# How the blocks of a sum are combined.
FOLDS = {"sum": "add", "product": "scale", "maximum": "raise", "minimum": "lower"}
# One unit of all arrays may be so large, where it cannot be divided; arrays of less are not worth shrinking.
_LARGEST_UNIT, LEAST_LOCAL = 4 << 20, 64 << 10
# How far steps of a group may be apart, in elements of a block counter; how many statements it may have.
_FURTHEST, _MOST_STATEMENTS = 1024, 256


class Place(NamedTuple):
    """What a step accesses: an element for each of its points."""

    buffer: Buffer
    at: Index
    writes: bool


class Use(NamedTuple):
    """What part of an array a step uses: `extent` units from `first` on, one for each value of its block counter."""

    first: int
    extent: int
    shift: int
    writes: bool


class Member(NamedTuple):
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


class Layout(NamedTuple):
    """How an array is made of units: their distance; what does not depend on counters within the steps."""

    stride: int
    around: tuple[Term, ...]


class Found(NamedTuple):
    """How a step can be in a group.

    Attributes:
        member: The step.
        units: What it accesses, and by which unit it begins.
        layouts: The units of all arrays that it accesses.
    """

    member: Member
    units: Sequence[tuple[Place, tuple[int, Layout] | None]]
    layouts: dict[Buffer, Layout | None]

    def bytes(self) -> int:
        """The size of what the step goes through unit by unit."""
        return sum(b.nbytes for b, layout in self.layouts.items() if layout is not None)


class Behind:
    """The steps that come after a group, while it goes on."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._read: set[Buffer] = set()
        self._written: set[Buffer] = set()

    def append(self, step: Step) -> None:
        """Add a step behind the others."""
        self._steps.append(step)
        self._read.update(step.reads())
        self._written.update(step.writes())

    def clashes(self, step: Step) -> bool:
        """Whether a step cannot come before these."""
        written = set(step.writes())
        return not written.isdisjoint(self._read) or not self._written.isdisjoint({*step.reads(), *written})

    def taken(self) -> list[Step]:
        """The steps, which are behind it no longer."""
        steps, self._steps = self._steps, []
        self._read.clear()
        self._written.clear()
        return steps


class Group:
    """Steps that take turns."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.layouts: dict[Buffer, Layout | None] = {}  # None: it is not used unit by unit
        self.uses: dict[Buffer, list[Use]] = {}
        self.written: set[Buffer] = set()
        self.users: dict[Buffer, list[Nest | Call]] = {}
        self.behind = Behind()
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
        count, shift = extent_of(step, found.member.axis), found.member.shift
        for place, unit in found.units:
            if unit is not None:
                self.uses.setdefault(place.buffer, []).append(Use(unit[0], count, shift, place.writes))
        if type(step) is Call:
            self.in_step = count
            self.single = found.member.division().single
            self.least = max(self.least, found.member.division().least)
        return True

    def place_for(self, step: Nest | Call) -> Found | None:
        """How a step can be in the group; None if it cannot."""
        size = len(step.statements) if type(step) is Nest else 1
        if self.statements + size > _MOST_STATEMENTS:
            return None
        found = [self._by(step, axis) for axis in _axes(step)]
        return max([x for x in found if x is not None], key=lambda x: x.bytes(), default=None)

    def _by(self, step: Nest | Call, axis: int) -> Found | None:
        """A step as a member by one of its counters, if it can be one."""
        count, places = extent_of(step, axis), list(_places(step, axis))
        units = [(place, self._unit(place, axis, count)) for place in places]
        if not all(self._is_allowed(place, unit, count) for place, unit in units):
            return None
        layouts: dict[Buffer, Layout | None] = {}
        for place, unit in units:
            layout = None if unit is None else unit[1]
            if layouts.setdefault(place.buffer, layout) != layout:
                if any(other.writes for other, _ in units if other.buffer is place.buffer):
                    return None
                layouts[place.buffer] = None
        if not self.members and not any(layouts[place.buffer] is not None for place in places if place.writes):
            return None
        uses = [(place, unit[0]) for place, unit in units if unit is not None]
        bounds = [bound for place, first in uses for bound in self._bounds(place, first, count)]
        shift = min([0, *bounds])
        if shift < -_FURTHEST:
            return None
        if count == 1 and not bounds:  # in the round in which others come to where it writes
            shift = -max([first for place, first in uses if place.writes], default=0)
        found = Found(Member(step, axis, shift), units, layouts)
        return found if self._goes_along(found, count) else None

    def _goes_along(self, found: Found, count: int) -> bool:
        """Whether a step can be in step with the others, if it has to."""
        member, least, single = found.member, self.least, self.single
        if type(member.step) is Call:
            if any(type(m.step) is Call for m in self.members) and member.division().single != self.single:
                return False
            if member.division().single and any(m.folds() for m in self.members):
                return False
            least, single = max(least, member.division().least), member.division().single
        if self.in_step is not None or type(member.step) is Call:
            size = count if self.in_step is None else self.in_step
            others = [(m.shift, extent_of(m.step, m.axis)) for m in self.members]
            if any(pair != (0, size) for pair in [(member.shift, count), *others]):
                return False
        if single and member.folds():
            return False
        layouts = self.layouts | found.layouts
        return single or least == 1 or least * _unit_bytes(layouts) <= BLOCK_OF_PRODUCTS

    def _unit(self, place: Place, axis: int, count: int) -> tuple[int, Layout] | None:
        """The unit that a step's first points access, and how the array is made of units; None if it is not."""
        if type(place.at) is not Affine:
            return None
        around = tuple([term for term in place.at.terms if term[0] < 0])
        layout = Layout(place.at.coefficient(axis), around)
        if count == 1:
            layout = self._likely(place.buffer, around)
        known = self.layouts.get(place.buffer, layout)
        if layout.stride <= 0 or known != layout or any(factor % layout.stride for _, factor, _ in around):
            return None
        inner = tuple([term for term in place.at.terms if term[0] >= 0 and term[0] != axis])
        low, high = Affine(place.at.offset, inner).bounds()
        return (low // layout.stride, layout) if low // layout.stride == high // layout.stride else None

    def _likely(self, buffer: Buffer, around: tuple[Term, ...]) -> Layout:
        """The units of an array of which a step uses one: if they are not known, those of another of its size."""
        known = self.layouts.get(buffer)
        if known is None:
            same = (x for b, x in self.layouts.items() if x is not None and b.size == buffer.size)
            known = next(same, None) or Layout(1, around)
        return Layout(known.stride, around)

    def _is_allowed(self, place: Place, unit: tuple[int, Layout] | None, count: int) -> bool:
        if unit is not None:
            return True
        if not place.writes:
            return place.buffer not in self.written
        # Each point has elements of its own, which no other step of the group uses.
        return place.buffer not in self.layouts and count > 1

    def _bounds(self, place: Place, unit: int, count: int) -> Iterator[int]:
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
        return len(self.members) > 1 and self.shared_bytes() > WORTH and self.unit_bytes() <= _LARGEST_UNIT

    def block(self) -> int:
        """How many values of the block counter each round takes."""
        block = 1
        room = BLOCK if self.least == 1 else BLOCK_OF_PRODUCTS
        while not self.single and 2 * block * self.unit_bytes() <= room:
            block *= 2
        return block

    def history(self, b: Buffer, mentions: Counter[Buffer]) -> int | None:
        """How many units of a large array rounds leave to later ones, if it is of no use outside of the group.

        Args:
            b: The array.
            mentions: How many steps of the program mention each.

        Returns:
            None if all of the array has to be kept.
        """
        if b.place != "workspace" or b.nbytes < LEAST_LOCAL or mentions[b] != len(self.users[b]):
            return None
        first = self.users[b][0]
        if b not in set(first.writes()) or b in set(first.reads()):
            return None
        left = max(self.begins(b)) - min(self.begins(b))
        if left and (self.single or 2 * left > self.block() or any(type(step) is Call for step in self.users[b])):
            return None
        return left

    def begins(self, b: Buffer) -> list[int]:
        """The units of an array that steps come to in the first round, if none of them is ahead."""
        return [use.first + use.shift for use in self.uses[b]]

    def unit_bytes(self) -> int:
        """What is used for one value of the block counter."""
        return _unit_bytes(self.layouts)


def _unit_bytes(layouts: Mapping[Buffer, Layout | None]) -> int:
    return sum(layout.stride * b.dtype.itemsize for b, layout in layouts.items() if layout is not None)


def _places(step: Nest | Call, axis: int) -> Iterator[Place]:
    return itertools.starmap(Place, accesses(step) if type(step) is Nest else division_of(step, axis).places)


def division_of(step: Step, axis: int) -> Division:
    """The division of a call by number."""
    assert type(step) is Call
    return step.divisions[axis]


def extent_of(step: Nest | Call, axis: int) -> int:
    """How far a block counter counts."""
    if type(step) is Nest:
        return step.extents[axis] if step.extents else 1
    return division_of(step, axis).size


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
    return _stride(s, axis) != 0 or s.combine in FOLDS


def _folds(nest: Nest, axis: int) -> list[Statement]:
    return [s for s in nest.statements if s.combine in FOLDS and not _stride(s, axis)]


def _stride(s: Statement, axis: int) -> int:
    return abs(s.index.coefficient(axis)) if type(s.index) is Affine else 0


def belongs(step: Nest | Call, group: Group) -> bool:
    """Whether a step goes well with a group: not by a counter that skips about in what it uses most."""
    found, alone = group.place_for(step), Group().place_for(step)
    return found is not None and (alone is None or 2 * found.bytes() >= alone.bytes())
