"""x[index], iteration, take and nonzero on traced arrays: NumPy's values, shapes and errors; the transpose scatters."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad
import funcgrad.numpy as fnp
from funcgrad.core.errors import TracedConversionError, TracedIndexError
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

quick = settings(max_examples=120, deadline=None, derandomize=True)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def filled(shape: tuple[int, ...], dtype: Any = float) -> Any:
    return (np.arange(np.prod(shape)) + 1.0).reshape(shape).astype(dtype)


@st.composite
def advanced_indices(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Tuples with integers, slices, new axes, an ellipsis, masks and integer arrays that broadcast together."""
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    items: list[Any] = []
    axis, masked = 0, False
    while axis < len(shape):
        kind = draw(st.sampled_from(["int", "slice", "array", "array", "none", "mask", "stop"]))
        n = shape[axis]
        if kind == "stop":
            break
        if kind == "none":
            items.append(None)
            if len(items) > 6:
                break
            continue
        axis += 1
        if kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            items.append(draw(st.slices(n)))
        elif kind == "mask" and not masked and common == ():
            masked = True
            items.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
        else:
            rank = draw(st.integers(0, len(common)))
            picked = tuple(1 if draw(st.booleans()) else m for m in common[len(common) - rank :])
            items.append(draw(hnp.arrays(np.intp, picked, elements=st.integers(-n, n - 1))))
    if axis < len(shape) and draw(st.booleans()):
        items.append(...)
    return tuple(items)


@st.composite
def shaped_indices(draw: Any) -> tuple[tuple[int, ...], Any]:
    shape = draw(SHAPES)
    basic = hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True)
    return shape, draw(st.one_of(basic, advanced_indices(shape)))


@quick
@given(shaped_indices())
def test_getitem_any_index_equals_numpy(case: Any) -> None:
    shape, index = case
    x = filled(shape)
    assert_values(lambda x: x[index], x)


@quick
@given(shaped_indices())
def test_getitem_any_index_pulls_back_by_adding_at_it(case: Any) -> None:
    shape, index = case
    x = filled(shape)
    y, pull = funcgrad.vjp(lambda x: x[index], x)
    ct = np.random.default_rng(0).uniform(size=np.shape(y))
    expected = np.zeros(shape)
    np.add.at(expected, index, ct)
    np.testing.assert_allclose(pull(ct)[0], expected, rtol=0, atol=1e-14)


@quick
@given(shaped_indices(), st.integers(0, 4))
def test_getitem_any_index_batches_as_a_loop(case: Any, axis: int) -> None:
    shape, index = case
    axis = min(axis, len(shape))
    rows = np.stack([filled(shape), -filled(shape), 2 * filled(shape)], axis)
    expected = np.stack([np.take(rows, k, axis)[index] for k in range(3)])
    assert_same(funcgrad.vmap(lambda x: x[index], in_axes=axis)(rows), expected)


@quick
@given(shaped_indices())
def test_at_set_any_index_is_assignment(case: Any) -> None:
    shape, index = case
    x = filled(shape)
    v = -filled(x[index].shape)
    expected = x.copy()
    expected[index] = v
    assert_values(lambda x, v: fnp.at(x)[index].set(v), x, v)
    assert_same(fnp.at(x)[index].set(v), expected)
    x_ct, v_ct = funcgrad.vjp(lambda x, v: x.at[index].set(v), x, v)[1](filled(shape))
    # The last write wins: that v is where the result shows it.
    number = np.zeros(shape, int)
    number[index] = np.arange(1, v.size + 1).reshape(v.shape)
    np.testing.assert_array_equal(x_ct, np.where(number == 0, filled(shape), 0))
    sent = np.zeros(v.size + 1)
    sent[number.ravel()] = filled(shape).ravel()
    np.testing.assert_array_equal(v_ct, sent[1:].reshape(v.shape))


@quick
@given(shaped_indices(), st.sampled_from(["add", "subtract", "multiply", "divide", "min", "max"]))
def test_at_operations_any_index_equal_ufunc_at(case: Any, name: str) -> None:
    shape, index = case
    ufunc = {"min": np.minimum, "max": np.maximum}.get(name) or getattr(np, name)
    x = filled(shape)
    v = 0.3 * filled(x[index].shape) + 0.2
    expected = x.copy()
    ufunc.at(expected, index, v)
    actual, _ = funcgrad.vjp(lambda x, v: getattr(x.at[index], name)(v), x, v)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)
    if np.size(x[index]):
        assert_derivatives(lambda x, v: getattr(fnp.at(x)[index], name)(v), x, v)


