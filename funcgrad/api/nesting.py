"""Functions that are recorded within recordings: what these have to hear of, and what they leave to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.core.tracing import Recording, Tracer


def budget_around(xs: Sequence[Any]) -> float | None:
    """The budget of a recording of such values, within the recordings that trace them: what is left of theirs."""
    found = []
    for x in xs:
        while type(x) is Tracer:
            if x.recording.budget is not None:
                found.append(x.recording.budget)
            x = x.value
    return min(found, default=None)


def pass_on_guards(recording: Recording, xs: Sequence[Any]) -> None:
    """Note with the recordings around a nested one, too, that Python has read values which they trace."""
    for x in xs if recording.guards else ():
        while isinstance(x, Tracer):
            x.recording.guards += recording.guards
            x = x.value
