"""`select`, and the cotangents that it leaves: defined only where something was selected.

`where(x > 0, log(x), 0.)` is constant at 0, though log has no derivative there: what is not selected has no
influence, whatever its own derivative. A cotangent that comes out of `select` therefore keeps the mask beside it, as
a symbolic zero element by element. Elementwise maps act on the value and leave the mask alone, so that the 0/0 of an
unselected element is dropped in the end and never read; no number is ever tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import NO_PARAMS, Primitive, bind
from funcgrad.core.tracing import Tracer
from funcgrad.primitives.strict import Rule, shape_of, tangent_dtype, zeros_like
from funcgrad.primitives.structural import (
    batch_to_rank,
    broadcast_shapes,
    broadcast_to,
    cast,
    settle,
    unbroadcast,
)


class Later:
    """A boolean array that is computed when it is first asked for: most masks never are."""

    __slots__ = ("_array", "_compute")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._array: Any = None
        self._compute: Callable[[], Any] | None = compute

    def array(self) -> Any:
        """The array."""
        if self._compute is not None:
            self._array, self._compute = self._compute(), None
        return self._array


class Masked:
    """A cotangent that is zero where its mask is False.

    Attributes:
        value: The cotangent; where the mask is False it may be anything, unless `clean`.
        mask: A boolean array that broadcasts to the value, or `Later` one.
        clean: Whether the value is zero where the mask is False.
    """

    __slots__ = ("clean", "mask", "value")

    # An array leaves `array + masked` to the class.
    __array_ufunc__ = None

    def __init__(self, value: Any, mask: Any, clean: bool = False) -> None:
        self.value = value
        self.mask = mask
        self.clean = clean

    def where(self) -> Any:
        """The mask."""
        return self.mask.array() if type(self.mask) is Later else self.mask

    def selected(self) -> Any:
        """The cotangent as an array."""
        if not self.clean:
            mask = self.where()
            if type(mask) is np.bool_:
                self.value = self.value if mask else zeros_like(self.value)[()]
            else:
                self.value = select(mask, self.value, 0.0)
            self.clean = True
        return self.value

    def __add__(self, other: Any) -> Any:
        if type(other) is not Masked:
            return self.selected() + other
        either = self.mask if self.mask is other.mask else Later(lambda: self.where() | other.where())
        return Masked(self.selected() + other.selected(), either, clean=True)

    __radd__ = __add__


def selected(ct: Any) -> Any:
    """A cotangent (None: zero) as an array, whether it is masked or not."""
    return ct.selected() if type(ct) is Masked else ct


def settle_masked(ct: Masked, x: Any) -> Masked:
    """A masked cotangent of the broadcast x as one of x itself; an element repeated counts if any copy does."""
    shape, ct_shape, dtype = shape_of(x), shape_of(ct.value), tangent_dtype(x)
    if ct_shape == shape:
        return ct if ct.value.dtype is dtype else Masked(cast(ct.value, dtype), ct.mask, ct.clean)
    any_copy = Later(lambda: cast(unbroadcast(broadcast_to(ct.where(), ct_shape), shape), np.bool_))
    return Masked(settle(ct.selected(), x), any_copy, clean=True)


def masked_vjp(
    primitive: Primitive,
    vjp: Rule,
    ct: Masked,
    y: Any,
    xs: Sequence[Any],
    ids: Sequence[int | None],
    params: dict[str, Any],
) -> Sequence[Any]:
    """What `vjp`, a primitive's rule, makes of a masked cotangent: masked cotangents of the operands, if it can be."""
    if primitive is select_p:
        return vjp(ct, y, xs, ids, params)
    if primitive.derivatives is not None:
        return _elementwise_vjp(primitive.derivatives, ct, y, xs, ids, params)
    x_cts = vjp(ct.selected(), y, xs, ids, params)
    if not primitive.structural:
        return x_cts
    marks = Later(lambda: vjp(broadcast_to(ct.where(), shape_of(y)), y, xs, ids, params))

    def mask(i: int) -> Later:
        return Later(lambda: cast(marks.array()[i], np.bool_))

    return [None if x_ct is None else Masked(x_ct, mask(i), clean=True) for i, x_ct in enumerate(x_cts)]


