"""What to write in place of an operation that gives NaN or an infinite derivative, tried before it is suggested.

Each suggestion is found by the shape of what was computed (`sqrt` of a sum of squares is a norm), put in place of the
operation, and the whole function run again with it. Only what gives finite numbers there is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import current_place, replay
from funcgrad.core.tracing import Recording, Tracer, origin
from funcgrad.core.tree import flatten_results
from funcgrad.testing.examining import Examined, Step, called
from funcgrad.testing.flat import FlatFunction, quietly
from funcgrad.testing.observing import exchanged

_LARGEST_EXPONENT = 700.0
_MARGIN = 1e-12
# NumPy's stubs do not know keepdims as a variable.
_logaddexp_over: Any = np.logaddexp.reduce


class Term:
    """A value and how it was computed, from a step that is over or from a recording that is under way."""

    def __init__(self, value: Any, made: Step | str | None = None) -> None:
        self.value, self.made = value, made

    @property
    def kind(self) -> str:
        """The primitive that made it; empty for what was given."""
        equation = self._equation()
        return equation[0] if equation else ""

    @property
    def params(self) -> dict[str, Any]:
        """That primitive's parameters."""
        equation = self._equation()
        return equation[1] if equation else {}

    @property
    def operands(self) -> list[Term]:
        """What it was made of."""
        equation = self._equation()
        return equation[2] if equation else []

    @property
    def text(self) -> str:
        """What the user calls it."""
        return "x" if isinstance(self.value, Tracer) else called(self.made, self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return get_aval(self.value).shape

    def _equation(self) -> tuple[str, dict[str, Any], list[Term]] | None:
        if isinstance(self.made, Step):
            terms = [Term(x, made) for x, made in zip(self.made.xs, self.made.operands, strict=True)]
            return self.made.primitive.name, self.made.params, terms
        if not isinstance(self.value, Tracer):
            return None
        recording = self.value.recording
        equation = origin(self.value)
        if equation is None:
            return None
        primitive, params, xs, ids = equation[:4]
        tracers = [x if i is None else Tracer(recording, i, x) for x, i in zip(xs, ids, strict=True)]
        return primitive.name, params, [Term(x) for x in tracers]


class _Operation(Term):
    """A term that is about to be computed: a primitive and its operands."""

    def __init__(self, name: str, params: dict[str, Any], operands: Sequence[Any]) -> None:
        super().__init__(None)
        self._own = (name, params, [Term(x) for x in operands])

    def _equation(self) -> tuple[str, dict[str, Any], list[Term]]:
        return self._own


class Rewrite(NamedTuple):
    """Something to be written in place of an operation.

    Attributes:
        text: In the user's words.
        compute: Gives its value.
    """

    text: str
    compute: Callable[[], Any]


Pattern = Callable[[Term], Rewrite | None]


def _squared(term: Term) -> Term | None:
    """x, of a term x**2."""
    if term.kind == "square" or (term.kind == "pow" and _is_number(term.operands[1], 2)):
        return term.operands[0]
    if term.kind == "multiply" and _same(*term.operands):
        return term.operands[0]
    return None


def _same(a: Term, b: Term) -> bool:
    if isinstance(a.value, Tracer) and isinstance(b.value, Tracer):
        return a.value.recording is b.value.recording and a.value.id == b.value.id
    return a.value is b.value


def _is_number(term: Term, number: float) -> bool:
    value = term.value
    return not isinstance(value, Tracer) and np.ndim(value) == 0 and bool(value == number)


def _sum_axes(total: Term) -> tuple[tuple[int, ...], bool]:
    """Over which axes a term is a sum, and whether it keeps them."""
    ndim = len(total.operands[0].shape)
    return total.params.get("axes", tuple(range(ndim))), total.params.get("keepdims", False)


def _axis_text(axes: tuple[int, ...], ndim: int, keepdims: bool) -> str:
    axis = "" if len(axes) == ndim else f", axis={axes[0] if len(axes) == 1 else axes}"
    return axis + (", keepdims=True" if keepdims else "")


def _norm(term: Term) -> Rewrite | None:
    total = term.operands[0]
    x = _squared(total.operands[0]) if total.kind == "reduce_sum" else None
    if x is None:
        return None
    axes, keepdims = _sum_axes(total)
    ndim = len(x.shape)
    if len(axes) > 1 and len(axes) < ndim:
        return None
    axis = None if len(axes) == ndim else axes[0]
    return Rewrite(
        f"np.linalg.norm({x.text}{_axis_text(axes, ndim, keepdims)})",
        lambda: np.linalg.norm(x.value, axis=axis, keepdims=keepdims),
    )


def _hypot(term: Term) -> Rewrite | None:
    total = term.operands[0]
    sides = [_squared(part) for part in total.operands] if total.kind == "add" else []
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    a, b = sides[0], sides[1]
    return Rewrite(f"np.hypot({a.text}, {b.text})", lambda: np.hypot(a.value, b.value))


def _logsumexp(term: Term) -> Rewrite | None:
    total = term.operands[0]
    if total.kind != "reduce_sum" or total.operands[0].kind != "exp":
        return None
    x = total.operands[0].operands[0]
    axes, keepdims = _sum_axes(total)
    axis = axes[0] if len(axes) == 1 else axes
    return Rewrite(
        f"np.logaddexp.reduce({x.text}, axis={axis}{', keepdims=True' if keepdims else ''})",
        lambda: _logaddexp_over(x.value, axis=axis, keepdims=keepdims),
    )


def _logaddexp(term: Term) -> Rewrite | None:
    total = term.operands[0]
    if total.kind != "add":
        return None
    parts = []
    for part in total.operands:
        if part.kind == "exp":
            parts.append(part.operands[0])
        elif _is_number(part, 1):
            parts.append(Term(0))
        else:
            return None
    a, b = parts
    return Rewrite(f"np.logaddexp({a.text}, {b.text})", lambda: np.logaddexp(a.value, b.value))


def _log_softmax(term: Term) -> Rewrite | None:
    ratio = term.operands[0]
    parts = _softmax_parts(ratio)
    if parts is None:
        return None
    x, axes = parts
    axis = axes[0] if len(axes) == 1 else axes
    return Rewrite(
        f"{x.text} - np.logaddexp.reduce({x.text}, axis={axis}, keepdims=True)",
        lambda: x.value - _logaddexp_over(x.value, axis=axis, keepdims=True),
    )


def _softmax_parts(term: Term) -> tuple[Term, tuple[int, ...]] | None:
    if term.kind != "divide" or term.operands[0].kind != "exp" or term.operands[1].kind != "reduce_sum":
        return None
    over, total = term.operands
    if total.operands[0].kind != "exp" or not _same(total.operands[0].operands[0], over.operands[0]):
        return None
    return over.operands[0], _sum_axes(total)[0]


def _softmax(term: Term) -> Rewrite | None:
    parts = _softmax_parts(term)
    if parts is None:
        return None
    x, axes = parts
    axis = axes[0] if len(axes) == 1 else axes

    def compute() -> Any:
        e = np.exp(x.value - np.max(x.value, axis=axis, keepdims=True))
        return e / np.sum(e, axis=axis, keepdims=True)

    name = f"np.exp({x.text} - np.max({x.text}, axis={axis}, keepdims=True))"
    return Rewrite(f"e / np.sum(e, axis={axis}, keepdims=True) with e = {name}", compute)


def _sigmoid(term: Term) -> Rewrite | None:
    if term.kind == "reciprocal":
        over = term.operands[0]
    elif term.kind == "divide" and _is_number(term.operands[0], 1):
        over = term.operands[1]
    else:
        return None
    e = next((part for part in over.operands if part.kind == "exp"), None)
    if over.kind != "add" or e is None or not any(_is_number(part, 1) for part in over.operands):
        return None
    u = e.operands[0]
    if u.kind == "negative":
        x = u.operands[0]
        return Rewrite(f"0.5 * (1 + np.tanh({x.text} / 2))", lambda: 0.5 * (1 + np.tanh(x.value / 2)))
    return Rewrite(f"0.5 * (1 - np.tanh({u.text} / 2))", lambda: 0.5 * (1 - np.tanh(u.value / 2)))


def _sinc(term: Term) -> Rewrite | None:
    over, under = term.operands
    if over.kind != "sin" or not _same(over.operands[0], under):
        return None
    return Rewrite(f"np.sinc({under.text} / np.pi)", lambda: np.sinc(under.value / np.pi))


_LONG = 16


def _shown(term: Term, letter: str) -> tuple[str, str]:
    """What a term that is to be written more than once is called, and what has to be said of that."""
    text = term.text
    return (text, "") if len(text) < _LONG else (letter, f" with {letter} = {text}")


def _guarded_quotient(term: Term) -> Rewrite | None:
    n, d = term.operands
    name, said = _shown(d, "d")
    return Rewrite(
        f"np.where({name} != 0, {n.text} / np.where({name} != 0, {name}, 1), 0){said}",
        lambda: np.where(d.value != 0, n.value / np.where(d.value != 0, d.value, 1.0), 0.0),
    )


def _guarded_product(term: Term) -> Rewrite | None:
    for a, b in (term.operands, term.operands[::-1]):
        if b.kind == "log":
            c = b.operands[0]
            name, said = _shown(a, "a")
            return Rewrite(
                f"np.where({name} != 0, {name} * np.log(np.where({name} != 0, {c.text}, 1)), 0){said}",
                lambda a=a, c=c: np.where(  # type: ignore[misc]
                    a.value != 0, a.value * np.log(np.where(a.value != 0, c.value, 1.0)), 0.0
                ),
            )
    values = [np.asarray(t.value) if not isinstance(t.value, Tracer) else None for t in term.operands]
    first = values[0] is None or not np.isinf(values[0]).any()
    a, b = term.operands if first else term.operands[::-1]
    name, said = _shown(a, "a")
    return Rewrite(
        f"np.where({name} != 0, {name} * np.where({name} != 0, {b.text}, 1), 0){said}",
        lambda: np.where(a.value != 0, a.value * np.where(a.value != 0, b.value, 1.0), 0.0),
    )


def _guarded(function: Callable[[Any], Any], name: str, otherwise: float) -> Pattern:
    """Of a function of positive numbers: it and its derivative where the operand is positive, a constant elsewhere."""

    def pattern(term: Term) -> Rewrite | None:
        u = term.operands[0]
        (operand, said), value = _shown(u, "u"), "-np.inf" if otherwise else "0"
        return Rewrite(
            f"np.where({operand} > 0, {name}(np.where({operand} > 0, {operand}, 1)), {value}){said}",
            lambda: np.where(u.value > 0, function(np.where(u.value > 0, u.value, 1.0)), otherwise),
        )

    return pattern


def _guarded_power(term: Term) -> Rewrite | None:
    x, p = term.operands
    if not isinstance(p.value, Tracer) and np.all(np.equal(p.value, np.floor(p.value)) & np.greater(p.value, 0)):
        return None  # a polynomial, which has values and derivatives everywhere
    name, said = _shown(x, "u")
    return Rewrite(
        f"np.where({name} > 0, np.where({name} > 0, {name}, 1) ** {p.text}, 0){said}",
        lambda: np.where(x.value > 0, np.where(x.value > 0, x.value, 1.0) ** p.value, 0.0),
    )


def _clipped(function: Callable[[Any], Any], name: str, low: float | None, high: float | None) -> Pattern:
    """Of a function on an interval: a little inside of its ends."""
    inner_low = -np.inf if low is None else low + _MARGIN
    inner_high = np.inf if high is None else high - _MARGIN
    bounds = ", ".join(
        "None" if bound is None else f"{bound:g} {sign} {_MARGIN:g}" for bound, sign in ((low, "+"), (high, "-"))
    )

    def pattern(term: Term) -> Rewrite | None:
        u = term.operands[0]
        return Rewrite(
            f"{name}(np.clip({u.text}, {bounds}))",
            lambda: function(np.clip(u.value, inner_low, inner_high)),
        )

    return pattern


def _bounded_exponential(term: Term) -> Rewrite | None:
    u = term.operands[0]
    return Rewrite(
        f"np.exp(np.minimum({u.text}, {_LARGEST_EXPONENT:g}))",
        lambda: np.exp(np.minimum(u.value, _LARGEST_EXPONENT)),
    )


def _finite_top(term: Term) -> Rewrite | None:
    x, top = term.operands
    if top.kind != "reduce_max":
        return None
    return Rewrite(
        f"{x.text} - np.where(np.isfinite({top.text}), {top.text}, 0)",
        lambda: x.value - np.where(np.isfinite(top.value), top.value, 0.0),
    )


# For each primitive what says the same in another way, and keeps all values.
EQUIVALENTS: dict[str, tuple[Pattern, ...]] = {
    "sqrt": (_norm, _hypot),
    "log": (_logsumexp, _logaddexp, _log_softmax),
    "divide": (_softmax, _sigmoid, _sinc),
    "reciprocal": (_sigmoid,),
    "subtract": (_finite_top,),
}
# For each primitive what keeps away from the places where it, or its derivative, is not finite.
GUARDS: dict[str, tuple[Pattern, ...]] = {
    "sqrt": (_guarded(np.sqrt, "np.sqrt", 0.0),),
    "cbrt": (_guarded(np.cbrt, "np.cbrt", 0.0),),
    "log": (_guarded(np.log, "np.log", -np.inf), _guarded(np.log, "np.log", 0.0)),
    "log2": (_guarded(np.log2, "np.log2", -np.inf), _guarded(np.log2, "np.log2", 0.0)),
    "log10": (_guarded(np.log10, "np.log10", -np.inf), _guarded(np.log10, "np.log10", 0.0)),
    "log1p": (_clipped(np.log1p, "np.log1p", -1.0, None),),
    "divide": (_guarded_quotient,),
    "multiply": (_guarded_product,),
    "pow": (_guarded_power,),
    "power": (_guarded_power,),
    "float_power": (_guarded_power,),
    "exp": (_bounded_exponential,),
    "arccos": (_clipped(np.arccos, "np.arccos", -1.0, 1.0),),
    "arcsin": (_clipped(np.arcsin, "np.arcsin", -1.0, 1.0),),
    "arctanh": (_clipped(np.arctanh, "np.arctanh", -1.0, 1.0),),
    "arccosh": (_clipped(np.arccosh, "np.arccosh", 1.0, None),),
}
# So many steps further on an equivalent of a whole expression is looked for.
_NEAR = 4


class Suggestion(NamedTuple):
    """A rewrite that has been run.

    Attributes:
        text: What to write.
        replaced: In place of what.
        results: What the function then gives.
    """

    text: str
    replaced: str
    results: list[Any]


def suggestion(
    examined: Examined, call: Callable[..., Any], culprits: Sequence[Step], before: Sequence[Any]
) -> Suggestion | None:
    """The first rewrite with which all results are finite, and those that were finite are what they were.

    Args:
        call: What was evaluated: the function of flat arrays, or its derivative.
        culprits: The steps to be rewritten, the most suspicious first.
        before: The results without a rewrite.
    """
    around = [*culprits, *_users(examined, culprits)]
    tries = [(step, pattern) for step in around for pattern in EQUIVALENTS.get(step.primitive.name, ())]
    tries += [(step, pattern) for step in culprits for pattern in GUARDS.get(step.primitive.name, ())]
    for step, pattern in tries:
        rewrite = pattern(Term(step.ys[0], step))
        if rewrite is None:
            continue
        if not _agrees(step.ys[0], quietly(rewrite.compute)):
            continue
        try:
            with _put(step, pattern):
                after = quietly(values, examined.flat, call)
        except Exception:  # whatever a rewrite does in a place that it does not fit
            continue
        if all(np.isfinite(y).all() for y in after) and all(map(_agrees, before, after)):
            source = step.source
            replaced = source.expression if source and source.expression else f"`{step.primitive.name}`"
            return Suggestion(rewrite.text, replaced, after)
    return None


def _users(examined: Examined, culprits: Sequence[Step]) -> list[Step]:
    """The function's own steps that use the results of others, a few steps further on, the nearest first."""
    found: list[Step] = []
    reached = list(culprits)
    for _ in range(_NEAR):
        reached = [
            step for step in examined.steps if step.rule is None and any(made in reached for made in step.operands)
        ]
        found += [step for step in reached if step not in found]
    return found


def _agrees(before: Any, after: Any) -> bool:
    """Whether elements that were finite are what they were."""
    finite = np.isfinite(before)
    return np.shape(before) == np.shape(after) and bool(
        np.allclose(np.asarray(before)[finite], np.asarray(after)[finite], rtol=1e-5, atol=1e-5)
    )


def values(flat: FlatFunction, call: Callable[..., Any]) -> list[Any]:
    """The results of a call, computed under a recording, so that every primitive is bound."""
    recording = Recording("make_jaxpr", flat.function)
    try:
        outs, _ = flatten_results(call(*[recording.input(x) for x in flat.xs]))
        return [recording.lower(y)[0] for y in outs]
    finally:
        recording.close()


@contextmanager
def _put(step: Step, pattern: Pattern) -> Iterator[None]:
    """A context in which what the step's line does with the step's primitive is rewritten."""
    primitive = step.primitive
    busy = False

    def wanted() -> bool:
        return not busy and (replay.place or current_place()) == step.place

    def rewritten(term: Term) -> Any:
        nonlocal busy
        rewrite = pattern(term)
        if rewrite is None:
            raise ValueError("the pattern is not found here")
        busy = True
        try:
            return rewrite.compute()
        finally:
            busy = False

    def inline(*xs: Any, **params: Any) -> Any:
        if wanted():
            return rewritten(_Operation(primitive.name, params, xs))
        primitive.inline = None
        try:
            return bind(primitive, *xs, **params)
        finally:
            primitive.inline = inline

    def exchange(other: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        if other is not primitive:
            return rule
        return lambda *xs, **params: rewritten(Term(step.ys[0], step)) if wanted() else rule(*xs, **params)

    def unseen(other: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        """A derivative's rule, which works at the same line, but is not what is written there."""

        def derivative(*args: Any, **kwargs: Any) -> Any:
            nonlocal busy
            outer, busy = busy, True
            try:
                return rule(*args, **kwargs)
            finally:
                busy = outer

        return derivative

    before = primitive.inline
    with exchanged(implementation=exchange, jvp=unseen, vjp=unseen, derivative=unseen):
        primitive.inline = inline
        try:
            yield
        finally:
            primitive.inline = before
