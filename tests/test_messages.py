"""Every error message, as a user meets it: what it says, where it points, and that its advice works."""

from __future__ import annotations

import contextlib
import gc
import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
import scipy.special

import funcgrad as fg
import funcgrad.numpy as fnp
from funcgrad.core.errors import (
    ArgumentError,
    CapturedArrayError,
    DifferentiationError,
    EscapedTracerError,
    FuncgradError,
    FunctionExpectedError,
    LinearityError,
    TracedAssignmentError,
    TracedBranchError,
    TracedConversionError,
    TracedIndexError,
    TreeMismatchError,
    UnsupportedFunctionError,
)

X = np.array([1.0, 2.0, 4.0])
ROWS = np.array([[1.0, -2.0, 4.0], [-3.0, 5.0, 6.0]])
KEPT: list[Any] = []
equal = np.testing.assert_allclose

INTERNAL = re.compile(r"Tracer|ShapedArray|PyTreeSpec|_value_and_grad|funcgrad/(core|api|numpy|primitives|transforms)/")


class Told:
    """The text of a message."""

    text = ""

    def __contains__(self, part: str) -> bool:
        return part in self.text

    @property
    def fix(self) -> str:
        return self.text.partition("\n  fix    ")[2]


@contextlib.contextmanager
def message(error: type[Exception], base: type[Exception], *parts: str) -> Iterator[Told]:
    """Check the message that comes out: class, length, and that it names the line marked `<-- here` (or `<-- made`)."""
    told = Told()
    with pytest.raises(error) as caught:
        yield told
    assert type(caught.value) is error
    assert isinstance(caught.value, base)
    assert isinstance(caught.value, FuncgradError)
    told.text = str(caught.value)
    check_text(told.text, inspect.stack()[2].function)
    for part in parts:
        assert part in told.text, f"{part!r} is not in\n{told.text}"


def check_text(text: str, test: str) -> None:
    lines = text.split("\n")
    assert len(lines) <= 12
    assert "\n  fix    " in text
    assert text.rstrip().endswith((".", "?"))
    assert INTERNAL.search(text) is None, text
    source, first = inspect.getsourcelines(globals()[test])
    for mark, label in (("# <-- here", "where"), ("# <-- made", "made")):
        numbers = [first + i for i, line in enumerate(source) if mark in line]
        assert len(numbers) < 2
        for number in numbers:
            assert re.search(rf"\n  {label:<6} .*test_messages\.py:{number}, in ", text), (number, text)


# What the function returns -------------------------------------------------------------------------------------------


def test_array_result_of_grad() -> None:
    def model(x: Any) -> Any:  # <-- here
        y = np.sin(x)
        return y

    with message(
        DifferentiationError, TypeError, "grad(model) needs a function that returns one number;", "shape (3,)"
    ) as told:
        fg.grad(model)(X)
    assert "value  result: float64[3], made by `sin` (test_messages.py:" in told
    for name in ("np.sum", "np.mean", "funcgrad.jacobian(f)", "funcgrad.elementwise_grad(f)", "funcgrad.vjp(f, x)"):
        assert name in told.fix
    equal(fg.grad(lambda x: np.sum(model(x)))(X), np.cos(X))
    equal(fg.grad(lambda x: np.mean(model(x)))(X), np.cos(X) / 3)
    equal(fg.jacobian(model)(X), np.diag(np.cos(X)))
    equal(fg.elementwise_grad(model)(X), np.cos(X))
    equal(fg.vjp(model, X)[1](np.ones(3))[0], np.cos(X))


def test_pair_as_result_of_grad() -> None:
    def model(x: Any) -> Any:  # <-- here
        return np.sum(x), x

    with message(DifferentiationError, TypeError, "model returned a tuple", "has_aux=True"):
        fg.grad(model)(X)
    equal(fg.grad(model, has_aux=True)(X)[0], np.ones(3))


def test_no_result_of_grad() -> None:
    def model(x: Any) -> None:  # <-- here
        np.sum(x)

    with message(DifferentiationError, TypeError, "model returned None", "does model lack a return statement?"):
        fg.grad(model)(X)


def test_object_as_result_of_grad() -> None:
    def model(x: Any) -> Any:  # <-- here
        return Told()

    with message(DifferentiationError, TypeError, "model returned a Told"):
        fg.grad(model)(X)


def test_integer_result_of_grad() -> None:
    def model(x: Any) -> Any:  # <-- here
        return np.argmax(x)

    with message(DifferentiationError, TypeError, "grad(model)", "model returned int64", "return a float"):
        fg.grad(model)(X)
    with message(DifferentiationError, TypeError, "jacobian(model)", "model returned int64[]", "has_aux=True"):
        fg.jacobian(model)(X)
    equal(fg.jacobian(lambda x: (x, model(x)), has_aux=True)(X)[0], np.eye(3))


def test_no_pair_with_has_aux() -> None:
    def model(x: Any) -> Any:  # <-- here
        return np.sum(x)

    fix = "return (result, auxiliary_data)"
    for transformed in (fg.grad(model, has_aux=True), fg.jacobian(model, has_aux=True)):
        with message(DifferentiationError, TypeError, "has_aux=True, but model did not return a pair", fix):
            transformed(X)
    with message(DifferentiationError, TypeError, "vjp(model)", "value  it returned a number"):
        fg.vjp(model, X, has_aux=True)


def test_text_as_result_of_vjp() -> None:
    def model(x: Any) -> Any:
        return {"value": x, "name": "text"}

    with message(DifferentiationError, TypeError, "vjp(model)", "result['name'] = 'text'", "has_aux=True"):
        fg.vjp(model, X)  # <-- here
    assert fg.vjp(lambda x: (x, model(x)["name"]), X, has_aux=True)[2] == "text"


