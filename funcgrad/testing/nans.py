"""Where did NaN come from?  `why_nan` explains a result, `debug_nans` raises where it comes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

import numpy as np

from funcgrad.api.programs import jit_step_by_step
from funcgrad.core.errors import FuncgradError, message
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import Primitive
from funcgrad.core.source import Source, caller, read_source, replay
from funcgrad.core.tracing import Tracer
from funcgrad.testing.examining import Examined, Step, carries_program, examine, simple
from funcgrad.testing.flat import FlatFunction, cotangent_function
from funcgrad.testing.observing import exchanged, results
from funcgrad.testing.rewriting import Suggestion, suggestion
from funcgrad.testing.wording import construct_name, operand_names, operand_texts, text_of

P = ParamSpec("P")


class NanError(FuncgradError, FloatingPointError):
    """A primitive or its derivative gave NaN, inside of `debug_nans()`."""


@dataclass(frozen=True)
class NanReport:
    """Where a NaN or an infinity came from.

    Attributes:
        function: What was asked about.
        kind: "nan", "inf", or empty where all results are finite.
        path: The result in which it is.
        primitive: The operation that first gave something that is not finite; empty if an argument is not.
        mode: "" if it was the operation itself; "forward" or "reverse" if it was its derivative.
        inside: The loop or branch in which it was applied, if there is one.
        derivative: Whether it is the operation's derivative, and not the operation itself.
        source: The user's line.
        operands: The operation's operands: what the user calls them, and their values.
        became: The line and the operation where an infinity became NaN, if it was not one from the start.
        suggestion: What to write in its place, run at these arguments, if something was found.
        argument: The argument that is not finite itself.
    """

    function: str
    kind: str = ""
    path: str = ""
    primitive: str = ""
    mode: str = ""
    source: Source | None = None
    operands: tuple[tuple[str, Any], ...] = ()
    became: tuple[Source | None, str] | None = None
    suggestion: Suggestion | None = None
    argument: str = ""
    inside: str = ""
    derivative: bool = False

    def __bool__(self) -> bool:
        return bool(self.kind)

    def __str__(self) -> str:
        if not self.kind:
            return f"{self.function} and its derivative are finite at these arguments."
        if self.argument:
            return f"{self.path} is {self.kind} because {self.argument} is not finite itself."
        lines = [f"{self.path} is {self.kind}: {self._what()}."]
        lines += [f"  {'where':<9} {self.source}"] if self.source else []
        lines += [f"  {'operand':<9} {name} = {text_of(x)}" for name, x in self.operands]
        if self.became:
            source, primitive = self.became
            lines.append(f"  {'then':<9} it became nan in `{primitive}`{f' at {source}' if source else ''}")
        if self.suggestion:
            text, replaced, after = self.suggestion
            lines.append(f"  {'fix':<9} {text}")
            lines.append(f"  {'':<9} in place of {replaced}; tried here, it gives {', '.join(map(text_of, after))}")
        else:
            lines.append(f"  {'fix':<9} keep the operands away from there; none of the usual rewrites helps here")
        return "\n".join(lines)

    def _what(self) -> str:
        place = f"in `{self.inside}`, " if self.inside else ""
        mode = f"in {self.mode} mode " if self.mode else ""
        if self.derivative:
            whose = "a rule of your own" if self.primitive == "custom" else f"the derivative of `{self.primitive}`"
            return f"{place}{mode}{whose} is not finite"
        return f"{place}{mode}`{self.primitive}` gives it"

    __repr__ = __str__


class WhyNan(Generic[P]):
    """What `why_nan` returns."""

    def __init__(self, function: Callable[P, Any]) -> None:
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NanReport:
        """Where NaN comes from at these arguments."""
        name = name_of(self.function)
        flat = FlatFunction(_unjitted(self.function), args, kwargs)
        flat.name = name
        for call, paths in _calls(flat):
            examined = examine(flat, call)
            report = _explain(examined, call, name, paths)
            if report:
                return report
        return NanReport(name)

    def __repr__(self) -> str:
        return f"why_nan({name_of(self.function)})"


def why_nan(f: Callable[P, Any]) -> Callable[P, NanReport]:
    """A function that says where a NaN or an infinity in f's result, or else in its derivative, comes from.

    f is evaluated equation by equation; NaN is followed from the result to the first operation, of f itself or of a
    derivative, that made it from finite operands. What is made and dropped again, as by `np.where`, does not count.

    Args:
        f: Any function of trees of arrays, also a derivative: `why_nan(grad(f))`.

    Returns:
        A function of f's arguments that gives a report: the line, the operation, its operands, in which mode, and
        what to write instead, if it gives finite results when tried there. The report is false if all is finite.

    Example:
        >>> import numpy as np
        >>> report = why_nan(lambda x: np.sqrt(np.sum(x**2)))(np.zeros(2))
        >>> report.primitive, report.mode, report.suggestion.text
        ('sqrt', 'reverse', 'np.linalg.norm(x)')
    """
    return WhyNan(f)


def _unjitted(f: Any) -> Any:
    """f without jit around it, which changes no value."""
    while getattr(f, "transformation", None) == "jit":
        f = f.function
    return f


def _calls(flat: FlatFunction) -> Iterator[tuple[Callable[..., Any], list[str]]]:
    """The function itself, and the gradient of the sum of its results, with the paths of their results."""
    ys, paths = flat.at_point()
    yield flat, [f"the {path} of {flat.name}" for path in paths]
    if ys:
        ones = [np.ones(np.shape(y), np.result_type(y)) for y in ys]
        yield cotangent_function(flat, ones), [f"the derivative of {flat.name} in {path}" for path in flat.paths]


def _explain(examined: Examined, call: Callable[..., Any], name: str, paths: Sequence[str]) -> NanReport:
    bad = [(i, y, made) for i, (y, made) in enumerate(examined.outputs) if _has_nan(y)]
    kind = "nan" if bad else "inf"
    bad = bad or [(i, y, made) for i, (y, made) in enumerate(examined.outputs) if _is_bad(y)]
    if not bad:
        return NanReport(name)
    number, _, made = bad[0]
    if not isinstance(made, Step):
        return NanReport(name, kind, paths[number], argument=made or "a constant in it")
    births, turns, given = trace_back(made)
    births = [step for step in births if len(births) == 1 or matters(examined, step, number)] or births
    chain = sorted(births or turns, key=lambda step: step.number)
    if not chain:
        return NanReport(name, kind, paths[number], argument=given[0] if given else "a constant in it")
    step = chain[0]
    turn = min((t for t in turns if t.number > step.number), key=lambda t: t.number, default=None)
    found = _innermost(step)
    own = _own(examined, found)
    anchor = own or step.of or step
    before = [y for y, _ in examined.outputs]
    tried = [anchor, *([turn.of or turn] if turn is not None else [])]
    rule = step.rule
    mode = rule.mode if rule else _mode(examined) if own else ""
    primitive = own.primitive if own else rule.primitive if rule and found is step else found.primitive
    return NanReport(
        name,
        kind,
        paths[number],
        primitive.name,
        mode,
        read_source(found.place),
        tuple(_operands(own or (anchor if found is step else found))),
        None if turn is None or _has_nan(*step.ys) else (turn.source, turn.primitive.name),
        suggestion(examined, call, tried, before),
        inside="" if found is step else construct_name(step.primitive.name),
        derivative=bool(own) or (rule is not None and found is step),
    )


def _own(examined: Examined, found: Step) -> Step | None:
    """Of a part of a derivative that no rule owns, in a loop or under vmap, the user's operation that it belongs to."""
    if (found.within is None and found.rule is not None) or (found.rule is None and operand_texts(found) is not None):
        return None
    named = [
        step
        for step in simple(examined.steps)
        if step.place == found.place and step.rule is None and operand_texts(step) is not None
    ]
    special = [step for step in named if any(np.any(np.equal(x, 0)) for x in _inexact([*step.xs, *step.ys]))]
    return next(iter([*special, *named]), None)


