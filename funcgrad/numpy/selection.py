"""NumPy's functions that choose among arrays: where, select, choose, piecewise, clip, extract, compress."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, fresh, promotable
from funcgrad.numpy.joining import stored
from funcgrad.numpy.protocol import implements, method
from funcgrad.numpy.views import ravel
from funcgrad.primitives import arithmetic, selection, shaping
from funcgrad.primitives.masking import select as select_
from funcgrad.primitives.structural import cast

NOTHING: Any = np._NoValue
_BOOL = np.dtype(np.bool_)
_NUMBERS = (np.ndarray, np.generic, int, float, complex)


def _operand(x: Any) -> Any:
    """x as a primitive's operand: Python numbers stay weak."""
    return x if type(x) is Tracer or isinstance(x, _NUMBERS) else as_array(x)


def _predicate(condition: Any) -> Any:
    """A condition as an array of booleans: whether it is nonzero."""
    condition = as_array(condition)
    return condition if condition.dtype is _BOOL else cast(condition, _BOOL)


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """NumPy's where: the branch that is not taken has no influence on a derivative."""
    if x is None or y is None:
        if x is not y:
            raise ValueError("either both or neither of x and y should be given")
        return np.nonzero(condition)
    return select_(_predicate(condition), _operand(x), _operand(y))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """NumPy's select."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if len(condlist) == 0:
        raise ValueError("select with an empty condition list is not possible")
    conditions = [as_array(condition) for condition in condlist]
    for i, condition in enumerate(conditions):
        if condition.dtype != _BOOL:
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")
    choices = [_operand(choice) for choice in (*choicelist, default)]
    dtype = np.result_type(*map(promotable, choices))
    *choices, y = (cast(choice, dtype) for choice in choices)
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        y = select_(condition, choice, y)
    return y


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """NumPy's choose."""
    a, arrays = as_array(a), [as_array(choice) for choice in choices]
    count = len(arrays)
    if type(a) is not Tracer:
        np.choose(a, [np.False_] * count, mode=mode)  # type: ignore[call-overload]
    if mode != "raise":
        a = a % count if mode == "wrap" else np.clip(a, 0, count - 1)
    np.broadcast_shapes(*[x.shape for x in arrays], a.shape)
    dtype = np.result_type(*[x.dtype for x in arrays])
    *arrays, y = (cast(x, dtype) for x in arrays)
    for i in reversed(range(count - 1)):
        y = select_(a == i, arrays[i], y)
    return stored(select_(a == a, y, y) if count == 1 else y, out)


@method("choose")
def array_choose(self: Tracer, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """ndarray.choose."""
    return choose(self, choices, out, mode)


# piecewise -----------------------------------------------------------------------------------------------------------


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """NumPy's piecewise: each function sees the elements where its condition holds; all, where that is not known."""
    x = as_array(x)
    if np.isscalar(condlist) or (x.ndim != 0 and not isinstance(condlist[0], list) and np.ndim(condlist[0]) == 0):
        condlist = [condlist]
    conditions = [_predicate(as_array(condition)) for condition in condlist]
    count = len(funclist)
    if len(conditions) == count - 1:
        neither = conditions[0]
        for condition in conditions[1:]:
            neither = neither | condition
        conditions.append(~neither)
    elif len(conditions) != count:
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or "
            f"{len(conditions) + 1} functions are expected"
        )
    y = np.zeros(x.shape, x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        y = _piece(x, y, condition, function, args, kw)
    return y


def _piece(x: Any, y: Any, condition: Any, function: Any, args: Any, kw: Any) -> Any:
    """y, with one piece's values where its condition holds."""
    if not callable(function):
        return select_(condition, cast(function, x.dtype), y)
    if type(condition) is Tracer:
        return select_(condition, cast(function(x, *args, **kw), x.dtype), y)
    if not condition.any():
        return y
    condition = np.broadcast_to(condition, x.shape)
    values = cast(ravel(function(x[condition], *args, **kw)), x.dtype)
    # Elements of y where the condition does not hold, followed by the values, in their places.
    places = np.arange(y.size).reshape(y.shape)
    places[condition] = y.size + np.arange(np.count_nonzero(condition)) % values.shape[0]
    return shaping.concatenate([ravel(y), values])[places]


# clip ----------------------------------------------------------------------------------------------------------------


@implements(np.clip)
def clip(
    a: Any,
    a_min: Any = NOTHING,
    a_max: Any = NOTHING,
    out: Any = None,
    *,
    min: Any = NOTHING,
    max: Any = NOTHING,
    **kwargs: Any,
) -> Any:
    """NumPy's clip."""
    if a_min is NOTHING and a_max is NOTHING:
        a_min, a_max = (None if bound is NOTHING else bound for bound in (min, max))
    elif a_min is NOTHING or a_max is NOTHING or min is not NOTHING or max is not NOTHING:
        np.clip(np.empty(0), a_min, a_max, min=min, max=max)
    if kwargs:
        raise UnsupportedFunctionError(f"np.clip({next(iter(kwargs))}=)")
    a = as_array(a)
    low, high = (None if bound is None else _operand(bound) for bound in (a_min, a_max))
    if a.dtype.kind in "iu":
        low = None if type(low) is int and low <= np.iinfo(a.dtype).min else low
        high = None if type(high) is int and high >= np.iinfo(a.dtype).max else high
    if low is None:
        y = fresh(a) if high is None else arithmetic.minimum(a, high)
    else:
        y = arithmetic.maximum(a, low) if high is None else selection.clip(a, low, high)
    return stored(y, out)


@method("clip")
def array_clip(self: Tracer, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
    """ndarray.clip."""
    return clip(self, min, max, out, **kwargs)


# by a mask -----------------------------------------------------------------------------------------------------------


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """NumPy's compress."""
    a, condition = as_array(a), as_array(condition)
    if condition.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, len(a.shape))
    (rows,) = np.nonzero(condition)
    return stored(a[(*(slice(None),) * axis, rows)], out)


@method("compress")
def array_compress(self: Tracer, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """ndarray.compress."""
    return compress(condition, self, axis, out)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """NumPy's extract."""
    return ravel(arr)[np.nonzero(ravel(condition))[0]]
