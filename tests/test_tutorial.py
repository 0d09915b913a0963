"""The PyTorch autograd tutorial, feature by feature, with its own numbers.

Reference:
    "Automatic Differentiation with torch.autograd", PyTorch tutorials (Learn the Basics), and
    "A Gentle Introduction to torch.autograd".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad import grad, jacfwd, jacobian, jacrev, jvp, make_jaxpr, stop_gradient, value_and_grad, vjp

EXACT = {"rtol": 1e-12, "atol": 1e-14}
X, Y = np.ones(5), np.zeros(3)


@pytest.fixture
def parameters() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3)), rng.normal(size=3)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def loss(w: Any, b: Any, x: Any = X, y: Any = Y) -> Any:
    """Binary cross entropy with logits of a one-layer network."""
    z = x @ w + b
    losses = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    return np.mean(losses)


# Tensors, functions and the computational graph


def test_one_layer_loss_is_binary_cross_entropy(parameters: Any) -> None:
    w, b = parameters
    z = X @ w + b
    p = sigmoid(z)
    expected = np.mean(-Y * np.log(p) - (1 - Y) * np.log(1 - p))
    np.testing.assert_allclose(value_and_grad(loss)(w, b)[0], expected, **EXACT)


def test_one_layer_gradients_are_sigmoid_minus_target(parameters: Any) -> None:
    w, b = parameters
    value, (w_grad, b_grad) = value_and_grad(loss, argnums=("w", "b"))(w, b)
    assert value == loss(w, b)
    expected = (sigmoid(X @ w + b) - Y) / 3
    np.testing.assert_allclose(b_grad, expected, **EXACT)
    assert w_grad.shape == (5, 3)
    for row in w_grad:
        np.testing.assert_allclose(row, b_grad, **EXACT)


def test_one_layer_gradients_by_logaddexp_are_the_same(parameters: Any) -> None:
    w, b = parameters

    def by_logaddexp(w: Any, b: Any) -> Any:
        z = X @ w + b
        return np.mean(np.logaddexp(0, z) - z * Y)

    for ours, other in zip(grad(by_logaddexp, (0, 1))(w, b), grad(loss, (0, 1))(w, b), strict=True):
        np.testing.assert_allclose(ours, other, **EXACT)


@pytest.mark.parametrize("z", [-1e4, -800.0, -30.0, 30.0, 800.0, 1e4])
def test_loss_is_stable_for_extreme_logits(z: float) -> None:
    w, b = np.zeros((5, 3)), np.full(3, z)
    value, b_grad = value_and_grad(loss, "b")(w, b)
    np.testing.assert_allclose(value, max(z, 0.0), atol=1e-12)
    np.testing.assert_allclose(b_grad, np.full(3, np.exp(-np.logaddexp(0, -z)) / 3), rtol=1e-12, atol=1e-300)


def test_what_made_a_value_is_an_equation_with_the_line(parameters: Any) -> None:
    jaxpr = make_jaxpr(loss)(*parameters)
    made = {str(eqn.source.variable): eqn for eqn in jaxpr.equations if eqn.source and eqn.source.variable}
    z, losses = made["z"], made["losses"]
    assert z.primitive.name == "add"
    assert z.source is not None
    assert z.source.text == "z = x @ w + b"
    assert z.source.file == __file__
    assert z.source.function == "loss"
    assert z.source.line == loss.__code__.co_firstlineno + 2
    assert losses.source is not None
    assert losses.source.line == z.source.line + 1
    # The matrix product is another value of the same line, with no name of its own.
    product = next(eqn for eqn in jaxpr.equations if eqn.outputs[0] is z.inputs[0])
    assert product.source is not None
    assert (product.source.line, product.source.variable) == (z.source.line, None)
    assert "z = x @ w + b" in jaxpr.pretty_print(source_info=True)
    assert "z = x @ w + b" in jaxpr._repr_html_()


def test_undifferentiated_arguments_have_no_gradient(parameters: Any) -> None:
    w, b = parameters
    seen: list[Any] = []

    def observed(w: Any, b: Any, x: Any) -> Any:
        seen.extend(type(v) for v in (w, b, x, x * 2.0))
        return loss(w, b, x)

    b_grad = grad(observed, argnums="b")(w, b, X)
    assert b_grad.shape == (3,)
    assert seen[0] is seen[2] is seen[3] is np.ndarray


# z = x y + y^2


def test_scalar_example_gives_15_3_8() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y + y**2

    z, (x_grad, y_grad) = value_and_grad(f, argnums=(0, 1))(2.0, 3.0)
    assert (z, x_grad, y_grad) == (15.0, 3.0, 8.0)
    # Python integers at differentiated positions count as floats.
    assert value_and_grad(f, argnums=("x", "y"))(x=2, y=3) == (15.0, (3.0, 8.0))


# Tensor gradients and Jacobian products


def squared(x: Any) -> Any:
    return (x + 1) ** 2


def squared_transposed(x: Any) -> Any:
    return ((x + 1) ** 2).T


@pytest.mark.parametrize(("f", "x"), [(squared, np.eye(5)), (squared_transposed, np.eye(4, 5))])
def test_jacobian_product_with_ones_is_4_on_the_diagonal_and_2_elsewhere(f: Any, x: Any) -> None:
    expected = 2 + 2 * np.eye(*x.shape)
    out, pullback = vjp(f, x)
    np.testing.assert_array_equal(out, f(x))
    (first,) = pullback(np.ones_like(out))
    np.testing.assert_array_equal(first, expected)
    # The same pullback again: nothing accumulates, nothing needs to be zeroed or retained.
    (second,) = pullback(np.ones_like(out))
    np.testing.assert_array_equal(second, expected)
    # Results are the caller's own: writing into one changes no other.
    first += 100
    np.testing.assert_array_equal(second, expected)
    np.testing.assert_array_equal(pullback(np.ones_like(out))[0], expected)


def test_accumulation_is_explicit() -> None:
    out, pullback = vjp(squared_transposed, np.eye(4, 5))
    total = np.zeros((4, 5))
    for _ in range(2):
        (ct,) = pullback(np.ones_like(out))
        total += ct
    # What the tutorial sees at its second call without zeroing.
    np.testing.assert_array_equal(total, 4 + 4 * np.eye(4, 5))


def test_full_jacobian_stands_beside_its_products() -> None:
    x = np.eye(4, 5)
    full = jacobian(squared_transposed)(x)
    assert full.shape == (5, 4, 4, 5)
    expected = np.zeros((5, 4, 4, 5))
    for i in range(4):
        for j in range(5):
            expected[j, i, i, j] = 2 * (x[i, j] + 1)
    for jacobian_matrix in (full, jacfwd(squared_transposed)(x), jacrev(squared_transposed)(x)):
        np.testing.assert_array_equal(jacobian_matrix, expected)
    ct = np.random.default_rng(0).normal(size=(5, 4))
    _, pullback = vjp(squared_transposed, x)
    np.testing.assert_allclose(pullback(ct)[0], np.tensordot(ct, full, 2), **EXACT)
    x_dot = np.random.default_rng(1).normal(size=(4, 5))
    _, out_dot = jvp(squared_transposed, (x,), (x_dot,))
    np.testing.assert_allclose(out_dot, np.tensordot(full, x_dot, 2), **EXACT)


def test_gentle_introduction_example_gives_9a2_and_minus_2b() -> None:
    a, b = np.array([2.0, 3.0]), np.array([6.0, 4.0])
    _, pullback = vjp(lambda a, b: 3 * a**3 - b**2, a, b)
    a_grad, b_grad = pullback(np.ones(2))
    np.testing.assert_allclose(a_grad, 9 * a**2, **EXACT)
    np.testing.assert_allclose(b_grad, -2 * b, **EXACT)


# Disabling gradient tracking


def test_stop_gradient_makes_a_value_constant(parameters: Any) -> None:
    w, b = parameters

    def detached(w: Any, b: Any) -> Any:
        return loss(stop_gradient(w), b)

    w_grad, b_grad = grad(detached, (0, 1))(w, b)
    np.testing.assert_array_equal(w_grad, np.zeros((5, 3)))
    np.testing.assert_array_equal(b_grad, grad(loss, 1)(w, b))
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0


def test_code_outside_of_grad_is_not_tracked(parameters: Any) -> None:
    w, b = parameters
    assert type(X @ w + b) is np.ndarray
    assert type(loss(w, b)) is np.float64


def test_frozen_parameters_in_a_tree_have_zero_gradient(parameters: Any) -> None:
    w, b = parameters
    params = {"body": {"w": w, "b": b}, "head": [np.ones((3, 1)), np.zeros(1)]}

    def model(params: Any, x: Any) -> Any:
        h = np.tanh(x @ params["body"]["w"] + params["body"]["b"])
        return np.sum(h @ params["head"][0] + params["head"][1])

    def frozen(params: Any, x: Any) -> Any:
        return model({**params, "body": stop_gradient(params["body"])}, x)

    gradient = grad(frozen)(params, X)
    np.testing.assert_array_equal(gradient["body"]["w"], np.zeros((5, 3)))
    np.testing.assert_array_equal(gradient["body"]["b"], np.zeros(3))
    full = grad(model)(params, X)
    assert np.any(full["body"]["w"])
    for ours, other in zip(gradient["head"], full["head"], strict=True):
        np.testing.assert_array_equal(ours, other)

    # Or differentiate the head alone, and hand the rest over as it is.
    head = grad(lambda head, body, x: model({"head": head, "body": body}, x))(params["head"], params["body"], X)
    np.testing.assert_array_equal(head[0], full["head"][0])


# The graph is recreated from scratch: Python's own control flow


def test_python_if_follows_the_value() -> None:
    def f(x: Any) -> Any:
        if np.sum(x) > 0:
            return np.sum(x**2)
        return np.sum(-3 * x)

    np.testing.assert_array_equal(grad(f)(np.array([1.0, 2.0])), [2.0, 4.0])
    np.testing.assert_array_equal(grad(f)(np.array([-1.0, -2.0])), [-3.0, -3.0])


def test_python_while_runs_as_often_as_the_value_asks() -> None:
    def f(x: Any) -> Any:
        y = x
        while y < 100:
            y = y * x
        return y

    # 2 is multiplied up to 2^7 = 128, 5 up to 5^3 = 125, 200 is left as it is.
    for x, power in ((2.0, 7), (5.0, 3), (200.0, 1)):
        value, derivative = value_and_grad(f)(x)
        assert value == x**power
        np.testing.assert_allclose(derivative, power * x ** (power - 1), **EXACT)


def test_python_for_builds_a_network_as_deep_as_the_data_says() -> None:
    def f(x: Any, depth: int) -> Any:
        for _ in range(depth):
            x = np.sin(x)
        return x

    for depth in (0, 1, 5):
        x, expected = 0.7, 1.0
        for _ in range(depth):
            expected *= np.cos(x)
            x = np.sin(x)
        np.testing.assert_allclose(grad(f)(0.7, depth), expected, **EXACT)


def test_values_can_be_printed_and_asserted_inside(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        y = x * x
        assert y > 8
        print("y is", y)
        return y

    assert grad(f)(3.0) == 6.0
    assert capsys.readouterr().out == "y is 9.0\n"
