"""Who shares elements with whom: rebinding a handle on behalf of in-place code, and keeping its views true.

An in-place update gives the handle `x` a new traced value. Where NumPy would have the update seen through other
handles, they are rebound, too: the bases of x, if x is a view, and every live view of those. A view remembers its
base and how it was made of it; a base knows its views by weak references. All of this costs nothing until a view is
made, and little until something is updated.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.deferring import Deferred, elements
from funcgrad.core.tracing import CONSTANTS, Tracer, concrete, held, innermost
from funcgrad.primitives.index import ARRAY, Index
from funcgrad.primitives.indexing import basic_index
from funcgrad.primitives.scattering import scatter_set, scatter_set_p
from funcgrad.primitives.structural import reshape

Make: TypeAlias = Callable[[Any], Any]

_PRUNING = 256  # how many more views may come before dead ones are looked for


class Alias:
    """A handle's place among those that share elements.

    Attributes:
        base: The handle of which this one is a view; None for one that is nobody's view.
        how: How it is made of the base: a function, or an `Index` into it.
        write: What the base becomes when this one is assigned a value, if that does not follow from `how`.
        views: The handles that are views of this one.
        written_to: The type of an array that is filled in place (see `buffers.py`); None for others.
        origin: What the base was when this was made of it, if that does not tell yet whether this is a view: a type or
            a deferred value.
    """

    __slots__ = ("base", "how", "origin", "views", "write", "written_to")

    def __init__(
        self,
        base: Tracer | None = None,
        how: Make | Index | None = None,
        write: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.base = base
        self.how = how
        self.write = write
        self.views: list[weakref.ref[Tracer]] = []
        self.written_to: ShapedArray | None = None
        self.origin: ShapedArray | Deferred | None = None

    def has_views(self) -> bool:
        """Whether a view of this one is still around."""
        if self.views:
            self.views = [view for view in self.views if view() is not None]
        return bool(self.views)

    def make(self, base: Any) -> Any:
        """The view, of another value of the base."""
        how: Any = self.how
        return basic_index(base, how) if type(how) is Index else how(base)

    def written(self, base: Tracer, v: Any) -> Any:
        """The base with v in place of the view."""
        if self.write is not None:
            return self.write(base, v)
        if type(self.how) is Index:
            return scatter_set(base, v, self.how)
        numbers = np.arange(base.size).reshape(base.shape)
        places = self._of_array(numbers)
        if not places.flags.writeable:
            raise ValueError("assignment destination is read-only")
        if places.size == numbers.size and places.flags.c_contiguous and np.may_share_memory(places, numbers):
            return reshape(v, base.shape)
        flat = scatter_set(reshape(base, (base.size,)), reshape(v, (v.size,)), Index((ARRAY,)), places.ravel())
        return reshape(flat, base.shape)

    def _of_array(self, x: Any) -> Any:
        return held(self.make(Tracer(CONSTANTS, 0, x)))

    def is_view(self) -> bool:
        """Whether NumPy makes a view here; where there is no value to see it by, of a base in C order."""
        if self.origin is None:
            return True
        base = layout_of(self.base) if type(self.origin) is ShapedArray else elements(self.origin)
        return np.may_share_memory(base, self._of_array(base))


def layout_of(x: Any) -> Any:
    """An array that lies in memory as x does if what it is a view of is in C order."""
    alias = x.alias
    if alias is None or alias.base is None:
        return np.empty(x.shape, x.dtype)
    return alias._of_array(layout_of(alias.base))


def view_of(x: Any, make: Make, write: Callable[[Any, Any], Any] | None = None) -> Any:
    """`make(x)`, of which NumPy makes a view of x where it can: it follows updates of x, and passes its own on.

    Args:
        make: By primitives, for a tracer at any level and for plain arrays (of which it makes NumPy's own view).
        write: From a value of x and one of the view the new value of x; needed only where elements are not simply
            moved.
    """
    y = make(x)
    return attach(y, x, make, write) if type(x) is Tracer else y


def attach(y: Any, x: Tracer, how: Make | Index, write: Callable[[Any, Any], Any] | None = None) -> Any:
    """Note that y, just made of x, is a view of it; y as a handle."""
    if type(y) is not Tracer:
        if type(y) is not np.ndarray or x.recording is not CONSTANTS:
            return y
        y = Tracer(CONSTANTS, 0, y)
    if y is x or y.alias is not None or not _may_share(y, x):
        return y
    y.alias = Alias(x, how, write)
    if type(innermost(y)) in (ShapedArray, Deferred):
        y.alias.origin = innermost(x)
    alias = x.alias
    if alias is None:
        alias = x.alias = Alias()
    alias.views.append(weakref.ref(y))
    if len(alias.views) % _PRUNING == 0:
        alias.has_views()
    return y


def _may_share(y: Any, x: Any) -> bool:
    """Whether y's value is a view of x's; without values, and where they are deferred, whether it may be."""
    x = innermost(x)
    while type(y.value) is Tracer:
        y = y.value
    if type(y.value) is Deferred and type(x) is np.ndarray:
        y.value = elements(y.value)
    y = y.value
    if type(y) in (ShapedArray, Deferred):
        return True
    if type(y) is not np.ndarray or type(x) is not np.ndarray:
        return False
    base = y.base
    return y is x or base is x or (base is not None and base is x.base) or np.may_share_memory(y, x)


def update(x: Tracer, value: Any) -> None:
    """Give a handle the value that an in-place operation has computed, of the same shape and dtype."""
    _rebind(x, value)
    _forget_write(x)
    if x.alias is not None:
        _propagate(x)


def _rebind(x: Tracer, value: Any) -> None:
    if type(value) is Tracer:
        x.recording, x.id, x.value, x.place = value.recording, value.id, value.value, value.place
    else:
        x.recording, x.id, x.value, x.place = (
            CONSTANTS,
            0,
            value if type(value) is np.ndarray else np.array(value),
            None,
        )


def _forget_write(x: Tracer) -> None:
    """Drop the values of the equation that has just written to x (see `buffers.py`)."""
    recording = x.recording
    equations = recording.equations
    if not equations or recording.abstract:
        return
    primitive, params, xs, ids, y, first, place = equations[-1]
    if primitive is not scatter_set_p or first != x.id:
        return
    if x.alias is None:
        x.alias = Alias()
    aval = x.alias.written_to = ShapedArray(y.shape, y.dtype)
    if ids[0] is not None:
        xs = (aval, *xs[1:])
    equations[-1] = (primitive, params, xs, ids, aval, first, place)


def _propagate(x: Tracer) -> None:
    done = {id(x)}
    while (alias := x.alias).base is not None and alias.is_view():
        base = alias.base
        _rebind(base, alias.written(base, x))
        _forget_write(base)
        x = base
        done.add(id(x))
    _refresh(x, done)


def _refresh(x: Tracer, done: set[int]) -> None:
    for reference in x.alias.views:
        view = reference()
        if view is None:
            continue
        if id(view) not in done:
            if not view.alias.is_view():
                continue
            _rebind(view, held(view.alias.make(x)))
        if view.alias.views:
            _refresh(view, done)


def is_number(x: Tracer) -> bool:
    """Whether x stands for a NumPy or Python number, which is immutable; without a value an array without axes does."""
    if x.shape != ():
        return False
    value = concrete(x)
    return value.shape == () if type(value) is ShapedArray else not isinstance(value, np.ndarray)


# Plain arrays in handles ---------------------------------------------------------------------------------------------


def write_plain(x: Tracer, write: Callable[[Any], Any]) -> None:
    """Apply a mutation to the plain array of a handle: in place if nothing else refers to it, else to a copy."""
    alias = x.alias
    shares = alias is not None and (alias.base is not None or alias.has_views())
    if not shares and sys.getrefcount(x.value) <= ALONE and x.value.base is None:
        write(x.value)
    else:
        value = x.value.copy(order="K")
        write(value)
        update(x, value)


ALONE = sys.getrefcount(Tracer(CONSTANTS, 0, np.zeros(1)).value)
