"""What a jitted function reads from around it: a change is seen at the next call, whatever held it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import itertools
import math
import random
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.api.surroundings import Surroundings
from funcgrad.core import seeding
from funcgrad.core.tracing import Recording

X = np.arange(6.0)


def module_with(name: str, text: str = "", **values: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(text, module.__dict__)
    vars(module).update(values)
    return module


settings = module_with("settings", inner=types.SimpleNamespace(k=2.0), scale=2.0)
library = module_with("library", "k = 2.0\ndef helper(x):\n    return x * k\n")


class Base:
    k: Any = 2.0
    w = np.full(6, 2.0)

    def __init__(self, amounts: Any) -> None:
        self.amounts = amounts

    def scaled(self, x: Any) -> Any:
        return x * self.amounts[0]

    @property
    def first(self) -> Any:
        return self.amounts[0]

    @staticmethod
    def shifted(x: Any) -> Any:
        return x + SHIFT[0]

    def __getitem__(self, index: int) -> Any:
        return self.amounts[index] * 1.0


class Derived(Base):
    def scaled(self, x: Any) -> Any:
        return super().scaled(x) + self.k


SHIFT = [2.0]


@dataclasses.dataclass(slots=True)
class Slots:
    k: float = 2.0


class Pair(NamedTuple):
    items: list[float]
    name: str = ""


Case = tuple[Callable[[Any], Any], Callable[[], Any]]
cases: list[Callable[[], Case]] = []


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Register a function of an array and a change of what it reads."""
    cases.append(make)
    return make


def setting(holder: Any, key: Any, value: Any = 3.0) -> Callable[[], Any]:
    return lambda: holder.__setitem__(key, value)


# Elements of arrays that Python reads


def of_array(value: Any, key: Any, new: Any) -> Callable[[Callable[[Any], Callable[[Any], Any]]], Any]:
    """Register a case of an array around a function, one of whose elements changes."""

    def decorate(make: Callable[[Any], Callable[[Any], Any]]) -> Any:
        def build() -> Case:
            c = np.array(value)
            return make(c), setting(c, key, new)

        build.__name__ = make.__name__
        return case(build)

    return decorate


of_array(2.0, (), 3.0)(lambda c: lambda x: x * float(c))
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * c.item())
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * c.tolist()[0])
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * c[0])
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * math.sqrt(c[0]))
of_array([2], 0, 3)(lambda c: lambda x: x[: c[0]] * 2.0)
of_array([2], 0, 3)(lambda c: lambda x: x[c[0]] * 2.0)
of_array([2], 0, 3)(lambda c: lambda x: x[c] * 2.0)
of_array([2], 0, 3)(lambda c: lambda x: x ** int(c[0]))
of_array([1], 0, 2)(lambda c: lambda x: np.roll(x, c[0]))
of_array(1, (), 2)(lambda c: lambda x: np.roll(x, c))
of_array([2, 3], slice(None), [3, 2])(lambda c: lambda x: x.reshape(tuple(c)))
of_array([2, 3], slice(None), [3, 2])(lambda c: lambda x: x.reshape(c))
of_array([1.0, 0.0], 1, 2.0)(lambda c: lambda x: x[np.argmax(c)] * 1.0)
of_array([1.0], 0, -1.0)(lambda c: lambda x: x * 2.0 if c[0] > 0 else x * 3.0)
of_array([1.0], 0, -1.0)(lambda c: lambda x: x * (c[0] > 0 and 2.0))
of_array([1.0], 0, -1.0)(lambda c: lambda x: x * sum(v for v in c if v > 0))
of_array([2.0], 0, 3.0)(lambda c: lambda x: (x * 1.0, float(c[0]))[1])
of_array([2.0], 0, 3.0)(lambda c: lambda x: (x * 1.0, c[0])[1])
of_array(np.ones(5000), 1234, 3.0)(lambda c: lambda x: x * float(c[1234]))
of_array(np.ones(5000), 1234, 3.0)(lambda c: lambda x: x + c.sum())
of_array(np.ones(5000), 1234, 3.0)(lambda c: lambda x: x + (c[1234] if max(c) > 1 else 0.0))
of_array([[True] * 3 + [False] * 3], (0, slice(None)), [False] * 3 + [True] * 3)(lambda c: lambda x: x[c[0]] * 2.0)


