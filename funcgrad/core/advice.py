"""What should stand there instead?  The last line of a message, from the expression that asked for a plain value."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

import numpy as np

from funcgrad.core.source import Source

_STOP = "funcgrad.stop_gradient(x)"


class Situation(NamedTuple):
    """What is known of a traced value whose plain value was asked for.

    Attributes:
        abstract: Whether its recording has no values at all.
        stoppable: Whether `stop_gradient` would give a plain value.
        whole: Whether it is of integers or truth values.
        scipy: Whether SciPy asked.
    """

    abstract: bool
    stoppable: bool
    whole: bool
    scipy: bool


_ROWS = "a loop over the rows in place of vmap: np.stack([f(row) for row in x])"
_SAME = "in_axes=None for an argument that is the same in all rows"


def _parsed(source: Source | None) -> ast.expr | None:
    try:
        return ast.parse(source.expression if source else "", mode="eval").body
    except SyntaxError:
        return None


def callee(source: Source | None) -> str:
    """The function that is called at a place, as the user writes it: `math.sin`; empty where none is."""
    node = _parsed(source)
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def is_subscript(source: Source | None) -> bool:
    """Whether the expression at a place is `table[i]`."""
    return isinstance(_parsed(source), ast.Subscript)


def _is_slicing(source: Source | None) -> bool:
    """Whether the expression at a place is `table[a:b]`, or that with other indices besides."""
    node = _parsed(source)
    assert isinstance(node, ast.Subscript)
    return any(isinstance(x, ast.Slice) for x in getattr(node.slice, "elts", [node.slice]))


def branch_fix(transformation: str, source: Source | None) -> str:
    """In place of a Python branch on a value that is not there."""
    function, text = callee(source), source.text if source else ""
    predicate = _predicate(source)
    fix = f"np.where({predicate}, a, b) element by element, or funcgrad.cond({predicate}, f, g, x)"
    if function in ("max", "min"):
        fix = f"np.{function}imum(a, b) in place of {function}(a, b)"
    elif function == "bool":
        fix = "leave bool() away: the traced value is a truth value for np.where(pred, a, b)"
    elif isinstance(node := _parsed(source), ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
        fix = "np.where(np.any(x == v), a, b) in place of v in x"
    elif text.startswith("while "):
        fix = "funcgrad.while_loop(cond_fun, body_fun, x)"
    elif text.startswith("assert "):
        fix = "leave the assertion out, or assert it of the arguments or the results outside"
    return f"{fix}; or {_ROWS}." if transformation == "vmap" else f"{fix}."


def _predicate(source: Source | None) -> str:
    found = re.match(r"(?:el)?if ([^#]+):\s*(#|$)", source.text) if source else None
    node = _parsed(source)
    if isinstance(node, ast.IfExp):
        node = node.test
    text = found[1] if found else ast.unparse(node) if node else ""
    return text if 0 < len(text) <= 40 else "pred"


_MASKS = {
    "mask": "np.where(mask, x, 0) keeps the shape, and so do x[mask] = v and x.at[mask].set(v) for one number v",
    "update": "unique_indices=True if none is repeated; .add, .min and .max need no promise",
}


def index_fix(transformation: str, use: str, source: Source | None) -> str:
    """In place of an index whose effect depends on values that are not there."""
    if use == "mask" and callee(source):
        fix = "np.where(mask, a, b) and other functions that keep the shape"
        return f"{fix}; or {_ROWS}." if transformation == "vmap" else f"{fix}."
    return f"{_MASKS[use]}."


_TARGETS = {
    "out": "leave out= away, and write a = a + b in place of a += b; or make the array with funcgrad.numpy.zeros(n)",
    "assignment": "y = funcgrad.numpy.zeros(n), or np.zeros_like(x), for y = np.zeros(n); "
    "or y = funcgrad.numpy.at(y)[i].set(v)",
}


def _writes(source: Source | None) -> bool:
    """Whether the call at a place writes to an array that is given to it."""
    node = _parsed(source)
    return isinstance(node, ast.Call) and (
        any(keyword.arg == "out" for keyword in node.keywords) or ast.unparse(node.func).endswith("__setitem__")
    )


# Of scipy.special: they are no ufuncs, so they do not find their way to funcgrad's by themselves.
_WRITTEN_IN_PYTHON = ("softmax", "log_softmax", "logsumexp", "multigammaln", "polygamma")
_COLLECTORS = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")


def conversion_fix(transformation: str, use: str, source: Source | None, situation: Situation) -> str:
    """In place of what would turn a traced value into a plain number or array."""
    function = callee(source)
    if _writes(source):
        use = "out"
    if use in _TARGETS:
        return f"{_TARGETS[use]}."
    if situation.scipy:
        every = f", or {_STOP} of every traced value that goes into it" if situation.stoppable else ""
        name = function.rpartition(".")[2]
        ours = f"funcgrad.scipy.special.{name}" if name in _WRITTEN_IN_PYTHON else "NumPy's functions"
        return f"{ours} in place of {function or 'SciPy'}{every}."
    if is_subscript(source) and not _is_slicing(source):
        if isinstance(_parsed(source).slice, ast.Tuple):  # type: ignore[union-attr]
            return "funcgrad.numpy.array(table)[i, j] instead of table[i, j]."
        return f"funcgrad.numpy.take(table, {'i' if situation.whole else 'i.astype(int)'}) instead of table[i]."
    if use == "index" and not _is_display(source):
        use = "int"
    fix = _instead(use, function, source)
    if situation.stoppable and use != "int":
        return f"{fix}; {_STOP}{'.item()' if use == 'item' else ''} for a value alone."
    return f"{fix}; {_SAME}." if transformation == "vmap" and use == "int" else f"{fix}."


def _instead(use: str, function: str, source: Source | None) -> str:
    module, _, name = function.rpartition(".")
    if module in ("math", "cmath"):
        return f"np.{name} in place of {function}" if hasattr(np, name) else f"NumPy's functions in place of {function}"
    if use in ("item", "tolist"):
        return "leave it an array"
    if use == "int":
        return _integer_instead(function, source)
    if use in ("__array__", "index"):
        return _array_instead(module, name, function, source)
    node = _parsed(source)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return 'f"{x:.2f}" in place of "%.2f" % x'
    if function == "complex":
        return "leave complex() away, or write x + 0j"
    if function == "float":
        return "leave float() away: a traced number is one already"
    return f"NumPy's functions in place of {function}" if function else "NumPy's functions, as np.sin"


def _integer_instead(function: str, source: Source | None) -> str:
    module, _, name = function.rpartition(".")
    if module in ("np", "numpy") and (name in _COLLECTORS or isinstance(getattr(np, name, None), type)):
        return _numpy_instead(name, function, source)
    if function == "int":
        return "np.trunc(x), or x.astype(int), which stay arrays"
    if function == "range":
        return "range(most), with np.where(i < n, new_x, x) in the loop"
    if is_subscript(source):
        return "np.where(np.arange(len(x)) < n, x, 0) in place of x[:n]"
    return "array operations"


def _array_instead(module: str, name: str, function: str, source: Source | None) -> str:
    if module in ("np", "numpy") and name.isidentifier():
        return _numpy_instead(name, function, source)
    if name == "dot":
        return "a @ x, or np.dot(a, x), in place of a.dot(x)"
    if name == "normal":
        return "loc + scale * rng.standard_normal(shape) in place of rng.normal(loc, scale)"
    if function:
        return f"NumPy's functions in place of {function}"
    return (
        "np.stack([a, b]), or funcgrad.numpy.array([a, b]), for np.array([a, b]); "
        "funcgrad.numpy.zeros(n) for an np.zeros(n) that is written to"
    )


def _numpy_instead(name: str, function: str, source: Source | None) -> str:
    if name not in _COLLECTORS:
        if isinstance(getattr(np, name, None), type):
            return f"x.astype({function}), or leave {function}() away"
        return f"{function}(np.stack([a, b])) for {function}([a, b])"
    if _is_display(source):
        return "np.stack([a, b]), or funcgrad.numpy.array([a, b]), for np.array([a, b])"
    return f"funcgrad.numpy.array(x), where x may be a list of traced values, for {function}(x)"


def _is_display(source: Source | None) -> bool:
    """Whether the call at a place is of a list that is written out there."""
    node = _parsed(source)
    argument = node.args[0] if isinstance(node, ast.Call) and node.args else None
    return isinstance(argument, (ast.List, ast.Tuple, ast.ListComp))


def _text(source: Source | None) -> str:
    return source.expression if source else ""
