"""Rows of `primitives/structural.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.primitives import structural
from tests.spec import ALL, FLOATS, NONEMPTY_SHAPES, Spec, arrays


def _one(shape: Any = NONEMPTY_SHAPES) -> Any:
    return lambda dtype: arrays(dtype, shape).map(lambda x: (x,))


def _to_real(x: Any) -> Any:
    return np.asarray(np.real(x).astype(np.float64))[()]


ROWS = [
    Spec(
        "cast-single",
        ("cast",),
        lambda x: structural.cast(x, np.float32),
        lambda x: np.real(x).astype(np.float32)[()],
        _one(),
        (np.float32, np.complex64),
    ),
    Spec("cast-double", ("cast",), lambda x: structural.cast(x, np.float64), _to_real, _one(), ALL),
    Spec(
        "cast-complex",
        ("cast",),
        lambda x: structural.cast(x, np.complex128),
        lambda x: np.asarray(x).astype(np.complex128)[()],
        _one(),
        ALL,
    ),
    Spec(
        "truncate",
        ("truncate",),
        lambda x: structural.cast(x, np.int32),
        lambda x: np.asarray(x).astype(np.int32)[()],
        _one(),
        FLOATS,
        order=0,
    ),
    Spec(
        "truncate-truth",
        ("truncate",),
        lambda x: structural.cast(x, np.bool_),
        lambda x: np.asarray(x).astype(np.bool_)[()],
        _one(),
        ALL,
        order=0,
    ),
    *[
        Spec(
            f"reshape-{'x'.join(map(str, shape)) or 'scalar'}-{'x'.join(map(str, new)) or 'scalar'}",
            ("reshape",),
            lambda x, new=new: structural.reshape(x, new),
            lambda x, new=new: np.reshape(x, new),
            _one(shape),
            ALL,
        )
        for shape, new in (((2, 3), (6,)), ((4, 3), (2, 1, 6)), ((), (1, 1)), ((1,), ()), ((2, 0), (0, 3)))
    ],
    *[
        Spec(
            f"transpose-{''.join(map(str, axes))}",
            ("transpose",),
            lambda x, axes=axes: structural.transpose(x, axes),
            lambda x, axes=axes: np.transpose(x, axes),
            _one((2, 1, 3)),
            ALL,
        )
        for axes in ((0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0))
    ],
    *[
        Spec(
            f"broadcast-{'x'.join(map(str, shape)) or 'scalar'}",
            ("broadcast",),
            lambda x: structural.broadcast_to(x, (2, 4, 3)),
            lambda x: np.broadcast_to(x, (2, 4, 3)),
            _one(shape),
            ALL,
        )
        for shape in ((), (3,), (4, 1), (2, 1, 3), (1, 1, 1), (2, 4, 3))
    ],
    Spec(
        "broadcast-large",
        ("broadcast",),
        lambda x: structural.broadcast_to(x, (70, 70)),
        lambda x: np.broadcast_to(x, (70, 70)),
        _one(()),
    ),
    *[
        Spec(
            f"reduce_sum-{''.join(map(str, axes)) or 'none'}{'-keepdims' if keepdims else ''}",
            ("reduce_sum",),
            lambda x, axes=axes, keepdims=keepdims: structural.reduce_sum(x, axes, keepdims),
            lambda x, axes=axes, keepdims=keepdims: np.sum(x, axis=axes, keepdims=keepdims),
            _one((4, 2, 3)),
            ALL,
        )
        for axes in ((), (1,), (2,), (0, 2), (0, 1, 2))
        for keepdims in (False, True)
    ],
    Spec(
        "reduce_sum-empty",
        ("reduce_sum",),
        lambda x: structural.reduce_sum(x, (0,)),
        lambda x: np.sum(x, axis=0),
        _one((0, 3)),
        ALL,
    ),
    Spec(
        "reduce_sum-dtype",
        ("reduce_sum",),
        lambda x: structural.reduce_sum(x, (1,), dtype=np.float64),
        lambda x: np.sum(x, axis=1, dtype=np.float64),
        _one((4, 3)),
        FLOATS,
    ),
]
