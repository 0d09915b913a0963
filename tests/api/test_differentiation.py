"""grad and value_and_grad: which arguments, which trees, which dtypes, and whose memory."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError, EscapedTracerError

BOTH = {"grad": fg.grad, "value_and_grad": lambda f, *a, **k: second(fg.value_and_grad(f, *a, **k), k.get("has_aux"))}
both = pytest.mark.parametrize("gradient", BOTH.values(), ids=BOTH)


def second(g: Any, has_aux: Any) -> Any:
    """The gradient alone, in `grad`'s order of results."""

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, derivative = g(*args, **kwargs)
        return (derivative, value[1]) if has_aux else derivative

    return gradient


def polynomial(x: Any, y: Any = 2.0, *, z: Any = 3.0) -> Any:
    """A polynomial."""
    return x**2 * y + z * x


@fg.grad
def decorated(x: Any) -> Any:
    """Decorated."""
    return x**3


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Layer:
    w: Any
    b: Any
    name: str = "layer"
    size: int = 3
    activation: Any = np.tanh


@dataclass(frozen=True)
class Model:
    layers: list[Layer]
    scale: float = 1.0
    note: str | None = None


# Which argument


@both
def test_argnums_every_form_selects_the_argument(gradient: Any) -> None:
    dx, dy, dz = 2 * 5.0 * 2.0 + 3.0, 25.0, 5.0
    assert gradient(polynomial)(5.0) == dx
    assert gradient(polynomial, 1)(5.0, 2.0) == dy
    assert gradient(polynomial, np.int64(1))(5.0, 2.0) == dy
    assert gradient(polynomial, -1)(5.0, 2.0) == dy
    assert gradient(polynomial, "x")(5.0) == dx
    assert gradient(polynomial, "y")(5.0, 2.0) == dy
    assert gradient(polynomial, "y")(5.0, y=2.0) == dy
    assert gradient(polynomial, 1)(5.0, y=2.0) == dy
    assert gradient(polynomial, "z")(5.0, z=3.0) == dz
    assert gradient(polynomial, "x")(y=2.0, x=5.0) == dx
    for argnums in ((0, 1), [0, 1], ("x", "y"), (0, "y"), (0, -1)):
        assert gradient(polynomial, argnums)(5.0, 2.0) == (dx, dy)
    assert gradient(polynomial, ("z", "x"))(5.0, z=3.0) == (dz, dx)
    assert gradient(polynomial, (0,))(5.0) == (dx,)
    assert gradient(polynomial, ())(5.0) == ()


@both
def test_argnums_of_variadic_functions_select_by_place_and_key(gradient: Any) -> None:
    assert gradient(lambda *args: args[0] * args[1], 1)(2.0, 3.0) == 2.0
    assert gradient(lambda **named: named["a"] * named["b"], "b")(a=2.0, b=3.0) == 2.0
    assert gradient(lambda first, *rest, key: first * rest[1] * key, ("key", 2))(2.0, 3.0, 4.0, key=5.0) == (8.0, 10.0)
    assert gradient(functools.partial(polynomial, z=0.0))(5.0) == 20.0
    assert gradient(functools.partial(polynomial, 5.0), "y")(2.0) is not None
    assert gradient(np.tanh)(0.0) == 1.0


