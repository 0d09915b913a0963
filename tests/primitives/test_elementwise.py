"""Elementwise derivatives at kinks, poles and ends of the range, where the laws do not go.

The convention is the least subgradient: abs'(0) = 0, a tie is split evenly.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.primitives import special

INF, NAN = math.inf, math.nan
BOTH = (0, 1)


def gradient(f: Any, *xs: Any) -> Any:
    return funcgrad.grad(f, argnums=tuple(range(len(xs))) if len(xs) > 1 else 0)(*xs)


def modes(f: Any, *xs: Any) -> list[Any]:
    """The partial derivatives of f in reverse mode, in forward mode, and recorded without values."""
    argnums = tuple(range(len(xs)))
    rows = [[np.asarray(x)] for x in xs]
    return [
        funcgrad.grad(f, argnums=argnums)(*xs),
        funcgrad.jacfwd(f, argnums=argnums)(*xs),
        [y[0] for y in funcgrad.vmap(funcgrad.grad(f, argnums=argnums))(*map(np.stack, rows))],
    ]


# Kinks and poles ------------------------------------------------------------------------------------------------------

KINKS: list[tuple[Any, tuple[float, ...], tuple[float, ...]]] = [
    (np.abs, (0.0,), (0.0,)),
    (np.abs, (-0.0,), (0.0,)),
    (abs, (-2.0,), (-1.0,)),
    (np.fabs, (0.0,), (0.0,)),
    (lambda x: np.sign(x) * x, (0.0,), (0.0,)),
    (np.maximum, (1.0, 1.0), (0.5, 0.5)),
    (np.maximum, (0.0, -0.0), (0.5, 0.5)),
    (np.maximum, (INF, INF), (0.5, 0.5)),
    (np.maximum, (2.0, 1.0), (1.0, 0.0)),
    (np.maximum, (NAN, 1.0), (NAN, NAN)),
    (np.minimum, (1.0, 1.0), (0.5, 0.5)),
    (np.minimum, (2.0, 1.0), (0.0, 1.0)),
    (np.minimum, (1.0, NAN), (NAN, NAN)),
    (np.fmax, (1.0, NAN), (1.0, 0.0)),
    (np.fmax, (NAN, 1.0), (0.0, 1.0)),
    (np.fmax, (1.0, 1.0), (0.5, 0.5)),
    (np.fmin, (NAN, 1.0), (0.0, 1.0)),
    (np.fmin, (3.0, 2.0), (0.0, 1.0)),
    (np.fmin, (2.0, 2.0), (0.5, 0.5)),
    (np.hypot, (0.0, 0.0), (0.0, 0.0)),
    (np.hypot, (3.0, 0.0), (1.0, 0.0)),
    (np.hypot, (1e300, 1e300), (math.sqrt(0.5), math.sqrt(0.5))),
    (np.arctan2, (0.0, 0.0), (0.0, 0.0)),
    (np.arctan2, (0.0, -1.0), (-1.0, 0.0)),
    (np.copysign, (0.0, -2.0), (0.0, 0.0)),
    (np.copysign, (3.0, -0.0), (-1.0, 0.0)),
    (np.heaviside, (0.0, 0.25), (0.0, 1.0)),
    (np.heaviside, (2.0, 0.25), (0.0, 0.0)),
    (np.remainder, (3.0, 1.5), (1.0, -2.0)),
    (np.remainder, (-1.0, 3.0), (1.0, 1.0)),
    (np.remainder, (2.0, INF), (1.0, 0.0)),
    (np.fmod, (-7.0, 2.0), (1.0, 3.0)),
    (np.fmod, (2.0, INF), (1.0, 0.0)),
    (np.logaddexp, (-INF, -INF), (0.5, 0.5)),
    (np.logaddexp, (-INF, 1.0), (0.0, 1.0)),
    (np.logaddexp, (1000.0, 0.0), (1.0, 0.0)),
    (np.logaddexp, (INF, 0.0), (1.0, 0.0)),
    (np.logaddexp2, (-INF, -INF), (0.5, 0.5)),
    (np.logaddexp2, (5.0, 5.0), (0.5, 0.5)),
    (np.expm1, (-40.0,), (math.exp(-40.0),)),
    (np.arcsin, (1 - 2**-53,), (1 / math.sqrt((2 - 2**-53) * 2**-53),)),
    (np.tanh, (800.0,), (0.0,)),
    (np.nextafter, (1.0, 2.0), (1.0, 0.0)),
    (lambda x: np.modf(x)[0], (-2.5,), (1.0,)),
    (lambda x: np.frexp(x)[0], (12.0,), (1 / 16,)),
    (lambda x: np.frexp(x)[0], (0.0,), (1.0,)),
    (lambda x: np.ldexp(x, 3), (0.0,), (8.0,)),
    (special.logistic, (-800.0,), (0.0,)),
    (special.logistic, (800.0,), (0.0,)),
    (special.softplus, (0.0,), (0.5,)),
]


@pytest.mark.parametrize(("f", "xs", "expected"), KINKS)
def test_derivative_at_a_kink_follows_the_convention_without_a_warning(f: Any, xs: Any, expected: Any) -> None:
    for actual in modes(f, *map(np.float64, xs)):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-300)
    # A Python number, an array, and single precision, as well.
    np.testing.assert_allclose(gradient(f, *xs), expected if len(xs) > 1 else expected[0], rtol=1e-12, atol=1e-300)
    if not (xs[0] == 1e300 or f is np.arcsin):
        arrays = [np.full((2, 1), x, np.float32) for x in xs]
        y, pull = funcgrad.vjp(f, *arrays)
        for ct, slope in zip(pull(np.ones_like(y)), expected, strict=True):
            assert ct.dtype == np.float32
            np.testing.assert_allclose(ct, np.full((2, 1), slope), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    "f", [np.sqrt, np.cbrt, np.log, lambda x: x**0.5, lambda x: np.power(x, 0.5), lambda x: x**-1.0]
)
def test_derivative_at_a_pole_is_infinite(f: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for actual in modes(f, np.float64(0.0)):
            assert np.isinf(actual[0])


@pytest.mark.parametrize("f", [np.sqrt, np.cbrt, lambda x: x**0.5, lambda x: x**1.5, lambda x: np.power(x, 0.25)])
def test_rule_of_a_python_number_never_divides_by_zero(f: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        g = funcgrad.grad(f)
        g(0.0)
        funcgrad.grad(g)(0.0)
        funcgrad.jit(g)(0.0)


def test_ties_split_for_broadcast_operands_and_higher_orders_vanish() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    relu = lambda x: np.maximum(x, 0.0).sum()
    np.testing.assert_array_equal(funcgrad.grad(relu)(x), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(funcgrad.hessian(relu)(x), np.zeros((3, 3)))
    assert funcgrad.grad(lambda b: np.maximum(x, b).sum())(0.0) == 1.5
    assert not np.signbit(funcgrad.grad(relu)(x)).any()


def test_maximum_passes_no_infinity_to_the_loser() -> None:
    root = lambda x: np.sqrt(np.maximum(x, 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert funcgrad.grad(root)(-1.0) == 0.0


# Powers ---------------------------------------------------------------------------------------------------------------

EXPONENTS: list[Any] = [0, 1, 2, 3, 4, 0.0, 1.0, 2.0, 3.0, np.float64(2.0), np.int64(3), np.array(1.0)]


@pytest.mark.parametrize("operator", [lambda x, p: x**p, np.power, np.float_power], ids=["**", "power", "float_power"])
@pytest.mark.parametrize("exponent", EXPONENTS, ids=str)
@pytest.mark.parametrize("x", [0.0, -0.0, -2.0, 1.5, np.float64(0.0), np.array([0.0, -1.5]), np.array(0.0)], ids=str)
def test_power_every_order_equals_the_polynomials(operator: Any, exponent: Any, x: Any) -> None:
    n = int(exponent)
    f = lambda x: operator(x, exponent)
    for order in range(1, 5):
        f = funcgrad.elementwise_grad(f)
        factor = math.perm(n, order)
        expected = factor * np.asarray(x) ** max(n - order, 0)
        np.testing.assert_allclose(f(x), expected, rtol=1e-14)


def test_power_of_an_array_of_exponents_every_order() -> None:
    exponents = np.array([0.0, 1.0, 2.0, 3.0])
    f: Any = lambda x: (x**exponents).sum()
    for expected in (1.0, 2.0, 6.0, 0.0):
        f = funcgrad.grad(f)
        assert f(0.0) == expected


@pytest.mark.parametrize("operator", [lambda x, p: x**p, np.power, np.float_power], ids=["**", "power", "float_power"])
@pytest.mark.parametrize("wrap", [float, np.float64, np.array])
def test_power_in_the_exponent_at_zero(operator: Any, wrap: Any) -> None:
    for exponent in (0.5, 1.0, 2.0, 3.0):
        assert funcgrad.grad(operator, argnums=1)(wrap(0.0), wrap(exponent)) == 0.0
    assert funcgrad.grad(operator, argnums=1)(wrap(0.0), wrap(0.0)) == 0.0
    slopes = funcgrad.grad(operator, argnums=BOTH)(wrap(2.0), wrap(3.0))
    np.testing.assert_allclose(slopes, (12.0, 8.0 * math.log(2.0)))


def test_power_of_integers_by_a_traced_exponent_keeps_its_digits() -> None:
    for base in (2, np.int8(2), np.array([2], np.int8), np.array([2], np.float32)):
        slope = funcgrad.grad(lambda p, base=base: np.sum(base**p))(np.float64(1.5))
        np.testing.assert_allclose(slope, 2.0**1.5 * math.log(2.0), rtol=1e-15)


def test_power_of_a_boolean_exponent() -> None:
    mask = np.array([True, False])
    np.testing.assert_array_equal(funcgrad.grad(lambda x: (x**mask).sum())(np.array([3.0, 3.0])), [1.0, 0.0])


def test_operands_of_few_bits_are_not_squared_in_them() -> None:
    slope = funcgrad.grad(lambda x: np.arctan2(np.int8(100), x))(np.float64(100.0))
    np.testing.assert_allclose(slope, -100 / 20000)


# Complex numbers ------------------------------------------------------------------------------------------------------


def pulled(f: Any, z: Any) -> Any:
    """The cotangent of z for a real result."""
    return funcgrad.vjp(f, z)[1](1.0)[0]


def test_absolute_of_zero_has_derivative_zero() -> None:
    for f in (np.abs, abs, np.angle, lambda z: np.abs(np.sign(z) + z) ** 2):
        for zero in (0j, np.complex128(0), np.complex64(0)):
            assert pulled(f, zero) == 0
    assert pulled(np.abs, np.complex64(3 - 4j)).dtype == np.complex64


def test_absolute_of_complex_equals_its_parts() -> None:
    z = np.array([3.0 - 4.0j, -1.0j, 2.0 + 0j])
    expected = funcgrad.grad(lambda x, y: np.hypot(x, y).sum(), argnums=BOTH)(z.real, z.imag)
    np.testing.assert_allclose(pulled(lambda z: np.abs(z).sum(), z), expected[0] - 1j * expected[1])


HOLOMORPHIC = [
    *(np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt, np.square, np.reciprocal),
    *(np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.tanh),
    *(np.arcsinh, np.arccosh, np.arctanh),
    *(lambda z: z**2.5, lambda z: z**-2, lambda z: 2.0**z, lambda z: z**z, lambda z: np.power(z, 1j)),
]


@pytest.mark.parametrize("f", HOLOMORPHIC)
def test_holomorphic_function_in_every_quadrant_equals_differences(f: Any) -> None:
    for x, y in itertools.product((-1.7, -0.4, 0.4, 1.7), (-1.3, -0.3, 0.3, 1.3)):
        z, h = complex(x, y), 1e-5
        difference = (f(np.complex128(z + h)) - f(np.complex128(z - h))) / (2 * h)
        for point in (z, np.complex128(z)):
            slope = funcgrad.grad(f, holomorphic=True)(point)
            np.testing.assert_allclose(slope, difference, rtol=1e-7, atol=1e-7)
        slope = funcgrad.grad(f, holomorphic=True)(np.complex64(z))
        assert slope.dtype == np.complex64
        np.testing.assert_allclose(slope, difference, rtol=2e-4, atol=1e-4)


# Weak types, dtypes, linearity ----------------------------------------------------------------------------------------


def test_single_precision_is_kept_at_every_order() -> None:
    x = np.array([0.3, 0.6], np.float32)
    for f in (np.hypot, np.arctan2, np.logaddexp, np.maximum, np.power, np.remainder, np.copysign, np.fmod):
        g = lambda x, f=f: f(x, x[::-1] + 1).sum()
        assert funcgrad.grad(g)(x).dtype == np.float32
        assert funcgrad.hessian(g)(x).dtype == np.float32
        assert funcgrad.grad(lambda x, f=f: f(x, 0.7).sum())(x).dtype == np.float32


def test_weak_types_of_python_booleans_and_numbers() -> None:
    for f in (lambda x: x * True, lambda x: (x + 1) * 2 - False, lambda x: abs(-x) ** 2 // 1 % 3 * np.float32(2)):
        jaxpr = funcgrad.make_jaxpr(f)(3.0)
        plain = f(3.0)
        assert jaxpr.out_avals[0].dtype == np.result_type(plain)
        assert jaxpr.out_avals[0].weak_type == (type(plain) is float)


LINEAR = [
    (lambda x: x + x, True),
    (lambda x: 3.0 * x - x / 2.0, True),
    (lambda x: -(+x), True),
    (lambda x: np.deg2rad(np.degrees(x)), True),
    (lambda x: np.ldexp(x, 2), True),
    (lambda x: x * x, False),
    (lambda x: 1.0 / x, False),
    (lambda x: abs(x), False),
    (lambda x: np.maximum(x, 0.0), False),
]


@pytest.mark.parametrize(("f", "linear"), LINEAR)
def test_linear_transpose_takes_what_is_linear(f: Any, linear: bool) -> None:
    x = np.array([1.0, 2.0])
    if not linear:
        with pytest.raises(TypeError, match="not linear"):
            funcgrad.linear_transpose(f, x)
        return
    (x_ct,) = funcgrad.linear_transpose(f, x)(np.array([1.0, 1.0]))
    np.testing.assert_allclose(x_ct, f(np.ones(2)))


def test_conjugate_and_parts_are_real_linear() -> None:
    z = np.array([1.0 + 2.0j])
    (ct,) = funcgrad.linear_transpose(lambda z: np.conj(z) * 2.0, z)(np.array([1.0 + 1.0j]))
    np.testing.assert_array_equal(ct, [2.0 - 2.0j])
    (ct,) = funcgrad.linear_transpose(lambda z: z.real + 3.0 * z.imag, z)(np.array([1.0]))
    np.testing.assert_array_equal(ct, [1.0 - 3.0j])


def test_special_functions_have_every_order() -> None:
    for f, x, expected in (
        (lambda x: special.polygamma(x, 0), 1.0, (math.pi**2 / 6, -2.4041138063191886, math.pi**4 / 15)),
        (special.erf, 0.0, (2 / math.sqrt(math.pi), 0.0, -4 / math.sqrt(math.pi))),
        (lambda x: special.bessel_i(x, 0), 0.0, (0.0, 0.5, 0.0)),
    ):
        for slope in expected:
            f = funcgrad.grad(f)
            np.testing.assert_allclose(f(x), slope, rtol=1e-12, atol=1e-14)
