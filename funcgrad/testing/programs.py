"""Random differentiable programs: plain NumPy in a few steps, the text of a function that runs as it stands."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.batching import vmap
from funcgrad.api.branches import cond, switch
from funcgrad.api.differentiation import grad
from funcgrad.api.loops import fori_loop, scan, while_loop
from funcgrad.api.products import jvp
from funcgrad.api.remat import checkpoint
from funcgrad.api.staging import jit
from funcgrad.testing.flat import quietly

Choose = Callable[[Sequence[Any]], Any]
Shape = tuple[int, ...]

_SHAPES: tuple[Shape, ...] = ((), (3,), (2, 3), (3, 3), (1, 3), (2,), (3, 1))
_LARGEST_SIZE = 12
_LARGEST_VALUE = 30.0
_LARGEST_RANK = 3


class Operation(NamedTuple):
    """A line of a program.

    Attributes:
        text: With `{a}` and `{b}` for variables.
        fits: Whether operands of these shapes will do.
    """

    text: str
    fits: Callable[..., bool]


def _any(*shapes: Shape) -> bool:
    return True


def _vector(*shapes: Shape) -> bool:
    return all(len(shape) == 1 for shape in shapes)


def _ranked(*shapes: Shape) -> bool:
    return all(shapes)


def _second_ranked(a: Shape, b: Shape) -> bool:
    return bool(b) and (a == b or not a)


def _square(a: Shape) -> bool:
    return len(a) == 2 and a[0] == a[1]


def _matrix(a: Shape) -> bool:
    return len(a) == 2


def _products(a: Shape, b: Shape) -> bool:
    return bool(a) and bool(b) and a[-1] == (b[-2] if len(b) > 1 else b[0])


def _stacks_of_products(a: Shape, b: Shape) -> bool:
    return _products(a, b) and _broadcast(a[:-2], b[:-2])


def _equal(a: Shape, b: Shape) -> bool:
    return a == b


def _broadcast(a: Shape, b: Shape) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


UNARY = [
    *[
        Operation(text, _any)
        for text in (
            "np.sin({a})",
            "np.cos({a})",
            "np.tanh({a})",
            "np.exp(-({a} ** 2))",
            "np.exp(np.tanh({a}))",
            "np.log1p({a} ** 2)",
            "np.sqrt(1 + {a} ** 2)",
            "np.arctan({a})",
            "{a} / (1 + {a} ** 2)",
            "np.sinc({a} / 3)",
            "np.arcsinh({a})",
            "np.logaddexp(0, {a})",
            "1 / (1.5 + np.sin({a}))",
            "(2 + np.cos({a})) ** 1.5",
            "np.hypot({a}, 1.0)",
            "np.arctan2({a}, 2.0)",
            "2.0 ** np.tanh({a})",
            "np.reshape({a}, -1)",
            "np.sum({a} ** 2) / (1 + np.size({a}))",
            "np.mean({a})",
            "np.transpose({a})",
            "np.square({a}) - {a}",
            "np.expm1(-np.square({a}))",
            "np.where(np.arange(np.size({a})).reshape(np.shape({a})) % 2 == 0, {a}, np.sin({a}))",
        )
    ],
    *[
        Operation(text, _ranked)
        for text in (
            "np.cumsum({a}, axis=-1) / 2",
            "np.flip({a}, axis=0)",
            "np.roll({a}, 1, axis=-1)",
            "{a}[..., ::-1]",
            "{a}[0]",
            "{a}[..., -1]",
            "{a}[..., None, :1]",
            "np.sum({a}, axis=0)",
            "np.mean({a}, axis=-1, keepdims=True)",
            "np.var({a}, axis=-1)",
            "np.take({a}, [0, -1], axis=0)",
            "np.logaddexp.reduce({a}, axis=-1)",
            "np.prod(np.tanh({a}) + 1.5, axis=-1) / 4",
            "np.cumprod(np.cos({a}), axis=0)",
            "np.concatenate([{a}, np.sin({a})], axis=0)",
            "np.diff({a}, axis=0, append=0)",
            "np.einsum('...i,...i->...', {a}, np.cos({a}))",
        )
    ],
    Operation("{a} @ np.sin({a})", _vector),
    Operation("np.convolve({a}, [0.5, 1.0, -0.5])", _vector),
    Operation("np.outer({a}, np.tanh({a}))", _vector),
    Operation("np.diag({a})", _vector),
    Operation("np.trace({a})", _matrix),
    Operation("np.tril({a})", _matrix),
    Operation("{a} @ {a}.T / (1 + np.sum({a} ** 2))", _matrix),
    Operation("np.linalg.det(np.eye(len({a})) + np.tanh({a}) / 5)", _square),
    Operation("np.linalg.inv(np.eye(len({a})) + np.tanh({a}) / 5)", _square),
    Operation("np.linalg.solve(2 * np.eye(len({a})) + np.sin({a}) / 2, {a})", _square),
    Operation("np.linalg.cholesky(2 * np.eye(len({a})) + {a} @ {a}.T / (1 + np.sum({a} ** 2)))", _matrix),
    Operation("np.linalg.slogdet(2 * np.eye(len({a})) + np.sin({a}) / 2)[1]", _square),
]
BINARY = [
    *[
        Operation(text, _broadcast)
        for text in (
            "{a} + {b}",
            "{a} - np.sin({b})",
            "{a} * np.tanh({b})",
            "np.sin({a} * {b})",
            "{a} / (2 + np.sin({b}))",
            "np.logaddexp({a}, {b})",
            "np.hypot(1 + {a} ** 2, {b})",
            "np.arctan2({a}, 1.5 + np.cos({b}))",
            "(1.5 + np.sin({a})) ** np.tanh({b})",
        )
    ],
    Operation("np.stack([{a}, {b}])", _equal),
    Operation("np.tanh({a} @ {b})", _stacks_of_products),
    Operation("np.outer({a}, {b}) / 2", _any),
    Operation("np.dot({a}, np.cos({b}))", _products),
    Operation("np.convolve({a}, {b}) / 3", _vector),
    Operation("np.vdot({a}, {b}) / 3", _equal),
    Operation("np.einsum('...i,...i->...', {a}, {b})", lambda a, b: a == b != ()),
]
TRANSFORMED = [
    Operation("jit(lambda u: np.sin(u) * u)({a})", _any),
    Operation("grad(lambda u: np.sum(np.sin(u) * u))({a})", _any),
    Operation("jvp(lambda u: np.tanh(u) * u, ({a},), (np.cos({a}),))[1]", _any),
    Operation("vmap(lambda row: np.tanh(row) * np.mean(row))({a})", _ranked),
    Operation("vmap(grad(lambda row: np.sum(np.cos(row) ** 2)))({a})", _ranked),
    Operation("grad(lambda u: np.sum(np.sin(u) * {b}))({a})", _broadcast),
]
CONTROLLED = [
    Operation("checkpoint(lambda u: np.sin(u) * u)({a})", _any),
    Operation("fori_loop(0, 3, lambda i, c: np.sin(c) * 0.9, {a})", _any),
    Operation("while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, np.tanh(s[1])), (0, {a}))[1]", _any),
    Operation("cond(np.sum({a}) > 1000, lambda u: u * 2, lambda u: np.sin(u) * u, {a})", _any),
    Operation("switch(1, [np.cos, np.tanh, np.sin], {a})", _any),
    Operation("scan(lambda c, x: (np.tanh(c + x), c * x), np.mean({a}), np.ravel({a}))[1]", _ranked),
    Operation("scan(lambda c, x: (np.sin(c) + x, np.cos(c)), {a}[0], {a}, reverse=True)[1]", _ranked),
    Operation("vmap(lambda row: fori_loop(0, 2, lambda i, c: np.sin(c) + row, row))({a})", _ranked),
    Operation(
        "grad(lambda u: np.sum(scan(lambda c, x: (np.sin(c) * x, c), ({b} * u)[0], {b} * u)[0]))({a})", _second_ranked
    ),
]
KINKED = [
    Operation("np.abs({a})", _any),
    Operation("np.maximum({a}, 0)", _any),
    Operation("np.clip({a}, -1, 1)", _any),
    Operation("np.where({a} > 0, {a}, np.sin({a}))", _any),
    Operation("np.max({a}, axis=-1)", _ranked),
    Operation("np.sort({a}, axis=-1)", _ranked),
    Operation("np.linalg.norm({a})", _any),
    Operation("np.minimum({a}, {b})", _broadcast),
]

_NAMES: dict[str, Any] = {
    "np": np,
    "checkpoint": checkpoint,
    "cond": cond,
    "fori_loop": fori_loop,
    "grad": grad,
    "jit": jit,
    "jvp": jvp,
    "scan": scan,
    "switch": switch,
    "vmap": vmap,
    "while_loop": while_loop,
}
# What a program's text needs to run as it stands.
IMPORTS = f"from funcgrad import {', '.join(sorted(set(_NAMES) - {'np'}))}"
_numbers = itertools.count(1)


class Program:
    """A function with its text.

    Attributes:
        source: The text, a `def` statement.
        shapes: The shapes of its arguments.
        smooth: Whether it has derivatives of all orders.
    """

    def __init__(self, source: str, shapes: Sequence[Shape], smooth: bool) -> None:
        self.source, self.shapes, self.smooth = source, tuple(shapes), smooth
        self.__name__ = "program"
        file = f"<program {next(_numbers)}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[file] = (len(source), None, lines, file)  # so that messages show its lines
        names = dict(_NAMES)
        exec(compile(source, file, "exec"), names)
        self._function = names["program"]

    def __call__(self, *xs: Any) -> Any:
        """The program's result."""
        return self._function(*xs)

    def example(self, seed: int = 0, dtype: Any = np.float64) -> tuple[Any, ...]:
        """Some arguments."""
        rng = np.random.default_rng(seed)
        return tuple(np.asarray(rng.uniform(-1.5, 1.5, shape)).astype(dtype)[()] for shape in self.shapes)

    def __repr__(self) -> str:
        return f"\n{self.source}"


