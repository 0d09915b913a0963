"""What holds of every derivative, whatever the function: each law once, as a check of a flat function at a point.

`check_laws` asks all of them of a user's function; the project's own tests ask some of its primitives' rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.batching import vmap
from funcgrad.api.products import linearize
from funcgrad.api.staging import jit
from funcgrad.core.avals import get_aval
from funcgrad.core.errors import (
    ArgumentError,
    FuncgradError,
    TracedBranchError,
    TracedConversionError,
    TracedIndexError,
    message,
)
from funcgrad.core.source import caller
from funcgrad.testing.checking import check_grads
from funcgrad.testing.differences import complex_step, differences, wide
from funcgrad.testing.flat import (
    FlatFunction,
    cotangent_function,
    cotangents,
    directions,
    is_inexact,
    pairing,
    pairing_scale,
    quietly,
    tangent_function,
    tangents,
)
from funcgrad.testing.tolerances import ADJOINT, DIFFERENCES, SAFETY, VALUE, magnitude, settings, tolerance
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import pull_back, vjp

Flat = Callable[..., list[Any]]
Generator = np.random.Generator


class LawError(FuncgradError, AssertionError):
    """A law of derivatives does not hold."""


def close(a: Any, b: Any, table: dict[str, float], *context: Any, what: str = "") -> None:
    """Check that two arrays are equal up to a table's entry, beside the largest magnitude in play.

    Raises:
        LawError: saying where they differ most.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise LawError(f"{what or 'arrays differ'}: shapes {a.shape} and {b.shape}")
    if np.array_equal(a, b):
        return
    allowed = tolerance(table, a, b) * magnitude(a, b, *context)
    with np.errstate(all="ignore"):
        error = np.abs(np.subtract(a, b, dtype=np.result_type(a, b, np.float64)))
    wrong = ~((error <= allowed) | (a == b) | (np.isnan(a) & np.isnan(b)))
    if wrong.any():
        i = np.unravel_index(int(np.argmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1.0))), a.shape)
        index = tuple(int(n) for n in i)
        raise LawError(f"{what or 'arrays differ'}: {a[i]!s} and {b[i]!s} at {index} ({allowed:.2g} is allowed)")


def tangent_equals_differences(f: Flat, xs: Sequence[Any], ts: Sequence[Any], order: int = 1) -> None:
    """The tangent is the limit of difference quotients, and so are those of higher orders along the same direction.

    Three fixed steps, extrapolated twice: quick, for points that are far from where the function's domain ends.
    """
    for k in range(order):
        ys, y_dots = jvp(f, xs, ts)
        found = differences(f, xs, ts, levels=3, largest=4e-3)
        for y, y_dot, expected in zip(ys, y_dots, found.values, strict=True):
            if is_inexact(y):
                y_dot = np.zeros_like(y) if y_dot is None else y_dot
                same_dtype(y_dot, y, "a tangent")
                close(
                    y_dot,
                    expected.astype(np.result_type(y)),
                    DIFFERENCES,
                    y,
                    what=f"jvp and differences, order {k + 1}",
                )
        f = tangent_function(f, ts)


def same_dtype(a: Any, b: Any, what: str) -> None:
    """Check that a derivative has the dtype of what it belongs to."""
    if np.result_type(a) != np.result_type(b):
        raise LawError(f"{what} is {np.result_type(a)}, what it belongs to {np.result_type(b)}")


