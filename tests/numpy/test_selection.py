"""NumPy's selecting functions of traced arrays: its results, bit for bit, derivatives, and branches not taken."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

RNG = np.random.default_rng(6)


def draw(*shape):
    return RNG.standard_normal(shape)


V, W = draw(4), draw(4)
M = draw(3, 4)
MASK = np.array([True, False, False, True])
NUMBERS = np.array([0, 2, 1, 2])
S = np.float64(0.7)
SINGLE = draw(4).astype("f4")
GRID = np.array([-1.0, 0.0, 0.5, 2.0])

CALLS = {
    "where": (lambda x, y: (np.where(x > 0, x, y), np.where(MASK, x, 0.0), np.where(x > y, 1.0, y)), [V, W]),
    "where-broadcast": (lambda x, y: (np.where(x > 0, y, x), np.where(x[:, None] > 0, y[0], 2.0)), [V, M]),
    "where-scalar": (lambda x: (np.where(x > 0, x, 1), np.where(True, x, 1), np.where(x < 0, x, -x)), [S]),
    "where-truth": (lambda x: (np.where(x, x, 1.0), np.where([1, 0, 0, 2], x, [1, 2, 3, 4]), np.where(1, x, x)), [V]),
    "where-one": (lambda x: np.where(x > 0), [V]),
    "select": (
        lambda x, y: (
            np.select([x > 1, x > 0], [x, y * x], 5.0),
            np.select([MASK], [x]),
            np.select([x > y, MASK], [1, y]),
        ),
        [V, W],
    ),
    "select-broadcast": (lambda x, y: np.select([y > 0.5, x > 0], [x, y], x), [V, M]),
    "choose": (lambda x, y: (np.choose(NUMBERS, [x, y, 1.0]), np.choose(MASK, (x, y))), [V, W]),
    "choose-modes": (
        lambda x: (np.choose(NUMBERS - 1, x, mode="wrap"), np.choose(NUMBERS + 1, x, mode="clip"), np.choose(0, x)),
        [M],
    ),
    "piecewise": (
        lambda x: (
            np.piecewise(x, [x < 0, x > 0.5], [lambda v: -v, lambda v: v**2, 3.0]),
            np.piecewise(x, [x < 0, x >= 0], [1, np.sin]),
            np.piecewise(x, x > 0, [lambda v, k: v * k, lambda v, k: v + k], 2.0),
            np.piecewise(x, [MASK], [7.0, lambda v: v.sum()]),
        ),
        [V],
    ),
    "piecewise-scalar": (lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, np.sin]), [np.array(0.7)]),
    "clip": (lambda x: (np.clip(x, -0.5, 0.8), x.clip(0, 1), np.clip(x, None, 0.3), np.clip(x, min=-0.1)), [M]),
    "clip-arrays": (lambda x, a, b: (np.clip(x, a, b), np.clip(x, b, a), np.clip(0.1, a, b)), [M, V, W]),
    "clip-nothing": (lambda x: (np.clip(x, None, None), x.clip(min=None, max=0.2)), [V]),
    "clip-scalar": (lambda x: (np.clip(x, 0, 1), np.clip(x, 0.9, 1), np.clip(2.0, x, 9), np.clip(0.0, -1, x)), [S]),
    "compress": (
        lambda x: (np.compress(MASK, x, 1), np.compress([1, 0, 1], x, axis=0), np.compress(MASK, x), x.compress([1])),
        [M],
    ),
    "extract": (lambda x: (np.extract(M > 0, x), np.extract(MASK, x)), [M]),
    "interp": (
        lambda x, f: (np.interp(x, GRID, f), np.interp(x, GRID, f, left=7.0, right=-7.0), np.interp(0.2, GRID, f)),
        [np.array([-1.2, -0.3, 0.6, 1.9, 2.5]), V],
    ),
    "interp-traced-grid": (lambda x, g: np.interp(x, g, V), [np.array([-0.7, 0.2, 0.6, 1.9]), GRID]),
    "interp-period": (
        lambda x, f: np.interp(x, [190, -190, 350, -350], f, period=360),
        [np.array([-180.0, -20.0, 5.0, 185.0]), V],
    ),
}
NOT_BATCHED = {"where-one", "compress-traced"}  # their shapes depend on values


@pytest.mark.parametrize("name", CALLS)
def test_values_traced_arguments_equal_numpy(name):
    f, args = CALLS[name]
    expected = f(*args)
    assert_same(funcgrad.vjp(f, *args)[0], expected)
    if name not in NOT_BATCHED:
        assert_values(f, *args)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_traced_arguments_equal_differences(name):
    f, args = CALLS[name]
    assert_derivatives(f, *args, order=2)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in NOT_BATCHED])
def test_vmap_two_rows_equal_the_loop(name):
    f, args = CALLS[name]
    batches = [np.stack([x, 0.9 - x]) for x in args]
    if "grid" in name:
        batches[1] = np.stack([args[1], args[1] + 0.3])
    rows = [f(*row) for row in zip(*batches, strict=True)]
    batched = funcgrad.vmap(f)(*batches)
    if not isinstance(batched, (tuple, list)):
        rows, batched = [(row,) for row in rows], (batched,)
    if name == "piecewise":  # a sum over the elements of a piece needs them
        rows, batched = [row[:3] for row in rows], batched[:3]
    for i, y in enumerate(batched):
        for k in (0, 1):
            np.testing.assert_allclose(y[k], rows[k][i], rtol=1e-14, atol=1e-15)


def test_dtypes_weak_numbers_give_way():
    assert_values(lambda x: (np.where(x > 0, x, 1.0), np.where(x > 0, x, 1), np.where(x > 0, x, np.float64(1))), SINGLE)
    assert_values(
        lambda x: (np.select([x > 0], [x], 1.0), np.select([x > 0, MASK], [1.0, x]), np.clip(x, 0.1, 0.5)), SINGLE
    )
    assert_values(lambda x: (np.clip(x, np.float64(0.1), 0.5), np.choose(NUMBERS, [x, x, x])), SINGLE)


ERRORS = {
    "where-two": (lambda x: np.where(x > 0, x), V),
    "where-shapes": (lambda x: np.where(x > 0, x, np.ones(3)), V),
    "select-lengths": (lambda x: np.select([x > 0], [x, x]), V),
    "select-empty": (lambda x: np.select([], [], x), V),
    "select-numbers": (lambda x: np.select([x > 0, x], [x, x]), V),
    "choose-range": (lambda x: np.choose([0, 1, 5, 0], [x, x]), V),
    "choose-shapes": (lambda x: np.choose([0, 1], [x, x]), V),
    "piecewise": (lambda x: np.piecewise(x, [x > 0], [1, 2, 3]), V),
    "clip-one": (lambda x: np.clip(x, 1), V),
    "clip-both": (lambda x: np.clip(x, 1, 2, min=1), V),
    "clip-shapes": (lambda x: np.clip(x, np.ones(3), 1), V),
    "compress-rank": (lambda x: np.compress([[True]], x), V),
    "compress-axis": (lambda x: np.compress([True], x, 1), V),
    "interp-lengths": (lambda x: np.interp(x, [1, 2], [3]), V),
    "interp-period": (lambda x: np.interp(x, [1, 2], [3, 4], period=0), V),
    "interp-empty": (lambda x: np.interp(x, [], []), V),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_traced_argument_are_numpys(name):
    f, x = ERRORS[name]
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        f(x)
    with pytest.raises(type(expected.value)) as actual:
        funcgrad.vjp(f, x)
    assert str(actual.value) == str(expected.value)


# What is not selected has no influence -------------------------------------------------------------------------------


def _norm_or_zero(x):
    r = np.sqrt(np.sum(x**2))
    return np.where(r > 0, x / r, 0.0)


UNTAKEN = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), [0, 1, 0.5, 1 / 3], [0, -1, -0.25, -1 / 9]),
    "log-otherwise": (lambda x: np.where(x <= 0, 0.0, np.log(x)), [0, 1, 0.5, 1 / 3], [0, -1, -0.25, -1 / 9]),
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.5 / np.sqrt([np.inf, 1, 2, 3]), None),
    "sinc": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0), None, None),
    "reciprocal": (lambda x: x * np.where(x > 0, 1 / x, 0), [0, 0, 0, 0], [0, 0, 0, 0]),
    "power": (lambda x: np.where(x > 0, x**-1.5, 0.0), None, None),
    "chain": (lambda x: np.where(x > 0, np.exp(-1 / np.sqrt(np.log(x + 1))), 0.0), None, None),
    "reshaped": (lambda x: np.where(x > 0, np.log(x).reshape(2, 2).T.ravel().reshape(2, 2).T.ravel(), 0.0), None, None),
    "sliced": (lambda x: np.where(x[1:] > 1.5, np.log(x - 1)[1:], 0.0), None, None),
    "stacked": (lambda x: np.where([x > 0, x > 0], np.stack([np.log(x), 1 / x]), 0.0), None, None),
    "twice": (lambda x: np.where(x > 0, np.where(x < 9, np.log(x), x), 0.0), None, None),
    "both": (lambda x: np.where(x > 0, np.log(x), np.log(-np.where(x > 0, 1.0, x - 1))), None, None),
    "shared": (lambda x: np.where(x > 0, np.log(x), 0.0) + np.where(x > 0, np.log(x) ** 2, 1.0), None, None),
    "select": (lambda x: np.select([x > 2, x > 0], [np.log(x), 1 / x], 0.0), None, None),
    "flipped": (lambda x: np.where(x > 0, np.flip(np.roll(np.log(x), 1))[[2, 1, 0, 3]], 0.0), None, None),
    "gathered": (lambda x: np.where(x[[0, 2, 2]] > 0, np.log(x)[[0, 2, 2]], 0.0), None, None),
    "concatenated": (lambda x: np.where(np.append(x, 0) > 0, np.concatenate([np.log(x), x[:1]]), 0.0), None, None),
    "diagonal": (lambda x: np.where(np.diag(x) > 0, np.diag(np.log(x)), 0.0), None, None),
    "repeated": (lambda x: np.where(np.repeat(x, 2) > 0, np.repeat(1 / x, 2), 0.0), None, None),
    "mixed": (lambda x: np.where(x > 0, np.log(x) * x.astype(complex) + x[::-1] * 1j, 0.0).real, None, None),
    "row": (lambda x: np.where((x > 0)[:, None], 1 / x[:, None] + np.zeros(3), 0.0), None, None),
}
AT_ZERO = np.array([0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("name", UNTAKEN)
def test_where_untaken_branch_leaks_nothing(name):
    f, first, second = UNTAKEN[name]

    def scalar(x):
        return np.sum(f(x) * f(x) + f(x))

    def linear(x):
        return np.sum(f(x))

    with np.errstate(all="ignore"):
        for g in (linear, scalar):
            gradient = funcgrad.grad(g)(AT_ZERO)
            assert np.all(np.isfinite(gradient))
            np.testing.assert_allclose(funcgrad.jacfwd(g)(AT_ZERO), gradient, rtol=1e-13)
            near = np.array([0.3, *AT_ZERO[1:]])  # the other elements do not notice
            np.testing.assert_allclose(funcgrad.grad(g)(near)[1:], gradient[1:], rtol=1e-12)
            hessians = [funcgrad.jacfwd(funcgrad.grad(g)), funcgrad.jacrev(funcgrad.grad(g))]
            hessians += [funcgrad.jacrev(funcgrad.jacfwd(g)), funcgrad.hessian(g)]
            for hessian in hessians:
                np.testing.assert_allclose(hessian(AT_ZERO), hessians[0](AT_ZERO), rtol=1e-12, atol=1e-12)
                assert np.all(np.isfinite(hessian(AT_ZERO)))
        if first is not None:
            np.testing.assert_allclose(funcgrad.grad(linear)(AT_ZERO), first, rtol=1e-15)
        if second is not None:
            np.testing.assert_allclose(funcgrad.hessian(linear)(AT_ZERO), np.diag(second), rtol=1e-14)
        rows = np.stack([AT_ZERO, AT_ZERO[::-1] + 1])
        batched = funcgrad.vmap(funcgrad.grad(scalar))(rows)
        np.testing.assert_allclose(batched, [funcgrad.grad(scalar)(row) for row in rows], rtol=1e-12)
        np.testing.assert_allclose(
            funcgrad.jit(funcgrad.grad(scalar))(AT_ZERO), funcgrad.grad(scalar)(AT_ZERO), rtol=1e-13
        )


def test_where_behind_a_reduction_leaks_nothing():
    zeros = np.zeros(3)
    with np.errstate(all="ignore"):
        for transformation in (funcgrad.jacrev, funcgrad.jacfwd):
            assert_same(transformation(_norm_or_zero)(zeros), np.zeros((3, 3)))
            f = lambda x: np.where(np.sum(x) > 0, np.sum(np.sqrt(x)), 1.0)
            np.testing.assert_array_equal(transformation(f)(zeros), zeros)


def test_where_third_derivative_leaks_nothing():
    with np.errstate(all="ignore"):
        f = funcgrad.grad(funcgrad.grad(funcgrad.grad(lambda x: np.where(x > 0, np.log(x), 0.0))))
        assert (f(0.0), f(2.0)) == (0.0, 0.25)


def test_where_scalar_branches_leak_nothing():
    with np.errstate(all="ignore"):
        assert funcgrad.grad(lambda x: np.where(x > 0, np.log(x), 0.0))(0.0) == 0.0
        assert funcgrad.grad(lambda x: np.where(x == 0, x * 3, np.log(x)))(0.0) == 3.0


def test_where_does_not_hide_a_genuine_infinity():
    with np.errstate(all="ignore"):
        assert funcgrad.grad(np.log)(0.0) == np.inf
        assert funcgrad.grad(lambda x: np.where(x >= 0, np.log(x), 0.0))(0.0) == np.inf
        assert funcgrad.grad(lambda x: np.where(x > 0, np.log(x), 0.0) + np.sqrt(x))(0.0) == np.inf
        assert np.isnan(funcgrad.grad(lambda x: np.where(x > 0, x, 0.0) + 0.0 * np.log(x))(0.0))


def test_where_untaken_branch_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert funcgrad.grad(lambda x: np.where(x > 0, np.sqrt(x), 0.0))(0.0) == 0.0


def test_clip_ties_are_split_as_by_minimum_and_maximum():
    x, low, high = (
        np.array(v) for v in ([0.0, 1.0, 0.5, 2.0, 2.0], [0.0, 0.0, 0.5, 2.0, 3.0], [1.0, 1.0, 0.5, 4.0, 2.0])
    )
    _, pull = funcgrad.vjp(np.clip, x, low, high)
    _, expected = funcgrad.vjp(lambda x, low, high: np.minimum(np.maximum(x, low), high), x, low, high)
    for a, b in zip(pull(np.ones(5)), expected(np.ones(5)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(pull(np.ones(5))[0], np.array([0.5, 0.5, 0.25, 0.5, 0.0]))


def test_interp_at_samples_has_the_slope_to_the_right():
    gradient = funcgrad.elementwise_grad(lambda x: np.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, 8.0]))
    np.testing.assert_array_equal(gradient(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])), [0, 0, 2, 3, 3, 0, 0])
