"""What rules make of the number that a derivative begins with, before it meets a traced value.

While `jit` records, a gradient inside repeats that 1 in NumPy, and multiplies it by numbers. What it has become by then
is a constant of the recording, as is what the function itself computes in NumPy of arrays around it, which may be
written to. Of the latter nobody knows where it comes from; what rules do is followed here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

SEEDS = {
    np.dtype(kind): np.dtype(kind).type(1)
    for kind in (np.float64, np.float32, np.float16, np.longdouble, np.complex128, np.complex64, np.clongdouble)
}
"""The cotangent of a result that is differentiated."""


class Made(NamedTuple):
    """A value that comes of a seed, or a copy.

    Attributes:
        value: The value.
        sources: The arrays and numbers that it was made of besides seeds, Python's numbers and shapes.
    """

    value: Any
    sources: tuple[Any, ...]


class _Followed(threading.local):
    """What is known in this thread to come of seeds and sources, by identity; None where nobody asks."""

    made: dict[int, Made] | None = None


followed = _Followed()


def begin() -> dict[int, Made] | None:
    """Follow values from now on, if nobody does; returns what `end` needs."""
    outer = followed.made
    if outer is None:
        followed.made = {id(seed): Made(seed, ()) for seed in SEEDS.values()}
    return outer


def end(outer: dict[int, Made] | None) -> dict[int, Made]:
    """Return what is known, and go on only if somebody around asks."""
    made, followed.made = followed.made, outer
    assert made is not None
    return made


def note(made: dict[int, Made], values: Iterable[Any], *origins: Any) -> None:
    """Note what values were made of."""
    sources: list[Any] = []
    for x in origins:
        if type(x) not in (int, float):
            sources += made[id(x)].sources if id(x) in made else (x,)
    made.update([(id(x), Made(x, tuple(sources))) for x in values])


def forget(made: dict[int, Made], values: Iterable[Any]) -> None:
    """Know nothing any more of arrays that a user's code gets, which may write to them."""
    for x in values:
        while isinstance(x, np.ndarray):
            made.pop(id(x), None)
            x = x.base


def noted_copy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy, of which it is known what it is a copy of."""
    copy = x.copy()
    if followed.made is not None:
        note(followed.made, [copy], x)
    return copy
