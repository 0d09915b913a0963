"""What a traced array is (dtype, layout, kind) and how others are made like it: astype, copy, zeros_like, asarray."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import CONSTANTS, Tracer, concrete, conversion_error
from funcgrad.numpy.aliasing import layout_of
from funcgrad.numpy.protocol import holds_tracer, implements, method
from funcgrad.primitives.shaping import stack
from funcgrad.primitives.structural import broadcast_to, cast, reshape


def as_array(x: Any) -> Any:
    """x itself if it is an array or traced; scalars and nested lists, in which there may be tracers, as arrays."""
    if type(x) is Tracer or isinstance(x, np.ndarray):
        return x
    if isinstance(x, (list, tuple)) and holds_tracer(x):
        return stack(in_common_dtype([as_array(row) for row in x]))
    return np.asarray(x)


def in_common_dtype(xs: Sequence[Any]) -> list[Any]:
    """The arrays in the dtype that NumPy promotes them to."""
    dtypes = {x.dtype for x in xs}
    if len(dtypes) == 1:
        return xs if isinstance(xs, list) else list(xs)
    dtype = np.result_type(*dtypes)
    return [cast(x, dtype) for x in xs]


def fresh(x: Any) -> Any:
    """A copy: a handle of its own on the same traced value, which in-place updates of x do not reach."""
    return Tracer(x.recording, x.id, x.value, x.place) if type(x) is Tracer else np.array(x)


def separate(y: Any, x: Any) -> Any:
    """y, or a copy where nothing was to be done and y is x."""
    return fresh(y) if y is x else y


# Dtypes ------------------------------------------------------------------------------------------------------------


def promotable(x: Any) -> Any:
    """What `np.result_type` should see of x: a Python number if x is weakly typed."""
    if type(x) is not Tracer:
        return x
    aval = get_aval(x)
    return aval.dtype.type(0).item() if aval.weak_type else aval.dtype


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    """NumPy's result_type."""
    return np.result_type(*map(promotable, arrays_and_dtypes))


@implements(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """NumPy's can_cast."""
    return np.can_cast(from_.dtype if type(from_) is Tracer else from_, to, casting)


@implements(np.min_scalar_type)
def min_scalar_type(a: Any, /) -> Any:
    """NumPy's min_scalar_type, by dtype: a traced value is not looked at."""
    return a.dtype


@implements(np.common_type)
def common_type(*arrays: Any) -> Any:
    """NumPy's common_type."""
    return np.common_type(*[np.empty(0, x.dtype) for x in arrays])


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Whether x is complex by dtype."""
    return x.dtype.kind == "c"


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Whether x is not complex by dtype."""
    return x.dtype.kind != "c"


def converted(x: Any, dtype: Any) -> Any:
    """x in another dtype, as ndarray.astype converts; x itself if it has it."""
    dtype = np.dtype(dtype)
    if type(x) is not Tracer:
        return np.asarray(x).astype(dtype, copy=False)
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        text = "Casting complex values to real discards the imaginary part"
        warnings.warn(text, np.exceptions.ComplexWarning, stacklevel=3)
    return cast(x, dtype)


@method("astype")
def array_astype(
    self: Tracer, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    """ndarray.astype: integers truncate and have no derivative."""
    if casting != "unsafe":
        np.empty(0, self.dtype).astype(dtype, casting=casting)
    y = converted(self, dtype)
    return fresh(y) if y is self and copy else y


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """NumPy's astype."""
    return x.astype(dtype, copy=copy)


# Copies --------------------------------------------------------------------------------------------------------------


@implements(np.copy)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    """NumPy's copy."""
    return fresh(a)


@method("copy")
def array_copy(self: Tracer, order: Any = "C") -> Any:
    """ndarray.copy."""
    return fresh(self)


@method("__copy__")
def array_shallow_copy(self: Tracer) -> Any:
    """What copy.copy gives: an array is copied with its elements."""
    return fresh(self)


@method("__deepcopy__")
def array_deep_copy(self: Tracer, memo: Any) -> Any:
    """What copy.deepcopy gives: the traced value, still traced."""
    return fresh(self)


@implements(np.asarray, np.asanyarray)
def asarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None) -> Any:
    """NumPy's asarray, where `like=` brings it here."""
    y = as_array(a) if dtype is None else converted(as_array(a), dtype)
    return separate(y, a) if copy else y


@implements(np.array)
def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
) -> Any:
    """NumPy's array, where `like=` brings it here."""
    y = asarray(object, dtype, copy=copy)
    return reshape(y, (1,) * (ndmin - y.ndim) + y.shape)


