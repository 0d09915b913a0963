"""Rows of `primitives/cumulative.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import cumulative
from tests.spec import ALL, FLOATS, Spec, arrays

SHAPE = (2, 3)


def alone(dtype: Any) -> Any:
    return arrays(dtype, SHAPE).map(lambda x: (x,))


def distinct(dtype: Any) -> Any:
    return arrays(dtype, SHAPE, distinct=True).map(lambda x: (x,))


def recurrence_reference(x: Any, b: Any) -> Any:
    z = np.zeros_like(b)
    for k in range(1, x.shape[0]):
        z[k] = x[k - 1] * z[k - 1] + b[k - 1]
    return z


def recurrence_reference_reversed(x: Any, b: Any) -> Any:
    return recurrence_reference(x[:, ::-1].T, b[:, ::-1].T).T[:, ::-1]


def both(shape: Any) -> Any:
    return lambda dtype: st.tuples(arrays(dtype, shape), arrays(dtype, shape))


ROWS = [
    Spec("cumsum", ("cumsum",), lambda x: cumulative.cumsum(x, 1), lambda x: np.cumsum(x, 1), alone, ALL),
    Spec(
        "cumsum-reverse",
        ("cumsum",),
        lambda x: cumulative.cumsum(x, 0, True),
        lambda x: np.cumsum(x[::-1], 0)[::-1],
        alone,
        ALL,
    ),
    Spec("cumprod", ("cumprod",), lambda x: cumulative.cumprod(x, 1), lambda x: np.cumprod(x, 1), alone, ALL),
    Spec("cumprod-first", ("cumprod",), lambda x: cumulative.cumprod(x, 0), lambda x: np.cumprod(x, 0), alone, ALL),
    Spec(
        "exclusive_cumprod",
        ("exclusive_cumprod",),
        lambda x: cumulative.exclusive_cumprod(x, 1),
        lambda x: np.cumprod(np.concatenate([np.ones_like(x[:, :1]), x[:, :-1]], 1), 1),
        alone,
        ALL,
        exact=False,  # NumPy has no such function; its complex product rounds by memory layout
    ),
    Spec(
        "exclusive_cumprod-reverse",
        ("exclusive_cumprod",),
        lambda x: cumulative.exclusive_cumprod(x, 1, True),
        lambda x: np.cumprod(np.concatenate([x[:, 1:], np.ones_like(x[:, :1])], 1)[:, ::-1], 1)[:, ::-1],
        alone,
        ALL,
        exact=False,
    ),
    Spec(
        "recurrence",
        ("recurrence",),
        lambda x, b: cumulative.recurrence(x, b, 0),
        recurrence_reference,
        both((3, 2)),
        ALL,
    ),
    Spec(
        "recurrence-vector",
        ("recurrence",),
        lambda x, b: cumulative.recurrence(x, b, 0),
        recurrence_reference,
        both((4,)),
        ALL,
        exact=False,  # Python's doubles, where the reference rounds to single precision in each step
    ),
    Spec(
        "recurrence-reverse",
        ("recurrence",),
        lambda x, b: cumulative.recurrence(x, b, 1, True),
        recurrence_reference_reversed,
        both((2, 4)),
        ALL,
    ),
    Spec(
        "cummax",
        ("cummax", "runs"),
        lambda x: cumulative.cummax(x, 1),
        lambda x: np.maximum.accumulate(x, 1),
        distinct,
        FLOATS,
    ),
    Spec(
        "cummin",
        ("cummin", "runs"),
        lambda x: cumulative.cummin(x, 0),
        lambda x: np.minimum.accumulate(x, 0),
        distinct,
        FLOATS,
    ),
]
