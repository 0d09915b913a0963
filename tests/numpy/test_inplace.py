"""In-place code on traced arrays: the same program on a plain array and on a traced one leaves every handle alike."""

from __future__ import annotations

import copy
import gc
import operator
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad
import funcgrad.numpy as fnp
from funcgrad.core.errors import TracedConversionError
from funcgrad.core.tracing import Tracer
from tests.numpy.checks import assert_derivatives

X = np.random.default_rng(3).permutation(24).reshape(4, 6) + 0.5

# What makes a view, or a copy, of an array with two axes.
RELATIVES: dict[str, Callable[[Any], Any]] = {
    "same": lambda a: a,
    "whole": lambda a: a[:],
    "dots": lambda a: a[...],
    "rows": lambda a: a[1:3],
    "backwards": lambda a: a[::-1],
    "column": lambda a: a[:, 1],
    "row": lambda a: a[-1],
    "block": lambda a: a[1:, ::2],
    "newaxis": lambda a: a[:, None],
    "view of view": lambda a: a[1:].T[2:],
    "reshape": lambda a: a.reshape(2, 12),
    "reshape-same": lambda a: a.reshape(4, 6),
    "reshape-flat": lambda a: np.reshape(a, -1),
    "reshape-of-slice": lambda a: a[::2].reshape(-1),
    "reshape-of-transpose": lambda a: a.T.reshape(-1),
    "reshape-F": lambda a: np.reshape(a, (2, 12), order="F"),
    "ravel": lambda a: a.ravel(),
    "ravel-of-transpose": lambda a: a.T.ravel(),
    "ravel-F-of-transpose": lambda a: a.T.ravel("F"),
    "ravel-K-of-transpose": lambda a: np.ravel(a.T, "K"),
    "flatten": lambda a: a.flatten(),
    "T": lambda a: a.T,
    "mT": lambda a: a.mT,
    "T-of-row": lambda a: a[0].T,
    "transpose": lambda a: np.transpose(a, (1, 0)),
    "swapaxes": lambda a: a.swapaxes(0, 1),
    "moveaxis": lambda a: np.moveaxis(a, 0, 1),
    "squeeze": lambda a: a[None].squeeze(),
    "expand_dims": lambda a: np.expand_dims(a, 1),
    "atleast_3d": lambda a: np.atleast_3d(a),
    "flip": lambda a: np.flip(a),
    "rot90": lambda a: np.rot90(a),
    "diagonal": lambda a: a.diagonal(),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 4, 6)),
    "split": lambda a: np.split(a, 2, axis=1)[1],
    "vsplit": lambda a: np.vsplit(a, 2)[0],
    "unstack": lambda a: np.unstack(a)[2],
    "iterated": lambda a: list(a)[2],
    "real": lambda a: a.real,
    "copy": lambda a: a.copy(),
    "np.copy": lambda a: np.copy(a),
    "deepcopy": lambda a: copy.deepcopy(a),
    "astype": lambda a: a.astype(float),
    "astype-no-copy": lambda a: a.astype(float, copy=False),
    "advanced": lambda a: a[[0, 2]],
    "mask": lambda a: a[a > 4],
    "take": lambda a: np.take(a, [0, 1], axis=0),
    "positive": lambda a: +a,
    "roll-nothing": lambda a: np.roll(a, 0),
    "concatenate-one": lambda a: np.concatenate([a]),
    "tile-once": lambda a: np.tile(a, 1),
    "sum-nothing": lambda a: np.sum(a, axis=()),
    "where": lambda a: np.where(True, a, a),
    "sorted": lambda a: np.sort(a, axis=0),
    "number": lambda a: a[1, 2],
    "total": lambda a: a.sum(),
}

