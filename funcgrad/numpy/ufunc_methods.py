"""Calls of ufuncs with keywords (`out=`, `where=`, `dtype=`), and `reduce`, `accumulate`, `reduceat`, `outer`, `at`.

Whatever NumPy would refuse it refuses here itself: it is asked with small plain arrays of the same dtypes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.core.avals import get_aval
from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.tracing import Tracer, conversion_error, held
from funcgrad.numpy.aliasing import is_number, update
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import (
    array_ufunc,
    as_operand,
    functions,
    is_weak,
    strong,
    ufunc_methods,
    ufunc_name,
    ufunc_primitives,
)
from funcgrad.numpy.reductions import stored
from funcgrad.numpy.updates import operated
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import stack
from funcgrad.primitives.strict import shape_of
from funcgrad.primitives.structural import (
    broadcast_shapes,
    broadcast_to,
    cast,
    moveaxis,
    reduced_shape,
    reshape,
    transpose,
)
from funcgrad.primitives.unstacking import unstack

Dtype = np.dtype[Any]
NOTHING: Any = np._NoValue

# What an operand is where it takes no part, so that nothing is computed there that would warn or be NaN.
_HARMLESS = {"f": 0.5, "c": 0.5, "b": True}
_PYTHON_TYPES = {"i": int, "f": float, "c": complex}


def plain_call(ufunc: Any, *xs: Any) -> Any:
    """The ufunc of operands that may be traced or not."""
    for x in xs:
        if type(x) is Tracer:
            return array_ufunc(x, ufunc, "__call__", *xs)
    return ufunc(*xs)


# The call with keywords ----------------------------------------------------------------------------------------------


def call(
    ufunc: Any,
    *inputs: Any,
    out: Any = None,
    where: Any = True,
    casting: Any = "same_kind",
    order: Any = "K",
    dtype: Any = None,
    subok: bool = True,
    signature: Any = None,
) -> Any:
    """`ufunc(*inputs, out=..., where=..., dtype=...)`. Elements that `where` leaves out, and no `out` has, are 0.

    Raises:
        TracedConversionError: a traced result would be written to a plain array.
        UnsupportedFunctionError: the ufunc has no rule.
    """
    if ufunc not in ufunc_primitives and ufunc not in functions:
        raise UnsupportedFunctionError(ufunc_name(ufunc))
    outs = tuple(out or (None,) * ufunc.nout)
    xs, where = [held(as_operand(x)) for x in inputs], held(as_operand(where))
    _check_call(ufunc, xs, outs, where, casting=casting, dtype=dtype, signature=signature)
    if dtype is not None or signature is not None:
        xs = _in_loop_dtypes(ufunc, xs, dtype, signature, casting)
    if where is not True:
        xs = [x if is_weak(x) else select(where, x, _harmless(ufunc, x)) for x in xs]
    y = plain_call(ufunc, *xs)
    if ufunc.nout == 1:
        return _delivered(y, outs[0], where)
    return tuple([_delivered(part, target, where) for part, target in zip(y, outs, strict=True)])


def _harmless(ufunc: Any, x: Any) -> Any:
    return 2.0 if ufunc is np.arccosh else _HARMLESS.get(x.dtype.kind, 1)


def _check_call(ufunc: Any, xs: Sequence[Any], outs: tuple[Any, ...], where: Any, **options: Any) -> None:
    """Let NumPy raise its errors for dtypes, casts and shapes."""
    try:
        shape = broadcast_shapes([shape_of(x) for x in (*xs, where)])
        fit = all(target is None or target.shape == shape for target in outs)
    except ValueError:
        fit = False

    def stand_in(x: Any) -> Any:
        aval = get_aval(x)
        return np.ones(0, aval.dtype) if fit else np.broadcast_to(np.ones((), aval.dtype), aval.shape)

    options = {name: option for name, option in options.items() if option is not None}
    if where is not True:
        options |= {"where": stand_in(where), "out": None}
    if any(target is not None for target in outs):
        options["out"] = tuple([None if target is None else np.array(stand_in(target)) for target in outs])
    ufunc(*[get_aval(x).dtype.type(1).item() if is_weak(x) else stand_in(x) for x in xs], **options)


def _in_loop_dtypes(ufunc: Any, xs: Sequence[Any], dtype: Any, signature: Any, casting: str) -> list[Any]:
    """Operands in the dtypes of the loop that `dtype` or `signature` chooses."""
    if dtype is not None or (isinstance(signature, str) and len(signature) == 1):
        signature = (None,) * ufunc.nin + (dtype or signature,) * ufunc.nout
    elif isinstance(signature, str):
        signature = signature.replace("->", "")
    chosen = tuple([None if part is None else np.dtype(part) for part in signature])
    weak = [is_weak(x) for x in xs]
    kinds: list[Any] = [get_aval(x).dtype for x in xs]
    if not all(weak):
        kinds = [_PYTHON_TYPES.get(kind.kind, kind) if w else kind for kind, w in zip(kinds, weak, strict=True)]
    dtypes = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout), signature=chosen, casting=casting)
    return [cast(strong(x) if w else x, d) for x, w, d in zip(xs, weak, dtypes[: ufunc.nin], strict=True)]


def _delivered(y: Any, out: Any, where: Any) -> Any:
    """A result as it comes out of `where=` and `out=`."""
    if out is None:
        return y if where is True else select(where, y, y.dtype.type(0))
    y = cast(y, out.dtype)
    if where is not True:
        y = select(where, y, held(out))
    if type(out) is Tracer:
        if is_number(out):
            raise TypeError("return arrays must be of ArrayType")
        update(out, broadcast_to(y, out.shape))
    elif type(y) is Tracer:
        raise conversion_error(y, "out")
    else:
        np.copyto(out, y)
    return out


# reduce, accumulate, reduceat: where there is no primitive, one application after the other ---------------------------


def _small(x: Any, axis: int | None = None) -> Any:
    """Ones of x's dtype and rank: no axis longer than 1, but for one."""
    return np.ones([n if i == axis else min(n, 1) for i, n in enumerate(x.shape)], x.dtype)


