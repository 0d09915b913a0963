"""Arithmetic and the elementary functions, each with its derivative beside it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import elementwise


def _any_operands(active: list[int]) -> bool:
    return True


def _one_operand(active: list[int]) -> bool:
    return len(active) == 1


def _first_operand(active: list[int]) -> bool:
    return active == [0]


# add: y = x1 + x2 --------------------------------------------------------------------------------------------------

add_p = elementwise(
    "add", np.add, lambda t, y, x1, x2: t, lambda t, y, x1, x2: t, operator=operator.add, is_linear=_any_operands
)


def add(x1: Any, x2: Any) -> Any:
    """x1 + x2, element by element."""
    return bind(add_p, x1, x2)


# subtract: y = x1 - x2 ---------------------------------------------------------------------------------------------

subtract_p = elementwise(
    "subtract", np.subtract, lambda t, y, x1, x2: t, lambda t, y, x1, x2: -t, operator=operator.sub, is_linear=_any_operands
)


def subtract(x1: Any, x2: Any) -> Any:
    """x1 - x2, element by element."""
    return bind(subtract_p, x1, x2)


# multiply: y = x1 x2 -----------------------------------------------------------------------------------------------

multiply_p = elementwise(
    "multiply",
    np.multiply,
    lambda t, y, x1, x2: t * x2,
    lambda t, y, x1, x2: t * x1,
    operator=operator.mul,
    is_linear=_one_operand,
)


def multiply(x1: Any, x2: Any) -> Any:
    """x1 * x2, element by element."""
    return bind(multiply_p, x1, x2)


# divide: y = x1 / x2 -----------------------------------------------------------------------------------------------

divide_p = elementwise(
    "divide",
    np.divide,
    lambda t, y, x1, x2: t / x2,
    lambda t, y, x1, x2: -(t * y) / x2,
    operator=operator.truediv,
    is_linear=_first_operand,
)


def divide(x1: Any, x2: Any) -> Any:
    """x1 / x2, element by element."""
    return bind(divide_p, x1, x2)


# negative: y = -x --------------------------------------------------------------------------------------------------

negative_p = elementwise("negative", np.negative, lambda t, y, x: -t, operator=operator.neg, is_linear=_any_operands)


def negative(x: Any) -> Any:
    """-x, element by element."""
    return bind(negative_p, x)


# pow: y = x1 ** x2, as Python's operator computes it ---------------------------------------------------------------


def _pow_base(t: Any, y: Any, x1: Any, x2: Any) -> Any:
    if type(x2) in (int, float) and x2 == 2:
        return t * (2 * x1)
    return t * (x2 * power(x1, x2 - 1))


def _pow_exponent(t: Any, y: Any, x1: Any, x2: Any) -> Any:
    return t * (y * log(x1))


pow_p = elementwise("pow", np.power, _pow_base, _pow_exponent, operator=operator.pow)


def power(x1: Any, x2: Any) -> Any:
    """x1 ** x2, element by element."""
    return bind(pow_p, x1, x2)


# exp, log, tanh, sin, cos ------------------------------------------------------------------------------------------

exp_p = elementwise("exp", np.exp, lambda t, y, x: t * y)


def exp(x: Any) -> Any:
    """e to the power x."""
    return bind(exp_p, x)


log_p = elementwise("log", np.log, lambda t, y, x: t / x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return bind(log_p, x)


tanh_p = elementwise("tanh", np.tanh, lambda t, y, x: t * (1.0 - y * y))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return bind(tanh_p, x)


sin_p = elementwise("sin", np.sin, lambda t, y, x: t * cos(x))


def sin(x: Any) -> Any:
    """Sine of x in radians."""
    return bind(sin_p, x)


cos_p = elementwise("cos", np.cos, lambda t, y, x: -(t * sin(x)))


def cos(x: Any) -> Any:
    """Cosine of x in radians."""
    return bind(cos_p, x)