# Of derivatives, whose rules multiply constants by arrays around
MANY, TALL = np.linspace(1.0, 2.0, 5000), np.linspace(-1.0, 1.0, 3000).reshape(500, 6)
of_array(2.0, (), 3.0)(lambda c: fg.grad(lambda x: np.sum(c * x)))
of_array([2.0], 0, 3.0)(lambda c: fg.grad(lambda x: np.mean(c * x)))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.grad(lambda x: np.sum(np.log1p(np.exp(-c * x)))))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.grad(lambda x: -np.sum(np.tanh(x) - c * x) / 3))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.grad(lambda x: np.sum((x / c).reshape(2, 3).T[1:])))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.grad(lambda x: np.sqrt(np.mean((x - c) ** 2))))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.grad(lambda x: np.sum(fg.jit(lambda x: c * x)(x))))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.jit(fg.grad(lambda x: np.sum(c * x))))
of_array(np.ones(6), 2, 3.0)(lambda c: fg.jacobian(lambda x: np.sum(c * x) * np.ones(2)))
of_array(MANY, 3, 3.0)(lambda c: fg.grad(lambda x: np.sum(c[:6] * x)))
of_array(MANY, 3, 3.0)(lambda c: fg.grad(lambda x: np.mean(c * np.sum(x))))
of_array(MANY, 3, 3.0)(lambda c: fg.grad(lambda x: np.sum(np.concatenate([c * x[0], c * x[1]]))))
of_array(TALL, (3, 1), 3.0)(lambda c: fg.grad(lambda x: np.sum(c @ x)))
of_array(TALL, (3, 1), 3.0)(lambda c: fg.grad(lambda x: np.sum((c @ x) * c[:, 0] + MANY[:500])))
of_array(TALL, (3, 1), 3.0)(lambda c: lambda x: fg.vmap(fg.grad(lambda x, row: np.sum(x * row)), (None, 0))(x, c))
of_array([2.0], 0, 3.0)(lambda c: fg.grad(lambda x: np.sum(own(c)(x))))
of_array([2.0], 0, 3.0)(lambda c: fg.grad(lambda x: np.sum(with_rule(c)(x))))


# Numbers that NumPy makes of an array around, within loops, branches and other functions that are recorded apart
SEVERAL: dict[str, Callable[[Any], Any]] = {
    "checkpoint": lambda c: fg.checkpoint(lambda x: x * np.mean(c)),
    "cond": lambda c: lambda x: fg.cond(x[0] > -1.0, lambda x: x * np.mean(c), lambda x: x, x),
    "scan": lambda c: lambda x: fg.scan(lambda total, v: (total + v * np.mean(c), v * c[0]), 0.0, x)[1],
    "map": lambda c: lambda x: fg.lax.map(lambda v: v * np.mean(c), x),
    "while": lambda c: lambda x: fg.while_loop(lambda x: x[1] < 9.0, lambda x: x + np.mean(c), x),
    "jit": lambda c: fg.jit(lambda x: x * np.mean(c)),
    "inner": lambda c: fg.checkpoint(lambda x: fg.grad(lambda y: np.sum(c) * y)(x[0]) * x),
    "elementwise": lambda c: fg.custom_elementwise(lambda x: x * np.mean(c), lambda y, x: np.mean(c)),
}


def gradient_of_sum(f: Any) -> Any:
    return fg.grad(lambda x: np.sum(f(x)))


def gradient_of_squares(f: Any) -> Any:
    return fg.grad(lambda x: np.mean(f(x) ** 2))


for recorded_apart in SEVERAL.values():
    of_array(np.ones(6), 2, 3.0)(recorded_apart)
    of_array(np.ones(6), 2, 3.0)(lambda c, within=recorded_apart: gradient_of_sum(within(c)))
    of_array(np.ones(6), 2, 3.0)(lambda c, within=recorded_apart: gradient_of_squares(within(c)))


# Derivatives that a function gets and writes to, or looks at
@of_array(np.ones(6), 2, 3.0)
def gradient_is_added_to(c: Any) -> Any:
    def f(x: Any) -> Any:
        g = fg.grad(lambda y: np.sum(y))(x)
        g += c
        return g * x

    return f