# Mutations of an array; what they give is the name's new object, as of `t += 1`.
MUTATIONS: dict[str, Callable[[Any], Any]] = {
    "iadd": lambda t: augmented(t, "__iadd__", 1.5),
    "isub": lambda t: augmented(t, "__isub__", 1.5),
    "imul": lambda t: augmented(t, "__imul__", 2.0),
    "itruediv": lambda t: augmented(t, "__itruediv__", 4.0),
    "ipow": lambda t: augmented(t, "__ipow__", 2),
    "iadd-itself": lambda t: augmented(t, "__iadd__", t),
    "set-all": lambda t: operator.setitem(t, ..., 3.0),
    "set-first": lambda t: operator.setitem(t, 0, 7.0),
    "set-last": lambda t: operator.setitem(t, (..., -1), -2.0),
    "set-slice-of-itself": lambda t: operator.setitem(t, slice(1, None), t[:-1]),
    "set-backwards": lambda t: operator.setitem(t, slice(None), t[::-1]),
    "set-advanced": lambda t: operator.setitem(t, [1, 0], t[[0, 0]] * 2),
    "set-mask": lambda t: operator.setitem(t, t > 6, 0.0),
    "set-mask-elements": lambda t: operator.setitem(t, t > 6, t[t > 6] * 0.5),
    "fill": lambda t: t.fill(2.0),
    "sort": lambda t: t.sort(axis=0),
    "out": lambda t: np.multiply(t, 3.0, out=t),
    "copyto": lambda t: np.copyto(t, t * t),
    "put": lambda t: t.put([0, -1], [8.0, 9.0]),
    "putmask": lambda t: np.putmask(t, t > 5, [1.0, 2.0]),
    "add.at": lambda t: np.add.at(t, [0, 0], 1.0),
    "augmented-slice": lambda t: operator.setitem(t, slice(1), augmented(t[:1], "__imul__", 5.0)),
}
# NumPy writes to its read-only views here, and mutates numbers without effect.
NUMPY_IS_ODD = {("diagonal", "add.at"), ("broadcast_to", "add.at")}
NUMPY_IS_ODD |= {(relative, mutation) for relative in ("number", "total") for mutation in ("fill", "put", "add.at")}
NEEDS_VALUES = {"mask", "set-mask-elements"}


def augmented(t: Any, name: str, other: Any) -> Any:
    """`t += other` as a function of the operator's name."""
    result = getattr(t, name)(other) if hasattr(t, name) else NotImplemented
    return getattr(t, name.replace("__i", "__"))(other) if result is NotImplemented else result


def program(relative: str, mutation: str, target: int) -> Callable[[Any], tuple[Any, ...]]:
    """Make relatives of an array, mutate one of them, and show them all."""

    def run(x: Any) -> tuple[Any, ...]:
        a = x * 1.0
        handles = [a, RELATIVES[relative](a), a[2:], a.T, RELATIVES[relative](a)]
        same = handles[target]
        result = MUTATIONS[mutation](handles[target])
        if result is not None:
            handles[target] = result
        return (*[h * 1.0 for h in handles], same * 1.0)

    return run


def attempt(f: Callable[..., Any], *args: Any) -> Any:
    """What f gives, or the class of error that it raises."""
    try:
        return f(*args)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        return type(error)


def assert_alike(actual: Any, expected: Any, context: Any) -> None:
    if isinstance(expected, type):
        assert actual is expected, context
        return
    assert not isinstance(actual, type), (context, actual)
    for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-15, err_msg=f"{context}, handle {number}")


@pytest.mark.parametrize("relative", RELATIVES)
@pytest.mark.parametrize("target", [0, 1, 2, 3], ids=["base", "view", "slice", "transpose"])
def test_program_any_mutation_leaves_handles_as_numpy_does(relative: str, target: int) -> None:
    for mutation in MUTATIONS:
        if (relative, mutation) in NUMPY_IS_ODD:
            continue
        run = program(relative, mutation, target)
        x = X.copy()
        expected = attempt(run, x)
        actual = attempt(lambda x, run=run: funcgrad.vjp(run, x)[0], x)
        assert_alike(actual, expected, (relative, mutation))
        np.testing.assert_array_equal(x, X)
        if not NEEDS_VALUES & {relative, mutation} and mutation in ("iadd", "set-first", "set-mask", "set-backwards"):
            assert_alike(attempt(funcgrad.jit(run), x), expected, ("jit", relative, mutation))


