"""Statements with other affine indices; what expressions share stays shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import Apply, Counter, Expression, Load, Statement


def rewritten(
    s: Statement, affine: Callable[[Affine], Affine], known: dict[int, Expression] | None = None
) -> Statement:
    """A statement with other affine indices."""
    memo: dict[int, Expression] = {} if known is None else known
    visit = partial(_rewritten_expression, affine=affine, known=memo)
    index: Index = affine(s.index) if type(s.index) is Affine else visit(s.index)  # type: ignore[arg-type]
    return Statement(s.buffer, index, visit(s.expression), s.combine)


def _rewritten_expression(
    x: Expression, affine: Callable[[Affine], Affine], known: dict[int, Expression]
) -> Expression:
    stack = [x]
    while stack:
        y = stack[-1]
        if id(y) in known:
            stack.pop()
            continue
        parts = y.operands if type(y) is Apply else ()
        if type(y) is Load and isinstance(y.index, Expression):
            parts = (y.index,)
        missing = [part for part in parts if id(part) not in known]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        known[id(y)] = _with_parts(y, [known[id(part)] for part in parts], affine)
    return known[id(x)]


def _with_parts(y: Expression, parts: list[Expression], affine: Callable[[Affine], Affine]) -> Expression:
    if type(y) is Counter:
        return Counter(affine(y.index))
    if type(y) is Load:
        return Load(y.buffer, parts[0] if parts else affine(y.index))  # type: ignore[arg-type]
    if type(y) is Apply:
        return Apply(y.function, parts, y.dtype, y.own_cost)
    return y