@of_array(np.ones(6), 2, 3.0)
def part_of_a_gradient_is_assigned(c: Any) -> Any:
    def f(x: Any) -> Any:
        g = fg.grad(lambda y: np.sum(y["a"]))({"a": x})["a"]
        g[1:4] = c[1:4]
        np.multiply(g, c, out=g)
        return g * x

    return f


@of_array(np.ones(6), 2, 3.0)
def rule_writes_to_a_cotangent(c: Any) -> Any:
    @fg.custom_vjp
    def double(x: Any) -> Any:
        return 2.0 * x

    def back(residuals: Any, ct: Any) -> Any:
        ct *= c
        return (ct,)

    double.defvjp(lambda x: (double(x), None), back)
    return fg.grad(lambda x: np.sum(double(x) * 3.0))


@of_array(np.full(6, 2.0), 2, 4.0)
def jacobian_is_looked_at(c: Any) -> Any:
    def f(x: Any) -> Any:
        g = fg.jacobian(lambda y: y * c)(x)
        return x * 2 if g.max() > 3 else x

    return f


@of_array(np.full(6, 2.0), 2, 4.0)
def pullback_is_looked_at(c: Any) -> Any:
    def f(x: Any) -> Any:
        (g,) = fg.vjp(lambda y: y * c, x)[1](np.ones(6))
        return x * 2 if np.any(g > 3) else x

    return f


# Arrays around that a function fills from others
@of_array(np.ones(6), 2, 3.0)
def buffer_is_filled(c: Any) -> Any:
    buffer = np.zeros(6)

    def f(x: Any) -> Any:
        buffer[:] = c
        return np.sum(buffer * x)

    return fg.grad(f)


@of_array(np.ones(6), 2, 3.0)
def buffer_is_written_to(c: Any) -> Any:
    buffer = np.zeros(6)

    def f(x: Any) -> Any:
        np.copyto(buffer, c)
        return fg.grad(lambda x: np.sum(buffer * x))(x)

    return f


@of_array(np.ones(6), 2, 3.0)
def buffer_takes_a_result(c: Any) -> Any:
    buffer = np.zeros(6)
    return lambda x: np.multiply(c, 2.0, out=buffer) * x if x.ndim else x


def own(c: Any) -> Any:
    return fg.defprimitive("own", lambda x: 2.0 * x, partials=lambda y, x: c.sum())


@of_array(np.ones(6), 2, 3.0)
def operation_is_declared_outside(c: Any) -> Any:
    f = fg.defprimitive("own", lambda x: 2.0 * x, partials=lambda y, x: c)
    return fg.grad(lambda x: np.sum(f(x)))


@of_array(np.ones(6), 2, 3.0)
def rule_is_given_outside(c: Any) -> Any:
    f = fg.custom_elementwise(lambda x: 2.0 * x, lambda y, x: c)
    g = fg.custom_linear(lambda x: x[::-1], lambda ct: ct[::-1] * c)
    return fg.grad(lambda x: np.sum(f(x) + g(x)))


def with_rule(c: Any) -> Any:
    @fg.custom_vjp
    def f(x: Any) -> Any:
        return x * 2.0

    f.defvjp(lambda x: (f(x), None), lambda residuals, ct: (ct * c[0],))
    return f


@of_array([2.0], 0, 3.0)
def helper_reads(c: Any) -> Any:
    def number(v: Any) -> float:
        return float(v[0])

    return lambda x: x * number(c)


@of_array([2.0, 1.0], 0, 3.0)
def loop_over_elements(c: Any) -> Any:
    def f(x: Any) -> Any:
        for v in c:
            x = x * v if v > 1.5 else x
        return x

    return f


@of_array([2.0], 0, 3.0)
def body_of_a_loop_reads(c: Any) -> Any:
    return lambda x: fg.lax.scan(lambda total, v: (total * float(c[0]) + v, v), 0.0, x)[0]


@of_array([3], 0, 4)
def while_reads(c: Any) -> Any:
    def f(x: Any) -> Any:
        k = 0
        while k < c[0]:
            x, k = x * 1.5, k + 1
        return x

    return f