@pytest.mark.parametrize(
    ("argnums", "args", "kwargs", "text"),
    [
        (2, (1.0, 2.0), {}, "argnums=2, but was called with 2 positional arguments"),
        (-3, (1.0, 2.0), {}, "argnums=-3"),
        (0, (), {"y": 1.0}, "was called with 0 positional arguments"),
        ("why", (1.0,), {}, "no such parameter"),
        ("yy", (1.0,), {}, "did you mean 'y'"),
        ("y", (1.0,), {}, r"does not pass it(.*\n)*.*pass y=..."),
        ((0, 0), (1.0,), {}, "the same argument twice"),
        ((0, "x"), (1.0,), {}, "the same argument twice"),
        (1.0, (1.0, 2.0), {}, "argnums=1.0"),
        ((0, None), (1.0, 2.0), {}, r"argnums=\(0, None\)"),
    ],
)
def test_argnums_that_select_nothing_raise(argnums: Any, args: Any, kwargs: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        fg.grad(polynomial, argnums)(*args, **kwargs)
    assert isinstance(caught.value, ValueError)
    assert "grad(polynomial)" in str(caught.value)


# Trees


@both
def test_trees_of_every_kind_come_back_as_they_were(gradient: Any) -> None:
    def f(tree: Any) -> Any:
        point, (a, nothing), d = tree["point"], tree["pair"], tree["dict"]
        assert nothing is None
        return point.x * point.y + np.sum(a * d["z"]) + d["a"][0] ** 2

    tree = {"point": Point(2.0, 3.0), "pair": (np.arange(3.0), None), "dict": {"z": 2.0, "a": [5.0]}}
    result = gradient(f)(tree)
    assert result["point"] == Point(3.0, 2.0)
    assert type(result["point"]) is Point
    np.testing.assert_array_equal(result["pair"][0], np.full(3, 2.0))
    assert result["pair"][1] is None
    assert result["dict"] == {"z": 3.0, "a": [10.0]}
    assert list(result["dict"]) == list(tree["dict"])


@both
def test_dataclasses_need_no_registration_and_keep_their_configuration(gradient: Any) -> None:
    def f(model: Model, x: Any) -> Any:
        for layer in model.layers:
            assert layer.size == 3
            assert layer.name == "layer"
            x = layer.activation(layer.w * x + layer.b)
        return np.sum(x) * model.scale

    model = Model([Layer(np.ones(3), 0.5)], scale=2.0)
    result = gradient(f)(model, np.zeros(3))
    assert type(result) is Model
    assert type(result.layers[0]) is Layer
    assert (result.layers[0].name, result.layers[0].size, result.layers[0].activation) == ("layer", 3, np.tanh)
    assert result.note is None
    np.testing.assert_array_equal(result.layers[0].w, np.zeros(3))
    assert result.layers[0].b == pytest.approx(6.0 / np.cosh(0.5) ** 2)
    assert result.scale == pytest.approx(3 * np.tanh(0.5))


@both
def test_empty_trees_and_empty_arrays_have_empty_gradients(gradient: Any) -> None:
    assert gradient(lambda tree: 1.0)({}) == {}
    assert gradient(lambda tree, x: x * 1.0)(None, 2.0) is None
    result = gradient(lambda x: np.sum(x**2))(np.zeros((2, 0)))
    assert result.shape == (2, 0)
    assert result.dtype == np.float64


@both
def test_leaves_that_are_no_numbers_raise_with_their_path(gradient: Any) -> None:
    with pytest.raises(DifferentiationError, match=r"cannot differentiate p\['name'\]: it is a string"):
        gradient(lambda p: p["w"])({"w": 1.0, "name": "text"})
    with pytest.raises(DifferentiationError, match=r"cannot differentiate p\[1\]\.x: its dtype is int64"):
        gradient(lambda p: p[0])([1.0, Point(np.arange(3), 1.0)])
    with pytest.raises(DifferentiationError, match="its dtype is bool"):
        gradient(lambda x: x * 1.0)(True)
    with pytest.raises(DifferentiationError, match="its dtype is int64"):
        gradient(lambda x: x * 1.0)(np.int64(3))
    with pytest.raises(DifferentiationError, match="its dtype is object"):
        gradient(lambda x: x[0] * 1.0)(np.array([1.0, 2.0], object))
    with pytest.raises(DifferentiationError, match="it is no number"):
        gradient(lambda x: 1.0)(object())


# Numbers and dtypes


@both
def test_python_numbers_count_as_floats(gradient: Any) -> None:
    for x in (3, 3.0, np.float64(3.0), np.array(3.0)):
        result = gradient(lambda x: x * x)(x)
        assert type(result) in (np.float64, np.ndarray)
        assert result.shape == ()
        assert result == 6.0
    assert gradient(lambda p: p["n"] ** 3)({"n": 2}) == {"n": 12.0}


@both
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_dtype_is_the_argument_s(gradient: Any, dtype: Any) -> None:
    x = np.arange(1, 4).astype(dtype)
    assert gradient(lambda x: np.sum(np.sin(x) ** 2 * 2.0))(x).dtype == dtype
    assert gradient(lambda x: np.sum(x * np.ones(3)))(x).dtype == dtype
    assert gradient(lambda x: 1.0)(x).dtype == dtype
    assert type(gradient(np.exp)(dtype(1))) is dtype


@both
def test_holomorphic_gives_the_complex_derivative(gradient: Any) -> None:
    z = 1.0 + 2.0j
    assert gradient(lambda z: z**2, holomorphic=True)(z) == 2 * z
    assert gradient(lambda z: np.exp(1j * z), holomorphic=True)(z) == pytest.approx(1j * np.exp(1j * z))
    assert gradient(lambda z: z**2, holomorphic=True)(2.0) == 4.0 + 0j
    result = gradient(lambda z: np.sum(z**2), holomorphic=True)(np.array([z, 2 * z], np.complex64))
    assert result.dtype == np.complex64
    np.testing.assert_allclose(result, [2 * z, 4 * z])


@both
def test_complex_without_holomorphic_raises(gradient: Any) -> None:
    with pytest.raises(DifferentiationError, match=r"complex value for z(.*\n)*.*fix +holomorphic=True"):
        gradient(lambda z: abs(z))(1j)
    with pytest.raises(DifferentiationError, match="got a complex result from <lambda>"):
        gradient(lambda x: x * 1j)(1.0)


@both
def test_holomorphic_with_a_real_result_raises(gradient: Any) -> None:
    with pytest.raises(DifferentiationError, match="returned a real result"):
        gradient(lambda z: np.real(z * z), holomorphic=True)(1 + 2j)


@both
def test_allow_int_gives_zeros(gradient: Any) -> None:
    di, dx = gradient(lambda i, x: np.sum(i * x), (0, 1), allow_int=True)(np.arange(3), np.ones(3))
    np.testing.assert_array_equal(di, np.zeros(3))
    assert di.dtype == np.float64
    np.testing.assert_array_equal(dx, [0.0, 1.0, 2.0])
    tree = gradient(lambda p: p["x"] * 2.0, allow_int=True)({"x": 1.0, "mask": np.array([True])})
    assert tree["x"] == 2.0
    np.testing.assert_array_equal(tree["mask"], [0.0])


# Results


def test_value_is_what_the_function_gives() -> None:
    value, _ = fg.value_and_grad(lambda x: np.sum(np.sin(x)))(np.arange(3.0))
    assert value == np.sum(np.sin(np.arange(3.0)))
    assert type(value) is np.float64
    value, _ = fg.value_and_grad(lambda x: np.sum(np.sin(x)))(np.arange(3, dtype=np.float32))
    assert type(value) is np.float32
    assert fg.value_and_grad(lambda x: 2.0)(np.ones(2))[0] == 2.0


def test_has_aux_gives_the_auxiliary_data_beside() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**2), {"doubled": x * 2, "text": "said", "n": 3, "none": None, "layer": Layer(x, 1.0)}

    x = np.arange(3.0)
    gradient, aux = fg.grad(f, has_aux=True)(x)
    np.testing.assert_array_equal(gradient, 2 * x)
    assert type(aux["doubled"]) is np.ndarray
    np.testing.assert_array_equal(aux["doubled"], 2 * x)
    assert (aux["text"], aux["n"], aux["none"], aux["layer"].name) == ("said", 3, None, "layer")
    (value, aux), gradient = fg.value_and_grad(f, has_aux=True)(x)
    assert value == 5.0
    np.testing.assert_array_equal(aux["layer"].w, x)
    for result in (lambda x: np.sum(x), lambda x: (np.sum(x), 1, 2), lambda x: [np.sum(x), 1]):
        with pytest.raises(DifferentiationError, match="did not return a pair"):
            fg.grad(result, has_aux=True)(x)


