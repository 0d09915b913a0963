"""Rows of `primitives/identity.py`."""

from __future__ import annotations

from funcgrad.primitives import identity
from tests.spec import ALL, Spec, arrays

ROWS = [
    Spec(
        "stop_gradient",
        ("stop_gradient",),
        identity.stop_gradient,
        lambda x: x,
        lambda dtype: arrays(dtype).map(lambda x: (x,)),
        ALL,
        order=0,
    ),
]
