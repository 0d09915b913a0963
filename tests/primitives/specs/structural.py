"""Rows of `primitives/structural.py`."""

from __future__ import annotations

import numpy as np

from funcgrad.primitives import structural
from tests.spec import ALL, Spec, arrays

ROWS = [
    Spec(
        "reduce_sum-last",
        ("reduce_sum",),
        lambda x: structural.reduce_sum(x, (1,)),
        lambda x: np.sum(x, axis=1),
        lambda dtype: arrays(dtype, (4, 3)).map(lambda x: (x,)),
        ALL,
    ),
    Spec(
        "reshape-flatten",
        ("reshape",),
        lambda x: structural.reshape(x, (6,)),
        lambda x: np.reshape(x, (6,)),
        lambda dtype: arrays(dtype, (2, 3)).map(lambda x: (x,)),
        ALL,
    ),
]
