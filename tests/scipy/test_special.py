"""`funcgrad.scipy.special`: SciPy's values and derivatives, by its own names and by ours, compiled and not."""

from __future__ import annotations

import warnings
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, TracedConversionError
from funcgrad.scipy import special
from funcgrad.testing import check_grads

INF, NAN = np.inf, np.nan
REALS = np.array([-INF, -800.0, -30.0, -2.5, -0.5, -0.0, 0.0, 1e-9, 0.5, 2.5, 30.0, 800.0, INF, NAN])
UNIT = np.array([-0.5, 0.0, 1e-300, 1e-9, 0.2, 0.3, 0.499999, 0.5, 0.65, 0.9, 1 - 1e-12, 1.0, 1.5, NAN])
POSITIVE = np.array([1e-9, 0.3, 1.0, 2.5, 30.0, 170.0, INF, NAN])
UNARY = {
    **dict.fromkeys(["expit", "log_expit", "erf", "erfc", "erfcx", "ndtr", "log_ndtr", "entr", "i0e", "i1e"], REALS),
    **dict.fromkeys(["expm1", "exp2", "cbrt"], REALS),
    **dict.fromkeys(["logit", "ndtri", "erfcinv", "log1p"], UNIT),
    "erfinv": 2 * UNIT - 1,
    **dict.fromkeys(["gamma", "gammaln", "digamma", "psi"], POSITIVE),
    **dict.fromkeys(["i0", "i1", "j0", "j1"], REALS[2:-3]),
}
BINARY = ["xlogy", "xlog1py", "rel_entr", "kl_div", "betaln", "beta"]


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_have_values_of_scipy(name: str) -> None:
    x, reference, function = UNARY[name], getattr(scipy.special, name), getattr(special, name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = reference(x)
        jitted = fg.jit(lambda x: reference(x))
        for y in (function(x), fg.vmap(function)(x), jitted(x), jitted(x), jitted(x)):
            np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-300)
        assert function(np.float32(0.7)).dtype == np.float32
        assert function(list(x[3:5])).shape == (2,)


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_of_scipy_have_derivatives_by_their_own_names(name: str) -> None:
    f = getattr(scipy.special, name)
    point = 0.3 if UNARY[name] is UNIT else 0.8
    check_grads(f, (np.array([point, point / 2]),), order=2)


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_have_values_of_scipy_and_derivatives(name: str) -> None:
    reference, function = getattr(scipy.special, name), getattr(special, name)
    edges = np.array([0.0, 1e-300, 0.3, 1.0, 2.5, NAN]) + (0.1 if "beta" in name else 0.0)
    x, y = np.meshgrid(edges, edges)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        jitted = fg.jit(lambda x, y: reference(x, y))
        for z in (function(x, y), jitted(x, y), jitted(x, y), jitted(x, y)):
            np.testing.assert_allclose(z, reference(x, y), rtol=1e-13)
    check_grads(reference, (np.array([0.3, 2.0]), np.array([1.5, 0.7])), order=2)


def test_products_with_logarithms_have_slope_zero_where_they_are_zero() -> None:
    for f in (scipy.special.xlogy, scipy.special.rel_entr, scipy.special.xlog1py):
        y = np.array([2.0, 0.5])
        assert fg.grad(lambda y, f=f: np.sum(f(np.zeros(2), y)))(y).tolist() == [0.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fg.grad(lambda y: special.xlogy(0.0, y))(0.0) == 0.0


def test_slope_of_log_ndtr_is_right_in_both_tails() -> None:
    slopes = fg.vmap(fg.grad(scipy.special.log_ndtr))(np.array([-1e6, -40.0, 0.0, 40.0, 1e6]))
    with mpmath.workdps(30):
        expected = [float(mpmath.npdf(x) / mpmath.ncdf(x)) for x in (-1e6, -40, 0)]
    np.testing.assert_allclose(slopes[:3], expected, rtol=1e-14)
    assert slopes[4] == 0.0


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
def test_softmax_and_its_relatives_equal_those_of_scipy(axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)) * 10
    b = np.random.default_rng(1).uniform(0.1, 2.0, size=(4,))
    for f, reference in [
        (lambda x: special.softmax(x, axis), lambda x: scipy.special.softmax(x, axis)),
        (lambda x: special.log_softmax(x, axis), lambda x: scipy.special.log_softmax(x, axis)),
        (lambda x: special.logsumexp(x, axis), lambda x: scipy.special.logsumexp(x, axis)),
        (
            lambda x: special.logsumexp(x, axis, keepdims=True),
            lambda x: scipy.special.logsumexp(x, axis, keepdims=True),
        ),
        (lambda x: special.logsumexp(x, axis, b), lambda x: scipy.special.logsumexp(x, axis, b=b)),
    ]:
        jitted = fg.jit(f)
        for y in (f(x), jitted(x), jitted(x), jitted(x)):
            np.testing.assert_allclose(y, reference(x), rtol=1e-12)
            assert np.shape(y) == np.shape(reference(x))
        check_grads(f, (x / 10,), order=2)


def test_logsumexp_of_infinities_factors_and_signs_equals_that_of_scipy() -> None:
    for a in ([-INF, -INF], [INF, 0.0], [1000.0, 1000.0], [-INF, 0.0], [NAN, 1.0]):
        np.testing.assert_allclose(special.logsumexp(a), scipy.special.logsumexp(a))
    a, b = np.array([1.0, 2.0, INF]), np.array([1.0, -3.0, 0.0])
    for result, expected in zip(
        special.logsumexp(a[:2], b=b[:2], return_sign=True),
        scipy.special.logsumexp(a[:2], b=b[:2], return_sign=True),
        strict=True,
    ):
        np.testing.assert_allclose(result, expected)
    np.testing.assert_allclose(special.logsumexp(a, b=abs(b)), np.log(np.e + 3 * np.e**2))
    assert special.logsumexp(np.zeros(0)) == -INF
    np.testing.assert_array_equal(special.log_softmax([-INF, 0.0]), [-INF, 0.0])
    np.testing.assert_array_equal(fg.grad(lambda x: special.log_softmax(x)[1])(np.array([-INF, 0.0])), [0.0, 0.0])


def test_functions_with_an_order_equal_those_of_scipy() -> None:
    x = np.array([0.4, 1.5, 7.0])
    for n in range(4):
        np.testing.assert_allclose(special.polygamma(n, x), scipy.special.polygamma(n, x), rtol=1e-13)
    np.testing.assert_allclose(special.multigammaln(x + 2, 3), scipy.special.multigammaln(x + 2, 3), rtol=1e-13)
    check_grads(lambda x: special.multigammaln(x, 3), (x + 2,), order=2)
    check_grads(lambda x: special.polygamma(1, x), (x,), order=2)
    for bad in (-1, 1.5, np.array([1, 2])):
        with pytest.raises(ArgumentError, match="polygamma got the order"):
            special.polygamma(bad, x)
    with pytest.raises(ArgumentError, match="multigammaln got d=0"):
        special.multigammaln(x, 0)


def test_function_that_scipy_writes_in_python_names_ours() -> None:
    with pytest.raises(TracedConversionError, match=r"funcgrad\.scipy\.special\.logsumexp"):
        fg.grad(lambda x: scipy.special.logsumexp(x))(np.ones(3))