def _mode(examined: Examined) -> str:
    """The mode of a derivative of which there is no rule to be seen."""
    modes = [step.rule.mode for step in examined.steps if step.rule is not None]
    return "reverse" if "reverse" in modes or not modes else "forward"


def _operands(step: Step) -> Iterator[tuple[str, Any]]:
    for name, made, x in zip(operand_names(step), step.operands, step.xs, strict=True):
        if made is not None or (step.within is not None and name != text_of(x)):
            yield name, x


def _innermost(step: Step) -> Step:
    """Of a loop or a branch, what inside of it first gave something that is not finite."""
    for part in step.inner:
        if not carries_program(part) and _is_bad(*part.ys) and not _is_bad(*part.xs):
            return part
    return step


def trace_back(step: Step) -> tuple[list[Step], list[Step], list[str]]:
    """Follow NaN and infinities from a step to where they come from.

    Returns:
        The steps that made them from finite operands, those that made NaN from infinite ones, and the arguments that
        are not finite themselves.
    """
    births: list[Step] = []
    turns: list[Step] = []
    given: list[str] = []
    seen = {step.number}
    waiting = [step]
    while waiting:
        step = waiting.pop()
        pairs = list(zip(step.xs, step.operands, strict=True))
        sources = [(x, made) for x, made in pairs if _has_nan(x)] if _has_nan(*step.ys) else []
        if not sources:
            sources = [(x, made) for x, made in pairs if _is_bad(x)]
            if sources and _has_nan(*step.ys):
                turns.append(step)
        if not sources:
            births.append(step)
        for _, made in sources:
            if isinstance(made, str):
                given.append(made)
            elif made is not None and made.number not in seen:
                seen.add(made.number)
                waiting.append(made)
    return births, turns, given


