"""An expression of Python, written for one purpose at run time, and the objects that it names."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

_BUILTINS = {"type": type, "len": len, "dumps": marshal.dumps, "bytes": bytes, "tuple": tuple}


class Expression:
    """Conditions under construction.

    Attributes:
        namespace: The objects that the conditions name.
        parts: The conditions.
    """

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self.parts: list[str] = []

    def name(self, x: Any) -> str:
        """A name for an object."""
        name = f"v{len(self.namespace)}"
        self.namespace[name] = x
        return name

    @property
    def condition(self) -> str:
        """That all conditions hold."""
        return " and ".join(self.parts) or "True"

    def function(self, parameters: str, expression: str) -> Callable[..., Any]:
        """`lambda parameters: expression`."""
        return eval(f"lambda {parameters}: {expression}", {"__builtins__": {}, **_BUILTINS, **self.namespace})