@pytest.mark.parametrize("relative", [name for name in RELATIVES if name not in NEEDS_VALUES])
def test_program_without_values_leaves_handles_as_numpy_does(relative: str) -> None:
    rows = np.stack([X, 30 - X])
    for mutation in MUTATIONS:
        if mutation in NEEDS_VALUES:
            continue
        for target in (0, 1):
            if (relative, mutation) in NUMPY_IS_ODD:
                continue
            run = program(relative, mutation, target)
            one, other = attempt(run, rows[0]), attempt(run, rows[1])
            expected = one if isinstance(one, type) else [np.stack(pair) for pair in zip(one, other, strict=True)]
            assert_alike(attempt(funcgrad.vmap(run), rows), expected, (relative, mutation, target))


@pytest.mark.parametrize("mutation", [name for name in MUTATIONS if "sort" not in name])
def test_program_derivative_is_that_of_what_it_computes(mutation: str) -> None:
    for relative in ("same", "block", "view of view", "reshape", "T", "flip", "ravel-K-of-transpose", "copy", "row"):
        for target in (0, 1, 2):
            assert_derivatives(program(relative, mutation, target), 0.37 * X)


@pytest.mark.parametrize("relative", RELATIVES)
def test_program_on_an_array_of_our_own_making_leaves_handles_as_numpy_does(relative: str) -> None:
    """The same programs on handles on plain arrays, into which nothing traced comes."""
    for mutation in MUTATIONS:
        for target in (0, 1, 2):
            if (relative, mutation) in NUMPY_IS_ODD:
                continue
            run = program(relative, mutation, target)
            expected = attempt(run, X.copy())
            # The program multiplies by 1.0, which would make a plain array of it: a handle is given in its place.
            actual = attempt(lambda run=run: funcgrad.vjp(lambda t: run(_Factor(fnp.array(X))), 1.0)[0])
            assert_alike(actual, expected, (relative, mutation, target))


