"""Temporaries whose innermost axis is short are turned, so that one that fills vectors is the innermost.

Steps over an array (1000, 5, 2) waste most of each vector: its rows are two long, and sums over them are sums across
lanes. With its first axis innermost in memory rows are a thousand long, and sums over the others go lane by lane. Steps
that share arrays are turned together, towards the counter with which they cost least.

An array that anything but a nest uses stays as it is; if many more points read it than it has elements, they read a
turned copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from funcgrad.compiler.fusion import substitute
from funcgrad.compiler.indices import ZERO, Affine, Expression, Index, add_affine, divide_affine, scale_affine
from funcgrad.compiler.loops import (
    UPDATES,
    Apply,
    Branch,
    Buffer,
    Call,
    Counter,
    Load,
    Loop,
    Nest,
    Statement,
    Step,
    every,
    parts,
)
from funcgrad.compiler.ordering import Place, accesses, kept_axes, price, runs, vector_axis
from funcgrad.compiler.tiling import additions, loads

# What each row and each sum across its lanes takes besides its vectors, in operations; how long a vector is.
_ROW, _ACROSS, _LANES = 4.0, 10.0, 8
# What BLAS takes for a vector of products, and so many times as much for each of the least matrices' rows.
_CALLED, _CALLED_SMALL = 0.45, 9.0
# Arrays of so many bytes are in the second-level cache.
_NEAR = 2 << 20
# What costs less stays as it is, and so does what would cost more than this part of it afterwards.
_WORTH, _GAIN = 4000.0, 0.8
# Sums become sums lane by lane only if they are as short as the partial sums of lanes are.
_SHORT = 16
# Copied is what so many times as many points read.
_MORE = 4

Class: TypeAlias = object
"""Counters, of one or several nests, that go through the same axes of arrays."""


class Turn(NamedTuple):
    """An axis of an array that becomes the innermost: its stride, and how long it is."""

    stride: int
    extent: int

    def place(self, index: Affine, size: int) -> Affine | None:
        """Where an element of an array of a size is afterwards; None where that is no affine function."""
        whole, around, rest = self.stride * self.extent, ZERO, index
        if whole != size:
            divided = divide_affine(index, whole)
            if divided is None or size % whole:
                return None
            around, rest = divided
        divided = divide_affine(rest, self.stride)
        if divided is None:
            return None
        along, inner = divided
        return add_affine(add_affine(scale_affine(around, whole), scale_affine(inner, self.extent)), along)


Turns: TypeAlias = Mapping[Buffer, Turn]


class _Sets:
    """Disjoint sets of anything."""

    def __init__(self) -> None:
        self._parents: dict[object, object] = {}

    def find(self, x: object) -> object:
        """What stands for the set of x."""
        while (parent := self._parents.get(x, x)) != x:
            self._parents[x] = self._parents.get(parent, parent)
            x = parent
        return x

    def join(self, x: object, y: object) -> None:
        """Make one set of those of x and of y."""
        self._parents[self.find(x)] = self.find(y)


class _Work:
    """A nest whose arrays may be turned.

    Attributes:
        nest: The nest.
        step: The number of the step that it is, or is in.
        call: The call that does the same, as long as none of its arrays are turned.
        places: What it accesses.
    """

    def __init__(self, nest: Nest, step: int, call: Call | None) -> None:
        self.nest, self.step, self.call = nest, step, call
        self.places: list[Place] = list(accesses(nest))
        found = [x for s in nest.statements for x in s.expressions()]
        self._operations = sum({id(x): x.own_cost for x in found if type(x) is Apply}.values())
        self._indices = {x.index for x in found if type(x) is Counter}
        self._sums = [s for s in nest.statements if s.combine is not None and s.combine not in UPDATES]

    def extent(self, axis: int) -> int:
        """How far a counter counts at a time."""
        w = self.nest.window
        return w.block if w is not None and w.axis == axis else self.nest.extents[axis]

    def cost_of(self, places: Sequence[Place]) -> tuple[float, int | None]:
        """What it costs if it accesses such places, and the counter of its vectors."""
        if self.call is not None and places == self.places:
            return _cost_of_call(self.nest), None
        groups = runs(self.nest, {i for _, i, _ in places if type(i) is Affine} | self._indices)
        extents, rows = {}, 1
        for group in groups:
            size = 1
            for axis in group:
                size *= self.extent(axis)
            extents[group[-1]] = size
            rows *= size
        vector = vector_axis(places, extents)
        if vector is None:
            return self._operations, None
        rows //= extents[vector]
        vectors = -(-extents[vector] // _LANES)
        across = sum(vector not in kept_axes(s) for s in self._sums)
        w = self.nest.window
        rounds = 1 if w is None else -(-self.nest.extents[w.axis] // w.block)
        row = vectors * self._cost_of_vector(places, vector) + _ROW + _ACROSS * across
        return rounds * rows * row, vector

    def _cost_of_vector(self, places: Sequence[Place], vector: int) -> float:
        """What one vector of a counter costs; products that share what they load take half as long as loading it."""
        cost = self._operations + price(places, vector)
        loaded = loads(self.nest, vector)
        if loaded is None or any(type(i) is Affine and i.coefficient(vector) not in (0, 1) for _, i, _ in places):
            return cost
        return min(cost, 0.5 * loaded)

    def moved(self, turns: Turns) -> list[Place]:
        """The places, in arrays that are turned."""
        return [
            (b, _index(b, i, turns), stored) if type(i) is Affine else (b, i, stored) for b, i, stored in self.places
        ]

    def keeps_sums(self, before: int | None, after: int | None) -> bool:
        """Whether sums are as accurate with another counter as that of vectors; those of BLAS are no better."""
        for s in self._sums if self.call is None else ():
            kept = kept_axes(s)
            if after is None or s.combine != "sum" or after not in kept or before in kept:
                continue
            if additions(self.nest, s, after) > _SHORT:
                return False
        return True

    def turn(self, turns: Turns, copies: Mapping[Buffer, Buffer]) -> None:
        """Turn the nest's arrays; some are read from copies."""

        def replaced(load: Load) -> Expression | None:
            if load.buffer not in turns or type(load.index) is not Affine:
                return None
            return Load(copies.get(load.buffer, load.buffer), _index(load.buffer, load.index, turns))

        known: dict[int, Expression] = {}
        for s in self.nest.statements:
            if isinstance(s.index, Expression):
                index: Index = substitute(s.index, replaced, known)
            else:
                index = _index(s.buffer, s.index, turns)
            s.change(index, substitute(s.expression, replaced, known))


