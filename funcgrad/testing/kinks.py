"""Where is a function near a place without derivative, and does it matter which derivative it is given there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

import numpy as np

from funcgrad.core.jaxpr import Jaxpr, Literal, Var
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import Source, read_source
from funcgrad.core.tracing import Tracer
from funcgrad.testing.examining import Examined, Step, examine, simple
from funcgrad.testing.flat import FlatFunction, cotangents, directions, quietly
from funcgrad.testing.observing import exchanged
from funcgrad.testing.tolerances import magnitude
from funcgrad.testing.wording import operand_names, text_of
from funcgrad.transforms.evaluate import write

P = ParamSpec("P")

_DISTANCE = 1e-6
# Derivatives of the two sides that differ by more than this part differ because of the kink.
_MATTERS = 1e-3


@dataclass(frozen=True)
class Near:
    """Elements of an operation that are near a kink.

    Attributes:
        what: The kink, in words.
        convention: Which derivative is given there.
        distance: How far the nearest element is from it.
        count: How many elements are near.
        operand: The number of the operand that a step to one side moves.
        shift: That step, element by element.
        jumps: Whether the value itself jumps there.
    """

    what: str
    convention: str
    distance: float
    count: int
    operand: int
    shift: Any
    jumps: bool = False


@dataclass(frozen=True)
class Kink:
    """A place without derivative that the evaluation passed, or came near to.

    Attributes:
        what: The kink, in words: "a tie of `maximum`".
        source: The user's line.
        operands: What is compared, with values.
        distance: How far the nearest element is from it.
        count: How many elements are near.
        convention: Which derivative is given there.
        matters: Whether the function's derivative depends on that choice; None inside of loops and branches that
            are one step of the function, where it is not asked.
        sides: The derivatives on one side and on the other, a list of arrays each, if it does.
    """

    what: str
    source: Source | None
    operands: tuple[tuple[str, Any], ...]
    distance: float
    count: int
    convention: str
    matters: bool | None
    sides: tuple[list[Any], list[Any]] | None = None

    def __str__(self) -> str:
        head = self.what if self.count == 1 else f"{self.what}, of {self.count} elements"
        lines = [f"{head}{f', at a distance of {self.distance:.1g}' if self.distance else ''}"]
        lines += [f"  {'where':<10} {self.source}"] if self.source else []
        lines += [f"  {'operand':<10} {name} = {text_of(x)}" for name, x in self.operands]
        lines.append(f"  {'convention':<10} {self.convention}")
        if self.matters is None:
            lines.append(f"  {'matters':<10} not asked, inside of a loop or a branch")
        elif self.sides is None:
            lines.append(f"  {'matters':<10} no: the derivative is the same on both sides")
        else:
            left, right = (", ".join(map(text_of, side)) for side in self.sides)
            lines.append(f"  {'matters':<10} yes: the derivative is {left} on one side, {right} on the other")
        return "\n".join(lines)


class KinkList(tuple[Kink, ...]):
    """The kinks that were found, as a tuple that prints them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) if self else "no kink nearby"

    __str__ = __repr__


Finder = Callable[[Primitive, Sequence[Any], dict[str, Any], Sequence[Any], float], Iterator[Near]]

_TIE = "split evenly at a tie"
_NEITHER = "that of the branch which is taken"


def _close(a: Any, b: Any, distance: float) -> tuple[Any, Any]:
    """Where a and b are within a relative distance of each other, and how far they are apart."""
    gap = np.abs(np.subtract(a, b, dtype=float))
    scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return gap <= distance * np.where(np.isfinite(scale), scale, 1.0), gap


def _near(what: str, convention: str, a: Any, b: Any, distance: float, operand: int = 0, **more: Any) -> Iterator[Near]:
    """The kink where a equals b, if any elements are near it; a step moves an operand across."""
    near, gap = _close(a, b, distance)
    if near.any():
        step = 2 * distance * np.maximum(1.0, np.abs(np.asarray(b, dtype=float)))
        yield Near(
            what, convention, float(gap[near].min()), int(near.sum()), operand, np.where(near, step, 0.0), **more
        )


def _at_zero(what: str, convention: str, jumps: bool = False) -> Finder:
    return lambda p, xs, params, ys, d: _near(f"`{p.name}` at 0: {what}", convention, xs[0], 0.0, d, jumps=jumps)


