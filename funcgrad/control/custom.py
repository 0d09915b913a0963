"""Functions whose derivative is given by a rule.

Under a recording that differentiates, the rule runs at once, one level down: a tangent rule with tangents that are only
recorded, so that it serves reverse mode by transposition; a pullback rule with its forward half, the backward half
being recorded and transposed where tangents are asked for. In other recordings the function is one equation, a jaxpr
with the rule beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from funcgrad.control.derived import closed, is_inexact, picked, settled, valued
from funcgrad.control.equations import Lowered, Pull, derivative_equation
from funcgrad.control.running import prepared
from funcgrad.control.scan import batched_jaxpr, in_front, strong
from funcgrad.control.splitting import spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import DifferentiationError, message
from funcgrad.core.jaxpr import Equation, Jaxpr, Var, body_effort, recording_to_jaxpr
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import caller
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.primitives.structural import reduce_sum
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import pull_back, tangent_aval
from funcgrad.transforms.vmap import evaluate_batched

Linear = tuple[list[Any], Pull, Pull]


class Rule(Protocol):
    """What is known of the derivative of a flat function of arrays."""

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """Results, and the linear maps from tangents of the active operands and from cotangents of the results."""

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """The rule for all rows at once; along which axis of each operand the rows lie, or None."""


class TangentRule:
    """A rule for tangents.

    Args:
        function: From operands and their tangents (None: zero, or no derivative) to results and their tangents.
    """

    def __init__(self, function: Callable[[Sequence[Any], Sequence[Any]], tuple[Sequence[Any], Sequence[Any]]]) -> None:
        self.function = function

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """See `Rule`."""
        recording = Recording("custom_jvp", abstract=True)
        try:
            avals = [tangent_aval(x) for x in picked(xs, active)]
            ys, y_dots = self.function(xs, spread(map(recording.input, avals), active))
            ids = [None if y_dot is None else recording.lower(y_dot)[1] for y_dot in y_dots]
            y_avals = [get_aval(y) for y in ys]
            linear = copy.copy(recording)  # the original is closed: tracers that are still around have escaped
            full = [settled(y_dot, tangent_aval(aval)) for y_dot, aval in zip(y_dots, y_avals, strict=True)]
            jaxpr = recording_to_jaxpr(recording, full)
        finally:
            recording.close()

        def push(tangents: Sequence[Any]) -> Sequence[Any]:
            return evaluate(jaxpr, [settled(x_dot, aval) for x_dot, aval in zip(tangents, avals, strict=True)])

        return list(ys), push, lambda cts: pull_back(linear, ids, cts)

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """See `Rule`."""

        def function(xs: Sequence[Any], x_dots: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            active = [x_dot is not None for x_dot in x_dots]
            count = len(xs)

            def row(*args: Any) -> list[Any]:
                ys, y_dots = self.function(args[:count], spread(args[count:], active))
                full = [settled(y_dot, tangent_aval(y)) for y, y_dot in zip(ys, y_dots, strict=True)]
                return [*ys, *full]

            avals = [row_aval(x, dim) for x, dim in zip(xs, dims, strict=True)]
            jaxpr = record_abstract("vmap", row, [*avals, *map(tangent_aval, picked(avals, active))])
            args, all_dims = [*xs, *picked(x_dots, active)], [*dims, *picked(dims, active)]
            outs, out_dims = evaluate_batched(jaxpr, size, args, all_dims)
            half = len(outs) // 2
            rows = [in_front(y, dim, size) for y, dim in zip(outs, out_dims, strict=True)]
            return rows[:half], rows[half:]

        return TangentRule(function)


class PullbackRule:
    """A rule for cotangents.

    Args:
        forward: From operands, and which of them are differentiated, to results and residuals, a list of anything.
        backward: From residuals and the cotangents of the results (None: zero) to those of all operands (None: zero).
    """

    def __init__(
        self,
        forward: Callable[[Sequence[Any], Sequence[bool]], tuple[Sequence[Any], list[Any]]],
        backward: Callable[[list[Any], Sequence[Any]], Sequence[Any]],
    ) -> None:
        self.forward, self.backward = forward, backward

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """See `Rule`."""
        ys, residuals = self.forward(xs, active)
        avals = [tangent_aval(y) for y in ys]

        def pull(cts: Sequence[Any]) -> list[Any]:
            return picked(self.backward(residuals, cts), active)

        def push(tangents: Sequence[Any]) -> list[Any]:
            recording = Recording("custom_vjp", abstract=True)
            try:
                x_cts = pull([recording.input(aval) for aval in avals])
                ids = [None if ct is None else recording.lower(ct)[1] for ct in x_cts]
                return pull_back(recording, ids, tangents)
            finally:
                recording.close()

        return list(ys), push, pull

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """See `Rule`."""

        def forward(xs: Sequence[Any], active: Sequence[bool]) -> tuple[list[Any], list[Any]]:
            others: list[Any] = []  # residuals that are no arrays, None in place of those that are
            count = 0

            def row(*args: Any) -> list[Any]:
                nonlocal count
                ys, residuals = self.forward(args, active)
                arrays = [is_array(x) for x in residuals]
                others[:] = [None if yes else (x,) for x, yes in zip(residuals, arrays, strict=True)]
                count = len(ys)
                return [*ys, *picked(residuals, arrays)]

            avals = [row_aval(x, dim) for x, dim in zip(xs, dims, strict=True)]
            jaxpr = record_abstract("vmap", row, avals)
            outs, out_dims = evaluate_batched(jaxpr, size, xs, dims)
            ys = [in_front(y, dim, size) for y, dim in zip(outs[:count], out_dims[:count], strict=True)]
            return ys, [outs[count:], out_dims[count:], list(others), avals]

        def backward(kept: list[Any], cts: Sequence[Any]) -> list[Any]:
            residuals, residual_dims, others, avals = kept
            given = [ct is not None for ct in cts]

            def row(*args: Any) -> list[Any]:
                arrays = iter(args[: len(residuals)])
                full = [next(arrays) if other is None else other[0] for other in others]
                x_cts = self.backward(full, spread(args[len(residuals) :], given))
                return [settled(ct, tangent_aval(aval)) for ct, aval in zip(x_cts, avals, strict=True)]

            row_cts = [row_aval(ct, 0) for ct in picked(cts, given)]
            jaxpr = record_abstract(
                "vmap", row, [row_aval(x, dim) for x, dim in zip(residuals, residual_dims, strict=True)] + row_cts
            )
            outs, out_dims = evaluate_batched(
                jaxpr, size, [*residuals, *picked(cts, given)], [*residual_dims, *[0] * len(row_cts)]
            )
            rows = [in_front(ct, dim, size) for ct, dim in zip(outs, out_dims, strict=True)]
            return [reduce_sum(ct, (0,)) if dim is None else ct for ct, dim in zip(rows, dims, strict=True)]

        return PullbackRule(forward, backward)


class _Behind:
    """A rule that has other operands in front of its own: what the function captured, which has no derivative."""

    def __init__(self, rule: Rule, count: int, name: str) -> None:
        self.rule, self.count, self.name = rule, count, name

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """See `Rule`."""
        if any(active[: self.count]):
            raise captured_error(self.name)
        return self.rule.linearize(xs[self.count :], active[self.count :])

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """See `Rule`."""
        return _Behind(self.rule.batched(size, dims[self.count :]), self.count, self.name)


def behind(rule: Rule, count: int, name: str) -> Rule:
    """A rule with so many operands without derivative in front of its own."""
    return _Behind(rule, count, name) if count else rule


class Recursion:
    """The rule of a function that its own rule calls, while that is being recorded: afterwards it is what it becomes.

    What stays of it, in a loop or a branch or another rule, has values but no derivative.

    Args:
        name: What the user calls the function.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """See `Rule`."""
        raise DifferentiationError(
            message(
                f"{self.name} is called in its own derivative rule, inside of something: that has no derivative.",
                where=caller(),
                why="it captures traced values, and so does the rule, which is recorded once and for all.",
                fix="pass the values as arguments; or call it outside of the rule's loops, branches and other rules.",
            )
        )

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """See `Rule`."""
        return self

    def tied(self, jaxpr: Jaxpr, count: int, rule: Rule) -> Jaxpr:
        """A part of the recorded rule, with that rule in its calls of the function; so many inputs are captured."""
        captured = jaxpr.inputs[:count]
        equations = [self._with_rule(eqn, captured, rule) for eqn in jaxpr.equations]
        return Jaxpr(jaxpr.inputs, (), equations, jaxpr.outputs)

    def _with_rule(self, eqn: Equation, captured: Sequence[Var], rule: Rule) -> Equation:
        own = eqn.params.get("rule") if eqn.primitive is custom_p else None
        count = own.count if isinstance(own, _Behind) else 0
        if own is not self and not (isinstance(own, _Behind) and own.rule is self):
            return eqn
        inputs = [*eqn.inputs[:count], *captured, *eqn.inputs[count:]]
        jaxpr = with_inputs(eqn.params["jaxpr"], count, [v.aval for v in captured])
        params = eqn.params | {"jaxpr": jaxpr, "rule": behind(rule, count, self.name)}
        return Equation(custom_p, inputs, eqn.outputs, params, eqn.place)


