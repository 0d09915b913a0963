"""Lowerings of `primitives/powers.py`: powers with small whole exponents are products."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import BOOL, Apply, Constant
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import (
    ALL_KINDS,
    DIVISION,
    LIBRARY,
    elements,
    literal,
    over_roots,
    pointwise,
)
from funcgrad.compiler.tensors import Tensor, constant
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import Value, fma
from funcgrad.kernels.complex import Complex, is_true
from funcgrad.kernels.math import integers
from funcgrad.kernels.math.powers import cbrt, pow
from funcgrad.primitives import powers

_GREATEST_PRODUCT = 8

pointwise(powers.square_p, np.square, scalars.square, kinds=ALL_KINDS)
pointwise(powers.sqrt_p, np.sqrt, scalars.sqrt, DIVISION)
pointwise(powers.cbrt_p, np.cbrt, cbrt, 2.0 * LIBRARY)


@lowers(powers.reciprocal_p, complex_numbers=True)
def _reciprocal(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    function = scalars.reciprocal if aval.dtype.kind in "fc" else scalars.integer_reciprocal
    return over_roots(elements(lowering, aval, function, (x,), (aval.dtype,), DIVISION))


class Product:
    """x to a whole power from 2 as products, correctly rounded but for a few in a thousand.

    A power is kept with its rounding error, which is worth less than a unit of its last place; the errors together
    correct the last product.
    """

    __slots__ = ("exponent", "name")

    def __init__(self, exponent: int) -> None:
        self.exponent = exponent
        self.name = f"power_{exponent}"

    def __call__(self, x: Value) -> Value:
        """The power."""
        if x.element.kind != "f":
            return self._wrapping(x)
        if self.exponent == 2:
            return x * x
        y, error = self._power(x, self.exponent)
        assert error is not None
        corrected = y + error
        # Infinities have no error, and the sum of zeros no sign.
        return scalars.select(corrected.is_nan() | y.equals(0.0), y, corrected)

    def _power(self, x: Value, exponent: int) -> tuple[Value, Value | None]:
        if exponent == 1:
            return x, None
        half = self._power(x, exponent // 2)
        y = _product(half, half)
        return _product(y, (x, None)) if exponent % 2 else y

    def _wrapping(self, x: Value) -> Value:
        y = None
        for bit in bin(self.exponent)[2:]:
            if y is not None:
                y = y * y
            if bit == "1":
                y = x if y is None else y * x
        assert y is not None
        return y


def _product(a: tuple[Value, Value | None], b: tuple[Value, Value | None]) -> tuple[Value, Value]:
    """The product of two numbers with errors, with its own."""
    y = a[0] * b[0]
    error = fma(a[0], b[0], -y)
    if b[1] is not None:
        error = fma(a[0], b[1], error)
    if a[1] is not None:
        error = fma(a[1], b[0], error)
    return y, error


def root_of_scalar(x: Value) -> Value:
    """x ** 0.5 as C has it, and NumPy of scalars: 0 of -0, infinity of -infinity."""
    return scalars.select(x.equals(-scalars.INF), -x, scalars.sqrt(x + 0.0))


def complex_square(x: Complex) -> Complex:
    """x ** 2 as NumPy's power has it, where its operator is not np.square: 0 of every zero."""
    y, zero = scalars.square(x), x.re.like(0.0)
    return scalars.select(is_true(x), y, Complex(zero, zero))


@lowers(powers.pow_p, powers.power_p, powers.float_power_p, complex_numbers=True)
def _pow(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    floating = aval.dtype.kind == "f"
    if aval.weak_type:  # Python's own numbers may raise, or become complex
        return NotImplemented
    exponent = literal(eqn.inputs[1])
    if aval.dtype.kind == "c":
        if exponent != 2:
            return NotImplemented
        by_operator = eqn.primitive is powers.pow_p and aval.shape and x2.dtype.kind in "iu"
        return elements(lowering, aval, scalars.square if by_operator else complex_square, (x1,), (aval.dtype,), 2.0)
    if exponent is not None:
        of_scalars = eqn.primitive is powers.float_power_p or (eqn.primitive is powers.pow_p and not aval.shape)
        known = _known_power(float(exponent), floating, of_scalars)
        if known == "one":
            return constant(1, aval.dtype, aval.shape)
        if known is not None:
            function, cost = known
            return elements(lowering, aval, function, (x1,), (aval.dtype,), cost)
    if not floating:
        return _integer_power(lowering, eqn, x1, x2)
    return elements(lowering, aval, pow, (x1, x2), (aval.dtype,) * 2, 4.0 * LIBRARY)


def _integer_power(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    exponent = literal(eqn.inputs[1])
    if exponent is not None and exponent < 0:
        return NotImplemented  # NumPy refuses
    if exponent is None and x2.dtype.kind == "i":
        zero = Constant(0, x2.dtype)
        positive = Tensor(x2.shape, BOOL, lambda i: Apply(scalars.greater_equal, (x2.at(i), zero), BOOL))
        lowering.require(positive, "an integer is raised to a negative power")
    return elements(lowering, aval, integers.power, (x1, x2), (aval.dtype,) * 2, 4.0 * LIBRARY)


def _known_power(exponent: float, floating: bool, of_scalars: bool) -> Any:
    """A function of the base alone, and its cost; "one"; or None."""
    if exponent == 0.0:
        return "one"
    if exponent == 1.0:
        return scalars.positive, 0.0
    if exponent.is_integer() and 2 <= exponent <= (_GREATEST_PRODUCT if floating else 2**62):
        return Product(int(exponent)), 3.0 * exponent if exponent > 2 else 1.0
    if floating and exponent == -1.0:
        return scalars.reciprocal, DIVISION
    if floating and exponent == 0.5:
        return (root_of_scalar if of_scalars else scalars.sqrt), DIVISION
    return None
