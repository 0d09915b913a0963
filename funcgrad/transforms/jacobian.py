"""What are all the derivatives of a recording, each output's in each input?

The linear part is recorded once, without values, and evaluated for a basis of its inputs (forward mode) or of its
outputs (reverse mode), as many rows at a time as a memory bound allows. Each batch of rows is written into its place
in the result, so that nothing larger than the result is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Jaxpr, Var, subjaxprs
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import broadcast_to, cast, moveaxis, reshape
from funcgrad.transforms.evaluate import record_abstract
from funcgrad.transforms.jvp import prune, push_forward
from funcgrad.transforms.transpose import pull_back, tangent_aval
from funcgrad.transforms.vmap import evaluate_batched

# blocks[i][j]: the derivative of output i in input j, of shape output.shape + input.shape; None is zero.
Blocks: TypeAlias = list[list[Any]]
Sweep: TypeAlias = Callable[[Sequence[Any]], list[Any]]

# Up to this many rows, a sweep over plain values for each costs less than recording one sweep for all of them.
FEW_ROWS = 6
# Working sets larger than the cache make elementwise maps twice as slow (2000 x 2000, three tanh: 34 ms in batches of
# 16 MiB, 76 ms in one), but fewer rows than this cannot feed a matrix product.
_WORKING_SET = 2**24
_FEWEST_AT_ONCE = 8


class Limits(NamedTuple):
    """How many rows are evaluated together: a number, or what runs fastest within so many bytes."""

    chunk_size: int | None = None
    memory: int = 2**28

    def rows(self, jaxpr: Jaxpr, total: int) -> int:
        """The number of rows at a time for `total` rows of a jaxpr, in batches of equal size where we choose."""
        if self.chunk_size is not None:
            return self.chunk_size
        row = bytes_per_row(jaxpr)
        fastest = max(_FEWEST_AT_ONCE, _WORKING_SET // max(1, row))
        fitting = max(1, self.memory // max(1, row))
        batches = -(-total // min(fastest, fitting))
        return -(-total // batches)


def bytes_per_row(jaxpr: Jaxpr) -> int:
    """The memory that one row's evaluation needs at most at any time, its inputs included."""
    live = peak = sum(v.aval.nbytes for v in jaxpr.inputs)
    made: set[Var] = set()
    for eqn, dead in zip(jaxpr.equations, jaxpr.last_uses, strict=True):
        live += sum(v.aval.nbytes for v in eqn.outputs)
        made.update(eqn.outputs)
        peak = max(peak, live + sum(bytes_per_row(inner) for _, inner in subjaxprs(eqn)))
        live -= sum(v.aval.nbytes for v in dead if v in made)
    return peak


def forward_blocks(
    recording: Recording, out_ids: Sequence[int | None], out_avals: Sequence[ShapedArray], limits: Limits
) -> Blocks:
    """All derivatives of some of a recording's variables, by forward mode: a row for each element of the inputs."""
    prune(recording, out_ids)
    basis = [tangent_aval(x) for x in recording.inputs]
    columns = _sweep_basis(
        recording, lambda x_dots: push_forward(recording, x_dots, out_ids), basis, out_avals, limits, rows_last=True
    )
    return [[column[j] for column in columns] for j in range(len(out_avals))]


def reverse_blocks(
    recording: Recording, out_ids: Sequence[int | None], out_avals: Sequence[ShapedArray], limits: Limits
) -> Blocks:
    """All derivatives of some of a recording's variables, by reverse mode: a row for each of their elements."""
    traced = [i for i, number in enumerate(out_ids) if number is not None]
    ids = [out_ids[i] for i in traced]
    results = [tangent_aval(x) for x in recording.inputs]
    rows = _sweep_basis(
        recording,
        lambda cts: pull_back(recording, ids, cts),
        [out_avals[i] for i in traced],
        results,
        limits,
        rows_last=False,
    )
    blocks: Blocks = [[None] * len(results) for _ in out_ids]
    for i, row in zip(traced, rows, strict=True):
        blocks[i] = row
    return blocks


def _sweep_basis(
    recording: Recording,
    sweep: Sweep,
    basis: Sequence[ShapedArray],
    results: Sequence[ShapedArray],
    limits: Limits,
    *,
    rows_last: bool,
) -> Blocks:
    """For each leaf of a basis the derivatives of all results along its elements.

    Args:
        sweep: The linear map, from a value for each leaf of the basis (None: zero) to one for each result.
        rows_last: Whether a block has the result's axes in front of the basis leaf's.
    """
    total = sum(aval.size for aval in basis)
    columns = [_Column(basis, aval, rows_last) for aval in results]
    if total == 0 or sum(aval.size for aval in results) == 0:
        pass
    elif total <= (1 if recording.nested else FEW_ROWS):
        for row in range(total):
            for column, y in zip(columns, sweep(_one_row(basis, row)), strict=True):
                if y is not None:
                    column.write(row, row + 1, y, None)
    else:
        recording.nested = True  # so that what is recorded keeps the lines of the equations that it belongs to
        _sweep_batches(recording, sweep, basis, columns, total, limits)
    return [[column.block(i) for column in columns] for i in range(len(basis))]


