"""Products with logarithms, in which 0 log 0 is 0: xlogy, xlog1py, entr, rel_entr. SciPy computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.comparison import equal
from funcgrad.primitives.exponential import log, log1p
from funcgrad.primitives.kinds import elementwise
from funcgrad.primitives.masking import select
from funcgrad.primitives.special import scipy_function


def _share(x: Any, y: Any) -> Any:
    """x / y, and 0 where x is 0: the slope of a multiple of 0 is 0, whatever the logarithm's."""
    nothing = equal(x, 0.0)
    return select(nothing, 0.0, x / select(nothing, 1.0, y))


# xlogy: z = x ln y, 0 where x is 0 and y a number ------------------------------------------------------------------

xlogy_p = elementwise(
    "xlogy",
    np.logaddexp,
    lambda t, z, x, y: t * log(y),
    lambda t, z, x, y: t * _share(x, y),
    implementation=scipy_function("xlogy"),
)


def xlogy(x: Any, y: Any) -> Any:
    """x log(y), and 0 where x is 0 and y is a number. Derivative by y where x is 0: 0."""
    return bind(xlogy_p, x, y)


# xlog1py: z = x ln(1 + y), 0 where x is 0 and y a number -----------------------------------------------------------

xlog1py_p = elementwise(
    "xlog1py",
    np.logaddexp,
    lambda t, z, x, y: t * log1p(y),
    lambda t, z, x, y: t * _share(x, y + 1.0),
    implementation=scipy_function("xlog1py"),
)


def xlog1py(x: Any, y: Any) -> Any:
    """x log(1 + y), and 0 where x is 0 and y is a number. Derivative by y where x is 0: 0."""
    return bind(xlog1py_p, x, y)


# entr: y = -x ln x, minus infinity below 0 -------------------------------------------------------------------------

entr_p = elementwise("entr", np.fabs, lambda t, y, x: -(t * (log(x) + 1.0)), implementation=scipy_function("entr"))


def entr(x: Any) -> Any:
    """-x log(x), 0 at 0, minus infinity below."""
    return bind(entr_p, x)


# rel_entr: z = x ln(x / y), 0 where x is 0 and y not negative, else infinity ---------------------------------------

rel_entr_p = elementwise(
    "rel_entr",
    np.logaddexp,
    lambda t, z, x, y: t * (log(x / y) + 1.0),
    lambda t, z, x, y: -(t * _share(x, y)),
    implementation=scipy_function("rel_entr"),
)


def rel_entr(x: Any, y: Any) -> Any:
    """x log(x / y), and 0 where x is 0 and y is not negative. Derivative by y where x is 0: 0."""
    return bind(rel_entr_p, x, y)
