"""jit, make_jaxpr, eval_shape: what is recorded when, what is static, what is seen again."""

from __future__ import annotations

import copy
import enum
import inspect
import io
import math
import pickle
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, EscapedTracerError, TracedBranchError
from funcgrad.core.jaxpr import check_jaxpr

X = np.arange(3.0)


class Counted:
    """A function that counts how often its body runs."""

    def __init__(self, f: Any) -> None:
        self.f, self.count = f, np.array(0)  # an array's elements are no state that would count as changed
        self.__name__ = "counted"

    @property
    def calls(self) -> int:
        return int(self.count)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return self.f(*args, **kwargs)


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Model:
    weight: Any
    name: str = "model"
    depth: int = 2

    @fg.jit
    def predict(self, x: Any) -> Any:
        """Weight to the depth."""
        for _ in range(self.depth):
            x = x * self.weight
        return x


@fg.jit
def module_function(x: Any, y: Any = 2.0) -> Any:
    """Twice."""
    return x * y


def branching(x: Any) -> Any:
    return x * 2.0 if np.sum(x) > 0 else -x


class Mode(enum.Enum):
    ON = 1
    OFF = 2


# Caching


def test_body_runs_once_per_signature() -> None:
    f = Counted(lambda x: np.sin(x) * 2.0)
    g = fg.jit(f)
    for x in (X, X + 1, X * 3):
        np.testing.assert_array_max_ulp(g(x), np.sin(x) * 2.0, 2)
    assert f.calls == 1
    g(np.ones((3, 1)))
    g(np.ones((2, 1)))
    assert f.calls == 3
    g(X.astype(np.float32))
    g(np.arange(3))
    assert f.calls == 5
    g(1.0)
    g(2.0)
    assert f.calls == 6
    g(np.float64(1.0))
    g(1)
    g(2)
    assert f.calls == 8


def test_body_runs_once_per_tree() -> None:
    f = Counted(lambda tree: tree["a"] * 2.0)
    g = fg.jit(f)
    g({"a": X})
    g({"a": X + 1})
    assert f.calls == 1
    g({"a": X, "b": None})
    g({"a": X, "b": X})
    assert f.calls == 3


def test_weak_and_strong_scalars_are_told_apart() -> None:
    g = fg.jit(lambda x, s: x * s)
    x = np.ones(2, np.float32)
    assert g(x, 2.0).dtype == np.float32
    assert g(x, np.float64(2.0)).dtype == np.float64
    assert g(x, 2.0).dtype == np.float32


def test_first_call_and_later_calls_give_the_same() -> None:
    def f(x: Any, tree: Any) -> Any:
        y = np.tanh(x) @ tree["w"]
        return {"y": y, "pair": Pair(np.sum(y), None), "number": 3, "half": 0.5, "yes": True, "text": "said"}

    g = fg.jit(f)
    tree = {"w": np.ones((3, 2))}
    expected = f(X, tree)
    for _ in range(3):
        result = g(X, tree)
        np.testing.assert_array_equal(result["y"], expected["y"])
        assert result["pair"] == expected["pair"]
        assert type(result["pair"]) is Pair
        assert type(result["pair"].a) is np.float64
        assert (result["number"], result["half"], result["yes"], result["text"]) == (3, 0.5, True, "said")


def test_results_are_fresh_in_every_call() -> None:
    c = np.ones(3)
    g = fg.jit(lambda x: (x, x[:2], c, c[1:], x * 1.0, x))
    previous: list[Any] = []
    for _ in range(3):
        results = list(g(X))
        for i, result in enumerate(results):
            assert result.flags.writeable
            for other in (X, c, *results[:i], *previous):
                assert not np.shares_memory(result, other)
        previous = results
    results[2][:] = 9.0
    np.testing.assert_array_equal(c, np.ones(3))


def test_captured_arrays_are_read_at_every_call() -> None:
    c = np.ones(3)
    for g in (fg.jit(lambda x: x * c), fg.grad(fg.jit(lambda x: x @ c)), fg.jit(fg.jit(lambda x: x + c))):
        c[:] = 1.0
        before = g(X)
        c[:] = 5.0
        after = g(X)
        assert not np.array_equal(before, after)
        c[:] = 1.0
        np.testing.assert_array_equal(g(X), before)