@of_array([2.0], 0, 3.0)
def nested_transformations_read(c: Any) -> Any:
    inner = fg.grad(fg.jit(lambda x: np.sum(x**2) * float(c[0])))
    return lambda x: inner(x) + 1.0


@of_array([2.0], 0, 3.0)
def callable_object_reads(c: Any) -> Any:
    class Reader:
        @property
        def number(self) -> float:
            return float(c[0])

        def __call__(self, x: Any) -> Any:
            return x * self.number

    return Reader()


@of_array([2.0], 0, 3.0)
def attribute_of_a_function_is_read(c: Any) -> Any:
    def f(x: Any) -> Any:
        return x * float(vars(f)["c"][0])

    vars(f)["c"] = c
    return f


@of_array([2.0], 0, 3.0)
def method_of_an_object_made_inside_reads(c: Any) -> Any:
    return lambda x: Base(c).scaled(x * float(Base(c).first))


of_array([2.0], 0, 3.0)(lambda c: functools.partial(lambda w, x: x * float(w[0]), c))
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * next(map(float, c)))
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * (1.0 if 2.0 in c else 5.0))
of_array([2.0], 0, 3.0)(lambda c: lambda x: x * v if (v := c[0]) > 2.5 else x * 3.0)
of_array([2.0], 0, 3.0)(lambda c: lambda x: fg.vmap(lambda v: v * float(c[0]))(x))
of_array([2], 0, 3)(lambda c: lambda x: fg.fori_loop(0, int(c[0]), lambda k, y: y * 2, x))
of_array([2], 0, 3)(lambda c: lambda x: np.tile(x, c))
of_array([0, 1], slice(None), [1, 0])(lambda c: lambda x: np.sum(x.reshape(2, 3), axis=c[0]))
of_array([2.0], 0, 3.0)(lambda c: eval("lambda x: x * float(c[0])", {"c": c}))  # of which there is no text


# Containers, attributes, modules


@case
def list_grows() -> Case:
    items = [1.0, 2.0]
    return lambda x: x * len(items), lambda: items.append(3.0)


@case
def nested_containers() -> Case:
    tree: Any = {"a": [{"b": (np.ones(6), [2.0])}]}
    return lambda x: x * tree["a"][0]["b"][1][0], setting(tree["a"][0]["b"][1], 0)


@case
def array_of_another_shape() -> Case:
    tree = {"a": np.ones(6)}
    return lambda x: x * tree["a"], setting(tree, "a", np.full((2, 6), 2.0))


@case
def numpy_scalar_is_replaced() -> Case:
    tree = {"a": np.float64(2.0)}
    return lambda x: x * tree["a"], setting(tree, "a", np.float64(3.0))


@case
def long_list() -> Case:
    items = [2.0] * 3000
    return lambda x: x * items[-1], setting(items, -1)


@case
def long_list_of_lists() -> Case:
    items = [[2.0] for _ in range(1001)]
    return lambda x: x * items[-1][0], setting(items[-1], 0)


@case
def named_tuple_of_a_list() -> Case:
    pair = Pair([2.0])
    return lambda x: x * pair.items[0], setting(pair.items, 0)


@case
def ordered_dict() -> Case:
    entries = collections.OrderedDict(a=2.0)
    return lambda x: x * entries["a"], setting(entries, "a")


@case
def default_dict() -> Case:
    entries = collections.defaultdict(float, a=2.0)
    return lambda x: x * entries["a"], lambda: entries.pop("a")


@case
def set_of_numbers() -> Case:
    numbers = {1.0}
    return lambda x: x * len(numbers), lambda: numbers.add(2.0)


@case
def deque() -> Case:
    items = collections.deque([2.0])
    return lambda x: x * items[0], setting(items, 0)


@case
def bytes_of_a_buffer() -> Case:
    numbers = bytearray(b"\2")
    return lambda x: x * memoryview(numbers)[0], setting(numbers, 0, 3)


@case
def slots() -> Case:
    holder = Slots()
    return lambda x: x * holder.k, lambda: setattr(holder, "k", 3.0)


@case
def code_is_replaced() -> Case:
    def f(x: Any) -> Any:
        return x * 2.0

    return f, lambda: setattr(f, "__code__", (lambda x: x * 3.0).__code__)


