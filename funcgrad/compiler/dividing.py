"""Which quotients and roots of a nest are computed beside the divider, so that it and the multipliers are as busy.

`exp(x) / sqrt(y)` of eight doubles takes the divider 16 + 24 cycles and the multipliers ten; with the root by
multiplication these are 16 and 19, at the same time. Where one of them alone is too much for either, two vectors take
turns: of `sqrt(x) log(y)` one root by the divider and one beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import Apply, Expression
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.math.divider import divided, rooted

_DOUBLE = np.dtype(np.float64)
_VECTOR_BITS = 512
# For each vector: cycles of the divider, and instructions of the other way.
_DIVISION, _DIVISION_INSTRUCTIONS = 16.0, 18.0
_ROOT, _ROOT_INSTRUCTIONS = 24.0, 17.0
_PER_CYCLE = 2.0
# Instructions for each unit of what expressions say that they cost: functions of the library take more.
_INSTRUCTIONS = 1.5


def inverse(x: Value) -> Value:
    """1 / x."""
    return divided(x.like(1.0), x)


_BESIDE: dict[Callable[..., Any], Callable[..., Value]] = {
    scalars.divide: divided,
    scalars.reciprocal: inverse,
    scalars.sqrt: rooted,
}


# Vectors take turns where that takes so much of the time.
_WORTH = 0.85

Instead = dict[int, Callable[..., Any]]
"""What to compute instead of some expressions' functions, by the ids of the expressions."""


def beside(expressions: Sequence[Expression], vector_bits: int) -> Instead:
    """What to compute instead of some of the expressions' functions.

    Args:
        expressions: All that a loop computes for each vector.
        vector_bits: The size of the machine's vectors.
    """
    return by_turns(expressions, vector_bits, 1)[0]


def by_turns(expressions: Sequence[Expression], vector_bits: int, vectors: int) -> list[Instead]:
    """The same for each of so many vectors that a loop may take at once, or one for all if turns gain little."""
    applied = [x for x in expressions if type(x) is Apply]
    found = [x for x in applied if x.function in _BESIDE and x.dtype == _DOUBLE]
    if not found or vector_bits != _VECTOR_BITS:
        return [{}]
    others = _INSTRUCTIONS * sum(x.own_cost for x in applied if x.function not in _BESIDE)
    alone, cycles = _moved(found, others)
    together, turns = _moved(found * vectors, others * vectors)
    if turns >= _WORTH * vectors * cycles:
        return [_instead(found, alone)]
    count = len(found)
    return [_instead(found, {i - start for i in together}) for start in range(0, count * vectors, count)]


def _instead(found: Sequence[Apply], moved: set[int]) -> Instead:
    return {id(x): _BESIDE[x.function] for i, x in enumerate(found) if i in moved}


def _moved(found: Sequence[Apply], others: float) -> tuple[set[int], float]:
    """The places of quotients and roots that leave the divider, beside so many other instructions; and the cycles."""
    roots = [i for i, x in enumerate(found) if x.function is scalars.sqrt]
    quotients = [i for i, x in enumerate(found) if x.function is not scalars.sqrt]

    def cycles(moved: int, moved_roots: int) -> float:
        divider = (len(quotients) - moved) * _DIVISION + (len(roots) - moved_roots) * _ROOT
        instructions = others + moved * _DIVISION_INSTRUCTIONS + moved_roots * _ROOT_INSTRUCTIONS
        return max(divider, instructions / _PER_CYCLE)

    moved, moved_roots = 0, 0
    while True:
        choices = [(moved + 1, moved_roots)] * (moved < len(quotients))
        choices += [(moved, moved_roots + 1)] * (moved_roots < len(roots))
        better = min(choices, key=lambda choice: cycles(*choice), default=(moved, moved_roots))
        if cycles(*better) >= cycles(moved, moved_roots):
            return {*quotients[:moved], *roots[:moved_roots]}, cycles(moved, moved_roots)
        moved, moved_roots = better
