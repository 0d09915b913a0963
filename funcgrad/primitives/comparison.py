"""Comparisons, logic and bits: what has no derivative and gives booleans or integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import comparison

# equal, not_equal, less, less_equal, greater, greater_equal --------------------------------------------------------


def _numpy_bool(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Python's operator, which is fast on scalars, but never with Python's bool as an answer: ~True is -2 there."""

    def implementation(x1: Any, x2: Any) -> Any:
        y = compare(x1, x2)
        return np.bool_(y) if type(y) is bool else y

    return implementation


equal_p = comparison("equal", np.equal, implementation=_numpy_bool(operator.eq))
not_equal_p = comparison("not_equal", np.not_equal, implementation=_numpy_bool(operator.ne))
less_p = comparison("less", np.less, implementation=_numpy_bool(operator.lt))
less_equal_p = comparison("less_equal", np.less_equal, implementation=_numpy_bool(operator.le))
greater_p = comparison("greater", np.greater, implementation=_numpy_bool(operator.gt))
greater_equal_p = comparison("greater_equal", np.greater_equal, implementation=_numpy_bool(operator.ge))


def equal(x1: Any, x2: Any) -> Any:
    """x1 == x2, element by element."""
    return bind(equal_p, x1, x2)


def not_equal(x1: Any, x2: Any) -> Any:
    """x1 != x2, element by element."""
    return bind(not_equal_p, x1, x2)


def less(x1: Any, x2: Any) -> Any:
    """x1 < x2, element by element."""
    return bind(less_p, x1, x2)


def less_equal(x1: Any, x2: Any) -> Any:
    """x1 <= x2, element by element."""
    return bind(less_equal_p, x1, x2)


def greater(x1: Any, x2: Any) -> Any:
    """x1 > x2, element by element."""
    return bind(greater_p, x1, x2)


def greater_equal(x1: Any, x2: Any) -> Any:
    """x1 >= x2, element by element."""
    return bind(greater_equal_p, x1, x2)


# logical_and, logical_or, logical_xor, logical_not -----------------------------------------------------------------

logical_and_p = comparison("logical_and", np.logical_and)
logical_or_p = comparison("logical_or", np.logical_or)
logical_xor_p = comparison("logical_xor", np.logical_xor)
logical_not_p = comparison("logical_not", np.logical_not)


def logical_and(x1: Any, x2: Any) -> Any:
    """Whether both are nonzero."""
    return bind(logical_and_p, x1, x2)


def logical_or(x1: Any, x2: Any) -> Any:
    """Whether either is nonzero."""
    return bind(logical_or_p, x1, x2)


def logical_xor(x1: Any, x2: Any) -> Any:
    """Whether exactly one is nonzero."""
    return bind(logical_xor_p, x1, x2)


def logical_not(x: Any) -> Any:
    """Whether x is zero."""
    return bind(logical_not_p, x)


# isnan, isinf, isfinite, signbit -----------------------------------------------------------------------------------

isnan_p = comparison("isnan", np.isnan)
isinf_p = comparison("isinf", np.isinf)
isfinite_p = comparison("isfinite", np.isfinite)
signbit_p = comparison("signbit", np.signbit)


def isnan(x: Any) -> Any:
    """Whether x is not a number."""
    return bind(isnan_p, x)


def isinf(x: Any) -> Any:
    """Whether x is infinite."""
    return bind(isinf_p, x)


def isfinite(x: Any) -> Any:
    """Whether x is neither infinite nor NaN."""
    return bind(isfinite_p, x)


def signbit(x: Any) -> Any:
    """Whether the sign bit is set, of zeros and NaN, too."""
    return bind(signbit_p, x)


# isclose: y = |x1 - x2| <= atol + rtol |x2| ------------------------------------------------------------------------

isclose_p = comparison(
    "isclose", np.equal, implementation=np.isclose, result_dtype=lambda x1, x2, rtol, atol: np.dtype(np.bool_)
)


def isclose(x1: Any, x2: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    """Whether x1 is x2 within a tolerance, as NumPy sees it."""
    return bind(isclose_p, x1, x2, rtol, atol, equal_nan=equal_nan)


# bitwise_and, bitwise_or, bitwise_xor, invert, shifts, bitwise_count -----------------------------------------------

bitwise_and_p = comparison("bitwise_and", np.bitwise_and, operator=operator.and_)
bitwise_or_p = comparison("bitwise_or", np.bitwise_or, operator=operator.or_)
bitwise_xor_p = comparison("bitwise_xor", np.bitwise_xor, operator=operator.xor)
invert_p = comparison("invert", np.invert, operator=operator.invert)
left_shift_p = comparison("left_shift", np.left_shift, operator=operator.lshift)
right_shift_p = comparison("right_shift", np.right_shift, operator=operator.rshift)
bitwise_count_p = comparison("bitwise_count", np.bitwise_count)


def bitwise_and(x1: Any, x2: Any) -> Any:
    """x1 & x2, bit by bit; of booleans the logical and."""
    return bind(bitwise_and_p, x1, x2)


def bitwise_or(x1: Any, x2: Any) -> Any:
    """x1 | x2, bit by bit; of booleans the logical or."""
    return bind(bitwise_or_p, x1, x2)


def bitwise_xor(x1: Any, x2: Any) -> Any:
    """x1 ^ x2, bit by bit; of booleans the exclusive or."""
    return bind(bitwise_xor_p, x1, x2)


def invert(x: Any) -> Any:
    """~x, bit by bit; of booleans the logical not."""
    return bind(invert_p, x)


def left_shift(x1: Any, x2: Any) -> Any:
    """x1 << x2."""
    return bind(left_shift_p, x1, x2)


def right_shift(x1: Any, x2: Any) -> Any:
    """x1 >> x2."""
    return bind(right_shift_p, x1, x2)


def bitwise_count(x: Any) -> Any:
    """The number of bits set in |x|."""
    return bind(bitwise_count_p, x)


# gcd, lcm ----------------------------------------------------------------------------------------------------------

gcd_p = comparison("gcd", np.gcd)
lcm_p = comparison("lcm", np.lcm)


def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of integers."""
    return bind(gcd_p, x1, x2)


def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of integers."""
    return bind(lcm_p, x1, x2)
