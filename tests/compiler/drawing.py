"""Random programs over all that NumPy code does: every dtype, empty arrays, special values, loops, transformations."""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import funcgrad as fg
from funcgrad.compiler.lowering import RULES
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, subjaxprs
from funcgrad.core.primitive import Primitive
from funcgrad.primitives import decompositions, leastsquares, linalg
from funcgrad.transforms.call import jit_p
from tests.compiler.operations import BINARY, CONTROLLED, INDEXING, LINEAR, REDUCING, SHAPING, UNARY

# With what chances lines are drawn from each, or where it is loops that matter; what NumPy refuses is left out.
CLASSES = [UNARY, BINARY, REDUCING, SHAPING, INDEXING, LINEAR, CONTROLLED]
CHANCES = [0.2, 0.2, 0.15, 0.15, 0.12, 0.09, 0.09]
CHANCES_OF_LOOPS = [0.12, 0.12, 0.06, 0.08, 0.04, 0.03, 0.55]

DTYPES = [*[np.float64] * 6, *[np.float32] * 2, np.int64, np.bool_, np.complex128, np.int32, np.complex64, np.uint8]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-310, 1e300, -1.0, 1.0, 0.5]
_MOST_ELEMENTS = 3000
_LARGEST = 1e6


def assigned(x: Any, index: Any, value: Any) -> Any:
    """A copy of x with `x[index] = value`."""
    y = x * 1
    y[index] = value
    return y


def added(x: Any, index: Any, value: Any) -> Any:
    """A copy of x after `x[index] += value`."""
    y = x * 1
    y[index] += value
    return y


def scaled(x: Any, k: int) -> Any:
    """A copy of x after work in place."""
    y = x * 1
    view = y[..., :2]
    y *= 2
    view -= k
    np.add(y, 1, out=y)
    return y + np.sum(view)


def masked(x: Any, bound: Any) -> Any:
    """A copy of x, zero where it is less than a bound."""
    y = x * 1
    y[y < bound] = 0
    return y


def added_at(x: Any, index: Any, value: Any) -> Any:
    """A copy of x after `np.add.at`."""
    y = x * 1
    np.add.at(y, index, value)
    return y


@fg.custom_jvp
def ruled(x: Any) -> Any:
    """The hyperbolic tangent, with a derivative by rule."""
    return np.tanh(x)


ruled.defjvp(lambda xs, dots: (np.tanh(xs[0]), dots[0] / np.cosh(xs[0]) ** 2))


@fg.custom_vjp
def ruled_back(x: Any) -> Any:
    """The sine, with a pullback by rule."""
    return np.sin(x)


ruled_back.defvjp(lambda x: (np.sin(x), x), lambda x, ct: (np.cos(x) * ct,))

_DECOMPOSING = {
    value
    for room in (linalg, decompositions, leastsquares)
    for value in vars(room).values()
    if type(value) is Primitive
}


