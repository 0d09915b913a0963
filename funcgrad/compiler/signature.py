"""What a program takes and gives, as its entry has to know it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Argument:
    """What an argument has to be, or how a result comes out.

    Attributes:
        shape: Of the array; () for numbers.
        dtype: Native; of a Python number the one that holds it: bool, int64, float64, complex128.
        kind: "array": an ndarray. "scalar": a NumPy scalar. "python": a Python bool, int, float or complex. An
            argument without axes may be either of the first two, whichever of them is said.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kind: Literal["array", "scalar", "python"] = "array"


@dataclass(frozen=True, slots=True)
class Signature:
    """All that an entry does.

    Attributes:
        arguments: In order.
        results: In order.
        workspace: How many bytes the program needs for temporaries.
    """

    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    workspace: int

    def to_json(self) -> str:
        """The signature as text."""
        members = ([(x.shape, x.dtype.char, x.kind) for x in group] for group in (self.arguments, self.results))
        return json.dumps([*members, self.workspace])

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """The signature that a text says."""
        *groups, workspace = json.loads(text)
        arguments, results = (tuple(_member(*x) for x in group) for group in groups)
        return cls(arguments, results, workspace)


def _member(shape: list[int], code: str, kind: Any) -> Argument:
    return Argument(tuple(shape), np.dtype(code), kind)