def test_complex_result() -> None:
    def model(x: Any) -> Any:  # <-- here
        return np.sum(x * 2j)

    with message(
        DifferentiationError, TypeError, "grad(model) got a complex result from model", "complex128[]"
    ) as told:
        fg.grad(model)(X)
    assert "holomorphic=True if it is, with complex arguments; np.real, np.imag or np.abs" in told.fix
    equal(fg.grad(model, holomorphic=True)(X + 0j), np.full(3, 2j))
    equal(fg.grad(lambda x: np.imag(model(x)))(X), np.full(3, 2.0))
    with message(DifferentiationError, TypeError, "jacrev(model)", "funcgrad.jacfwd for real arguments"):
        fg.jacrev(model)(X)
    equal(fg.jacfwd(model)(X), np.full(3, 2j))
    with message(DifferentiationError, TypeError, "elementwise_grad(model)", "np.real and np.imag of the result"):
        fg.elementwise_grad(model)(X)


def test_real_result_with_holomorphic() -> None:
    def model(z: Any) -> Any:  # <-- here
        return np.sum(np.real(z) ** 2)

    with message(DifferentiationError, TypeError, "holomorphic=True, but model returned a real result", "funcgrad.vjp"):
        fg.grad(model, holomorphic=True)(X + 0j)
    equal(fg.vjp(model, X + 0j)[1](1.0)[0], 2 * X)


# Which arguments -----------------------------------------------------------------------------------------------------


def test_complex_argument() -> None:
    def model(z: Any) -> Any:
        return np.sum(z**2)

    with message(DifferentiationError, TypeError, "grad(model) got a complex value for z", "z: complex128[3]"):
        fg.grad(model)(X + 0j)  # <-- here
    equal(fg.grad(model, holomorphic=True)(X + 0j), 2 * X)


def test_integer_array() -> None:
    def model(params: Any) -> Any:
        return np.sum(params["w"] ** 2.0)

    w = np.arange(3)
    with message(
        DifferentiationError, TypeError, "grad(model) cannot differentiate params['w']: its dtype is int64"
    ) as t:
        fg.grad(model)({"w": w})  # <-- here
    assert "params['w'].astype(float), or another argnums; allow_int=True gives zeros" in t.fix
    equal(fg.grad(model)({"w": w.astype(float)})["w"], 2 * w)
    equal(fg.grad(model, allow_int=True)({"w": w})["w"], 0 * w)


def test_text_among_differentiated_leaves() -> None:
    @dataclass
    class Layer:
        w: Any
        name: str

    def model(params: Any) -> Any:
        return np.sum(params.w if isinstance(params, Layer) else params["w"])

    with message(DifferentiationError, TypeError, "params['name']: it is a string", "params['name'] = 'dense'") as told:
        fg.grad(model)({"w": X, "name": "dense"})  # <-- here
    assert "a field of a dataclass" in told.fix
    equal(fg.grad(model)(Layer(X, "dense")).w, np.ones(3))


def test_argnums_out_of_range() -> None:
    def model(weights: Any, bias: Any) -> Any:
        return np.sum(weights * bias)

    with message(ArgumentError, ValueError, "grad(model) has argnums=2, but was called with 2 pos") as told:
        fg.grad(model, argnums=2)(X, X)  # <-- here
    assert told.fix == "argnums=0 to 1, or by name: 'weights' or 'bias'."
    equal(fg.grad(model, argnums=1)(X, X), X)
    equal(fg.grad(model, argnums="bias")(X, X), X)


def test_argnums_without_arguments() -> None:
    def model(x: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "grad(model)", "0 positional", "keyword arguments: y"):
        fg.grad(model)(y=1.0)  # <-- here


def test_parameter_name_nearly_right() -> None:
    def model(weights: Any, bias: Any) -> Any:
        return np.sum(weights)

    with message(ArgumentError, ValueError, "'weigths', but model has no such", "parameters: weights, bias") as told:
        fg.grad(model, argnums="weigths")(X, X)  # <-- here
    assert told.fix == "did you mean 'weights'?"
    equal(fg.grad(model, argnums="weights")(X, X), np.ones(3))


def test_parameter_that_is_not_passed() -> None:
    def model(weights: Any, bias: Any = 2.0) -> Any:
        return np.sum(weights) * bias

    with message(ArgumentError, ValueError, "the derivative in 'bias', but the call does not pass it", "pass bias=..."):
        fg.grad(model, argnums="bias")(X)  # <-- here
    equal(fg.grad(model, argnums="bias")(X, bias=2.0), 7.0)


@pytest.mark.parametrize("argnums", [1.5, (0, None)])
def test_argnums_of_another_kind(argnums: Any) -> None:
    def model(x: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, f"grad(model) has argnums={argnums!r}", "a position, a parameter's name"):
        fg.grad(model, argnums=argnums)(1.0)  # <-- here


def test_argument_twice() -> None:
    def model(x: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "grad(model) got the same argument twice: argnums=(0, 'x')"):
        fg.grad(model, argnums=(0, "x"))(1.0)  # <-- here


def test_value_in_place_of_a_function() -> None:
    def model(x: Any) -> Any:
        return np.sum(x)

    with message(
        FunctionExpectedError, TypeError, "grad expected a function to transform, got np.float64(7.0)"
    ) as told:
        fg.grad(model(X))(X)  # <-- here
    assert told.fix == "grad(f)(x) in place of grad(f(x))."


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda f: partial(f, scale=2.0), "grad(model)"),
        (lambda f: fg.vmap(f), "grad(vmap(model))"),
        (lambda f: fg.jit(fg.vmap(f)), "grad(jit(vmap(model)))"),
        (lambda f: Network(f), "grad(Network)"),
        (lambda f: Network(f).loss, "grad(Network.loss)"),
    ],
)
def test_functions_are_named_as_the_user_made_them(function: Any, name: str) -> None:
    def model(x: Any, scale: float = 1.0) -> Any:
        return x * scale

    with message(DifferentiationError, TypeError, f"{name} needs a function"):
        fg.grad(function(model))(X)
    assert repr(fg.grad(function(model))) == name


