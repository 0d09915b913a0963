"""The short way into a compiled function: Python written for one signature.

`jit` looks at trees, types and surroundings of a call in general ways that cost tens of microseconds. For a signature
that has a program, small functions are generated that only ask whether everything is as it was: the leaves of the
arguments by subscripts, what is around the function (`surroundings`), the result's tree by a display.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.expressions import Expression

# Arguments ----------------------------------------------------------------------------------------------------------


def flattener(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    is_array: Callable[[tuple[Any, ...], Any], bool],
    add_conditions: Callable[[Expression], bool] = lambda code: True,
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any] | None:
    """A function of arguments that gives their arrays in optree's order, or None where anything else is not the same.

    Args:
        args: The arguments.
        kwargs: Those by name.
        is_array: Whether a leaf, given by its subscripts in `(args, kwargs)`, is an array; others have to be the same.
        add_conditions: Adds what else has to be the same.

    Returns:
        None where the arguments have nodes other than dicts, lists and tuples, or the conditions are too many.
    """
    code = Expression()
    leaves: list[str] = []
    if not _walk(args, "args", (0,), code, leaves, is_array) or not _walk(kwargs, "kw", (1,), code, leaves, is_array):
        return None
    if not add_conditions(code):
        return None
    return code.function("args, kw", f"({''.join(leaf + ', ' for leaf in leaves)}) if {code.condition} else None")


def _walk(
    x: Any,
    path: str,
    subscripts: tuple[Any, ...],
    code: Expression,
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


def _sameness(path: str, x: Any, code: Expression) -> str:
    """The condition that what is at a path is x, or equal where equality says everything."""
    name = code.name(x)
    if type(x) in (int, str, bytes):
        return f"({path} is {name} or (type({path}) is {code.name(type(x))} and {path} == {name}))"
    return f"{path} is {name}"


# Results ------------------------------------------------------------------------------------------------------------


def rebuilder(tree: Any) -> Callable[[Sequence[Any]], Any] | None:
    """A function of leaves that gives a tree like this one; None where it has other nodes than dicts, lists, tuples."""
    code = Expression()
    leaves: list[str] = []
    display = _display(tree, code, leaves)
    return None if display is None else code.function("ys", display)


def _display(x: Any, code: Expression, leaves: list[str]) -> str | None:
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
            if leaves is None:
                return NotImplemented
            return call(*constants, *leaves)

        return run_to_leaf

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves = flatten(args, kwargs)
        if leaves is None:
            return NotImplemented
        ys = call(*constants, *leaves)
        if ys is NotImplemented:
            return ys
        return rebuild((ys,) if count == 1 else ys)

    return run
