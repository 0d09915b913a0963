"""Sliding products of two vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import multilinear, shape_of, tangent_dtype
from funcgrad.primitives.shaping import flip, pad
from funcgrad.primitives.structural import broadcast_to, cast, moveaxis

# correlate: y[k] = sum over n of x1[n + k + first] x2[n], the ks that `mode` asks for -------------------------------
#
# Without conjugation, so that it is linear in both. With `mode="full"` k runs over all overlaps, of which the other
# modes keep a part; so a cotangent, padded to all overlaps, goes back through two correlations of mode "valid".


def kept_overlaps(n1: int, n2: int, mode: str) -> tuple[int, int]:
    """First and number of the n1 + n2 - 1 overlaps that NumPy keeps in a mode."""
    short, long = sorted((n1, n2))
    if mode == "full":
        return 0, n1 + n2 - 1
    if mode == "valid":
        return short - 1, long - short + 1
    first = short - 1 - short // 2
    # With the shorter vector first NumPy exchanges the two and reads the result backwards.
    return first if n1 >= n2 else n1 + n2 - 1 - long - first, long


def _correlate_implementation(x1: Any, x2: Any, mode: Any) -> Any:
    if x1.ndim == x2.ndim == 1:
        return np.correlate(x1, x2.conj(), mode)
    rows1, rows2 = (x.reshape(-1, x.shape[-1]) for x in (x1, x2))
    rows = [np.correlate(row1, row2.conj(), mode) for row1, row2 in zip(rows1, rows2, strict=True)]
    length = kept_overlaps(x1.shape[-1], x2.shape[-1], mode)[1]
    return np.array(rows, np.result_type(x1, x2)).reshape(*x1.shape[:-1], length)


def _correlate_abstract(x1: ShapedArray, x2: ShapedArray, mode: str) -> ShapedArray:
    if x1.size == 0 or x2.size == 0:
        np.correlate(np.empty(x1.shape[-1]), np.empty(x2.shape[-1]))  # NumPy's error: nothing to slide
    length = kept_overlaps(x1.shape[-1], x2.shape[-1], mode)[1]
    return ShapedArray((*x1.shape[:-1], length), np.result_type(x1.dtype, x2.dtype))


def _all_overlaps(ct: Any, n1: int, n2: int, mode: str) -> Any:
    first, length = kept_overlaps(n1, n2, mode)
    return pad(ct, (*((0, 0),) * (len(shape_of(ct)) - 1), (first, n1 + n2 - 1 - first - length)))


def _correlate_transpose_left(ct: Any, x1: Any, x2: Any, mode: str) -> Any:
    last = len(shape_of(x2)) - 1
    overlaps = _all_overlaps(ct, shape_of(x1)[-1], shape_of(x2)[-1], mode)
    return cast(correlate(overlaps, flip(x2, (last,)), "valid"), tangent_dtype(x1))


def _correlate_transpose_right(ct: Any, x1: Any, x2: Any, mode: str) -> Any:
    last = len(shape_of(x2)) - 1
    overlaps = _all_overlaps(ct, shape_of(x1)[-1], shape_of(x2)[-1], mode)
    return cast(flip(correlate(overlaps, x1, "valid"), (last,)), tangent_dtype(x2))


def _correlate_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    rows = [
        broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
        for x, dim in zip(xs, dims, strict=True)
    ]
    return bind(correlate_p, *rows, **params), 0


correlate_p = multilinear(
    "correlate",
    implementation=_correlate_implementation,
    abstract=_correlate_abstract,
    transposes=(_correlate_transpose_left, _correlate_transpose_right),
    batch=_correlate_batch,
)


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The products of x2 with the stretches of x1, both vectors (or equally many rows of them), not conjugated.

    Args:
        x1: The vector that x2 slides along.
        x2: The other one.
        mode: "full", "same" or "valid": which overlaps are kept, as in `np.correlate`.
    """
    return bind(correlate_p, x1, x2, mode=mode)