class Network:
    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f

    def __call__(self, x: Any) -> Any:
        return self.f(x)

    def loss(self, x: Any) -> Any:
        return self.f(x)


# Tangents and cotangents ---------------------------------------------------------------------------------------------


def test_tangents_of_another_structure() -> None:
    def model(p: Any) -> Any:
        return np.sum(p["w"]) * p["b"]

    p = {"w": X, "b": 2.0}
    with message(TreeMismatchError, TypeError, "jvp(model) got a tangent", "({'w': *},)", "({'b': *, 'w': *},)"):
        fg.jvp(model, (p,), ({"w": X},))  # <-- here
    assert fg.jvp(model, (p,), ({"w": X, "b": 0.0},))[1] == 14.0


def test_tangent_of_another_shape() -> None:
    def model(p: Any) -> Any:
        return np.sum(p["w"])

    with message(
        TreeMismatchError, TypeError, "jvp(model)", "tangent[0]['w']: float64[2]", "expected: float64[3]"
    ) as t:
        fg.jvp(model, ({"w": X},), ({"w": X[:2]},))  # <-- here
    assert "belongs to, p['w']." in t
    assert "np.ones((3,), np.float64)" in t.fix
    assert fg.jvp(model, ({"w": X},), ({"w": np.ones((3,), np.float64)},))[1] == 3.0


def test_tangent_of_another_dtype() -> None:
    def model(x: Any) -> Any:
        return np.sum(x)

    tangent = [np.ones(3, np.float32)]
    with message(
        TreeMismatchError, TypeError, "jvp(model)", "belongs to, x.", "float32[3]", "expected: float64[3]"
    ) as t:
        fg.jvp(model, (X,), tangent)  # <-- here
    assert t.fix == "tangent[0].astype(np.float64)."
    assert fg.jvp(model, (X,), (tangent[0].astype(np.float64),))[1] == 3.0


def test_tangents_that_are_no_tuple() -> None:
    def model(x: Any) -> Any:
        return np.sum(x)

    with message(
        TreeMismatchError, TypeError, "jvp(model) takes primals and tangents as tuples", "jvp(f, (x,), (x_dot,))"
    ):
        fg.jvp(model, X, X)  # type: ignore[arg-type]  # <-- here
    assert fg.jvp(model, (X,), (X,))[1] == 7.0


def test_cotangent_that_does_not_fit() -> None:
    def model(x: Any) -> Any:
        return {"a": x * 2.0}

    _, pullback = fg.vjp(model, X)
    with message(TreeMismatchError, TypeError, "vjp(model)", "belongs to, result['a'].", "cotangent['a']: float[]"):
        pullback({"a": 1.0})  # <-- here
    equal(pullback({"a": np.ones((3,), np.float64)})[0], np.full(3, 2.0))


def test_cotangent_of_another_structure() -> None:
    def model(x: Any) -> Any:
        return x * 2.0

    _, pullback = fg.vjp(model, X)
    with message(TreeMismatchError, TypeError, "vjp(model) got a cotangent", "cotangent: (*,)", "expected: *\n"):
        pullback((X,))  # <-- here
    equal(pullback(X)[0], 2 * X)


def test_vector_of_hvp_that_does_not_fit() -> None:
    def model(x: Any) -> Any:
        return x @ x

    with message(TreeMismatchError, TypeError, "hvp(model) got a vector", "vector: float64[2]"):
        fg.hvp(model)(X, X[:2])  # <-- here
    equal(fg.hvp(model)(X, X), 2 * X)


def test_hvp_without_a_vector() -> None:
    def model(x: Any) -> Any:
        return x @ x

    with message(ArgumentError, ValueError, "hvp(model) was called without a vector", "hvp(f)(x, v), or v=..."):
        fg.hvp(model)(X)  # <-- here
    equal(fg.hvp(model)(X, v=X), 2 * X)


def test_hvp_of_an_array() -> None:
    def model(x: Any) -> Any:  # <-- here
        return x**2

    with message(DifferentiationError, TypeError, "hvp(model)", "shape (3,)", "funcgrad.hessian(f)"):
        fg.hvp(model)(X, X)
    assert fg.hessian(model)(X).shape == (3, 3, 3)


def test_options_of_jacobian() -> None:
    def model(x: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "jacobian(model) got mode='forward'", '"auto", "fwd" or "rev"'):
        fg.jacobian(model, mode="forward")  # type: ignore[arg-type]  # <-- here


# Values that escape --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda h: h + 1.0,
        lambda h: np.exp(h),
        lambda h: float(h[0]) if h.shape else float(h),
        lambda h: bool(h),
        lambda h: np.asarray(h),
        lambda h: h.tolist(),
        lambda h: math.sin(h),
        lambda h: h[0],
        lambda h: fg.grad(lambda x: x * np.sum(h))(1.0),
    ],
)
def test_escape_into_a_list(use: Any) -> None:
    def model(x: Any) -> Any:
        h = np.sin(x)  # <-- made
        KEPT.append(h)
        return np.sum(h), fg.stop_gradient(h)

    _, aux = fg.grad(model, has_aux=True)(X[:1])
    with message(
        EscapedTracerError, RuntimeError, "a traced value of grad(model) was used after", "h: float64[1]"
    ) as t:
        use(KEPT.pop())
    assert "in <lambda>" in t
    assert "return it from the function (has_aux=True" in t.fix
    assert "keep funcgrad.stop_gradient(x)" in t.fix
    equal(aux, np.sin(X[:1]))