def _sweep_batches(
    recording: Recording,
    sweep: Sweep,
    basis: Sequence[ShapedArray],
    columns: Sequence[_Column],
    total: int,
    limits: Limits,
) -> None:
    reached: list[_Column] = []

    def linear(*xs: Any) -> list[Any]:
        ys = sweep(xs)
        reached[:] = [column for column, y in zip(columns, ys, strict=True) if y is not None]
        return [y for y in ys if y is not None]

    jaxpr = record_abstract(recording.transformation, linear, basis, user_function=recording.function)
    recording.close()  # and so free the values on which no derivative depends
    size = limits.rows(jaxpr, total)
    for start in range(0, total, size):
        stop = min(start + size, total)
        ys, dims = evaluate_batched(jaxpr, stop - start, _rows(basis, start, stop), [0] * len(basis))
        for column in reached:
            column.write(start, stop, ys.pop(0), dims.pop(0))


def _one_row(basis: Sequence[ShapedArray], row: int) -> list[Any]:
    """The basis vector of one number; None for the leaves in which it is zero."""
    vector: list[Any] = []
    for aval in basis:
        if 0 <= row < aval.size:
            x = np.zeros(aval.size, aval.dtype)
            x[row] = 1
            vector.append(x.reshape(aval.shape)[()])
        else:
            vector.append(None)
        row -= aval.size
    return vector


def _rows(basis: Sequence[ShapedArray], start: int, stop: int) -> list[Any]:
    """Basis vectors, those of the numbers from start to stop, one leaf's below each other in one array."""
    leaves = []
    for aval in basis:
        x = np.zeros((stop - start, aval.size), aval.dtype)
        first, last = max(start, 0), min(stop, aval.size)
        if first < last:
            x[np.arange(first, last) - start, np.arange(first, last)] = 1
        leaves.append(x.reshape(stop - start, *aval.shape))
        start, stop = start - aval.size, stop - aval.size
    return leaves


class _Column:
    """The derivatives of one result along all elements of a basis, as they come in."""

    def __init__(self, basis: Sequence[ShapedArray], result: ShapedArray, rows_last: bool) -> None:
        self.basis, self.result, self.rows_last = basis, result, rows_last
        self.single = len(basis) == 1 and basis[0].size == 1
        self.traced: list[Any] = []
        self.blocks: list[Any] = []
        self.views: list[Any] = []  # of the blocks, a row of each in front

    def write(self, start: int, stop: int, y: Any, dim: int | None) -> None:
        """Take the rows from start to stop, which lie along an axis of y (None: all are y). Others are zero."""
        if type(y) is Tracer and dim is None and self.single:
            self.traced.append(y)
            return
        y = broadcast_to(y, (stop - start, *self.result.shape)) if dim is None else moveaxis(y, dim, 0)
        if type(y) is Tracer:
            self.traced.append(y)
            return
        if not self.blocks:
            self._allocate()
        leaf_start = 0
        for view in self.views:
            leaf_stop = leaf_start + len(view)
            first, last = max(start, leaf_start), min(stop, leaf_stop)
            if first < last:
                view[first - leaf_start : last - leaf_start] = y[first - start : last - start]
            leaf_start = leaf_stop

    def _allocate(self) -> None:
        shape = self.result.shape
        for aval in self.basis:
            if self.rows_last:
                block = np.zeros(shape + aval.shape, block_dtype(self.result, aval))
                view = np.moveaxis(block.reshape(*shape, aval.size), -1, 0)
            else:
                block = np.zeros(aval.shape + shape, block_dtype(aval, self.result))
                view = block.reshape(aval.size, *shape)
            self.blocks.append(block)
            self.views.append(view)

    def block(self, i: int) -> Any:
        """The derivatives along the elements of leaf i; None if they are zero."""
        if self.blocks:
            return self.blocks[i][()]
        if not self.traced:
            return None
        start = sum(aval.size for aval in self.basis[:i])
        aval, shape = self.basis[i], self.result.shape
        rows = self.traced[0] if len(self.traced) == 1 else concatenate(self.traced)
        self.traced = [rows]
        if len(self.basis) > 1:
            rows = rows[start : start + aval.size]
        if not self.rows_last:
            return cast(reshape(rows, aval.shape + shape), block_dtype(aval, self.result))
        if not self.single:
            rows = moveaxis(rows, 0, len(shape))
        return cast(reshape(rows, shape + aval.shape), block_dtype(self.result, aval))


def block_dtype(y: ShapedArray, x: ShapedArray) -> np.dtype[Any]:
    """The dtype of y's derivatives in x: x's, but complex where y is."""
    return np.result_type(x.dtype, np.complex64) if y.dtype.kind == "c" else x.dtype
