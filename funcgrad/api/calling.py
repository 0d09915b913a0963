"""The short way into a compiled function: Python written for one signature.

`jit` looks at trees, types and surroundings of a call in general ways that cost tens of microseconds. For a signature
that has a program, small functions are generated that only ask whether everything is as it was: the leaves of the
arguments by subscripts, the variables around the function by identity, the result's tree by a display.
"""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.surroundings import is_opaque, is_plain
from funcgrad.api.transformed import Transformed
from funcgrad.core.source import internal_files

# With more to compare than this the general way is as good.
_MOST_CHECKS = 100


class _Code:
    """An expression under construction, and the objects that it names."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self.parts: list[str] = []

    def name(self, x: Any) -> str:
        """A name for an object."""
        name = f"v{len(self.namespace)}"
        self.namespace[name] = x
        return name

    def function(self, parameters: str, expression: str) -> Callable[..., Any]:
        """`lambda parameters: expression`."""
        return eval(
            f"lambda {parameters}: {expression}", {"__builtins__": {}, "type": type, "len": len, **self.namespace}
        )


# Arguments ----------------------------------------------------------------------------------------------------------


def flattener(
    args: tuple[Any, ...], kwargs: dict[str, Any], is_array: Callable[[tuple[Any, ...], Any], bool]
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any] | None:
    """A function of arguments that gives their arrays in optree's order, or None where anything else is not the same.

    Args:
        args: The arguments.
        kwargs: Those by name.
        is_array: Whether a leaf, given by its subscripts in `(args, kwargs)`, is an array; others have to be the same.

    Returns:
        None where the arguments have nodes other than dicts, lists and tuples.
    """
    code = _Code()
    leaves: list[str] = []
    if not _walk(args, "args", (0,), code, leaves, is_array) or not _walk(kwargs, "kw", (1,), code, leaves, is_array):
        return None
    condition = " and ".join(code.parts)
    return code.function("args, kw", f"({''.join(leaf + ', ' for leaf in leaves)}) if {condition} else None")


def _walk(
    x: Any,
    path: str,
    subscripts: tuple[Any, ...],
    code: _Code,
    leaves: list[str],
    is_array: Callable[[tuple[Any, ...], Any], bool],
) -> bool:
    kind = type(x)
    if len(subscripts) == 2 and not is_array(subscripts, x) and kind not in (tuple, list, dict):
        code.parts.append(_sameness(path, x, code))
        return True
    if x is None:
        code.parts.append(f"{path} is None")
    elif kind is tuple or kind is list:
        if len(subscripts) == 1:
            code.parts.append(f"len({path}) == {len(x)}")
        else:
            code.parts.append(f"type({path}) is {code.name(kind)} and len({path}) == {len(x)}")
        return all(_walk(part, f"{path}[{k}]", (*subscripts, k), code, leaves, is_array) for k, part in enumerate(x))
    elif kind is dict:
        if not all(type(key) is str for key in x):
            return False
        keys = sorted(x)
        code.parts.append(f"type({path}) is {code.name(dict)} and len({path}) == {len(x)}" if x else f"not {path}")
        code.parts += [f"{key!r} in {path}" for key in keys]
        return all(_walk(x[key], f"{path}[{key!r}]", (*subscripts, key), code, leaves, is_array) for key in keys)
    elif is_array(subscripts, x):
        leaves.append(path)
    else:
        code.parts.append(_sameness(path, x, code))
    return True


def _sameness(path: str, x: Any, code: _Code) -> str:
    """The condition that what is at a path is x, or equal where equality says everything."""
    name = code.name(x)
    if type(x) in (int, str, bytes):
        return f"({path} is {name} or (type({path}) is {code.name(type(x))} and {path} == {name}))"
    return f"{path} is {name}"


# Results ------------------------------------------------------------------------------------------------------------


def rebuilder(tree: Any) -> Callable[[Sequence[Any]], Any] | None:
    """A function of leaves that gives a tree like this one; None where it has other nodes than dicts, lists, tuples."""
    code = _Code()
    leaves: list[str] = []
    display = _display(tree, code, leaves)
    return None if display is None else code.function("ys", display)


def _display(x: Any, code: _Code, leaves: list[str]) -> str | None:
    kind = type(x)
    if x is None:
        return "None"
    if kind in (tuple, list):
        parts = [_display(part, code, leaves) for part in x]
        if None in parts:
            return None
        inside = "".join(f"{part}, " for part in parts)
        return f"({inside})" if kind is tuple else f"[{inside}]"
    if kind is dict and all(type(key) is str for key in x):
        # Leaves are in the order of keys, the display in that of the dict.
        parts_by_key = {key: _display(x[key], code, leaves) for key in sorted(x)}
        if None in parts_by_key.values():
            return None
        return "{" + ", ".join(f"{key!r}: {parts_by_key[key]}" for key in x) + "}"
    if hasattr(x, "dtype") or kind in (bool, int, float, complex):
        leaves.append("")
        return f"ys[{len(leaves) - 1}]"
    return None


# Surroundings -------------------------------------------------------------------------------------------------------


def watcher(*functions: Any) -> Callable[[], bool] | None:
    """A function that says whether all that some functions depend on is still the same objects.

    It sees what `surroundings.state_of` compares, and may say False where that would find equal values.

    Returns:
        None where there is too much to look at.
    """
    code = _Code()
    seen: set[int] = set()
    for function in functions:
        _watch(function, code, seen)
    if len(code.parts) > _MOST_CHECKS:
        return None
    return code.function("", " and ".join(code.parts) or "True")


def _watch(x: Any, code: _Code, seen: set[int]) -> None:
    """Compare the parts of x that can change while x is the same object."""
    kind = type(x)
    if is_plain(kind) or is_opaque(x) or id(x) in seen or len(code.parts) > _MOST_CHECKS:
        return
    seen.add(id(x))
    if kind is tuple:
        for part in x:
            _watch(part, code, seen)
    elif kind is list:
        name = code.name(x)
        code.parts.append(f"len({name}) == {len(x)}")
        for k, part in enumerate(x):
            _watch_place(f"{name}[{k}]", part, code, seen)
    elif kind is dict:
        _watch_dict(x, code, seen)
    elif kind is types.FunctionType:
        if not internal_files[x.__code__.co_filename]:
            _watch_function(x, code, seen)
    elif kind is types.MethodType:
        _watch(x.__func__, code, seen)
        _watch(x.__self__, code, seen)
    elif isinstance(x, functools.partial):
        for part in (x.func, x.args, x.keywords):
            _watch(part, code, seen)
    elif isinstance(x, Transformed):
        _watch(x.function, code, seen)
    else:
        _watch_object(x, kind, code, seen)


def _watch_place(place: str, value: Any, code: _Code, seen: set[int]) -> None:
    code.parts.append(f"{place} is {code.name(value)}")
    _watch(value, code, seen)


def _watch_dict(x: dict[Any, Any], code: _Code, seen: set[int]) -> None:
    name = code.name(x)
    code.parts.append(f"len({name}) == {len(x)}")
    for key, value in x.items():
        _watch_place(f"{name}.get({code.name(key)})", value, code, seen)


def _watch_object(x: Any, kind: type, code: _Code, seen: set[int]) -> None:
    attributes = getattr(x, "__dict__", None)
    if type(attributes) is dict:
        _watch_dict(attributes, code, seen)
    call = next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
    if type(call) is types.FunctionType:
        _watch(call, code, seen)


def _watch_function(f: types.FunctionType, code: _Code, seen: set[int]) -> None:
    _watch(f.__defaults__, code, seen)
    _watch(f.__kwdefaults__, code, seen)
    for cell in f.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        _watch_place(f"{code.name(cell)}.cell_contents", value, code, seen)
    variables = f.__globals__
    for name in _globals(f.__code__):
        if name in variables:
            value = variables[name]
            if type(value) is not types.ModuleType:
                _watch_place(f"{code.name(variables)}.get({name!r})", value, code, seen)
        elif not hasattr(builtins, name):
            code.parts.append(f"{name!r} not in {code.name(variables)}")


@functools.lru_cache(maxsize=4096)
def _globals(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a function's code, and that of functions in it, looks up."""
    names = {i.argval: None for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_globals(constant)))
    return tuple(names)


