"""The text of a function's code, as a tree."""

from __future__ import annotations

import ast
import functools
import linecache
from types import CodeType
from typing import TypeAlias

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@functools.lru_cache(maxsize=1024)
def text_of(code: CodeType) -> FunctionNode | None:
    """Where a function is written; None where its text is not to be had, or is not what the code was made of."""
    lines = linecache.getlines(code.co_filename)
    place = next((p for p in code.co_positions() if p[0] is not None and p[0] > code.co_firstlineno - 1 and p[2]), None)
    found: FunctionNode | None = None
    for node in _functions("".join(lines)):
        if isinstance(node, ast.Lambda):
            fits = code.co_name == "<lambda>" and place is not None and _holds(node.body, place)
        else:
            first = min(x.lineno for x in (node, *node.decorator_list))
            fits = code.co_name == node.name and first == code.co_firstlineno
        if fits and _parameters(node) == code.co_varnames[: len(_parameters(node))]:
            found = node  # the innermost one comes last
    return found


@functools.lru_cache(maxsize=64)
def _functions(text: str) -> tuple[FunctionNode, ...]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    return tuple(x for x in ast.walk(tree) if isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def _holds(node: ast.expr, place: tuple[int | None, ...]) -> bool:
    """Whether lines and columns of some code lie within an expression."""
    line, last, start, stop = (number or 0 for number in place)
    end = node.end_lineno or 0, node.end_col_offset or 0
    return (node.lineno, node.col_offset) <= (line, start) and (last, stop) <= end


def _parameters(node: FunctionNode) -> tuple[str, ...]:
    spec = node.args
    return tuple(x.arg for x in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs))
