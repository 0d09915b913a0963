"""Equations that know their own derivative, for what the equations of a jaxpr do not say.

Loops, branches, custom rules and foreign functions run one level below a recording that differentiates; what that
recording keeps of them is one equation with two functions: tangents to tangents, cotangents to cotangents. Such
equations stand in recordings of derivatives only, never in a jaxpr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.control.derived import is_inexact
from funcgrad.core.avals import get_aval
from funcgrad.core.primitive import Primitive
from funcgrad.core.tracing import Recording, Tracer

Push = Callable[[list[Any]], Sequence[Any] | None]
Pull = Callable[[Sequence[Any]], Sequence[Any]]


def derivative_equation(name: str) -> Primitive:
    """The primitive of equations with a derivative of their own, named as what they came from."""
    return Primitive(
        name,
        implementation=_never,
        abstract=_never,
        multiple_results=True,
        jvp=lambda tangents, ys, xs, params: params["push"](list(tangents)),
        vjp=lambda cts, ys, xs, ids, params: params["pull"](cts),
        is_linear=lambda active: True,
    )


def _never(*args: Any, **params: Any) -> Any:
    raise AssertionError("an equation of a derivative is no part of a jaxpr")


def differentiating_recording(args: Sequence[Any]) -> Recording:
    """The recording to which an equation with these operands belongs."""
    return max((x.recording for x in args if type(x) is Tracer), key=lambda recording: recording.level)


class Lowered:
    """Operands one level below the recording that differentiates them.

    Attributes:
        values: The operands there.
        active: Which of them have a derivative.
    """

    __slots__ = ("_ids", "active", "recording", "values")

    def __init__(self, args: Sequence[Any]) -> None:
        self.recording = differentiating_recording(args)
        pairs = [self.recording.lower(x) for x in args]
        self.values = [x for x, _ in pairs]
        self._ids = [number for _, number in pairs]
        self.active = tuple(number is not None and is_inexact(get_aval(x)) for x, number in pairs)

    @property
    def forward_only(self) -> bool:
        """Whether tangents are all that will be asked for: then nothing need be kept for the way back."""
        return self.recording.transformation == "jvp"

    def record(self, primitive: Primitive, results: Sequence[Any], push: Push, pull: Pull) -> tuple[Any, ...]:
        """Results one level down as this recording's, with the derivative that they have in the active operands.

        Args:
            push: From the tangents of the active operands (None: zero) to those of the results (None: zero).
            pull: From the cotangents of the results (None: zero) to those of the active operands (None: zero).
        """
        if any(type(x) is Tracer for x in (*self.values, *results)):
            self.recording.enclose()
        ids = [number for number, yes in zip(self._ids, self.active, strict=True) if yes]
        xs = [x for x, yes in zip(self.values, self.active, strict=True) if yes]
        return self.recording.append(primitive, {"push": push, "pull": pull}, xs, ids, tuple(results))