# All of it ----------------------------------------------------------------------------------------------------------


def fits(x: Any) -> bool:
    """Whether native code takes a captured array as it is."""
    return type(x) is not np.ndarray or not x.shape or (x.flags.c_contiguous and x.flags.aligned)


def fitting(x: Any) -> Any:
    """A captured array as native code takes it."""
    return x if fits(x) else np.require(x, None, ["C", "A"])


def shortcut(
    call: Callable[..., Any],
    captured: Sequence[Any],
    flatten: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    unchanged: Callable[[], bool],
    rebuild: Callable[[Sequence[Any]], Any],
    count: int,
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """A native function as a function of trees that gives NotImplemented where anything is not as it was."""
    constants = tuple(captured)
    if not all(fits(x) for x in constants):
        # Captured arrays in another layout are copied at each call, since they may have changed.
        contiguous, call = call, lambda *xs: contiguous(*map(fitting, xs))
    if count == 1 and rebuild((call,)) is call:

        def run_to_leaf(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            leaves = flatten(args, kwargs)
            if leaves is None or not unchanged():
                return NotImplemented
            return call(*constants, *leaves)

        return run_to_leaf

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves = flatten(args, kwargs)
        if leaves is None or not unchanged():
            return NotImplemented
        ys = call(*constants, *leaves)
        if ys is NotImplemented:
            return ys
        return rebuild((ys,) if count == 1 else ys)

    return run
