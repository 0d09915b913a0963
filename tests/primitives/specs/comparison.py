"""Rows of `primitives/comparison.py` and of what has no derivative in `primitives/{arithmetic,rounding}.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import arithmetic, comparison, rounding
from tests.primitives.specs.elementwise import off_zero, one, remainders, row, two
from tests.spec import FLOATS, arrays

NUMBERS = (np.float64, np.float32, np.complex128, np.int8, np.bool_)
REALS = (*FLOATS, np.int64)
INTEGERS = (np.int64, np.uint8)


def integers(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return two(0.0, 7.0)(dtype)


def _with_exponents(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return arrays(dtype, (3,)).map(lambda x: (x, np.array([[-2], [0], [3]])))


ROWS = [
    *[
        row(name, getattr(comparison, name), getattr(np, name), two(), NUMBERS, order=0)
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    ],
    *[
        row(name, getattr(comparison, name), getattr(np, name), two(), NUMBERS, order=0)
        for name in ("logical_and", "logical_or", "logical_xor")
    ],
    *[
        row(name, getattr(comparison, name), getattr(np, name), one(), NUMBERS, order=0)
        for name in ("logical_not", "isnan", "isinf", "isfinite")
    ],
    row(
        "isclose",
        lambda x1, x2: comparison.isclose(x1, x2, 0.1, 1e-8, False),
        lambda x1, x2: np.isclose(x1, x2, 0.1),
        two(1.0, 1.3),
        NUMBERS,
        order=0,
    ),
    row("signbit", comparison.signbit, np.signbit, one(), FLOATS, order=0),
    *[
        row(name, getattr(comparison, name), getattr(np, name), integers, (*INTEGERS, np.bool_), order=0)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ],
    row("invert", comparison.invert, np.invert, one(0.0, 7.0), (*INTEGERS, np.bool_), order=0),
    *[
        row(name, getattr(comparison, name), getattr(np, name), integers, INTEGERS, order=0)
        for name in ("left_shift", "right_shift", "gcd", "lcm")
    ],
    row("bitwise_count", comparison.bitwise_count, np.bitwise_count, one(0.0, 7.0), INTEGERS, order=0),
    row("floor_divide", arithmetic.floor_divide, np.floor_divide, remainders, FLOATS, order=0),
    row("sign", arithmetic.sign, np.sign, one(), REALS, order=0),
    *[
        row(name, getattr(rounding, name), getattr(np, name), one(), REALS, order=0)
        for name in ("floor", "ceil", "trunc", "rint")
    ],
    row("round", rounding.round, np.round, one(), (*REALS, np.complex128), order=0),
    row(
        "round-decimals",
        lambda x: rounding.round(x, decimals=1),
        lambda x: np.round(x, 1),
        one(),
        (*REALS, np.complex128),
        order=0,
    ),
    row("spacing", rounding.spacing, np.spacing, one(), FLOATS, order=0),
    row("nextafter", rounding.nextafter, np.nextafter, two(0.5, 2.0), FLOATS),
    row("ldexp", rounding.ldexp, np.ldexp, _with_exponents, FLOATS),
    row("mantissa", rounding.mantissa, lambda x: np.frexp(x)[0], one(0.55, 0.95), FLOATS),
    row("exponent", rounding.exponent, lambda x: np.frexp(x)[1], off_zero, FLOATS, order=0),
    row("fraction", rounding.fraction, lambda x: np.modf(x)[0], one(1.1, 1.9), FLOATS),
]
