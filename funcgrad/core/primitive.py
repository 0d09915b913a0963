"""What a primitive is, and what happens when one meets its arguments.

`bind` is the hot path of everything: no signature inspection, no abstract evaluation when values are there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.deferring import elements
from funcgrad.core.tracing import CONSTANTS, Recording, Tracer, escaped_error, held


def _missing_rule(*args: Any) -> Any:
    raise NotImplementedError("a primitive lacks a rule that was asked for")


class Primitive:
    """An operation with all its rules; made by one of the five declarations in `primitives/kinds.py`.

    Attributes:
        name: What the jaxpr prints.
        implementation: `(*xs, **params) -> y` on NumPy values; a tuple if `multiple_results`.
        abstract: `(*avals, **params) -> aval`, or a tuple of them.
        differentiable: Whether any tangent passes.
        jvp: `(tangents, y, xs, params) -> tangent`; None among the tangents, and as an answer, is zero.
            Tuples for several results.
        vjp: `(ct, y, xs, ids, params) -> cts`, one per operand; operands whose id is None need none, and
            None is zero. `ct` is a tuple, None where zero, for several results.
        batch: `(size, xs, dims, params) -> (y, dim)`; a dim is an axis, or None for the same value in all rows.
        is_linear: Whether it is linear in the operands at these positions taken together, the others held fixed.
        inline: Evaluated equation by equation where a derivative is wanted.
        derivatives: Of an elementwise one, for each operand the map `(t, y, *xs, **params) -> t * dy/dx_i`; None is
            zero.
        structural: Whether it only moves, repeats and sums elements: linear, its coefficients 0 and 1.
        effort: `(params) -> bytes` of the values that it goes through, where its results do not tell.
        foreign: Whether its rules are a user's, which may read anything.
    """

    __slots__ = (
        "__weakref__",
        "abstract",
        "batch",
        "derivatives",
        "differentiable",
        "effort",
        "foreign",
        "implementation",
        "inline",
        "is_linear",
        "jvp",
        "multiple_results",
        "name",
        "structural",
        "vjp",
    )

    def __init__(
        self,
        name: str,
        *,
        implementation: Callable[..., Any],
        abstract: Callable[..., Any],
        multiple_results: bool = False,
        differentiable: bool = True,
        is_linear: Callable[[list[int]], bool] = lambda active: False,
        jvp: Callable[..., Any] = _missing_rule,
        vjp: Callable[..., Any] | None = None,
        batch: Callable[..., Any] = _missing_rule,
        inline: Callable[..., Any] | None = None,
        derivatives: Sequence[Callable[..., Any] | None] | None = None,
        structural: bool = False,
        effort: Callable[[dict[str, Any]], float] | None = None,
    ) -> None:
        self.name = name
        self.implementation = implementation
        self.abstract = abstract
        self.multiple_results = multiple_results
        self.differentiable = differentiable
        self.is_linear = is_linear
        self.jvp = jvp
        self.vjp = vjp
        self.batch = batch
        self.inline = inline
        self.derivatives = derivatives
        self.structural = structural
        self.effort = effort
        self.foreign = False
        declared.add(self)

    def __repr__(self) -> str:
        return self.name


# All primitives that there are, for those who look on while they are applied.
declared: weakref.WeakSet[Primitive] = weakref.WeakSet()

NO_PARAMS: dict[str, Any] = {}


def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Apply a primitive: run it one level down, and record it on the highest level among its arguments.

    Args:
        args: Arrays, scalars and tracers.
        params: Static parameters, hashable.

    Returns:
        The result, a tracer if any argument is one; a tuple for a primitive with several results.
    """
    recording: Recording | None = None
    for x in args:
        if type(x) is Tracer and (recording is None or x.recording.level > recording.level):
            recording = x.recording
    if recording is None:
        return primitive.implementation(*args, **params)
    if recording.equations is None:
        if recording is CONSTANTS:
            plain = [held(x) for x in args]
            y = primitive.implementation(*plain, **params)
            return tuple([shielded(part, plain) for part in y]) if primitive.multiple_results else shielded(y, plain)
        raise escaped_error(next(x for x in args if type(x) is Tracer and x.recording is recording))
    if recording.differentiating and primitive.inline is not None:
        return primitive.inline(*args, **params)

    xs: list[Any] = []
    ids: list[int | None] = []
    for x in args:
        if type(x) is not Tracer:
            ids.append(None)
        elif x.recording is recording:
            ids.append(x.id)
            x = x.value
        else:
            ids.append(None)
            x = held(x)
            if type(x) is Tracer:
                recording.enclose()
        xs.append(x)

    if recording.abstract:
        y = primitive.abstract(*map(get_aval, xs), **params)
    elif recording.budget is not None and recording.defers(primitive, params, xs):
        y = recording.defer(primitive, params, xs, ids)
        if y is None:
            y = bind(primitive, *map(elements, xs), **params)
    else:
        y = primitive.implementation(*xs, **params) if recording.plain else bind(primitive, *xs, **params)
        if recording.differentiating and not primitive.differentiable:
            return y
    return recording.append(primitive, params, xs, ids, y)


def shielded(y: Any, xs: Sequence[Any]) -> Any:
    """What came of the plain arrays in handles: if it shares their memory it gets a handle, too.

    So that nobody writes to their memory but by a handle, which copies what others hold.
    """
    if type(y) is np.ndarray and (y.base is not None or any(y is x for x in xs)):
        return Tracer(CONSTANTS, 0, y)
    return y


def bind_unary(primitive: Primitive, x: Any, params: dict[str, Any] = NO_PARAMS) -> Any:
    """`bind` for one operand and one result, where every tenth of a microsecond counts."""
    if type(x) is Tracer and x.recording.plain:
        return x.recording.apply(primitive, params, (x.value,), (x.id,))
    return bind(primitive, x, **params)


def bind_binary(primitive: Primitive, x1: Any, x2: Any) -> Any:
    """`bind` for two operands, one result and no parameters, where every tenth of a microsecond counts."""
    if type(x1) is Tracer:
        recording = x1.recording
        if recording.plain:
            if type(x2) is not Tracer:
                kept = (x1.value, recording.capture(x2))
                return recording.apply(primitive, NO_PARAMS, (x1.value, x2), (x1.id, None), kept)
            if x2.recording is recording:
                return recording.apply(primitive, NO_PARAMS, (x1.value, x2.value), (x1.id, x2.id))
    elif type(x2) is Tracer and x2.recording.plain:
        kept = (x2.recording.capture(x1), x2.value)
        return x2.recording.apply(primitive, NO_PARAMS, (x1, x2.value), (None, x2.id), kept)
    return bind(primitive, x1, x2)