def test_escape_into_an_attribute() -> None:
    box = Told()

    def model(x: Any) -> Any:
        box.hidden = np.sin(x)  # type: ignore[attr-defined]  # <-- made
        return box.hidden  # type: ignore[attr-defined]

    fg.vmap(model)(X)
    with message(EscapedTracerError, RuntimeError, "vmap(model)", "box.hidden: float64[]", "an attribute") as told:
        _ = box.hidden * 2.0  # type: ignore[attr-defined]  # <-- here
    assert told.fix == "return it from the function."


def test_escape_of_an_argument_into_a_closure() -> None:
    leak = None

    def model(params: Any) -> Any:
        nonlocal leak
        leak = params["w"]
        return np.sum(params["w"])

    fg.grad(model)({"w": X})
    with message(EscapedTracerError, RuntimeError, "grad(model)", "params['w']: float64[3], an argument"):
        _ = leak + 1.0  # <-- here

    def closure(x: Any) -> Any:
        def later() -> Any:
            return x * 2.0

        KEPT.append(later)
        return x

    fg.jit(closure)(2.0)
    with pytest.raises(EscapedTracerError, match=r"jit\(closure\)(.*\n)*.*x: float\[\], an argument(.*\n)*.*in later:"):
        KEPT.pop()()


def test_escape_of_a_kept_function() -> None:
    def model(x: Any) -> Any:
        KEPT.append(x * 2.0)  # <-- made
        return x

    _, pullback = fg.vjp(model, 2.0)
    with message(EscapedTracerError, RuntimeError, "vjp(model)"):
        KEPT.pop() + 1.0  # <-- here
    assert pullback(1.0) == (1.0,)


# Python reads a value that is not there ------------------------------------------------------------------------------


def test_if_under_vmap() -> None:
    def model(x: Any) -> Any:
        positive = x > 0
        if positive:  # <-- here
            return x
        return -2.0 * x

    with message(TracedBranchError, TypeError, "vmap(model) met a Python branch", "positive: bool[], made by") as told:
        fg.vmap(model)(ROWS[0])
    assert "np.where(positive, a, b) element by element" in told.fix
    assert "np.stack([f(row) for row in x])" in told.fix
    expected = np.where(ROWS[0] > 0, ROWS[0], -2 * ROWS[0])
    equal(fg.vmap(lambda x: np.where(x > 0, x, -2.0 * x))(ROWS[0]), expected)
    equal(np.stack([model(row) for row in ROWS[0]]), expected)


def test_if_on_an_argument_under_vmap_of_grad() -> None:
    def model(x: Any, flag: Any) -> Any:
        return x * 2.0 if flag else x  # <-- here

    with message(
        TracedBranchError, TypeError, "vmap(grad(model))", "flag: bool[], an argument", "np.where(flag, a, b)"
    ):
        fg.vmap(fg.grad(model))(X, X > 1)
    equal(fg.vmap(fg.grad(lambda x, flag: np.where(flag, 2.0 * x, x)))(X, X > 1), [1, 2, 2])


def test_if_in_jit_under_vmap() -> None:
    def model(x: Any) -> Any:
        return x if x > 0 else -x  # <-- here

    def loss(x: Any) -> Any:
        return fg.jit(model)(x) * 2.0

    with message(
        TracedBranchError, TypeError, "vmap(loss) met", "vmap records the function once", "np.where(x > 0, a, b)"
    ):
        fg.vmap(loss)(X)


def test_while_under_vmap() -> None:
    def model(x: Any) -> Any:
        while x > 1:  # <-- here
            x = x / 2
        return x

    with message(TracedBranchError, TypeError, "vmap(model)", "funcgrad.while_loop(cond_fun, body_fun, x)"):
        fg.vmap(model)(X)

    def stepped(x: Any) -> Any:
        return fg.while_loop(lambda x: x > 1, lambda x: x / 2, x)

    equal(fg.vmap(stepped)(X), np.ones(3))
    with message(TracedBranchError, TypeError, "eval_shape(model)", "eval_shape records the function once") as told:
        fg.eval_shape(model, 1.0)
    assert "vmap" not in told.fix


def test_assert_under_vmap() -> None:
    def model(x: Any) -> Any:
        assert np.all(x > 0)  # <-- here
        return x

    with message(TracedBranchError, TypeError, "vmap(model)", "leave the assertion out"):
        fg.vmap(model)(X)


def test_builtin_max_under_vmap() -> None:
    def model(x: Any) -> Any:
        return max(x, 2.0)  # <-- here

    with message(TracedBranchError, TypeError, "vmap(model)", "np.maximum(a, b) in place of max(a, b)"):
        fg.vmap(model)(X)
    equal(fg.vmap(lambda x: np.maximum(x, 2.0))(X), [2, 2, 4])


def test_membership_under_vmap() -> None:
    def model(x: Any) -> Any:
        return 1.0 if 4.0 in x else 0.0  # <-- here

    with message(TracedBranchError, TypeError, "vmap(model)", "np.where(np.any(x == v), a, b)"):
        fg.vmap(model)(ROWS)
    equal(fg.vmap(lambda x: np.where(np.any(x == 4.0), 1.0, 0.0))(ROWS), [1, 0])


def test_mask_under_vmap() -> None:
    def model(x: Any) -> Any:
        mask = x > 0
        return np.sum(x[mask])  # <-- here

    with message(TracedIndexError, IndexError, "vmap(model) met a selection by a traced mask", "mask: bool[3]") as told:
        fg.vmap(model)(ROWS)
    assert "np.where(mask, x, 0) keeps the shape" in told.fix
    assert "x.at[mask].set(v)" in told.fix
    equal(fg.vmap(lambda x: np.sum(np.where(x > 0, x, 0)))(ROWS), [5, 11])
    equal(fg.vmap(lambda x: x.at[x < 0].set(0.0))(ROWS), np.maximum(ROWS, 0))


