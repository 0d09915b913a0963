"""Is what a recording has seen around its function still there, and which arrays' elements did Python see?

What a recording uses of an array itself is passed by reference at each call. What NumPy or Python made of its elements
before it met a traced value (`G.sum()`, `float(G[0])`, `if G[0] > 0`) is a number, an array or a path of its own in the
recording, which would grow stale: the elements of such arrays are compared at each call. Those that nobody can write
to (`G.setflags(write=False)`, of the array and of what it is a view of) need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from funcgrad.api.expressions import Expression
from funcgrad.api.reading import reads_elements
from funcgrad.api.signatures import Call
from funcgrad.api.surroundings import Part, Surroundings
from funcgrad.core.capturing import SMALL, same_elements
from funcgrad.core.jaxpr import Jaxpr, Literal, subjaxprs
from funcgrad.core.seeding import Made


class Watch:
    """Whether a recording may stand for further calls."""

    def __init__(self, surroundings: Surroundings, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        self._surroundings = surroundings
        self._elements = [_elements_part(x) for x in arrays]
        self.check: Callable[[], bool] | None = None

    def holds(self, call: Call) -> bool:
        """Whether everything around the function is as it was; makes `check`, which answers sooner the next time.

        `check` may say no where this finds equal values; it is None where there is too much to look at.
        """
        roots = self._surroundings.roots
        if self.check is not None and len(roots) == len(call.roots) and all(map(_is, roots, call.roots)):
            try:
                if self.check():
                    return True
            except Exception:
                self.check = None  # an attribute is gone
        now = call.look_around()
        if now.state != self._surroundings.state or not all(map(_same_elements, self._elements)):
            return False
        self._surroundings = now
        code = Expression()
        self.check = code.function("", code.condition) if self.conditions(code) else None
        return True

    def conditions(self, code: Expression) -> bool:
        """Add that everything around the function is the same; whether there was not too much to look at."""
        return self._surroundings.conditions(code, self._elements)


def arrays_read(
    call: Call, jaxpr: Jaxpr, constants: Sequence[Any], made: Mapping[int, Made]
) -> list[np.ndarray[Any, Any]]:
    """The arrays around a function whose elements may have been read while it was recorded, and may be written to.

    Args:
        made: By identity, what rules have made of seeds and of arrays.
    """
    around = {id(x): x for x in call.look_around().arrays if x.dtype != object}
    writeable = [x for x in around.values() if _is_writeable(x)]
    if not writeable:
        return []
    found: dict[int, np.ndarray[Any, Any]] = {}
    for x in (*constants, *_values_in(jaxpr)):
        origin = made.get(id(x))
        if origin is None and (not isinstance(x, (np.ndarray, np.generic)) or _within(around, x) is not None):
            continue  # a Python number, a traced value, or an array that is passed by reference
        for source in (x,) if origin is None else origin.sources:
            array = _within(around, source)
            if array is None:  # of what NumPy has made of any of them
                return writeable
            found[id(array)] = array
    return writeable if reads_elements(call) else [x for x in writeable if id(x) in found]


def _values_in(jaxpr: Jaxpr) -> Iterator[Any]:
    """The numbers in a jaxpr, and numbers and constants in those that its equations carry."""
    for x in [*[x for eqn in jaxpr.equations for x in eqn.inputs], *jaxpr.outputs]:
        if isinstance(x, Literal):
            yield x.value
    yield from [value for _, value in jaxpr.constants]
    for eqn in jaxpr.equations:
        for _, inner in subjaxprs(eqn):
            yield from _values_in(inner)


def _within(around: Mapping[int, np.ndarray[Any, Any]], x: Any) -> np.ndarray[Any, Any] | None:
    """The one of some arrays that an array is, or is a view of."""
    return next((around[id(owner)] for owner in (x, *owners(x)) if id(owner) in around), None)


def owners(x: Any) -> list[Any]:
    """The objects whose memory an array shows: its base, the base of that, ..."""
    found = []
    while getattr(x, "base", None) is not None:
        x = x.base
        found.append(x)
    return found


def _is_writeable(x: np.ndarray[Any, Any]) -> bool:
    return any(map(_is_open, (x, *owners(x))))


def _is_open(owner: Any) -> bool:
    """Whether memory may be written to by what shows it."""
    if isinstance(owner, np.ndarray):
        return owner.flags.writeable
    try:
        return not memoryview(owner).readonly
    except TypeError:
        return True  # nobody knows


def _is(x: Any, y: Any) -> bool:
    return x is y


def _elements_part(x: np.ndarray[Any, Any]) -> Part:
    if x.size <= SMALL:
        return Part(x.tobytes(), "{h}.tobytes() == {v}", x)
    return Part(x.copy(), "{k}({h}, {v})", x, _same_bits)


def _same_elements(part: Part) -> bool:
    known, x = part.value, part.holder
    return x.tobytes() == known if isinstance(known, bytes) else _same_bits(x, known)


def _same_bits(x: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays are equal bit by bit, NaN and signed zeros included."""
    return x.dtype == known.dtype and same_elements(x, known)
