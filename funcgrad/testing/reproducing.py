"""A failing example as a program that runs as it stands."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from funcgrad.core.tree import is_static
from funcgrad.testing.programs import IMPORTS, Program


def code_of(x: Any) -> str:
    """An expression that gives a tree of arrays and numbers, with `np` for NumPy.

    Example:
        >>> code_of({"w": np.array([1.0, 2.0]), "n": 3})
        "{'w': np.array([1.0, 2.0], dtype=np.float64), 'n': 3}"
    """
    if isinstance(x, np.ndarray):
        dtype = f"np.{x.dtype.name}"
        return f"np.zeros({x.shape}, dtype={dtype})" if not x.size else f"np.array({_list(x.tolist())}, dtype={dtype})"
    if isinstance(x, np.generic):
        return f"np.{x.dtype.name}({_list(x.item())})"
    if isinstance(x, float):
        return _list(x)
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {code_of(value)}" for key, value in x.items()) + "}"
    if isinstance(x, list):
        return f"[{', '.join(map(code_of, x))}]"
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return f"({', '.join(map(code_of, x))}{',' if len(x) == 1 else ''})"
    return repr(x)


def _list(x: Any) -> str:
    """Numbers as Python reads them, also those that are none."""
    if isinstance(x, list):
        return f"[{', '.join(map(_list, x))}]"
    if isinstance(x, float) and not np.isfinite(x):
        return f"float('{x}')"
    return repr(x)


def reproducer(f: Callable[..., Any], args: tuple[Any, ...], call: str) -> str:
    """A program that defines f and its arguments and makes a call.

    Args:
        f: A function: importable, or written in a file, with whatever it uses.
        args: Its arguments.
        call: What to do with `f` and `args`.
    """
    lines = ["import numpy as np", "from funcgrad.testing import check_laws"]
    once = dict.fromkeys([*lines, *_definition(f, "f")])
    return "\n".join([*once, f"args = {code_of(args)}", call])


def _definition(f: Any, name: str, depth: int = 0) -> Iterator[str]:
    """Statements after which `name` is f."""
    if isinstance(f, Program):
        yield IMPORTS
        yield f.source.rstrip()
        yield f"{name} = program"
        return
    own = getattr(f, "__name__", "")
    if own and getattr(np, own, None) is f:
        yield f"{name} = np.{own}"
        return
    module = sys.modules.get(getattr(f, "__module__", None) or "")
    path = getattr(f, "__qualname__", "")
    if module is not None and module.__name__ != "__main__" and _attribute(module, path) is f:
        yield from _import(module, path.partition(".")[0])
        if path != name:
            yield f"{name} = {path}"
        return
    text = _text(f)
    if (text is None or depth > 3) and module is not None and _attribute(module, path) is f:
        yield f"{name} = {path}  # as this session has it"
        return
    if text is None or depth > 3:
        yield f"{name} = ...  # {f!r}, whose text is not to be found"
        return
    for used, value in _used(f):
        yield from _value(value, used, depth)
    if text.startswith("lambda"):
        yield f"{name} = {text}"
    else:
        yield text
        if f.__name__ != name:
            yield f"{name} = {f.__name__}"


def _attribute(module: Any, path: str) -> Any:
    found = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _import(module: types.ModuleType, name: str) -> Iterator[str]:
    file = getattr(module, "__file__", None)
    if file and "site-packages" not in file:
        root = os.path.dirname(os.path.abspath(file))
        for _ in range(module.__name__.count(".") + (os.path.basename(file) == "__init__.py")):
            root = os.path.dirname(root)
        yield "import sys"
        yield f"sys.path.insert(0, {root!r})"
    yield f"from {module.__name__} import {name}"


def _text(f: Any) -> str | None:
    """The text of a function: its `def` statement, or the lambda expression."""
    code = getattr(f, "__code__", None)
    try:
        lines, start = inspect.findsource(f)
    except (OSError, TypeError):
        return None
    if code is None:
        return None
    if code.co_name != "<lambda>":
        return textwrap.dedent("".join(inspect.getblock(lines[start:]))).rstrip()
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    positions = [p for p in code.co_positions() if p[0] is not None and p[2]]
    inside = positions[-1] if positions else (code.co_firstlineno, None, 0, None)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and (node.body.lineno, node.body.col_offset) <= (inside[0], inside[2])
        and (inside[0], inside[2]) < (node.body.end_lineno, node.body.end_col_offset)
    ]
    return ast.unparse(found[-1]) if found else None


def _used(f: Any) -> Iterator[tuple[str, Any]]:
    """The globals and closure variables that a function uses."""
    variables = inspect.getclosurevars(f)
    yield from variables.nonlocals.items()
    yield from variables.globals.items()


def _value(value: Any, name: str, depth: int) -> Iterator[str]:
    """Statements after which a name is a value."""
    if isinstance(value, types.ModuleType):
        yield f"import {value.__name__} as {name}"
    elif callable(value) and not isinstance(value, np.ndarray):
        yield from _definition(value, name, depth + 1)
    elif is_static(value) or isinstance(value, (int, float, complex, np.ndarray, np.generic, dict, list, tuple)):
        yield f"{name} = {code_of(value)}"
    else:
        yield f"{name} = ...  # {value!r}"
