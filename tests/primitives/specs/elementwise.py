"""Rows of the smooth elementwise primitives: `primitives/{arithmetic,powers,exponential,trigonometric,complex}.py`.

Arguments keep away from poles, cuts and kinks; those have tests of their own in `tests/primitives/test_elementwise.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import arithmetic, complex, exponential, powers, trigonometric
from tests.spec import ALL, FLOATS, Spec, arrays, broadcasting

Arguments = Callable[[Any], st.SearchStrategy[tuple[Any, ...]]]
COMPLEX = (np.complex128, np.complex64)


def one(low: float = -2.0, high: float = 2.0) -> Arguments:
    return lambda dtype: arrays(dtype, low=low, high=high).map(lambda x: (x,))


def two(low: float = -2.0, high: float = 2.0) -> Arguments:
    return lambda dtype: broadcasting(dtype, 2, low, high)


def two_apart(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Pairs without ties: multiples of 0.1, and those moved by 0.05."""
    return two()(dtype).map(lambda xs: (xs[0].round(1), (xs[1].round(1) + 0.05).astype(dtype)))


def off_zero(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return arrays(dtype).map(lambda x: ((x + np.copysign(0.1, x.real)).astype(dtype),))


def remainders(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Quotients between -2.95 and -2.09, or 2.09 and 2.95."""
    signs = st.tuples(st.sampled_from([-1, 1]), st.sampled_from([-1, 1]))
    pairs = two(0.0, 1.0)(dtype)
    return st.tuples(pairs, signs).map(
        lambda drawn: (
            (drawn[1][0] * (2.2 + 0.6 * drawn[0][0])).astype(dtype),
            (drawn[1][1] * (0.95 + 0.1 * drawn[0][1])).astype(dtype),
        )
    )


def row(
    name: str,
    function: Any,
    reference: Any,
    arguments: Arguments,
    dtypes: Any = ALL,
    *,
    primitive: str | None = None,
    **options: Any,
) -> Spec:
    return Spec(name, (primitive or name.partition("-")[0],), function, reference, arguments, dtypes, **options)


def _halves_of(x: Any) -> Any:
    return complex.make_complex(x, x * 2.0)


ROWS = [
    row("add", arithmetic.add, operator.add, two()),
    row("subtract", arithmetic.subtract, operator.sub, two()),
    row("multiply", arithmetic.multiply, operator.mul, two()),
    row("divide", arithmetic.divide, operator.truediv, two(0.5, 2.0)),
    row("remainder", arithmetic.remainder, np.remainder, remainders, FLOATS),
    row("fmod", arithmetic.fmod, np.fmod, remainders, FLOATS),
    row("negative", arithmetic.negative, operator.neg, one()),
    row("positive", arithmetic.positive, operator.pos, one()),
    row("absolute", arithmetic.absolute, np.absolute, off_zero, ALL),
    row("abs", arithmetic.abs, operator.abs, off_zero, ALL),
    row("fabs", arithmetic.fabs, np.fabs, off_zero, FLOATS),
    row(
        "copysign",
        arithmetic.copysign,
        np.copysign,
        lambda dtype: st.tuples(off_zero(dtype), st.sampled_from([dtype(1.5), dtype(-0.5)])).map(
            lambda xs: (xs[0][0], xs[1])
        ),
        FLOATS,
    ),
    row("heaviside", arithmetic.heaviside, np.heaviside, lambda dtype: two_apart(dtype).map(lambda x: x[::-1]), FLOATS),
    row("maximum", arithmetic.maximum, np.maximum, two_apart, FLOATS),
    row("minimum", arithmetic.minimum, np.minimum, two_apart, FLOATS),
    row("fmax", arithmetic.fmax, np.fmax, two_apart, FLOATS),
    row("fmin", arithmetic.fmin, np.fmin, two_apart, FLOATS),
    row(
        "larger_share",
        arithmetic.larger_share,
        lambda t, x1, x2: np.where(x1 > x2, t, 0).astype(t.dtype),
        lambda dtype: st.tuples(arrays(dtype), two_apart(dtype)).map(lambda xs: (xs[0].reshape(-1)[:1].sum(), *xs[1])),
        FLOATS,
    ),
    row("sign_complex", arithmetic.sign, np.sign, off_zero, COMPLEX),
    row("pow", powers.pow, operator.pow, two(0.3, 2.0)),
    row("pow-two", lambda x: powers.pow(x, 2), lambda x: x**2, one()),
    row("pow-three", lambda x: powers.pow(x, 3.0), lambda x: x**3.0, one(), order=3),
    row("pow-root", lambda x: powers.pow(x, 0.5), lambda x: x**0.5, one(0.2, 2.0)),
    row("pow-inverse", lambda x: powers.pow(x, -1), lambda x: x**-1, one(0.3, 2.0)),
    row("pow-of-two", lambda x: powers.pow(2.0, x), lambda x: 2.0**x, one()),
    row(
        "pow-integers",
        lambda x: powers.pow(x, np.array([[0], [1], [2], [3]])),
        lambda x: x ** np.array([[0], [1], [2], [3]]),
        lambda dtype: arrays(dtype, (3,)).map(lambda x: (x,)),
    ),
    row("power", powers.power, np.power, two(0.3, 2.0)),
    row("float_power", powers.float_power, np.float_power, two(0.3, 2.0)),
    row("square", powers.square, np.square, one()),
    row("sqrt", powers.sqrt, np.sqrt, one(0.2, 2.0)),
    row("cbrt", powers.cbrt, np.cbrt, off_zero, FLOATS),
    row("reciprocal", powers.reciprocal, np.reciprocal, one(0.3, 2.0)),
    row("exp", exponential.exp, np.exp, one()),
    row("exp2", exponential.exp2, np.exp2, one()),
    row("expm1", exponential.expm1, np.expm1, one()),
    row("log", exponential.log, np.log, one(0.2, 3.0)),
    row("log2", exponential.log2, np.log2, one(0.2, 3.0)),
    row("log10", exponential.log10, np.log10, one(0.2, 3.0)),
    row("log1p", exponential.log1p, np.log1p, one(-0.7, 2.0)),
    row("logaddexp", exponential.logaddexp, np.logaddexp, two(), FLOATS),
    row("logaddexp2", exponential.logaddexp2, np.logaddexp2, two(), FLOATS),
    row(
        "logaddexp_share",
        exponential.logaddexp_share,
        lambda x1, x2: np.exp(x1) / (np.exp(x1) + np.exp(x2)),
        two(),
        FLOATS,
        exact=False,
    ),
    row("sin", trigonometric.sin, np.sin, one()),
    row("cos", trigonometric.cos, np.cos, one()),
    row("tan", trigonometric.tan, np.tan, one(-1.2, 1.2)),
    row("arcsin", trigonometric.arcsin, np.arcsin, one(-0.8, 0.8)),
    row("arcsin-cut", trigonometric.arcsin, np.arcsin, one(0.5, 3.0), COMPLEX),
    row("arccos", trigonometric.arccos, np.arccos, one(-0.8, 0.8)),
    row("arccos-cut", trigonometric.arccos, np.arccos, one(-3.0, -0.5), COMPLEX),
    row("arctan", trigonometric.arctan, np.arctan, one(-0.8, 0.8)),
    row("arctan-large", trigonometric.arctan, np.arctan, one(1.3, 3.0)),
    row("sinh", trigonometric.sinh, np.sinh, one()),
    row("cosh", trigonometric.cosh, np.cosh, one()),
    row("tanh", trigonometric.tanh, np.tanh, one(-1.2, 1.2)),
    row("arcsinh", trigonometric.arcsinh, np.arcsinh, one(-0.7, 2.0)),
    row("arccosh", trigonometric.arccosh, np.arccosh, one(1.3, 3.0)),
    row("arccosh-left", trigonometric.arccosh, np.arccosh, one(-3.0, -0.5), COMPLEX),
    row("arctanh", trigonometric.arctanh, np.arctanh, one(-0.6, 0.6)),
    row("arctan2", trigonometric.arctan2, np.arctan2, two(0.3, 2.0), FLOATS),
    row("hypot", trigonometric.hypot, np.hypot, two(0.3, 2.0), FLOATS),
    row("deg2rad", trigonometric.deg2rad, np.deg2rad, one(), FLOATS),
    row("rad2deg", trigonometric.rad2deg, np.rad2deg, one(), FLOATS),
    row("conjugate", complex.conjugate, np.conjugate, one(), COMPLEX),
    row("real", complex.real, np.real, one(), COMPLEX),
    row("imag", complex.imag, np.imag, one(), COMPLEX),
    row("complex", complex.make_complex, lambda x1, x2: x1 + 1j * x2, two(), FLOATS),
    row("complex-same", _halves_of, lambda x: x + 1j * (x * 2.0), one(), FLOATS, primitive="complex"),
]
