"""Products that sum: small ones are nests, large ones BLAS.

All of NumPy's are one: two operands whose axes have labels, and the labels that the result keeps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler import blas, runtime
from funcgrad.compiler.indices import ZERO, Index
from funcgrad.compiler.loops import Apply, Constant, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.scalars import multiply
from funcgrad.compiler.tensors import Tensor, identity, moved, wastes_vectors
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import ELEMENTS
from funcgrad.primitives import contractions

Shape: TypeAlias = tuple[int, ...]
Label: TypeAlias = int
Labels: TypeAlias = tuple[Label, ...]

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))

# From so many products of numbers on, a matrix product of a stack is BLAS's: below, its gain of a tenth of a
# microsecond is not worth loading it. Products of few numbers each are bound by memory, and nests fuse.
WORTH_MATRIX, _LEAST_INNER = 8_000, 4
# The same for a matrix and a vector, where sums run along rows; across rows nests are as fast.
_WORTH_VECTOR = 8_000


# One operand ---------------------------------------------------------------------------------------------------------


def relabelled(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """x with each label once: a repeated one takes the diagonal."""
    distinct = tuple(dict.fromkeys(labels))
    if distinct == labels:
        return x, labels
    shape = tuple(x.shape[labels.index(label)] for label in distinct)
    return moved(x, shape, lambda index: tuple(index[distinct.index(label)] for label in labels)), distinct


def without_ones(x: Tensor, labels: Labels, sizes: dict[Label, int]) -> tuple[Tensor, Labels]:
    """x without the axes of length 1 that are to be broadcast."""
    lasting = [axis for axis, label in enumerate(labels) if x.shape[axis] == sizes[label]]
    if len(lasting) == len(labels):
        return x, labels
    places = {axis: position for position, axis in enumerate(lasting)}

    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(index[places[axis]] if axis in places else ZERO for axis in range(len(labels)))

    return moved(x, tuple(x.shape[axis] for axis in lasting), index_map), tuple(labels[axis] for axis in lasting)


def summed(lowering: Lowering, x: Tensor, labels: Labels, out: Labels, dtype: np.dtype[Any]) -> Tensor:
    """The sum over all labels but `out`, in whose order the result's axes are; a lazy transpose if there are none."""
    shape = tuple(x.shape[labels.index(label)] for label in out)
    if len(out) == len(labels):
        places = [out.index(label) for label in labels]
        return lowering.cast(moved(x, shape, lambda index: tuple(index[place] for place in places)), dtype)
    kept = [labels.index(label) for label in out]
    element = cast(x.at(identity(x.shape)) if x.size else Constant(0, x.dtype), dtype)
    return lowering.fusion.reduce(x.shape, kept, element, _combine(dtype), shape, dtype)


def _combine(dtype: np.dtype[Any]) -> str:
    return "any" if dtype.kind == "b" else "sum"


# Two operands --------------------------------------------------------------------------------------------------------


def contract(
    lowering: Lowering, x1: Tensor, labels1: Labels, x2: Tensor, labels2: Labels, out: Labels, dtype: np.dtype[Any]
) -> Tensor:
    """The sum of products over all labels that `out` lacks; axes of length 1 broadcast."""
    sizes: dict[Label, int] = {}
    for x, labels in ((x1, labels1), (x2, labels2)):
        for label, n in zip(labels, x.shape, strict=True):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    operands = []
    for x, own, others in ((x1, labels1, labels2), (x2, labels2, labels1)):
        y, labels = relabelled(*without_ones(x, own, sizes))
        alone = tuple(label for label in labels if label in out or label in others)
        if alone != labels:
            y = summed(lowering, y, labels, alone, dtype)
        operands.append((y, alone))
    (x1, labels1), (x2, labels2) = operands
    inner = tuple(label for label in labels1 if label in labels2 and label not in out)
    if dtype in _FLOATS and inner and 0 not in sizes.values():
        y_or_none = _by_blas(lowering, x1, labels1, x2, labels2, inner, out, sizes, dtype)
        if y_or_none is not None:
            return y_or_none
    return _by_nest(lowering, operands, inner, out, sizes, dtype)


