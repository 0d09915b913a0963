"""Trigonometric and hyperbolic functions, their inverses, and what belongs to right triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import elementwise, tangent_dtype
from funcgrad.primitives.powers import sqrt
from funcgrad.primitives.structural import cast

# sin, cos, tan -----------------------------------------------------------------------------------------------------

sin_p = elementwise("sin", np.sin, lambda t, y, x: t * cos(x))


def sin(x: Any) -> Any:
    """Sine of x in radians."""
    return bind(sin_p, x)


cos_p = elementwise("cos", np.cos, lambda t, y, x: -(t * sin(x)))


def cos(x: Any) -> Any:
    """Cosine of x in radians."""
    return bind(cos_p, x)


tan_p = elementwise("tan", np.tan, lambda t, y, x: t * (y * y + 1.0))


def tan(x: Any) -> Any:
    """Tangent of x in radians."""
    return bind(tan_p, x)


# arcsin, arccos, arctan --------------------------------------------------------------------------------------------

# (1 - x)(1 + x) keeps the digits that 1 - x^2 loses near the ends.
arcsin_p = elementwise("arcsin", np.arcsin, lambda t, y, x: t / sqrt((1.0 - x) * (x + 1.0)))


def arcsin(x: Any) -> Any:
    """Inverse sine. Derivative at -1 and 1: infinite."""
    return bind(arcsin_p, x)


arccos_p = elementwise("arccos", np.arccos, lambda t, y, x: -t / sqrt((1.0 - x) * (x + 1.0)))


def arccos(x: Any) -> Any:
    """Inverse cosine. Derivative at -1 and 1: infinite."""
    return bind(arccos_p, x)


arctan_p = elementwise("arctan", np.arctan, lambda t, y, x: t / (x * x + 1.0))


def arctan(x: Any) -> Any:
    """Inverse tangent."""
    return bind(arctan_p, x)


# sinh, cosh, tanh --------------------------------------------------------------------------------------------------

sinh_p = elementwise("sinh", np.sinh, lambda t, y, x: t * cosh(x))


def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return bind(sinh_p, x)


cosh_p = elementwise("cosh", np.cosh, lambda t, y, x: t * sinh(x))


def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return bind(cosh_p, x)


tanh_p = elementwise("tanh", np.tanh, lambda t, y, x: t * (1.0 - y * y))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return bind(tanh_p, x)


# arcsinh, arccosh, arctanh -----------------------------------------------------------------------------------------

arcsinh_p = elementwise("arcsinh", np.arcsinh, lambda t, y, x: t / sqrt(x * x + 1.0))


def arcsinh(x: Any) -> Any:
    """Inverse hyperbolic sine."""
    return bind(arcsinh_p, x)


# One root of the product would be on the wrong branch for complex x on the left.
arccosh_p = elementwise("arccosh", np.arccosh, lambda t, y, x: t / (sqrt(x - 1.0) * sqrt(x + 1.0)))


def arccosh(x: Any) -> Any:
    """Inverse hyperbolic cosine. Derivative at 1: infinite."""
    return bind(arccosh_p, x)


arctanh_p = elementwise("arctanh", np.arctanh, lambda t, y, x: t / ((1.0 - x) * (x + 1.0)))


def arctanh(x: Any) -> Any:
    """Inverse hyperbolic tangent."""
    return bind(arctanh_p, x)


# arctan2: y = the angle of the point (x2, x1) ----------------------------------------------------------------------


def _square_radius(y: Any, x1: Any, x2: Any) -> Any:
    """x1^2 + x2^2 in y's dtype; 1 at the origin."""
    x1, x2 = cast(x1, tangent_dtype(y)), cast(x2, tangent_dtype(y))
    return x1 * x1 + x2 * x2 + ((x1 == 0) & (x2 == 0))


arctan2_p = elementwise(
    "arctan2",
    np.arctan2,
    lambda t, y, x1, x2: t * x2 / _square_radius(y, x1, x2),
    lambda t, y, x1, x2: -(t * x1) / _square_radius(y, x1, x2),
)


def arctan2(x1: Any, x2: Any) -> Any:
    """The angle of the point with ordinate x1 and abscissa x2. Derivative at the origin: 0."""
    return bind(arctan2_p, x1, x2)


# hypot: y = sqrt(x1^2 + x2^2) --------------------------------------------------------------------------------------

hypot_p = elementwise(
    "hypot",
    np.hypot,
    lambda t, y, x1, x2: t * (x1 / (y + (y == 0))),
    lambda t, y, x1, x2: t * (x2 / (y + (y == 0))),
)


def hypot(x1: Any, x2: Any) -> Any:
    """The hypotenuse over legs x1 and x2. Derivative at the origin: 0."""
    return bind(hypot_p, x1, x2)


# deg2rad, rad2deg --------------------------------------------------------------------------------------------------

deg2rad_p = elementwise("deg2rad", np.deg2rad, lambda t, y, x: deg2rad(t), is_linear=lambda active: True)


def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return bind(deg2rad_p, x)


rad2deg_p = elementwise("rad2deg", np.rad2deg, lambda t, y, x: rad2deg(t), is_linear=lambda active: True)


def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return bind(rad2deg_p, x)