def test_arguments_in_odd_layouts_count_by_value() -> None:
    f = Counted(lambda x: x * 2.0)
    g = fg.jit(f)
    read_only = X.copy()
    read_only.setflags(write=False)
    for x in (X, X.astype(">f8"), np.repeat(X, 2)[::2], read_only, X[::-1][::-1]):
        result = g(x)
        np.testing.assert_array_equal(result, X * 2)
        assert result.dtype.isnative
    assert f.calls == 1


# Static arguments


def test_static_arguments_are_python_values_and_part_of_the_signature() -> None:
    def power(x: Any, n: Any, flag: Any = False) -> Any:
        assert type(n) is int
        for _ in range(n):
            x = x * 2.0 if flag else x + 1.0
        return x

    f = Counted(power)
    g = fg.jit(f, static_argnums=(1, 2))
    np.testing.assert_array_equal(g(X, 2), X + 2)
    np.testing.assert_array_equal(g(X, 3, True), X * 8)
    np.testing.assert_array_equal(g(X * 2, 2), X * 2 + 2)
    assert f.calls == 2
    for options in (
        {"static_argnums": 1},
        {"static_argnums": -1},
        {"static_argnames": "n"},
        {"static_argnames": ["n"]},
    ):
        np.testing.assert_array_equal(fg.jit(power, **options)(X, 2), X + 2)
    np.testing.assert_array_equal(fg.jit(power, static_argnames="n")(X, n=2), X + 2)
    np.testing.assert_array_equal(fg.jit(power, static_argnames=("n", "flag"))(x=X, n=2, flag=True), X * 4)


def test_static_values_that_are_equal_but_not_the_same_are_told_apart() -> None:
    seen = io.StringIO()  # which has no state that would count as changed

    def f(x: Any, s: Any) -> Any:
        print(repr(s), file=seen)
        return x * 1.0

    g = fg.jit(f, static_argnums=1)
    values = [1, 1.0, True, 0.0, -0.0, (1, 2), (1.0, 2), (True, 2), "a", None, math.nan]
    for _ in range(2):
        for s in values:
            g(X, s)
    assert seen.getvalue().split("\n")[:-1] == list(map(repr, values))


def test_static_argument_that_cannot_be_hashed_raises() -> None:
    with pytest.raises(ArgumentError, match=r"jit\(<lambda>\) got a static argument that cannot be hashed.\n.*list"):
        fg.jit(lambda x, n: x, static_argnums=1)(X, [1, 2])


def test_configuration_among_the_leaves_is_static_by_itself() -> None:
    def f(x: Any, options: Any) -> Any:
        if options["mode"] is Mode.ON and options["negate"]:
            x = -x
        return options["activation"](x) if options["name"] == "act" else x

    counted = Counted(f)
    g = fg.jit(counted)
    base = {"mode": Mode.ON, "negate": True, "activation": np.tanh, "name": "act"}
    for _ in range(2):
        np.testing.assert_array_max_ulp(g(X, base), np.tanh(-X), 2)
        np.testing.assert_array_max_ulp(g(X, {**base, "negate": False}), np.tanh(X), 2)
        np.testing.assert_array_equal(g(X, {**base, "name": "none"}), -X)
        np.testing.assert_array_max_ulp(g(X, {**base, "mode": Mode.OFF}), np.tanh(X), 2)
        np.testing.assert_array_max_ulp(g(X, {**base, "activation": np.sin}), np.sin(-X), 2)
    assert counted.calls == 5


def test_places_of_configuration_are_part_of_the_signature() -> None:
    def f(a: Any, b: Any) -> Any:
        return a * 2.0 if isinstance(b, str) else b * 3.0

    g = fg.jit(f)
    for _ in range(2):
        np.testing.assert_array_equal(g(X, "text"), X * 2)
        np.testing.assert_array_equal(g("text", X), X * 3)


def test_dataclasses_count_field_by_field() -> None:
    model = Model(np.full(3, 2.0))
    np.testing.assert_array_equal(model.predict(X), X * 4)
    model.depth = 3
    np.testing.assert_array_equal(model.predict(X), X * 8)
    model.weight = np.full(3, 3.0)
    np.testing.assert_array_equal(model.predict(X), X * 27)
    model.weight[:] = 1.0
    np.testing.assert_array_equal(model.predict(X), X)
    assert Model.predict.__doc__ == "Weight to the depth."
    bools = fg.jit(lambda m, x: x * 2.0 if m.depth is True else x)
    np.testing.assert_array_equal(bools(Model(1.0, depth=1), X), X)
    np.testing.assert_array_equal(bools(Model(1.0, depth=True), X), X * 2)


