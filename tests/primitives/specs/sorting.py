"""Rows of `primitives/sorting.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import sorting
from tests.spec import FLOATS, Spec, arrays

SHAPE = (2, 5)


def distinct(dtype: Any) -> Any:
    return arrays(dtype, SHAPE, distinct=True).map(lambda x: (x,))


def carried(dtype: Any) -> Any:
    """Something to carry along, and the values to sort by, of which some are equal."""
    keys = arrays(np.float64, SHAPE).map(np.round)
    return st.tuples(arrays(dtype, SHAPE), keys).map(
        lambda pair: (pair[0], np.argsort(pair[1], 1, "stable"), np.sort(pair[1], 1).astype(np.int64))
    )


def reorder_reference(x: Any, order: Any, values: Any) -> Any:
    y = np.take_along_axis(x, order, 1)
    return np.stack([[np.mean(row[keys == key]) for key in keys] for row, keys in zip(y, values, strict=True)])


def inverse_reference(x: Any, order: Any, values: Any) -> Any:
    averaged = np.stack([[np.mean(row[keys == key]) for key in keys] for row, keys in zip(x, values, strict=True)])
    return np.take_along_axis(averaged, np.argsort(order, 1), 1)


def sorted_and_values(dtype: Any) -> Any:
    return st.tuples(arrays(dtype, (5,), distinct=True).map(np.sort), arrays(dtype, (2, 3)))


def bins_and_weights(dtype: Any) -> Any:
    bins = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 4, 6))
    return st.tuples(bins, arrays(dtype, (6,)))


ROWS = [
    Spec("sort-last", ("sort",), lambda x: sorting.sort(x, 1), lambda x: np.sort(x, 1), distinct, FLOATS),
    Spec("sort-first", ("sort",), lambda x: sorting.sort(x, 0), lambda x: np.sort(x, 0), distinct, FLOATS),
    Spec(
        "partition",
        ("partition",),
        lambda x: sorting.partition(x, (1, 3), 1),
        lambda x: np.partition(x, (1, 3), 1),
        distinct,
        FLOATS,
    ),
    Spec("reorder", ("reorder",), lambda *xs: sorting.reorder(*xs, 1), reorder_reference, carried, FLOATS, exact=False),
    Spec(
        "reorder-inverse",
        ("reorder",),
        lambda *xs: sorting.reorder(*xs, 1, inverse=True),
        inverse_reference,
        carried,
        FLOATS,
        exact=False,
    ),
    Spec("argsort", ("argsort",), lambda x: sorting.argsort(x, 1), lambda x: np.argsort(x, 1), distinct, order=0),
    Spec(
        "argpartition",
        ("argpartition",),
        lambda x: sorting.argpartition(x, (2,), 1),
        lambda x: np.argpartition(x, 2, 1),
        distinct,
        order=0,
    ),
    Spec(
        "lexsort",
        ("lexsort",),
        lambda x1, x2: sorting.lexsort((x1, x2), 1),
        lambda x1, x2: np.lexsort((x1, x2), 1),
        lambda dtype: st.tuples(arrays(dtype, SHAPE), arrays(dtype, SHAPE).map(np.round)),
        order=0,
    ),
    Spec(
        "searchsorted",
        ("searchsorted",),
        lambda x, v: sorting.searchsorted(x, v, "right"),
        lambda x, v: np.searchsorted(x, v, "right"),
        sorted_and_values,
        order=0,
    ),
    Spec(
        "bincount",
        ("bincount",),
        lambda bins, weights: sorting.bincount(bins, weights, 4),
        lambda bins, weights: np.bincount(bins, weights, 4),
        bins_and_weights,
        (np.float64,),
    ),
]
