"""What no protocol catches, under funcgrad's own names: `funcgrad.numpy.zeros(n)` takes traced values in place.

NumPy's `np.zeros(n)` is a plain array, which can hold numbers only. Inside a function that is being transformed these
functions therefore give a handle on a plain array: it behaves as the array does, and becomes traced when a traced
value is assigned to it. Elsewhere they give just what NumPy gives. Which of both it is follows from who is on the
call stack; so it holds for every thread by itself, and costs nothing where no array is made.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.tracing import CONSTANTS, Tracer
from funcgrad.numpy.arrays import as_array, assignable, converted, fresh
from funcgrad.numpy.indexing import take as take_traced
from funcgrad.numpy.protocol import holds_tracer, method
from funcgrad.primitives.structural import broadcast_to, reshape

# The rooms that call the user's function while it is recorded.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RECORDING_ROOMS = tuple(os.path.join(_PACKAGE, room, "") for room in ("api", "transforms", "control"))


class _RecordingFiles(dict[str, bool]):
    """Whether a file is in one of these rooms, remembered by name."""

    def __missing__(self, filename: str) -> bool:
        self[filename] = os.path.abspath(filename).startswith(_RECORDING_ROOMS)
        return self[filename]


_recording_files = _RecordingFiles()


def is_recording() -> bool:
    """Whether a function that is being transformed is running in this thread."""
    frame = sys._getframe(1).f_back
    while frame is not None:
        if _recording_files[frame.f_code.co_filename]:
            return True
        frame = frame.f_back
    return False


def _new(x: Any) -> Any:
    return assignable(x) if type(x) is np.ndarray and is_recording() else x


def _creator(numpy_function: Any) -> Callable[..., Any]:
    @functools.wraps(numpy_function)
    def create(*args: Any, **kwargs: Any) -> Any:
        return _new(numpy_function(*args, **kwargs))

    return create


zeros = _creator(np.zeros)
ones = _creator(np.ones)
empty = _creator(np.empty)
eye = _creator(np.eye)
identity = _creator(np.identity)
arange = _creator(np.arange)
linspace = _creator(np.linspace)
zeros_like = _creator(np.zeros_like)
ones_like = _creator(np.ones_like)
empty_like = _creator(np.empty_like)


@functools.wraps(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """NumPy's full; the value may be traced."""
    if not holds_tracer([fill_value]):
        return _new(np.full(shape, fill_value, dtype, **kwargs))
    value = as_array(fill_value)
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    return broadcast_to(value if dtype is None else converted(value, dtype), lengths)


@functools.wraps(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *args: Any, shape: Any = None, **kwargs: Any) -> Any:
    """NumPy's full_like; the value may be traced."""
    if not holds_tracer([fill_value]):
        numpy_function: Any = np.full_like
        return _new(numpy_function(a, fill_value, dtype, *args, shape=shape, **kwargs))
    return full(a.shape if shape is None else shape, fill_value, a.dtype if dtype is None else dtype)


@functools.wraps(np.array)
def array(object: Any, dtype: Any = None, *, copy: Any = True, ndmin: int = 0, **kwargs: Any) -> Any:
    """NumPy's array; traced values may be nested in lists."""
    if not holds_tracer([object]):
        return _new(np.array(object, dtype, copy=copy, ndmin=ndmin, **kwargs))
    y = _collected(object, dtype)
    y = fresh(y) if y is object and copy else y
    missing = ndmin - len(y.shape)
    return y if missing <= 0 else reshape(y, (*(1,) * missing, *y.shape))


@functools.wraps(np.asarray)
def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, **kwargs: Any) -> Any:
    """NumPy's asarray; traced values may be nested in lists."""
    if not holds_tracer([a]):
        return _new(np.asarray(a, dtype, order, copy=copy, **kwargs))
    y = _collected(a, dtype)
    return fresh(y) if y is a and copy else y


@functools.wraps(np.copy)
def copy(a: Any, order: Any = "K", subok: Any = False) -> Any:
    """NumPy's copy."""
    return fresh(a) if type(a) is Tracer else _new(np.copy(a, order, subok))


@functools.wraps(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    """NumPy's take; the indices may be traced, for which NumPy itself does not look."""
    traced = holds_tracer([a, indices, out])
    return take_traced(a, indices, axis, out, mode) if traced else np.take(a, indices, axis, out, mode)


def _collected(x: Any, dtype: Any) -> Any:
    y = as_array(x)
    y = y if dtype is None else converted(y, dtype)
    return _new(y)


# What only plain arrays have -----------------------------------------------------------------------------------------


@method("__getattr__")
def array_attribute(self: Tracer, name: str) -> Any:
    """What else NumPy's arrays have: a handle on a plain array has it, too."""
    if self.recording is CONSTANTS and not name.startswith("__"):
        return getattr(self.value, name)
    raise AttributeError(f"a traced array has no attribute {name!r}")