def test_arguments_that_are_nothing_known_raise() -> None:
    with pytest.raises(ArgumentError, match=r"neither an array nor static configuration(.*\n)*.*a dataclass"):
        fg.jit(lambda x: x)(object())


# Values read by Python


def test_branching_function_warns_once_and_stays_right() -> None:
    g = fg.jit(branching)
    with pytest.warns(
        fg.RetracingWarning, match=r"jit\(branching\) is recorded anew(.*\n)*.*test_staging.py:\d+"
    ) as seen:
        np.testing.assert_array_equal(g(X), X * 2)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    for x in (-X, X, X - 5):
        np.testing.assert_array_equal(g(x), branching(x))


def test_branching_function_is_right_inside_other_transformations() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fg.RetracingWarning)
        g = fg.grad(fg.jit(lambda x: x**2 if x > 0 else -x))
        assert [g(3.0), g(-4.0), g(5.0)] == [6.0, -1.0, 10.0]
        outer = fg.jit(fg.jit(branching))
        np.testing.assert_array_equal(outer(X), X * 2)
        np.testing.assert_array_equal(outer(-X), X)
    with pytest.raises(TracedBranchError, match="branch on a traced value"):
        fg.vmap(fg.jit(branching))(np.ones((2, 3)))


def test_values_that_are_no_arguments_may_steer_without_warning() -> None:
    flag = np.array(True)
    f = Counted(lambda x: x * 2.0 if flag and x.shape[0] == 3 and len(x) > 1 else x)
    g = fg.jit(f)
    np.testing.assert_array_equal(g(X), X * 2)
    np.testing.assert_array_equal(g(X), X * 2)
    assert f.calls == 1


def test_function_that_fails_is_recorded_again() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        if len(kept) == 1:
            raise KeyError("mine")
        return x * 2.0

    g = fg.jit(f)
    with pytest.raises(KeyError, match="mine"):
        g(X)
    np.testing.assert_array_equal(g(X), X * 2)
    for leak in kept:
        with pytest.raises(EscapedTracerError, match=r"jit\(f\)"):
            leak + 1.0


# Nested


def test_nested_jit_is_one_equation() -> None:
    inner = fg.jit(lambda x: np.sin(x) * 2.0)
    jaxpr = fg.make_jaxpr(lambda x: inner(x) + inner(x + 1.0))(X)
    assert [eqn.primitive.name for eqn in jaxpr.equations].count("jit") == 2
    assert len(jaxpr.equations) == 4
    check_jaxpr(jaxpr)
    assert "name=<lambda>" in str(jaxpr)


def test_nested_jit_is_recorded_once() -> None:
    f = Counted(lambda x: x * x)
    inner = fg.jit(f)
    for g in (fg.grad(inner), fg.jit(inner), fg.grad(fg.grad(inner)), fg.jit(fg.grad(inner))):
        for x in (3.0, 4.0):
            g(x)
    assert f.calls == 1
    fg.vmap(inner)(X)
    fg.vmap(inner)(X)
    assert f.calls == 2


def test_jit_composes_with_every_transformation() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x)

    gradient, jf = fg.grad(f)(X), fg.jit(f)
    eye = np.eye(3)
    for _ in range(2):
        np.testing.assert_allclose(fg.grad(jf)(X), gradient)
        np.testing.assert_allclose(fg.jit(fg.grad(fg.jit(fg.jit(f))))(X), gradient)
        np.testing.assert_allclose(fg.vjp(jf, X)[1](1.0)[0], gradient)
        np.testing.assert_allclose(fg.jvp(jf, (X,), (eye[1],))[1], gradient[1])
        np.testing.assert_allclose(fg.linearize(jf, X)[1](eye[1]), gradient[1])
        np.testing.assert_allclose(fg.hessian(jf)(X), fg.hessian(f)(X))
        np.testing.assert_allclose(fg.vmap(fg.jit(fg.grad(jf)))(eye)[2], fg.grad(f)(eye[2]))
        np.testing.assert_allclose(fg.jit(fg.vmap(fg.grad(jf)))(eye)[2], fg.grad(f)(eye[2]))
    double = fg.jit(lambda x: 2.0 * x)
    np.testing.assert_array_equal(fg.linear_transpose(double, X)(X)[0], 2 * X)


