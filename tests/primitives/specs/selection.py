"""Rows of `primitives/masking.py` and `primitives/selection.py`."""

from __future__ import annotations

import numpy as np

from funcgrad.primitives import masking, selection
from tests.spec import ALL, FLOATS, Spec, arrays, broadcasting


def _with_predicate(dtype):
    return broadcasting(dtype, 3).map(lambda xs: (xs[0].real > 0, *xs[1:]))


def _in_each_order(dtype):
    """Three arrays whose elements come in every order and are nowhere close to one another."""
    return arrays(dtype, (3, 6), distinct=True).map(lambda x: (x[0].reshape(2, 3), x[1].reshape(2, 3), x[2, :3]))


ROWS = [
    Spec("select", ("select",), masking.select, np.where, _with_predicate, ALL),
    Spec(
        "select-scalar-branch",
        ("select",),
        lambda p, x: masking.select(p, x, 1.0),
        lambda p, x: np.where(p, x, 1.0),
        lambda dtype: broadcasting(dtype, 2).map(lambda xs: (xs[0].real > 0, xs[1])),
        ALL,
    ),
    Spec(
        "select-two-precisions",
        ("select",),
        masking.select,
        np.where,
        lambda dtype: _with_predicate(dtype).map(lambda xs: (xs[0], xs[1], xs[2].astype(np.complex64))),
        ALL,
    ),
    Spec(
        "clip",
        ("clip",),
        lambda x: selection.clip(x, -0.8, 0.9),
        lambda x: np.clip(x, -0.8, 0.9),
        lambda dtype: arrays(dtype, (4, 3), distinct=True).map(lambda x: (x,)),
        FLOATS,
    ),
    Spec(
        "clip-arrays",
        ("clip",),
        selection.clip,
        np.clip,
        _in_each_order,
        FLOATS,
    ),
    Spec("clip-complex", ("clip",), selection.clip, np.clip, _in_each_order, (np.complex128, np.complex64)),
]
