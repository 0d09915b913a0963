"""Traced arrays that are filled in place, element by element: a loop of writes costs memory once, not once a write.

Each write is an equation. If each kept the array as it was before and after, n writes into n elements would keep n*n
elements alive. But the rules of reading and writing by index ask for shapes and dtypes only, so of an array that is
written to the equations need to keep no more; and when nobody but the handle refers to the array any longer, the next
write can go into the same memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.source import current_place
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.aliasing import ALONE
from funcgrad.primitives.index import Index
from funcgrad.primitives.indexing import basic_index_p
from funcgrad.primitives.scattering import scatter_set_p


def forget_read(x: Tracer, y: Any) -> None:
    """Drop the values of the equation that has just read y from x, an array that is written to.

    y gets memory of its own: NumPy's view would hold on to all of x. What it shares with x follows from its alias.
    """
    equations = x.recording.equations
    if not equations or x.recording.abstract:
        return
    primitive, params, _, ids, _, first, place = equations[-1]
    if primitive is basic_index_p and ids[0] == x.id and first == y.id:
        value = y.value
        if type(value) is np.ndarray:
            y.value = value.copy()
        equations[-1] = (primitive, params, (x.alias.written_to,), ids, get_aval(value), first, place)


def write_alone(x: Tracer, index: Index, shape: tuple[int, ...], v: Any) -> bool:
    """Record and do `x[index] = v` in x's own memory, if nothing else refers to it and v needs no preparation.

    Returns:
        Whether it was done.
    """
    alias, recording = x.alias, x.recording
    if alias is None or alias.written_to is None or alias.base is not None or alias.has_views():
        return False
    if recording.nested or recording.abstract or recording.equations is None:
        return False
    if type(x.value) is not np.ndarray or sys.getrefcount(x.value) > ALONE or x.value.base is not None:
        return False
    number = None
    if type(v) is Tracer:
        if v.recording is not recording or v.dtype != x.dtype:
            return False
        v, number = v.value, v.id
    if np.shape(v) != shape or type(v) is complex:
        return False
    x.value[index.native] = v
    aval, first = alias.written_to, recording.size
    x.place = recording.place or current_place()
    recording.equations.append((scatter_set_p, {"index": index}, (aval, v), (x.id, number), aval, first, x.place))
    x.id, recording.size = first, first + 1
    return True