def test_closures_over_outer_tracers_are_seen() -> None:
    assert fg.grad(lambda a: fg.jit(lambda b: a * b)(3.0) + fg.jit(lambda b: a * a * b)(4.0))(2.0) == 3.0 + 16.0
    assert fg.jit(lambda a: fg.jit(lambda b: a * b)(3.0))(2.0) == 6.0
    np.testing.assert_array_equal(fg.vmap(lambda a: fg.jit(lambda b: a * b)(3.0))(X), 3 * X)
    inner: list[Any] = []

    def outer(a: Any) -> Any:
        if not inner:
            inner.append(None)
        return fg.grad(lambda b: fg.jit(lambda c: a * b * c)(5.0))(1.0)

    assert fg.grad(outer)(2.0) == 5.0


# make_jaxpr and eval_shape


def test_make_jaxpr_shows_what_the_function_does() -> None:
    jaxpr = fg.make_jaxpr(lambda x, y: {"s": np.sin(x) * y, "t": "text"})(X, 2.0)
    assert [eqn.primitive.name for eqn in jaxpr.equations] == ["sin", "multiply"]
    assert [str(aval) for aval in map(repr, jaxpr.in_avals)] == ["float64[3]", "float[]"]
    assert len(jaxpr.outputs) == 1
    assert jaxpr.equations[0].source.file == __file__
    check_jaxpr(jaxpr)
    shaped = fg.make_jaxpr(lambda x, y: np.sin(x) * y)(fg.ShapeDtypeStruct((3,), np.float32), 2.0)
    assert repr(shaped.out_avals) == "[float32[3]]"
    assert len(fg.make_jaxpr(lambda x, n: [x] * n, static_argnums=1)(X, 3).outputs) == 3
    assert len(fg.make_jaxpr(lambda x, *, k: x * k)(X, k=2.0).inputs) == 2
    assert len(fg.make_jaxpr(fg.grad(lambda x: x**3))(2.0).equations) > 0
    with pytest.raises(TracedBranchError):
        fg.make_jaxpr(branching)(fg.ShapeDtypeStruct((3,), float))


def test_eval_shape_computes_nothing() -> None:
    result = fg.eval_shape(
        lambda x, s: {"product": x @ x.T, "sum": np.sum(x), "text": s, "none": None},
        fg.ShapeDtypeStruct((20, 2), np.float32),
        "text",
    )
    assert repr(result["product"]) == "float32[20,20]"
    assert repr(result["sum"]) == "float32[]"
    assert (result["text"], result["none"]) == ("text", None)
    assert repr(fg.eval_shape(np.sin, fg.ShapeDtypeStruct((10**6, 10**6), float))) == "float64[1000000,1000000]"
    assert repr(fg.eval_shape(lambda x, y: x * y, X, y=2)) == "float64[3]"
    assert repr(fg.eval_shape(fg.grad(lambda x: np.sum(x**2)), X)) == "float64[3]"
    assert repr(fg.eval_shape(fg.jacobian(np.sin), X)) == "float64[3,3]"
    with pytest.raises(ValueError, match="matmul"):
        fg.eval_shape(lambda x: x @ np.ones(4), X)
    with pytest.raises(TracedBranchError, match=r"eval_shape\(branching\)"):
        fg.eval_shape(branching, X)


# As functions


def test_transformed_function_keeps_name_signature_and_pickles() -> None:
    assert (module_function.__name__, module_function.__doc__) == ("module_function", "Twice.")
    assert list(inspect.signature(module_function).parameters) == ["x", "y"]
    assert repr(module_function) == "jit(module_function)"
    module_function(X)
    assert pickle.loads(pickle.dumps(module_function)) is module_function
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fg.jit(branching, static_argnums=0))).static_argnums, (0,))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fg.grad(module_function, "y")))(3.0, 1.0), 3.0)
    np.testing.assert_array_equal(copy.copy(module_function)(X), X * 2)
    assert fg.jit(module_function, static_argnames="y")(X, y=3.0)[1] == 3.0


