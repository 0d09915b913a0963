"""Results that leave a transformation: fresh arrays that nobody else holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.core.tree import tree_flatten, tree_unflatten


def fresh(values: Sequence[Any], taken: Sequence[Any] = ()) -> list[Any]:
    """Each value as a writable, contiguous array that shares no memory with another, nor with one of `taken`."""
    owners = {id(_owner(x)) for x in taken if type(x) is np.ndarray}
    results = []
    for x in values:
        if type(x) is np.ndarray:
            flags = x.flags
            if not (flags.writeable and flags.c_contiguous) or id(_owner(x)) in owners:
                x = x.copy(order="C")
            owners.add(id(_owner(x)))
        results.append(x)
    return results


def _owner(x: Any) -> Any:
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def own(x: Any) -> Any:
    """An array that the caller may write to, as it is now: for what is read again after the call."""
    return x.copy() if type(x) is np.ndarray else x


def snapshot(x: Any) -> Any:
    """An array as it is now, in memory of its own but in the same layout, so that NumPy computes the same bits."""
    if type(x) is not np.ndarray:
        return x
    y = x.copy(order="K")
    if y.strides == x.strides or not x.size:
        return y
    low, high = np.lib.array_utils.byte_bounds(x)
    memory = np.empty(high - low, np.uint8)
    y = np.ndarray(x.shape, x.dtype, memory, x.ctypes.data - low, x.strides)
    y[...] = x
    return y


def zeros_for(x: Any) -> Any:
    """The zero derivative in x: x's shape, floating point."""
    aval = get_aval(x)
    dtype = aval.dtype if aval.dtype.kind in "fc" else np.dtype(float)
    return np.zeros(aval.shape, dtype)[()] if aval.shape == () else np.zeros(aval.shape, dtype)


def lower_tree(recording: Recording, tree: Any) -> Any:
    """A tree with a recording's tracers replaced by their values one level down."""
    if not isinstance(tree, Tracer):
        leaves, treedef = tree_flatten(tree)
        return tree_unflatten(treedef, [recording.lower(x)[0] for x in leaves])
    return recording.lower(tree)[0]
