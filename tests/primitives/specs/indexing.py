"""Rows of `primitives/indexing.py`, `primitives/scattering.py` and `primitives/unstacking.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import indexing, scattering, unstacking
from funcgrad.primitives.index import ARRAY, Index
from tests.spec import ALL, FLOATS, Spec, arrays

PAIR = Index((ARRAY, ARRAY))
MIDDLE = Index(((1, 4, 1), ARRAY))
APART = Index((ARRAY, (0, 2, 1), 1, None, ARRAY))
BACKWARDS = Index(((3, None, -2), None, 2))


def one(dtype: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    return arrays(dtype, shape).map(lambda x: (x,))


def indices(shape: tuple[int, ...], *sizes: int) -> st.SearchStrategy[Any]:
    """Arrays of a shape into axes of these sizes, negative and repeated ones among them."""

    def build(seed: int) -> Any:
        rng = np.random.default_rng(seed)
        return tuple(rng.integers(-n, n, shape) for n in sizes)

    return st.builds(build, st.integers(0, 2**32 - 1))


def reading(shape: tuple[int, ...], picked: tuple[int, ...], *sizes: int) -> Any:
    return lambda dtype: st.tuples(arrays(dtype, shape), indices(picked, *sizes)).map(lambda p: (p[0], *p[1]))


def writing(shape: tuple[int, ...], updates: tuple[int, ...], picked: tuple[int, ...], *sizes: int) -> Any:
    """Whatever is to be compared is distinct."""

    def build(dtype: Any) -> Any:
        def split(pair: Any) -> Any:
            values, picks = pair
            size = int(np.prod(shape))
            return values[:size].reshape(shape), values[size:].reshape(updates), *picks

        both = (int(np.prod(shape)) + int(np.prod(updates)),)
        return st.tuples(arrays(dtype, both, distinct=True), indices(picked, *sizes)).map(split)

    return build


def assigned(x: Any, v: Any, index: Any) -> Any:
    y = x.copy()
    y[index] = v
    return y


def applied(ufunc: np.ufunc, x: Any, v: Any, index: Any) -> Any:
    y = x.copy()
    ufunc.at(y, index, v)
    return y


ROWS = [
    Spec(
        "basic_index",
        ("basic_index",),
        lambda x: indexing.basic_index(x, BACKWARDS),
        lambda x: x[3::-2, None, 2],
        lambda dtype: one(dtype, (4, 3)),
        ALL,
    ),
    Spec(
        "embed",
        ("embed",),
        lambda x: indexing.embed(x, BACKWARDS, (4, 3)),
        lambda x: assigned(np.zeros((4, 3), x.dtype), x, np.index_exp[3::-2, None, 2]),
        lambda dtype: one(dtype, (2, 1)),
        ALL,
    ),
    Spec(
        "gather-rows",
        ("gather",),
        lambda x, i: indexing.gather(x, Index((ARRAY,)), i),
        lambda x, i: x[i],
        reading((4, 3), (2, 3), 4),
        ALL,
    ),
    Spec(
        "gather-pair",
        ("gather",),
        lambda x, i, j: indexing.gather(x, PAIR, i, j),
        lambda x, i, j: x[i, j],
        reading((4, 3), (5,), 4, 3),
    ),
    Spec(
        "gather-middle",
        ("gather",),
        lambda x, i: indexing.gather(x, MIDDLE, i),
        lambda x, i: x[1:4, i],
        reading((4, 3, 2), (2, 2), 3),
    ),
    Spec(
        "gather-apart",
        ("gather",),
        lambda x, i, j: indexing.gather(x, APART, i, j),
        lambda x, i, j: x[i, 0:2, 1, None, j],
        reading((4, 3, 2, 3), (2,), 4, 3),
    ),
    Spec(
        "scatter_sum-rows",
        ("scatter_sum",),
        lambda x, i: indexing.scatter_sum(x, Index((ARRAY,)), (4, 3), i),
        lambda x, i: applied(np.add, np.zeros((4, 3), x.dtype), x, i),
        reading((5, 3), (5,), 4),
        ALL,
    ),
    Spec(
        "scatter_sum-apart",
        ("scatter_sum",),
        lambda x, i, j: indexing.scatter_sum(x, APART, (4, 3, 2, 3), i, j),
        lambda x, i, j: applied(np.add, np.zeros((4, 3, 2, 3), x.dtype), x, np.index_exp[i, 0:2, 1, None, j]),
        reading((2, 2, 1), (2,), 4, 3),
    ),
    Spec(
        "gather_last",
        ("gather_last",),
        lambda x, i: scattering.gather_last(x, Index((ARRAY,)), i),
        lambda x, i: np.stack([x[k] * (k % 4 not in i[n + 1 :] % 4) for n, k in enumerate(i)]),
        reading((4, 3), (5,), 4),
        ALL,
    ),
    Spec(
        "scatter_set-slice",
        ("scatter_set",),
        lambda x, v: scattering.scatter_set(x, v, BACKWARDS),
        lambda x, v: assigned(x, v, np.index_exp[3::-2, None, 2]),
        writing((4, 3), (2, 1), ()),
        ALL,
    ),
    Spec(
        "scatter_set-middle",
        ("scatter_set",),
        lambda x, v, i: scattering.scatter_set(x, v, MIDDLE, i),
        lambda x, v, i: assigned(x, v, np.index_exp[1:4, i]),
        writing((4, 3), (3, 5), (5,), 3),
        ALL,
    ),
    Spec(
        "scatter_add-slice",
        ("scatter_add",),
        lambda x, v: scattering.scatter_add(x, v, BACKWARDS),
        lambda x, v: applied(np.add, x, v, np.index_exp[3::-2, None, 2]),
        writing((4, 3), (2, 1), ()),
        ALL,
    ),
    Spec(
        "scatter_add-middle",
        ("scatter_add",),
        lambda x, v, i: scattering.scatter_add(x, v, MIDDLE, i),
        lambda x, v, i: applied(np.add, x, v, np.index_exp[1:4, i]),
        writing((4, 3), (3, 5), (5,), 3),
        ALL,
    ),
    Spec(
        "scatter_min",
        ("scatter_min",),
        lambda x, v, i: scattering.scatter_min(x, v, MIDDLE, i),
        lambda x, v, i: applied(np.minimum, x, v, np.index_exp[1:4, i]),
        writing((4, 3), (3, 5), (5,), 3),
        FLOATS,
    ),
    Spec(
        "scatter_max",
        ("scatter_max",),
        lambda x, v, i: scattering.scatter_max(x, v, MIDDLE, i),
        lambda x, v, i: applied(np.maximum, x, v, np.index_exp[1:4, i]),
        writing((4, 3), (3, 5), (5,), 3),
        FLOATS,
    ),
    Spec("unstack", ("unstack",), unstacking.unstack, tuple, lambda dtype: one(dtype, (4, 3)), ALL),
    Spec("unstack-vector", ("unstack",), unstacking.unstack, tuple, lambda dtype: one(dtype, (3,)), ALL),
]
