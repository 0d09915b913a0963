"""What kernels call only for few numbers is compiled once for all programs, when one that may call it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from funcgrad.compiler import native, runtime, workspaces
from funcgrad.compiler.emission import ATTRIBUTES
from funcgrad.kernels.assembly import F32, F64, Element, Module
from funcgrad.kernels.definitions import OUTLINED, Kernel

_known: dict[str, int] = {}


def text(kernel: Kernel, element: Element) -> str:
    """A module of a kernel for numbers of a type."""
    module = Module(avx512=native.vector_bytes() == 64)
    kernel.require(module, element, 1, len(inspect.signature(kernel.definition).parameters))
    return module.text() + ATTRIBUTES


def _function(kernel: Kernel, element: Element) -> Callable[[], int]:
    symbol = kernel.symbol(element, 1)
    return lambda: (
        _known.get(symbol) or _known.setdefault(symbol, workspaces.for_good(text(kernel, element)).address(symbol))
    )


def register() -> None:
    """Let code that is loaded find these functions."""
    for kernel in OUTLINED:
        for element in (F64, F32):
            runtime.DEFERRED[kernel.symbol(element, 1)] = _function(kernel, element)