# Batched indices -----------------------------------------------------------------------------------------------------

I3 = np.array([[0, -1, 2], [1, 1, 0], [-3, 2, 2]])
J3 = np.array([[1, 0, 0], [0, 1, -1], [1, 1, 1]])

BATCHED = [
    lambda x, i, j: x[i],
    lambda x, i, j: x[i, j],
    lambda x, i, j: x[:, j],
    lambda x, i, j: x[i, :, j],
    lambda x, i, j: x[:, j, i % 2],
    lambda x, i, j: x[None, i, 0],
    lambda x, i, j: x[i[0]],
    lambda x, i, j: x[1:, j[0], i[1] % 2],
    lambda x, i, j: x[i[:, None], j],
    lambda x, i, j: x.at[i, j].set(1.5),
    lambda x, i, j: x.at[i, j].set(x[j, i % 2]),
    lambda x, i, j: x.at[:, j].set(x[0, 0, 0]),
    lambda x, i, j: x.at[:, j, i % 2].add(x[:, j, j]),
    lambda x, i, j: x.at[i, :, j].add(x[i, :, 0]),
    lambda x, i, j: x.at[i, j].min(0.5 * x[j, i % 2]),
    lambda x, i, j: x.at[i[0], j[1]].multiply(3.0),
    lambda x, i, j: np.take(x, i, axis=0),
    lambda x, i, j: np.take(x, j, axis=1, mode="clip"),
    lambda x, i, j: x.at[i * 2].get(mode="fill", fill_value=-1.0),
]


@pytest.mark.parametrize("number", range(len(BATCHED)))
@pytest.mark.parametrize("axes", [(0, 0, 0), (None, 0, 0), (0, None, None), (2, 0, None), (None, None, 1), (0, 1, 1)])
def test_batched_indices_any_operands_equal_a_loop(number: int, axes: Any) -> None:
    f = BATCHED[number]
    x = np.random.default_rng(1).uniform(1, 2, (3, 3, 3, 2) if axes[0] != 2 else (3, 2, 3, 2))
    args = [x if axes[0] is not None else x[0], I3 if axes[1] is not None else I3[0]]
    args.append(J3 if axes[2] is not None else J3[0])
    rows = [[a if axis is None else np.take(a, k, axis) for a, axis in zip(args, axes, strict=True)] for k in range(3)]

    def traced(x: Any, i: Any, j: Any) -> Any:
        return funcgrad.jvp(lambda x: f(x, i, j), (x,), (x * 0,))[0]

    expected = np.stack([traced(*row) for row in rows])
    np.testing.assert_allclose(funcgrad.vmap(traced, in_axes=axes)(*args), expected, rtol=1e-15)

    def gradient(x: Any, i: Any, j: Any) -> Any:
        return funcgrad.grad(lambda x: np.sum(np.sin(f(x, i, j))))(x)

    np.testing.assert_allclose(
        funcgrad.vmap(gradient, in_axes=axes)(*args), np.stack([gradient(*row) for row in rows]), rtol=1e-13
    )


# Errors --------------------------------------------------------------------------------------------------------------

X = filled((3, 4))
WRONG: list[Any] = [
    3,
    -4,
    (0, 4),
    (0, 0, 0),
    (..., 0, ...),
    "a",
    1.0,
    (slice(None), 1.5),
    np.array([0.5]),
    [0, 3],
    (np.array([0, 1]), np.array([0, 1, 2])),
    (np.array([0, 1]), np.array([0, 4])),
    np.array([True, False]),
    np.ones((3, 3), bool),
    (slice(None), np.array([True, False, True])),
    (np.array([0]), ..., np.array([0]), ...),
]


@pytest.mark.parametrize("index", WRONG, ids=str)
@pytest.mark.parametrize("transform", [lambda f: funcgrad.grad(f), lambda f: lambda x: funcgrad.vmap(f)(x[None])])
def test_getitem_wrong_index_is_numpys_error(index: Any, transform: Any) -> None:
    with pytest.raises(IndexError) as expected:
        X[index]
    with pytest.raises(IndexError) as actual:
        transform(lambda x: np.sum(x[index]))(X)
    assert type(actual.value) is type(expected.value)
    if len(str(expected.value)) < 100:
        assert str(actual.value) == str(expected.value)
    with pytest.raises(IndexError):
        transform(lambda x: np.sum(x.at[index].set(0.0)))(X)