@pytest.mark.parametrize("f", [np.nonzero, np.unique, np.flatnonzero])
def test_shape_by_values_under_vmap(f: Any) -> None:
    def model(x: Any) -> Any:
        return f(x)  # <-- here

    with message(TracedIndexError, IndexError, "vmap(model) met f() of traced values", "x: float64[3]", "np.stack"):
        fg.vmap(model)(ROWS)


def test_update_at_indices_that_may_repeat() -> None:
    def model(x: Any, i: Any) -> Any:
        return x.at[i].multiply(2.0)  # <-- here

    i = np.array([[0, 1], [2, 1]])
    with message(TracedIndexError, IndexError, "vmap(model) met an update", "i: int64[2]", "unique_indices=True"):
        fg.vmap(model)(ROWS, i)
    doubled = fg.vmap(lambda x, i: x.at[i].multiply(2.0, unique_indices=True))(ROWS, i)
    equal(doubled, ROWS * [[2, 2, 1], [1, 2, 2]])


CONVERSIONS: list[tuple[Callable[[Any], Any], Callable[[Any], Any], str, str]] = [
    (lambda x: float(x), lambda x: x, "float()", "leave float() away"),
    (lambda x: math.sin(x), lambda x: np.sin(x), "math.sin()", "np.sin in place of math.sin"),
    (lambda x: complex(x), lambda x: x + 0j, "complex()", "x + 0j"),
    (lambda x: x.item(), lambda x: x, "x.item()", "leave it an array"),
    (lambda x: x.tolist(), lambda x: x, "x.tolist()", "leave it an array"),
    (lambda x: np.float64(x), lambda x: x.astype(np.float64), "np.float64()", "x.astype(np.float64)"),
    (lambda x: np.asarray(x), lambda x: fnp.array(x), "np.asarray()", "funcgrad.numpy.array(x)"),
]
NUMBERS: list[tuple[Callable[[Any], Any], Callable[[Any], Any], str, str]] = [
    (lambda x: int(x), lambda x: np.trunc(x), "int()", "np.trunc(x), or x.astype(int)"),
    (lambda x: int(x), lambda x: x.astype(int), "int()", "in_axes=None for an argument"),
    (lambda x: math.floor(x), lambda x: np.floor(x), "math.floor()", "np.floor in place of math.floor"),
]


@pytest.mark.parametrize(
    ("f", "instead", "who", "fix"), CONVERSIONS + NUMBERS, ids=lambda x: x if type(x) is str else ""
)
def test_conversions_under_vmap(f: Any, instead: Any, who: str, fix: str) -> None:
    values = np.array([1.5, 2.5])
    parts = f"vmap(<lambda>) met {who} asking for", "x: float64[], an argument", "vmap records the function once", fix
    with message(TracedConversionError, TypeError, *parts) as told:
        fg.vmap(f)(values)
    assert f"test_messages.py:{f.__code__.co_firstlineno}, in <lambda>" in told
    assert "stop_gradient" not in told
    equal(fg.vmap(instead)(values), np.array([f(v) for v in values]))


@pytest.mark.parametrize(("f", "instead", "who", "fix"), CONVERSIONS)
def test_conversions_under_grad(f: Any, instead: Any, who: str, fix: str) -> None:
    parts = f"grad(<lambda>) met {who} asking for", "x: float64[], an argument", "derivative", fix
    value = np.array(2.5) if "item" in who or "tolist" in who else np.float64(2.5)
    with message(TracedConversionError, TypeError, *parts, "funcgrad.stop_gradient(x)") as told:
        fg.grad(f)(value)
    assert f"test_messages.py:{f.__code__.co_firstlineno}, in <lambda>" in told
    equal(fg.grad(lambda x: np.real(instead(x)))(value), 1.0 if "sin" not in who else np.cos(2.5))
    assert fg.grad(lambda x: np.real(f(fg.stop_gradient(x))) * x)(value) == np.real(f(value))


def test_float_under_jit() -> None:
    def model(x: Any) -> Any:
        return np.sin(float(x))  # <-- here

    with message(TracedConversionError, TypeError, "jit(model) met float()", "jit records the function once") as told:
        fg.jit(model)(2.0)
    assert told.fix == "leave float() away: a traced number is one already."
    assert fg.jit(lambda x: np.sin(x))(2.0) == np.sin(2.0)


def test_integers_from_values_under_grad_just_work() -> None:
    assert fg.grad(lambda x: x * int(x) + sum(range(int(x))) * x)(3.5) == 3 + 3
    assert fg.grad(lambda x: x * math.floor(x) * round(x))(2.75) == 2 * 3


def test_range_under_vmap() -> None:
    def model(x: Any, n: Any) -> Any:
        for _ in range(n):  # <-- here
            x = x * 2.0
        return x

    n = np.array([0, 1, 2])
    with message(TracedConversionError, TypeError, "vmap(model) met range()", "n: int64[]", "in_axes=None") as told:
        fg.vmap(model)(X, n)
    assert "range(most), with np.where(i < n, new_x, x) in the loop" in told.fix

    def most(x: Any, n: Any) -> Any:
        for i in range(2):
            x = np.where(i < n, x * 2.0, x)
        return x

    equal(fg.vmap(most)(X, n), X * [1, 2, 4])
    equal(fg.vmap(model, in_axes=(0, None))(X, 2), X * 4)


def test_slice_under_vmap() -> None:
    def model(x: Any, n: Any) -> Any:
        return np.sum(x[:n])  # <-- here

    with message(
        TracedConversionError, TypeError, "vmap(model)", "n: int64[]", "np.where(np.arange(len(x)) < n, x, 0)"
    ):
        fg.vmap(model)(ROWS, np.array([1, 2]))
    shorter = fg.vmap(lambda x, n: np.sum(np.where(np.arange(len(x)) < n, x, 0)))
    equal(shorter(ROWS, np.array([1, 2])), [1, 2])


