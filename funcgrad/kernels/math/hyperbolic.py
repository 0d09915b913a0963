"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from funcgrad.kernels.assembly import Value, copysign, fabs, kernel
from funcgrad.kernels.math.arithmetic import chosen, quotient
from funcgrad.kernels.math.exponential import clamped_above, half_expm1


@kernel
def tanh(x: Value) -> Value:
    """The hyperbolic tangent: h / (h + 1) of h = (e^2|x| - 1) / 2, with the sign of x."""
    size = fabs(x)
    h = half_expm1(clamped_above(size + size, chosen(x, 44.0, 20.0)))
    return copysign(quotient(h, x.like(1.0), h), x)
