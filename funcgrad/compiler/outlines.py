"""What kernels call only for few numbers is compiled once for all programs, when one that may call it is loaded."""

from __future__ import annotations

import functools

from funcgrad.compiler import native, runtime, workspaces
from funcgrad.compiler.emission import ATTRIBUTES
from funcgrad.kernels.definitions import OUTLINED, outlined_module


def text(symbol: str) -> str:
    """A module with a function that kernels call."""
    return outlined_module(symbol, avx512=native.vector_bytes() == 64).text() + ATTRIBUTES


@functools.cache
def address(symbol: str) -> int:
    """Where such a function is."""
    return workspaces.for_good(text(symbol)).address(symbol)


def register() -> None:
    """Let code that is loaded find these functions."""
    runtime.DEFERRED[OUTLINED] = address