@pytest.mark.parametrize(
    "f",
    [lambda x, n: np.sum(x, axis=n), lambda x, n: x.reshape(n), lambda x, n: np.roll(x, n, axis=n)],
    ids=["axis", "reshape", "roll"],
)
def test_configuration_that_is_mapped(f: Any) -> None:
    with message(TracedConversionError, TypeError, "vmap(<lambda>) met", "n: int64[]", "in_axes=None for an argument"):
        fg.vmap(f)(ROWS, np.array([0, 0]))


def test_number_is_not_iterable_nor_hashable() -> None:
    for f, text in (
        (lambda x: list(x), "iteration over a 0-d array"),
        (lambda x: {x: 1}, "unhashable type: 'traced array'"),
        (lambda x: x.backward(), "a traced array has no attribute 'backward'"),
        (lambda x: setattr(x, "name", "x"), "'traced array' object has no attribute 'name'"),
    ):
        with pytest.raises((TypeError, AttributeError), match=text) as caught:
            fg.vmap(f)(X)
        assert INTERNAL.search(str(caught.value)) is None


# Plain arrays meet traced values -------------------------------------------------------------------------------------


def test_array_of_a_list() -> None:
    def model(x: Any) -> Any:
        first = x[0] * 2.0
        return np.sum(np.array([first, x[1]]))  # <-- here

    with message(TracedConversionError, TypeError, "grad(model) met np.array()", "first: float64[], made by") as told:
        fg.grad(model)(X)
    assert "np.stack([a, b]), or funcgrad.numpy.array([a, b]), for np.array([a, b])" in told.fix
    for array in (np.stack, fnp.array):
        equal(fg.grad(lambda x, array=array: np.sum(array([x[0] * 2.0, x[1]])))(X), [2, 1, 0])


def test_function_of_a_list() -> None:
    def model(x: Any) -> Any:
        return np.mean([x[0], x[1]])  # <-- here

    with message(TracedConversionError, TypeError, "grad(model) met np.mean()", "np.mean(np.stack([a, b]))"):
        fg.grad(model)(X)
    equal(fg.grad(lambda x: np.mean(np.stack([x[0], x[1]])))(X), [0.5, 0.5, 0])
    equal(fg.grad(lambda x: sum([x[0], x[1]]))(X), [1, 1, 0])


@pytest.mark.parametrize("transform", [lambda f: fg.grad(f)(X), lambda f: fg.vmap(f)(ROWS), lambda f: fg.jit(f)(X)])
def test_assignment_to_an_element_of_a_plain_array(transform: Any) -> None:
    def model(x: Any) -> Any:
        y = np.zeros(3)
        y[0] = x[1]  # <-- here
        return np.sum(y)

    parts = "(model) met an assignment to elements of a plain array", "float64[], made by"
    with message(TracedAssignmentError, TypeError, *parts, "y = funcgrad.numpy.zeros(n)", "np.zeros_like(x)") as told:
        transform(model)
    assert "funcgrad.numpy.at(y)[i].set(v)" in told.fix

    def filled(zeros: Any, x: Any) -> Any:
        y = zeros(x)
        y[0] = x[1]
        return np.sum(y)

    for zeros in (lambda x: fnp.zeros(3), np.zeros_like):
        equal(fg.grad(partial(filled, zeros))(X), [0, 1, 0])
    equal(fg.grad(lambda x: np.sum(fnp.at(np.zeros(3))[0].set(x[1])))(X), [0, 1, 0])


def test_assignment_error_is_numpys_too_and_the_users_own_are_left_alone() -> None:
    def assigning(x: Any) -> Any:
        y = np.zeros(3)
        y[:2] = x[1:]
        return np.sum(y)

    with pytest.raises(ValueError, match="assignment to elements"):
        fg.grad(assigning)(X)

    def wrapping(x: Any) -> Any:
        try:
            return float(x)
        except TypeError as error:
            raise ValueError("mine") from error

    with pytest.raises(ValueError, match="mine"):
        fg.grad(wrapping)(2.0)


def test_augmented_assignment_to_a_plain_array() -> None:
    def model(x: Any) -> Any:
        total = np.zeros(3)
        total += x  # <-- here
        return np.sum(total)

    with message(TracedAssignmentError, TypeError, "grad(model) met out=", "total: float64[3]") as told:
        fg.grad(model)(X)
    assert "write a = a + b in place of a += b; or make the array with funcgrad.numpy.zeros(n)" in told.fix

    def working(x: Any) -> Any:
        total = fnp.zeros(3)
        total += x
        return np.sum(np.zeros(3) + total)

    equal(fg.grad(working)(X), np.ones(3))


def test_plain_table_at_a_traced_index() -> None:
    table = np.array([5.0, 6.0, 7.0])

    def model(i: Any) -> Any:
        return table[i]  # <-- here

    i = np.array([2, 0])
    fix = "funcgrad.numpy.take(table, i) instead of table[i]"
    with message(TracedConversionError, TypeError, "vmap(model)", "i: int64[], an argument", fix):
        fg.vmap(model)(i)
    equal(fg.vmap(lambda i: fnp.take(table, i))(i), [7, 5])
    equal(fg.vmap(lambda i: fnp.take([5.0, 6.0, 7.0], i))(i), [7, 5])
    with message(TracedConversionError, TypeError, "grad(model)", "i: float[]", "take(table, i.astype(int))"):
        fg.grad(model)(2.0)
    assert fg.grad(lambda i: i * fnp.take(table, i.astype(int)))(2.0) == 7.0