def test_default_arguments_are_values_of_the_function() -> None:
    np.testing.assert_array_equal(module_function(X), X * 2)
    np.testing.assert_array_equal(module_function(X, 3.0), X * 3)
    np.testing.assert_array_equal(module_function(X, y=4.0), X * 4)
    np.testing.assert_array_equal(module_function(y=5.0, x=X), X * 5)


# Arrays that the function itself writes to


def reused_buffer(x: Any) -> Any:
    buffer, y = np.zeros((2, 3)), 0.0
    for k in range(2):
        buffer[0] = k + 1
        y = y + x * buffer[0]
    buffer *= 2
    return y + buffer[0]


def test_array_written_to_after_its_use_counts_as_it_was() -> None:
    expected = reused_buffer(X)
    jitted = fg.jit(reused_buffer)
    with pytest.warns(fg.RetracingWarning, match="writes to an array that it has used"):
        np.testing.assert_array_equal(jitted(X), expected)
    np.testing.assert_array_equal(jitted(X), expected)
    np.testing.assert_array_equal(fg.grad(lambda x: jitted(x).sum())(X), [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(fg.vmap(jitted)(np.stack([X, X])), [expected, expected])
    np.testing.assert_array_equal(fg.vmap(reused_buffer)(np.stack([X, X])), [expected, expected])


def test_captured_array_is_read_at_each_call_of_a_function_recorded_without_values() -> None:
    weights = np.ones(3)
    jitted = fg.jit(lambda x: x * weights)
    batch = fg.vmap(jitted)(np.stack([X, X]))
    np.testing.assert_array_equal(batch[0], X)
    weights[:] = 5.0
    np.testing.assert_array_equal(jitted(X), X * 5)
    np.testing.assert_array_equal(fg.vmap(jitted)(np.stack([X, X]))[1], X * 5)


# What a function uses besides its arguments

factor = 2.0


def scaled(x: Any) -> Any:
    return x * factor


def test_globals_closures_defaults_and_elements_are_seen_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    scale, table, items = 2.0, {"k": 2.0}, [2.0]

    def f(x: Any) -> Any:
        return [scaled(x), x * scale, x * table["k"], x * items[0]]

    jitted = fg.jit(f)
    for expected in (2.0, 3.0):
        np.testing.assert_array_equal(jitted(X), [X * expected] * 4)
        np.testing.assert_array_equal(jitted(X), [X * expected] * 4)
        scale = table["k"] = items[0] = 3.0
        monkeypatch.setattr("tests.api.test_staging.factor", 3.0)


class Layer:
    """A plain class: no dataclass, not registered."""

    def __init__(self, w: Any, power: int) -> None:
        self.w, self.power = w, power

    @fg.jit
    def apply(self, x: Any) -> Any:
        COUNT[0] += 1
        return (self.w * x) ** self.power

    def __call__(self, x: Any) -> Any:
        return x * self.power


COUNT = np.zeros(1, int)


def test_method_of_a_plain_class_sees_its_attributes() -> None:
    first, second = Layer(np.ones(3), 2), Layer(np.full(3, 2.0), 1)
    COUNT[0] = 0
    for _ in range(3):
        np.testing.assert_array_equal(first.apply(X), X**2)
        np.testing.assert_array_equal(second.apply(X), X * 2)
    assert COUNT[0] == 2
    first.power = 3
    np.testing.assert_array_equal(first.apply(X), X**3)
    first.w = np.full(3, 2.0)
    np.testing.assert_array_equal(first.apply(X), (X * 2) ** 3)
    first.w[:] = 1.0
    np.testing.assert_array_equal(first.apply(X), X**3)
    assert COUNT[0] == 4
    np.testing.assert_array_equal(fg.grad(lambda x: first.apply(x).sum())(X), 3 * X**2)


def test_callable_objects_and_functions_as_arguments_are_seen_when_they_change() -> None:
    layer, scale = Layer(None, 2), [2.0]
    jitted, itself = fg.jit(lambda f, x: f(x)), fg.jit(layer)
    np.testing.assert_array_equal(jitted(layer, X), itself(X))
    np.testing.assert_array_equal(jitted(lambda x: x * scale[0], X), X * 2)
    layer.power, scale[0] = 3, 5.0
    np.testing.assert_array_equal(jitted(layer, X), X * 3)
    np.testing.assert_array_equal(itself(X), X * 3)
    np.testing.assert_array_equal(jitted(lambda x: x * scale[0], X), X * 5)


def test_function_that_counts_its_calls_counts_every_call_and_is_warned_of() -> None:
    count = 0

    @fg.jit
    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    for expected in range(1, 6):
        np.testing.assert_array_equal(f(X), X * expected)
    with pytest.warns(fg.RetracingWarning, match="changes from call to call"):
        f(X)
    assert count == 6


def test_programs_do_not_keep_objects_without_end() -> None:
    for _ in range(300):
        layer = Layer(np.ones(3), 1)
        layer.apply(X)
    assert len(Layer.apply._programs) <= 256


def test_flush_subnormals_takes_them_as_zero_in_compiled_code_only() -> None:
    x = np.array([1e-310, 1.0, 2.4e-308])
    kept, flushed = fg.jit(lambda x: x * 0.5), fg.jit(lambda x: x * 0.5, flush_subnormals=True)
    for _ in range(3):
        np.testing.assert_array_equal(kept(x), x * 0.5)
    flushed(x)
    y = flushed(x)
    assert y[1] == 0.5
    assert all(part in (0.0, half) for part, half in zip(y, x * 0.5, strict=True))
    assert (x * 0.5 > 0).all()  # the mode ends with the call


def test_gradient_at_a_python_int_is_the_same_compiled() -> None:
    gradient = fg.grad(lambda x, y: x * x * y)
    compiled = fg.jit(gradient)
    for _ in range(3):
        assert compiled(3, 2) == gradient(3, 2) == 12.0


def test_captured_arrays_that_numpy_computes_with_are_seen_when_their_elements_change() -> None:
    G = np.arange(3.0)
    derived, summed, direct = fg.jit(lambda x: x + G * 2), fg.jit(lambda x: x * G.sum()), fg.jit(lambda x: x * G)
    for _ in range(3):
        np.testing.assert_array_equal(derived(X), X + G * 2)
        np.testing.assert_array_equal(summed(X), X * G.sum())
        np.testing.assert_array_equal(direct(X), X * G)
    G[1] = 7.0
    for _ in range(3):
        np.testing.assert_array_equal(derived(X), X + G * 2)
        np.testing.assert_array_equal(summed(X), X * G.sum())
        np.testing.assert_array_equal(direct(X), X * G)


# Without jit


def test_disabled_jit_runs_the_function_itself() -> None:
    seen: list[Any] = []

    @fg.jit
    def f(x: Any, flag: Any = True) -> Any:
        y = np.sin(x) if flag and x[0] >= 0 else x  # a branch, without warning
        seen.append(type(y))
        return {"y": y, "x": x, "number": 3}

    with fg.disable_jit():
        for _ in range(2):
            result = f(X)
        np.testing.assert_array_equal(result["y"], np.sin(X))
        assert result["number"] == 3
        assert result["x"] is not X
        np.testing.assert_allclose(fg.grad(lambda x: np.sum(f(x)["y"]))(X), np.cos(X))
    assert seen[:2] == [np.ndarray, np.ndarray]
    assert len(seen) == 3
    assert "not called yet" in repr(f.explain())


def test_function_recorded_at_each_call_says_how_often() -> None:
    g = fg.jit(branching)
    with pytest.warns(fg.RetracingWarning):
        g(X)
    assert "at each call, 1 call\n" in f"{g.explain()!r}\n"
    g(X)
    g(-X)
    assert "at each call, 3 calls" in repr(g.explain())


@pytest.mark.parametrize("f", [lambda n: n * 2**70, lambda n: n * n, lambda n: [n, n * 2**70 - n * 2**70 + n]])
def test_integers_of_python_stay_exact_beyond_64_bits(f: Any) -> None:
    g = fg.jit(f)
    for n in (2**40, 2**40, 2**40 + 1):
        assert g(n) == f(n)
    assert "beyond 64 bits" in repr(g.explain())


def test_integers_of_python_beyond_64_bits_beside_floats_are_compiled() -> None:
    g = fg.jit(lambda x, n: (x * 2**70, x < 2**70, n + x))
    for _ in range(3):
        for y, expected in zip(g(X, 2**65), (X * 2**70, X < 2**70, X + 2**65), strict=True):
            np.testing.assert_array_equal(y, expected)
