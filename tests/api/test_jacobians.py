"""The dense transformations: against differences and each other; trees, chunks, memory, SciPy, nesting, errors."""

from __future__ import annotations

import inspect
import pickle
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError

JACOBIANS = {
    "jacfwd": fg.jacfwd,
    "jacrev": fg.jacrev,
    "jacobian": fg.jacobian,
    "jacobian-fwd": lambda f, **options: fg.jacobian(f, mode="fwd", **options),
    "jacobian-rev": lambda f, **options: fg.jacobian(f, mode="rev", **options),
}
every = pytest.mark.parametrize("jac", JACOBIANS.values(), ids=JACOBIANS)

RNG = np.random.default_rng(7)
A = RNG.normal(size=(5, 3))
WIDE = RNG.normal(size=(3, 9))


def layer(x: Any) -> Any:
    return np.tanh(A @ x) * 2.0 + np.sin(A @ x)


def module_function(x: Any) -> Any:
    """Cubes."""
    return x**3


def differences(f: Any, x: Any, h: float = 1e-5) -> Any:
    """The Jacobian by central differences."""
    x = np.asarray(x)
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size, x.dtype)
        e[i] = h
        e = e.reshape(x.shape)
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * h))
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


class Pair(NamedTuple):
    a: Any
    b: Any


CASES = {
    "tall": (layer, RNG.normal(size=3)),
    "wide": (lambda x: np.tanh(WIDE @ x), RNG.normal(size=9)),
    "square": (lambda x: np.sin(x) * x @ np.ones((7, 7)), RNG.normal(size=7)),
    "matrix": (lambda x: x @ x.T, RNG.normal(size=(2, 4))),
    "to-scalar": (lambda x: np.sum(x**2 * np.exp(x)), RNG.normal(size=(3, 4))),
    "from-scalar": (lambda x: np.cos(x * np.arange(12.0).reshape(3, 4)), np.float64(0.3)),
    "scalar": (lambda x: np.exp(-x * x), np.float64(0.3)),
    "broadcast": (lambda x: x[:, None] * x[None, :] + x, RNG.normal(size=8)),
    "one-row": (lambda x: x[:1] * x[-1:], RNG.normal(size=20)),
}