def matters(examined: Examined, step: Step, output: int) -> bool:
    """Whether an output would have fewer elements that are not finite, were the step's results finite."""
    changed: dict[int, Any] = {id(y): np.where(np.isfinite(y), y, 1.0).astype(np.result_type(y)) for y in step.ys}
    with np.errstate(all="ignore"):
        for later in examined.steps[step.number + 1 :]:
            if any(id(x) in changed for x in later.xs):
                y = later.primitive.implementation(*[changed.get(id(x), x) for x in later.xs], **later.params)
                changed.update(zip(map(id, later.ys), results(later.primitive, y), strict=True))
    before = examined.outputs[output][0]
    return _count_bad(changed.get(id(before), before)) < _count_bad(before)


def _count_bad(x: Any) -> int:
    return int(np.size(x) - np.count_nonzero(np.isfinite(x)))


def _inexact(xs: Sequence[Any]) -> Iterator[Any]:
    return (x for x in xs if not isinstance(x, Tracer) and np.result_type(x).kind in "fc")


def _has_nan(*xs: Any) -> bool:
    return any(np.isnan(x).any() for x in _inexact(xs))


def _is_bad(*xs: Any) -> bool:
    return any(not np.isfinite(x).all() for x in _inexact(xs))


@contextmanager
def debug_nans(*, infs: bool = False) -> Iterator[None]:
    """A context in which an operation of a transformed function that gives NaN raises, there and then.

    Its own operations are checked, and the derivative rules of all. A NaN that `np.where` would drop again raises,
    too: ask `why_nan(f)` whether the result depends on it. In this context jitted functions run step by step.

    Args:
        infs: Whether infinities raise, too.

    Raises:
        NanError: (a FloatingPointError) naming the operation, its line and its operands.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> with debug_nans():
        ...     grad(lambda x: x * np.log(x - 1))(0.5)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        funcgrad.testing.nans.NanError: `log` gives nan.
        ...
    """
    wrong = _is_bad if infs else _has_nan

    def implementations(primitive: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*xs: Any, **params: Any) -> Any:
            __tracebackhide__ = True
            y = rule(*xs, **params)
            ys = results(primitive, y)
            if wrong(*ys) and not wrong(*xs):
                raise _nan_error(primitive, "", xs, _has_nan(*ys))
            return y

        return checked

    def rules(mode: str) -> Callable[[Primitive, Callable[..., Any]], Callable[..., Any]]:
        def exchange(primitive: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
            def checked(t: Any, y: Any, xs: Sequence[Any], *rest: Any) -> Any:
                __tracebackhide__ = True
                out = rule(t, y, xs, *rest)
                parts = out if mode == "reverse" or primitive.multiple_results else (out,)
                outs = [part for part in parts or () if isinstance(part, (np.ndarray, np.generic))]
                given = t if isinstance(t, (list, tuple)) else (t,)
                if wrong(*outs) and not wrong(*[part for part in given if part is not None], *_present(xs)):
                    raise _nan_error(primitive, mode, _present(xs), _has_nan(*outs))
                return out

            return checked

        return exchange

    before = replay.always
    with jit_step_by_step(), exchanged(implementation=implementations, jvp=rules("forward"), vjp=rules("reverse")):
        replay.always = True
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            replay.always = before


def _present(xs: Sequence[Any]) -> list[Any]:
    return [x for x in xs if isinstance(x, (np.ndarray, np.generic, float, complex, int))]


def _nan_error(primitive: Primitive, mode: str, xs: Sequence[Any], nan: bool) -> NanError:
    source = read_source(replay.place) if replay.place is not None else caller()
    what = f"the derivative of `{primitive.name}` in {mode} mode" if mode else f"`{primitive.name}`"
    return NanError(
        message(
            f"{what} gives {'nan' if nan else 'inf'}.",
            value="; ".join(map(text_of, xs)),
            where=source,
            fix="funcgrad.testing.why_nan(f)(...) with the same arguments looks for what to write instead.",
        )
    )