def _by_nest(
    lowering: Lowering,
    operands: Sequence[tuple[Tensor, Labels]],
    inner: Labels,
    out: Labels,
    sizes: dict[Label, int],
    dtype: np.dtype[Any],
) -> Tensor:
    order = (*out, *inner)
    extents = tuple(sizes[label] for label in order)
    for x, _ in operands:
        lowering.once(x, extents)
    shape = extents[: len(out)]
    places = [[order.index(label) for label in labels] for _, labels in operands]

    def product(index: tuple[Index, ...]) -> Expression:
        factors = [
            cast(x.at(tuple(index[axis] for axis in axes)), dtype)
            for (x, _), axes in zip(operands, places, strict=True)
        ]
        return Apply(multiply, factors, dtype)

    if not inner:
        return Tensor(shape, dtype, product)
    element = product(identity(extents)) if math.prod(extents) else Constant(0, dtype)
    return lowering.fusion.reduce(extents, range(len(out)), element, _combine(dtype), shape, dtype)


def _by_blas(
    lowering: Lowering,
    x1: Tensor,
    labels1: Labels,
    x2: Tensor,
    labels2: Labels,
    inner: Labels,
    out: Labels,
    sizes: dict[Label, int],
    dtype: np.dtype[Any],
) -> Tensor | None:
    """As matrix products of a stack, if they are so large that it is worth it; else None."""
    stack = tuple(label for label in out if label in labels1 and label in labels2)
    left = tuple(label for label in out if label in labels1 and label not in stack)
    right = tuple(label for label in out if label in labels2 and label not in stack)
    size = partial(_size, sizes=sizes)
    n, k, m = size(left), size(inner), size(right)
    if max(n, m) == 1 or k < _LEAST_INNER:
        return None
    if min(n, m) == 1:
        sums_along_rows = _runs_along(*((x2, labels2) if n == 1 else (x1, labels1)), inner)
        if not sums_along_rows or n * k * m < _WORTH_VECTOR:
            return None
    elif n * k * m < WORTH_MATRIX:
        return None
    if not runtime.is_available(blas.routine(ELEMENTS[dtype], "gemm")):
        return None
    rest = tuple(label for label in out if label not in stack)
    is_swapped = rest == (*right, *left)
    length, count = (n, m) if is_swapped else (m, n)
    if m == 1 or (n > 1 and is_swapped != wastes_vectors(length, count)):
        # The transpose of the product is the product of the transposes.
        x1, labels1, left, n, x2, labels2, right, m = x2, labels2, right, m, x1, labels1, left, n
    order = (*stack, *left, *right)
    y = lowering.fusion.buffer(tuple(sizes[label] for label in order), dtype)
    parts = (stack, left, inner, right)
    if n == 1:
        _vector_product(lowering, lowering.cast(x1, dtype), labels1, lowering.cast(x2, dtype), labels2, y, parts, sizes)
    else:
        _product(lowering, lowering.cast(x1, dtype), labels1, lowering.cast(x2, dtype), labels2, y, parts, sizes)
    if order == out:
        return y
    places = [out.index(label) for label in order]
    return moved(y, tuple(sizes[label] for label in out), lambda index: tuple(index[place] for place in places))


def _runs_along(x: Tensor, labels: Labels, inner: Labels) -> bool:
    """Whether neighbours in memory differ in a label that is summed over."""
    if x.buffer is None:
        return labels[-1] in inner
    axes = [axis for axis, n in enumerate(x.shape) if n > 1]
    nearest = min(axes, key=lambda axis: abs(x.strides[axis]), default=-1)
    return labels[nearest] in inner


def _size(labels: Labels, sizes: dict[Label, int]) -> int:
    return math.prod(sizes[label] for label in labels)


def _product(
    lowering: Lowering,
    x1: Tensor,
    labels1: Labels,
    x2: Tensor,
    labels2: Labels,
    y: Tensor,
    parts: tuple[Labels, Labels, Labels, Labels],
    sizes: dict[Label, int],
) -> None:
    """Append the product of two stacks of matrices."""
    stack, left, inner, right = parts
    n, k, m = (_size(labels, sizes) for labels in (left, inner, right))
    extents = [sizes[label] for label in stack]
    named = [
        _matrices(lowering, x1, labels1, stack, left, inner, sizes),
        _matrices(lowering, x2, labels2, stack, inner, right, sizes),
    ]
    lowering.fusion.append(blas.product((n, k, m), extents, named, y, m))


