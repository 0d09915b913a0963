from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgrad.primitives import extrema, reductions, softmax, structural
from tests.compiler.comparison import assert_close, assert_compiled_equals_eager, compiled

SHAPES = [
    ((), ()),
    ((1,), (0,)),
    ((7,), (0,)),
    ((0,), (0,)),
    ((3, 0), (0,)),
    ((3, 0), (1,)),
    ((3, 4), ()),
    ((3, 4), (1,)),
    ((3, 1, 4), (1,)),
    ((3, 4), (0, 1)),
    ((5, 3, 4), (0, 2)),
    ((5, 3, 4), (1,)),
    ((100, 37), (0,)),
    ((100, 37), (1,)),
    ((3, 1000), (1,)),
    ((1000, 3), (0,)),
    ((40, 3, 50), (0, 2)),
]
DTYPES = [np.float64, np.float32, np.int64, np.int8, np.uint16, np.bool_]


def numbers(shape: Any, dtype: Any = np.float64, seed: int = 0) -> Any:
    x = 3 * np.random.default_rng([seed, *shape]).standard_normal(shape)
    return x.astype(np.int64).astype(dtype) if dtype in INTEGERS else x.astype(dtype)


INTEGERS = (np.int64, np.int8, np.uint16, np.bool_)


def with_ties(shape: Any, dtype: Any) -> Any:
    return np.round(numbers(shape, dtype)).astype(dtype)


EVERY: list[Any] = [(*pair, np.float64) for pair in SHAPES]
OTHERS: list[Any] = [(*pair, dtype) for dtype in DTYPES[1:] for pair in (SHAPES[0], SHAPES[8], SHAPES[12], SHAPES[14])]


@pytest.mark.parametrize(("shape", "axes", "dtype"), EVERY + OTHERS)
def test_sum_product_and_truths_equal_numpy(dtype: Any, shape: Any, axes: Any) -> None:
    def f(x: Any) -> Any:
        product = [] if dtype is np.bool_ else [reductions.reduce_prod(x, axes), reductions.reduce_prod(x, axes, True)]
        truths = [extrema.reduce_any(x, axes), extrema.reduce_all(x, axes, True), extrema.count_nonzero(x, axes)]
        return [structural.reduce_sum(x, axes), structural.reduce_sum(x, axes, True), *product, *truths]

    assert_compiled_equals_eager(f, numbers(shape, dtype), scale=1.0 if dtype in INTEGERS else 100.0)