def tangent_is_linear(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """J (a t + b s) = a J t + b J s."""
    t, s = directions(rng, xs), directions(rng, xs)
    a, b = rng.uniform(-2, 2, 2)
    both = [np.asarray(a * p + b * q).astype(p.dtype) for p, q in zip(t, s, strict=True)]
    ys, together = tangents(f, xs, both)
    left, right = tangents(f, xs, t)[1], tangents(f, xs, s)[1]
    for i, (y, one, p, q) in enumerate(zip(ys, together, left, right, strict=True)):
        what = f"jvp is not linear in the tangent{_leaf(f, i)}"
        close(one, a * wide(p) + b * wide(q), ADJOINT, y, what=what)


def pullback_is_adjoint(f: Flat, xs: Sequence[Any], rng: Generator, order: int = 1) -> None:
    """<ct, J t> = <J^T ct, t>, of f and of its tangents to an order; cotangents have shapes and dtypes of arguments."""
    for k in range(order):
        ts = directions(rng, xs)
        ys, y_dots = jvp(f, xs, ts)
        cts = [ct if is_inexact(y) else None for ct, y in zip(directions(rng, ys), ys, strict=True)]
        _, recording, ids = vjp(f, xs)
        x_cts = pull_back(recording, ids, cts)
        for x, x_ct in zip(xs, x_cts, strict=True):
            if x_ct is not None:
                same_dtype(x_ct, x, "a cotangent")
                if np.shape(x_ct) != np.shape(x):
                    raise LawError(f"a cotangent is of shape {np.shape(x_ct)}, its argument of {np.shape(x)}")
        forward = [(ct, y_dot) for ct, y_dot in zip(cts, y_dots, strict=True) if ct is not None and y_dot is not None]
        backward = [(x_ct, t) for x_ct, t in zip(x_cts, ts, strict=True) if x_ct is not None]
        left, right = pairing(*_columns(forward)), pairing(*_columns(backward))
        allowed = tolerance(ADJOINT, *xs) * pairing_scale(forward + backward)
        if not abs(left - right) <= allowed:
            raise LawError(
                f"vjp is not the adjoint of jvp, order {k + 1}: {left} and {right} ({allowed:.2g} is allowed)"
            )
        f = tangent_function(f, ts)


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


def _leaf(f: Flat, number: int, kind: str = "result_paths") -> str:
    """Which leaf of the result (or, of kind "paths", of the arguments) it is, in words, where f knows its name."""
    paths = getattr(f, kind, ())
    return f", in {paths[number]}" if number < len(paths) else ""


def chain_rule_holds(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """The tangent of f after a random inner function is f's tangent along the inner one's, and likewise back."""
    rates = [rng.uniform(0.5, 1.5) for _ in xs]

    def inner(*us: Any) -> list[Any]:
        # Its value at xs is xs, its derivative there is no unit.
        total = sum(np.sum(u - x) for u, x in zip(us, xs, strict=True))
        return [
            (x + np.sin(rate * (u - x)) + np.tanh(total) * 0.25).astype(np.result_type(x))
            for u, x, rate in zip(us, xs, rates, strict=True)
        ]

    def composed(*us: Any) -> list[Any]:
        return f(*inner(*us))

    ts = directions(rng, xs)
    ys, at_once = tangents(composed, xs, ts)
    step = tangents(f, xs, tangents(inner, xs, ts)[1])[1]
    for i, (y, a, b) in enumerate(zip(ys, at_once, step, strict=True)):
        close(a, b, ADJOINT, y, what=f"jvp breaks the chain rule{_leaf(f, i)}")
    cts = directions(rng, ys)
    back = cotangents(composed, xs, cts)
    for i, (x, a, b) in enumerate(zip(xs, back, cotangents(inner, xs, cotangents(f, xs, cts)), strict=True)):
        close(a, b, ADJOINT, x, what=f"vjp breaks the chain rule{_leaf(f, i, 'paths')}")


def second_derivative_is_symmetric(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """The second derivative along t and s is that along s and t; by reverse over forward mode, too."""
    t, s = directions(rng, xs), directions(rng, xs)
    ys = f(*xs)
    one, other = (tangents(tangent_function(f, a), xs, b)[1] for a, b in ((t, s), (s, t)))
    for i, (y, p, q) in enumerate(zip(ys, one, other, strict=True)):
        close(p, q, ADJOINT, y, what=f"the second derivative is not symmetric{_leaf(f, i)}")
    cts = directions(rng, ys)
    for a, b, along in ((t, s, one), (s, t, other)):
        back = cotangents(tangent_function(f, a), xs, cts)
        left, right = pairing(back, b), pairing(cts, along)
        if not abs(left - right) <= tolerance(ADJOINT, *xs) * pairing_scale([*zip(back, b, strict=True)]):
            raise LawError(f"reverse over forward mode gives {left} where forward over forward gives {right}")


def vmap_is_the_loop(f: Flat, xs: Sequence[Any], rng: Generator, size: int = 3) -> None:
    """vmap of f, and of its tangent, gives what a loop over the rows gives. Not asked of an f that branches in Python.

    The rows are x and what is a little nearer to 0.
    """
    rows = [[np.asarray(x * (1 - k / 1024)).astype(np.result_type(x))[()] for x in xs] for k in range(size)]
    axes = [int(rng.integers(-1, np.ndim(x) + 1)) for x in xs]
    axes = [0 if all(axis < 0 for axis in axes) else axis for axis in axes]
    stacked = [
        column[0] if axis < 0 else np.stack(column, axis)
        for column, axis in zip(zip(*rows, strict=True), axes, strict=True)
    ]
    in_axes = tuple(None if axis < 0 else axis for axis in axes)
    ts = directions(rng, xs)
    for g, what in ((f, "f"), (tangent_function(f, ts), "its tangent")):
        try:
            batch = vmap(_as_tuple(g), in_axes=in_axes)(*stacked)
        except (TracedBranchError, TracedIndexError, TracedConversionError):
            return
        for k, row in enumerate(rows):
            own = [rows[0][i] if axis < 0 else x for i, (x, axis) in enumerate(zip(row, axes, strict=True))]
            for i, (a, b) in enumerate(zip(batch, g(*own), strict=True)):
                close(a[k], b, VALUE, what=f"vmap of {what} is not the loop{_leaf(f, i)}")


def _as_tuple(f: Flat) -> Callable[..., tuple[Any, ...]]:
    return lambda *xs: tuple(f(*xs))


def jit_is_eager(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """jit of f and of its cotangents gives what they give, at the first call and later."""
    cts = directions(rng, f(*xs))
    for g, what in (
        (f, "f"),
        (cotangent_function(f, cts), "its cotangent"),
    ):
        compiled: Any = jit(_as_tuple(g))
        expected = g(*xs)
        for call in ("first", "second"):
            for i, (a, b) in enumerate(zip(compiled(*xs), expected, strict=True)):
                leaf = _leaf(f, i, "result_paths" if g is f else "paths")
                if np.shape(a) != np.shape(b) or np.result_type(a) != np.result_type(b):
                    raise LawError(
                        f"the {call} call of jit of {what} gives {get_aval(a)!r} in place of {get_aval(b)!r}"
                    )
                close(a, b, VALUE, what=f"the {call} call of jit of {what} is not eager{leaf}")


def linearize_is_jvp(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """The recorded linear map gives jvp's tangents, along more than one direction."""
    _, linear = linearize(_as_tuple(f), *xs)
    for _ in range(2):
        ts = directions(rng, xs)
        ys, y_dots = tangents(f, xs, ts)
        for i, (y, a, b) in enumerate(zip(ys, linear(*ts), y_dots, strict=True)):
            close(a, b, ADJOINT, y, what=f"linearize and jvp differ{_leaf(f, i)}")


def complex_step_agrees(f: Flat, xs: Sequence[Any], rng: Generator) -> None:
    """The imaginary part at x + ih t is h times the tangent, where f is analytic and takes complex input."""
    ts = directions(rng, xs)
    try:
        exact = complex_step(f, xs, ts)
    except Exception:  # f takes no complex input
        return
    if exact is None:
        return
    central = differences(f, xs, ts)
    ys, y_dots = tangents(f, xs, ts)
    columns = zip(ys, exact.values, y_dots, central.values, central.errors, strict=True)
    for i, (y, a, b, c, error) in enumerate(columns):
        analytic = np.abs(a - c) <= SAFETY * error + 1e-7 * magnitude(a, c)
        if analytic.all():
            close(
                np.asarray(b),
                a.astype(np.result_type(b)),
                ADJOINT,
                y,
                what=f"jvp and the complex step differ{_leaf(f, i)}",
            )


def function_is_pure(f: Flat, xs: Sequence[Any]) -> None:
    """f, differentiated or not, leaves its arguments alone and gives the same answer twice."""
    before = [np.array(x, copy=True) for x in xs]
    answers = [f(*xs), f(*xs)]
    for a, b in zip(*answers, strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            raise LawError("called twice with the same arguments, f gives two answers: it depends on something else")
    ones = [np.ones(np.shape(y), np.result_type(y)) for y in answers[0]]
    for a, b in zip(cotangents(f, xs, ones), cotangents(f, xs, ones), strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            raise LawError("differentiated twice with the same arguments, f has two derivatives")
    for x, old in zip(xs, before, strict=True):
        if not np.array_equal(x, old, equal_nan=True):
            raise LawError("f modifies its arguments")


# By name, in the order in which they are asked: those first on which the others' meaning rests.
LAWS: dict[str, Callable[[Flat, Sequence[Any], Generator], None]] = {
    "purity": lambda f, xs, rng: function_is_pure(f, xs),
    "linearity": tangent_is_linear,
    "adjoint": pullback_is_adjoint,
    "chain": chain_rule_holds,
    "symmetry": second_derivative_is_symmetric,
    "vmap": vmap_is_the_loop,
    "jit": jit_is_eager,
    "linearize": linearize_is_jvp,
    "complex": complex_step_agrees,
}


def check_laws(
    f: Callable[..., Any],
    args: Any,
    laws: Sequence[str] | None = None,
    *,
    order: int | None = None,
    kwargs: dict[str, Any] | None = None,
    seed: int = 0,
) -> None:
    """Check every law of derivatives on a function at a point.

    Args:
        f: Any function of trees of arrays and numbers, giving such a tree.
        args: Its arguments, a tuple.
        laws: Which: "purity", "differences", "linearity", "adjoint", "chain", "symmetry", "vmap", "jit", "linearize",
            "complex"; all of them if None.
        order: To which order "differences" (which is `check_grads`) goes.
        kwargs: Its keyword arguments.
        seed: Of the random directions.

    Raises:
        LawError: (an AssertionError) A law does not hold.
        DerivativeError: (an AssertionError) A derivative is not the limit of differences.

    Example:
        >>> import numpy as np
        >>> check_laws(lambda x: np.sum(np.exp(x)), (np.array([0.5, -1.0]),))
    """
    __tracebackhide__ = True
    flat = FlatFunction(f, args, kwargs)
    known = ("purity", "differences", *list(LAWS)[1:])
    for number, name in enumerate(known if laws is None else laws):
        if name not in known:
            raise ArgumentError(
                message(f"there is no law of {name!r}.", where=caller(), fix=", ".join(map(repr, known)) + ".")
            )
        if name == "differences":
            check_grads(f, args, order, kwargs=kwargs, seed=seed)
            continue
        if name == "symmetry" and (settings.order if order is None else order) < 2:
            continue
        try:
            quietly(LAWS[name], flat, flat.xs, np.random.default_rng((seed, number)))
        except LawError as error:
            raise LawError(f"{flat.name} breaks the law of {name}: {error}") from None
