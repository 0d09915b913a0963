"""Plain arrays that a recorded function uses: are they, when the derivative is computed, what they were then?

Rules read operands after the function has returned, and NumPy code may write to an array in the meantime
(`buf *= 2`, `out=buf`). Small arrays are therefore copied when they are used. Copying large ones would cost as much
as the operation itself: of these a sample of elements is kept, and compared before the derivative is computed. That
finds every array that has been overwritten as a whole, and of those changed in a few elements only some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.errors import CapturedArrayError
from funcgrad.core.source import Place, read_source

# Up to this many elements a copy costs less than half of any operation.
SMALL = 2048
_SAMPLES = 64
# Elements that are compared at a time.
_PORTION = 2**17


class Sample(NamedTuple):
    """Some elements of an array as they were at a place in the user's code."""

    array: np.ndarray[Any, Any]
    elements: bytes
    place: Place | None


def sample(x: np.ndarray[Any, Any], place: Place | None) -> Sample:
    """A sample of a large array."""
    return Sample(x, some_elements(x, _SAMPLES), place)


def same_elements(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one dtype are of one shape and, byte for byte, of the same elements."""
    if x.shape != y.shape:
        return False
    few, fewer = unrepeated(x), unrepeated(y)
    if few.shape == fewer.shape:
        x, y = few, fewer
    return all(map(_same_bits, _portions(x), _portions(y)))


def _same_bits(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> bool:
    if x.size <= SMALL or x.itemsize not in (1, 2, 4, 8) or x.dtype.hasobject:
        return x.tobytes() == y.tobytes()
    unit = np.dtype(f"u{x.itemsize}")
    flat, other = (np.ascontiguousarray(z).reshape(-1).view(unit) for z in (x, y))
    return bool((flat == other).all())


def unrepeated(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The part of an array that lies in memory once: without the copies along axes that it is broadcast to."""
    return x[tuple([slice(0, 1) if stride == 0 else slice(None) for stride in x.strides])] if 0 in x.strides else x


def copied(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array as it is now; what is repeated in memory of many elements is copied once."""
    return np.broadcast_to(unrepeated(x).copy("K"), x.shape) if x.size > SMALL and 0 in x.strides else x.copy("K")


def _portions(x: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """An array in parts along its first axis, of which copies take little memory."""
    if x.ndim == 0 or x.size <= _PORTION:
        return iter([x])
    rows = max(1, _PORTION * len(x) // x.size)
    return (x[start : start + rows] for start in range(0, len(x), rows))


def some_elements(x: np.ndarray[Any, Any], count: int) -> bytes:
    """At least `count` elements of an array that has more, evenly spread, as bytes."""
    step = x.size // count
    return x.reshape(-1)[::step].tobytes() if x.flags.c_contiguous else x.flat[::step].tobytes()


def check_samples(name: str, samples: Sequence[Sample]) -> None:
    """Check that sampled arrays are what they were.

    Raises:
        CapturedArrayError: naming the line that used one that is not.
    """
    for array, elements, place in samples:
        if some_elements(array, _SAMPLES) != elements:
            raise CapturedArrayError(name, f"{array.dtype}{list(array.shape)}", read_source(place))
