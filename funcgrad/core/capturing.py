"""Plain arrays that a recorded function uses: are they, when the derivative is computed, what they were then?

Rules read operands after the function has returned, and NumPy code may write to an array in the meantime
(`buf *= 2`, `out=buf`). Small arrays are therefore copied when they are used. Copying large ones would cost as much
as the operation itself: of these a sample of elements is kept, and compared before the derivative is computed. That
finds every array that has been overwritten as a whole, and of those changed in a few elements only some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.errors import CapturedArrayError
from funcgrad.core.source import Place, read_source

# Up to this many elements a copy costs less than half of any operation.
SMALL = 2048
_SAMPLES = 64


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
    return x.shape == y.shape and x.tobytes() == y.tobytes()


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
