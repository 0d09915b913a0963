"""What to write in place of an operation that gives NaN or an infinite derivative, by the shape of what was computed.

`sqrt` of a sum of squares is a norm, `log` of a sum of exponentials is `logaddexp`; and where a function has no finite
value or derivative, `np.where` keeps away from there. Each is only proposed here: `rewriting` tries it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import Tracer
from funcgrad.testing.terms import Axes, Term, is_number, same, squared, sum_axes

_LARGEST_EXPONENT = 700.0
_MARGIN = 1e-12
# NumPy's stubs do not know keepdims as a variable.
_logaddexp_over: Any = np.logaddexp.reduce


class Rewrite(NamedTuple):
    """Something to be written in place of an operation.

    Attributes:
        text: In the user's words.
        compute: Gives its value, or a list of its values.
    """

    text: str
    compute: Callable[[], Any]


Pattern = Callable[[Term], Rewrite | None]


def _norm(term: Term) -> Rewrite | None:
    total = term.operands[0]
    x = squared(total.operands[0]) if total.kind == "reduce_sum" else None
    if x is None:
        return None
    over, ndim = sum_axes(total), len(x.shape)
    if 1 < len(over.axes) < ndim:
        return None
    axis = None if len(over.axes) == ndim else over.axes[0]
    return Rewrite(
        f"np.linalg.norm({x.text}{over.text and ', '}{over.text})",
        lambda: np.linalg.norm(x.value, axis=axis, keepdims=over.keepdims),
    )


def _hypot(term: Term) -> Rewrite | None:
    total = term.operands[0]
    sides = [squared(part) for part in total.operands] if total.kind == "add" else []
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    a, b = sides[0], sides[1]
    return Rewrite(f"np.hypot({a.text}, {b.text})", lambda: np.hypot(a.value, b.value))


def _logsumexp(term: Term) -> Rewrite | None:
    total = term.operands[0]
    if total.kind != "reduce_sum" or total.operands[0].kind != "exp":
        return None
    x, over = total.operands[0].operands[0], sum_axes(total)
    return Rewrite(
        f"np.logaddexp.reduce({x.text}, {_reduced(over)})",
        lambda: _logaddexp_over(x.value, axis=over.axis, keepdims=over.keepdims),
    )


def _reduced(over: Axes) -> str:
    """The axes in words for a ufunc's reduce, which takes the first one if nothing is said."""
    if "axis" in over.text:
        return over.text
    return ", ".join(part for part in ("axis=0" if over.axes == (0,) else "axis=None", over.text) if part)


def _logaddexp(term: Term) -> Rewrite | None:
    total = term.operands[0]
    if total.kind != "add":
        return None
    parts = []
    for part in total.operands:
        if part.kind == "exp":
            parts.append(part.operands[0])
        elif is_number(part, 1):
            parts.append(Term(0, name="0"))
        else:
            return None
    a, b = parts
    return Rewrite(f"np.logaddexp({a.text}, {b.text})", lambda: np.logaddexp(a.value, b.value))


def _log_softmax(term: Term) -> Rewrite | None:
    ratio = term.operands[0]
    parts = _softmax_parts(ratio)
    if parts is None:
        return None
    x, over = parts
    return Rewrite(
        f"{x.operand} - np.logaddexp.reduce({x.text}, {_kept(over)})",
        lambda: x.value - _logaddexp_over(x.value, axis=over.axis, keepdims=True),
    )


def _kept(over: Axes) -> str:
    """The axes in words, kept."""
    words = _reduced(over)
    return words if "keepdims" in words else f"{words}, keepdims=True"


def _softmax_parts(term: Term) -> tuple[Term, Axes] | None:
    if term.kind != "divide" or term.operands[0].kind != "exp" or term.operands[1].kind != "reduce_sum":
        return None
    over, total = term.operands
    if total.operands[0].kind != "exp" or not same(total.operands[0].operands[0], over.operands[0]):
        return None
    return over.operands[0], sum_axes(total)


