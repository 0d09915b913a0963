"""Rows of `primitives/shaping.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import shaping
from tests.spec import ALL, Spec, arrays


def _one(shape: tuple[int, ...]) -> Any:
    return lambda dtype: arrays(dtype, shape).map(lambda x: (x,))


def _several(*shapes: tuple[int, ...]) -> Any:
    return lambda dtype: st.tuples(*[arrays(dtype, shape) for shape in shapes])


def _with_single_precision(dtype: Any) -> Any:
    return st.tuples(arrays(dtype, (2, 3)), arrays(np.float32, (1, 3)))


def _embed(x: Any, offset: int, matrix: tuple[int, int]) -> Any:
    y = np.zeros((*x.shape[:-1], *matrix), x.dtype)
    for i in range(x.shape[-1]):
        y[..., i + max(0, -offset), i + max(0, offset)] = x[..., i]
    return y


ROWS = [
    Spec(
        "concatenate-rows",
        ("concatenate",),
        lambda *xs: shaping.concatenate(xs, 0),
        lambda *xs: np.concatenate(xs, 0),
        _several((2, 3), (0, 3), (1, 3)),
        ALL,
    ),
    Spec(
        "concatenate-two-precisions",
        ("concatenate",),
        lambda *xs: shaping.concatenate(xs, 0),
        lambda *xs: np.concatenate(xs, 0),
        _with_single_precision,
        ALL,
    ),
    Spec(
        "concatenate-last",
        ("concatenate",),
        lambda *xs: shaping.concatenate(xs, 2),
        lambda *xs: np.concatenate(xs, 2),
        _several((2, 1, 3), (2, 1, 1)),
        ALL,
    ),
    Spec(
        "stack-scalars",
        ("stack",),
        lambda *xs: shaping.stack(xs),
        lambda *xs: np.stack(xs),
        _several((), (), ()),
        ALL,
    ),
    *[
        Spec(
            f"stack-{axis}",
            ("stack",),
            lambda *xs, axis=axis: shaping.stack(xs, axis),
            lambda *xs, axis=axis: np.stack(xs, axis),
            _several((2, 3), (2, 3)),
            ALL,
        )
        for axis in (0, 1, 2)
    ],
    Spec(
        "embed-pad",
        ("embed",),
        lambda x: shaping.pad(x, ((1, 0), (0, 2))),
        lambda x: np.pad(x, ((1, 0), (0, 2))),
        _one((2, 3)),
        ALL,
    ),
    Spec("flip", ("flip",), lambda x: shaping.flip(x, (0, 2)), lambda x: np.flip(x, (0, 2)), _one((2, 1, 3)), ALL),
    Spec("roll", ("roll",), lambda x: shaping.roll(x, (-4,), (1,)), lambda x: np.roll(x, -4, 1), _one((2, 3)), ALL),
    Spec("roll-none", ("roll",), lambda x: shaping.roll(x, (1,), (0,)), lambda x: np.roll(x, 1, 0), _one((0, 3)), ALL),
    Spec(
        "roll-two-axes",
        ("roll",),
        lambda x: shaping.roll(x, (1, 2), (1, 0)),
        lambda x: np.roll(x, (1, 2), (1, 0)),
        _one((3, 4)),
        ALL,
    ),
    *[
        Spec(
            f"diagonal-{offset}",
            ("diagonal",),
            lambda x, offset=offset: shaping.diagonal(x, offset),
            lambda x, offset=offset: np.diagonal(x, offset, -2, -1),
            _one((2, 3, 4)),
            ALL,
        )
        for offset in (0, 2, -1, 4, -5)
    ],
    *[
        Spec(
            f"embed_diagonal-{offset}",
            ("embed_diagonal",),
            lambda x, offset=offset, matrix=matrix: shaping.embed_diagonal(x, offset, matrix),
            lambda x, offset=offset, matrix=matrix: _embed(x, offset, matrix),
            _one((2, 3)),
            ALL,
        )
        for offset, matrix in ((0, (3, 3)), (1, (3, 4)), (-2, (5, 3)))
    ],
]