def _cost_of_call(nest: Nest) -> float:
    """What BLAS takes for what a nest does: the more for a product, the smaller the matrices are."""
    return nest.points / _LANES * (_CALLED + _CALLED_SMALL / min(n for n in nest.extents[-3:] if n > 1))


def _index(b: Buffer, index: Affine, turns: Turns) -> Affine:
    if b not in turns:
        return index
    moved = turns[b].place(index, b.size)
    assert moved is not None
    return moved


class _Copy(NamedTuple):
    """Which nests read an array from a turned copy."""

    turn: Turn
    readers: Sequence[_Work]


def turned(steps: Sequence[Step]) -> list[Step]:
    """A program's steps, with the arrays between them turned where that makes them cheaper."""
    nests = [_nest_of(step) for step in every(steps)]
    if not any(nest is not None and _has_rows(nest) for nest in nests):
        return list(steps)
    return _Turning(steps).steps()


def _nest_of(step: Step) -> Nest | None:
    """A step as a nest, if its points can be visited in any order; BLAS keeps what is far away."""
    if type(step) is Call:
        return step.nest if max(b.nbytes for b in (*step.reads(), *step.writes())) <= _NEAR else None
    return step if type(step) is Nest and not step.ordered and not step.sequential and step.points else None


def _has_rows(nest: Nest) -> bool:
    return nest.points * _LANES > _WORTH and sum(n > 1 for n in nest.extents) > 1