@case
def defaults_are_replaced() -> Case:
    def f(x: Any, k: float = 2.0) -> Any:
        return x * k

    return f, lambda: setattr(f, "__defaults__", (3.0,))


@case
def defaults_by_name_are_replaced() -> Case:
    def f(x: Any, *, k: float = 2.0) -> Any:
        return x * k

    return f, lambda: (f.__kwdefaults__ or {}).update(k=3.0)


@case
def partial() -> Case:
    items = [2.0]
    return functools.partial(lambda x, items: x * items[0], items=items), setting(items, 0)


@case
def decorated() -> Case:
    items = [2.0]

    @functools.cache
    def amount() -> float:
        return items[0]

    def decorate(f: Any) -> Any:
        return functools.wraps(f)(lambda x: f(x) * amount())

    return decorate(lambda x: x + 1), lambda: (setting(items, 0)(), amount.cache_clear())


@case
def class_attribute_of_an_object() -> Case:
    base: Any = type("Other", (Base,), {"k": 2.0})
    holder = base([2.0])
    return lambda x: x * holder.k, lambda: setattr(base, "k", 3.0)


@case
def attribute_comes_before_that_of_the_class() -> Case:
    holder: Any = type("Other", (Base,), {})([2.0])
    return lambda x: x * holder.k, lambda: setattr(type(holder), "k", 3.0)


@case
def class_attribute_by_its_class() -> Case:
    holder: Any = type("Other", (Base,), {"k": 2.0})([2.0])
    return lambda x: x * holder.__class__.k, lambda: setattr(type(holder), "k", 3.0)


@case
def array_of_a_class() -> Case:
    cls: Any = type("Other", (Base,), {"w": np.ones(6)})
    return lambda x: x * cls.w, lambda: setattr(cls, "w", np.full(6, 3.0))


@case
def method_that_calls_another() -> Case:
    items = [2.0]
    holder = Derived(items)
    return holder.scaled, setting(items, 0)


@case
def method_is_replaced() -> Case:
    cls: Any = type("Other", (Base,), {})
    holder = cls([2.0])
    return lambda x: holder.scaled(x), lambda: setattr(cls, "scaled", lambda self, x: x * 7.0)


@case
def attribute_of_the_class_above() -> Case:
    cls: Any = type("Above", (Base,), {"k": 2.0})
    holder = type("Below", (cls,), {"scaled": lambda self, x: cls.scaled(self, x) + self.k})([2.0])
    return holder.scaled, lambda: setattr(cls, "k", 3.0)


@case
def property_and_operator() -> Case:
    items = [2.0]
    holder = Base(items)
    return lambda x: x * holder.first + holder[0], setting(items, 0)


@case
def static_method() -> Case:
    SHIFT[0] = 2.0
    return lambda x: Base.shifted(x), setting(SHIFT, 0)


@case
def attribute_by_its_name() -> Case:
    cls: Any = type("Other", (Base,), {"k": 2.0})
    return lambda x: x * getattr(cls, "k"), lambda: setattr(cls, "k", 3.0)  # noqa: B009 (the text is the case)


@case
def objects_in_a_list() -> Case:
    items = [2.0]
    holders = [Base([1.0]), Base(items)]
    return lambda x: functools.reduce(lambda x, holder: holder.scaled(x), holders, x), setting(items, 0)


@case
def attribute_of_a_module() -> Case:
    vars(settings)["scale"] = 2.0
    return lambda x: x * settings.scale, lambda: setattr(settings, "scale", 3.0)


@case
def attribute_of_an_object_of_a_module() -> Case:
    settings.inner.k = 2.0
    return lambda x: x * settings.inner.k, lambda: setattr(settings.inner, "k", 3.0)


@case
def global_of_another_module() -> Case:
    vars(library)["k"] = 2.0
    return lambda x: library.helper(x), lambda: setattr(library, "k", 3.0)


@pytest.fixture(autouse=True)
def modules_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "settings", settings)
    monkeypatch.setitem(sys.modules, "library", library)


