"""vjp, jvp, linearize, linear_transpose, stop_gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import DifferentiationError, EscapedTracerError, LinearityError, TreeMismatchError
from funcgrad.core.jaxpr import check_jaxpr

RNG = np.random.default_rng(11)
W = RNG.normal(size=(4, 3))
X = RNG.normal(size=3)


class Pair(NamedTuple):
    a: Any
    b: Any


def layer(w: Any, x: Any) -> Any:
    return np.tanh(w @ x)


def tree_function(p: Any, x: Any) -> Any:
    return {"y": p["pair"].a * x, "z": [np.sum(p["pair"].b * x), p["s"] * 2.0], "none": None}


TREE = {"pair": Pair(np.arange(3.0), np.ones(3)), "s": 4.0}


# vjp


def test_vjp_pulls_cotangents_back() -> None:
    y, pullback = fg.vjp(layer, W, X)
    np.testing.assert_array_equal(y, np.tanh(W @ X))
    ct = RNG.normal(size=4)
    dw, dx = pullback(ct)
    slope = ct * (1 - y * y)
    np.testing.assert_allclose(dw, np.outer(slope, X))
    np.testing.assert_allclose(dx, W.T @ slope)
    assert repr(pullback) == "<pullback of vjp(layer)>"


def test_pullback_called_twice_gives_the_same_and_accumulates_nothing() -> None:
    x = np.eye(5) + 1.0
    y, pullback = fg.vjp(lambda x: x**2, x)
    first, second = pullback(np.ones((5, 5))), pullback(np.ones((5, 5)))
    np.testing.assert_array_equal(first[0], 2 * x)
    np.testing.assert_array_equal(second[0], first[0])
    assert not np.shares_memory(first[0], second[0])
    first[0][:] = 0.0
    np.testing.assert_array_equal(pullback(np.ones((5, 5)))[0], second[0])
    np.testing.assert_array_equal(pullback(y * 0)[0], 0 * x)


@pytest.mark.parametrize("x", [2.0, np.float32(2.0), np.complex64(2 + 1j)])
@pytest.mark.parametrize("given", [3.0, 3, True, np.inf])
def test_traced_python_number_as_tangent_or_cotangent_is_what_it_is_untraced(x: Any, given: Any) -> None:
    products = {
        "vjp": lambda t: fg.vjp(lambda u: u * u, x)[1](t)[0],
        "jvp": lambda t: fg.jvp(lambda u: u * u, (x,), (t,))[1],
        "linearize": lambda t: fg.linearize(lambda u: u * u, x)[1](t),
        "linear_transpose": lambda t: fg.linear_transpose(lambda u: u / 2, x)(t)[0],
    }
    for name, f in products.items():
        with np.errstate(invalid="ignore"):
            expected, jitted = f(given), fg.jit(f)
            for _ in range(3):
                y = jitted(given)
                assert (type(y), np.result_type(y)) == (type(expected), np.result_type(expected)), name
                np.testing.assert_array_equal(y, expected, name)
    assert fg.grad(lambda t: np.real(products["vjp"](t)))(3.0) == 4.0


def test_vjp_trees_go_in_and_out() -> None:
    x = np.array([1.0, 2.0, 3.0])
    y, pullback = fg.vjp(tree_function, TREE, x)
    assert y["none"] is None
    dp, dx = pullback({"y": np.ones(3), "z": [2.0, 3.0], "none": None})
    assert type(dp["pair"]) is Pair
    np.testing.assert_array_equal(dp["pair"].a, x)
    np.testing.assert_array_equal(dp["pair"].b, 2 * x)
    assert dp["s"] == 6.0
    np.testing.assert_array_equal(dx, np.arange(3.0) + 2.0)


def test_vjp_has_aux_and_integers() -> None:
    y, pullback, aux = fg.vjp(lambda x, i: (x * i, {"sum": np.sum(x), "text": "t"}), X, np.arange(3), has_aux=True)
    np.testing.assert_array_equal(y, X * np.arange(3))
    assert aux["sum"] == np.sum(X)
    assert type(aux["sum"]) is np.float64
    assert aux["text"] == "t"
    dx, di = pullback(np.ones(3))
    np.testing.assert_array_equal(dx, np.arange(3.0))
    np.testing.assert_array_equal(di, np.zeros(3))
    for f in (lambda x: x, lambda x: (x, x, x), lambda x: [x, x]):
        for call in (
            lambda f=f: fg.vjp(f, X, has_aux=True),
            lambda f=f: fg.jvp(f, (X,), (X,), has_aux=True),
            lambda f=f: fg.linearize(f, X, has_aux=True),
        ):
            with pytest.raises(DifferentiationError, match="did not return a pair"):
                call()


def test_vjp_outputs_that_do_not_depend_have_zero_cotangents() -> None:
    _, pullback = fg.vjp(lambda x, y: (x, 3.0, np.arange(2)), X, 1.0)
    dx, dy = pullback((np.ones(3), 5.0, np.ones(2)))
    np.testing.assert_array_equal(dx, np.ones(3))
    assert (dy, type(dy)) == (0.0, np.float64)
    assert fg.vjp(lambda: 2.0)[1](1.0) == ()


def test_vjp_complex_pairs_without_conjugation() -> None:
    z = 1.0 + 2.0j
    y, pullback = fg.vjp(lambda z: z**2, z)
    assert y == z**2
    assert pullback(1.0 + 0j)[0] == 2 * z
    assert pullback(1j)[0] == 2j * z
    # A real function of a complex argument: Re(sum(ct * t)) = t-derivative for t = 1 and t = 1j.
    (ct,) = fg.vjp(lambda z: np.real(z) ** 2 + 3.0 * np.imag(z), z)[1](1.0)
    assert ct == 2.0 - 3.0j


def test_cotangents_and_tangents_that_do_not_fit_raise() -> None:
    _, pullback = fg.vjp(lambda x: {"a": x, "b": x @ x}, X)
    _, linear = fg.linearize(lambda x: {"a": x, "b": x @ x}, X)
    cases = [
        ([np.ones(3), 1.0], "of another structure"),
        ({"a": np.ones(3)}, "of another structure"),
        ({"a": None, "b": 1.0}, "of another structure"),
        ({"a": np.ones(2), "b": 1.0}, r"cotangent\['a'\]: float64\[2\]\n.*\n +why +expected: float64\[3\]"),
        ({"a": np.ones(3), "b": np.ones(1)}, r"cotangent\['b'\]: float64\[1\]"),
        ({"a": np.ones(3, int), "b": 1.0}, r"int64\[3\]"),
        ({"a": np.ones(3, np.float32), "b": 1.0}, r"float32\[3\]"),
        ({"a": np.ones(3), "b": 1j}, "complex"),
        ({"a": "text", "b": 1.0}, "cotangent: 'text'"),
    ]
    for ct, text in cases:
        with pytest.raises(TreeMismatchError, match=text):
            pullback(ct)
    with pytest.raises(TreeMismatchError, match=r"linearize\(<lambda>\) got a tangent of another structure"):
        linear(X, X)
    with pytest.raises(TreeMismatchError, match="tangent that does not fit"):
        linear(np.ones(2))
    for tangents in ((X,), (X, 1.0, 2.0), (np.ones(2), 1.0)):
        with pytest.raises(TreeMismatchError, match=r"jvp\(<lambda>\) got a tangent"):
            fg.jvp(lambda x, y: x * y, (X, 1.0), tangents)
    with pytest.raises(TreeMismatchError, match="as tuples"):
        fg.jvp(np.sin, X, X)


def test_cotangents_and_tangents_in_odd_layouts_count_by_value() -> None:
    y, pullback = fg.vjp(np.sin, X)
    linear = fg.linearize(np.sin, X)[1]
    read_only = np.broadcast_to(2.0, 3)
    for t in (np.full(3, 2.0).astype(">f8"), read_only, np.full(6, 2.0)[::2]):
        for result in (pullback(t)[0], linear(t), fg.jvp(np.sin, (X,), (t,))[1]):
            np.testing.assert_allclose(result, 2 * np.cos(X))
            assert result.dtype == np.dtype(float)
            assert result.dtype.isnative
    assert pullback(y)[0].dtype == np.float64
    assert fg.vjp(np.sum, X)[1](1)[0].dtype == np.float64


def test_results_are_fresh() -> None:
    t = np.ones(3)
    identity = fg.vjp(lambda x: x, X)[1](t)[0]
    both = fg.vjp(lambda x, y: x + y, X, X)[1](t)
    forward = fg.jvp(lambda x: (x, x), (X,), (t,))[1]
    linear = fg.linearize(lambda x: (x, x, np.ones(2)), X)[1]
    transposed = fg.linear_transpose(lambda x: x, X)(t)[0]
    results = [identity, *both, *forward, *linear(t), transposed]
    for i, result in enumerate(results):
        assert result.flags.writeable
        assert not np.shares_memory(result, t)
        assert not np.shares_memory(result, X)
        for other in results[:i]:
            assert not np.shares_memory(result, other)
    linear(t)[2][:] = 9.0
    np.testing.assert_array_equal(linear(t)[2], np.zeros(2))


def test_vjp_keeps_nothing_open_for_escaped_tracers() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return x * 2.0

    _, pullback = fg.vjp(f, X)
    with pytest.raises(EscapedTracerError, match=r"vjp\(f\)"):
        kept[0] + 1.0
    np.testing.assert_array_equal(pullback(np.ones(3))[0], np.full(3, 2.0))


# jvp and linearize


def test_jvp_and_linearize_push_tangents_forward() -> None:
    w_dot, x_dot = RNG.normal(size=W.shape), RNG.normal(size=3)
    y, y_dot = fg.jvp(layer, (W, X), (w_dot, x_dot))
    np.testing.assert_array_equal(y, layer(W, X))
    np.testing.assert_allclose(y_dot, (1 - y * y) * (w_dot @ X + W @ x_dot))
    value, linear = fg.linearize(layer, W, X)
    np.testing.assert_array_equal(value, y)
    np.testing.assert_allclose(linear(w_dot, x_dot), y_dot, rtol=1e-14)
    np.testing.assert_allclose(linear(0 * w_dot, x_dot) + linear(w_dot, 0 * x_dot), y_dot, rtol=1e-13)
    check_jaxpr(linear.jaxpr)
    assert repr(linear) == "<linear part of linearize(layer)>"


def test_jvp_trees_and_has_aux() -> None:
    x = np.array([1.0, 2.0, 3.0])
    tangents = ({"pair": Pair(np.ones(3), np.zeros(3)), "s": 1}, np.zeros(3))
    value, tangent = fg.jvp(tree_function, [TREE, x], list(tangents))
    assert value["none"] is None
    np.testing.assert_array_equal(tangent["y"], x)
    assert tangent["z"] == [0.0, 2.0]
    assert fg.linearize(tree_function, TREE, x)[1](*tangents)["z"] == [0.0, 2.0]
    for y, y_dot, aux in (
        fg.jvp(lambda x: (x**2, [x]), (3.0,), (1.0,), has_aux=True),
        (lambda y, linear, aux: (y, linear(1.0), aux))(*fg.linearize(lambda x: (x**2, [x]), 3.0, has_aux=True)),
    ):
        assert (y, y_dot, aux) == (9.0, 6.0, [3.0])
        assert type(y_dot) is np.float64


def test_jvp_and_linearize_of_constants_and_integers_are_zero() -> None:
    def f(x: Any, i: Any) -> Any:
        return x * i, 3, np.arange(2), 2.0

    i = np.arange(3)
    expected = [X * i, 0.0, np.zeros(2), 0.0]
    _, y_dots = fg.jvp(f, (X, i), (X, np.zeros(3)))
    for actual in (y_dots, fg.linearize(f, X, i)[1](X, np.zeros(3))):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == np.float64


def test_jvp_dtypes_follow_the_values() -> None:
    for dtype in (np.float16, np.float32, np.longdouble, np.complex64):
        x = X.astype(dtype)
        assert fg.jvp(np.sin, (x,), (x,))[1].dtype == dtype
        assert fg.linearize(np.sin, x)[1](x).dtype == dtype
    assert fg.jvp(lambda x: x * 1j, (X,), (X,))[1].dtype == np.complex128
    assert fg.jvp(lambda z: z * z, (3j,), (1.0,))[1] == 6j


@pytest.mark.parametrize(
    "call",
    [
        lambda f: fg.vjp(f, X),
        lambda f: fg.jvp(f, (X,), (X,)),
        lambda f: fg.linearize(f, X),
    ],
)
def test_outputs_that_are_no_numbers_raise(call: Any) -> None:
    with pytest.raises(DifferentiationError, match=r"result\['name'\] = 'text'"):
        call(lambda x: {"x": x, "name": "text"})


@pytest.mark.parametrize("call", [lambda x: fg.vjp(np.sin, x), lambda x: fg.linearize(lambda x: x, x)])
def test_arguments_that_are_no_numbers_raise(call: Any) -> None:
    with pytest.raises(DifferentiationError, match="it is a string"):
        call("text")
    with pytest.raises(DifferentiationError, match="cannot differentiate"):
        call(np.array(["a", "b"]))


# linear_transpose


def test_linear_transpose_equals_the_matrix_s() -> None:
    ct = RNG.normal(size=4)
    np.testing.assert_allclose(fg.linear_transpose(lambda x: W @ x, X)(ct)[0], W.T @ ct)
    transpose = fg.linear_transpose(lambda x: W @ x, fg.ShapeDtypeStruct((3,), np.float64))
    np.testing.assert_allclose(transpose(ct)[0], W.T @ ct)
    a, b = fg.linear_transpose(lambda a, b: {"s": a * 2.0 - b[0], "b": b[0] / 2}, 0.0, [0.0])({"s": 1.0, "b": 4.0})
    assert (a, b) == (2.0, [1.0])
    da, db = fg.linear_transpose(lambda a, b: a * 2.0, X, 1.0)(X)
    np.testing.assert_array_equal(da, 2 * X)
    assert (db, type(db)) == (0.0, np.float64)
    assert fg.linear_transpose(lambda x: sum([x, x]), 1.0)(1.0) == (2.0,)
    assert fg.linear_transpose(lambda x: x + 0.0, 1.0)(1.0) == (1.0,)
    np.testing.assert_array_equal(
        fg.linear_transpose(lambda x: np.where(np.array([True, False, True]), x, 0.0), X)(np.ones(3))[0], [1, 0, 1]
    )
    twice = fg.linear_transpose(lambda ct: fg.linear_transpose(lambda x: W @ x, X)(ct)[0], ct)
    np.testing.assert_allclose(twice(X)[0], W @ X)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: x * x, "`multiply` is not linear"),
        (lambda x: np.sin(x), r"`sin` is not linear.*\n +where +.*test_products.py:\d+"),
        (lambda x: 1.0 / x, "`divide` is not linear"),
        (lambda x: x + 1.0, "`add` adds a constant"),
        (lambda x: 1.0 - x, "`subtract` adds a constant"),
        (lambda x: np.concatenate([x, np.ones(2)]), "`concatenate` adds a constant"),
        (lambda x: np.where(np.array([True, False, True]), x, 1.0), "`select` adds a constant"),
        (lambda x: (x, np.ones(2)), "constant output"),
    ],
)
def test_linear_transpose_of_what_is_not_linear_raises(f: Any, text: str) -> None:
    with pytest.raises(LinearityError, match=text):
        fg.linear_transpose(f, X)


# stop_gradient


def test_stop_gradient_lets_nothing_pass() -> None:
    assert fg.grad(lambda x: x * fg.stop_gradient(x))(3.0) == 3.0
    assert fg.jvp(lambda x: fg.stop_gradient(x), (3.0,), (1.0,))[1] == 0.0
    assert fg.grad(lambda x: x * fg.stop_gradient({"a": [x, 2.0], "t": "text"})["a"][0])(3.0) == 3.0
    assert fg.grad(fg.grad(lambda x: x**2 * fg.stop_gradient(x)))(3.0) == 6.0
    assert fg.jacfwd(lambda x: fg.stop_gradient(x) * x)(3.0) == 3.0
    np.testing.assert_array_equal(fg.vmap(fg.stop_gradient)(X), X)
    # Constant to the outer derivative, too.
    assert fg.grad(lambda y: fg.grad(lambda x: x * fg.stop_gradient(y))(1.0))(3.0) == 0.0


def test_stop_gradient_of_plain_values_gives_them_back() -> None:
    tree = {"a": X, "t": "text", "n": None, "i": 3}
    result = fg.stop_gradient(tree)
    assert result["a"] is X
    assert (result["t"], result["n"], result["i"]) == ("text", None, 3)


# Nested


def test_products_nest_in_other_transformations() -> None:
    eye = np.eye(3)
    jacobian = np.diag(np.cos(X))
    np.testing.assert_allclose(fg.vmap(fg.vjp(np.sin, X)[1])(eye)[0], jacobian, atol=1e-16)
    np.testing.assert_allclose(fg.vmap(fg.linearize(np.sin, X)[1])(eye), jacobian, atol=1e-16)
    np.testing.assert_allclose(fg.vmap(lambda t: fg.jvp(np.sin, (X,), (t,))[1])(eye), jacobian, atol=1e-16)
    np.testing.assert_allclose(fg.jit(fg.vjp(np.sin, X)[1])(X)[0], np.cos(X) * X)
    inner = [
        lambda x: fg.vjp(np.sin, x)[1](np.ones(3))[0],
        lambda x: fg.jvp(np.sin, (x,), (np.ones(3),))[1],
        lambda x: fg.linearize(np.sin, x)[1](np.ones(3)),
    ]
    for f in inner:
        np.testing.assert_allclose(fg.grad(lambda x, f=f: np.sum(f(x)))(X), -np.sin(X))
        np.testing.assert_allclose(fg.jvp(f, (X,), (X,))[1], -np.sin(X) * X)
        np.testing.assert_allclose(fg.vmap(f)(eye), np.cos(eye))
        np.testing.assert_allclose(fg.jit(f)(X), np.cos(X))
        np.testing.assert_allclose(fg.jacobian(f)(X), -np.diag(np.sin(X)), atol=1e-16)


def test_perturbations_are_not_confused() -> None:
    assert fg.grad(lambda x: x * fg.grad(lambda y: x + y)(1.0))(2.0) == 1.0
    assert fg.jvp(lambda x: x * fg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (2.0,), (1.0,))[1] == 1.0
    assert fg.grad(lambda x: x * fg.jvp(lambda y: x * y, (1.0,), (1.0,))[1])(2.0) == 4.0
