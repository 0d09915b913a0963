"""Writing elements by index, without a mutation: scatter_set, scatter_add, scatter_min and scatter_max.

Each gives a new array. Updates have exactly the shape that the index selects. Where an index is repeated, additions
add up, and of assignments NumPy's last one wins: the derivative with respect to the others is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.index import Index
from funcgrad.primitives.indexing import Rows, basic_index, gather, index_abstract
from funcgrad.primitives.kinds import linear, nonlinear, tangent_dtype, zeros_like
from funcgrad.primitives.structural import cast


def _native(index: Index, arrays: Sequence[Any]) -> tuple[Any, ...]:
    return index.fill(arrays) if arrays else index.native


def _select(x: Any, index: Index, arrays: Sequence[Any]) -> Any:
    return gather(x, index, *arrays) if arrays else basic_index(x, index)


def _scatter_abstract(x: ShapedArray, v: ShapedArray, *arrays: ShapedArray, index: Index) -> ShapedArray:
    return ShapedArray(x.shape, x.dtype)


def _scatter_batch(this: Callable[[], Primitive]) -> Callable[..., tuple[Any, int]]:
    """Batching of a primitive of operands (x, updates, *index arrays)."""

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
        x, v, *arrays = xs
        rows = Rows(size, params["index"], arrays, dims[2:])
        x, v = rows.rows_first(x, dims[0]), rows.spread(v, dims[1])
        return bind(this(), x, v, *rows.arrays, index=rows.index), 0

    return batch


# gather_last: y = x[index with arrays], but zero where a later element has the same index ----------------------------


def _gather_last_implementation(x: Any, *arrays: Any, index: Index) -> Any:
    native = index.fill(arrays)
    y = x[native]
    if y.ndim == 0:
        return y
    numbers = np.arange(y.size).reshape(y.shape)
    owners = np.empty(x.shape, np.intp)
    owners[native] = numbers
    overwritten = owners[native] != numbers
    if overwritten.any():
        y[overwritten] = 0
    return y


def _gather_last_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    rows = Rows(size, params["index"], xs[1:], dims[1:])
    return rows.collect(gather_last(rows.rows_first(xs[0], dims[0]), rows.index, *rows.arrays)), 0


gather_last_p = linear(
    "gather_last",
    implementation=_gather_last_implementation,
    abstract=lambda x, *arrays, index: ShapedArray(index_abstract(index, x.shape, arrays), x.dtype),
    transpose=lambda ct, x, *arrays, index: scatter_set(zeros_like(x), ct, index, *arrays),
    batch=_gather_last_batch,
    structural=True,
)


def gather_last(x: Any, index: Index, *arrays: Any) -> Any:
    """x[index] with zeros for all but the last of those with the same index: what assignment there transposes to."""
    return bind(gather_last_p, x, *arrays, index=index)


# scatter_set: y = x, then y[index] = v -----------------------------------------------------------------------------


def _scatter_set_implementation(x: Any, v: Any, *arrays: Any, index: Index) -> Any:
    y = np.array(x)
    y[_native(index, arrays)] = v
    return y


def _scatter_set_updates(ct: Any, x: Any, v: Any, *arrays: Any, index: Index) -> Any:
    return gather_last(ct, index, *arrays) if arrays else basic_index(ct, index)


scatter_set_p: Primitive = linear(
    "scatter_set",
    implementation=_scatter_set_implementation,
    abstract=_scatter_abstract,
    transpose=(
        lambda ct, x, v, *arrays, index: scatter_set(ct, zeros_like(v), index, *arrays),
        _scatter_set_updates,
    ),
    batch=_scatter_batch(lambda: scatter_set_p),
    wrt=(0, 1),
    structural=True,
)


def scatter_set(x: Any, v: Any, index: Index, *arrays: Any) -> Any:
    """x with v assigned at an index."""
    return bind(scatter_set_p, x, v, *arrays, index=index)


# scatter_add: y = x, then y[index] += v, repeated indices adding up --------------------------------------------------


def _scatter_add_implementation(x: Any, v: Any, *arrays: Any, index: Index) -> Any:
    y = np.array(x)
    if arrays:
        np.add.at(y, index.fill(arrays), v)
    else:
        y[index.native] += v
    return y


scatter_add_p: Primitive = linear(
    "scatter_add",
    implementation=_scatter_add_implementation,
    abstract=_scatter_abstract,
    transpose=(
        lambda ct, x, v, *arrays, index: ct,
        lambda ct, x, v, *arrays, index: _select(ct, index, arrays),
    ),
    batch=_scatter_batch(lambda: scatter_add_p),
    wrt=(0, 1),
    structural=True,
)


def scatter_add(x: Any, v: Any, index: Index, *arrays: Any) -> Any:
    """x with v added at an index."""
    return bind(scatter_add_p, x, v, *arrays, index=index)


# scatter_min, scatter_max: y = x, then y[index] = the extremum of it and all v there; ties split evenly --------------


def _scatter_extremum(name: str, ufunc: np.ufunc) -> Primitive:
    def implementation(x: Any, v: Any, *arrays: Any, index: Index) -> Any:
        y = np.array(x)
        ufunc.at(y, _native(index, arrays), v)
        return y

    def shares(y: Any, x: Any, v: Any, arrays: Sequence[Any], index: Index) -> tuple[Any, Any, Any]:
        """Which of x and v attain the extremum, and how many do at each place of x."""
        x_wins = cast(x == y, tangent_dtype(x))
        v_wins = cast(v == _select(y, index, arrays), tangent_dtype(x))
        winners = scatter_add(x_wins, v_wins, index, *arrays)
        return x_wins, v_wins, winners + cast(winners == 0, tangent_dtype(x))  # none where the extremum is NaN

    def x_tangent(x_dot: Any, y: Any, x: Any, v: Any, *arrays: Any, index: Index) -> Any:
        x_wins, _, winners = shares(y, x, v, arrays, index)
        return x_dot * (x_wins / winners)

    def v_tangent(v_dot: Any, y: Any, x: Any, v: Any, *arrays: Any, index: Index) -> Any:
        _, v_wins, winners = shares(y, x, v, arrays, index)
        return scatter_add(zeros_like(x), v_dot * v_wins, index, *arrays) / winners

    primitive = nonlinear(
        name,
        implementation=implementation,
        abstract=_scatter_abstract,
        tangents=(x_tangent, v_tangent),
        batch=_scatter_batch(lambda: primitive),
    )
    return primitive


scatter_min_p = _scatter_extremum("scatter_min", np.minimum)
scatter_max_p = _scatter_extremum("scatter_max", np.maximum)


def scatter_min(x: Any, v: Any, index: Index, *arrays: Any) -> Any:
    """x with the minimum of itself and v at an index. Derivative at ties: split evenly."""
    return bind(scatter_min_p, x, v, *arrays, index=index)


def scatter_max(x: Any, v: Any, index: Index, *arrays: Any) -> Any:
    """x with the maximum of itself and v at an index. Derivative at ties: split evenly."""
    return bind(scatter_max_p, x, v, *arrays, index=index)
