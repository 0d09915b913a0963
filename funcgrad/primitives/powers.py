"""Powers and roots.

The derivative of x**p in x is p * x**q, q = p - 1; where p is 0 so is q, which keeps 0 * x**-1 from being 0 * inf at
x = 0. In p it is y * log(x), with 1 for x where x is 0: there y stays 0 (or 1, where p is 0).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.core.tracing import Tracer
from funcgrad.primitives.exponential import log
from funcgrad.primitives.kinds import elementwise, tangent_dtype
from funcgrad.primitives.structural import cast

_PYTHON_NUMBERS = frozenset({bool, int, float, complex})


def _is_python_number(x: Any) -> bool:
    while type(x) is Tracer:
        x = x.value
    return type(x) in _PYTHON_NUMBERS or (getattr(x, "weak_type", False) is True)


# pow: y = x1 ** x2, as Python's operator computes it ---------------------------------------------------------------


def _pow_base(t: Any, y: Any, x1: Any, x2: Any) -> Any:
    if type(x2) is int or type(x2) is float:
        if x2 == 2:
            return t * (x1 + x1)
        if x2 == 0.5:
            return t / (2 * y)
        # Python's own numbers raise ZeroDivisionError where NumPy's give infinity.
        if not _is_python_number(x1):
            return t * (x2 * x1 ** (x2 - (x2 != 0)))
    return _power_base(t, y, x1, x2)


def _power_base(t: Any, y: Any, x1: Any, x2: Any) -> Any:
    if type(x2) not in _PYTHON_NUMBERS:
        x2 = cast(x2, tangent_dtype(y))
    return t * (x2 * power(x1, x2 - (x2 != 0)))


def _power_exponent(t: Any, y: Any, x1: Any, x2: Any) -> Any:
    return t * (y * log(cast(x1 + (x1 == 0), tangent_dtype(y))))


pow_p = elementwise("pow", np.power, _pow_base, _power_exponent, operator=operator.pow)


def pow(x1: Any, x2: Any) -> Any:
    """x1 ** x2, element by element, with the short cuts that NumPy's operator takes."""
    return bind(pow_p, x1, x2)


# power: y = x1 ** x2, as np.power computes it (the last bit may differ from the operator's) ------------------------


power_p = elementwise("power", np.power, _power_base, _power_exponent)


def power(x1: Any, x2: Any) -> Any:
    """x1 ** x2, element by element. Derivative in x2 where x1 is 0: 0."""
    return bind(power_p, x1, x2)


# float_power: y = x1 ** x2, at least in double precision -----------------------------------------------------------


float_power_p = elementwise("float_power", np.float_power, _power_base, _power_exponent)


def float_power(x1: Any, x2: Any) -> Any:
    """x1 ** x2, element by element, at least in double precision."""
    return bind(float_power_p, x1, x2)


# square: y = x^2 ---------------------------------------------------------------------------------------------------

square_p = elementwise("square", np.square, lambda t, y, x: t * (2 * x))


def square(x: Any) -> Any:
    """x * x."""
    return bind(square_p, x)


# sqrt: y = x^(1/2) -------------------------------------------------------------------------------------------------

sqrt_p = elementwise("sqrt", np.sqrt, lambda t, y, x: t / (2 * y))


def sqrt(x: Any) -> Any:
    """The square root. Derivative at 0: infinite."""
    return bind(sqrt_p, x)


# cbrt: y = x^(1/3) -------------------------------------------------------------------------------------------------

cbrt_p = elementwise("cbrt", np.cbrt, lambda t, y, x: t / (3 * (y * y)))


def cbrt(x: Any) -> Any:
    """The cube root, real for negative x, too. Derivative at 0: infinite."""
    return bind(cbrt_p, x)


# reciprocal: y = 1 / x ---------------------------------------------------------------------------------------------

reciprocal_p = elementwise("reciprocal", np.reciprocal, lambda t, y, x: -(t * (y * y)))


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return bind(reciprocal_p, x)
