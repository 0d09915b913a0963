"""The four kinds that do not broadcast: linear, multilinear, nonlinear, nondifferentiable.

A declaration gives the mathematics of one primitive; forward and reverse mode both follow from it. Rules see
values only: no symbolic zeros (None, here and in the loops over equations), no trees, no broadcasting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.primitive import Primitive, bind

Rule = Callable[..., Any]


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array, scalar or tracer."""
    return getattr(x, "shape", ())


def zeros_like(x: Any) -> Any:
    """Zeros of x's shape, in a dtype that tangents and cotangents of x have."""
    return np.zeros(shape_of(x), tangent_dtype(x))


def tangent_dtype(x: Any) -> np.dtype[Any]:
    """The dtype of x's tangents and cotangents: its own; double precision for Python scalars."""
    dtype = getattr(x, "dtype", None)
    return np.dtype(type(x)) if dtype is None else dtype


def linear(
    name: str,
    *,
    implementation: Rule,
    abstract: Rule,
    transpose: Rule | Sequence[Rule],
    batch: Rule,
    wrt: Sequence[int] | None = (0,),
    structural: bool = False,
) -> Primitive:
    """Declare a primitive that is linear in the operands `wrt` taken together (None: in all).

    Args:
        transpose: `(ct, *xs, **params)` gives the cotangent of the only operand in `wrt`, or one for each of
            `wrt` in order; where they have nothing in common, a function for each. Of the operands in `wrt` it may
            ask shape and dtype only.
        structural: Whether it only moves, repeats and sums elements. Its transpose then takes boolean arrays, too.
    """

    def jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
        active = range(len(xs)) if wrt is None else wrt
        if all(tangents[i] is None for i in active):
            return None
        operands = list(xs)
        for i in active:
            operands[i] = zeros_like(xs[i]) if tangents[i] is None else tangents[i]
        return bind(primitive, *operands, **params)

    primitive = Primitive(
        name,
        implementation=implementation,
        abstract=abstract,
        batch=batch,
        jvp=jvp,
        vjp=_linear_vjp(transpose, wrt),
        is_linear=lambda active: wrt is None or set(active) <= set(wrt),
        structural=structural,
    )
    return primitive


def _linear_vjp(transpose: Rule | Sequence[Rule], wrt: Sequence[int] | None) -> Rule:
    if not callable(transpose):
        rules = dict(zip(wrt or (), transpose, strict=True))
        return lambda ct, y, xs, ids, params: [
            None if number is None or i not in rules else rules[i](ct, *xs, **params) for i, number in enumerate(ids)
        ]
    if wrt is None:
        return lambda ct, y, xs, ids, params: transpose(ct, *xs, **params)
    if tuple(wrt) == (0,):
        return lambda ct, y, xs, ids, params: (transpose(ct, *xs, **params),) if ids[0] is not None else (None,)

    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> list[Any]:
        cts: list[Any] = [None] * len(xs)
        if any(ids[i] is not None for i in wrt):
            x_cts = transpose(ct, *xs, **params)
            for i, x_ct in zip(wrt, x_cts if len(wrt) > 1 else (x_cts,), strict=True):
                cts[i] = x_ct
        return cts

    return vjp


def multilinear(
    name: str, *, implementation: Rule, abstract: Rule, transposes: Sequence[Rule] | Rule, batch: Rule
) -> Primitive:
    """Declare a primitive that is linear in each operand, the others held fixed.

    Args:
        transposes: For each of two operands `(ct, *xs, **params)` gives its cotangent; of that operand it may ask
            shape and dtype only. For another number of operands, one function `(i, ct, *xs, **params)`.
    """

    def jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
        total = None
        for i, x_dot in enumerate(tangents):
            if x_dot is not None:
                term = bind(primitive, *xs[:i], x_dot, *xs[i + 1 :], **params)
                total = term if total is None else total + term
        return total

    primitive = Primitive(
        name,
        implementation=implementation,
        abstract=abstract,
        batch=batch,
        jvp=jvp,
        vjp=_multilinear_vjp(transposes),
        is_linear=lambda active: len(active) == 1,
    )
    return primitive


def _multilinear_vjp(transposes: Sequence[Rule] | Rule) -> Rule:
    if callable(transposes):
        return lambda ct, y, xs, ids, params: [
            None if number is None else transposes(i, ct, *xs, **params) for i, number in enumerate(ids)
        ]
    transpose1, transpose2 = transposes

    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
        x1, x2 = xs
        return (
            None if ids[0] is None else transpose1(ct, x1, x2, **params),
            None if ids[1] is None else transpose2(ct, x1, x2, **params),
        )

    return vjp


def nonlinear(
    name: str,
    *,
    implementation: Rule,
    abstract: Rule,
    tangents: Sequence[Rule | None],
    batch: Rule,
    multiple_results: bool = False,
) -> Primitive:
    """Declare a primitive by its tangent rule; reverse mode is that rule recorded and transposed.

    Args:
        tangents: For each operand `(x_dot, y, *xs, **params)` gives the tangent of y that x_dot causes, by
            primitives and linear in x_dot (a tuple for several results); None for an operand without tangent.
            Operands beyond these, as index arrays, have none.
    """

    def jvp(x_dots: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
        total: Any = None
        for rule, x_dot in zip(tangents, x_dots):  # noqa: B905 (see above)
            if x_dot is None or rule is None:
                continue
            term = rule(x_dot, y, *xs, **params)
            if total is None:
                total = term
            elif multiple_results:
                total = tuple(a + b for a, b in zip(total, term, strict=True))
            else:
                total = total + term
        return total

    return Primitive(
        name,
        implementation=implementation,
        abstract=abstract,
        batch=batch,
        jvp=jvp,
        multiple_results=multiple_results,
    )


def nondifferentiable(
    name: str, *, implementation: Rule, abstract: Rule, batch: Rule, multiple_results: bool = False
) -> Primitive:
    """Declare a primitive whose derivative is zero wherever it exists."""
    return Primitive(
        name,
        implementation=implementation,
        abstract=abstract,
        batch=batch,
        differentiable=False,
        multiple_results=multiple_results,
    )