@pytest.mark.parametrize("v", [np.ones(5), np.ones((2, 4)), np.ones((4, 2))], ids=str)
@pytest.mark.parametrize("index", [0, slice(2), (slice(None), 1), np.array([0, 2]), (np.array([0, 1, 1]), 2)], ids=str)
def test_set_wrong_shape_is_numpys_error(index: Any, v: Any) -> None:
    y, message = X.copy(), None
    try:
        y[index] = v
    except ValueError as error:
        message = str(error).strip()
    if message is None:
        np.testing.assert_array_equal(fnp.at(X)[index].set(v), y)
        return
    with pytest.raises(ValueError, match="broadcast") as actual:
        funcgrad.grad(lambda x: np.sum(x.at[index].set(v)))(X)
    assert str(actual.value).strip() == message


def test_getitem_number_has_no_elements() -> None:
    with pytest.raises(IndexError):
        funcgrad.grad(lambda x: x[0])(np.float64(1.0))


def test_mask_without_values_is_an_error_that_names_the_line_and_the_way_out() -> None:
    def model(x: Any) -> Any:
        positive = x > 0
        return np.sum(x[positive])

    with pytest.raises(TracedIndexError, match=r"vmap\(model\) met a selection by a traced mask") as error:
        funcgrad.vmap(model)(X)
    text = str(error.value)
    assert "positive: bool[4], made by `greater`" in text
    assert "test_indexing.py" in text
    assert "in model:  return np.sum(x[positive])" in text
    assert "np.where(mask, x, 0)" in text
    for f in (np.nonzero, np.flatnonzero, np.argwhere):
        with pytest.raises(TracedIndexError):
            funcgrad.vmap(f)(X)


def test_multiply_at_unknown_indices_asks_for_a_promise() -> None:
    x, i = X, np.array([[0, 1], [2, 2], [1, 0]])
    with pytest.raises(TracedIndexError, match="unique_indices=True"):
        funcgrad.vmap(lambda x, i: x.at[i].multiply(2.0))(x, i)
    y = funcgrad.vmap(lambda x, i: x.at[i].multiply(2.0, unique_indices=True))(x, i[[0, 2, 0]])
    np.testing.assert_array_equal(y, np.where([[1, 1, 0, 0]], 2 * X, X))


@pytest.mark.parametrize("i", [np.array([0, 2]), np.array([[0, 2], [1, 1]])], ids=["number", "array"])
def test_plain_table_traced_index_points_to_take(i: Any) -> None:
    table = np.array([1.0, 2.0, 4.0])

    def lookup(i: Any) -> Any:
        return table[i]

    with pytest.raises(
        TracedConversionError, match=r"funcgrad\.numpy\.take\(table, i\) instead of table\[i\]"
    ) as error:
        funcgrad.vmap(lookup)(i)
    assert "in lookup:  return table[i]" in str(error.value)
    np.testing.assert_array_equal(funcgrad.vmap(lambda i: fnp.take(table, i))(i), table[i])


# Iteration -----------------------------------------------------------------------------------------------------------


def test_iteration_rows_unpacking_and_length() -> None:
    def f(x: Any) -> Any:
        (a, b, c, d), second, _ = x
        total = a * b + c * d
        for row in x:
            for element in row:
                total = total + element**2
        assert len(x) == 3
        assert 100.0 not in x
        assert 5.0 in x
        return total + np.sum(second) ** 2

    gradient = 2 * X
    gradient[0] += X[0, [1, 0, 3, 2]]
    gradient[1] += 2 * X[1].sum()
    np.testing.assert_allclose(funcgrad.grad(f)(X), gradient)


def test_iteration_number_is_numpys_error() -> None:
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        funcgrad.grad(lambda x: next(iter(x)))(np.float64(1.0))


def test_iteration_one_equation_for_all_rows() -> None:
    jaxpr = funcgrad.make_jaxpr(lambda x: list(x))(X)
    assert [eqn.primitive.name for eqn in jaxpr.equations] == ["unstack"]


def test_iteration_under_vmap_and_jit() -> None:
    def f(x: Any) -> Any:
        a, b, c, d = x
        return a * b - c / d

    expected = X[:, 0] * X[:, 1] - X[:, 2] / X[:, 3]
    np.testing.assert_allclose(funcgrad.vmap(f)(X), expected)
    np.testing.assert_allclose(funcgrad.jit(funcgrad.vmap(f))(X), expected)


# Functions that index ------------------------------------------------------------------------------------------------

I = np.array([[2, 0], [-1, 1]])