@every
@pytest.mark.parametrize(("f", "x"), CASES.values(), ids=CASES)
def test_jacobian_any_shapes_equals_differences(jac: Any, f: Any, x: Any) -> None:
    actual = jac(f)(x)
    expected = differences(f, x)
    assert np.shape(actual) == np.shape(f(x)) + np.shape(x)
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("f", "x"), CASES.values(), ids=CASES)
def test_jacobian_both_modes_agree_to_rounding(f: Any, x: Any) -> None:
    np.testing.assert_allclose(fg.jacfwd(f)(x), fg.jacrev(f)(x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("f", "x"), CASES.values(), ids=CASES)
def test_hessian_any_shapes_equals_differences_of_the_jacobian(f: Any, x: Any) -> None:
    actual = fg.hessian(f)(x)
    np.testing.assert_allclose(actual, differences(fg.jacobian(f), x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(actual, fg.jacrev(fg.jacrev(f))(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(actual, fg.jacrev(fg.jacfwd(f))(x), rtol=1e-12, atol=1e-12)


def test_hessian_of_a_number_is_symmetric_to_rounding() -> None:
    x = RNG.normal(size=30)
    h = fg.hessian(lambda x: np.sum(np.sin(np.outer(x, x))) * np.sum(x**3))(x)
    np.testing.assert_allclose(h, h.T, rtol=1e-12, atol=1e-12 * np.abs(h).max())


@every
def test_jacobian_of_trees_is_a_tree_of_trees(jac: Any) -> None:
    def f(params: Any, x: Any) -> Any:
        y = params["w"] @ x + params["b"].a
        return {"y": y, "more": Pair(np.sum(y**2), [params["b"].b * x])}

    params = {"w": RNG.normal(size=(2, 3)), "b": Pair(RNG.normal(size=2), 1.5)}
    x = RNG.normal(size=3)
    j = jac(f)(params, x)
    assert set(j) == {"y", "more"}
    assert isinstance(j["more"], Pair)
    assert isinstance(j["more"].b, list)
    assert isinstance(j["y"]["b"], Pair)
    y = params["w"] @ x + params["b"].a
    np.testing.assert_allclose(j["y"]["w"], np.einsum("ij,k->ijk", np.eye(2), x))
    np.testing.assert_array_equal(j["y"]["b"].a, np.eye(2))
    np.testing.assert_array_equal(j["y"]["b"].b, np.zeros(2))
    np.testing.assert_allclose(j["more"].a["w"], 2 * np.outer(y, x))
    np.testing.assert_allclose(j["more"].b[0]["b"].b, x)
    assert j["more"].b[0]["w"].shape == (3, 2, 3)
    assert not j["more"].b[0]["w"].any()


def test_hessian_of_trees_is_a_tree_of_trees_of_trees() -> None:
    def f(p: Any) -> Any:
        return {"loss": np.sum(p["x"] ** 2) * p["s"] ** 3}

    h = fg.hessian(f)({"x": np.array([1.0, 2.0]), "s": 3.0})["loss"]
    np.testing.assert_allclose(h["x"]["x"], 2 * 27 * np.eye(2))
    np.testing.assert_allclose(h["x"]["s"], np.array([2.0, 4.0]) * 27)
    np.testing.assert_allclose(h["s"]["x"], np.array([2.0, 4.0]) * 27)
    assert h["s"]["s"] == pytest.approx(5 * 18)
    assert isinstance(h["s"]["s"], np.float64)


@every
def test_argnums_tuple_names_and_keywords_select_the_arguments(jac: Any) -> None:
    def f(x: Any, y: Any, *, scale: Any = 2.0) -> Any:
        return x * y * scale

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    jx, jy = np.diag(y) * 2, np.diag(x) * 2
    np.testing.assert_array_equal(jac(f)(x, y), jx)
    np.testing.assert_array_equal(jac(f, argnums=1)(x, y), jy)
    np.testing.assert_array_equal(jac(f, argnums=-1)(x, y), jy)
    np.testing.assert_array_equal(jac(f, argnums="y")(x, y=y), jy)
    np.testing.assert_array_equal(jac(f, argnums="scale")(x, y, scale=5.0), x * y)
    for argnums in ((0, 1), [0, 1], ("x", "y"), ("x", 1)):
        result = jac(f, argnums=argnums)(x, y)
        assert isinstance(result, tuple)
        np.testing.assert_array_equal(result[0], jx)
        np.testing.assert_array_equal(result[1], jy)
    assert isinstance(jac(f, argnums=(1,))(x, y), tuple)


def test_hessian_argnums_tuple_gives_a_tuple_of_tuples() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x) * y**2

    h = fg.hessian(f, argnums=("x", "y"))(np.ones(2), y=3.0)
    np.testing.assert_array_equal(h[0][0], np.zeros((2, 2)))
    np.testing.assert_array_equal(h[0][1], [6.0, 6.0])
    np.testing.assert_array_equal(h[1][0], [6.0, 6.0])
    assert h[1][1] == 4.0
    np.testing.assert_array_equal(fg.hessian(f, argnums=1)(np.ones(2), 3.0), 4.0)


@pytest.mark.parametrize("jac", [*JACOBIANS.values(), fg.hessian], ids=[*JACOBIANS, "hessian"])
def test_has_aux_gives_the_auxiliary_data_beside(jac: Any) -> None:
    def f(x: Any) -> Any:
        return x**3, {"value": x * 2.0, "text": "said", "n": 3}

    x = np.array([1.0, 2.0])
    j, aux = jac(f, has_aux=True)(x)
    np.testing.assert_array_equal(j, jac(lambda x: x**3)(x))
    np.testing.assert_array_equal(aux["value"], [2.0, 4.0])
    assert type(aux["value"]) is np.ndarray
    assert (aux["text"], aux["n"]) == ("said", 3)


@every
@pytest.mark.parametrize("chunk_size", [1, 3, 5, 1000])
def test_chunk_size_any_gives_the_same(jac: Any, chunk_size: int) -> None:
    def f(x: Any, y: Any) -> Any:
        return [np.sin(x) * y[:, None], y @ np.cos(x)]

    x, y = RNG.normal(size=(4, 3)), RNG.normal(size=4)
    expected = jac(f, argnums=(0, 1))(x, y)
    actual = jac(f, argnums=(0, 1), chunk_size=chunk_size)(x, y)
    for row, other in zip(actual, expected, strict=True):
        for block, reference in zip(row, other, strict=True):
            np.testing.assert_allclose(block, reference, rtol=1e-14, atol=1e-15)
    jitted = fg.jit(jac(f, argnums=(0, 1), chunk_size=chunk_size))(x, y)
    np.testing.assert_allclose(jitted[0][0], expected[0][0], rtol=1e-14)
    np.testing.assert_allclose(jitted[1][1], expected[1][1], rtol=1e-14)


@pytest.mark.parametrize("chunk_size", [1, 4, 1000])
def test_hessian_chunk_size_any_gives_the_same(chunk_size: int) -> None:
    x = RNG.normal(size=(3, 4))

    def f(x: Any) -> Any:
        return np.sum(np.sin(x @ x.T))

    np.testing.assert_allclose(fg.hessian(f, chunk_size=chunk_size)(x), fg.hessian(f)(x), rtol=1e-13, atol=1e-13)


def peak_of(call: Any) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_memory_of_a_dense_jacobian_is_the_result_and_the_bound(mode: Any) -> None:
    n, bound = 2000, 2**21
    x = np.linspace(0.1, 1.0, n)

    def f(x: Any) -> Any:
        y = np.tanh(x) * np.sum(x)
        return y + np.sin(y) * x

    j, peak = peak_of(lambda: fg.jacobian(f, mode=mode, memory=bound)(x))
    assert j.shape == (n, n)
    assert peak < j.nbytes + 2 * bound


def test_memory_of_a_hessian_through_large_intermediates_is_the_result_and_the_bound() -> None:
    # https://github.com/jax-ml/jax/issues/787: every row of the Hessian needs an array of all pairs.
    n = 60
    x = RNG.normal(size=(n, 3))

    def energy(x: Any) -> Any:
        squares = (x[None, :] - x[:, None]) ** 2
        return np.sum(np.sqrt(np.sum(squares, axis=-1) + 1e-3))

    pairs = n * n * 3 * 8
    bound = 20 * pairs
    h, peak = peak_of(lambda: fg.hessian(energy, memory=bound)(x))
    assert h.shape == (n, 3, n, 3)
    # The values of the gradient's own computation are kept, too: some arrays of all pairs.
    assert peak < h.nbytes + 2 * bound + 40 * pairs
    assert peak < n * 3 * pairs


@pytest.mark.parametrize("jac", [*JACOBIANS.values(), fg.hessian], ids=[*JACOBIANS, "hessian"])
def test_empty_arguments_and_results_give_empty_blocks(jac: Any) -> None:
    hessian = jac is fg.hessian
    x = np.zeros((2, 0))
    assert jac(lambda x: np.sin(x))(x).shape == (2, 0) * (3 if hessian else 2)
    assert jac(lambda x: np.sum(x) * np.ones(3))(x).shape == (3,) + (2, 0) * (2 if hessian else 1)
    y = np.ones(4)
    assert jac(lambda y: y[:0] * 2)(y).shape == (0,) + (4,) * (2 if hessian else 1)
    assert jac(lambda y: {})(y) == {}
    assert jac(lambda x: None)(y) is None
    assert jac(lambda tree: np.ones(2))({}) == {}
    both = jac(lambda t: t[0] * np.sum(t[1]))((2.0, np.zeros(0)))
    assert (both[1][1] if hessian else both[1]).shape == ((0, 0) if hessian else (0,))


@every
def test_python_numbers_count_as_floats(jac: Any) -> None:
    for x in (3, 3.0, np.float64(3.0)):
        result = jac(lambda x: x * x)(x)
        assert isinstance(result, np.float64)
        assert result == 6.0
    assert fg.hessian(lambda x: x**3)(2) == 12.0
    np.testing.assert_array_equal(jac(lambda x: [x, 2.0, np.ones(2)])(1)[2], [0.0, 0.0])


@every
def test_dtypes_are_those_of_the_arguments(jac: Any) -> None:
    x32, x64 = np.ones(3, np.float32), np.ones(2)
    j32, j64 = jac(lambda a, b: np.sin(a) * np.sum(b), argnums=(0, 1))(x32, x64)
    assert (j32.dtype, j64.dtype) == (np.float32, np.float64)
    assert jac(np.sin)(x32).dtype == np.float32
    assert jac(np.sin)(np.ones(9, np.float16)).dtype == np.float16
    assert jac(np.sin)(np.ones(9, np.longdouble)).dtype == np.longdouble
    assert jac(lambda x: np.ones(2))(x32).dtype == np.float32
    assert fg.hessian(lambda x: np.sum(np.sin(x)))(x32).dtype == np.float32


@every
@pytest.mark.parametrize("n", [2, 40])
def test_results_are_fresh_writable_and_contiguous(jac: Any, n: int) -> None:
    x = np.linspace(0.0, 1.0, n)
    c = np.ones((n, n))
    blocks = [*jac(lambda x, y: (x + y, c @ x), argnums=(0, 1))(x, x)[0], jac(lambda x: x)(x), jac(lambda x: c @ x)(x)]
    for block in blocks:
        assert type(block) is np.ndarray
        assert block.flags.writeable
        assert block.flags.c_contiguous
        assert not np.shares_memory(block, x)
        assert not np.shares_memory(block, c)
    for i, a in enumerate(blocks):
        for b in blocks[:i]:
            assert not np.shares_memory(a, b)


@every
def test_arguments_in_odd_layouts_count_by_value(jac: Any) -> None:
    x = np.linspace(0.1, 1.0, 12)
    expected = np.diag(np.cos(x))
    read_only = x.copy()
    read_only.setflags(write=False)
    for odd in (x[::-1][::-1], np.repeat(x, 2)[::2], x.astype(">f8"), read_only):
        result = jac(np.sin)(odd)
        np.testing.assert_allclose(result, expected, atol=1e-16)
        assert result.dtype == np.dtype(float)
        assert result.dtype.isnative


@every
def test_holomorphic_function_has_a_complex_jacobian(jac: Any) -> None:
    z = RNG.normal(size=8) + 1j * RNG.normal(size=8)
    m = RNG.normal(size=(8, 8)) + 1j * RNG.normal(size=(8, 8))
    result = jac(lambda z: np.exp(m @ z * 0.1), holomorphic=True)(z)
    np.testing.assert_allclose(result, np.exp(m @ z * 0.1)[:, None] * m * 0.1)
    assert jac(lambda z: z * z, holomorphic=True)(3.0) == 6.0 + 0j
    h = fg.hessian(lambda z: z @ z * z[0], holomorphic=True)(z)
    np.testing.assert_allclose(h[1, 1], 2 * z[0])


def test_complex_result_of_real_arguments_goes_forward() -> None:
    x = np.array([0.1, 0.2, 0.3])

    def f(x: Any) -> Any:
        return np.exp(1j * x[:2])

    expected = 1j * np.exp(1j * x[:2])[:, None] * np.eye(2, 3)
    for jac in (fg.jacfwd, fg.jacobian):
        np.testing.assert_allclose(jac(f)(x), expected)
    with pytest.raises(DifferentiationError, match=r"jacrev\(f\) got a complex result(.*\n)*.*jacfwd"):
        fg.jacrev(f)(x)
    with pytest.raises(DifferentiationError, match="complex"):
        fg.hessian(f)(x)


def test_allow_int_gives_zero_blocks() -> None:
    for jac in (fg.jacrev, fg.jacobian):
        ji, jx = jac(lambda i, x: i * x, argnums=(0, 1), allow_int=True)(np.arange(3), np.ones(3))
        np.testing.assert_array_equal(ji, np.zeros((3, 3)))
        assert ji.dtype == np.float64
        np.testing.assert_array_equal(jx, np.diag([0.0, 1.0, 2.0]))


def test_function_runs_once_with_values() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return x * 2 if x[0] > 0 else x * 3

    np.testing.assert_array_equal(fg.jacobian(f)(np.array([1.0, 2.0])), 2 * np.eye(2))
    np.testing.assert_array_equal(fg.jacobian(f)(np.array([-1.0, 2.0])), 3 * np.eye(2))
    fg.hessian(f)(np.ones(9))
    assert len(calls) == 3


# Nested in other transformations


@every
def test_jacobian_nested_in_every_transformation_is_the_same(jac: Any) -> None:
    x = RNG.normal(size=3)
    v = RNG.normal(size=3)
    hessian = fg.hessian(layer)(x)
    np.testing.assert_allclose(fg.jit(jac(layer))(x), fg.jacfwd(layer)(x), rtol=1e-13)
    np.testing.assert_allclose(fg.jit(jac(fg.jit(layer)))(x), fg.jacfwd(layer)(x), rtol=1e-13)
    xs = np.stack([x, v])
    rows = np.stack([fg.jacfwd(layer)(x), fg.jacfwd(layer)(v)])
    np.testing.assert_allclose(fg.vmap(jac(layer))(xs), rows, rtol=1e-13)
    np.testing.assert_allclose(jac(fg.vmap(layer))(xs)[1, :, 1], rows[1], rtol=1e-13)
    gradient = fg.grad(lambda x: np.sum(jac(layer)(x) ** 2))(x)
    np.testing.assert_allclose(gradient, np.einsum("ij,ijk->k", 2 * rows[0], hessian), rtol=1e-12)
    np.testing.assert_allclose(fg.jvp(jac(layer), (x,), (v,))[1], hessian @ v, rtol=1e-12)
    for outer in JACOBIANS.values():
        np.testing.assert_allclose(outer(jac(layer))(x), hessian, rtol=1e-12, atol=1e-13)


def test_hessian_nested_in_every_transformation_is_the_same() -> None:
    x = RNG.normal(size=4)

    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x[0]) ** 2

    h = fg.hessian(f)(x)
    np.testing.assert_allclose(fg.jit(fg.hessian(f))(x), h, rtol=1e-13)
    np.testing.assert_allclose(fg.vmap(fg.hessian(f))(np.stack([x, x]))[1], h, rtol=1e-12)
    third = differences(fg.hessian(f), x)
    np.testing.assert_allclose(fg.jacobian(fg.hessian(f))(x), third, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fg.hessian(fg.grad(f))(x), third, rtol=1e-6, atol=1e-7)


@every
def test_closed_over_outer_tracers_are_constants_to_the_inner_jacobian(jac: Any) -> None:
    def f(a: Any) -> Any:
        return np.sum(jac(lambda x: a * x**2)(np.arange(1.0, 9.0)))

    assert fg.grad(f)(3.0) == 72.0
    assert fg.jacfwd(f)(3.0) == 72.0


# SciPy


def rosenbrock(x: Any, scale: Any = 100.0) -> Any:
    return np.sum(scale * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-exact", "trust-krylov", "dogleg"])
@pytest.mark.parametrize("args", [(), (50.0,)])
def test_scipy_minimize_takes_the_transformed_functions_as_they_are(method: str, args: Any) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    second = [{"hess": fg.hessian(rosenbrock)}]
    if method not in ("trust-exact", "dogleg"):
        second.append({"hessp": fg.hvp(rosenbrock)})
    x0 = np.full(4, 1.2)
    for options in second:
        result = optimize.minimize(rosenbrock, x0, args, method=method, jac=fg.grad(rosenbrock), **options)
        np.testing.assert_allclose(result.x, np.ones(4), atol=1e-4)


def test_scipy_root_and_least_squares_take_the_jacobian() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def f(x: Any) -> Any:
        return np.stack([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]])

    x = optimize.root(f, np.zeros(2), jac=fg.jacobian(f)).x
    np.testing.assert_allclose(f(x), np.zeros(2), atol=1e-8)
    fit = optimize.least_squares(lambda x: layer(x) - layer(np.ones(3)), np.full(3, 0.8), jac=fg.jacobian(layer))
    np.testing.assert_allclose(fit.x, np.ones(3), atol=1e-6)


# As functions


@pytest.mark.parametrize("transformation", [fg.jacfwd, fg.jacrev, fg.jacobian, fg.hessian])
def test_transformed_function_keeps_name_signature_and_pickles(transformation: Any) -> None:
    g = transformation(module_function, chunk_size=3)
    assert g.__name__ == "module_function"
    assert g.__doc__ == "Cubes."
    assert inspect.signature(g) == inspect.signature(module_function)
    x = np.arange(4.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(g))(x), g(x))
    assert repr(g) == f"{transformation.__name__}(module_function)"


class Model:
    scale = 3.0

    @fg.jacobian
    def predict(self, x: Any) -> Any:
        return x

    def value(self, x: Any) -> Any:
        return self.scale * x**2


def test_methods_bind_as_methods() -> None:
    np.testing.assert_array_equal(fg.jacobian(Model().value)(np.array([1.0, 2.0])), np.diag([6.0, 12.0]))
    np.testing.assert_array_equal(fg.jacobian(Model.value, argnums=1)(Model(), np.ones(1)), [[6.0]])


# Errors


@every
@pytest.mark.parametrize("result", [lambda x: np.argsort(x), lambda x: x > 0, lambda x: {"a": x, "n": 3}])
def test_integer_results_raise_with_the_leaf(jac: Any, result: Any) -> None:
    with pytest.raises(DifferentiationError, match=r"needs floating-point results; <lambda> returned (int|bool)"):
        jac(result)(np.ones(3))


@pytest.mark.parametrize("jac", [*JACOBIANS.values(), fg.hessian], ids=[*JACOBIANS, "hessian"])
def test_bad_arguments_raise(jac: Any) -> None:
    with pytest.raises(DifferentiationError, match="its dtype is int64"):
        jac(np.sin)(np.arange(3))
    with pytest.raises(DifferentiationError, match="complex value for x"):
        jac(lambda x: x)(np.ones(3) + 0j)
    with pytest.raises(DifferentiationError, match="returned a real result"):
        jac(lambda x: 1.0, holomorphic=True)(np.ones(3) + 0j)
    with pytest.raises(DifferentiationError, match="did not return a pair"):
        jac(np.sin, has_aux=True)(np.ones(3))
    with pytest.raises(DifferentiationError, match="returned str"):
        jac(lambda x: {"y": x, "name": "text"})(np.ones(3))
    with pytest.raises(ArgumentError, match="did you mean 'weights'"):
        jac(lambda weights: weights, argnums="wieghts")(np.ones(3))
    with pytest.raises(ArgumentError, match="argnums=2"):
        jac(lambda x: x, argnums=2)(np.ones(3))
    with pytest.raises(TypeError, match="expected a function"):
        jac(3.0)


@pytest.mark.parametrize("options", [{"mode": "forward"}, {"chunk_size": 0}, {"chunk_size": 2.5}, {"memory": None}])
def test_bad_options_raise_at_once(options: Any) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=rf"jacobian\(layer\) got {name}="):
        fg.jacobian(layer, **options)
