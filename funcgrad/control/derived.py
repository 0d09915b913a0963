"""What follows from the body of a loop or branch: its linear part, that part's transpose, and what these must know.

A body is a jaxpr without constants. It is linearized as any function is, but without values: one recording stands for
the body's own operands, one on top of it for what is differentiated, and a third for the tangents. Whatever a tangent
rule computes of known values alone lands in the first recording, so the partial evaluation comes by itself: the values
that the linear part takes from there are its residuals.

Everything derived is made once for a jaxpr and kept as long as the jaxpr lives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Atom, Jaxpr, Var, recording_to_jaxpr
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.primitives.structural import cast
from funcgrad.transforms.evaluate import evaluate
from funcgrad.transforms.jvp import push_forward
from funcgrad.transforms.transpose import pull_back, tangent_aval

T = TypeVar("T")
_derived: WeakKeyDictionary[Jaxpr, dict[Hashable, Any]] = WeakKeyDictionary()


def derived(jaxpr: Jaxpr, what: Hashable, make: Callable[[Jaxpr], T]) -> T:
    """What `make` gives for a jaxpr, made once; `what` tells it from other things made of the jaxpr."""
    known = _derived.setdefault(jaxpr, {})
    if what not in known:
        known[what] = make(jaxpr)
    return known[what]


class Closed(NamedTuple):
    """A jaxpr without constants.

    Attributes:
        values: What goes in front of its operands: the constants that it had.
    """

    jaxpr: Jaxpr
    values: tuple[Any, ...]


def closed(jaxpr: Jaxpr) -> Closed:
    """A jaxpr with its constants made operands, in front of the others."""
    if not jaxpr.constants:
        return Closed(jaxpr, ())
    inputs = [*[v for v, _ in jaxpr.constants], *jaxpr.inputs]
    return Closed(Jaxpr(inputs, [], jaxpr.equations, jaxpr.outputs), tuple(value for _, value in jaxpr.constants))


def restricted(jaxpr: Jaxpr, inputs: Sequence[Var], outputs: Sequence[Atom]) -> Jaxpr:
    """The part of a jaxpr that leads from some of its variables to others."""
    needed = {x for x in outputs if isinstance(x, Var)} - set(inputs)
    equations = []
    for eqn in reversed(jaxpr.equations):
        if not needed.isdisjoint(eqn.outputs):
            equations.append(eqn)
            needed.update(x for x in eqn.inputs if isinstance(x, Var))
            needed.difference_update(inputs)
    return Jaxpr(inputs, [(v, value) for v, value in jaxpr.constants if v in needed], equations[::-1], outputs)


def is_inexact(aval: ShapedArray) -> bool:
    """Whether values of this type have derivatives."""
    return aval.dtype.kind in "fc"


def active_outputs(jaxpr: Jaxpr, active: Sequence[bool]) -> list[bool]:
    """Which outputs may have a derivative, given which inputs have one."""
    reached = {v for v, yes in zip(jaxpr.inputs, active, strict=True) if yes and is_inexact(v.aval)}
    for eqn in jaxpr.equations:
        if eqn.primitive.differentiable and any(x in reached for x in eqn.inputs if isinstance(x, Var)):
            reached.update(v for v in eqn.outputs if is_inexact(v.aval))
    return [isinstance(x, Var) and x in reached for x in jaxpr.outputs]


def active_carry(jaxpr: Jaxpr, active: Sequence[bool], num_consts: int, num_carry: int) -> tuple[bool, ...]:
    """Which inputs of a loop's body have a derivative in the end, given which have one in the first step."""
    known = list(active)
    while True:
        outs = active_outputs(jaxpr, known)[:num_carry]
        carry = known[num_consts : num_consts + num_carry]
        grown = [a or b for a, b in zip(carry, outs, strict=True)]
        if grown == carry:
            return tuple(yes and is_inexact(v.aval) for yes, v in zip(known, jaxpr.inputs, strict=True))
        known[num_consts : num_consts + num_carry] = grown


