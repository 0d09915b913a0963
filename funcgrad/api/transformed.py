"""What a transformation returns: a callable that keeps the function's name, docstring and signature.

It is an object and not a closure, so that it pickles by reference to the function, and it binds as a method does.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from funcgrad.core.errors import FunctionExpectedError
from funcgrad.core.naming import name_of, parameter_name

P = ParamSpec("P")
R = TypeVar("R")


class Transformed(Generic[P, R]):
    """A transformed function. Subclasses say what a call does; `options` are their own attributes."""

    options: tuple[str, ...] = ()
    transformation: str

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        if not callable(function):
            raise FunctionExpectedError(type(self).__name__.lstrip("_"), function)
        self.function = function
        self.transformation = type(self).__name__.lstrip("_")
        for name in self.options:
            setattr(self, name, options.pop(name))
        assert not options
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Apply the transformed function."""
        raise NotImplementedError

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        module = sys.modules.get(getattr(self, "__module__", "") or "")
        name = getattr(self, "__qualname__", "")
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        return _rebuild, (type(self), self.function, {name: getattr(self, name) for name in self.options})

    def __repr__(self) -> str:
        return name_of(self)

    def input_name(self, number: int) -> str:
        """What the user calls an input of the recording."""
        return parameter_name(self.function, number)


def _rebuild(kind: type[Transformed[Any, Any]], function: Callable[..., Any], options: dict[str, Any]) -> Any:
    return kind(function, **options)