def build_program(
    choose: Choose, inputs: int, max_steps: int, *, smooth: bool = True, scalar: bool = False, control: bool = True
) -> Program:
    """A program whose parts `choose` has chosen, each from a list of options.

    Args:
        choose: Gives one of a list.
        inputs: How many arguments it takes, at most.
        max_steps: How many operations it has, at most.
        smooth: Whether it has derivatives of all orders.
        scalar: Whether its result is one number.
        control: Whether there are transformations in it.
    """
    count = choose(range(1, inputs + 1))
    shapes = [choose(_SHAPES) for _ in range(count)]
    names = [f"x{i}" for i in range(count)]
    rng = np.random.default_rng(0)
    values = {name: np.asarray(rng.uniform(-1.5, 1.5, shape)) for name, shape in zip(names, shapes, strict=True)}
    operations = [*UNARY, *BINARY, *([*TRANSFORMED, *CONTROLLED] if control else []), *([] if smooth else KINKED)]
    lines: list[str] = []
    for i in range(choose(range(1, max_steps + 1))):
        a, b = choose(list(values)[::-1]), choose(list(values))
        fitting = [op for op in operations if _fits(op, values[a].shape, values[b].shape)]
        text = choose(fitting).text.format(a=a, b=b)
        value = quietly(_evaluated, text, values)
        if value is None:
            continue
        values[f"y{i}"] = value
        lines.append(f"    y{i} = {text}")
    last = next(reversed(values))
    result = f"np.sum(np.cos({last}) * {last})" if scalar else last
    source = "\n".join([f"def program({', '.join(names)}):", *lines, f"    return {result}", ""])
    return Program(source, shapes, smooth)


def _fits(operation: Operation, a: Shape, b: Shape) -> bool:
    return operation.fits(a, b) if "{b}" in operation.text else operation.fits(a)


def _evaluated(text: str, values: dict[str, Any]) -> Any:
    """The value of a line; None where it is too large to go on with."""
    value = np.asarray(eval(text, {**_NAMES, **values}))
    moderate = value.size <= _LARGEST_SIZE and value.ndim <= _LARGEST_RANK and np.isfinite(value).all()
    return value if moderate and np.max(np.abs(value), initial=0.0) <= _LARGEST_VALUE else None


def random_program(rng: np.random.Generator, inputs: int = 2, max_steps: int = 6, **options: bool) -> Program:
    """A program that a generator of random numbers has chosen.

    Example:
        >>> program = random_program(np.random.default_rng(0))
        >>> np.isfinite(program(*program.example())).all()
        np.True_
    """
    return build_program(lambda options: options[int(rng.integers(len(options)))], inputs, max_steps, **options)
