"""Rows of `primitives/elementwise.py`."""

from __future__ import annotations

import operator

import numpy as np

from funcgrad.primitives import elementwise
from tests.spec import ALL, Spec, arrays, broadcasting

ROWS = [
    Spec("multiply", ("multiply",), elementwise.multiply, operator.mul, broadcasting, ALL),
    Spec(
        "log",
        ("log",),
        elementwise.log,
        np.log,
        lambda dtype: arrays(dtype, low=0.2, high=3.0).map(lambda x: (x,)),
        ALL,
    ),
    Spec("tanh", ("tanh",), elementwise.tanh, np.tanh, lambda dtype: arrays(dtype).map(lambda x: (x,)), ALL),
]
