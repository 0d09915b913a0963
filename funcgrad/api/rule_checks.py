"""Derivative rules against finite differences, while one looks for a mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from funcgrad.control.custom import Rule
from funcgrad.control.derived import is_inexact, picked
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import FuncgradError, message
from funcgrad.core.source import definition
from funcgrad.core.tracing import concrete

_checking: ContextVar[bool] = ContextVar("checking_rules", default=False)


class RuleError(FuncgradError, AssertionError):
    """A derivative rule disagrees with finite differences."""


@contextmanager
def check_rules() -> Iterator[None]:
    """A context in which each custom derivative rule is compared with finite differences at its first use.

    Only for rules that are meant to be the derivative: one that clips or scales gradients on purpose is reported, too.

    Raises:
        RuleError: (an AssertionError) A rule disagrees.

    Example:
        >>> import numpy as np
        >>> from funcgrad import custom_elementwise, grad
        >>> wrong = custom_elementwise(np.sin, lambda y, x: -np.cos(x))
        >>> try:
        ...     with check_rules():
        ...         grad(wrong)(1.0)
        ... except AssertionError as error:
        ...     print(str(error).splitlines()[0])
        custom_jvp(sin) has a rule that disagrees with finite differences.
    """
    token = _checking.set(True)
    try:
        yield
    finally:
        _checking.reset(token)


def is_checking() -> bool:
    """Whether rules are to be checked now."""
    return _checking.get()


def check_rule(
    name: str, user: Callable[..., Any], function: Callable[[list[Any]], Sequence[Any]], rule: Rule, xs: Sequence[Any]
) -> bool:
    """Compare a rule with differences of its function along one direction.

    Args:
        function: From plain operands to plain results.
        xs: The operands, traced or not.

    Returns:
        Whether it could be compared: whether there are values.

    Raises:
        RuleError: They disagree.
    """
    values = list(map(concrete, xs))
    active = [is_inexact(get_aval(x)) for x in values]
    if any(isinstance(x, ShapedArray) for x in values) or not any(active):
        return False
    rng = np.random.default_rng(0)
    directions = [rng.uniform(-1, 1, np.shape(x)) if yes else None for x, yes in zip(values, active, strict=True)]
    dtypes = [np.asarray(x).dtype for x in picked(values, active)]
    precision = max(float(np.finfo(dtype).eps) for dtype in dtypes)
    h = precision ** (1 / 3)

    def moved(size: float) -> list[Any]:
        full = [
            x if d is None else (x + size * d).astype(np.asarray(x).dtype)[()]
            for x, d in zip(values, directions, strict=True)
        ]
        return [np.asarray(y) for y in function(full)]

    ys, _, pull = rule.linearize(values, active)
    cts = [
        rng.uniform(-1, 1, np.shape(y)).astype(np.asarray(y).dtype)[()] if is_inexact(get_aval(y)) else None for y in ys
    ]
    pairs = zip(cts, moved(h), moved(-h), strict=True)
    expected = sum(float(np.sum(ct * (a - b)).real) / (2 * h) for ct, a, b in pairs if ct is not None)
    x_cts = zip(pull(cts), picked(directions, active), strict=True)
    actual = sum(float(np.sum(ct * d).real) for ct, d in x_cts if ct is not None)
    scale = max(abs(expected), abs(actual), sum(float(np.abs(y).sum()) for y in ys if y is not None), 1.0)
    if not abs(actual - expected) <= 1e3 * h * h * scale:
        raise RuleError(
            message(
                f"{name} has a rule that disagrees with finite differences.",
                value=f"<ct, J t> is {actual:.6g} by the rule, {expected:.6g} by differences",
                where=definition(user) if hasattr(user, "__code__") else None,
                fix="the rule; or leave it out of check_rules, if it is not meant to be the derivative.",
            )
        )
    return True
