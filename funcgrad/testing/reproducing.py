"""A failing example as a program that runs as it stands."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.custom_rules import custom_jvp, custom_vjp
from funcgrad.api.transformed import Transformed
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
    once = dict.fromkeys([*lines, *_definition(f, "f", {})])
    return "\n".join([*once, f"args = {code_of(args)}", call])


# What is defined already, by identity.
Known = dict[int, str]


def _definition(f: Any, name: str, known: Known) -> Iterator[str]:
    """Statements after which `name` is f."""
    if id(f) in known:
        yield from () if known[id(f)] == name else (f"{name} = {known[id(f)]}",)
        return
    known[id(f)] = name
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
    if isinstance(f, partial):
        yield "from functools import partial"
        yield from _definition(f.func, f"{name}_whole", known)
        parts = [*map(code_of, f.args), *[f"{key}={code_of(value)}" for key, value in f.keywords.items()]]
        yield f"{name} = partial({', '.join([f'{name}_whole', *parts])})"
        return
    made = _made_of(f)
    if made is not None:
        yield from _construction(made, name, known)
        return
    text = _text(f)
    if text is None:
        said = "as this session has it" if module is not None and _attribute(module, path) is f else "not to be found"
        yield f"{name} = {path or '...'}  # {f!r}, whose text is {said}"
        return
    for used, value in _used(f):
        yield from _value(value, used, known)
    if text.startswith("lambda"):
        yield f"{name} = {text}"
    else:
        yield text
        if f.__name__ != name:
            yield f"{name} = {f.__name__}"


class _Made(NamedTuple):
    """How a transformed function, or one with a rule, was made.

    Attributes:
        function: Of what.
        transformation: By what: a name in funcgrad.
        options: Its keyword arguments.
        method: The method that was given its rules; empty if it has none.
        rules: These.
    """

    function: Any
    transformation: str
    options: dict[str, Any]
    method: str = ""
    rules: tuple[Any, ...] = ()


def _made_of(f: Any) -> _Made | None:
    """How funcgrad made f; None if it was not, or if that cannot be written."""
    transformation = getattr(f, "transformation", "")
    if isinstance(f, Transformed):
        public = getattr(sys.modules["funcgrad"], transformation, None)
        parameters = inspect.signature(public).parameters if public is not None else {}
        given = {name: getattr(f, name) for name in f.options if name in parameters}
        options = {name: value for name, value in given.items() if value is not parameters[name].default}
        plain = all(is_static(value) or isinstance(value, (int, float, tuple)) for value in options.values())
        return _Made(f.function, transformation, options) if public is not None and plain else None
    if isinstance(f, (custom_jvp, custom_vjp)):
        written = all(rule is not None and not rule.__module__.startswith("funcgrad.") for rule in f.rules)
        method = f"def{transformation[-3:]}"
        return _Made(f.function, transformation, {}, method, f.rules) if f.is_plain and written else None
    return None


def _construction(made: _Made, name: str, known: Known) -> Iterator[str]:
    """Statements that transform a function again."""
    yield f"from funcgrad import {made.transformation}"
    inner = getattr(made.function, "__name__", "")
    inner = inner if inner.isidentifier() else f"{name}_inner"
    yield from _definition(made.function, inner, known)
    options = "".join(f", {key}={code_of(value)}" for key, value in made.options.items())
    yield f"{name} = {made.transformation}({inner}{options})"
    names = []
    for i, rule in enumerate(made.rules):
        own = getattr(rule, "__name__", "")
        names.append(own if own.isidentifier() and own != name else f"{name}_rule_{i}")
        yield from _definition(rule, names[-1], known)
    if made.rules:
        yield f"{name}.{made.method}({', '.join(names)})"


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
        text = textwrap.dedent("".join(inspect.getblock(lines[start:]))).rstrip()
        return text[text.index("def ") if text.startswith("@") else 0 :]  # a decorator makes another function of it
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


def _value(value: Any, name: str, known: Known) -> Iterator[str]:
    """Statements after which a name is a value."""
    if isinstance(value, types.ModuleType):
        yield f"import {value.__name__} as {name}"
    elif callable(value) and not isinstance(value, np.ndarray):
        yield from _definition(value, name, known)
    elif is_static(value) or isinstance(value, (int, float, complex, np.ndarray, np.generic, dict, list, tuple)):
        yield f"{name} = {code_of(value)}"
    else:
        yield f"{name} = ...  # {value!r}"