@both
@pytest.mark.parametrize(
    "f",
    [
        lambda x, c: np.sum(x),
        lambda x, c: np.sum(x * c),
        lambda x, c: x @ c,
        lambda x, c: np.sum(x + x[::-1]),
        lambda x, c: np.sum(np.reshape(x, (2, 2)).T * np.reshape(c, (2, 2))),
        lambda x, c: x[1] * 1.0,
        lambda x, c: 1.0,
        lambda x, c: np.sum(np.broadcast_to(x, (3, 4)) * c),
    ],
)
def test_gradients_are_fresh_writable_and_contiguous(gradient: Any, f: Any) -> None:
    x, c = np.arange(4.0), np.arange(4.0) + 1
    before = copy.deepcopy((x, c))
    for argnums, args in ((0, (x, c)), ((0,), (x, c)), ((0, 1), (x, x))):
        results = gradient(f, argnums)(*args)
        results = results if isinstance(results, tuple) else (results,)
        for result in results:
            assert type(result) is np.ndarray
            assert result.flags.writeable
            assert result.flags.c_contiguous
            assert not np.shares_memory(result, x)
            assert not np.shares_memory(result, c)
            result[...] = 7.0
        if len(results) == 2:
            assert not np.shares_memory(*results)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(c, before[1])
    np.testing.assert_array_equal(gradient(f)(x, c), gradient(f)(x.copy(), c.copy()))


