"""Rounding, and the parts of a floating-point number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import comparison, elementwise, nondifferentiable

# floor, ceil, trunc, rint ------------------------------------------------------------------------------------------

floor_p = comparison("floor", np.floor)
ceil_p = comparison("ceil", np.ceil)
trunc_p = comparison("trunc", np.trunc)
rint_p = comparison("rint", np.rint)


def floor(x: Any) -> Any:
    """The largest integer that is at most x."""
    return bind(floor_p, x)


def ceil(x: Any) -> Any:
    """The smallest integer that is at least x."""
    return bind(ceil_p, x)


def trunc(x: Any) -> Any:
    """The integer part of x."""
    return bind(trunc_p, x)


def rint(x: Any) -> Any:
    """The nearest integer, the even one of two."""
    return bind(rint_p, x)


# round: y = x to some decimal places -------------------------------------------------------------------------------


def _round_abstract(x: ShapedArray, decimals: int) -> ShapedArray:
    return ShapedArray(x.shape, np.round(np.zeros((), x.dtype), decimals).dtype)


def _round_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(round_p, *xs, **params), dims[0]


round_p = nondifferentiable("round", implementation=np.round, abstract=_round_abstract, batch=_round_batch)


def round(x: Any, decimals: int = 0) -> Any:
    """x rounded to so many decimal places."""
    return bind(round_p, x, decimals=decimals)


# spacing: y = the distance to the next number away from 0 ----------------------------------------------------------

spacing_p = comparison("spacing", np.spacing)


def spacing(x: Any) -> Any:
    """The distance from x to the nearest floating-point number."""
    return bind(spacing_p, x)


# nextafter: y = the number next to x1 towards x2 -------------------------------------------------------------------

nextafter_p = elementwise("nextafter", np.nextafter, lambda t, y, x1, x2: t, None)


def nextafter(x1: Any, x2: Any) -> Any:
    """The floating-point number next to x1 on the way to x2. Derivative: that of x1."""
    return bind(nextafter_p, x1, x2)


# ldexp: y = x1 2^x2, of an integer x2 ------------------------------------------------------------------------------

ldexp_p = elementwise(
    "ldexp", np.ldexp, lambda t, y, x1, x2: ldexp(t, x2), None, is_linear=lambda active: active == [0]
)


def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2**x2 with an integer x2."""
    return bind(ldexp_p, x1, x2)


# mantissa, exponent: x = mantissa 2^exponent, 1/2 <= |mantissa| < 1 ------------------------------------------------

exponent_p = comparison("exponent", np.frexp, implementation=lambda x: np.frexp(x)[1])


def exponent(x: Any) -> Any:
    """The second of np.frexp's results: the exponent of x as an integer."""
    return bind(exponent_p, x)


mantissa_p = elementwise(
    "mantissa", np.fabs, lambda t, y, x: ldexp(t, -exponent(x)), implementation=lambda x: np.frexp(x)[0]
)


def mantissa(x: Any) -> Any:
    """The first of np.frexp's results: x scaled by a power of 2 to [1/2, 1)."""
    return bind(mantissa_p, x)


# fraction: y = x - trunc(x) ----------------------------------------------------------------------------------------

fraction_p = elementwise("fraction", np.fabs, lambda t, y, x: t, implementation=lambda x: np.modf(x)[0])


def fraction(x: Any) -> Any:
    """The first of np.modf's results: the fractional part of x, with its sign."""
    return bind(fraction_p, x)
