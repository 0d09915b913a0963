"""Sums, products, quotients and remainders; signs; the larger and the smaller of two."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.complex import conjugate, is_complex, sign_complex_p
from funcgrad.primitives.kinds import comparison, elementwise
from funcgrad.primitives.rounding import rint


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
    "subtract",
    np.subtract,
    lambda t, y, x1, x2: t,
    lambda t, y, x1, x2: -t,
    operator=operator.sub,
    is_linear=_any_operands,
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


# floor_divide: y = floor(x1 / x2) ----------------------------------------------------------------------------------

floor_divide_p = comparison("floor_divide", np.floor_divide, operator=operator.floordiv)


def floor_divide(x1: Any, x2: Any) -> Any:
    """x1 // x2, element by element. Its derivative is zero."""
    return bind(floor_divide_p, x1, x2)


# remainder: y = x1 - x2 floor(x1 / x2), with x2's sign -------------------------------------------------------------

remainder_p = elementwise(
    "remainder",
    np.remainder,
    lambda t, y, x1, x2: t,
    lambda t, y, x1, x2: -(t * (x1 // x2)),
    operator=operator.mod,
)


def remainder(x1: Any, x2: Any) -> Any:
    """x1 % x2, element by element. Derivative where it jumps: as if it did not."""
    return bind(remainder_p, x1, x2)


# fmod: y = x1 - x2 trunc(x1 / x2), with x1's sign ------------------------------------------------------------------

fmod_p = elementwise(
    "fmod",
    np.fmod,
    lambda t, y, x1, x2: t,
    lambda t, y, x1, x2: -(t * rint((x1 - y) / x2)),
)


def fmod(x1: Any, x2: Any) -> Any:
    """The remainder of C's fmod. Derivative where it jumps: as if it did not."""
    return bind(fmod_p, x1, x2)


# negative: y = -x --------------------------------------------------------------------------------------------------

negative_p = elementwise("negative", np.negative, lambda t, y, x: -t, operator=operator.neg, is_linear=_any_operands)


def negative(x: Any) -> Any:
    """-x, element by element."""
    return bind(negative_p, x)


# positive: y = +x --------------------------------------------------------------------------------------------------

positive_p = elementwise("positive", np.positive, lambda t, y, x: t, operator=operator.pos, is_linear=_any_operands)


def positive(x: Any) -> Any:
    """+x, a copy."""
    return bind(positive_p, x)


# sign: y = -1, 0 or 1 (x / |x| of a complex x is `sign_complex`) ---------------------------------------------------

sign_p = comparison("sign", np.sign)


def sign(x: Any) -> Any:
    """The sign of x; x / |x| of a complex x. Derivative at 0: 0."""
    return bind(sign_complex_p if is_complex(x) else sign_p, x)


# absolute, abs: y = |x|, as np.absolute and as Python's abs compute it (a complex scalar's last bit may differ) ------


def _absolute_derivative(t: Any, y: Any, x: Any) -> Any:
    # Of a complex x: the tangent is the real part of this, the cotangent all of it.
    return t * (conjugate(x) / (y + (y == 0))) if is_complex(x) else t * sign(x)


absolute_p = elementwise("absolute", np.absolute, _absolute_derivative)
abs_p = elementwise("abs", np.absolute, _absolute_derivative, operator=operator.abs)


def absolute(x: Any) -> Any:
    """|x|. Derivative at 0: 0."""
    return bind(absolute_p, x)


def abs(x: Any) -> Any:
    """|x| of an array, as `absolute`; of a Python number a Python number."""
    return bind(abs_p, x)


# fabs: y = |x|, of real numbers ------------------------------------------------------------------------------------

fabs_p = elementwise("fabs", np.fabs, lambda t, y, x: t * sign(x))


def fabs(x: Any) -> Any:
    """|x| as a floating-point number. Derivative at 0: 0."""
    return bind(fabs_p, x)


# copysign: y = |x1| with the sign of x2 ----------------------------------------------------------------------------

copysign_p = elementwise("copysign", np.copysign, lambda t, y, x1, x2: t * (sign(x1) * sign(y)), None)


def copysign(x1: Any, x2: Any) -> Any:
    """x1 with the sign of x2. Derivative where x1 is 0: 0."""
    return bind(copysign_p, x1, x2)


# heaviside: y = 0 where x1 < 0, x2 where x1 = 0, 1 where x1 > 0 ----------------------------------------------------

heaviside_p = elementwise("heaviside", np.heaviside, None, lambda t, y, x1, x2: t * (x1 == 0))


def heaviside(x1: Any, x2: Any) -> Any:
    """The step function of x1, x2 at its step."""
    return bind(heaviside_p, x1, x2)


# larger_share: y = t where x1 > x2, t/2 where x1 = x2, 0 where x1 < x2 ---------------------------------------------


def _larger_share_implementation(t: Any, x1: Any, x2: Any) -> Any:
    larger = np.greater(x1, x2)
    y = np.where(larger, t, 0)
    decided = larger | np.less(x1, x2)
    if np.count_nonzero(decided) < decided.size:
        y = np.where(decided, y, np.where(np.equal(x1, x2), 0.5 * t, np.nan))
    return y[()]


larger_share_p = elementwise(
    "larger_share",
    np.add,
    lambda t_dot, y, t, x1, x2: larger_share(t_dot, x1, x2),
    None,
    None,
    implementation=_larger_share_implementation,
    result_dtype=lambda t, x1, x2: np.dtype(t),
    is_linear=_first_operand,
)


def larger_share(t: Any, x1: Any, x2: Any) -> Any:
    """What of t goes to x1 as the larger of two: all, half of it at a tie, or nothing; NaN where there is no order."""
    return bind(larger_share_p, t, x1, x2)


# maximum, minimum: NaN if either is NaN ----------------------------------------------------------------------------

maximum_p = elementwise(
    "maximum",
    np.maximum,
    lambda t, y, x1, x2: larger_share(t, x1, x2),
    lambda t, y, x1, x2: larger_share(t, x2, x1),
)


def maximum(x1: Any, x2: Any) -> Any:
    """The larger of x1 and x2. Derivative at a tie: 1/2 each."""
    return bind(maximum_p, x1, x2)


minimum_p = elementwise(
    "minimum",
    np.minimum,
    lambda t, y, x1, x2: larger_share(t, x2, x1),
    lambda t, y, x1, x2: larger_share(t, x1, x2),
)


def minimum(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2. Derivative at a tie: 1/2 each."""
    return bind(minimum_p, x1, x2)


# fmax, fmin: the other one if one is NaN ---------------------------------------------------------------------------


def _fmax_share(t: Any, x1: Any, x2: Any) -> Any:
    return larger_share(t, fmax(x1, -np.inf), fmax(x2, -np.inf))


def _fmin_share(t: Any, x1: Any, x2: Any) -> Any:
    return larger_share(t, fmin(x2, np.inf), fmin(x1, np.inf))


fmax_p = elementwise(
    "fmax",
    np.fmax,
    lambda t, y, x1, x2: _fmax_share(t, x1, x2),
    lambda t, y, x1, x2: _fmax_share(t, x2, x1),
)


def fmax(x1: Any, x2: Any) -> Any:
    """The larger of x1 and x2, or the one that is not NaN. Derivative at a tie: 1/2 each."""
    return bind(fmax_p, x1, x2)


fmin_p = elementwise(
    "fmin",
    np.fmin,
    lambda t, y, x1, x2: _fmin_share(t, x1, x2),
    lambda t, y, x1, x2: _fmin_share(t, x2, x1),
)


def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2, or the one that is not NaN. Derivative at a tie: 1/2 each."""
    return bind(fmin_p, x1, x2)
