"""Branches of derivative rules that the laws' examples do not reach; found by `python -m tests.mutation`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
import funcgrad.numpy
from funcgrad.testing import check_grads, check_laws
from funcgrad.testing.differences import differences
from funcgrad.testing.laws import close
from funcgrad.testing.tolerances import DIFFERENCES


@pytest.mark.parametrize("point", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -2.0), (3.0, 0.0)])
def test_polar_coordinates_on_the_axes_have_their_derivatives(point: tuple[float, float]) -> None:
    x1, x2 = point
    square = x1 * x1 + x2 * x2
    np.testing.assert_allclose(fg.grad(np.arctan2, (0, 1))(x1, x2), (x2 / square, -x1 / square), atol=1e-15)
    np.testing.assert_allclose(fg.grad(np.hypot, (0, 1))(x1, x2), (x1 / np.sqrt(square), x2 / np.sqrt(square)))


def test_polar_coordinates_at_the_origin_have_zero_derivatives() -> None:
    assert fg.grad(np.hypot, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert fg.grad(np.arctan2, (0, 1))(0.0, 0.0) == (0.0, 0.0)


def test_sum_of_a_large_array_has_ones_as_its_gradient() -> None:
    x = np.linspace(0, 1, 5000)
    np.testing.assert_array_equal(fg.grad(np.sum)(x), np.ones(5000))
    np.testing.assert_array_equal(fg.grad(lambda u: np.sum(u.astype(np.float32)))(x), np.ones(5000))


def test_bincount_of_three_rows_of_weights_pulls_each_row_back() -> None:
    bins = np.array([0, 2, 2, 1])
    weights = np.arange(12.0).reshape(3, 4)
    scale = np.arange(1.0, 10.0).reshape(3, 3)
    f = fg.vmap(lambda row, s: np.bincount(bins, row, 3) @ s)
    actual = fg.grad(lambda w: np.sum(f(w, scale)))(weights)
    np.testing.assert_array_equal(actual, scale[:, bins])


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_of_rows_pulls_each_row_back(mode: Any) -> None:
    x, kernel = np.arange(10.0).reshape(2, 5), np.array([1.0, -2.0, 3.0])
    check_laws(fg.vmap(lambda row, k: np.convolve(row, k, mode), (0, None)), (x, kernel), ["differences", "adjoint"])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_eigenvectors_turn_as_those_of_lapack(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x = np.diag([1.0, 2.0, 4.0]) + 0.4 * rng.standard_normal((3, 3))
    if dtype is np.complex128:
        x = x + 0.4j * rng.standard_normal((3, 3))
    x = x.astype(dtype)
    t = rng.standard_normal((3, 3)).astype(dtype)
    expected = differences(lambda a: list(np.linalg.eig(a)), [x], [t], levels=6, largest=1e-2)
    (w, v), (w_dot, v_dot) = fg.jvp(np.linalg.eig, (x,), (t,))
    close(w_dot, expected.values[0], DIFFERENCES, w)
    close(v_dot, expected.values[1], DIFFERENCES, v)


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh", "pinv"])
def test_functions_of_hermitian_matrices_see_the_hermitian_part_of_a_tangent(name: str) -> None:
    f: Any = getattr(np.linalg, name) if name != "pinv" else lambda a: np.linalg.pinv(a, hermitian=True)
    rng = np.random.default_rng(1)
    x = np.diag([1.0, 2.0, 4.0]) + 0.1
    t = rng.standard_normal((3, 3))
    skewed, even = (fg.jvp(f, (x,), (direction,))[1] for direction in (t, (t + t.T) / 2))
    for a, b in zip(fg.tree.leaves(skewed), fg.tree.leaves(even), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_running_maximum_splits_a_tie_evenly() -> None:
    x = np.array([1.0, 3.0, 3.0, 2.0])
    actual = fg.jvp(np.maximum.accumulate, (x,), (np.array([1.0, 10.0, 100.0, 1000.0]),))[1]
    np.testing.assert_array_equal(actual, [1.0, 10.0, 55.0, 55.0])


@pytest.mark.parametrize("initial", [1.0, 2.0, 3.0])
def test_product_with_an_initial_factor_has_it_in_its_derivative(initial: float) -> None:
    x = np.array([2.0, 5.0, 0.0])
    expected = initial * np.array([0.0, 0.0, 10.0])
    np.testing.assert_array_equal(fg.grad(lambda u: np.prod(u, initial=initial))(x), expected)


@pytest.mark.parametrize("exponent", [0, 0.0, 1, 0.5, 1.0, 2, 3, -1, np.array(0.5), np.array([0, 1, 2])])
def test_power_of_every_kind_of_exponent_has_its_derivative(exponent: Any) -> None:
    x = np.array([0.7, 1.0, 2.0])
    check_grads(lambda u: u**exponent, (x,))
    check_grads(lambda u: np.power(u, exponent), (x,))


@pytest.mark.parametrize("zero", [0, 0.0, np.float64(0.0)])
def test_root_of_zero_has_an_infinite_slope_and_no_error(zero: Any) -> None:
    with np.errstate(divide="ignore"):
        assert fg.grad(lambda x: x**0.25, allow_int=True)(zero) == np.inf
        assert fg.jvp(lambda x: x**0.25, (float(zero),), (1.0,)) == (0.0, np.inf)


def test_power_at_zero_is_constant_in_the_exponent() -> None:
    assert fg.grad(lambda p: np.power(0.0, p))(2.0) == 0.0
    assert fg.grad(lambda x: np.power(x, 0.0))(0.0) == 0.0
    assert fg.grad(lambda x: x**1.0)(0.0) == 1.0


def test_larger_of_nan_and_a_number_goes_to_the_number() -> None:
    for f, other in ((np.fmax, -np.inf), (np.fmin, np.inf)):
        assert fg.grad(f, (0, 1))(2.0, np.nan) == (1.0, 0.0)
        assert fg.grad(f, (0, 1))(np.nan, 2.0) == (0.0, 1.0)
        assert fg.grad(f, (0, 1))(2.0, other) == (1.0, 0.0)
        assert fg.grad(f, (0, 1))(2.0, 2.0) == (0.5, 0.5)


def test_step_function_at_its_step_has_the_derivative_of_its_value_there() -> None:
    assert fg.grad(np.heaviside, (0, 1))(0.0, 0.3) == (0.0, 1.0)
    assert fg.grad(np.heaviside, (0, 1))(1.0, 0.3) == (0.0, 0.0)


@pytest.mark.parametrize("x1", [7.3, -7.3, 0.5])
@pytest.mark.parametrize("x2", [2.0, -2.0])
def test_remainder_of_larger_numbers_counts_the_divisor(x1: float, x2: float) -> None:
    assert fg.grad(np.fmod, (0, 1))(x1, x2) == (1.0, -np.trunc(x1 / x2))
    assert fg.grad(np.remainder, (0, 1))(x1, x2) == (1.0, -np.floor(x1 / x2))


@pytest.mark.parametrize("x", [0.3, 5.0, 1000.0, -3.0])
def test_mantissa_has_the_power_of_two_in_its_derivative(x: float) -> None:
    assert fg.grad(lambda u: np.frexp(u)[0])(x) == np.frexp(x)[0] / x


@pytest.mark.parametrize(
    "shapes", [((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3, 2)), ((3,), (4, 3, 2)), ((2, 3), (4, 3, 2))]
)
def test_matmul_of_all_ranks_pulls_back(shapes: Any) -> None:
    rng = np.random.default_rng(0)
    args = tuple(rng.standard_normal(shape) for shape in shapes)
    check_laws(np.matmul, args, ["differences", "adjoint", "vmap"])


def test_roots_and_norms_at_zero_have_zero_derivatives() -> None:
    np.testing.assert_array_equal(fg.grad(np.linalg.norm)(np.zeros(3)), np.zeros(3))
    assert fg.grad(lambda z: np.abs(z[0] + 1j * z[1]))(np.zeros(2)).tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(fg.grad(lambda x: np.linalg.norm(x, 3))(np.zeros(3)), np.zeros(3))
    y_dot = fg.jvp(np.sign, (np.zeros(2, complex),), (np.ones(2, complex),))[1]
    np.testing.assert_array_equal(y_dot, np.zeros(2))


def test_standard_deviation_of_equal_numbers_has_zero_derivatives() -> None:
    np.testing.assert_array_equal(fg.grad(np.std)(np.full(3, 2.0)), np.zeros(3))


def test_singular_value_zero_keeps_the_others_derivatives_finite() -> None:
    x, t = np.diag([2.0, 0.0]), np.array([[1.0, 0.5], [0.25, 0.0]])
    (_, s, _), (u_dot, s_dot, vh_dot) = fg.jvp(np.linalg.svd, (x,), (t,))
    assert all(np.isfinite(part).all() for part in (u_dot, s_dot, vh_dot))
    np.testing.assert_allclose(s_dot, [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(s, [2.0, 0.0])


@pytest.mark.parametrize("method", ["max", "min"])
def test_extremum_that_is_nan_is_nobodys_and_its_derivative_zero(method: str) -> None:
    index = np.array([0, 1])

    def f(x, v):
        return getattr(fg.numpy.at(x)[index], method)(v)

    x, v = np.array([1.0, 2.0]), np.array([np.nan, 5.0 if method == "max" else 0.0])
    for argnum in (0, 1):
        directions = [np.ones(2) if argnum == i else np.zeros(2) for i in (0, 1)]
        with np.errstate(invalid="ignore"):  # as np.maximum.at warns
            y_dot = fg.jvp(f, (x, v), tuple(directions))[1]
        assert np.isfinite(y_dot).all()
        assert y_dot[1] == argnum
