"""What happened when a function was evaluated, step by step, with values: the ground of `kinks` and `why_nan`.

The function is recorded with its values, as `make_jaxpr` does it, and for each equation it is noted in whose derivative
rule it was made. The recording is then evaluated again, equation by equation, and all values are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var, recording_to_jaxpr, subjaxprs
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import Place, Source, current_place, read_source, replay
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.core.tree import flatten_results
from funcgrad.testing.flat import FlatFunction, quietly
from funcgrad.testing.observing import exchanged, results, watched
from funcgrad.transforms.call import jit_p


@dataclass(frozen=True)
class Rule:
    """In whose derivative an equation was made.

    Attributes:
        primitive: Whose rule it is.
        mode: "forward" or "reverse".
        number: The recording's variable that is the result of the equation to which the rule belongs, if it is one.
    """

    primitive: Primitive
    mode: str
    number: int | None


@dataclass(frozen=True, eq=False)
class Step:
    """One equation as it was evaluated.

    Attributes:
        number: How many came before it.
        primitive: What was applied.
        xs: The operands' values.
        ys: The results' values.
        operands: The steps that made the operands; an argument's path, or None for a constant.
        rule: In whose derivative it was made; None for the function itself.
        of: The step to which that rule belongs.
        inner: What was applied inside of it, if it carries a program of its own.
        within: The primitive of that step, of what was applied inside of one.
    """

    number: int
    primitive: Primitive
    params: dict[str, Any]
    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    operands: tuple[Step | str | None, ...]
    place: Place | None
    rule: Rule | None = None
    of: Step | None = None
    inner: list[Step] = field(default_factory=list)
    within: Primitive | None = None

    @property
    def source(self) -> Source | None:
        """The user's line."""
        return read_source(self.place)


@dataclass(frozen=True)
class Examined:
    """A function's evaluation at a point.

    Attributes:
        flat: The function.
        steps: In the order of evaluation.
        outputs: The values of the result's leaves, and the steps (or arguments) that made them.
        jaxpr: The recording.
    """

    flat: FlatFunction
    steps: list[Step]
    outputs: list[tuple[Any, Step | str | None]]
    jaxpr: Jaxpr


def examine(flat: FlatFunction, call: Callable[..., Any] | None = None) -> Examined:
    """Evaluate a function at its point and keep every step.

    Args:
        flat: The function, and where.
        call: Of flat arrays, what to evaluate in place of the function itself: its derivative, say.
    """
    jaxpr, rules = quietly(record, flat, call or flat)
    return quietly(_evaluate_steps, flat, jaxpr, rules)


