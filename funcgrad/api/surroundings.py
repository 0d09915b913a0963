"""What does a function depend on besides its arguments, and is it still the same?

A recorded function has seen the Python values around it: closure variables, globals, defaults, attributes of objects,
elements of lists and dicts. `state_of` is a value of all of them that can be compared: two equal states mean that a
recording may stand for another call. Arrays count by identity, since a recording refers to their elements. Not seen
are attributes of classes and modules, the state of objects without a `__dict__` (a random generator), and what lies
beyond the first few hundred values.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from funcgrad.api.transformed import Transformed
from funcgrad.core.source import internal_files
from funcgrad.core.tracing import Tracer

_MOST_VALUES = 400
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_OPAQUE = (np.ndarray, np.generic, type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)


class Same:
    """An object that is equal to itself alone, and is kept so that its id stays its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def state_of(*values: Any) -> tuple[Any, ...]:
    """What can be seen of some values: equal to an earlier state if nothing that was seen has changed."""
    state: list[Any] = []
    seen: set[int] = set()
    pending: list[Iterator[Any]] = [iter(values)]
    while pending:
        for x in pending[-1]:
            kind = type(x)
            if kind in _PLAIN:
                state.append(static_key(x))
            elif kind is Tracer:
                state.append(Tracer)
            elif isinstance(x, _OPAQUE) or id(x) in seen or len(state) > _MOST_VALUES:
                state.append(Same(x))
            else:
                seen.add(id(x))
                state.append(kind if kind in (list, tuple, dict) else Same(x))
                inner = _parts(x, kind)
                if inner is not None:
                    pending.append(inner)
                    break
        else:
            pending.pop()
            state.append(None)  # so that where a value's parts end counts, too
    return tuple(state)


def static_key(x: Any) -> Hashable:
    """What tells a static value from others, where Python's equality does not: 1 == True == 1.0, 0.0 == -0.0."""
    if type(x) is tuple:
        return (tuple, *map(static_key, x))
    return type(x), x.hex() if type(x) is float else x


def is_plain(kind: type) -> bool:
    """Whether values of a type are compared as such."""
    return kind in _PLAIN


def is_opaque(x: Any) -> bool:
    """Whether x counts by identity alone."""
    return isinstance(x, _OPAQUE) or type(x) is Tracer


def has_state(x: Any) -> bool:
    """Whether x is an object whose attributes can be seen."""
    return not isinstance(x, _OPAQUE) and hasattr(x, "__dict__")


def _parts(x: Any, kind: type) -> Iterator[Any] | None:
    """The values that make up the state of x."""
    if kind is tuple or kind is list:
        return iter(x)
    if kind is dict:
        return iter([part for item in x.items() for part in item])
    if kind is types.FunctionType:
        return None if internal_files[x.__code__.co_filename] else iter(_function_parts(x))
    if kind is types.MethodType:
        return iter((x.__func__, x.__self__))
    if isinstance(x, functools.partial):
        return iter((x.func, x.args, x.keywords))
    if isinstance(x, Transformed):
        return iter((x.function,))
    attributes = getattr(x, "__dict__", None)
    call = next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
    parts = [] if type(attributes) is not dict else [part for item in list(attributes.items()) for part in item]
    return iter([*parts, call] if type(call) is types.FunctionType else parts)


def _function_parts(f: types.FunctionType) -> list[Any]:
    """A function's defaults, closure variables and globals."""
    parts: list[Any] = [f.__defaults__, f.__kwdefaults__]
    for cell in f.__closure__ or ():
        try:
            parts.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            parts.append(None)
    variables = f.__globals__
    for name in _names(f.__code__):
        if name in variables:
            value = variables[name]
            if type(value) is not types.ModuleType:
                parts.append(value)
    return parts


@functools.lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names that a function's code, and that of functions in it, looks up elsewhere (or takes as attributes)."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_names(constant)))
    return tuple(names)
