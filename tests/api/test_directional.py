"""hvp and elementwise_grad."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError, TreeMismatchError

RNG = np.random.default_rng(3)


def f(x: Any, scale: Any = 1.0) -> Any:
    return np.sum(np.sin(x) * x[0]) ** 2 * scale


def test_hvp_equals_the_hessian_times_the_vector() -> None:
    x, v = RNG.normal(size=5), RNG.normal(size=5)
    np.testing.assert_allclose(fg.hvp(f)(x, v), fg.hessian(f)(x) @ v, rtol=1e-12)
    np.testing.assert_allclose(fg.hvp(f)(x, v), fg.jvp(fg.grad(f), (x,), (v,))[1], rtol=1e-14)
    assert fg.hvp(f)(np.float32([1, 2]), np.float32([1, 0])).dtype == np.float32


def test_hvp_vector_stands_behind_its_argument() -> None:
    def g(a: Any, x: Any, b: Any = 1.0) -> Any:
        return a**2 * f(x) * b

    x, v = RNG.normal(size=4), RNG.normal(size=4)
    expected = fg.hessian(g, argnums=1)(2.0, x, 3.0) @ v
    np.testing.assert_allclose(fg.hvp(g, 1)(2.0, x, v, 3.0), expected)
    np.testing.assert_allclose(fg.hvp(g, "x")(2.0, x, v, 3.0), expected)
    np.testing.assert_allclose(fg.hvp(g, "x")(2.0, x, v, b=3.0), expected)
    np.testing.assert_allclose(fg.hvp(g, "x")(2.0, x=x, v=v, b=3.0), expected)
    np.testing.assert_allclose(fg.hvp(g, -1)(2.0, x, v), expected / 3.0)
    np.testing.assert_allclose(fg.hvp(f)(x, v, 2.0), fg.hvp(f)(x, v) * 2)
    da, dx = fg.hvp(g, (0, 1))(2.0, x, (1.0, v))
    h = fg.hessian(g, argnums=(0, 1))(2.0, x)
    np.testing.assert_allclose(da, h[0][0] + h[0][1] @ v)
    np.testing.assert_allclose(dx, h[1][0] + h[1][1] @ v)
    assert str(inspect.signature(fg.hvp(g, "x"))) == "(a: 'Any', x: 'Any', v, b: 'Any' = 1.0) -> 'Any'"


def test_hvp_of_trees_keeps_the_tree() -> None:
    def g(p: Any) -> Any:
        return np.sum(p["w"] ** 2) * p["s"] ** 2

    p = {"w": np.array([1.0, 2.0]), "s": 3.0}
    result = fg.hvp(g)(p, {"w": np.array([1.0, 0.0]), "s": 1.0})
    np.testing.assert_allclose(result["w"], [18.0 + 12.0, 24.0])
    assert result["s"] == pytest.approx(12.0 + 10.0)


def test_hvp_has_aux_and_holomorphic() -> None:
    x, v = RNG.normal(size=3), RNG.normal(size=3)
    product, aux = fg.hvp(lambda x: (f(x), x * 2.0), has_aux=True)(x, v)
    np.testing.assert_allclose(product, fg.hvp(f)(x, v))
    np.testing.assert_array_equal(aux, x * 2.0)
    z = x + 1j * v
    np.testing.assert_allclose(fg.hvp(lambda z: z @ z * z[0], holomorphic=True)(z, z)[1], 4 * z[0] * z[1])


def test_hvp_of_what_is_linear_is_fresh_zeros() -> None:
    x = np.ones(3)
    for g in (np.sum, lambda x: 3.0, lambda x: x @ x):
        product = fg.hvp(g)(x, x)
        assert product.flags.writeable
        assert not np.shares_memory(product, x)
    np.testing.assert_array_equal(fg.hvp(np.sum)(x, x), np.zeros(3))
    np.testing.assert_array_equal(fg.hvp(lambda x: x @ x)(x, x), 2 * x)


def test_hvp_nested_in_other_transformations_is_the_same() -> None:
    x, vs = RNG.normal(size=4), np.eye(4)
    h = fg.hessian(f)(x)
    np.testing.assert_allclose(fg.vmap(fg.hvp(f), in_axes=(None, 0))(x, vs), h, rtol=1e-12)
    np.testing.assert_allclose(fg.jit(fg.hvp(f))(x, vs[0]), h[0], rtol=1e-12)
    np.testing.assert_allclose(fg.jacobian(fg.hvp(f), argnums=1)(x, vs[0]), h, rtol=1e-12)
    third = fg.jacobian(fg.hessian(f))(x)
    np.testing.assert_allclose(fg.jacobian(fg.hvp(f))(x, vs[1]), third[1], rtol=1e-11, atol=1e-12)


def test_hvp_bad_calls_raise() -> None:
    x = np.ones(3)
    with pytest.raises(
        DifferentiationError, match=r"hvp\(sin\) needs a function that returns one number.*shape \(3,\)"
    ):
        fg.hvp(np.sin)(x, x)
    with pytest.raises(DifferentiationError, match="returned a tuple of 2"):
        fg.hvp(lambda x: (f(x), f(x)))(x, x)
    with pytest.raises(DifferentiationError, match="returned None"):
        fg.hvp(lambda x: None)(x, x)
    with pytest.raises(TreeMismatchError, match="vector that does not fit"):
        fg.hvp(f)(x, np.ones(2))
    with pytest.raises(ArgumentError, match="without a vector"):
        fg.hvp(f)(x=x)
    with pytest.raises(ArgumentError, match="without a vector"):
        fg.hvp(f)(x)


def test_elementwise_grad_is_the_diagonal_of_the_jacobian() -> None:
    x = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(fg.elementwise_grad(np.sin)(x), np.cos(x), rtol=1e-15)
    np.testing.assert_allclose(fg.elementwise_grad(fg.elementwise_grad(np.tanh))(x), -2 * np.tanh(x) / np.cosh(x) ** 2)
    assert fg.elementwise_grad(np.sin)(0) == 1.0
    assert isinstance(fg.elementwise_grad(np.sin)(0), np.float64)
    assert fg.elementwise_grad(np.sin)(np.float32([1.0])).dtype == np.float32


def test_elementwise_grad_of_broadcast_arguments_sums() -> None:
    x, y = RNG.normal(size=(3, 1)), RNG.normal(size=4)
    dx, dy = fg.elementwise_grad(lambda x, y: x * y, argnums=("x", "y"))(x, y)
    np.testing.assert_allclose(dx, np.full((3, 1), y.sum()))
    np.testing.assert_allclose(dy, np.full(4, x.sum()))
    tree = fg.elementwise_grad(lambda p: {"a": p["x"] ** 2, "b": [p["y"]]})({"x": x, "y": y})
    np.testing.assert_array_equal(tree["x"], 2 * x)
    np.testing.assert_array_equal(tree["y"], np.ones(4))
    derivative, aux = fg.elementwise_grad(lambda x: (x * x, "aux"), has_aux=True)(y)
    np.testing.assert_array_equal(derivative, 2 * y)
    assert aux == "aux"


def test_elementwise_grad_of_complex_and_integer_arguments() -> None:
    z = np.array([1.0 + 2j, -1j])
    np.testing.assert_allclose(fg.elementwise_grad(lambda z: z**3, holomorphic=True)(z), 3 * z**2)
    with pytest.raises(DifferentiationError, match="complex value for z"):
        fg.elementwise_grad(lambda z: z**3)(z)
    with pytest.raises(DifferentiationError, match="complex result"):
        fg.elementwise_grad(lambda x: x * 1j)(np.ones(2))
    with pytest.raises(DifferentiationError, match="its dtype is int64"):
        fg.elementwise_grad(np.sin)(np.arange(3))
    np.testing.assert_array_equal(fg.elementwise_grad(np.sin, allow_int=True)(np.arange(3)), np.zeros(3))


def test_elementwise_grad_result_is_fresh() -> None:
    x = np.ones(3)
    d = fg.elementwise_grad(lambda x: x)(x)
    assert d.flags.writeable
    assert not np.shares_memory(d, x)
    a, b = fg.elementwise_grad(lambda x, y: x + y, argnums=(0, 1))(x, x)
    assert not np.shares_memory(a, b)


@pytest.mark.parametrize("transformation", [fg.hvp, fg.elementwise_grad])
def test_transformed_function_pickles(transformation: Any) -> None:
    g = pickle.loads(pickle.dumps(transformation(f)))
    x = np.arange(3.0)
    np.testing.assert_array_equal(
        g(x, x) if transformation is fg.hvp else g(x), transformation(f)(*[x] * (1 + (transformation is fg.hvp)))
    )
