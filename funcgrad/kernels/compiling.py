"""How is a kernel compiled, with which flags, and when is it worth waiting for?

numba takes half a second to import and a kernel up to half a second to compile (a few milliseconds to load from
disk). A kernel is therefore rented before it is bought: callers say how many seconds the kernel would save them,
NumPy does the work until the savings that were passed up reach the price, and from then on the kernel does it. No
program ever waits for a compiler longer than the kernel would have saved it so far.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Seconds, measured (2 cores, numba 0.65).
IMPORT_PRICE = 0.45
COMPILE_PRICE = 0.40
LOAD_PRICE = 0.02

_FLAGS = {"nogil": True, "error_model": "numpy", "fastmath": False}


class Kernel:
    """A function for numba: `if kernel.pays(seconds, *args): kernel(*args)`, else NumPy."""

    imports_owed = 0.0  # passed up by all kernels together while numba is not imported

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.dispatcher: Any = None
        self._owed: dict[tuple[Any, ...], float] = {}
        self._price = COMPILE_PRICE

    def pays(self, saving: float, *args: Any) -> bool:
        """Whether to run the kernel on these arguments.

        Args:
            saving: By how many seconds the compiled kernel beats the alternative on them (a rough estimate).
            args: What the kernel would be called with; each combination of dtypes and ranks is compiled by itself.
        """
        types = tuple([getattr(x, "dtype", type(x)) for x in args])
        owed = self._owed.get(types, 0.0)
        if owed < 0.0:
            return saving > 0.0
        if self.dispatcher is None and not self._import(saving):
            return False
        self._owed[types] = owed = owed + saving
        if self.dispatcher is False or owed < self._price:
            return False
        self._owed[types] = -1.0  # bought
        return True

    def _import(self, saving: float) -> bool:
        if "numba" not in sys.modules:
            Kernel.imports_owed += saving
            if Kernel.imports_owed < IMPORT_PRICE:
                return False
        self.dispatcher = _dispatcher(self.function)
        self._price = LOAD_PRICE if self.is_on_disk() else COMPILE_PRICE
        return True

    def is_on_disk(self) -> bool:
        """Whether numba's cache holds a compiled form of the function."""
        folder = getattr(getattr(self.dispatcher, "stats", None), "cache_path", None)
        return folder is not None and any(Path(folder).glob(f"*{self.function.__qualname__}-*.nbi"))

    def __call__(self, *args: Any) -> Any:
        """Run the kernel, compiling it if need be."""
        if self.dispatcher is None:
            self.dispatcher = _dispatcher(self.function)
        return (self.dispatcher or self.function)(*args)


def compiled(function: Callable[..., Any]) -> Kernel:
    """Make a plain loop over ndarrays a kernel that numba compiles, and keeps on disk, when it pays.

    There is no list of signatures: numba would compile, or load, every one of them at the first use of any. A
    specialisation is made when arguments of its types come for the first time; callers keep these few by passing
    C-contiguous arrays of the floating dtypes and `intp` indices.

    Example:
        >>> @compiled
        ... def add_at(y, index, values):
        ...     for k in range(index.size):
        ...         y[index[k]] += values[k]
        >>> import numpy as np
        >>> add_at.pays(1e-9, np.zeros(3), np.zeros(1, np.intp), np.ones(1))
        False
    """
    return Kernel(function)


def _dispatcher(function: Callable[..., Any]) -> Any:
    """numba's dispatcher; False where numba is missing or switched off, so that NumPy does the work."""
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:
        return False
    if numba.config.DISABLE_JIT:
        return False
    try:
        return numba.njit(function, cache=True, **_FLAGS)
    except RuntimeError:  # no folder to write to
        return numba.njit(function, **_FLAGS)
