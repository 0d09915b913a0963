"""Where reductions have kinks, poles and infinities: what the laws of the table keep away from."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.primitives import cumulative, extrema, reductions, softmax, sorting

INF, NAN = np.inf, np.nan
DTYPES = (np.float64, np.float32)


def vector(*values: float, dtype: Any = np.float64) -> Any:
    return np.array(values, dtype)


def gradient(f: Any, x: Any) -> Any:
    y, pull = funcgrad.vjp(f, x)
    return pull(np.ones_like(y))[0]


def equal(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-14)


# Products -----------------------------------------------------------------------------------------------------------

ZEROS = [
    vector(2.0, 3.0, 0.0, 5.0),
    vector(2.0, 0.0, 0.0, 5.0),
    vector(0.0, 0.0, 0.0, 5.0),
    vector(0.0, 0.0, 0.0, 0.0),
    vector(2.0, -3.0, 0.5, 5.0),
    vector(1e-200, 1e-200, 1e200, 3.0),
]


def product_without(x: Any, *places: int) -> float:
    return float(np.prod(np.delete(x, places)))


def product(x: Any) -> Any:
    return reductions.reduce_prod(x, (0,))


@pytest.mark.parametrize("x", ZEROS, ids=str)
def test_prod_with_zeros_gradient_is_the_product_of_the_others(x: Any) -> None:
    expected = [product_without(x, i) for i in range(4)]
    equal(gradient(product, x), expected)
    for i in range(4):
        equal(funcgrad.jvp(product, (x,), (np.eye(4)[i],))[1], expected[i])


@pytest.mark.parametrize("x", ZEROS, ids=str)
def test_prod_with_zeros_hessian_is_the_product_of_the_others(x: Any) -> None:
    expected = [[0.0 if i == j else product_without(x, i, j) for j in range(4)] for i in range(4)]
    equal(funcgrad.jacfwd(funcgrad.jacrev(product))(x), expected)
    equal(funcgrad.jacrev(funcgrad.jacfwd(product))(x), expected)
    equal(funcgrad.jacrev(funcgrad.jacrev(product))(x), expected)


def test_prod_with_three_zeros_third_derivative_is_exact() -> None:
    x = vector(0.0, 0.0, 0.0, 5.0)
    third = funcgrad.jacfwd(funcgrad.jacrev(funcgrad.jacfwd(product)))(x)
    for i, j, k in itertools.permutations(range(3)):
        assert third[i, j, k] == 5.0


def test_prod_over_several_axes_with_zeros_is_exact() -> None:
    x = np.arange(12.0).reshape(2, 3, 2) - 5.0
    actual = gradient(lambda x: reductions.reduce_prod(x, (0, 2)), x)
    flat = np.moveaxis(x, 1, 0).reshape(3, 4)
    expected = [[product_without(row, i) for i in range(4)] for row in flat]
    equal(np.moveaxis(actual, 1, 0).reshape(3, 4), expected)


def test_prod_of_nothing_is_one() -> None:
    assert product(np.empty(0)) == 1.0
    assert gradient(product, np.empty(0)).shape == (0,)


@pytest.mark.parametrize("x", ZEROS, ids=str)
def test_cumprod_with_zeros_jacobian_is_exact(x: Any) -> None:
    expected = [[product_without(x[: k + 1], i) if i <= k else 0.0 for i in range(4)] for k in range(4)]
    equal(funcgrad.jacrev(lambda x: cumulative.cumprod(x, 0))(x), expected)
    equal(funcgrad.jacfwd(lambda x: cumulative.cumprod(x, 0))(x), expected)


# Extrema ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_with_ties_gradient_is_split_evenly(dtype: Any) -> None:
    x = vector(3.0, 1.0, 3.0, 3.0, dtype=dtype)
    actual = gradient(lambda x: extrema.reduce_max(x, (0,)), x)
    assert actual.dtype == dtype
    equal(actual, vector(1 / 3, 0.0, 1 / 3, 1 / 3, dtype=dtype))
    equal(gradient(lambda x: extrema.reduce_min(x, (0,)), x), [0.0, 1.0, 0.0, 0.0])


def test_max_with_nan_gradient_goes_to_the_nans() -> None:
    x = np.array([[1.0, NAN, NAN], [1.0, 2.0, 0.0]])
    equal(gradient(lambda x: extrema.reduce_max(x, (1,)), x), [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]])


def test_max_second_derivative_is_zero() -> None:
    x = vector(3.0, 1.0, 3.0)
    equal(funcgrad.hessian(lambda x: extrema.reduce_max(x, (0,)))(x), np.zeros((3, 3)))


def test_max_of_nothing_raises_as_numpy() -> None:
    for f in (lambda x: extrema.reduce_max(x, (0,)), lambda x: extrema.argmax(x, 0)):
        with pytest.raises(ValueError, match=r"zero-size array|empty sequence"):
            f(np.empty((0, 2)))
        with pytest.raises(ValueError, match=r"zero-size array|empty sequence"):
            funcgrad.eval_shape(f, np.empty((0, 2)))
    assert extrema.reduce_max(np.empty((2, 0)), (0,)).shape == (0,)


def test_cummax_with_ties_jacobian_is_split_evenly() -> None:
    x = vector(1.0, 1.0, 0.0, 2.0, NAN, 3.0)
    rows = [[1, 0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]]
    nan_rows = [[0, 0, 0, 0, 1, 0]] * 2
    for jacobian in (funcgrad.jacrev, funcgrad.jacfwd):
        equal(jacobian(lambda x: cumulative.cummax(x, 0))(x), [*rows, *nan_rows])


# Sorting ------------------------------------------------------------------------------------------------------------


def test_sort_with_ties_jacobian_is_the_mean_of_all_orders() -> None:
    x = vector(2.0, 1.0, 2.0, 0.0, 2.0)
    shared = [1 / 3, 0, 1 / 3, 0, 1 / 3]
    expected = [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0], shared, shared, shared]
    for jacobian in (funcgrad.jacrev, funcgrad.jacfwd):
        equal(jacobian(lambda x: sorting.sort(x, 0))(x), expected)


def test_partition_with_ties_jacobian_follows_the_elements() -> None:
    x = vector(2.0, 1.0, 2.0, 0.0, 2.0)
    y = sorting.partition(x, (1,), 0)
    rows = {0.0: [0, 0, 0, 1, 0], 1.0: [0, 1, 0, 0, 0], 2.0: [1 / 3, 0, 1 / 3, 0, 1 / 3]}
    for jacobian in (funcgrad.jacrev, funcgrad.jacfwd):
        equal(jacobian(lambda x: sorting.partition(x, (1,), 0))(x), [rows[value] for value in y])


def test_sort_with_nan_jacobian_is_a_permutation() -> None:
    x = vector(NAN, 1.0, NAN, 0.0)
    jacobian = funcgrad.jacrev(lambda x: sorting.sort(x, 0))(x)
    equal(jacobian.sum(0), np.ones(4))
    equal(jacobian[:2], [[0, 0, 0, 1], [0, 1, 0, 0]])


# Norm, root ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_norm_of_zero_derivatives_are_zero(flat: bool, dtype: Any) -> None:
    x = np.zeros(3, dtype)

    def f(x: Any) -> Any:
        return reductions.norm(x, (0,), False, flat)

    assert gradient(f, x).dtype == dtype
    equal(gradient(f, x), np.zeros(3))
    if x.dtype.kind == "f":
        equal(funcgrad.hessian(f)(x), np.zeros((3, 3)))


def test_norm_with_a_zero_row_gradient_is_exact_in_all_rows() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    equal(gradient(lambda x: reductions.norm(x, (1,)), x), [[0.6, 0.8], [0.0, 0.0]])


def test_norm_of_a_complex_vector_gradient_is_its_conjugate_direction() -> None:
    x = np.array([3.0 + 4.0j, 0.0])
    equal(gradient(lambda x: reductions.norm(x, (0,)), x), [0.6 - 0.8j, 0.0])


def test_norm_of_a_scalar_is_its_magnitude() -> None:
    assert reductions.norm(-2.0, ()) == 2.0
    assert funcgrad.grad(lambda x: reductions.norm(x, ()))(-2.0) == -1.0


def test_root_at_zero_derivatives_are_zero() -> None:
    assert funcgrad.grad(reductions.root)(0.0) == 0.0
    assert funcgrad.grad(funcgrad.grad(reductions.root))(0.0) == 0.0


# logsumexp ----------------------------------------------------------------------------------------------------------

LOGSUMEXP = [
    # x, logsumexp, softmax
    ([0.0, 0.0], np.log(2.0), [0.5, 0.5]),
    ([1000.0, 1000.0], 1000.0 + np.log(2.0), [0.5, 0.5]),
    ([-1000.0, -1000.0], -1000.0 + np.log(2.0), [0.5, 0.5]),
    ([-INF, 3.0], 3.0, [0.0, 1.0]),
    ([-INF, -INF], -INF, [0.0, 0.0]),
    ([INF, 1.0], INF, [1.0, 0.0]),
    ([INF, INF], INF, [0.5, 0.5]),
    ([INF, -INF], INF, [1.0, 0.0]),
    ([NAN, 1.0], NAN, [NAN, NAN]),
    ([NAN, -INF], NAN, [NAN, NAN]),
    ([0.0, -40.0], np.log1p(np.exp(-40.0)), [1.0, np.exp(-40.0)]),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("x", "value", "weights"), LOGSUMEXP, ids=[str(x) for x, _, _ in LOGSUMEXP])
def test_logsumexp_of_extremes_and_its_gradient_are_exact(x: Any, value: float, weights: Any, dtype: Any) -> None:
    x, tolerance = np.array(x, dtype), 1e-15 if dtype is np.float64 else 1e-7

    def f(x: Any) -> Any:
        return softmax.logsumexp(x, (0,))

    assert f(x).dtype == dtype
    np.testing.assert_allclose(f(x), value, rtol=tolerance, atol=0)
    for actual in (gradient(f, x), softmax.softmax(x, (0,)), funcgrad.jacfwd(f)(x)):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, weights, rtol=4 * tolerance, atol=0)


def test_logsumexp_with_infinite_rows_keeps_the_others_exact() -> None:
    x = np.array([[1.0, 2.0], [-INF, -INF], [INF, 0.0], [-INF, 5.0]])
    np.testing.assert_allclose(softmax.logsumexp(x, (1,)), [np.logaddexp(1, 2), -INF, INF, 5.0], rtol=1e-15)
    rows = gradient(lambda x: softmax.logsumexp(x, (1,)), x)
    equal(rows[1:], [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_logsumexp_with_minus_infinity_hessian_has_no_nan() -> None:
    hessian = funcgrad.hessian(lambda x: softmax.logsumexp(x, (0,)))(vector(-INF, 0.0, 0.0))
    equal(hessian, [[0.0, 0.0, 0.0], [0.0, 0.25, -0.25], [0.0, -0.25, 0.25]])


def test_logsumexp_of_nothing_is_minus_infinity() -> None:
    assert softmax.logsumexp(np.empty(0), (0,)) == -INF
    assert softmax.logsumexp(np.empty((2, 0)), (1,)).tolist() == [-INF, -INF]
    assert gradient(lambda x: softmax.logsumexp(x, (0,)), np.empty(0)).shape == (0,)