def _tie(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    yield from _near(f"a tie of `{p.name}`", _TIE, xs[0], xs[1], d)


def _edges(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    for bound, name in ((xs[1], "lower"), (xs[2], "upper")):
        yield from _near(f"the {name} edge of `clip`", "1/2 at an edge", xs[0], bound, d)


def _compared(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    if all(np.result_type(x).kind in "iufb" for x in xs) and any(np.result_type(x).kind == "f" for x in xs):
        yield from _near(f"a branch on `{p.name}`", _NEITHER, xs[0], xs[1], d, jumps=True)


def _rounded(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    half = 0.5 if p.name in ("rint", "round") else 0.0
    scale = 10.0 ** params.get("decimals", 0)
    x = np.asarray(xs[0], dtype=float) * scale
    yield from _near(f"a jump of `{p.name}`", "0, as if there were none", x, np.rint(x - half) + half, d, jumps=True)


def _quotient(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    ratio = np.true_divide(xs[0], xs[1])
    yield from _near(f"a jump of `{p.name}`", "as if there were none", ratio, np.rint(ratio), d, jumps=True)


def _greatest(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    """Several elements that attain an extremum: all but the first of them move."""
    axes = params.get("axes", tuple(range(np.ndim(xs[0]))))
    function = np.max if p.name.endswith("max") else np.min
    near, gap = _close(xs[0], function(xs[0], axis=axes, keepdims=True), d)
    several = near & (np.sum(near, axis=axes, keepdims=True) > 1)
    if several.any():
        moved = several & (np.cumsum(several.reshape(-1)).reshape(several.shape) > 1)
        step = np.where(moved, 2 * d * magnitude(xs[0]), 0.0)
        jumps = p.name.startswith("arg")
        convention = "the first of them" if jumps else _TIE
        yield Near(f"a tie of `{p.name}`", convention, float(gap[moved].max()), int(several.sum()), 0, step, jumps)


def _ordered(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    """Neighbours in order that are equal: every other of them moves."""
    x = np.asarray(xs[0])
    if not x.ndim or x.dtype.kind not in "f":
        return
    axis = params.get("axis", x.ndim - 1)
    order = np.argsort(x, axis=axis, kind="stable")
    ordered = np.take_along_axis(x, order, axis)
    near, gap = _close(np.delete(ordered, 0, axis), np.delete(ordered, -1, axis), d)
    if near.any():
        pad = [(0, 0)] * x.ndim
        pad[axis % x.ndim] = (1, 0)
        step = np.zeros(x.shape)
        np.put_along_axis(step, order, np.pad(near, pad) * (2 * d * magnitude(x)), axis)
        yield Near(f"a tie of `{p.name}`", _TIE, float(gap[near].min()), int(near.sum()), 0, step)


def _origin(p: Primitive, xs: Sequence[Any], params: dict[str, Any], ys: Sequence[Any], d: float) -> Iterator[Near]:
    """A length, which has no derivative at 0."""
    for y in ys:
        near, gap = _close(y, 0.0, d)
        if near.any():
            step = np.full(np.shape(xs[0]), 2 * d)
            yield Near(f"`{p.name}` at the origin", "0", float(gap[near].min()), int(near.sum()), 0, step)


FINDERS: dict[str, Finder] = {
    **dict.fromkeys(("abs", "absolute", "fabs"), _at_zero("the derivative jumps from -1 to 1", "0")),
    **dict.fromkeys(("sign", "heaviside", "signbit"), _at_zero("a jump", "0", jumps=True)),
    "copysign": _at_zero("the derivative jumps", "0"),
    **dict.fromkeys(("sqrt", "cbrt"), _at_zero("the derivative is infinite", "infinite")),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), _tie),
    "clip": _edges,
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), _compared),
    **dict.fromkeys(("floor", "ceil", "trunc", "rint", "round", "fraction"), _rounded),
    **dict.fromkeys(("floor_divide", "remainder", "fmod"), _quotient),
    **dict.fromkeys(("reduce_max", "reduce_min", "argmax", "argmin"), _greatest),
    **dict.fromkeys(("sort", "argsort", "partition", "argpartition"), _ordered),
    **dict.fromkeys(("norm", "hypot"), _origin),
}


class Kinks(Generic[P]):
    """What `kinks` returns."""

    def __init__(self, function: Callable[P, Any], distance: float) -> None:
        self.function, self.distance = function, distance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> KinkList:
        """The kinks at these arguments."""
        flat = FlatFunction(self.function, args, kwargs)
        return KinkList(quietly(_found, flat, self.distance))

    def __repr__(self) -> str:
        return f"kinks({name_of(self.function)})"


def kinks(f: Callable[P, Any], distance: float = _DISTANCE) -> Callable[P, KinkList]:
    """A function that lists the places without derivative that an evaluation of f passes or comes near to.

    Ties of maximum, max and sort, abs at 0, edges of clip, jumps of floor and sign, and branches whose two sides are
    nearly equal: each with its line, the convention by which it gets a derivative, and whether the derivative of f
    depends on it. For that, f is evaluated with the operand moved a little to one side there and to the other, and
    both derivatives are compared; at a Python branch, f is run again with the other answer.

    Args:
        f: Any function of trees of arrays.
        distance: How near an operand is, beside its magnitude (or 1).

    Returns:
        A function of f's arguments that gives a tuple of `Kink`s, which prints as a list.

    Example:
        >>> import numpy as np
        >>> found = kinks(lambda x: np.sum(np.abs(x)))(np.array([0.0, 2.0]))
        >>> found[0].what, found[0].convention, found[0].matters
        ('`absolute` at 0: the derivative jumps from -1 to 1', '0', True)
    """
    return Kinks(f, distance)


def _found(flat: FlatFunction, distance: float) -> list[Kink]:
    examined = examine(flat)
    cts = directions(np.random.default_rng(0), [y for y, _ in examined.outputs])
    found = []
    comparisons = 0
    for step in examined.steps:
        for part in simple([step]):
            for near in _nearby(part, distance):
                sides = None
                if part is step:
                    answer = comparisons if near.jumps and near.convention == _NEITHER else None
                    sides = _sides(examined, step, near, cts, answer)
                found.append(_kink(part, near, sides))
        comparisons += step.primitive.name in _BRANCHES
    return found


_BRANCHES = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


def _nearby(part: Step, distance: float) -> Iterator[Near]:
    finder = FINDERS.get(part.primitive.name)
    if finder is None or any(isinstance(x, Tracer) or np.result_type(x).kind not in "fiub" for x in part.xs):
        return
    yield from finder(part.primitive, part.xs, part.params, part.ys, distance)


def _kink(part: Step, near: Near, sides: tuple[list[Any], list[Any]] | None) -> Kink:
    names = operand_names(part)
    operands = tuple(
        (name, x)
        for name, made, x in zip(names, part.operands, part.xs, strict=True)
        if made is not None or part.within is not None
    )
    source = read_source(part.place)
    matters = sides is not None if part.within is None else None
    return Kink(near.what, source, operands, near.distance, near.count, near.convention, matters, sides)


def _sides(
    examined: Examined, step: Step, near: Near, cts: list[Any], answer: int | None
) -> tuple[list[Any], list[Any]] | None:
    """The derivatives of the function on both sides of a kink, if they differ."""
    flat = examined.flat
    if answer is not None:
        derivatives = [
            cotangents(lambda *xs, sign=sign: _rerun(flat, xs, answer, near.shift * sign), flat.xs, cts)
            for sign in (1.0, -1.0)
        ]
    else:
        derivatives = [
            cotangents(lambda *xs, sign=sign: _shifted(examined, step, near, sign, xs), flat.xs, cts)
            for sign in (1.0, -1.0)
        ]
    left, right = derivatives
    for a, b in zip(left, right, strict=True):
        if not np.all(np.abs(a - b) <= _MATTERS * magnitude(a, b)):
            return left, right
    return None


def _shifted(examined: Examined, step: Step, near: Near, sign: float, xs: Sequence[Any]) -> list[Any]:
    """The function with one operand of one step moved."""
    jaxpr = examined.jaxpr
    count = -1
    env: dict[Var, Any] = dict(zip(jaxpr.inputs, xs, strict=True))
    env.update(jaxpr.constants)

    def read(x: Var | Literal) -> Any:
        return x.value if isinstance(x, Literal) else env[x]

    def run(inner: Jaxpr) -> None:
        nonlocal count
        for eqn in inner.equations:
            operands = [read(x) for x in eqn.inputs]
            nested = eqn.params.get("jaxpr") if eqn.primitive.name == "jit" else None
            if isinstance(nested, Jaxpr):
                env.update(zip(nested.inputs, operands, strict=True))
                env.update(nested.constants)
                run(nested)
                env.update((v, read(x)) for v, x in zip(eqn.outputs, nested.outputs, strict=True))
                continue
            count += 1
            if count == step.number:
                operands[near.operand] = operands[near.operand] + near.shift * sign
            write(env, eqn, bind(eqn.primitive, *operands, **eqn.params))

    run(jaxpr)
    return [read(x) for x in jaxpr.outputs]


def _rerun(flat: FlatFunction, xs: Sequence[Any], answer: int, shift: Any) -> list[Any]:
    """The function run again, one of its comparisons seeing its operand moved."""
    count = -1

    def exchange(primitive: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        if primitive.name not in _BRANCHES:
            return rule

        def compared(*operands: Any, **params: Any) -> Any:
            nonlocal count
            count += 1
            if count == answer:
                operands = (operands[0] + shift, *operands[1:])
            return rule(*operands, **params)

        return compared

    with exchanged(implementation=exchange):
        return list(flat(*xs))


__all__ = ["Kink", "KinkList", "kinks"]