@implements(np.ascontiguousarray, np.asfortranarray)
def contiguous(a: Any, dtype: Any = None) -> Any:
    """NumPy's ascontiguousarray, where `like=` brings it here: how a traced array lies in memory is not kept."""
    y = asarray(a, dtype)
    return y if y.shape else reshape(y, (1,))


@implements(np.require)
def require(a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    """NumPy's require, where `like=` brings it here."""
    return asarray(a, dtype)


def assignable(x: np.ndarray[Any, Any]) -> Tracer:
    """A plain array as a handle, into which traced values can be assigned."""
    return Tracer(CONSTANTS, 0, x)


def put_into(out: Any, y: Any) -> Any:
    """`out`, an array given as `out=`, with y written to it.

    Raises:
        TracedConversionError: y is traced, and the array plain.
    """
    if type(y) is Tracer and type(out) is not Tracer:
        raise conversion_error(y, "out")
    out[...] = y
    return out


# Arrays like another -------------------------------------------------------------------------------------------------


def _like(a: Any, dtype: Any, shape: Any) -> tuple[Any, Any]:
    return a.shape if shape is None else shape, a.dtype if dtype is None else dtype


@implements(np.zeros_like)
def zeros_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """NumPy's zeros_like, into which traced values can be assigned."""
    return assignable(np.zeros(*_like(a, dtype, shape)))


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """NumPy's ones_like, into which traced values can be assigned."""
    return assignable(np.ones(*_like(a, dtype, shape)))


@implements(np.empty_like)
def empty_like(
    prototype: Any, /, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """NumPy's empty_like, into which traced values can be assigned."""
    return assignable(np.empty(*_like(prototype, dtype, shape)))


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """NumPy's full_like, into which traced values can be assigned."""
    shape, dtype = _like(a, dtype, shape)
    fill_value = as_array(fill_value)
    if type(fill_value) is not Tracer:
        return assignable(np.full(shape, fill_value, dtype))
    return broadcast_to(converted(fill_value, dtype), (shape,) if isinstance(shape, int) else tuple(shape))


# What an array says of itself ----------------------------------------------------------------------------------------


@implements(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """NumPy's shape."""
    return as_array(a).shape


@implements(np.ndim)
def ndim(a: Any) -> int:
    """NumPy's ndim."""
    return len(as_array(a).shape)


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """NumPy's size."""
    return np.size(np.broadcast_to(False, as_array(a).shape), axis)


@implements(np.shares_memory, np.may_share_memory)
def shares_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """Whether an update of one array may reach the other."""
    a, b = concrete(a), concrete(b)
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _property(name: str) -> Callable[[Callable[[Tracer], Any]], property]:
    return lambda read: method(name)(property(read))


@_property("itemsize")
def array_itemsize(self: Tracer) -> int:
    """Bytes of an element."""
    return self.dtype.itemsize


@_property("nbytes")
def array_nbytes(self: Tracer) -> int:
    """Bytes of all elements."""
    return self.size * self.dtype.itemsize


def layout(x: Any) -> np.ndarray[Any, Any]:
    """An array that lies in memory as x does; where x has no value, as if what it is a view of were in C order."""
    value = concrete(x)
    return value if isinstance(value, np.ndarray) else layout_of(x)


@_property("strides")
def array_strides(self: Tracer) -> tuple[int, ...]:
    """Bytes from element to element along each axis."""
    return layout(self).strides


@_property("flags")
def array_flags(self: Tracer) -> Any:
    """How the value lies in memory."""
    return layout(self).flags


@_property("device")
def array_device(self: Tracer) -> str:
    """Where the array is: always "cpu"."""
    return "cpu"


@method("to_device")
def array_to_device(self: Tracer, device: Any, /, *, stream: Any = None) -> Any:
    """The array itself; there is one device.

    Raises:
        ValueError: another device than "cpu" is asked for.
    """
    np.empty(0).to_device(device, stream=stream)
    return self


@_property("base")
def array_base(self: Tracer) -> None:
    """A traced array owns its elements."""
    return None


def _no_memory(name: str) -> None:
    def read(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        if self.recording is CONSTANTS:
            return getattr(self.value, name)(*args, **kwargs)
        raise conversion_error(self, "__array__")

    read.__name__ = name
    method(name)(read)


for _name in ("view", "tobytes", "tofile", "dump", "dumps", "getfield", "byteswap", "newbyteorder", "setflags"):
    _no_memory(_name)
