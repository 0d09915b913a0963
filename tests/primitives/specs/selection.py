"""Rows of `primitives/masking.py` and `primitives/selection.py`."""

from __future__ import annotations

import numpy as np

from funcgrad.primitives import masking
from tests.spec import ALL, Spec, broadcasting


def _with_predicate(dtype):
    return broadcasting(dtype, 3).map(lambda xs: (xs[0].real > 0, *xs[1:]))


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
]
