"""Rows of `primitives/reductions.py`, `extrema.py` and `softmax.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
from hypothesis import strategies as st

from funcgrad.primitives import extrema, reductions, softmax, structural
from tests.spec import ALL, FLOATS, Spec, arrays

AXES: list[tuple[int, ...]] = [(0,), (1,), (0, 2), (0, 1, 2)]
SHAPE = (2, 3, 2)


def alone(**options: Any) -> Callable[[Any], Any]:
    return lambda dtype: arrays(dtype, SHAPE, **options).map(lambda x: (x,))


def over_axes(
    name: str, primitive: Any, reference: Any, arguments: Any, dtypes: Any = ALL, **options: Any
) -> list[Spec]:
    """One row for each choice of axes, every other one with keepdims."""
    rows = []
    for i, axes in enumerate(AXES):
        keepdims = i % 2 == 1
        rows.append(
            Spec(
                f"{name}-{''.join(map(str, axes))}",
                (name,),
                lambda x, axes=axes, keepdims=keepdims: primitive(x, axes, keepdims),
                lambda x, axes=axes, keepdims=keepdims: reference(x, axis=axes, keepdims=keepdims),
                arguments,
                dtypes,
                **options,
            )
        )
    return rows


def masked(dtype: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    masks = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random((4, 3)) < 0.6)
    return st.tuples(arrays(dtype, (4, 3)), arrays(dtype, ()), masks)


def norm_reference(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sqrt(np.add.reduce((x.conj() * x).real, axis=axis, keepdims=keepdims))


def argument(name: str, primitive: Any, reference: Any) -> Spec:
    return Spec(
        name,
        (name,),
        lambda x: (primitive(x, 1), primitive(x, 0, True)),
        lambda x: (reference(x, axis=1), reference(x, axis=0, keepdims=True)),
        alone(),
        ALL,
        order=0,
    )


ROWS = [
    *over_axes("reduce_prod", reductions.reduce_prod, np.prod, alone()),
    Spec(
        "reduce_prod-initial",
        ("reduce_prod",),
        lambda x: reductions.reduce_prod(x, (1,), False, 2.5),
        lambda x: np.prod(x, axis=1, initial=2.5),
        lambda dtype: arrays(dtype, (2, 3)).map(lambda x: (x,)),
        ALL,
    ),
    Spec(
        "reduce_prod-scalar",
        ("reduce_prod",),
        lambda x: reductions.reduce_prod(x, ()),
        np.prod,
        lambda dtype: arrays(dtype, ()).map(lambda x: (x,)),
        ALL,
    ),
    Spec(
        "reduce_sum-dtype",
        ("reduce_sum",),
        lambda x: structural.reduce_sum(x, (0, 1), dtype=np.complex128),
        lambda x: np.sum(x, axis=(0, 1), dtype=np.complex128),
        alone(),
        ALL,
    ),
    Spec(
        "masked_sum",
        ("masked_sum",),
        lambda x, initial, where: reductions.masked_sum(x, (1,), False, None, initial, where),
        lambda x, initial, where: np.add.reduce(x, 1, initial=initial, where=where),
        masked,
        ALL,
    ),
    Spec(
        "masked_sum-all",
        ("masked_sum",),
        lambda x, initial, where: reductions.masked_sum(x, (0, 1), True, np.dtype(np.complex128), where=where),
        lambda x, initial, where: np.sum(x, keepdims=True, dtype=np.complex128, where=where),
        masked,
        ALL,
    ),
    *over_axes("norm", reductions.norm, norm_reference, alone(low=0.5)),
    Spec(
        "norm-flat",
        ("norm",),
        lambda x: reductions.norm(x, (0, 1, 2), False, True),
        np.linalg.norm,
        alone(low=0.5),
        ALL,
    ),
    Spec("root", ("root",), reductions.root, np.sqrt, alone(low=0.5), FLOATS),
    *over_axes("reduce_max", extrema.reduce_max, np.max, alone(distinct=True), FLOATS),
    *over_axes("reduce_min", extrema.reduce_min, np.min, alone(distinct=True), FLOATS),
    Spec(
        "shares",
        ("shares",),
        lambda x: extrema.shares(x, extrema.reduce_max(x, (1,), True), (1,)),
        lambda x: (x == x.max(1, keepdims=True)).astype(x.real.dtype),
        alone(distinct=True),
        FLOATS,
        order=0,
    ),
    argument("argmax", extrema.argmax, np.argmax),
    argument("argmin", extrema.argmin, np.argmin),
    *over_axes("reduce_any", extrema.reduce_any, np.any, alone(), order=0),
    *over_axes("reduce_all", extrema.reduce_all, np.all, alone(), order=0),
    *over_axes("count_nonzero", extrema.count_nonzero, np.count_nonzero, alone(), order=0),
    *over_axes("logsumexp", softmax.logsumexp, scipy.special.logsumexp, alone(), FLOATS, exact=False),
    *over_axes("logaddexp_reduce", softmax.logaddexp_reduce, np.logaddexp.reduce, alone(), FLOATS),
    Spec(
        "softmax",
        ("softmax",),
        lambda x: softmax.softmax(x, (1, 2)),
        lambda x: scipy.special.softmax(x, axis=(1, 2)),
        alone(),
        FLOATS,
        exact=False,
    ),
]
