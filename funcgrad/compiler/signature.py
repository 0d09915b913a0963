"""What a program takes and gives, as its entry has to know it."""

from __future__ import annotations

import ast
from typing import Any, Literal, NamedTuple

import numpy as np


class Argument(NamedTuple):
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


class Signature(NamedTuple):
    """All that an entry does.

    Attributes:
        arguments: In order.
        results: In order.
        workspace: How many bytes the program needs for temporaries.
    """

    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    workspace: int

    def to_text(self) -> str:
        """The signature as text, of Python's literals."""
        members = ([(x.shape, x.dtype.char, x.kind) for x in group] for group in (self.arguments, self.results))
        return repr([*members, self.workspace])

    @classmethod
    def from_text(cls, text: str) -> Signature:
        """The signature that a text says."""
        *groups, workspace = ast.literal_eval(text)
        arguments, results = (tuple(_member(*x) for x in group) for group in groups)
        return cls(arguments, results, workspace)


def _member(shape: tuple[int, ...], code: str, kind: Any) -> Argument:
    return Argument(shape, np.dtype(code), kind)
