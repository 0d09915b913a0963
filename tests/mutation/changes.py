"""How an expression of a rule can be changed: a sign, a factor, a term left out, operands swapped, another axis."""

from __future__ import annotations

import ast
import copy
import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Mutant:
    """One changed expression of one rule.

    Attributes:
        function: The rule, whose code is exchanged.
        primitives: Names of those that use it.
        what: What is changed: "sign", "factor 2", ...
        expression: The expression as it stands.
        change: Gives the one in its place.
        number: Which of several that read the same.
        verdict: What noticed it; empty if nothing did.
    """

    function: types.FunctionType
    primitives: list[str]
    what: str
    expression: ast.expr
    change: Callable[[Any], ast.expr]
    number: int = 1
    verdict: str = ""

    @property
    def name(self) -> str:
        """Which mutant it is, without line numbers."""
        owner = self.function.__name__ if self.function.__name__ != "<lambda>" else self.primitives[0]
        if is_controlling(self.function):  # where functions of different modules have the same names
            owner = f"{Path(self.function.__code__.co_filename).stem}.{self.function.__qualname__}"
        text = f"{owner}: {self.what} of `{ast.unparse(self.expression)}`"
        return f"{text} ({self.number})" if self.number > 1 else text

    def code(self) -> types.CodeType:
        """The rule's code with the change."""
        file = self.function.__code__.co_filename
        own = identity(self.function.__code__)
        number = next(i for i, code in enumerate(compiled(file)) if identity(code) == own)
        tree = _Replace(where(self.expression), self.change).visit(copy.deepcopy(parsed(file)))
        return list(codes(compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)))[number]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The rule with the change."""
        original = self.function.__code__
        self.function.__code__ = self.code()
        try:
            yield
        finally:
            self.function.__code__ = original


MOVING = {
    "swap_last",
    "adjoint",
    "conjugate",
    "transpose",
    "moveaxis",
    "flip",
    "hermitian_part",
    "column",
    "row",
    "conj",
}
TURNED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.LtE: ast.GtE, ast.GtE: ast.LtE}


def pick(options: list[ast.expr], i: int) -> ast.expr:
    """One of several expressions; the others stay in the code, so that it closes over the same variables."""
    return ast.Subscript(ast.Tuple(options, ast.Load()), ast.Constant(i), ast.Load())


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], ast.expr]]]:
    """What can be changed about an expression: a word for it, and the new expression."""
    if isinstance(node, ast.BinOp):
        yield from binary_changes(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", lambda n: n.operand
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Invert, ast.Not)):
        yield "negation", lambda n: n.operand
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in MOVING and node.args:
            yield "missing transpose", lambda n: pick([n.args[0], n.func, *n.args[1:]], 0)
        if len(node.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in node.args[:2]):
            yield "swapped operands", lambda n: ast.Call(n.func, [n.args[1], n.args[0], *n.args[2:]], n.keywords)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield "missing transpose", lambda n: n.value
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED and not isinstance(node.left, ast.Call):
        yield "turned comparison", lambda n: ast.Compare(n.left, [TURNED[type(n.ops[0])](), *n.ops[1:]], n.comparators)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield "another number (or axis)", lambda n: ast.Constant(n.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is float and np.isfinite(node.value):
        yield "another number", lambda n: ast.Constant(n.value * 2 if n.value else 1.0)


def binary_changes(node: ast.BinOp) -> Iterator[tuple[str, Callable[[Any], ast.expr]]]:
    """Terms and factors left out, operands swapped, operations exchanged."""
    what = "term" if isinstance(node.op, (ast.Add, ast.Sub)) else "factor"
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        yield f"dropped first {what}", lambda n: pick([n.left, n.right], 1)
        yield f"dropped second {what}", lambda n: pick([n.left, n.right], 0)
    if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult)):
        yield "swapped operands", lambda n: ast.BinOp(n.right, n.op, n.left)
    if isinstance(node.op, ast.Add):
        yield "sign", lambda n: ast.BinOp(n.left, ast.Sub(), n.right)
    if isinstance(node.op, ast.Div):
        yield "factor in place of divisor", lambda n: ast.BinOp(n.left, ast.Mult(), n.right)


def results(function: ast.AST, together: bool = False) -> Iterator[ast.expr]:
    """The expressions that are a rule's results; those of a list one by one, or together."""
    bodies = [function.body] if isinstance(function, ast.Lambda) else []
    if isinstance(function, ast.FunctionDef):
        bodies = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    for body in bodies:
        for part in [body.body, body.orelse] if isinstance(body, ast.IfExp) else [body]:
            yield from part.elts if isinstance(part, (ast.Tuple, ast.List)) and not together else [part]


