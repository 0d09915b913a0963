"""What does the user call a value?  Names of operands as they stand in the user's line."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from funcgrad.core.source import read_source

if TYPE_CHECKING:
    from funcgrad.core.source import Place
    from funcgrad.testing.examining import Step

_LONGEST = 40
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.MatMult: "matmul",
    ast.USub: "negative",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
# Functions whose primitive has another name.
_FUNCTIONS = {"abs": "absolute", "power": "pow", "float_power": "pow", "true_divide": "divide", "mod": "remainder"}
# What users call the primitives that carry programs.
_CONSTRUCTS = {
    "while": "while_loop",
    "while_transpose": "while_loop",
    "steps": "while_loop",
    "steps_transpose": "while_loop",
}


def construct_name(primitive: str) -> str:
    """What the user calls a loop or a branch."""
    return _CONSTRUCTS.get(primitive, primitive)


def text_of(x: Any) -> str:
    """A value for a message, with few digits and no more than some elements."""
    return np.array2string(np.asarray(x), precision=6, threshold=6, edgeitems=2, separator=", ").replace("\n", "")


def operand_texts(step: Step) -> tuple[str, ...] | None:
    """The operands of a step as they stand in its line; None where the line does not say the step itself.

    A line says more than one step where a function of NumPy's is made of several: what is computed on the way has no
    name there.
    """
    source = read_source(step.place)
    if source is None or step.rule is not None:
        return None
    texts = _parsed(source.expression, step.primitive.name)
    return texts if texts is not None and len(texts) == len(step.xs) else None


@lru_cache(maxsize=256)
def _parsed(expression: str, primitive: str) -> tuple[str, ...] | None:
    """The operands of an expression that is one operation."""
    try:
        node: Any = ast.parse(expression).body[0]
    except (SyntaxError, IndexError):
        return None
    node = getattr(node, "value", node) if isinstance(node, (ast.Expr, ast.Return, ast.Assign)) else node
    operands = _operands(node, primitive)
    if operands is None or any(isinstance(part, ast.Starred) for part in operands):
        return None
    return tuple(ast.get_source_segment(expression, part) or ast.unparse(part) for part in operands)


def _operands(node: Any, primitive: str) -> list[ast.expr] | None:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return list(node.args) if _FUNCTIONS.get(name, name) == primitive else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        if primitive in ("pow", "power"):
            return [node.left, node.right]
        return [node.left] if primitive in ("square", "sqrt", "reciprocal", "integer_pow") else None
    if isinstance(node, ast.AugAssign) and _OPERATORS.get(type(node.op)) == primitive:
        return [node.target, node.value]
    if isinstance(node, ast.BinOp) and _OPERATORS.get(type(node.op)) == primitive:
        return [node.left, node.right]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and primitive == "reciprocal":
        return [node.right]
    if isinstance(node, ast.UnaryOp) and _OPERATORS.get(type(node.op)) == primitive:
        return [node.operand]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and _OPERATORS.get(type(node.ops[0])) == primitive:
        return [node.left, node.comparators[0]]
    return None


def called(made: Step | str | None, value: Any, place: Place | None = None) -> str:
    """What the user calls a value: an argument's path, a variable, an expression, or the value itself.

    Args:
        made: The step that made it; an argument's path, or None for a constant.
        value: The value.
        place: Where it is used: what is made at the same place has no name of its own.
    """
    if isinstance(made, str):
        return made
    if made is None:
        return text_of(value) if np.ndim(value) == 0 else "a constant"
    source = made.source
    if source is None or made.rule is not None or (place is not None and made.place == place):
        return f"the result of {made.primitive.name}"
    if source.variable and len(made.ys) == 1:
        return source.variable
    return source.expression if 0 < len(source.expression) <= _LONGEST else f"the result of {made.primitive.name}"


def writable_names(step: Step) -> list[str | None]:
    """What the user would write for the operands of a step; None for what has no name."""
    texts = operand_texts(step)
    if texts is not None:
        return list(texts)
    return [
        called(made, x) if _has_name(made, x, step) else None for made, x in zip(step.operands, step.xs, strict=True)
    ]


def _has_name(made: Step | str | None, value: Any, step: Step) -> bool:
    if made is None:
        return np.ndim(value) == 0 and step.within is None
    return isinstance(made, str) or made.place != step.place


def operand_names(step: Step) -> list[str]:
    """What the user calls the operands of a step."""
    texts = operand_texts(step)
    if texts is not None:
        return list(texts)
    return [
        called(made, x, step.place) if made is not None or not step.within else "an operand"
        for made, x in zip(step.operands, step.xs, strict=True)
    ]
