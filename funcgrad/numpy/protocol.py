"""How NumPy's own functions find their way to primitives: `__array_ufunc__` and `__array_function__`.

The tables are filled by the other files of this room, which say `@implements(np.sum)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.primitive import Primitive, bind_binary, bind_unary
from funcgrad.core.tracing import Tracer

F = TypeVar("F", bound=Callable[..., Any])

# What `np.f(...)` calls on traced arguments: a function with np.f's signature.
functions: dict[Any, Callable[..., Any]] = {}
# Ufuncs that are one primitive: the short way.
ufunc_primitives: dict[np.ufunc, Primitive] = {}
# Ufunc methods other than the plain call: (ufunc, "reduce") and so on; `out`, `where`, `dtype` of the plain call.
ufunc_methods: dict[tuple[np.ufunc | None, str], Callable[..., Any]] = {}


def implements(*numpy_functions: Any) -> Callable[[F], F]:
    """Register what NumPy's functions do with traced arguments."""

    def register(f: F) -> F:
        for numpy_function in numpy_functions:
            functions[numpy_function] = f
        return f

    return register


def method(*names: str) -> Callable[[F], F]:
    """Make a function (or a property) of a traced array one of `Tracer`'s methods."""

    def register(f: F) -> F:
        for name in names:
            setattr(Tracer, name, f)
        return f

    return register


def array_ufunc(self: Tracer, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol for ufuncs."""
    if method == "__call__" and not kwargs:
        primitive = ufunc_primitives.get(ufunc)
        if primitive is not None:
            return bind_unary(primitive, *inputs) if len(inputs) == 1 else bind_binary(primitive, *inputs)
        f = functions.get(ufunc)
        if f is not None:
            return f(*inputs)
    f = ufunc_methods.get((ufunc, method)) or ufunc_methods.get((None, method))
    if f is None:
        raise UnsupportedFunctionError(f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))
    return f(ufunc, *inputs, **kwargs)


def array_function(self: Tracer, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's protocol for everything that is no ufunc."""
    f = functions.get(function)
    if f is None:
        raise UnsupportedFunctionError(f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1))
    return f(*args, **kwargs)


Tracer.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tracer.__array_function__ = array_function  # type: ignore[attr-defined]