@pytest.mark.parametrize(("shape", "axes", "dtype"), [case for case in EVERY + OTHERS if 0 not in case[0]])
def test_extrema_and_their_places_equal_numpy(dtype: Any, shape: Any, axes: Any) -> None:
    def f(x: Any) -> Any:
        greatest, least = extrema.reduce_max(x, axes, True), extrema.reduce_min(x, axes, False)
        places = [extrema.argmax(x, axes[0], True), extrema.argmin(x, axes[0])] if len(axes) == 1 else []
        shares = [] if dtype in INTEGERS else [extrema.shares(x, greatest, axes)]
        return [greatest, least, *places, *shares]

    x = with_ties(shape, dtype)
    assert_compiled_equals_eager(f, x)
    if dtype not in INTEGERS and x.size > 5:
        x.flat[x.size // 2] = np.nan
        x.flat[2] = np.inf
        assert_compiled_equals_eager(f, x)


@pytest.mark.parametrize(("shape", "axes", "dtype"), EVERY + OTHERS[:4])
def test_norms_and_masked_sums_equal_numpy(dtype: Any, shape: Any, axes: Any) -> None:
    def f(x: Any, mask: Any, start: Any) -> Any:
        norms = [reductions.norm(x, axes), reductions.norm(x, axes, True)] if shape else []
        flat = [reductions.norm(x, tuple(range(len(shape))), False, True)] if shape else []
        return [*norms, *flat, reductions.masked_sum(x, axes, initial=start, where=mask), reductions.root(abs(x))]

    x = numbers(shape, dtype)
    assert_compiled_equals_eager(f, x, numbers(shape[-1:], seed=1) > 0, dtype(1.5), scale=100.0)


@pytest.mark.parametrize(("shape", "axes", "dtype"), EVERY + OTHERS[:4])
def test_softmax_and_logsumexp_equal_numpy(dtype: Any, shape: Any, axes: Any) -> None:
    def f(x: Any) -> Any:
        return softmax.softmax(x, axes), softmax.logsumexp(x, axes), softmax.logsumexp(x, axes, True)

    x = numbers(shape, dtype)
    _, call = compiled(f, x)
    inputs = [x, 300 * x, np.full(shape, -np.inf, dtype), np.full(shape, np.inf, dtype)]
    if x.size > 5:
        for special in (np.inf, -np.inf, np.nan):
            x = x.copy()
            x.flat[2] = special
            inputs.append(x)
    for y in inputs:
        with np.errstate(all="ignore"):
            expected = f(y)
        for a, b in zip(call(y), expected, strict=True):
            assert_close(a, b)


def test_logaddexp_reduce_equals_numpy() -> None:
    assert_compiled_equals_eager(lambda x: np.logaddexp.reduce(x, axis=1), numbers((5, 40)))


def test_logsumexp_near_zero_keeps_its_digits() -> None:
    x = np.array([[-1e-9, -20.0, -21.0], [0.0, -40.0, -700.0], [-1e-12, -60.0, -np.inf]])
    _, call = compiled(lambda x: softmax.logsumexp(x, (1,)), x)
    exact = [math.log1p(math.fsum([math.expm1(a), math.exp(b), math.exp(c)])) for a, b, c in x]
    np.testing.assert_allclose(call(x)[0], exact, rtol=1e-14)


def test_sum_of_minus_zeros_is_zero_as_numpy_has_it() -> None:
    x = np.full((3, 2, 1), -0.0)
    _, call = compiled(lambda x: [x.sum(0), x.sum(2), x.sum(), x @ x[0].T], x)
    assert not any(np.signbit(y).any() for y in call(x))


# Accuracy ------------------------------------------------------------------------------------------------------------


def bound(x: Any) -> float:
    """What NumPy's pairwise sum is allowed, in units of the sum of magnitudes."""
    return 2e-16 if x.dtype == np.float64 else 1.2e-7


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [10, 1000, 123_457, 1_000_003])
def test_long_sums_are_as_exact_as_one_rounding(size: int, dtype: Any) -> None:
    rng = np.random.default_rng(size)
    kinds = [rng.random(size), rng.standard_normal(size), np.full(size, 0.1), 10.0 ** rng.uniform(-12, 12, size)]
    for x in (kind.astype(dtype) for kind in kinds):
        _, call = compiled(lambda x: x.sum(), x)
        exact, magnitude = math.fsum(x.tolist()), math.fsum(np.abs(x).tolist())
        assert abs(float(call(x)[0]) - exact) <= 2 * bound(x) * magnitude


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(200_000, 3), (20_000, 40), (5, 100_000), (50, 300, 50)])
def test_long_sums_over_axes_are_exact(shape: Any, dtype: Any) -> None:
    x = np.random.default_rng(0).random(shape).astype(dtype)
    for axis in range(len(shape)):
        _, call = compiled(lambda x, axis=axis: x.sum(axis), x)
        exact = x.astype(np.longdouble).sum(axis)
        pairwise = np.abs(x.sum(axis) - exact).max()
        assert np.abs(call(x)[0] - exact).max() <= max(20 * bound(x) * exact.max(), pairwise)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_sums_with_infinities_equal_numpy(data: Any) -> None:
    size = data.draw(st.sampled_from([3, 100, 5000]))
    x = np.random.default_rng(size).standard_normal(size)
    for _ in range(data.draw(st.integers(0, 3))):
        x[data.draw(st.integers(0, size - 1))] = data.draw(st.sampled_from([np.inf, -np.inf, np.nan]))
    _, call = compiled(lambda x: [x.sum(), x.max(), x.min()], x)
    with np.errstate(all="ignore"):
        for y, z in zip(call(x), [x.sum(), x.max(), x.min()], strict=True):
            assert_close(y, z)