def _reduction_dtypes(ufunc: Any, x: Any, dtype: Any, out: Any) -> tuple[Dtype, Dtype]:
    """The dtypes of the running result and of the elements."""
    if dtype is None and out is not None:
        dtype = out.dtype
    chosen = {} if dtype is None else {"signature": (np.dtype(dtype), None, None), "casting": "unsafe"}
    dtypes = ufunc.resolve_dtypes((None, x.dtype, None), **chosen, reduction=True)
    return dtypes[0], dtypes[1]


def reduce(
    ufunc: Any,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = True,
) -> Any:
    """`ufunc.reduce`."""
    x, where, (out,) = held(as_array(array)), held(as_operand(where)), out or (None,)
    options = {} if where is True else {"where": np.ones((), get_aval(where).dtype)}
    with np.errstate(all="ignore"):
        ufunc.reduce(_small(x), axis, dtype, None, bool(keepdims), initial if initial is NOTHING else 1, **options)
    dtypes = _reduction_dtypes(ufunc, x, dtype, out)
    axes = tuple(range(len(x.shape))) if axis is None else normalize_axis_tuple(axis, len(x.shape))
    rows = _rows(cast(x, dtypes[1]), axes)
    masks = [] if where is True else _rows(broadcast_to(where, x.shape), axes)
    y: Any = ufunc.identity if initial is NOTHING else initial
    y, start = (cast(rows[0], dtypes[0]), 1) if y is None else (cast(as_array(y), dtypes[0]), 0)
    for i in range(start, len(rows)):
        result = plain_call(ufunc, y, rows[i])
        y = select(masks[i], result, y) if masks else result
    shape = reduced_shape(x.shape, axes, False)
    return stored(reshape(broadcast_to(y, shape), reduced_shape(x.shape, axes, bool(keepdims))), out, ufunc.__name__)


def _rows(x: Any, axes: tuple[int, ...]) -> tuple[Any, ...]:
    """What the reduction goes over, one by one."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = (math.prod([x.shape[axis] for axis in axes]), *[x.shape[axis] for axis in kept])
    return unstack(reshape(transpose(x, (*axes, *kept)), shape))


def accumulate(ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.accumulate`."""
    x, (out,) = held(as_array(array)), out or (None,)
    ufunc.accumulate(_small(x), axis, dtype)
    axis = normalize_axis_index(axis, len(x.shape))
    dtypes = _reduction_dtypes(ufunc, x, dtype, out)
    ys: list[Any] = []
    for row in unstack(moveaxis(cast(x, dtypes[1]), axis, 0)):
        ys.append(plain_call(ufunc, ys[-1], row) if ys else cast(row, dtypes[0]))
    y = moveaxis(stack(ys), 0, axis) if ys else cast(x, dtypes[0])
    return stored(y, out, ufunc.__name__)


def reduceat(ufunc: Any, array: Any, indices: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.reduceat`, for indices that have values."""
    x, (out,) = held(as_array(array)), out or (None,)
    starts = [operator.index(i) for i in indices]
    axis = normalize_axis_index(axis, len(x.shape))
    result = ufunc.reduceat(_small(x, axis), starts, axis, dtype)
    rows, ys = moveaxis(x, axis, 0), []
    for i, stop in zip(starts, [*starts[1:], len(rows)], strict=False):
        part = rows[i : max(stop, i + 1)]
        ys.append(ufunc.reduce(part, axis=0, dtype=dtype))
    y = moveaxis(stack(ys), 0, axis) if ys else np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), result.dtype)
    return stored(y, out, ufunc.__name__)


# outer, at -----------------------------------------------------------------------------------------------------------


def outer(ufunc: Any, a: Any, b: Any, /, **options: Any) -> Any:
    """`ufunc.outer`."""
    if ufunc.nin != 2:
        ufunc.outer(1.0, 1.0)
    a, b = [strong(x) if is_weak(x) else as_array(x) for x in (a, b)]
    a = reshape(held(a), (*a.shape, *(1,) * len(b.shape)))
    return call(ufunc, a, b, **options) if options else plain_call(ufunc, a, b)


def at(ufunc: Any, a: Any, indices: Any, *operands: Any) -> None:
    """`ufunc.at`.

    Raises:
        TracedConversionError: a traced value would be written to a plain array.
    """
    if type(a) is Tracer:
        update(a, operated(a, indices, ufunc, *operands, casting="unsafe"))
        return
    for x in (held(indices), *map(held, operands)):
        if type(x) is Tracer:
            raise conversion_error(x, "out")
    ufunc.at(a, held(indices), *map(held, operands))


ufunc_methods[None, "__call__"] = call
ufunc_methods[None, "reduce"] = reduce
ufunc_methods[None, "accumulate"] = accumulate
ufunc_methods[None, "reduceat"] = reduceat
ufunc_methods[None, "outer"] = outer
ufunc_methods[None, "at"] = at