class _Factor:
    """Multiplied by 1.0 it is the array itself."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __mul__(self, one: float) -> Any:
        return self.x


@pytest.mark.parametrize("mutation", ["iadd", "set-first", "imul", "set-backwards"])
def test_program_on_arrays_of_our_own_making_is_numpys(mutation: str) -> None:
    """Handles on plain arrays, before and after a traced value is assigned."""

    def run(np_: Any, t: Any) -> Any:
        a = np_.zeros((4, 6))
        a[...] = X
        b, c, d = a[1:3], a.T, a.reshape(-1)
        for target in (a, b, c, d):
            result = MUTATIONS[mutation](target)
            assert result is None or result is target
        if t is not None:
            c[0] = t
            for target in (d, c, b, a):
                MUTATIONS[mutation](target)
        return a + 0, b + 0, c + 0, d + 0

    t = np.arange(4.0)
    expected = run(np, t)
    assert_alike(funcgrad.vjp(lambda t: run(fnp, t), t)[0], expected, mutation)
    assert_alike(funcgrad.vmap(lambda t: run(fnp, t))(t[None]), [y[None] for y in expected], mutation)
    assert_alike(funcgrad.vjp(lambda t: run(fnp, None), t)[0], run(np, None), mutation)
    assert_derivatives(lambda t: run(fnp, t), t)


# Casting and errors --------------------------------------------------------------------------------------------------

CASTS = [
    (np.float32, np.float64(1.5) * np.ones(3)),
    (np.float32, 1.5),
    (np.float32, np.float64(1.5)),
    (np.float64, 1),
    (np.float64, np.ones((2, 3))),
    (np.float64, np.ones((1, 1))),
    (np.float64, np.ones((1, 1, 3))),
    (np.float64, np.ones(2)),
    (np.float64, 1j),
    (np.float64, np.ones(3) * 1j),
    (np.complex64, np.ones(3)),
    (np.float64, [1.0, 2.0, 3.0]),
]


@pytest.mark.parametrize("name", ["__iadd__", "__itruediv__", "__ifloordiv__"])
@pytest.mark.parametrize(("dtype", "other"), CASTS, ids=str)
def test_augmented_assignment_casts_or_refuses_as_numpy(dtype: Any, other: Any, name: str) -> None:
    x = np.array([[1, 2, 3]], dtype)

    def run(x: Any) -> Any:
        y = x * 1
        getattr(y, name)(other)
        return y

    def outcome(run: Callable[[], Any]) -> Any:
        try:
            return run()
        except (TypeError, ValueError) as error:
            return error

    expected, actual = outcome(lambda: run(x)), outcome(lambda: funcgrad.vjp(run, x)[0])
    assert type(actual) is type(expected)
    if isinstance(expected, Exception):
        assert str(actual) == str(expected)
    else:
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def test_augmented_assignment_of_a_number_rebinds_one_name() -> None:
    def f(x: Any) -> Any:
        total = x[0]
        first = total
        total += x[1]
        total *= x[2]
        return total + 10 * first

    x = np.array([2.0, 3.0, 5.0])
    assert funcgrad.vjp(f, x)[0] == f(x) == 45
    np.testing.assert_allclose(funcgrad.grad(f)(x), [15, 5, 5])
    assert funcgrad.vmap(f)(x[None]) == 45
    assert funcgrad.grad(lambda x: f([x, x, x]))(2.0) == 18


def test_assignment_to_a_number_is_numpys_error() -> None:
    def f(x: Any) -> Any:
        y = x[0]
        y[...] = 1.0
        return y

    with pytest.raises(TypeError, match=r"'numpy\.float64' object does not support item assignment"):
        funcgrad.grad(f)(np.ones(2))


def test_assignment_casts_as_numpy() -> None:
    def f(x: Any) -> Any:
        counts = fnp.zeros(3, int)
        counts[0] = x[0] * 2.5
        single = fnp.zeros(3, np.float32)
        single[1:] = x[:2]
        assert (counts.dtype, single.dtype) == (np.dtype(int), np.dtype(np.float32))
        return counts * 1.0, single

    x = np.array([3.0, 0.1, 1.0])
    counts, single = funcgrad.vjp(f, x)[0]
    np.testing.assert_array_equal(counts, [7, 0, 0])
    np.testing.assert_array_equal(single, np.array([0, 3, 0.1], np.float32))
    np.testing.assert_array_equal(funcgrad.grad(lambda x: np.sum(f(x)[1]))(x), [1, 1, 0])
    with pytest.warns(np.exceptions.ComplexWarning):
        funcgrad.vjp(lambda x: fnp.zeros(3).__setitem__(0, x[0]), x * 1j)


def test_assignment_of_lists_with_traced_values() -> None:
    def f(x: Any) -> Any:
        y = fnp.ones((2, 3))
        y[0] = [x[0], 2.0, x[1] * x[0]]
        y[:, 1] = (x[2], x[2] ** 2)
        return y

    assert_derivatives(f, np.array([1.0, 2.0, 3.0]), order=2)


def test_assignment_inside_an_inner_transformation_reaches_inner_values() -> None:
    def outer(x: Any) -> Any:
        def inner(z: Any) -> Any:
            y = fnp.copy(x)  # of the outer recording alone
            y[0] = z * x[1]
            y *= z
            return np.sum(y)

        return funcgrad.grad(inner)(x[2])

    # d/dz (z^2 x1 + z x1 + z x2)
    x = np.array([2.0, 3.0, 5.0])
    assert outer(x) == 2 * 5 * 3 + 3 + 5
    np.testing.assert_allclose(funcgrad.grad(outer)(x), [0, 2 * 5 + 1, 2 * 3 + 1])


def test_later_updates_do_not_reach_what_is_recorded() -> None:
    def f(x: Any) -> Any:
        scale = fnp.ones(3)
        y = x * scale
        scale *= 100.0
        z = x * scale
        scale[0] = x[0]
        pull = funcgrad.vjp(lambda u: u * scale * x, x)[1]
        scale[1] = 0.0
        x_ = x
        x_ += 1.0
        return np.sum(y + z + pull(x)[0])

    x = np.array([2.0, 3.0, 5.0])
    first = 101 * x.sum()
    seen = np.array([2.0, 100.0, 100.0]) * x  # as they were when the inner function ran
    assert funcgrad.value_and_grad(f)(x.copy())[0] == first + np.sum(seen * (x + 1))
    np.testing.assert_array_equal(x, [2, 3, 5])


def test_results_and_arguments_leave_handles_behind() -> None:
    def f(x: Any) -> Any:
        constant = fnp.zeros(2)
        y, aux = x * 2, {"constant": constant, "view": constant[1:]}
        return np.sum(y), aux

    gradient, aux = funcgrad.grad(f, has_aux=True)(np.ones(2))
    assert type(gradient) is type(aux["constant"]) is type(aux["view"]) is np.ndarray
    assert type(funcgrad.vmap(lambda x: fnp.zeros(2), axis_size=3)(np.ones(3))) is np.ndarray
    assert type(funcgrad.jit(lambda x: fnp.zeros(2))(1.0)) is np.ndarray
    assert type(funcgrad.jvp(lambda x: fnp.zeros(2), (1.0,), (1.0,))[0]) is np.ndarray
    assert type(funcgrad.vjp(lambda x: x, np.ones(2))[0]) is np.ndarray
    assert funcgrad.grad(lambda x: funcgrad.grad(lambda z: np.sum(z * x))(fnp.ones(2))[0])(2.0) == 1.0


# Arrays of our own making --------------------------------------------------------------------------------------------


def test_new_arrays_are_plain_where_nothing_is_recorded() -> None:
    for y in (fnp.zeros(3), fnp.array([1.0, 2.0]), fnp.eye(2), fnp.asarray([1, 2]), fnp.full(2, 1.0), fnp.copy(X)):
        assert type(y) is np.ndarray
    assert fnp.sin is np.sin
    assert fnp.linalg is np.linalg
    assert fnp.einsum is np.einsum
    assert fnp.pi == np.pi


@pytest.mark.parametrize(
    "make",
    [
        lambda x: fnp.zeros(3),
        lambda x: fnp.ones((3,)),
        lambda x: fnp.empty(3),
        lambda x: fnp.full(3, 2.0),
        lambda x: fnp.full(3, x[0]),
        lambda x: fnp.zeros_like(x),
        lambda x: np.zeros_like(x),
        lambda x: np.empty_like(x),
        lambda x: fnp.ones_like(np.zeros(3)),
        lambda x: np.full_like(x, 3.0),
        lambda x: fnp.full_like(np.zeros(3), x[1]),
        lambda x: fnp.array([1.0, 2.0, 3.0]),
        lambda x: fnp.array([x[0], 2, x[1]]),
        lambda x: fnp.array(x),
        lambda x: fnp.asarray(x),
        lambda x: fnp.asarray([1.0, 2.0, 3.0]),
        lambda x: fnp.copy(x),
        lambda x: fnp.copy(np.ones(3)),
        lambda x: fnp.arange(3.0),
        lambda x: fnp.linspace(0.0, 1.0, 3),
        lambda x: fnp.eye(3)[1],
        lambda x: fnp.identity(3).copy()[0],
        lambda x: fnp.zeros((3, 3)).T[1],
    ],
)
def test_new_arrays_take_traced_values(make: Any) -> None:
    def f(x: Any) -> Any:
        y = make(x * 1.0)
        y[:2] = 0.5
        y[2] = 1.0
        y[0] = x[1] ** 2
        y *= x
        return np.sum(y * y)

    x = np.array([2.0, 3.0, 5.0])
    plain = lambda x: x[0] ** 2 * x[1] ** 4 + 0.25 * x[1] ** 2 + x[2] ** 2
    for transform in (funcgrad.value_and_grad, lambda f: funcgrad.jit(funcgrad.value_and_grad(f))):
        value, gradient = transform(f)(x.copy())
        np.testing.assert_allclose(value, plain(x))
        np.testing.assert_allclose(gradient, funcgrad.grad(plain)(x))
    np.testing.assert_allclose(funcgrad.vmap(f)(x[None]), [plain(x)])


def test_new_array_behaves_as_numpys() -> None:
    def f(x: Any) -> Any:
        y = fnp.arange(4.0)
        assert isinstance(y, Tracer)
        assert repr(y) == repr(np.arange(4.0))
        assert f"{y}" == str(np.arange(4.0))
        assert float(y[2]) == 2.0
        assert y[1] < y[2]
        assert (y.shape, y.ndim, y.size, len(y), y.nbytes) == ((4,), 1, 4, 4, 32)
        assert y.tolist() == [0, 1, 2, 3]
        assert y.sum() == np.sum(y) == sum(y) == 6
        assert type(y + 1) is type(np.sin(y)) is type(y > 1) is np.ndarray
        assert y.astype(int).dtype == int
        assert np.array_equal(np.asarray(y), np.arange(4.0))
        assert np.kron(y, y).shape == (16,)
        assert y.tobytes() == np.arange(4.0).tobytes()
        assert np.heaviside(y, 0.5).sum() == 3.5
        assert bool(fnp.ones(())) is True
        assert int(fnp.full((), 3)) == 3
        assert [10, 20, 30][fnp.full((), 1)] == 20
        assert np.arange(4)[fnp.array([1, 2])].tolist() == [1, 2]
        np.testing.assert_allclose(y, np.arange(4.0))
        return x

    assert funcgrad.grad(f)(1.0) == 1.0


def test_new_array_copies_only_what_somebody_else_holds() -> None:
    def f(x: Any) -> Any:
        y = fnp.zeros(1000)
        before = id(y.value)
        for i in range(10):
            y[i] = float(i)
            y += 1.0
        assert id(y.value) == before
        held = np.asarray(y)
        y[0] = 77.0
        assert held[0] == 10.0
        caller = np.zeros(3)
        mine = fnp.asarray(caller)
        mine[0] = 1.0
        assert caller[0] == 0.0
        return x

    funcgrad.grad(f)(1.0)


def test_autograd_style_program_runs_unchanged() -> None:
    # HIPS autograd's issues 13, 58 and 177: loops that fill arrays.
    def simulate(np: Any, theta: Any) -> Any:
        states = np.zeros((6, 2))
        states[0] = theta[:2]
        for k in range(1, 6):
            states[k, 0] = states[k - 1, 0] + 0.1 * states[k - 1, 1]
            states[k, 1] = states[k - 1, 1] - 0.1 * np.sin(states[k - 1, 0]) * theta[2]
        rotation = np.eye(2)
        rotation[0, 0] = rotation[1, 1] = np.cos(theta[0])
        rotation[0, 1] = np.sin(theta[0])
        rotation[1, 0] = -rotation[0, 1]
        return np.sum((states @ rotation) ** 2 * np.arange(1.0, 3.0))

    theta = np.array([0.3, -0.4, 1.1])
    f = lambda theta: simulate(fnp, theta)
    assert f(theta) == simulate(np, theta)
    assert_derivatives(f, theta, order=2)
    np.testing.assert_allclose(funcgrad.jit(funcgrad.grad(f))(theta), funcgrad.grad(f)(theta))
    np.testing.assert_allclose(funcgrad.vmap(funcgrad.grad(f))(theta[None])[0], funcgrad.grad(f)(theta))


# Functions that mutate -----------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "copyto-where": lambda y, v: np.copyto(y, v[0], where=[True, False, True]),
    "place": lambda y, v: np.place(y, y > 1, v),
    "put": lambda y, v: np.put(y, [0, -1, 8], v),
    "put-repeated": lambda y, v: np.put(y, [0, 1, 2, 3], v[:2]),
    "put-clip": lambda y, v: np.put(y, [-3, 99], v, mode="clip"),
    "put_along_axis": lambda y, v: np.put_along_axis(y, np.array([[0], [2], [1]]), v[:, None], axis=1),
    "put_along_axis-flat": lambda y, v: np.put_along_axis(y, np.array([1, 5]), v[:2], axis=None),
    "putmask": lambda y, v: np.putmask(y, y > 1.5, v),
    "fill_diagonal": lambda y, v: np.fill_diagonal(y, v[1]),
    "fill_diagonal-many": lambda y, v: np.fill_diagonal(y, v),
    "partition": lambda y, v: y.partition(1, axis=1),
    "subtract.at": lambda y, v: np.subtract.at(y, ([0, 0, 1], [1, 1, 2]), v),
    "multiply.at": lambda y, v: np.multiply.at(y, (0, [1, 1, 2]), v),
    "sum-out": lambda y, v: np.sum(y * v, axis=0, out=y[1]),
    "take-out": lambda y, v: np.take(v, [0, 0, 2], out=y[:, 1]),
    "matmul-out": lambda y, v: np.matmul(y.copy(), y.copy(), out=y),
    "flat": lambda y, v: operator.setitem(y.flat, slice(1, 4), v),
    "flat-all": lambda y, v: setattr(y, "flat", v),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_mutate_equal_numpy(name: str) -> None:
    mutate = FUNCTIONS[name]

    def run(y: Any, v: Any) -> Any:
        y = y * 1.0
        mutate(y, v)
        return y

    y, v = np.arange(9.0).reshape(3, 3) * 0.25 + 0.3, np.array([3.0, -1.0, 2.0])
    expected = run(y, v)
    np.testing.assert_array_equal(funcgrad.vjp(run, y, v)[0], expected)
    assert_derivatives(run, y, v)

    def own(v: Any) -> Any:
        target = fnp.array(y)
        mutate(target, v)
        return target

    np.testing.assert_array_equal(funcgrad.vjp(own, v)[0], expected)
    np.testing.assert_array_equal(funcgrad.vjp(lambda t: own(v), 1.0)[0], expected)
    assert_derivatives(own, v)


def assign_all(y: Any, x: Any) -> None:
    y[:] = x


def add_all(y: Any, x: Any) -> None:
    y += x


@pytest.mark.parametrize(
    "mutate",
    [
        lambda y, x: np.copyto(y, x),
        lambda y, x: np.put(y, [0], x[0]),
        lambda y, x: np.add(x, x, out=y),
        lambda y, x: np.add.at(y, [0], x[:1]),
        assign_all,
        add_all,
        lambda y, x: np.sum(x[None], axis=0, out=y),
    ],
)
def test_plain_array_as_target_is_an_error_with_the_way_out(mutate: Any) -> None:
    with pytest.raises(TracedConversionError, match=r"funcgrad\.numpy\.zeros\(n\)"):
        funcgrad.grad(lambda x: mutate(np.zeros(3), x))(np.ones(3))


def test_plain_array_element_as_target_is_an_error_with_the_way_out() -> None:
    def fill(x: Any) -> Any:
        y = np.zeros(3)
        y[0] = x[0]
        return np.sum(y)

    with pytest.raises((TracedConversionError, ValueError)) as error:
        funcgrad.grad(fill)(np.ones(3))
    # NumPy puts an error of its own in front.
    text = str(error.value if isinstance(error.value, TracedConversionError) else error.value.__cause__)
    assert "grad(fill) met an assignment to elements of a plain array" in text
    assert "y = funcgrad.numpy.zeros(n), or np.zeros_like(x), for y = np.zeros(n)" in text
    assert "in fill:  y[0] = x[0]" in text


def test_resize_in_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"np\.resize"):
        funcgrad.grad(lambda x: x.resize(4))(np.ones(2))


def test_real_and_imaginary_parts_are_views() -> None:
    def run(x: Any) -> Any:
        a = x * 1.0
        re, im = a.real, a.imag
        re[0] = 5.0
        im *= 2.0
        a[1] = 1.0 - 3.0j
        return a, re * 1.0, im * 1.0

    x = np.array([1 + 2j, 3 - 1j])
    for actual, expected in zip(funcgrad.vjp(run, x)[0], run(x), strict=True):
        np.testing.assert_array_equal(actual, expected)


# Memory --------------------------------------------------------------------------------------------------------------


def peak(f: Callable[[], Any]) -> int:
    """The most memory in bytes that a call holds at a time."""
    f()
    gc.collect()  # empties Python's free lists, which would hide what a small program needs
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fill_vector(n: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = fnp.zeros(n)
        y[0] = x[0]
        for k in range(1, n):
            y[k] = y[k - 1] * x[1]
        return y[-1] + np.sum(y)

    return f


def fill_rows(n: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = np.zeros_like(x, shape=(n, 4))
        y[0] = x[0]
        for k in range(1, n):
            y[k] = y[k - 1] * 0.9 + x[1]
        return np.sum(y)

    return f


def fill_rows_in_parts(n: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = fnp.zeros((n, 4))
        y[0] += x[0]
        for k in range(1, n):
            y[k, :2] = y[k - 1, 2:] * x[1]
            y[k, 2:] = np.sin(y[k, :2])
            y[k] *= 0.5
        return np.sum(y**2)

    return f


@pytest.mark.parametrize("program", [fill_vector, fill_rows, fill_rows_in_parts])
@pytest.mark.parametrize("transform", [funcgrad.grad, lambda f: funcgrad.jit(f)], ids=["grad", "jit"])
def test_loop_of_writes_holds_memory_for_each_write_once(program: Any, transform: Any) -> None:
    x = np.array([1.0, 0.9])
    short, long = (peak(lambda n=n: transform(program(n))(x)) for n in (200, 1200))
    assert long < 12 * short  # for six times the writes; 36 if each kept the array


@pytest.mark.parametrize("program", [fill_vector, fill_rows, fill_rows_in_parts])
def test_loop_of_writes_has_the_derivative_of_its_program(program: Any) -> None:
    f, x = program(5), np.array([1.0, 0.9])
    assert_derivatives(f, x, order=2)
    gradient = funcgrad.grad(f)(x)
    np.testing.assert_allclose(funcgrad.jit(funcgrad.grad(f))(x), gradient)
    np.testing.assert_allclose(funcgrad.vmap(funcgrad.grad(f))(x[None])[0], gradient)


def test_write_into_own_memory_reaches_nobody_else() -> None:
    def f(x: Any) -> Any:
        y = fnp.zeros(4)
        y[0] = x[0]  # from now on y is written to in its own memory, while it is alone
        total = np.sum(y * y)
        y[1] = x[1]
        before = y * 1.0
        other = y.copy()
        view = y[1:]
        y[2] = x[0] * x[1]
        assert view[1] == 6.0
        total = total + np.sum(before) + other[2] + view[1] * y[1]
        del view
        y[3] = y[2] * y[2]
        pull = funcgrad.vjp(lambda u: np.sum(u * y), x[0])[1]
        y[3] = 0.0
        return total + pull(1.0)[0]

    x = np.array([2.0, 3.0])
    value = lambda x: x[0] ** 2 + x[0] + x[1] + x[0] * x[1] ** 2 + x[0] + x[1] + x[0] * x[1] + (x[0] * x[1]) ** 2
    assert funcgrad.value_and_grad(f)(x)[0] == value(x)
    np.testing.assert_allclose(funcgrad.grad(f)(x), funcgrad.grad(value)(x))