@pytest.mark.parametrize("make", cases, ids=lambda make: make.__name__)
def test_change_around_a_function_is_seen_at_the_next_call(make: Callable[[], Case]) -> None:
    f, change = make()
    jitted = fg.jit(f)
    for _ in range(2):
        for _ in range(3):
            result, expected = jitted(X), f(X)  # the function itself may write to what is around it
            np.testing.assert_allclose(result, expected, rtol=1e-14)
            assert np.shape(result) == np.shape(expected)
        assert [program.executable is not None for program in jitted.explain().programs] == [True]
        change()


# What is read costs a comparison; what is not costs nothing

W, B, ORDER, KEY = np.ones((6, 6)), np.zeros(6), np.arange(6)[::-1].copy(), 3
LAYERS = [(W, B), (W + 1, B)]


def layer(x: Any, w: Any, b: Any, activate: bool = True, power: float = 1.0) -> Any:
    y = x @ w + b
    if w.ndim == 2 and activate and KEY > 2:
        y = np.tanh(y)
    return y**power if power != 1.0 else y


def network(x: Any) -> Any:
    total: Any = 0.0
    for k, (w, b) in enumerate(LAYERS):
        x = layer(x, w, b, activate=k < len(LAYERS) - 1)
        total = total + x.sum()
    return x[ORDER][:3] * total if x.shape[0] > 2 else x


def several_values(x: Any) -> Any:
    w, scale = W, None
    activation = lambda v: np.tanh(v)
    for k in range(3):
        x = activation(x @ w + (B if k else B[:1]))
        w, scale = w.T, k + 1
        if scale > 2 and x.ndim:
            x = x * scale
    return [part * B for part in (x, x + 1.0) if part is not None]


class Model:
    sizes: ClassVar = [6, 6]

    def __init__(self) -> None:
        self.w, self.depth, self.name = W, 2, "model"

    def hidden(self, x: Any) -> Any:
        return np.where(x > self.w[0], x @ self.w, self.w.T @ x)

    def __call__(self, x: Any) -> Any:
        for _ in range(self.depth):
            x = self.hidden(x) if self.name == "model" else x
        return [x[i : i + 2] for i in range(0, self.sizes[0], 2)]


@pytest.mark.parametrize(
    "f", [network, several_values, Model(), lambda x: np.linalg.solve(W + 7 * np.eye(6), x) if KEY else x]
)
def test_arrays_that_are_only_operands_are_not_compared(f: Any) -> None:
    jitted = fg.jit(f)
    jitted(X)
    watch = jitted.explain().programs[0].watch
    computed = "solve" in f.__code__.co_names if isinstance(f, types.FunctionType) else False
    assert len(watch._elements) == computed  # W + 7 * eye is made of W by NumPy


TARGETS, LABELS = np.linspace(0.0, 1.0, 500), np.sign(np.linspace(-1.0, 1.0, 500))


@pytest.mark.parametrize(
    ("loss", "count"),
    [
        (lambda x: np.sum((TALL @ x - TARGETS) ** 2), 0),
        (lambda x: np.sqrt(np.mean((TALL @ x - TARGETS) ** 2)), 0),
        (lambda x: -np.mean(np.log1p(np.exp(TALL @ x)[:, None] * TARGETS)), 1),  # few elements are copied
        (lambda x: np.sum(np.tanh(TALL @ x) * LABELS) + 0.5 * np.sum(x**2), 1),  # ones times LABELS
        (lambda x: np.sum(LABELS * np.tanh(TALL @ x) * TARGETS), 2),
        (lambda x: np.sum(TALL @ x), 1),
        (lambda x: np.sum((TALL @ x) * (LABELS + 1.0)), 2),  # of what NumPy makes nobody knows what it is made of
    ],
)
def test_derivatives_compare_what_their_rules_have_read(loss: Any, count: int) -> None:
    jitted = fg.jit(fg.grad(loss))
    jitted(X)
    assert len(jitted.explain().programs[0].watch._elements) == count


def test_nothing_is_known_of_a_derivative_that_a_function_has_got() -> None:
    outer = seeding.begin()
    recording = Recording("jit")
    gradient = fg.grad(lambda y: np.sum(3.0 * y))(recording.input(X))
    made = seeding.end(outer)
    recording.close()
    assert type(gradient) is np.ndarray  # which the function may write to
    assert not any(known.value is gradient for known in made.values())