WHOLE: dict[str, Callable[[Any], ast.expr]] = {
    "sign": lambda n: ast.UnaryOp(ast.USub(), n),
    "factor 2": lambda n: ast.BinOp(ast.Constant(2), ast.Mult(), n),
}


# Programs that carry programs give several results, of which some may be None, for zero.
EACH = "[y if y is None else {} for y in results]"
WHOLE_OF_SEVERAL: dict[str, Callable[[Any], ast.expr]] = {
    "sign": lambda n: for_each("-y", n),
    "factor 2": lambda n: for_each("2 * y", n),
}


def for_each(text: str, results: ast.expr) -> ast.expr:
    """A list of what becomes of each of several results."""
    made: Any = ast.parse(EACH.format(text), mode="eval").body
    made.generators[0].iter = results
    return made


class _Replace(ast.NodeTransformer):
    def __init__(self, place: tuple[Any, ...], change: Callable[[Any], ast.expr]) -> None:
        self.place, self.change, self.done = place, change, False

    def visit(self, node: ast.AST) -> ast.AST:
        if not self.done and where(node) == self.place:
            self.done = True
            return ast.copy_location(self.change(node), node)
        return self.generic_visit(node)


def where(node: ast.AST) -> tuple[Any, ...]:
    """What tells an expression from all others of a file."""
    if not isinstance(node, ast.expr):
        return ()
    return type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


@functools.cache
def parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code and all that are in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def identity(code: types.CodeType) -> tuple[Any, ...]:
    """What tells a code from all others of a file: not its bytes, since pytest rewrites assertions."""
    places = tuple(code.co_positions()) if code.co_name == "<lambda>" else ()
    return code.co_qualname, code.co_firstlineno, places


@functools.cache
def compiled(file: str) -> list[types.CodeType]:
    return list(codes(compile(parsed(file), file, "exec", dont_inherit=True)))


def node_of(function: types.FunctionType) -> ast.AST | None:
    """The expression or statement of which a function was made."""
    code = function.__code__
    tree = parsed(code.co_filename)
    if code.co_name != "<lambda>":
        return next(
            (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno == code.co_firstlineno), None
        )
    inside = [p for p in code.co_positions() if p[0] is not None and p[2] is not None and (p[1], p[3]) != (p[0], p[2])]
    if not inside:
        return None
    line, _, column, _ = inside[-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            body = node.body
            end = (body.end_lineno, body.end_col_offset)
            if (body.lineno, body.col_offset) <= (line, column) < end:
                return node
    return None


def is_controlling(function: types.FunctionType) -> bool:
    """Whether a function is a rule of a primitive that carries programs."""
    return Path(function.__code__.co_filename).parent.name == "control"


def mutants_of(function: types.FunctionType, primitives: list[str]) -> Iterator[Mutant]:
    """Every change of one expression of a rule."""
    node = node_of(function)
    if node is None:
        return
    several = is_controlling(function)
    for part in results(node, together=several):
        whole = WHOLE_OF_SEVERAL if several else WHOLE
        yield from (Mutant(function, primitives, what, part, change) for what, change in whole.items())
    bodies = [node.body] if isinstance(node, ast.Lambda) else node.body  # type: ignore[attr-defined]
    for part in (inner for body in bodies for inner in ast.walk(body)):
        for what, change in changes(part):
            if several and isinstance(part, ast.Call):
                continue  # lists of operands swapped: an error at once
            yield Mutant(function, primitives, what, part, change)  # type: ignore[arg-type]