@both
def test_arguments_in_odd_layouts_count_by_value(gradient: Any) -> None:
    x = np.arange(12.0).reshape(3, 4) / 5
    expected = np.cos(x) * x
    read_only = x.copy()
    read_only.setflags(write=False)
    odd = [x.astype(">f8"), x.T.copy().T, x[::-1][::-1], np.repeat(x, 2, axis=1)[:, ::2], read_only]
    for a in odd:
        weights = x.copy()
        result = gradient(lambda a, w=weights: np.sum(np.sin(a) * w))(a)
        np.testing.assert_allclose(result, expected, rtol=1e-15)
        assert result.dtype.isnative
        assert result.flags.writeable
        assert result.flags.c_contiguous
    big = x.astype(">f4")
    assert gradient(lambda tree: np.sum(tree["x"] ** 2))({"x": big})["x"].dtype == np.dtype(np.float32)
    assert gradient(lambda x: np.sum(x * big))(x).dtype == np.float64
    broadcast = np.broadcast_to(2.0, (3,))
    np.testing.assert_array_equal(gradient(lambda x: x @ x)(broadcast), [4.0, 4.0, 4.0])


@both
@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda x: x, r"returned an array of shape \(3,\)"),
        (lambda x: x[:1], r"returned an array of shape \(1,\)"),
        (lambda x: [np.sum(x)], "returned a list"),
        (lambda x: (np.sum(x), x), r"returned a tuple.*\n.*has_aux=True"),
        (lambda x: {"loss": np.sum(x)}, "returned a dict"),
        (lambda x: None, r"returned None.*\n.*return statement"),
        (lambda x: "text", "returned a string"),
        (lambda x: 3, "returned int64"),
        (lambda x: True, "returned bool"),
        (lambda x: np.argmax(x), "returned int64"),
        (lambda x: np.sum(x) > 0, "returned bool"),
    ],
)
def test_results_that_are_no_float_raise(gradient: Any, result: Any, text: str) -> None:
    with pytest.raises(DifferentiationError, match=text) as caught:
        gradient(result)(np.ones(3))
    assert isinstance(caught.value, TypeError)
    assert "grad(<lambda>)" in str(caught.value)


def test_python_control_flow_on_values_just_works() -> None:
    def f(x: Any) -> Any:
        while x < 100:
            x = x * x if x > 3 else x + 2
        return x

    assert fg.grad(f)(4.0) == 4 * 4.0**3
    assert fg.grad(f)(2.0) == fg.grad(f)(4.0)