class Noise:
    """Values as another order of rounding might make them: each number is off by a few units in the last place.

    Attributes:
        undefined: Whether a matrix with an infinity or NaN has been decomposed, of which LAPACK makes anything.
    """

    def __init__(self, seed: int, units: float = 4.0) -> None:
        self._rng, self._units = np.random.default_rng(seed), units
        self.undefined = False

    def __call__(self, x: Any) -> Any:
        dtype = np.result_type(x)
        if dtype.kind not in "fc" or not self._units:
            return x
        eps = np.finfo(dtype).eps
        y = np.array(x)
        for part in (y.real, y.imag) if dtype.kind == "c" else (y,):
            # Never nothing, and of many sizes: what is off twice must not be right again.
            off = self._rng.choice([-1, 1], part.shape) * self._rng.uniform(0.5, 1.5, part.shape)
            inside = np.abs(part) <= 1
            part *= (1 + self._units * eps * off).astype(eps.dtype)
            # What may be a sine or a hyperbolic tangent is rounded to 1, and not beyond.
            np.clip(part, -1, 1, out=part, where=inside)
        return type(x)(y) if type(x) in (float, complex) else y[()]

    def results(self, jaxpr: Jaxpr, arguments: Sequence[Any]) -> list[Any]:
        """What a jaxpr gives with noise after each equation, those of loops and branches included."""
        env: dict[Any, Any] = dict(zip(jaxpr.inputs, arguments, strict=True)) | dict(jaxpr.constants)
        for eqn in jaxpr.equations:
            xs = [x.value if isinstance(x, Literal) else env[x] for x in eqn.inputs]
            if eqn.primitive in _DECOMPOSING and not all(np.all(np.isfinite(x)) for x in xs):
                self.undefined = True
            if eqn.primitive is jit_p:
                ys = self.results(eqn.params["jaxpr"], xs)
            else:
                ys = self._computed(eqn, xs)
                ys = [self(y) for y in (ys if eqn.primitive.multiple_results else [ys])]
            env.update(zip(eqn.outputs, ys, strict=True))
        return [x.value if isinstance(x, Literal) else env[x] for x in jaxpr.outputs]

    def _computed(self, eqn: Equation, xs: Sequence[Any]) -> Any:
        """An equation's results, in loops and branches with noise wherever functions are computed."""
        if not self._units or not any(True for _ in subjaxprs(eqn)):
            return eqn.primitive.implementation(*xs, **eqn.params)
        known = {primitive: primitive.implementation for primitive in RULES if primitive.derivatives is not None}
        try:
            for primitive, implementation in known.items():
                primitive.implementation = lambda *xs, f=implementation, **params: self(f(*xs, **params))
            return eqn.primitive.implementation(*xs, **{name: _copied(value) for name, value in eqn.params.items()})
        finally:
            for primitive, implementation in known.items():
                primitive.implementation = implementation


def _copied(value: Any) -> Any:
    """A parameter of an equation with jaxprs of its own, for which nothing has been derived or prepared."""
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    if not isinstance(value, Jaxpr):
        return value
    equations = []
    for eqn in value.equations:
        params = {name: _copied(part) for name, part in eqn.params.items()}
        equations.append(Equation(eqn.primitive, eqn.inputs, eqn.outputs, params))
    return Jaxpr(value.inputs, value.constants, equations, value.outputs)


_NAMES: dict[str, Any] = {"np": np, "fg": fg, "ruled": ruled, "ruled_back": ruled_back}
_NAMES |= {f.__name__: f for f in (assigned, added, added_at, scaled, masked)}


def function_of(source: str) -> Callable[..., Any]:
    """The function named `program` that a text defines."""
    file = f"<program {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = dict(_NAMES)
    exec(compile(source, file, "exec"), names)
    return names["program"]  # type: ignore[return-value]


