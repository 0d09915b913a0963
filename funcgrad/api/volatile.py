"""What is another value each time it is asked: clocks, iterators, generators of random numbers."""

from __future__ import annotations

import dis
import functools
import io
import itertools
import pickle
import types
from collections.abc import Iterator
from typing import Any

_TIMES = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
_CLOCKS = {("time", name + suffix) for name in _TIMES for suffix in ("", "_ns")}
_DATES = {("datetime", name) for name in ("now", "utcnow", "today")}
_ENTROPY = {
    *((module, "urandom") for module in ("posix", "nt")),
    *(("uuid", name) for name in ("uuid1", "uuid4")),
    *(("secrets", name) for name in ("token_bytes", "token_hex", "token_urlsafe")),
}
_SOURCES = {
    ("random", "Random"),
    ("numpy.random._generator", "Generator"),
    ("numpy.random.mtrand", "RandomState"),
    ("numpy.random.bit_generator", "BitGenerator"),
}
_GENERATORS = {"default_rng", "RandomState", "Random", "SystemRandom", "SeedSequence", "PCG64", "MT19937", "Philox"}
_OF_PYTHON = {"builtins", "itertools", "_csv", "collections", "multiprocessing.pool"}
# Modules and classes of others through which users come to any of these.
_WAYS = {"numpy.random", "time", "datetime", "date", "uuid", "secrets", "os", "random"}


def is_volatile(x: Any) -> str:
    """Why x is something else each time it is asked; empty where it is not."""
    name = getattr(x, "__module__", None) or getattr(getattr(x, "__objclass__", None), "__module__", None)
    known = (name, getattr(x, "__name__", None)) if type(name) is str else ()
    if known in _CLOCKS or known in _DATES:
        return f"it reads a clock ({'.'.join(map(str, known))})"
    if known in _ENTROPY or x is makes_unseeded_generators:
        return "it draws random numbers"
    if isinstance(x, Iterator) and not isinstance(x, io.IOBase) and type(x).__module__ in _OF_PYTHON:
        return f"it uses an iterator ({type(x).__name__}) that does not begin anew"
    return ""


def may_be_volatile(x: Any) -> bool:
    """Whether an attribute of a module that is not the user's matters."""
    if isinstance(x, (types.ModuleType, type)):
        return x.__name__ in _WAYS
    return bool(is_volatile(x)) or is_random_source(getattr(x, "__self__", None))


def is_random_source(x: Any) -> bool:
    """Whether x is a generator of random numbers."""
    return any((base.__module__, base.__name__) in _SOURCES for base in type(x).__mro__)


def random_states(sources: list[Any]) -> bytes:
    """The states of some generators of random numbers, to be compared."""
    return pickle.dumps([_random_state(x) for x in sources])


def _random_state(x: Any) -> Any:
    if hasattr(x, "getstate"):
        return x.getstate()
    if hasattr(x, "get_state"):
        return x.get_state(legacy=False)
    return getattr(x, "bit_generator", x).state


@functools.lru_cache(maxsize=4096)
def makes_unseeded_generators(code: types.CodeType) -> bool:
    """Whether code calls `default_rng()`, `RandomState()` or the like without a seed."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PRECALL", "PUSH_NULL")]
    for first, second in itertools.pairwise(instructions):
        if first.argval in _GENERATORS and first.opname[:5] == "LOAD_" and (second.opname, second.arg) == ("CALL", 0):
            return True
    return any(makes_unseeded_generators(x) for x in code.co_consts if isinstance(x, types.CodeType))