def test_arrays_that_nobody_can_write_to_are_not_compared() -> None:
    c = np.array([2.0])
    c.setflags(write=False)
    jitted = fg.jit(lambda x: x * float(c[0]))
    jitted(X)
    assert jitted.explain().programs[0].watch._elements == []


def test_read_only_arrays_over_memory_that_others_write_to_are_compared() -> None:
    memory = bytearray(np.full(2, 2.0).tobytes())
    c = np.frombuffer(memory)
    c.setflags(write=False)
    jitted = fg.jit(lambda x: x * float(c[0]))
    for factor in (2.0, 2.0, 3.0):
        memory[:8] = np.float64(factor).tobytes()
        np.testing.assert_array_equal(jitted(X), X * factor)


# What is something else each time


def generator_draws() -> Any:
    rng = np.random.default_rng(0)
    return lambda x: x + rng.normal(size=6)


def attribute_draws() -> Any:
    holder = Base([np.random.default_rng(0)])
    return lambda x: x + holder.amounts[0].normal(size=6)


def iterator_goes_on() -> Any:
    counter = itertools.count(1)
    return lambda x: x * next(counter)


def nested_jit_draws() -> Any:
    inner = fg.jit(generator_draws())
    return lambda x: inner(x) + 1.0


VOLATILE = {
    "it draws random numbers": [
        generator_draws,
        attribute_draws,
        nested_jit_draws,
        lambda: lambda x: x * np.random.normal(),
        lambda: lambda x: x * random.random(),
        lambda: lambda x: x * random.gauss(0.0, 1.0),
        lambda: lambda x: x + np.random.default_rng().normal(size=6),
    ],
    "it reads a clock": [
        lambda: lambda x: x + time.perf_counter(),
        lambda: lambda x: x + datetime.datetime.now().timestamp(),
    ],
    "it uses an iterator": [iterator_goes_on],
}


@pytest.mark.parametrize(("why", "make"), [(why, make) for why, makes in VOLATILE.items() for make in makes])
def test_what_is_new_each_time_is_asked_for_at_each_call_with_one_warning(why: str, make: Any) -> None:
    jitted = fg.jit(make())
    with pytest.warns(fg.RetracingWarning, match=rf"recorded anew(.*\n)*.*{why}(.*\n)*.*as an argument"):
        results = [jitted(X)]
    with warnings.catch_warnings():
        if make is nested_jit_draws:
            warnings.simplefilter("ignore", fg.RetracingWarning)
        results += [jitted(X) for _ in range(4)]
    assert len({result.tobytes() for result in results}) == 5
    assert why in str(jitted.explain())


def test_generator_that_is_made_with_a_seed_gives_the_same_numbers_and_is_compiled() -> None:
    jitted = fg.jit(lambda x: x + np.random.default_rng(3).normal(size=6))
    results = [jitted(X) for _ in range(4)]
    np.testing.assert_array_equal(results, [X + np.random.default_rng(3).normal(size=6)] * 4)
    assert jitted.explain().programs[0].executable is not None


def test_function_that_depends_on_too_much_is_recorded_anew() -> None:
    items = [[2.0] for _ in range(30_000)]
    jitted = fg.jit(lambda x: x * items[-1][0])
    with pytest.warns(fg.RetracingWarning, match="more than 20000 Python values"):
        jitted(X)
    items[-1][0] = 3.0
    np.testing.assert_array_equal(jitted(X), X * 3)


def test_state_is_equal_exactly_where_values_are() -> None:
    def build(number: Any) -> Any:
        return {"a": [number, (1, [2])], "b": (None, "text", b"bytes")}

    for x, y in [(1, 1.0), (1, True), (0.0, -0.0), (1.0, 1.0 + 1e-15)]:
        assert Surroundings(build(x)).state == Surroundings(build(x)).state
        assert Surroundings(build(x)).state != Surroundings(build(y)).state
    assert Surroundings(build(math.nan)).state == Surroundings(build(math.nan)).state


def test_objects_of_other_packages_are_looked_at_and_not_into() -> None:
    assert len(Surroundings(lambda x: pytest.approx(np.random, sys), type(pytest)).parts) < 100
