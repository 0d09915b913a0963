"""Reading elements by index, and the transposes of that: basic_index, embed, gather, scatter_sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.core.tracing import Tracer
from funcgrad.kernels import scatter
from funcgrad.primitives.index import ARRAY, Index
from funcgrad.primitives.kinds import linear, shape_of, tangent_dtype
from funcgrad.primitives.structural import batch_to_rank, broadcast_to, moveaxis, transpose

Shape = tuple[int, ...]
_ndarray = np.ndarray  # looked up on the hot path


# basic_index: y = x[integers, slices, new axes] --------------------------------------------------------------------


def _basic_index_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return basic_index(moveaxis(xs[0], dims[0], 0), params["index"].on_rows(size)), 0


basic_index_p = linear(
    "basic_index",
    implementation=lambda x, index: (x if type(x) is _ndarray else np.asarray(x))[index.native],
    abstract=lambda x, index: ShapedArray(index.result_shape(x.shape), x.dtype),
    transpose=lambda ct, x, index: embed(ct, index, shape_of(x)),
    batch=_basic_index_batch,
    structural=True,
)


def basic_index(x: Any, index: Index) -> Any:
    """x[index], for an index without arrays: a view of x."""
    return bind(basic_index_p, x, index=index)


# embed: y = zeros with y[integers, slices, new axes] = x -----------------------------------------------------------


def _embed_implementation(x: Any, index: Index, shape: Shape) -> Any:
    y = np.zeros(shape, tangent_dtype(x))
    y[index.native] = x
    return y


def _embed_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return embed(moveaxis(xs[0], dims[0], 0), params["index"].on_rows(size), (size, *params["shape"])), 0


embed_p = linear(
    "embed",
    implementation=_embed_implementation,
    abstract=lambda x, index, shape: ShapedArray(shape, x.dtype),
    transpose=lambda ct, x, index, shape: basic_index(ct, index),
    batch=_embed_batch,
    structural=True,
)


def embed(x: Any, index: Index, shape: Shape) -> Any:
    """Zeros of a shape, with x at a basic index."""
    if type(x) is not Tracer:
        return _embed_implementation(x, index, shape)  # `bind` without its cost: reverse mode comes here
    return bind(embed_p, x, index=index, shape=shape)


# Batching of everything with index arrays --------------------------------------------------------------------------


class Rows:
    """The index that does to all rows at once what another does to one; rows come first in the indexed array.

    Where index arrays differ from row to row, the number of the row becomes one more index array.

    Attributes:
        index: The index into an array of shape `(size, *row)`.
        arrays: Its index arrays.
    """

    __slots__ = ("_axis", "_rank", "_shift", "_size", "arrays", "index")

    def __init__(self, size: int, index: Index, arrays: Sequence[Any], dims: Sequence[int | None]) -> None:
        ranks = [len(shape_of(a)) - (dim is not None) for a, dim in zip(arrays, dims, strict=True)]
        self._size, self._rank = size, max(ranks, default=0)
        place, adjacent = index.arrays_place()
        if all(dim is None for dim in dims):
            self.index, self.arrays = index.on_rows(size), tuple(arrays)
            self._axis, self._shift = 0 if adjacent else self._rank, 0
        else:
            numbers = np.arange(size).reshape(size, *(1,) * self._rank)
            self.index = Index((ARRAY, *index.entries), (ARRAY, *index.native))
            self.arrays = (numbers, *batched_arrays(arrays, dims, self._rank))
            self._axis, self._shift = 0, place

    def collect(self, y: Any) -> Any:
        """What NumPy selects by the index, brought into the order of a row's selection, rows first."""
        y = moveaxis(y, self._axis, 0)
        if not self._shift:
            return y
        first, last = self._rank + 1, self._rank + 1 + self._shift
        return transpose(y, (0, *range(first, last), *range(1, first), *range(last, len(shape_of(y)))))

    def spread(self, y: Any, dim: int | None) -> Any:
        """What NumPy is to be given for the selection: the inverse of `collect`; rows alike are repeated."""
        y = broadcast_to(y, (self._size, *shape_of(y))) if dim is None else moveaxis(y, dim, 0)
        if self._shift:
            first, last = self._shift + 1, self._shift + 1 + self._rank
            y = transpose(y, (0, *range(first, last), *range(1, first), *range(last, len(shape_of(y)))))
        return moveaxis(y, 0, self._axis)

    def rows_first(self, x: Any, dim: int | None) -> Any:
        """The indexed array with its rows first; rows alike are repeated."""
        return broadcast_to(x, (self._size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)


def batched_arrays(arrays: Sequence[Any], dims: Sequence[int | None], rank: int) -> list[Any]:
    """Index arrays that broadcast together for all rows at once, the rows' axis in front."""
    return [a if dim is None else batch_to_rank(a, dim, rank) for a, dim in zip(arrays, dims, strict=True)]


# gather: y = x[index with arrays] ----------------------------------------------------------------------------------


def index_abstract(index: Index, shape: Shape, arrays: Sequence[ShapedArray]) -> Shape:
    """The shape of what an index with arrays selects."""
    return index.result_shape(shape, [np.broadcast_to(np.intp(0), a.shape) for a in arrays])


def _gather_implementation(x: Any, *arrays: Any, index: Index) -> Any:
    return (x if type(x) is _ndarray else np.asarray(x))[index.fill(arrays)]


def _gather_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    index: Index = params["index"]
    if dims[0] is not None:
        rows = Rows(size, index, xs[1:], dims[1:])
        return rows.collect(gather(rows.rows_first(xs[0], dims[0]), rows.index, *rows.arrays)), 0
    rank = max(len(shape_of(a)) - (dim is not None) for a, dim in zip(xs[1:], dims[1:], strict=True))
    return gather(xs[0], index, *batched_arrays(xs[1:], dims[1:], rank)), index.arrays_place()[0]


gather_p = linear(
    "gather",
    implementation=_gather_implementation,
    abstract=lambda x, *arrays, index: ShapedArray(index_abstract(index, x.shape, arrays), x.dtype),
    transpose=lambda ct, x, *arrays, index: scatter_sum(ct, index, shape_of(x), *arrays),
    batch=_gather_batch,
    structural=True,
)


def gather(x: Any, index: Index, *arrays: Any) -> Any:
    """x[index], with integer arrays in the places that the index keeps for them."""
    if type(x) is Tracer and x.recording.plain and Tracer not in map(type, arrays):
        recording, value = x.recording, x.value  # the short way
        ids = (x.id, *(None,) * len(arrays))
        kept = (value, *map(recording.capture, arrays))
        return recording.apply(gather_p, {"index": index}, (value, *arrays), ids, kept)
    return bind(gather_p, x, *arrays, index=index)


# scatter_sum: y = zeros with y[index with arrays] += x, repeated indices adding up -----------------------------------


def _scatter_sum_implementation(x: Any, *arrays: Any, index: Index, shape: Shape) -> Any:
    return scatter.scatter_sum(np.asarray(x), index.fill(arrays), shape)


def _scatter_sum_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    rows = Rows(size, params["index"], xs[1:], dims[1:])
    return scatter_sum(rows.spread(xs[0], dims[0]), rows.index, (size, *params["shape"]), *rows.arrays), 0


scatter_sum_p = linear(
    "scatter_sum",
    implementation=_scatter_sum_implementation,
    abstract=lambda x, *arrays, index, shape: ShapedArray(shape, x.dtype),
    transpose=lambda ct, x, *arrays, index, shape: gather(ct, index, *arrays),
    batch=_scatter_sum_batch,
    structural=True,
)


def scatter_sum(x: Any, index: Index, shape: Shape, *arrays: Any) -> Any:
    """Zeros of a shape, with x added at an index with arrays: np.add.at."""
    if type(x) is not Tracer and Tracer not in map(type, arrays):
        return _scatter_sum_implementation(x, *arrays, index=index, shape=shape)  # as in `embed`
    return bind(scatter_sum_p, x, *arrays, index=index, shape=shape)