def test_dot_of_a_plain_array() -> None:
    def model(x: Any) -> Any:
        return X.dot(x)  # <-- here

    with message(
        TracedConversionError, TypeError, "grad(model) met X.dot()", "x: float64[3]", "a @ x, or np.dot(a, x)"
    ):
        fg.grad(model)(X)
    equal(fg.grad(lambda x: X @ x)(X), X)
    equal(fg.grad(lambda x: np.dot(X, x))(X), X)


def test_percent_formatting() -> None:
    def model(x: Any) -> Any:
        KEPT.append("%.1f" % x)  # noqa: UP031  # <-- here
        return x

    with message(TracedConversionError, TypeError, "grad(model)", "x: float[]", 'f"{x:.2f}" in place of'):
        fg.grad(model)(2.0)
    assert fg.grad(lambda x: x * len(f"{x:.2f}"))(2.0) == 4.0


def test_random_numbers_with_traced_parameters() -> None:
    def model(x: Any) -> Any:
        rng = np.random.default_rng(0)
        return rng.normal(x, 2.0)  # <-- here

    with message(
        TracedConversionError, TypeError, "grad(model) met rng.normal()", "loc + scale * rng.standard_normal("
    ):
        fg.grad(model)(1.0)
    assert fg.grad(lambda x: x + 2.0 * np.random.default_rng(0).standard_normal())(1.0) == 1.0


def test_plain_array_that_is_modified_later() -> None:
    def model(x: Any) -> Any:
        buffer = np.ones(5000)
        y = np.sum(np.sum(x) * buffer)  # <-- here
        buffer *= 2.0
        return y

    with message(CapturedArrayError, RuntimeError, "grad(model) used an array", "float64[5000]", "array = array * 2"):
        fg.grad(model)(X)

    def copying(x: Any) -> Any:
        buffer = np.ones(5000)
        y = np.sum(np.sum(x) * buffer)
        buffer = buffer * 2.0
        return y

    equal(fg.grad(copying)(X), np.full(3, 5000.0))


# Functions without rules ---------------------------------------------------------------------------------------------


def test_numpy_function_without_a_rule() -> None:
    def model(x: Any) -> Any:
        return np.polyfit(x, x, 1)[0]  # <-- here

    with message(UnsupportedFunctionError, TypeError, "np.polyfit of a traced array", "stop_gradient"):
        fg.grad(model)(X)
    assert np.isfinite(fg.grad(lambda x: np.sum(x) * np.polyfit(fg.stop_gradient(x), X, 1)[0])(X)).all()


def test_scipy_ufunc_without_a_rule() -> None:
    def model(x: Any) -> Any:
        return np.sum(scipy.special.wofz(x))  # <-- here

    with message(UnsupportedFunctionError, TypeError, "scipy.special.wofz of a traced array is not supported"):
        fg.grad(model)(X)


SCIPY: list[Callable[[Any], Any]] = [
    lambda x: scipy.linalg.expm(np.diag(x))[0, 0],
    lambda x: scipy.integrate.quad(lambda t: t * x[0], 0.0, 1.0)[0],
    lambda x: scipy.optimize.brentq(lambda t: t * x[0] - 1.0, 0.0, 3.0),
    lambda x: scipy.optimize.minimize(lambda t: ((t - x[0]) ** 2)[0], [0.0]).fun,
]


@pytest.mark.parametrize("f", SCIPY, ids=["expm", "quad", "brentq", "minimize"])
def test_scipy_function_of_traced_values(f: Any) -> None:
    with message(
        TracedConversionError, TypeError, "grad(<lambda>) met scipy.", "NumPy's functions in place of"
    ) as told:
        fg.grad(f)(X)
    assert f"test_messages.py:{f.__code__.co_firstlineno}, in <lambda>" in told
    assert "funcgrad.stop_gradient(x) of every traced value that goes into it" in told.fix
    assert fg.grad(lambda x: x[0] * f(fg.stop_gradient(x)))(X)[0] == f(X)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_that_scipy_goes_on_after_is_found_where_a_garbage_collection_drops_it() -> None:
    def distance(t: Any, x: Any) -> Any:
        gc.collect()
        return t * x[0] - 1.0

    f = lambda x: scipy.optimize.brentq(distance, 0.0, 3.0, (x,))
    with message(TracedConversionError, TypeError, "grad(<lambda>) met scipy.", "NumPy's functions in place of"):
        fg.grad(f)(X)
    with pytest.raises(ValueError, match="must have different signs"):
        fg.grad(lambda x: scipy.optimize.brentq(lambda t: t + 1.0, 0.0, 3.0) * x[0])(X)
    with pytest.raises(ValueError, match="must have different signs"):
        fg.grad(lambda x: _after_an_error(f, x))(X)


def _after_an_error(f: Any, x: Any) -> Any:
    """What SciPy raises of its own account after an error that the user has seen to."""
    with contextlib.suppress(TypeError):
        scipy.integrate.quad(lambda t: t * x[0], 0.0, 1.0)
    return scipy.optimize.brentq(lambda t: t + 1.0, 0.0, 3.0) * x[0]