def _elementwise_vjp(
    derivatives: Sequence[Rule | None],
    ct: Masked,
    y: Any,
    xs: Sequence[Any],
    ids: Sequence[int | None],
    params: dict[str, Any],
) -> list[Masked | None]:
    x_cts: list[Masked | None] = []
    with np.errstate(all="ignore"):  # nobody asked for the unselected elements
        for derivative, x, number in zip(derivatives, xs, ids, strict=True):
            if number is None or derivative is None:
                x_cts.append(None)
            else:
                value = derivative(ct.value, y, *xs, **params)
                x_cts.append(settle_masked(ct if value is ct.value else Masked(value, ct.mask), x))
    return x_cts


# select: y = x1 where the predicate is true, x2 where not; broadcasts ------------------------------------------------

_PYTHON_SCALARS: dict[str, Any] = {"b": False, "i": 0, "f": 0.0, "c": 0j}


def _select_abstract(pred: ShapedArray, x1: ShapedArray, x2: ShapedArray) -> ShapedArray:
    kinds = [_PYTHON_SCALARS[x.dtype.kind] if x.weak_type else x.dtype for x in (x1, x2)]
    return ShapedArray(broadcast_shapes([pred.shape, x1.shape, x2.shape]), np.result_type(*kinds))


def _select_jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    _, x1_dot, x2_dot = tangents
    if x1_dot is None and x2_dot is None:
        return None
    y_dot = select(xs[0], 0.0 if x1_dot is None else x1_dot, 0.0 if x2_dot is None else x2_dot)
    return cast(broadcast_to(y_dot, shape_of(y)), tangent_dtype(y))


def _select_vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
    pred, x1, x2 = xs
    value, outer = (ct.value, ct.where()) if type(ct) is Masked else (ct, None)

    def branch(mask: Any, x: Any) -> Masked:
        return settle_masked(Masked(value, mask if outer is None else mask & outer), x)

    return (
        None,
        None if ids[1] is None else branch(pred, x1),
        None if ids[2] is None else branch(~pred, x2),
    )


def _select_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    rank = max(len(shape_of(x)) - (dim is not None) for x, dim in zip(xs, dims, strict=True))
    return select(*[x if dim is None else batch_to_rank(x, dim, rank) for x, dim in zip(xs, dims, strict=True)]), 0


_where: Any = np.where  # looked up on the hot path

select_p = Primitive(
    "select",
    implementation=_where,
    abstract=_select_abstract,
    jvp=_select_jvp,
    vjp=_select_vjp,
    batch=_select_batch,
    is_linear=lambda active: 0 not in active,
)


def select(pred: Any, x1: Any, x2: Any) -> Any:
    """x1 where the boolean `pred` is true, x2 elsewhere; the three broadcast.

    Derivative: that of the branch taken. Of the other branch nothing passes, not even a NaN or an infinity.
    """
    if type(pred) is bool:
        pred = np.bool_(pred)
    if type(pred) is not Tracer:  # the short ways
        if type(x1) is Tracer:
            recording = x1.recording
            if recording.plain:
                capture = recording.capture
                if type(x2) is not Tracer:
                    kept = (capture(pred), x1.value, capture(x2))
                    return recording.apply(select_p, NO_PARAMS, (pred, x1.value, x2), (None, x1.id, None), kept)
                if x2.recording is recording:
                    kept = (capture(pred), x1.value, x2.value)
                    return recording.apply(select_p, NO_PARAMS, (pred, x1.value, x2.value), (None, x1.id, x2.id), kept)
        elif type(x2) is not Tracer:
            return _where(pred, x1, x2)
        elif x2.recording.plain:
            capture = x2.recording.capture
            kept = (capture(pred), capture(x1), x2.value)
            return x2.recording.apply(select_p, NO_PARAMS, (pred, x1, x2.value), (None, None, x2.id), kept)
    return bind(select_p, pred, x1, x2)