Costs: TypeAlias = Mapping[_Work, tuple[float, int | None]]
Copies: TypeAlias = dict[Buffer, _Copy]


class _Turning:
    """A program whose arrays are being turned."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self._works = []
        for number, step in enumerate(steps):
            for leaf in every([step]):
                nest = _nest_of(leaf)
                if nest is not None:
                    self._works.append(_Work(nest, number, leaf if type(leaf) is Call else None))
        self._users: dict[Buffer, list[_Work]] = {}
        for work in self._works:
            for b in dict.fromkeys(b for b, _, _ in work.places):
                self._users.setdefault(b, []).append(work)
        fixed = _fixed(steps)
        self._free = {b: None for b in self._users if b.place == "workspace" and b not in fixed}
        self._last_write = {b: n for n, step in enumerate(steps) for b in step.writes()}
        self._sets = self._classes()
        self._before: dict[int, list[Step]] = {}
        self._instead: dict[Step, Step] = {}

    def steps(self) -> list[Step]:
        """The steps, with those that copy."""
        for works in self._together():
            if any(_has_rows(work.nest) for work in works):
                self._settle(works)
        self._replace()
        return [x for n, step in enumerate(self._steps) for x in (*self._before.get(n, ()), step)]

    def _replace(self) -> None:
        """Put nests in the place of calls whose arrays are turned."""
        for steps in [self._steps, *[inner for step in every(self._steps) for inner in parts(step)]]:
            steps[:] = [self._instead.get(step, step) for step in steps]

    def _classes(self) -> _Sets:
        """Which counters go through the same axes: those that move by as much in an array between nests."""
        sets, first = _Sets(), dict[tuple[Buffer, int], Class]()
        for work in self._works:
            for b, index, _ in work.places:
                if b in self._free and type(index) is Affine:
                    for axis, c, _ in index.terms:
                        if axis >= 0:
                            sets.join(first.setdefault((b, c), (work, axis)), (work, axis))
        return sets

    def _together(self) -> list[list[_Work]]:
        """The nests in groups that share arrays that can be turned."""
        sets = _Sets()
        for b in self._free:
            for work in self._users[b]:
                sets.join(self._users[b][0], work)
        groups: dict[object, list[_Work]] = {}
        for work in self._works:
            groups.setdefault(sets.find(work), []).append(work)
        return list(groups.values())

    def _settle(self, works: Sequence[_Work]) -> None:
        """Turn the arrays of nests towards the counters with which they cost least."""
        costs = {work: work.cost_of(work.places) for work in works}
        total = sum(cost for cost, _ in costs.values())
        members: dict[Class, dict[_Work, None]] = {}
        for work in works:
            for axis, n in enumerate(work.nest.extents):
                if n > 1:
                    members.setdefault(self._sets.find((work, axis)), {})[work] = None
        most, chosen = (1.0 - _GAIN) * total, None
        for v, own in members.items():
            gain, turns, copies = self._way(v, own, costs)
            if gain > most:
                most, chosen = gain, (turns, copies)
        if total > _WORTH and chosen is not None:
            self._turn(works, *chosen)

    def _way(self, v: Class, works: Iterable[_Work], costs: Costs) -> tuple[float, dict[Buffer, Turn], Copies]:
        """What is gained by turning the arrays of nests towards a class of counters, but for those of long sums."""
        turns = self._turns(v, works)
        while turns:
            copies, gain = self._copies(v, works), 0.0
            left: set[Buffer] = set()
            for work in {**dict.fromkeys(works), **dict.fromkeys(user for b in turns for user in self._users[b])}:
                before, (cost, after) = costs[work], work.cost_of(work.moved(turns | _read(copies, work)))
                gain += before[0] - cost
                if not work.keeps_sums(before[1], after):
                    read = {b for b, _, stored in work.places if not stored}
                    left |= read if read & turns.keys() else {b for b, _, _ in work.places}
            if not left:
                return gain, turns, copies
            if not left & turns.keys():
                break
            turns = {b: turn for b, turn in turns.items() if b not in left}
        return 0.0, {}, {}

    def _turns(self, v: Class, works: Iterable[_Work]) -> dict[Buffer, Turn]:
        """The arrays of nests that can be turned towards a class of counters."""
        found = {}
        for b in dict.fromkeys(b for work in works for b, _, _ in work.places if b in self._free):
            turn = self._turn_of(b, v, self._users[b])
            if turn is not None:
                found[b] = turn
        return found

    def _copies(self, v: Class, works: Iterable[_Work]) -> Copies:
        """The arrays of which nests would rather read a copy that is turned towards a class of counters."""
        readers: dict[Buffer, list[_Work]] = {}
        for work in works:
            for b in dict.fromkeys(b for b, _, _ in work.places if b not in self._free):
                written_before = self._last_write.get(b, -1) < work.step
                if written_before and b.place != "frame" and _MORE * b.size <= work.nest.points:
                    readers.setdefault(b, []).append(work)
        found = {b: (self._turn_of(b, v, own), own) for b, own in readers.items()}
        return {b: _Copy(turn, own) for b, (turn, own) in found.items() if turn is not None}

    def _turn_of(self, b: Buffer, v: Class, works: Sequence[_Work]) -> Turn | None:
        """How to turn an array that nests use towards a class of counters; None where that is not possible."""
        indices = [(work, index) for work in works for other, index, _ in work.places if other is b]
        steps = {
            (c, min(n, b.size // abs(c)))
            for work, index in indices
            if type(index) is Affine
            for axis, c, n in index.terms
            if axis >= 0 and self._sets.find((work, axis)) == v
        }
        stride, extent = max(steps, default=(0, 0))
        if stride <= 1 or any(c != stride for c, _ in steps):
            return None
        turn = Turn(stride, extent)
        able = all(type(index) is not Affine or turn.place(index, b.size) is not None for _, index in indices)
        return turn if able else None

    def _turn(self, works: Sequence[_Work], turns: dict[Buffer, Turn], copies: Copies) -> None:
        """Turn arrays of nests, and copy others before the first nest that reads the copy."""
        others = {}
        for b, (turn, readers) in copies.items():
            others[b] = Buffer(b.size, b.dtype)
            self._before.setdefault(min(work.step for work in readers), []).append(_copied(b, turn, others[b]))
        for work in works:
            if work.call is not None and any(b in turns for b, _, _ in work.places):
                self._instead[work.call] = work.nest
            work.turn(turns | _read(copies, work), others)


def _copied(b: Buffer, turn: Turn, copy: Buffer) -> Nest:
    """The nest that copies an array and turns it."""
    whole = turn.stride * turn.extent
    extents = b.size // whole, turn.stride, turn.extent
    source, target = (whole, 1, turn.stride), (whole, turn.extent, 1)
    read, stored = (
        Affine(0, tuple([(axis, c, n) for axis, (c, n) in enumerate(zip(strides, extents, strict=True)) if n > 1]))
        for strides in (source, target)
    )
    return Nest(extents, [Statement(copy, stored, Load(b, read))])


def _read(copies: Mapping[Buffer, _Copy], work: _Work) -> dict[Buffer, Turn]:
    """The turns of the copies that a nest reads."""
    return {b: copy.turn for b, copy in copies.items() if work in copy.readers}


def _fixed(steps: Sequence[Step]) -> set[Buffer]:
    """The arrays that are not only read and written at affine places by nests in any order."""
    found: set[Buffer] = set()
    for step in every(steps):
        nest = _nest_of(step)
        if nest is not None:
            found.update(b for b, index, _ in accesses(nest) if type(index) is not Affine)
        elif type(step) is Branch:
            found.add(step.index)
        elif type(step) is Loop:
            found.update(b for b in (step.flag, step.pops and step.pops.base) if b)
        else:
            found.update((*step.reads(), *step.writes()))
    return found
