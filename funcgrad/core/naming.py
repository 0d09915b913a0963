"""What does the user call it?  Functions and their parameters, for messages and for arguments given by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Protocol


class Asking(Protocol):
    """Who asks for a recording, for messages."""

    transformation: str

    def input_name(self, number: int) -> str:
        """What the user calls an input, where the recording itself does not know."""


def name_of(f: Any) -> str:
    """What a function is called: `model`, `Model.loss`, `grad(model)`."""
    inner = getattr(f, "function", None)
    if inner is not None and isinstance(getattr(f, "transformation", None), str):
        return f"{f.transformation}({name_of(inner)})"
    if isinstance(f, partial):
        return name_of(f.func)
    owner, name = getattr(f, "__self__", None), getattr(f, "__name__", None)
    if name and inspect.ismethod(f):
        return f"{owner.__name__ if isinstance(owner, type) else type(owner).__name__}.{name}"
    return name or type(f).__name__


@lru_cache(maxsize=4096)
def _cached_parameters(f: Callable[..., Any]) -> tuple[inspect.Parameter, ...] | None:
    try:
        return tuple(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return None


def parameters_of(f: Callable[..., Any]) -> tuple[inspect.Parameter, ...] | None:
    """The parameters of a function, or None where it has no signature to look at."""
    try:
        return _cached_parameters(f)
    except TypeError:  # unhashable
        return _cached_parameters.__wrapped__(f)


def parameter_name(f: Callable[..., Any], place: int | str) -> str:
    """What the user calls the argument at a place."""
    if isinstance(place, str):
        return place
    parameters = parameters_of(f) or ()
    for i, parameter in enumerate(parameters):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return f"{parameter.name}[{place - i}]"
        if i == place:
            return parameter.name
    return f"args[{place}]"