FUNCTIONS = {
    "take": lambda x: np.take(x, I, axis=0),
    "take-flat": lambda x: np.take(x, [0, -1, 7]),
    "take-scalar": lambda x: np.take(x, 2, axis=1),
    "take-clip": lambda x: np.take(x, [-1, 2, 9], axis=1, mode="clip"),
    "take-wrap": lambda x: np.take(x, [-1, 2, 9], axis=-1, mode="wrap"),
    "take-bool": lambda x: np.take(x, [True, False], axis=-1),
    "take-method": lambda x: x.take(I, 0),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0, 3], [1, 1], [-1, 2]]), 1),
    "take_along_axis-other": lambda x: np.take_along_axis(x, np.array([[0, 2, 1, 1]]), axis=0),
    "take_along_axis-flat": lambda x: np.take_along_axis(x, np.array([0, 11, 3]), axis=None),
    "mask": lambda x: x[x > 5.5],
    "mask-rows": lambda x: x[x[:, 0] > 2.5],
    "mask-columns": lambda x: x[:, x[0] > 2.5],
    "mask-and-array": lambda x: x[np.array([True, False, True]), [1, 0]],
    "mask-number": lambda x: x[np.True_],
    "mask-nothing": lambda x: x[x > 100],
    "mask-number-false": lambda x: x[..., np.False_],
    "list": lambda x: x[[0, 2]],
    "empty": lambda x: x[[]],
    "ix": lambda x: x[np.ix_([0, 2], [True, False, True, False])],
    "unsigned": lambda x: x[np.array([1, 2], np.uint8)],
    "numpy-int": lambda x: x[np.int64(1), np.array(2)],
    "zero-rank": lambda x: x[1, 2, ...],
    "nonzero": lambda x: x[np.nonzero(x > 4.5)],
    "argmax": lambda x: x[np.argmax(x, axis=0), np.arange(4)],
    "flat": lambda x: x.flat[3],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_index_equal_numpy(name: str) -> None:
    f = FUNCTIONS[name]
    y = funcgrad.vjp(f, X)[0]
    assert_same(y, f(X))
    for dtype in (np.float32, np.complex128):
        assert_same(
            funcgrad.vjp(f, X.astype(dtype))[0] if "mask" not in name else f(X.astype(dtype)), f(X.astype(dtype))
        )
    if np.size(y):
        assert_derivatives(f, X, order=2)


def test_take_out_of_range_is_an_index_error() -> None:
    for kwargs in ({}, {"axis": 0}):
        with pytest.raises(IndexError):
            funcgrad.grad(lambda x, kwargs=kwargs: np.sum(np.take(x, 12, **kwargs)))(X)
    with pytest.raises(ValueError, match="clip"):
        funcgrad.grad(lambda x: np.sum(np.take(x, 1, mode="bounce")))(X)
    with pytest.raises(TypeError, match="safe"):
        funcgrad.grad(lambda x: np.sum(np.take(x, 1.5)))(X)


@pytest.mark.parametrize("index", [(), ..., None, True, np.False_, np.array(True), (..., None)], ids=str)
def test_getitem_array_without_axes_equals_numpy(index: Any) -> None:
    x = np.array(2.0)
    assert_same(funcgrad.vjp(lambda x: x[index], x)[0], x[index])
    assert funcgrad.grad(lambda x: np.sum(x[index] * 3.0))(x) == 3.0 * np.size(x[index])


def test_nonzero_values_are_read_and_noted() -> None:
    def f(x: Any) -> Any:
        return np.sum(x[np.flatnonzero(x > 2)])

    with pytest.warns(funcgrad.RetracingWarning):
        assert funcgrad.jit(f)(np.array([1.0, 3.0, 5.0])) == 8.0


def test_traced_integer_index_with_values_is_no_read() -> None:
    f = funcgrad.jit(lambda x, i: x[i])
    assert f(X[0], 2) == 3.0
    assert f(X[0], 1) == 2.0
    with pytest.raises(IndexError):
        f(X[0], 7)


def test_traced_indices_of_plain_shapes() -> None:
    def f(k: Any) -> Any:
        row, column = np.unravel_index(k, (3, 4))
        return row * 100 + column

    np.testing.assert_array_equal(funcgrad.vmap(f)(np.array([0, 5, 11])), [0, 101, 203])
    y = funcgrad.grad(lambda x: np.sum(x[np.tril_indices_from(x)]))(np.ones((3, 3)))
    np.testing.assert_array_equal(y, np.tril(np.ones((3, 3))))


# .at -----------------------------------------------------------------------------------------------------------------


