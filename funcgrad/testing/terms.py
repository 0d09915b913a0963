"""A value, and how it was computed: what the patterns of rewrites look at."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import Tracer, origin
from funcgrad.testing.examining import Step
from funcgrad.testing.wording import writable_names


class UnnamedError(Exception):
    """A value has no name in the user's lines."""


_ATOMS = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant, ast.List, ast.Tuple)


class Term:
    """A value and how it was computed, from a step that is over or from a recording that is under way."""

    def __init__(self, value: Any, made: Step | str | None = None, name: str | None = None) -> None:
        self.value, self.made, self.name = value, made, name

    @property
    def kind(self) -> str:
        """The primitive that made it; empty for what was given."""
        equation = self._equation()
        return equation[0] if equation else ""

    @property
    def params(self) -> dict[str, Any]:
        """That primitive's parameters."""
        equation = self._equation()
        return equation[1] if equation else {}

    @property
    def operands(self) -> list[Term]:
        """What it was made of."""
        equation = self._equation()
        return equation[2] if equation else []

    @property
    def text(self) -> str:
        """What the user calls it.

        Raises:
            UnnamedError: It has no name, being made on the way to what a line of the user's says.
        """
        if self.name is None:
            raise UnnamedError
        return self.name

    @property
    def operand(self) -> str:
        """What the user calls it, beside an operator: in parentheses if it is made by one itself."""
        text = self.text
        try:
            node = ast.parse(text, mode="eval").body
        except SyntaxError:
            return text
        return text if isinstance(node, _ATOMS) else f"({text})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return get_aval(self.value).shape

    def _equation(self) -> tuple[str, dict[str, Any], list[Term]] | None:
        if isinstance(self.made, Step):
            parts = zip(self.made.xs, self.made.operands, writable_names(self.made), strict=True)
            return self.made.primitive.name, self.made.params, [Term(*part) for part in parts]
        if not isinstance(self.value, Tracer):
            return None
        recording = self.value.recording
        equation = origin(self.value)
        if equation is None:
            return None
        primitive, params, xs, ids = equation[:4]
        tracers = [x if i is None else Tracer(recording, i, x) for x, i in zip(xs, ids, strict=True)]
        return primitive.name, params, [Term(x, name="x") for x in tracers]


class Operation(Term):
    """A term that is about to be computed: a primitive and its operands."""

    def __init__(self, name: str, params: dict[str, Any], operands: Sequence[Any]) -> None:
        super().__init__(None)
        self._own = (name, params, [Term(x, name="x") for x in operands])

    def _equation(self) -> tuple[str, dict[str, Any], list[Term]]:
        return self._own


def squared(term: Term) -> Term | None:
    """x, of a term x**2."""
    if term.kind == "square" or (term.kind == "pow" and is_number(term.operands[1], 2)):
        return term.operands[0]
    if term.kind == "multiply" and same(*term.operands):
        return term.operands[0]
    return None


def same(a: Term, b: Term) -> bool:
    """Whether two terms are one value."""
    if isinstance(a.value, Tracer) and isinstance(b.value, Tracer):
        return a.value.recording is b.value.recording and a.value.id == b.value.id
    return a.value is b.value


def is_number(term: Term, number: float) -> bool:
    """Whether a term is a number."""
    value = term.value
    return not isinstance(value, Tracer) and np.ndim(value) == 0 and bool(value == number)


class Axes(NamedTuple):
    """Over which axes a term is a sum, and how the user says that.

    Attributes:
        axes: The axes, all of them if the user says nothing.
        keepdims: Whether they are kept.
        text: "axis=1, keepdims=True", empty where the user says nothing.
    """

    axes: tuple[int, ...]
    keepdims: bool
    text: str

    @property
    def axis(self) -> Any:
        """One axis, or several, as NumPy takes them."""
        return self.axes[0] if len(self.axes) == 1 else self.axes


def sum_axes(total: Term) -> Axes:
    """The axes of a sum. Under vmap there are more than the user's line knows of, whose own words are kept."""
    ndim = len(total.operands[0].shape)
    axes, keepdims = total.params.get("axes", tuple(range(ndim))), total.params.get("keepdims", False)
    words = _axis_words(total)
    if words is None:
        axis = "" if len(axes) == ndim else f"axis={axes[0] if len(axes) == 1 else axes}"
        words = ", ".join([part for part in (axis, "keepdims=True" * keepdims) if part])
    return Axes(axes, keepdims, words)


def _axis_words(total: Term) -> str | None:
    """What a sum's line says of its axes; None if it is no such line."""
    source = total.made.source if isinstance(total.made, Step) else None
    try:
        node: Any = ast.parse(source.expression, mode="eval").body if source else None
    except SyntaxError:
        return None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "sum":
        return None
    is_method = not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "numpy"))
    positional = [f"axis={ast.unparse(part)}" for part in node.args[0 if is_method else 1 :][:1]]
    named = [f"{part.arg}={ast.unparse(part.value)}" for part in node.keywords if part.arg in ("axis", "keepdims")]
    return ", ".join([*positional, *named])
