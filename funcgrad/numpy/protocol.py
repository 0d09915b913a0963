"""How NumPy's own functions find their way to primitives: `__array_ufunc__` and `__array_function__`.

The tables are filled by the other files of this room, which say `@implements(np.sum)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.primitive import NO_PARAMS, Primitive, bind, bind_binary, shielded
from funcgrad.core.source import internal_files
from funcgrad.core.tracing import Tracer, held
from funcgrad.primitives.arithmetic import multiply_p
from funcgrad.primitives.structural import cast_p, reshape_p, truncate_p

_ndarray = np.ndarray
_getframe = sys._getframe

C = TypeVar("C", bound=Callable[..., Any])
F = TypeVar("F", bound=Callable[..., Any] | property)

# What `np.f(...)` calls on traced arguments: a function with np.f's signature.
functions: dict[Any, Callable[..., Any]] = {}
# The same by names, `scipy.special.expit`, of modules that may not have been loaded.
named_functions: dict[str, Callable[..., Any]] = {}
# Ufuncs that are one primitive: the short way.
ufunc_primitives: dict[np.ufunc, Primitive] = {}
# Ufunc methods other than the plain call: (ufunc, "reduce") and so on; `out`, `where`, `dtype` of the plain call.
ufunc_methods: dict[tuple[np.ufunc | None, str], Callable[..., Any]] = {}


def implements(*numpy_functions: Any) -> Callable[[C], C]:
    """Register what NumPy's functions do with traced arguments."""

    def register(f: C) -> C:
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
    if not kwargs and method == "__call__":
        primitive = ufunc_primitives.get(ufunc)
        if primitive is not None:
            recording = self.recording
            if recording.plain:
                # The short ways: where a plain array is among the values nothing is weak.
                if len(inputs) == 1:
                    if type(self.value) is _ndarray:
                        return recording.apply(primitive, NO_PARAMS, (self.value,), (self.id,))
                else:
                    x1, x2 = inputs
                    if type(x1) is _ndarray:
                        kept = (recording.capture(x1), self.value)
                        return recording.apply(primitive, NO_PARAMS, (x1, self.value), (None, self.id), kept)
                    if type(x2) is _ndarray:
                        kept = (self.value, recording.capture(x2))
                        return recording.apply(primitive, NO_PARAMS, (self.value, x2), (self.id, None), kept)
                    if type(self.value) is _ndarray and type(x1) in OPERANDS and type(x2) in OPERANDS:
                        return bind_binary(primitive, x1, x2)
            return _bind_ufunc(primitive, inputs)
        f = functions.get(ufunc) or named_functions.get(ufunc_name(ufunc))
        if f is not None:
            return f(*inputs)
    f = ufunc_methods.get((ufunc, method)) or ufunc_methods.get((None, method))
    if f is None:
        name = ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}")
        return _of_plain_arrays(getattr(ufunc, method), name, inputs, kwargs)
    return f(ufunc, *inputs, **kwargs)


def _of_plain_arrays(f: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What NumPy itself gives, if no argument is traced: there may be handles on plain arrays among them.

    Raises:
        UnsupportedFunctionError: an argument is traced.
    """
    plain, others = _without_handles(args), {key: _without_handles(value) for key, value in kwargs.items()}
    if holds_tracer(plain) or holds_tracer(tuple(others.values())):
        raise UnsupportedFunctionError(name)
    return shielded(f(*plain, **others), ())


def ufunc_name(ufunc: np.ufunc) -> str:
    """What the user calls a ufunc, which does not know its module: `np.sin`, `scipy.special.erf`."""
    for module, name in (("numpy", "np"), ("scipy.special", "scipy.special")):
        if getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc:
            return f"{name}.{ufunc.__name__}"
    return ufunc.__name__


def _without_handles(x: Any) -> Any:
    return type(x)([_without_handles(item) for item in x]) if type(x) in (list, tuple) else held(x)


def holds_tracer(x: Any) -> bool:
    """Whether there is a tracer (or a handle) in nested lists and tuples."""
    return any(map(holds_tracer, x)) if isinstance(x, (list, tuple)) else type(x) is Tracer


# What is surely an operand of a primitive, so that nobody needs to look closer.
OPERANDS = frozenset({Tracer, np.ndarray, int, float, complex, bool, np.float64, np.float32, np.int64, np.bool_})


def as_operand(x: Any) -> Any:
    """A ufunc's argument as an operand of a primitive: lists and other array-likes become arrays."""
    if type(x) in OPERANDS or isinstance(x, (np.ndarray, np.generic)):
        return x
    return functions[np.asarray](x)


# A ufunc makes NumPy numbers of Python's, where an operator leaves them Python's --------------------------------------


def _bind_ufunc(primitive: Primitive, inputs: Sequence[Any]) -> Any:
    """What the ufunc of a primitive gives, of operands of any kind."""
    inputs = [*map(as_operand, inputs)]
    try:
        y = bind(primitive, *inputs)
    except (ArithmeticError, ValueError, TypeError):
        if not all(map(is_weak, inputs)):
            raise
        return bind(primitive, *map(strong, inputs))
    if (type(y.value) if type(y) is Tracer else type(y)) in _SPECIAL:
        return _as_ufunc(primitive, inputs, y)
    return y


_PYTHON_NUMBERS = frozenset({bool, int, float, complex})
_SPECIAL = _PYTHON_NUMBERS | {Tracer, ShapedArray, np.complex64, np.complex128}


def _as_ufunc(primitive: Primitive, inputs: Sequence[Any], y: Any) -> Any:
    """y, an operator's result, if the ufunc gives the same; else the ufunc's."""
    if is_weak(y):
        return _bind_ufunc(primitive, [strong(x) if is_weak(x) else x for x in inputs])
    if primitive is multiply_p and y.dtype.kind == "c" and not y.shape:
        # NumPy's product of two complex scalars may differ in the last bit from its ufunc, which arrays go through.
        return bind(primitive, *[x if is_weak(x) else bind(reshape_p, x, shape=()) for x in inputs])
    return y


def is_weak(x: Any) -> bool:
    """Whether x is a Python number, traced or not."""
    while type(x) is Tracer:
        x = x.value
    return type(x) in _PYTHON_NUMBERS or (type(x) is ShapedArray and x.weak_type)


def strengthened(xs: Sequence[Any]) -> Sequence[Any]:
    """Operands of a ufunc: Python numbers become NumPy's if there is nothing else among them."""
    if not all(map(is_weak, xs)):
        return xs
    return [strong(x) for x in xs]


def strong(x: Any) -> Any:
    """A Python number, traced or not, as NumPy's."""
    dtype = get_aval(x).dtype
    return bind(cast_p if dtype.kind in "fc" else truncate_p, x, dtype=dtype)


def array_function(self: Tracer, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's protocol for everything that is no ufunc."""
    f = functions.get(function) or named_functions.get(f"{function.__module__}.{function.__name__}")
    if f is None:
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        return _of_plain_arrays(function, name, args, kwargs)
    recording = self.recording
    if recording.place is None:
        # Once for all equations of the call; from deeper down each would cost several frames.
        frame = _getframe(1)
        if not internal_files[frame.f_code.co_filename]:
            recording.place = frame.f_code, frame.f_lasti
            try:
                return f(*args, **kwargs)
            finally:
                recording.place = None
    return f(*args, **kwargs)


Tracer.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tracer.__array_function__ = array_function  # type: ignore[attr-defined]