def test_at_repeated_indices_count_every_time() -> None:
    x, i = np.array([2.0, 3.0, 5.0]), np.array([0, 2, 0])
    v = np.array([3.0, 0.5, 2.0])
    for name in ("multiply", "mul", "divide", "power"):
        ufunc = {"mul": np.multiply}.get(name) or getattr(np, name)
        expected = x.copy()
        ufunc.at(expected, i, v)
        np.testing.assert_allclose(getattr(fnp.at(x)[i], name)(v), expected)
        assert_derivatives(lambda x, v, name=name: getattr(fnp.at(x)[i], name)(v), x, v, order=2)
    expected = x.copy()
    np.square.at(expected, i)
    np.testing.assert_allclose(fnp.at(x)[i].apply(np.square), expected)
    assert_derivatives(lambda x: fnp.at(x)[i].apply(np.square), x, order=2)


def test_at_min_ties_share_the_derivative() -> None:
    x, v = np.array([1.0, 2.0]), np.array([1.0, 1.0, 3.0])
    i = np.array([0, 0, 1])
    x_ct, v_ct = funcgrad.vjp(lambda x, v: x.at[i].min(v), x, v)[1](np.array([3.0, 5.0]))
    np.testing.assert_allclose(x_ct, [1.0, 5.0])
    np.testing.assert_allclose(v_ct, [1.0, 1.0, 0.0])


def test_at_get_modes() -> None:
    x = np.array([1.0, 2.0, 4.0])
    place = fnp.at(x)[np.array([0, 3, -1, -5])]
    np.testing.assert_array_equal(place.get(mode="clip"), [1, 4, 4, 1])
    np.testing.assert_array_equal(place.get(mode="wrap"), [1, 1, 4, 2])
    np.testing.assert_array_equal(place.get(mode="fill"), [1, np.nan, 4, np.nan])
    np.testing.assert_array_equal(place.get(mode="fill", fill_value=7), [1, 7, 4, 7])
    with pytest.raises(IndexError):
        place.get()
    with pytest.raises(ValueError, match="mode must be"):
        place.get(mode="drop")
    np.testing.assert_array_equal(funcgrad.grad(lambda x: np.nansum(x.at[[0, 9, 0]].get(mode="fill")))(x), [2, 0, 0])


def test_at_mask_without_values_takes_one_number() -> None:
    y = funcgrad.vmap(lambda x: x.at[x > 6].set(-1.0))(X)
    np.testing.assert_array_equal(y, np.where(X > 6, -1.0, X))


def test_at_leaves_the_array_alone_and_casts_as_numpy() -> None:
    x = np.arange(3.0, dtype=np.float32)
    y = fnp.at(x)[1].set(np.float64(7.5))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(x, [0, 1, 2])
    np.testing.assert_array_equal(fnp.at(np.arange(3))[1].set(7.9), [0, 7, 2])
    with pytest.raises(TypeError, match="same_kind"):
        fnp.at(np.arange(3))[1].add(7.5)


def test_scatter_large_rows_equal_add_at() -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.float64, np.float32, np.complex128, np.float16, np.int64):
        for shape, index in [
            ((50, 8), (rng.integers(-50, 50, (40, 20)),)),
            ((50, 8), (rng.integers(-50, 50, 3000), rng.integers(0, 8, 3000))),
            ((6, 50, 3), (slice(1, 5), rng.integers(0, 50, 300))),
        ]:
            ct = rng.uniform(-1, 1, np.zeros(shape)[index].shape).astype(dtype)
            expected = np.zeros(shape, dtype)
            np.add.at(expected, index, ct)
            _, transpose = None, funcgrad.vjp(lambda x, index=index: x[index], np.zeros(shape, dtype))[1]
            if dtype is np.int64:
                continue
            actual = transpose(ct)[0]
            assert actual.dtype == dtype
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-2 if dtype is np.float16 else 1e-4)


def test_table_with_several_traced_indices_names_the_array_that_takes_them() -> None:
    table = np.arange(12.0).reshape(3, 4)
    rows = np.array([[0, 1, 2], [1, 1, 1]])
    with pytest.raises(TypeError, match=r"funcgrad\.numpy\.array\(table\)\[i, j\] instead of table\[i, j\]"):
        funcgrad.vmap(lambda i: table[i[:2], i[1:]])(rows)
    taken = funcgrad.vmap(lambda i: fnp.array(table)[i[:2], i[1:]])(rows)
    np.testing.assert_array_equal(taken, [table[i[:2], i[1:]] for i in rows])