class Drawn:
    """A program and arguments for it, all from one number.

    Attributes:
        source: Its text.
        transformation: The name of what is applied to it.
        arguments: Lists of arguments of the same types: those that it was written with, and others.

    Args:
        loops: Whether most lines are loops and branches, under transformations.
    """

    def __init__(self, seed: int, most_steps: int = 14, loops: bool = False) -> None:
        self._rng = rng = np.random.default_rng(seed)
        self._chances = CHANCES_OF_LOOPS if loops else CHANCES
        count = int(rng.integers(1, 4))
        shapes = [tuple(int(n) for n in rng.integers(1, 5, size=rng.integers(0, 4))) for _ in range(count)]
        if rng.integers(10) == 0:
            shapes[0] = (int(rng.integers(20, 60 if loops else 300)),)
        if rng.integers(12) == 0:
            shapes[-1] = (0, 3)[: int(rng.integers(1, 3))]
        square = int(rng.integers(1, 6))
        if rng.integers(3) == 0:
            shapes[0] = (square, square)
        dtypes = [DTYPES[rng.integers(len(DTYPES))] for _ in shapes]
        types = list(zip(shapes, dtypes, strict=True))
        first = [self._array(shape, dtype, 0.0) for shape, dtype in types]
        choices = ["none", "none", "grad", "jvp", "vmap", "vmap grad", "jit", "hessian"]
        if loops:
            choices = ["none", "grad", "grad", "grad", "jvp", "vmap", "vmap grad", "hessian"]
        self.transformation = str(rng.choice(choices))
        self.source = self._program(first, int(rng.integers(1, most_steps + 1)))
        batch = (2,) if self.transformation.startswith("vmap") else ()
        self.arguments = [
            [self._array((*batch, *shape), dtype, special) for shape, dtype in types] for special in (0.0, 0.0, 0.3)
        ]
        if not batch:
            self.arguments.insert(0, first)

    def _array(self, shape: tuple[int, ...], dtype: Any, special: float) -> Any:
        rng = self._rng
        x = rng.normal(size=shape) * rng.choice([0.5, 1.0, 3.0])
        if np.dtype(dtype).kind == "c":
            x = x + 1j * rng.normal(size=shape)
        elif np.dtype(dtype).kind in "iu":
            return np.asarray(rng.integers(0 if np.dtype(dtype).kind == "u" else -3, 7, size=shape)).astype(dtype)
        elif np.dtype(dtype).kind == "b":
            return np.asarray(x > 0)
        x = np.where(rng.random(shape) < special, rng.choice(SPECIAL, shape), x)
        with np.errstate(all="ignore"):
            return np.asarray(x).astype(dtype)

    def _program(self, arguments: Sequence[Any], steps: int) -> str:
        rng = self._rng
        values = {f"x{n}": value for n, value in enumerate(arguments)}
        lines = []
        for n in range(steps):
            for _ in range(12):
                names = list(values)
                weights = 1.0 + np.arange(len(names))
                a, b, c = rng.choice(names, 3, p=weights / weights.sum())
                kind = CLASSES[rng.choice(len(CLASSES), p=self._chances)]
                size = max(1, len(values[a]) if values[a].ndim else 1)
                indices = rng.integers(-size, size, size=rng.integers(1, 5)).tolist()
                text = kind[rng.integers(len(kind))]
                text = text.format(a=a, b=b, c=c, k=int(rng.integers(-1, 2)), i=indices)
                value = _value(text, values)
                if value is not None:
                    values[f"y{n}"] = value
                    lines.append(f"    y{n} = {text}")
                    break
        results = [name for name in list(values)[-3:] if name.startswith("y")] or ["x0 * 2"]
        parameters = ", ".join(f"x{n}" for n in range(len(arguments)))
        return "\n".join([f"def program({parameters}):", *lines, f"    return {', '.join(results)},", ""])

    def function(self) -> Callable[..., Any]:
        """The program, transformed."""
        program = function_of(self.source)
        positions = tuple(n for n, x in enumerate(self.arguments[0]) if x.dtype.kind == "f")
        if self.transformation == "jit":
            inner = fg.jit(program)
            return lambda *xs: inner(*xs)
        if self.transformation == "vmap":
            return fg.vmap(program)
        if self.transformation == "none" or not positions:
            return program

        def total(*xs: Any) -> Any:
            return sum(np.sum(np.sin(y.real)) for y in program(*xs) if y.dtype.kind in "fc") + 0.0 * np.sum(
                xs[positions[0]]
            )

        if self.transformation == "jvp":

            def tangents(*xs: Any) -> Any:
                moved = [xs[n] for n in positions]

                def of_moved(*ys: Any) -> Any:
                    zs = list(xs)
                    for n, y in zip(positions, ys, strict=True):
                        zs[n] = y
                    return total(*zs)

                return fg.jvp(of_moved, tuple(moved), tuple(x * 0.5 for x in moved))

            return tangents
        if self.transformation == "hessian":
            return fg.grad(lambda *xs: sum(np.sum(d) for d in fg.grad(total, positions)(*xs)), positions)
        gradient = fg.grad(total, positions)
        return fg.vmap(gradient) if self.transformation == "vmap grad" else gradient

    def __repr__(self) -> str:
        types = ", ".join(f"{x.dtype}{list(x.shape)}" for x in self.arguments[0])
        return f"{self.transformation} of arguments {types}\n{self.source}"


def _value(text: str, values: dict[str, Any]) -> Any:
    """The value of a line as an array; None where NumPy or funcgrad refuses, or where it is too large to go on with."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            value = eval(text, {**_NAMES, **values})
    except Exception:
        return None
    if not isinstance(value, (np.ndarray, np.generic)) or np.size(value) > _MOST_ELEMENTS or np.ndim(value) > 4:
        return None
    value = np.asarray(value)
    finite = value.dtype.kind not in "fc" or np.sum(np.isfinite(value)) >= 0.7 * value.size
    small = np.max(np.abs(value[np.isfinite(value)]).astype(float), initial=0.0) <= _LARGEST
    return value if finite and small and value.dtype.kind in "fciub" else None
