"""Ufuncs with keywords and their methods on traced arrays: NumPy's results and errors, and derivatives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import funcgrad
import funcgrad.numpy as fnp
from funcgrad.core.errors import TracedConversionError
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(5)


def draw(*shape):
    return RNG.uniform(0.3, 2.0, shape)


V, W = draw(3), draw(3)
M = draw(2, 3)
T = draw(2, 3, 2)
S = np.float64(0.7)
SINGLE = draw(3).astype("f4")
Z = draw(3) + 1j * draw(3)
MASK = np.array([True, False, True])


def into(ufunc: Any, *xs: Any, like: Any, **options: Any) -> Any:
    """The result of a ufunc written to a traced array, and that array."""
    target = like * 1.0
    y = ufunc(*xs, out=target, **options)
    assert y is target
    return y


CALLS: dict[str, tuple[Any, list[Any]]] = {
    "dtype": (lambda x: (np.multiply(x, 2, dtype="f8"), np.exp(x, dtype=complex)), [SINGLE]),
    "dtype-weak": (
        lambda x: (np.add(x, 1, dtype="f4"), np.add(x, np.float64(2.0), dtype="f4", casting="same_kind")),
        [SINGLE],
    ),
    "dtype-scalar": (lambda x: (np.add(1, x, dtype="f8"), np.multiply(2.0, x, dtype="c16")), [S]),
    "signature": (
        lambda x: (
            np.add(x, 1, signature="dd->d"),
            np.add(x, x, signature=("f4", "f4", None), casting="same_kind"),
            np.sqrt(x, sig="D->D"),
        ),
        [SINGLE],
    ),
    "casting": (lambda x: np.add(x, 1, casting="unsafe", order="F", subok=False), [M]),
    "out": (lambda x, y: (into(np.multiply, x, y, like=x), into(np.sin, y, like=x)), [V, W]),
    "out-broadcast": (lambda x, y: into(np.multiply, x, 2.0, like=y), [V, M]),
    "out-cast": (lambda x, y: into(np.multiply, x, y, like=x), [SINGLE, V]),
    "out-itself": (lambda x: (lambda y: np.exp(y, out=y) + y)(x * 1.0), [V]),
    "out-two": (lambda x: np.divmod(x, 0.25, out=(x * 0.0, x * 1.0)), [V]),
    "where-out": (lambda x, y: into(np.multiply, x, y, like=x, where=MASK), [V, W]),
    "where-out-array": (lambda x, y: into(np.exp, x, like=y, where=x > 1), [V, M]),
    "divide-where": (lambda x: into(np.divide, 1.0, x, like=x, where=x > 0.5), [V]),
    "reduce": (
        lambda x: (
            np.subtract.reduce(x),
            np.divide.reduce(x, axis=-1, keepdims=True),
            np.power.reduce(x, 0),
            np.hypot.reduce(x, axis=1),
        ),
        [M],
    ),
    "reduce-axes": (lambda x: (np.fmax.reduce(x, axis=(0, 2)), np.fmin.reduce(x, axis=None)), [T]),
    "reduce-initial": (
        lambda x: (
            np.subtract.reduce(x, initial=2.0),
            np.hypot.reduce(x, axis=1, initial=0.5, where=x > 0.5),
            np.logaddexp2.reduce(x, axis=1, where=[True, False, True]),
        ),
        [M],
    ),
    "reduce-dtype": (lambda x: (np.subtract.reduce(x, dtype="f8"), np.subtract.reduce(x, axis=0)), [SINGLE]),
    "reduce-like-functions": (
        lambda x: (
            np.add.reduce(x),
            np.multiply.reduce(x, axis=1),
            np.maximum.reduce(x, axis=None),
            np.minimum.reduce(x, keepdims=True),
            np.logaddexp.reduce(x, axis=1),
        ),
        [M],
    ),
    "reduce-out": (lambda x: np.subtract.reduce(x, out=x[0] * 0.0), [M]),
    "accumulate": (
        lambda x: (
            np.add.accumulate(x),
            np.multiply.accumulate(x, axis=1),
            np.maximum.accumulate(x, axis=-1),
            np.subtract.accumulate(x, axis=1),
            np.divide.accumulate(x),
            np.logaddexp.accumulate(x, 0),
        ),
        [M],
    ),
    "accumulate-out": (lambda x: np.subtract.accumulate(x, out=x * 0.0), [V]),
    "reduceat": (
        lambda x: (
            np.add.reduceat(x, [0, 1]),
            np.multiply.reduceat(x, [2, 0, 1, 1], axis=1),
            np.subtract.reduceat(x, np.array([0, 2]), axis=-1),
        ),
        [M],
    ),
    "outer": (
        lambda x, y: (
            np.multiply.outer(x, y),
            np.subtract.outer(y, 2.0),
            np.power.outer([1.0, 2.0], x),
            np.hypot.outer(x, x, dtype="f8"),
            np.add.outer(1.0, x[0]),
        ),
        [V, M],
    ),
    "complex": (lambda z: (np.subtract.reduce(z), np.multiply.outer(z, z), np.multiply(z, 2, dtype="c16")), [Z]),
}


WITHOUT_DERIVATIVE: list[Any] = [
    lambda x: (np.logical_xor.reduce(x), np.bitwise_or.reduce(x > 1, axis=None), np.logical_and.reduce(x > 0.5)),
    lambda x: (np.logical_or.reduce(x, axis=1), np.logical_and.accumulate(x > 1), np.gcd.reduce((x * 100).astype(int))),
    lambda x: (np.subtract.accumulate(x[:0]), np.logaddexp.reduce(x[:0]), np.fmin.reduceat(x, [])),
]


@pytest.mark.parametrize("number", range(len(WITHOUT_DERIVATIVE)))
def test_call_without_derivative_traced_equals_numpy(number: int) -> None:
    assert_values(WITHOUT_DERIVATIVE[number], M)


@pytest.mark.parametrize("name", CALLS)
def test_call_traced_equals_numpy_and_differentiates(name: str) -> None:
    f, xs = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        assert_values(f, *xs)
        assert_derivatives(f, *xs)


@pytest.mark.parametrize("name", CALLS)
def test_call_under_vmap_equals_the_rows(name: str) -> None:
    f, xs = CALLS[name]
    rows = [[x, (x * x.dtype.type(1.1))] for x in xs]
    if "where" in name or name in ("reduce-initial",):
        rows = [[x, x] for x in xs]
    batched = funcgrad.vmap(f)(*[np.stack(pair) for pair in rows])
    one_by_one = [f(*[pair[k] for pair in rows]) for k in range(2)]
    for k in range(2):
        expected = one_by_one[k] if isinstance(one_by_one[k], tuple) else (one_by_one[k],)
        actual = batched if isinstance(batched, tuple) else (batched,)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a[k], b, rtol=2e-6 if b.dtype.itemsize == 4 else 1e-12)


def test_at_any_ufunc_equals_numpy() -> None:
    indices, values = np.array([0, 2, 0]), np.array([0.5, 2.0, 3.0])

    def f(x: Any, v: Any) -> Any:
        y = x * 1.0
        for ufunc in (np.add, np.subtract, np.multiply, np.maximum, np.divide, np.hypot):
            assert ufunc.at(y, indices, v) is None
        np.sqrt.at(y, [1])
        np.negative.at(y, (slice(1, None),))
        return y

    expected = f(V, values)
    y = funcgrad.jit(f)(V, values)
    np.testing.assert_allclose(y, expected, rtol=1e-15)
    assert_derivatives(f, V, values)


# NaN, poles and warnings where nothing is computed --------------------------------------------------------------------


def test_where_masked_pole_neither_warns_nor_leaks() -> None:
    x = np.array([0.0, 1.0, 4.0])

    def f(x: Any) -> Any:
        safe = np.divide(1.0, x, out=x * 0.0, where=x > 0)
        return np.sum(safe + np.log(x, out=x * 0.0, where=x > 0) + np.arccosh(x, out=x * 0.0, where=x > 2))

    expected = [0.0, -1.0 + 1.0, -1 / 16 + 1 / 4 + 1 / np.sqrt(15)]
    np.testing.assert_allclose(funcgrad.grad(f)(x), expected)
    np.testing.assert_allclose(funcgrad.jacfwd(f)(x), expected)


def test_where_without_out_is_zero_elsewhere() -> None:
    y = funcgrad.jit(lambda x: np.multiply(x, 3.0, where=MASK))(V)
    np.testing.assert_array_equal(y, np.where(MASK, V * 3.0, 0.0))


# out= ----------------------------------------------------------------------------------------------------------------


def test_out_plain_array_of_a_traced_value_raises_with_the_fix() -> None:
    def f(x: Any) -> Any:
        return np.add(x, 1.0, out=np.zeros(3)).sum()

    with pytest.raises(
        TracedConversionError, match=r"(?s)met out= asking.*where .*test_ufunc_methods.*leave out= away"
    ):
        funcgrad.grad(f)(V)


def test_inplace_operator_on_a_plain_array_raises_with_the_fix() -> None:
    def f(x: Any) -> Any:
        total = np.zeros(3)
        total += x
        return total.sum()

    with pytest.raises(TracedConversionError, match=r"a = a \+ b in place of a \+= b"):
        funcgrad.grad(f)(V)


def test_out_plain_array_of_what_has_no_derivative_is_written() -> None:
    def f(x: Any) -> Any:
        mask = np.zeros(3, bool)
        assert np.greater(x, 1.0, out=mask) is mask
        return np.sum(x * mask)

    np.testing.assert_array_equal(funcgrad.grad(f)(V), V > 1.0)


def test_out_array_of_funcgrad_is_written() -> None:
    def f(x: Any) -> Any:
        total = fnp.zeros(3)
        np.multiply(x, x, out=total)
        np.add.at(total, 0, x[1])
        return total.sum()

    np.testing.assert_allclose(funcgrad.grad(f)(V), 2 * V + [0, 1, 0])


def test_at_plain_array_of_a_traced_value_raises() -> None:
    with pytest.raises(TracedConversionError, match="out="):
        funcgrad.grad(lambda x: np.add.at(np.zeros(3), [0], x[0]))(V)


# NumPy's own errors --------------------------------------------------------------------------------------------------

REFUSED = {
    "cast": lambda x: np.add(x, 1, dtype=int),
    "out-shape": lambda x: np.add(x, 1.0, out=x[:2] * 1.0),
    "out-dtype": lambda x: np.add(x, 1.0, out=(x > 0) * 1),
    "where-dtype": lambda x: np.add(x, 1.0, out=x * 1.0, where=x),
    "casting": lambda x: np.add(x, 1j, dtype=complex, casting="no"),
    "not-reorderable": lambda x: np.subtract.reduce(np.multiply.outer(x, x), axis=(0, 1)),
    "no-identity": lambda x: np.subtract.reduce(x[:0]),
    "where-identity": lambda x: np.subtract.reduce(x, where=MASK),
    "axis": lambda x: np.subtract.reduce(x, axis=2),
    "axis-accumulate": lambda x: np.subtract.accumulate(x, axis=2),
    "unary-reduce": lambda x: np.sin.reduce(x),
    "unary-outer": lambda x: np.sin.outer(x, x),
    "scalar-accumulate": lambda x: np.subtract.accumulate(x[0]),
    "reduceat": lambda x: np.add.reduceat(x, [0, 5]),
    "shapes": lambda x: np.add(x, np.ones(2)),
    "nat": lambda x: np.isnat(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_call_raises_as_numpy(name: str) -> None:
    f = REFUSED[name]
    with pytest.raises(Exception, match=r".") as expected:
        f(V)
    with pytest.raises(type(expected.value)) as actual:
        funcgrad.jit(f)(V)
    assert str(actual.value).split(" 'add' ")[-1][:30] == str(expected.value).split(" 'add' ")[-1][:30]


@pytest.mark.parametrize("dtype", [int, np.int8, bool, np.float32])
@pytest.mark.parametrize("value", [1.5, -1.5, True, np.float64(2.7), np.array([1.25, -3.5, 0.5])])
def test_at_casts_to_the_dtype_of_the_array_from_any_other(dtype: Any, value: Any) -> None:
    def f(x: Any) -> Any:
        y = x.copy()
        np.add.at(y, [0, 2, 0], value)
        return y

    x = np.array([5, -1, 1]).astype(dtype)
    jitted = funcgrad.jit(f)
    for _ in range(3):
        result = jitted(x)
        np.testing.assert_array_equal(result, f(x))
        assert result.dtype == dtype
