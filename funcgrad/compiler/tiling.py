"""Several points of a nest at once: results of small matrix products side by side, terms of short sums in pairs.

The nest `for i<10 n<1000 j<10: y[i, n] =sum= q[i, j] * x[j, n]` loads two numbers for each product. With all i at once,

    for n<1000 j<10: y[0, n] =sum= q[0, j] * x[j, n]; y[1, n] =sum= q[1, j] * x[j, n]; ...

it loads eleven for ten, and goes through x once. A short sum whose results are lanes adds pairs of pairs first: it
waits for fewer additions, and its error is that of fewer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Apply, Buffer, Load, Nest, Statement
from funcgrad.compiler.rewriting import rewritten
from funcgrad.compiler.scalars import add, multiply

# So many sums at once, and what they are made of, are in registers (older processors have 16). Sums of fewer products
# take as long to store. Few sums across lanes are faster one by one, each in several partial sums.
_MOST, _LEAST, _FEW = 12, 4, 4
# Arrays of so many bytes are further away, and go through half as many streams at once.
_FAR = 1 << 20
# Sums of more terms are added in pairs, up to its square, if that computes no more than so much at once.
_PAIRS, _CHEAP = 8, 32.0


def tiled(nest: Nest, vector: int | None) -> Nest:
    """A nest that does several points of a contraction or of a short sum in each round, if that pays; else the nest.

    Args:
        nest: Any nest.
        vector: The counter that is taken by vectors.
    """
    if nest.ordered or nest.sequential or nest.inline or vector is None or len(nest.statements) > 1:
        return nest
    (s,) = nest.statements
    paired = _paired(nest, vector)
    if paired is not None:
        return _in_pairs(nest, *paired)
    factors, _ = _factors(nest, s, vector)
    if not factors:
        return nest
    extents = [n // factors.get(axis, 1) for axis, n in enumerate(nest.extents)]
    loads: dict[tuple[Buffer, Affine], Load] = {}
    made = Nest(tuple(extents), [_result(s, factors, place, loads) for place in _places(factors)])
    made.window = nest.window
    return made


def loads(nest: Nest, vector: int) -> float | None:
    """How many loads each product of a contraction takes with a counter by vectors; None of other nests."""
    return _factors(nest, nest.statements[0], vector)[1] if len(nest.statements) == 1 else None


def _factors(nest: Nest, s: Statement, vector: int) -> tuple[dict[int, int], float | None]:
    """How many values of which counters to take at once, and how many loads a product takes then.

    Counters are none where that gains nothing, and so are loads where the nest is no contraction.
    """
    x = s.expression
    if s.combine != "sum" or type(s.index) is not Affine or type(x) is not Apply or x.function is not multiply:
        return {}, None
    operands = [y.index for y in x.operands if type(y) is Load and type(y.index) is Affine]
    if len(operands) < len(x.operands):
        return {}, None
    if nest.points < _LEAST * math.prod(n for _, _, n in s.index.terms):
        return {}, float(len(operands))
    parted = None if nest.window is None else nest.window.axis
    axes = [axis for axis, _, _ in s.index.terms if axis >= 0 and axis not in (vector, parted)]
    fewest, best = float(len(operands)), [1] * len(axes)
    least = _FEW + 1 if not s.index.coefficient(vector) else 2
    most = _MOST if max(b.nbytes for b in (s.buffer, *nest.reads())) < _FAR else _MOST // 2
    for counts in itertools.product(*(_divisors(nest.extents[axis]) for axis in axes)):
        if least <= math.prod(counts) <= most:
            loaded = sum(_loads(index, axes, counts) for index in operands) / math.prod(counts)
            if loaded < fewest:
                fewest, best = loaded, list(counts)
    return {axis: count for axis, count in zip(axes, best, strict=True) if count > 1}, fewest


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, min(n, _MOST) + 1) if n % k == 0]


def _loads(index: Affine, axes: Sequence[int], counts: Sequence[int]) -> int:
    """How many elements of an operand several values of counters need."""
    return math.prod(count for axis, count in zip(axes, counts, strict=True) if index.coefficient(axis))


def _places(factors: Mapping[int, int]) -> Iterator[dict[int, int]]:
    """The values of the counters that are taken at once."""
    for values in itertools.product(*map(range, factors.values())):
        yield dict(zip(factors, values, strict=True))


def _result(
    s: Statement, factors: Mapping[int, int], place: Mapping[int, int], loads: dict[tuple[Buffer, Affine], Load]
) -> Statement:
    """One of the statements, which share loads."""

    def moved(index: Affine) -> Affine:
        terms = [(axis, c * factors.get(axis, 1), n // factors.get(axis, 1)) for axis, c, n in index.terms]
        offset = index.offset + sum(c * place.get(axis, 0) for axis, c, _ in index.terms)
        return Affine(offset, tuple([term for term in terms if term[2] > 1]))

    assert type(s.expression) is Apply
    assert type(s.index) is Affine
    operands = []
    for x in s.expression.operands:
        assert type(x) is Load
        assert type(x.index) is Affine
        index = moved(x.index)
        operands.append(loads.setdefault((x.buffer, index), Load(x.buffer, index)))
    return Statement(s.buffer, moved(s.index), Apply(multiply, operands, s.expression.dtype), s.combine)


# Short sums ----------------------------------------------------------------------------------------------------------


def additions(nest: Nest, s: Statement, vector: int) -> int:
    """How many additions follow each other in a sum of a nest whose results are lanes."""
    paired = _paired(nest, vector)
    if paired is not None:
        axis, count = paired
        return nest.extents[axis] // count + count.bit_length() - 1
    return nest.points // math.prod(nest.extents[axis] for axis in _kept(s))


def _kept(s: Statement) -> set[int]:
    return {axis for axis, _, _ in s.index.terms if axis >= 0} if type(s.index) is Affine else set()


def _paired(nest: Nest, vector: int) -> tuple[int, int] | None:
    """The counter of a short sum, and how many of its terms to add in pairs; None of other nests."""
    s, kept = nest.statements[0], _kept(nest.statements[0])
    inside = [axis for axis, n in enumerate(nest.extents) if n > 1 and axis not in kept]
    parted = None if nest.window is None else nest.window.axis
    if len(nest.statements) > 1 or s.combine != "sum" or s.buffer.dtype.kind != "f" or vector not in kept:
        return None
    if len(inside) != 1 or inside[0] == parted or _factors(nest, s, vector)[1] is not None:
        return None
    n = nest.extents[inside[0]]
    count = max([k for k in (1, 2, 4, 8) if n % k == 0])
    if count == 1 or n <= _PAIRS or n > _PAIRS**2 or count * s.expression.cost > _CHEAP:
        return None
    return inside[0], count


def _in_pairs(nest: Nest, axis: int, count: int) -> Nest:
    """The nest of a sum with several terms, in pairs, for one."""
    (s,) = nest.statements

    def moved(index: Affine, place: int) -> Affine:
        terms = [(a, c * count, n // count) if a == axis else (a, c, n) for a, c, n in index.terms]
        offset = index.offset + place * index.coefficient(axis)
        return Affine(offset, tuple([term for term in terms if term[2] > 1]))

    values = [rewritten(s, partial(moved, place=place)).expression for place in range(count)]
    while len(values) > 1:
        values = [Apply(add, pair, s.expression.dtype) for pair in zip(values[::2], values[1::2], strict=True)]
    extents = tuple([n // count if a == axis else n for a, n in enumerate(nest.extents)])
    made = Nest(extents, [Statement(s.buffer, s.index, values[0], s.combine)])
    made.window = nest.window
    return made