# Axes of vmap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda f: fg.vmap(f, in_axes=(0,))(X, X), ("for 1 argument, but was called with 2", "in_axes=(0,)")),
        (lambda f: fg.vmap(f, in_axes=(0, {"v": 0}))(X, {"w": X}), ("in_axes that do not match its arguments", "'w'")),
        (lambda f: fg.vmap(f, in_axes=(0, 1))(X, X), ("cannot map y over axis 1", "y has 1 axis", "or None")),
        (lambda f: fg.vmap(f)(X, {"w": X[:2]}), ("different numbers of rows", "x: 3, y['w']: 2", "None for arguments")),
        (lambda f: fg.vmap(f)(X, 2.0), ("cannot map over y: it is a scalar", "in_axes=None for y")),
        (lambda f: fg.vmap(f, in_axes=None)(X, X), ("nothing to map over", "axis_size=n")),
        (lambda f: fg.vmap(f, in_axes="0")(X, X), ("in_axes with '0' in it", "integers or None")),
        (lambda f: fg.vmap(f, axis_size=4)(X, X), ("different numbers of rows", "axis_size: 4, x: 3, y: 3")),
        (lambda f: fg.vmap(f, out_axes=None)(X, X), ("out_axes None for a result that differs", "result: float64[3]")),
        (lambda f: fg.vmap(f, out_axes=(0, 0))(X, X), ("out_axes that do not match the result", "a whole result")),
        (lambda f: fg.vmap(f, out_axes=1)(X, X), ("cannot map the result over axis 1", "the result has 1 axis")),
    ],
)
def test_axes_that_do_not_fit(call: Any, parts: tuple[str, ...]) -> None:
    def model(x: Any, y: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "vmap(model) ", *parts) as told:
        call(model)
    assert f"test_messages.py:{call.__code__.co_firstlineno}, in <lambda>" in told
    equal(fg.vmap(model, in_axes=(0, None))(X, 2.0), X)
    equal(fg.vmap(model, in_axes=(None, None), axis_size=2)(1.0, 2.0), [1, 1])


# jit, make_jaxpr, linear_transpose -----------------------------------------------------------------------------------


def test_static_argument_that_cannot_be_hashed() -> None:
    def model(x: Any, sizes: Any) -> Any:
        return x * len(sizes)

    with message(ArgumentError, ValueError, "jit(model) got a static argument", "sizes = [1, 2]", "a tuple instead"):
        fg.jit(model, static_argnums=1)(X, [1, 2])  # <-- here
    equal(fg.jit(model, static_argnums=1)(X, (1, 2)), X * 2)


def test_static_parameter_that_is_not_there() -> None:
    def model(x: Any, config: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "static_argnames='confg', but model has no such parameter") as told:
        fg.jit(model, static_argnames="confg")  # <-- here
    assert told.fix == "did you mean 'config'?"
    with pytest.raises(ArgumentError, match=r"static_argnums=2, but model(.*\n)*.*parameters: x, config"):
        fg.jit(model, static_argnums=2)


def test_argument_of_jit_that_is_no_array() -> None:
    def model(x: Any, config: Any) -> Any:
        return x

    with message(ArgumentError, ValueError, "jit(model) got an argument", "config = <", "static_argnums"):
        fg.jit(model)(X, object())  # <-- here
    equal(fg.jit(model, static_argnames="config")(X, object()), X)


def test_retracing_is_warned_of_at_the_branch() -> None:
    def model(x: Any) -> Any:
        if x[0] > 0:  # <-- here
            return x
        return -x

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        equal(fg.jit(model)(X), X)
    (warning,) = caught
    assert warning.category is fg.RetracingWarning
    assert "jit(model) is recorded anew at every call" in str(warning.message)
    check_text(str(warning.message), "test_retracing_is_warned_of_at_the_branch")
    equal(fg.jit(lambda x: np.where(x[0] > 0, x, -x))(X), X)


def test_transpose_of_what_is_not_linear() -> None:
    def model(x: Any) -> Any:
        y = x * 2.0
        return y * y  # <-- here

    with message(
        LinearityError, TypeError, "linear_transpose(model)", "`multiply` is not linear", "funcgrad.linearize"
    ):
        fg.linear_transpose(model, 3.0)
    assert fg.linearize(model, 3.0)[1](1.0) == 24.0
    assert fg.vjp(model, 3.0)[1](1.0) == (24.0,)


def test_transpose_of_an_affine_function() -> None:
    def model(x: Any) -> Any:
        return x + 1.0  # <-- here

    with message(LinearityError, TypeError, "linear_transpose(model)", "adds a constant other than zero"):
        fg.linear_transpose(model, 3.0)


def test_transpose_of_a_constant() -> None:
    def model(x: Any) -> Any:  # <-- here
        return np.ones(3)

    with message(LinearityError, TypeError, "linear_transpose(model)", "return only what depends on the arguments"):
        fg.linear_transpose(model, X)


# NumPy's own errors: NumPy's words, at the user's line ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda x: x[5], IndexError),
        (lambda x: x.at[5].set(0.0), IndexError),
        (lambda x: np.sum(x, axis=2), np.exceptions.AxisError),
        (lambda x: x + np.ones(4), ValueError),
        (lambda x: x @ np.ones(4), ValueError),
        (lambda x: x.reshape(2, 2), ValueError),
    ],
)
@pytest.mark.parametrize("transform", [fg.grad, fg.jacobian, fg.jit], ids=["grad", "jacobian", "jit"])
def test_numpys_errors_are_numpys_at_the_users_line(transform: Any, f: Any, error: Any) -> None:
    with pytest.raises(error) as caught:
        transform(f)(X)
    assert any(entry.frame.code.raw is f.__code__ for entry in caught.traceback)
    assert INTERNAL.search(str(caught.value)) is None


def test_numpys_errors_after_the_recording_note_the_users_line() -> None:
    def model(x: Any, i: Any) -> Any:
        return fnp.take(x, i) * 2.0

    jitted = fg.jit(model)
    jitted(X, np.array([0, 1]))
    for call in (lambda: jitted(X, np.array([0, 5])), lambda: fg.vmap(model, in_axes=(None, 0))(X, np.array([0, 5]))):
        with pytest.raises(IndexError, match="out of bounds") as caught:
            call()
        (note,) = caught.value.__notes__
        assert re.search(r"test_messages\.py:\d+, in model:  return fnp\.take\(x, i\) \* 2\.0", note)
