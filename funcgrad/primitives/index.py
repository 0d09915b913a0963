"""What is selected of an array: the static part of an index, as a hashable parameter of primitives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

# Stands in an index for an integer array, which is an operand.
ARRAY = "array"

# An integer drops its axis; a triple is a slice; None is a new axis; ARRAY is an index array.
Entry: TypeAlias = int | tuple[int, int | None, int] | str | None

_NOTHING = np.empty((), np.dtype([]))  # elements of no bytes: arrays of any shape cost nothing


class Index:
    """An index without its arrays; axes beyond its entries are taken whole.

    Attributes:
        entries: Slices with start, stop and step resolved for the array's shape (stop None: past the front), and
            non-negative integers.
        native: The same for NumPy, with ARRAY where an index array belongs.
    """

    __slots__ = ("entries", "native")

    def __init__(self, entries: tuple[Entry, ...], native: tuple[Any, ...] | None = None) -> None:
        self.entries = entries
        if native is None:
            native = tuple([slice(*entry) if type(entry) is tuple else entry for entry in entries])
        self.native = native

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return f"({','.join(map(_entry_text, self.entries))})"

    def fill(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """What NumPy is to be given, with index arrays in their places."""
        if len(self.native) == 1:
            return (arrays[0],)
        remaining = iter(arrays)
        return tuple([next(remaining) if type(entry) is str else entry for entry in self.native])

    def result_shape(self, shape: tuple[int, ...], arrays: Sequence[Any] = ()) -> tuple[int, ...]:
        """The shape of what is selected of an array; all of NumPy's errors for the index, if it has any."""
        if not arrays:
            known = self._basic_shape(shape)
            if known is not None:
                return known
        return np.broadcast_to(_NOTHING, shape)[self.fill(arrays) if arrays else self.native].shape

    def _basic_shape(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape where there are no arrays; None where NumPy has an error to say."""
        lengths: list[int] = []
        axis = 0
        for entry in self.entries:
            if entry is None:
                lengths.append(1)
                continue
            if type(entry) is tuple:
                start, stop, step = entry
                lengths.append(len(range(start, -1 if stop is None else stop, step)))
            elif not (axis < len(shape) and 0 <= entry < shape[axis]):  # type: ignore[operator]
                return None
            axis += 1
        return (*lengths, *shape[axis:])

    def on_rows(self, size: int) -> Index:
        """The same of every row of an array of `size` rows."""
        return Index(((0, size, 1), *self.entries), (slice(0, size, 1), *self.native))

    def arrays_place(self) -> tuple[int, bool]:
        """Before which axis of the rest the axes of the index arrays come, and whether their entries are adjacent.

        NumPy counts integers as index arrays here, and puts the axes in front where entries are not adjacent.
        """
        places = [i for i, entry in enumerate(self.entries) if type(entry) in (int, str)]
        if not places or places[-1] - places[0] >= len(places):
            return 0, not places
        return places[0], True


def _entry_text(entry: Entry) -> str:
    if isinstance(entry, tuple):
        start, stop, step = entry
        return f"{start}:{'' if stop is None else stop}" + (f":{step}" if step != 1 else "")
    return str(entry)