def with_inputs(jaxpr: Jaxpr, at: int, avals: Sequence[ShapedArray]) -> Jaxpr:
    """A jaxpr without constants that takes more, and does nothing with it."""
    inputs = [*jaxpr.inputs[:at], *map(Var, avals), *jaxpr.inputs[at:]]
    return Jaxpr(inputs, (), jaxpr.equations, jaxpr.outputs)


def recorded(rule: Rule, avals: Sequence[ShapedArray], name: str, recursion: Recursion) -> tuple[Rule, tuple[Any, ...]]:
    """A rule as jaxprs, for operands of these types, and the values that it captures: these are its first operands.

    Args:
        recursion: The rule of the function in its rule, which takes the values, too.
    """
    if isinstance(rule, TangentRule):
        return _recorded_tangents(rule, avals, name, recursion)
    assert isinstance(rule, PullbackRule)
    return _recorded_pullback(rule, avals, name, recursion)


def _recorded_tangents(
    rule: TangentRule, avals: Sequence[ShapedArray], name: str, recursion: Recursion
) -> tuple[Rule, tuple[Any, ...]]:
    moving = list(map(is_inexact, avals))

    def flat(*args: Any) -> list[Any]:
        ys, y_dots = rule.function(args[: len(avals)], spread(args[len(avals) :], moving))
        return [*ys, *[settled(y_dot, tangent_aval(y)) for y, y_dot in zip(ys, y_dots, strict=True)]]

    def function(xs: Sequence[Any], x_dots: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        dots = picked(x_dots[-len(avals) :] if avals else [], moving)
        full = [settled(x_dot, aval) for x_dot, aval in zip(dots, dot_avals, strict=True)]
        outs = evaluate(tied, [*xs, *full])
        return outs[: len(outs) // 2], outs[len(outs) // 2 :]

    dot_avals = list(map(tangent_aval, picked(avals, moving)))
    jaxpr, values = closed(record_abstract("custom_jvp", flat, [*avals, *dot_avals]))
    own = _behind_values(TangentRule(function), values, name)
    tied = recursion.tied(jaxpr, len(values), own)
    return own, values


def _recorded_pullback(
    rule: PullbackRule, avals: Sequence[ShapedArray], name: str, recursion: Recursion
) -> tuple[Rule, tuple[Any, ...]]:
    others: list[Any] = []
    sizes: list[int] = []

    def flat(*xs: Any) -> list[Any]:
        ys, residuals = rule.forward(xs, list(map(is_inexact, avals)))
        arrays = [is_array(x) for x in residuals]
        others[:] = [None if yes else (x,) for x, yes in zip(residuals, arrays, strict=True)]
        sizes[:] = [len(ys)]
        return [*ys, *picked(residuals, arrays)]

    def flat_back(*args: Any) -> list[Any]:
        arrays = iter(args[: len(residual_avals)])
        full = [next(arrays) if other is None else other[0] for other in others]
        x_cts = rule.backward(full, args[len(residual_avals) :])
        return [settled(ct, tangent_aval(aval)) for ct, aval in zip(x_cts, avals, strict=True)]

    def forward(xs: Sequence[Any], active: Sequence[bool]) -> tuple[list[Any], list[Any]]:
        outs = evaluate(tied, xs)
        return outs[:count], [*xs[: len(captured)], *outs[count:]]

    def backward(residuals: list[Any], cts: Sequence[Any]) -> list[Any]:
        full = [settled(ct, aval) for ct, aval in zip(cts, ct_avals, strict=True)]
        return [*[None] * len(captured), *evaluate(tied_back, [*residuals, *full])]

    ahead, values = closed(record_abstract("custom_vjp", flat, avals))
    (count,) = sizes
    residual_avals = ahead.out_avals[count:]
    ct_avals = list(map(tangent_aval, ahead.out_avals[:count]))
    back, back_values = closed(record_abstract("custom_vjp", flat_back, [*residual_avals, *ct_avals]))
    # Both halves take what either captures: their calls of the function itself do, too.
    captured = (*values, *back_values)
    own = _behind_values(PullbackRule(forward, backward), captured, name)
    tied = recursion.tied(with_inputs(ahead, len(values), list(map(get_aval, back_values))), len(captured), own)
    tied_back = recursion.tied(with_inputs(back, 0, list(map(get_aval, values))), len(captured), own)
    return own, captured


class _WithValues:
    """A recorded rule whose first operands are what it captured: these have no derivative."""

    def __init__(self, rule: Rule, count: int, name: str) -> None:
        self.rule, self.count, self.name = rule, count, name

    def linearize(self, xs: Sequence[Any], active: Sequence[bool]) -> Linear:
        """See `Rule`."""
        if any(active[: self.count]):
            raise captured_error(self.name)
        return self.rule.linearize(xs, active)

    def batched(self, size: int, dims: Sequence[int | None]) -> Rule:
        """See `Rule`."""
        return _WithValues(self.rule.batched(size, dims), self.count, self.name)


def _behind_values(rule: Rule, values: Sequence[Any], name: str) -> Rule:
    return _WithValues(rule, len(values), name) if values else rule


def is_array(x: Any) -> bool:
    """Whether x is a number or an array."""
    try:
        get_aval(x)
    except TypeError:
        return False
    return True


def row_aval(x: Any, dim: int | None) -> ShapedArray:
    """The type of a row of x."""
    aval = get_aval(x)
    return aval if dim is None else ShapedArray(aval.shape[:dim] + aval.shape[dim + 1 :], aval.dtype)


# custom: results of a jaxpr, with a rule for its derivative -----------------------------------------------------------


def record_rule(
    args: Sequence[Any], call: Callable[[list[Any]], Sequence[Any]], rule: Rule, name: str
) -> tuple[Any, ...] | None:
    """A function of which some operands are differentiated, by its rule.

    None is returned if the function captured values of a recording inside the one that differentiates.

    Args:
        call: The function one level down, for the case that it has no derivative after all.
        name: What the user calls it.

    Raises:
        DifferentiationError: It captured a value that is differentiated.
    """
    lowered = Lowered(args)
    if not any(lowered.active):
        return tuple(call(lowered.values))
    xs = list(map(valued, lowered.values)) if lowered.recording.abstract else lowered.values
    ys, push, pull = rule.linearize(xs, lowered.active)
    level = lowered.recording.level
    if any(type(y) is Tracer and y.recording.level > level for y in ys):
        return None
    _check_captured(ys, level, name)
    if lowered.recording.abstract:
        ys = list(map(get_aval, ys))

    def checked(linear: Callable[[Any], Sequence[Any]]) -> Callable[[Any], Sequence[Any]]:
        def apply(given: Any) -> Sequence[Any]:
            results = linear(given)
            _check_captured(results, level, name)
            return results

        return apply

    return lowered.record(_equation, ys, checked(push), checked(pull))


def _check_captured(values: Sequence[Any], level: int, name: str) -> None:
    if any(type(x) is Tracer and x.recording.level == level for x in values):
        raise captured_error(name)


def captured_error(name: str) -> DifferentiationError:
    """The error for a function with a rule that uses a differentiated value which is no argument."""
    return DifferentiationError(
        message(
            f"{name} has a derivative rule, and uses a differentiated value that is none of its arguments.",
            where=caller(),
            why="the rule says how the result depends on the arguments, and nothing of what is captured.",
            fix="pass the value as an argument; or funcgrad.stop_gradient(value).",
        )
    )


def _custom_implementation(*args: Any, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[Any, ...]:
    return prepared(jaxpr)(*[strong(x, v.aval) for x, v in zip(args, jaxpr.inputs, strict=True)])


def _custom_abstract(*xs: ShapedArray, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in jaxpr.out_avals])


def _custom_inline(*args: Any, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[Any, ...]:
    ys = record_rule(args, lambda xs: custom(xs, jaxpr, rule, name), rule, name)
    assert ys is not None  # what a recorded function captured is among its operands
    return ys


def _custom_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    rows = [x if dim is None else in_front(x, dim, size) for x, dim in zip(xs, dims, strict=True)]
    in_dims = tuple(None if dim is None else 0 for dim in dims)
    jaxpr: Jaxpr = params["jaxpr"]
    body, _ = batched_jaxpr(jaxpr, size, in_dims, (True,) * len(jaxpr.outputs))
    rule = behind(params["rule"].batched(size, in_dims), len(body.values), params["name"])
    return custom([*body.values, *rows], body.jaxpr, rule, params["name"]), [0] * len(jaxpr.outputs)


def _custom_vjp(
    cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> list[Any]:
    # In a recording without values the function is linear in its operands without values.
    active = [number is not None for number in ids]
    _, _, pull = params["rule"].linearize(list(map(valued, xs)), active)
    return spread(pull(cts), active)


_equation = derivative_equation("custom")

custom_p = Primitive(
    "custom",
    implementation=_custom_implementation,
    abstract=_custom_abstract,
    batch=_custom_batch,
    effort=body_effort,
    inline=_custom_inline,
    vjp=_custom_vjp,
    is_linear=lambda active: True,
    multiple_results=True,
)


def custom(args: Sequence[Any], jaxpr: Jaxpr, rule: Rule, name: str) -> list[Any]:
    """The results of a jaxpr without constants whose derivative is a rule's."""
    return list(bind(custom_p, *args, jaxpr=jaxpr, rule=rule, name=name))


def is_differentiated(args: Sequence[Any]) -> bool:
    """Whether the innermost recording of these values is one that differentiates."""
    recordings = [x.recording for x in args if type(x) is Tracer and x.recording.equations is not None]
    return bool(recordings) and max(recordings, key=lambda recording: recording.level).differentiating