def _softmax(term: Term) -> Rewrite | None:
    parts = _softmax_parts(term)
    if parts is None:
        return None
    x, over = parts

    def compute() -> Any:
        e = np.exp(x.value - np.max(x.value, axis=over.axis, keepdims=True))
        return e / np.sum(e, axis=over.axis, keepdims=True)

    words = _kept(over)
    return Rewrite(
        f"e / np.sum(e, {words}) with e = np.exp({x.operand} - np.max({x.text}, {words}))",
        compute,
    )


def _sigmoid(term: Term) -> Rewrite | None:
    if term.kind == "reciprocal":
        over = term.operands[0]
    elif term.kind == "divide" and is_number(term.operands[0], 1):
        over = term.operands[1]
    else:
        return None
    e = next((part for part in over.operands if part.kind == "exp"), None)
    if over.kind != "add" or e is None or not any(is_number(part, 1) for part in over.operands):
        return None
    u = e.operands[0]
    if u.kind == "negative":
        x = u.operands[0]
        return Rewrite(f"0.5 * (1 + np.tanh({x.operand} / 2))", lambda: 0.5 * (1 + np.tanh(x.value / 2)))
    return Rewrite(f"0.5 * (1 - np.tanh({u.operand} / 2))", lambda: 0.5 * (1 - np.tanh(u.value / 2)))


def _sinc(term: Term) -> Rewrite | None:
    over, under = term.operands
    if over.kind != "sin" or not same(over.operands[0], under):
        return None
    return Rewrite(f"np.sinc({under.operand} / np.pi)", lambda: np.sinc(under.value / np.pi))


_LONG = 16


def _shown(term: Term, letter: str) -> tuple[str, str]:
    """What a term that is to be written more than once is called, and what has to be said of that."""
    text = term.operand
    return (text, "") if len(text) < _LONG else (letter, f" with {letter} = {term.text}")


def _guarded_quotient(term: Term) -> Rewrite | None:
    n, d = term.operands
    name, said = _shown(d, "d")
    return Rewrite(
        f"np.where({name} != 0, {n.operand} / np.where({name} != 0, {name}, 1), 0){said}",
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
        f"np.where({name} > 0, np.where({name} > 0, {name}, 1) ** {p.operand}, 0){said}",
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
        f"{x.operand} - np.where(np.isfinite({top.text}), {top.text}, 0)",
        lambda: x.value - np.where(np.isfinite(top.value), top.value, 0.0),
    )


def _guarded_slogdet(otherwise: float) -> Pattern:
    """Of regular matrices the same; of singular ones no derivative, the sign 0 and this logarithm."""

    def pattern(term: Term) -> Rewrite:
        a = term.operands[0]
        n, dtype = a.shape[-1], np.linalg.slogdet(np.empty((0, 0), get_aval(a.value).dtype)).sign.dtype
        rows = "[..., None, None]" if len(a.shape) > 2 else ""
        kind = f", dtype=np.{dtype.name}" if dtype.name in ("float32", "complex64") else ""
        known = f"np.linalg.slogdet(np.where(d{rows}, {a.text}, np.eye({n}{kind})))"
        values, said = ("0, -np.inf" if otherwise else "0, 0"), f" with d = np.linalg.slogdet({a.text})[0] != 0"

        def compute() -> list[Any]:
            regular = np.linalg.slogdet(a.value)[0] != 0
            rest = np.where(np.reshape(regular, (*a.shape[:-2], 1, 1)), a.value, np.eye(n, dtype=dtype))
            return [np.where(regular, y, z) for y, z in zip(np.linalg.slogdet(rest), (0.0, otherwise), strict=True)]

        return Rewrite(f"[np.where(d, y, z) for y, z in zip({known}, ({values}))]{said}", compute)

    return pattern


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
    "slogdet": (_guarded_slogdet(-np.inf), _guarded_slogdet(0.0)),
    "arccosh": (_clipped(np.arccosh, "np.arccosh", 1.0, None),),
}
