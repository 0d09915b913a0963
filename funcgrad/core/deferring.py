"""Values that are computed when somebody looks at them.

The first call of a jitted function records with NumPy's values. Once these have taken much memory, the recording gives
every further operation a `Deferred` value instead: what it would be computed from. Where nobody looks at any, they are
never computed, since compiled code gives the call's result sooner and in less memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.source import Place, begin_replay, end_replay, note_place, replay

# Of operands with so few elements no operation makes much.
_FEW = 512


class Deferred:
    """A value that is not computed yet: `elements` computes it, NumPy asks for it by itself.

    Attributes:
        aval: Its shape and dtype.
    """

    __slots__ = ("_number", "_work", "aval")

    def __init__(self, work: _Work, number: int, aval: ShapedArray) -> None:
        self._work = work
        self._number = number
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        """As of `numpy.ndarray`."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of `numpy.ndarray`."""
        return self.aval.dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(elements(self), dtype, copy=copy)


class _Work:
    """An operation put off, whose operands may be put off themselves."""

    __slots__ = ("params", "place", "primitive", "xs", "ys")

    def __init__(self, primitive: Any, xs: Sequence[Any], params: dict[str, Any], place: Place | None) -> None:
        self.primitive, self.xs, self.params, self.place = primitive, xs, params, place
        self.ys: tuple[Any, ...] | None = None

    def missing(self) -> list[_Work]:
        """What has to be done before."""
        return [x._work for x in self.xs if type(x) is Deferred and x._work.ys is None]

    def do(self) -> None:
        """Compute the results, and let go of the operands."""
        replay.place = self.place
        y = self.primitive.implementation(*map(_known, self.xs), **self.params)
        self.ys = tuple(y) if self.primitive.multiple_results else (y,)
        self.xs = ()


def defer(primitive: Any, xs: Sequence[Any], params: dict[str, Any], place: Place | None) -> Any:
    """The result of a primitive, a tuple for one with several, none of which is computed.

    Args:
        xs: Operands that nobody writes to.
        place: The user's line, for errors.

    Returns:
        None for what comes of Python's numbers alone, which may grow beyond the 64 bits of their type, and for what is
        an error.
    """
    work = _Work(primitive, xs, params, place)
    avals = result_types(primitive, xs, params)
    if avals is None:
        return None
    results = [Deferred(work, k, aval) for k, aval in enumerate(avals if primitive.multiple_results else (avals,))]
    if any(y.aval.weak_type for y in results):
        return None
    return tuple(results) if primitive.multiple_results else results[0]


def result_types(primitive: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    """The type of what a primitive gives, a tuple for one with several results; None where NumPy has an error."""
    try:
        return primitive.abstract(*map(get_aval, xs), **params)
    except Exception:
        return None


def nbytes(avals: ShapedArray | Sequence[ShapedArray]) -> int:
    """What values of a type, or of several, take of memory."""
    if isinstance(avals, ShapedArray):
        return avals.nbytes
    return sum(map(nbytes, avals))


def exceeds(budget: float, primitive: Any, params: dict[str, Any], xs: Sequence[Any]) -> bool:
    """Whether what a primitive returns takes more memory than a budget; not asked of operands with few elements."""
    if not any(getattr(x, "size", 0) > _FEW for x in xs):
        return False
    return nbytes(result_types(primitive, xs, params) or ()) > budget


def errors_are_raised() -> bool:
    """Whether NumPy is to do more about a division by zero and the like than to warn."""
    return not set(np.geterr().values()) <= {"ignore", "warn"}


def elements(x: Any) -> Any:
    """x itself, computed now if it is deferred."""
    if type(x) is not Deferred:
        return x
    if x._work.ys is None:
        _do(x._work)
    return _known(x)


def _do(last: _Work) -> None:
    """All that an operation needs, each before what needs it, and the operation."""
    outer = begin_replay()
    waiting = [last]
    try:
        while waiting:
            if waiting[-1].ys is None and (missing := waiting[-1].missing()):
                waiting += missing
                continue
            work = waiting.pop()
            if work.ys is None:
                work.do()
    except Exception as error:
        note_place(error)
        raise
    finally:
        end_replay(outer)


def _known(x: Any) -> Any:
    if type(x) is not Deferred:
        return x
    assert x._work.ys is not None
    return x._work.ys[x._number]