class Linearized(NamedTuple):
    """A jaxpr in two parts.

    Attributes:
        known: The jaxpr, with all that the linear part needs.
        residuals: The variables of `tangent` that stand for what it needs: variables of `known`, or arrays.
        tangent: From tangents of the active inputs to those of the outputs wanted; the residuals are no inputs yet.
    """

    known: Jaxpr
    residuals: tuple[tuple[Var, Atom | Any], ...]
    tangent: Jaxpr


def linearized(jaxpr: Jaxpr, active: tuple[bool, ...], wanted: tuple[bool, ...]) -> Linearized:
    """A jaxpr's linear part in its active inputs, for the outputs wanted, apart from what is known without tangents."""
    return derived(jaxpr, ("linearized", active, wanted), lambda jaxpr: _linearize(jaxpr, active, wanted))


def _linearize(jaxpr: Jaxpr, active: Sequence[bool], wanted: Sequence[bool]) -> Linearized:
    primal = Recording("linearize", abstract=True)
    inner = Recording("linearize", differentiating=True)
    linear = Recording("linearize", abstract=True)
    try:
        xs = [primal.input(v.aval) for v in jaxpr.inputs]
        results = evaluate(jaxpr, [inner.input(x) if yes else x for x, yes in zip(xs, active, strict=True)])
        outs = [inner.lower(y) for y in results]
        chosen = picked(outs, wanted)
        x_dots = [linear.input(tangent_aval(x)) for x in picked(xs, active)]
        y_dots = push_forward(inner, x_dots, [number for _, number in chosen])
        full = [settled(y_dot, get_aval(y)) for (y, _), y_dot in zip(chosen, y_dots, strict=True)]
        tangent = recording_to_jaxpr(linear, full)
        tangent = restricted(tangent, tangent.inputs, tangent.outputs)
        needed = [value for _, value in tangent.constants if type(value) is Tracer]
        known = recording_to_jaxpr(primal, [*[y for y, _ in outs], *needed])
        sources = iter(known.outputs[len(outs) :])
        residuals = [(v, next(sources) if type(value) is Tracer else value) for v, value in tangent.constants]
        known = Jaxpr(known.inputs, known.constants, known.equations, known.outputs[: len(outs)])
        return Linearized(known, tuple(residuals), Jaxpr(tangent.inputs, [], tangent.equations, tangent.outputs))
    finally:
        linear.close()
        inner.close()
        primal.close()


def settled(x_dot: Any, aval: ShapedArray) -> Any:
    """A tangent or cotangent (None: zero) as an array of the type that belongs to a value's."""
    if x_dot is None:
        return np.zeros(aval.shape, aval.dtype)[()]
    return cast(x_dot, aval.dtype)


def valued(x: Any) -> Any:
    """x; zeros in place of an operand of which there is only the type, since what follows is linear in it."""
    return settled(None, x) if type(x) is ShapedArray else x


def pulled_back(
    tangent: Jaxpr, residuals: Sequence[Any], cts: Sequence[Any], linear_inputs: Sequence[Var]
) -> list[Any]:
    """The cotangents of a linear jaxpr's linear inputs (None: zero), given those of its outputs (None: zero).

    Args:
        residuals: Values of its other inputs, which come first.
    """
    recording = Recording("transpose", abstract=True)
    try:
        x_dots = [recording.input(v.aval) for v in linear_inputs]
        outs = evaluate(tangent, [*residuals, *x_dots])
        return pull_back(recording, [recording.lower(y)[1] for y in outs], cts)
    finally:
        recording.close()


def picked(xs: Iterable[T], chosen: Iterable[bool]) -> list[T]:
    """Those that are chosen."""
    return [x for x, yes in zip(xs, chosen, strict=True) if yes]


def only_differentiated(x: Any) -> bool:
    """Whether x has a value that Python may read: nothing but derivatives are recorded around it."""
    while type(x) is Tracer:
        if x.recording.abstract or not x.recording.differentiating:
            return False
        x = x.value
    return type(x) is not ShapedArray