def _vector_product(
    lowering: Lowering,
    v: Tensor,
    labels1: Labels,
    x: Tensor,
    labels2: Labels,
    y: Tensor,
    parts: tuple[Labels, Labels, Labels, Labels],
    sizes: dict[Label, int],
) -> None:
    """Append the product of a stack of matrices, the second operand, and one of vectors."""
    stack, one, inner, right = parts
    k, m = _size(inner, sizes), _size(right, sizes)
    matrices, name = _matrices(lowering, x, labels2, stack, right, inner, sizes)
    vectors_, step = _vectors(lowering, v, labels1, stack, (*one, *inner), sizes)
    extents = [sizes[label] for label in stack]
    lowering.fusion.append(blas.vector_product((m, k), extents, matrices, name, vectors_, step, y, 1))


def _matrices(
    lowering: Lowering, x: Tensor, labels: Labels, stack: Labels, rows: Labels, columns: Labels, sizes: dict[Label, int]
) -> tuple[Tensor, blas.Matrix]:
    """A stored stack of matrices and their name to BLAS, copied if they have none."""
    lowering.fusion.realise(x)
    n, m = _size(rows, sizes), _size(columns, sizes)
    order = (*stack, *rows, *columns)
    y = _ordered(x, labels, order, sizes)
    row_stride, column_stride = _common_stride(y, stack, rows, order), _common_stride(y, stack, columns, order)
    if row_stride is not None and column_stride is not None:
        name = blas.matrix(n, m, row_stride, column_stride)
        if name is not None:
            return y, name
    y = lowering.fusion.contiguous(y)
    return y, blas.Matrix(False, m)


def _vectors(
    lowering: Lowering, x: Tensor, labels: Labels, stack: Labels, inner: Labels, sizes: dict[Label, int]
) -> tuple[Tensor, int]:
    """A stored stack of vectors and the distance of their elements."""
    lowering.fusion.realise(x)
    order = (*stack, *inner)
    y = _ordered(x, labels, order, sizes)
    step = _common_stride(y, stack, inner, order)
    if step is None or not 0 < step <= blas.MOST:
        return lowering.fusion.contiguous(y), 1
    return y, step


def _ordered(x: Tensor, labels: Labels, order: Labels, sizes: dict[Label, int]) -> Tensor:
    """x with its axes in an order, those that it lacks repeated."""
    shape = tuple(sizes[label] for label in order)
    places = [order.index(label) for label in labels]
    return moved(x, shape, lambda index: tuple(index[place] for place in places))


def _common_stride(x: Tensor, stack: Labels, part: Labels, order: Labels) -> int | None:
    """The stride of neighbouring axes taken as one; None where they cannot be. (1 for an axis of one element.)"""
    axes = [order.index(label) for label in part]
    axes = [axis for axis in axes if x.shape[axis] > 1]
    for outer, inner in itertools.pairwise(axes):
        if x.strides[outer] != x.strides[inner] * x.shape[inner]:
            return None
    return x.strides[axes[-1]] if axes else 1


# NumPy's products ----------------------------------------------------------------------------------------------------


def core_product(
    lowering: Lowering, eqn: Equation, x1: Tensor, core1: Labels, x2: Tensor, core2: Labels, out: Labels
) -> Tensor:
    """Two stacks that broadcast; the last axes have labels from 0 up, those of the stack below."""
    stacks = [tuple(range(-(len(x.shape) - len(core)), 0)) for x, core in ((x1, core1), (x2, core2))]
    stack = max(stacks, key=len)
    dtype = eqn.outputs[0].aval.dtype
    return contract(lowering, x1, (*stacks[0], *core1), x2, (*stacks[1], *core2), (*stack, *out), dtype)


@lowers(contractions.matmul_p)
def _matmul(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    left = () if len(x1.shape) == 1 else (0,)
    right = () if len(x2.shape) == 1 else (2,)
    return core_product(lowering, eqn, x1, (*left, 1), x2, (1, *right), (*left, *right))


@lowers(contractions.dot_p)
def _dot(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    rank1, rank2 = len(x1.shape), len(x2.shape)
    labels1, labels2 = tuple(range(rank1)), tuple(range(rank1, rank1 + rank2))
    if rank1 and rank2:
        axis = max(rank2 - 2, 0)
        labels2 = (*labels2[:axis], labels1[-1], *labels2[axis + 1 :])
    out = tuple(label for label in (*labels1, *labels2) if not (label in labels1 and label in labels2))
    return contract(lowering, x1, labels1, x2, labels2, out, eqn.outputs[0].aval.dtype)


@lowers(contractions.vdot_p)
def _vdot(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    rows = [lowering.reshaped(x, (x.size,)) for x in (x1, x2)]
    return contract(lowering, rows[0], (0,), rows[1], (0,), (), eqn.outputs[0].aval.dtype)