def test_escaped_tracer_raises_after_success_and_after_failure() -> None:
    kept: list[Any] = []

    def f(x: Any, fail: bool) -> Any:
        y = x * 2.0
        kept.append(y)
        if fail:
            raise KeyError("mine")
        return y

    fg.grad(f)(1.0, False)
    with pytest.raises(KeyError, match="mine"):
        fg.grad(f)(1.0, True)
    for leak in kept:
        with pytest.raises(EscapedTracerError, match=r"a traced value of grad\(f\) was used after"):
            leak + 1.0


# As functions


@pytest.mark.parametrize("transformation", [fg.grad, fg.value_and_grad])
def test_transformed_function_keeps_name_docstring_and_signature(transformation: Any) -> None:
    g = transformation(polynomial)
    assert g.__name__ == "polynomial"
    assert g.__qualname__ == "polynomial"
    assert g.__doc__ == "A polynomial."
    assert g.__module__ == __name__
    assert g.__wrapped__ is polynomial
    assert inspect.signature(g) == inspect.signature(polynomial)
    assert repr(g) == f"{transformation.__name__}(polynomial)"
    with pytest.raises(TypeError, match="expected a function to transform"):
        transformation(3.0)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_transformed_functions_pickle(protocol: int) -> None:
    def round_trip(x: Any) -> Any:
        return pickle.loads(pickle.dumps(x, protocol))

    assert round_trip(fg.grad(polynomial, "y"))(5.0, 2.0) == 25.0
    assert round_trip(fg.value_and_grad(polynomial))(5.0) == (65.0, 23.0)
    assert round_trip(fg.grad(fg.grad(polynomial)))(5.0) == 4.0
    assert round_trip(decorated) is decorated
    assert round_trip(fg.grad(decorated))(2.0) == 12.0
    assert copy.deepcopy(decorated)(2.0) == 12.0


class Estimator:
    scale = 2.0

    def loss(self, x: Any) -> Any:
        return self.scale * x**2

    @fg.grad
    def slope(self: Any) -> Any:
        return 1.0

    @staticmethod
    @fg.grad
    def static(x: Any) -> Any:
        return x**2

    def __call__(self, x: Any) -> Any:
        return self.scale * x

    gradient = fg.grad(loss, argnums="x")


def test_methods_bind_and_see_their_instance() -> None:
    estimator = Estimator()
    assert fg.grad(estimator.loss)(3.0) == 12.0
    assert estimator.gradient(3.0) == 12.0
    assert Estimator.gradient(estimator, 3.0) == 12.0
    assert Estimator.static(3.0) == 6.0
    assert fg.grad(estimator)(3.0) == 2.0
    estimator.scale = 5.0
    assert estimator.gradient(3.0) == 30.0
    assert fg.grad(Estimator.loss, argnums=1)(estimator, 1.0) == 10.0


@pytest.mark.parametrize("transform", [fg.grad, fg.jit, fg.vmap, fg.hessian, lambda f: lambda x: fg.vjp(f, x)])
def test_arrays_with_operations_of_their_own_are_refused(transform: Any) -> None:
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    with pytest.raises(DifferentiationError, match=r"got an array of class MaskedArray for x\.(.*\n)*.*x\.mask"):
        transform(lambda x: np.sum(x**2))(masked)
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(DifferentiationError, match="class matrix"):
        transform(lambda x: np.sum(x * x))(matrix)


def test_memory_maps_are_plain_arrays(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", dtype=float, shape=(3,), mode="w+")
    mapped[:] = 2.0
    for transform in (fg.grad, lambda f: fg.jit(fg.grad(f)), lambda f: fg.vmap(fg.grad(f))):
        gradient = transform(lambda x: np.sum(x * x))(mapped)
        assert type(gradient) is np.ndarray
        np.testing.assert_array_equal(gradient, [4.0] * 3)


def test_vmap_takes_arrays_in_foreign_byte_order() -> None:
    y = fg.vmap(lambda x: x * 2)(np.arange(3.0).astype(">f8"))
    assert y.dtype == np.dtype(float)
    np.testing.assert_array_equal(y, [0.0, 2.0, 4.0])