def record(flat: FlatFunction, call: Callable[..., Any]) -> tuple[Jaxpr, list[Rule | None]]:
    """The jaxpr of a call with values, and for each equation the rule in which it was made."""
    recording = Recording("make_jaxpr", flat.function)
    recording.naming = lambda number: flat.paths[number]
    spans: list[tuple[int, int, Rule]] = []
    running: list[tuple[Primitive, str]] = []

    def noting(mode: str) -> Callable[[Primitive, Callable[..., Any]], Callable[..., Any]]:
        def exchange(primitive: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
            def noted(t: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
                start = len(recording.equations or ())
                # Where reverse mode is a tangent rule transposed, that rule runs inside of it.
                transposed = (primitive, "reverse") in running
                running.append((primitive, mode))
                try:
                    x_cts = rule(t, y, *args, **kwargs)
                finally:
                    running.pop()
                stop = len(recording.equations or ())
                if stop > start:
                    first = y[0] if primitive.multiple_results else y
                    way = "reverse" if transposed else mode
                    spans.append((start, stop, Rule(primitive, way, _number(recording, first))))
                return x_cts

            return noted

        return exchange

    try:
        with exchanged(jvp=noting("forward"), vjp=noting("reverse"), derivative=noting("reverse")):
            outs, _ = flatten_results(call(*[recording.input(x) for x in flat.xs]))
        jaxpr = recording_to_jaxpr(recording, outs)
        firsts = {number: i for i, equation in enumerate(recording.equations or ()) for number in [equation[5]]}
    finally:
        recording.close()
    rules: list[Rule | None] = [None] * len(jaxpr.equations)
    for start, stop, rule in sorted(spans, key=lambda span: span[0] - span[1]):  # inner rules last
        origin = None if rule.number is None else firsts.get(rule.number)
        rules[start:stop] = [Rule(rule.primitive, rule.mode, origin)] * (stop - start)
    return jaxpr, rules


def _number(recording: Recording, x: Any) -> int | None:
    """The variable of a recording behind a tracer of an inner one."""
    while isinstance(x, Tracer):
        if x.recording is recording:
            return x.id
        x = x.value
    return None


class _Evaluator:
    """The loop over equations that keeps everything; nested jit dissolves."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.env: dict[Var, tuple[Any, Step | str | None]] = {}

    def run(self, jaxpr: Jaxpr, rules: Sequence[Rule | None]) -> None:
        self.env.update((v, (value, None)) for v, value in jaxpr.constants)
        by_equation: dict[int, Step] = {}
        for i, (eqn, rule) in enumerate(zip(jaxpr.equations, rules, strict=True)):
            of = None if rule is None or rule.number is None else by_equation.get(rule.number)
            self.apply(eqn, rule, of)
            made = self.env[eqn.outputs[0]][1] if eqn.outputs else None
            if isinstance(made, Step):
                by_equation[i] = made

    def read(self, x: Var | Literal) -> tuple[Any, Step | str | None]:
        """A value and who made it."""
        return (x.value, None) if isinstance(x, Literal) else self.env[x]

    def apply(self, eqn: Equation, rule: Rule | None, of: Step | None) -> None:
        pairs = [self.read(x) for x in eqn.inputs]
        if eqn.primitive is jit_p:
            inner: Jaxpr = eqn.params["jaxpr"]
            self.env.update(zip(inner.inputs, pairs, strict=True))
            self.run(inner, [rule] * len(inner.equations))
            self.env.update((v, self.read(x)) for v, x in zip(eqn.outputs, inner.outputs, strict=True))
            return
        xs = tuple(x for x, _ in pairs)
        operands = tuple(made for _, made in pairs)
        inside = _Inner(eqn.primitive, xs, operands, rule)
        replay.place = eqn.place
        if any(True for _ in subjaxprs(eqn)):
            before, replay.always = replay.always, True
            try:
                with watched(inside.note):
                    y = bind(eqn.primitive, *xs, **eqn.params)
            finally:
                replay.always = before
        else:
            y = bind(eqn.primitive, *xs, **eqn.params)
        ys = tuple(results(eqn.primitive, y))
        number = len(self.steps)
        step = Step(number, eqn.primitive, eqn.params, xs, ys, operands, eqn.place, rule, of, inside.steps)
        self.steps.append(step)
        self.env.update((v, (value, step)) for v, value in zip(eqn.outputs, ys, strict=True))


class _Inner:
    """What is applied inside of a step, each application as a step of its own; who made a value is known by identity.

    Attributes:
        steps: The applications, in order.
    """

    def __init__(
        self, primitive: Primitive, xs: Sequence[Any], operands: Sequence[Step | str | None], rule: Rule | None
    ) -> None:
        self.primitive, self.rule = primitive, rule
        self.steps: list[Step] = []
        self.makers: dict[int, Step | str | None] = dict(zip(map(id, xs), operands, strict=True))

    def note(self, primitive: Primitive, xs: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        """Keep an application."""
        ys = tuple(results(primitive, y))
        operands = tuple(self.makers.get(id(x)) for x in xs)
        place = replay.place or current_place()
        number = len(self.steps)
        step = Step(number, primitive, params, tuple(xs), ys, operands, place, self.rule, within=self.primitive)
        self.steps.append(step)
        self.makers.update((id(value), step) for value in ys)


def _evaluate_steps(flat: FlatFunction, jaxpr: Jaxpr, rules: Sequence[Rule | None]) -> Examined:
    evaluator = _Evaluator()
    evaluator.env.update(zip(jaxpr.inputs, zip(flat.xs, flat.paths, strict=True), strict=True))
    outer = replay.place
    try:
        evaluator.run(jaxpr, rules)
    finally:
        replay.place = outer
    return Examined(flat, evaluator.steps, [evaluator.read(x) for x in jaxpr.outputs], jaxpr)


def simple(steps: Sequence[Step]) -> Iterator[Step]:
    """Steps, and in place of those that carry a program what was applied inside of them."""
    for step in steps:
        yield from (part for part in step.inner if not carries_program(part)) if step.inner else (step,)


def carries_program(step: Step) -> bool:
    """Whether what was applied is a loop or a branch itself."""
    parts = [part for value in step.params.values() for part in (value if type(value) is tuple else (value,))]
    return any(isinstance(part, Jaxpr) for part in parts)
