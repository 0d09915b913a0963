"""einsum: any sum of products, named by the labels of the operands' axes.

It is closed under differentiation: every transpose, and every batch, is an einsum again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import multilinear, shape_of, tangent_dtype
from funcgrad.primitives.structural import Shape, broadcast_to, cast, reshape

LABELS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# From about here NumPy's way by matmul, which takes 15 us to set out, is faster than its own loops.
_WORTH_MATMUL = 30_000


@lru_cache(4096)
def split(subscripts: str) -> tuple[tuple[str, ...], str]:
    """The operands' labels and the result's."""
    inputs, output = subscripts.split("->")
    return tuple(inputs.split(",")), output


def _sizes(terms: Sequence[str], shapes: Sequence[Shape]) -> dict[str, int]:
    return {label: n for term, shape in zip(terms, shapes, strict=True) for label, n in zip(term, shape, strict=True)}


def _is_worth_matmul(subscripts: str, xs: Sequence[Any]) -> bool:
    terms, _ = split(subscripts)
    return len(terms) > 1 and math.prod(_sizes(terms, [shape_of(x) for x in xs]).values()) > _WORTH_MATMUL


def _fresh(used: str) -> str:
    return next(label for label in LABELS if label not in used)


# einsum: y = sum over the labels that the output lacks --------------------------------------------------------------


def _einsum_implementation(*xs: Any, subscripts: str, optimize: bool) -> Any:
    return np.einsum(subscripts, *xs, optimize=optimize)


def _einsum_abstract(*xs: ShapedArray, subscripts: str, optimize: bool) -> ShapedArray:
    terms, output = split(subscripts)
    sizes = _sizes(terms, [x.shape for x in xs])
    return ShapedArray(tuple(sizes[label] for label in output), np.result_type(*[x.dtype for x in xs]))


@lru_cache(4096)
def _transposed(subscripts: str, i: int) -> tuple[str, tuple[int, ...], tuple[bool, ...]]:
    """How to compute operand i's cotangent from the result's and the other operands.

    A label that operand i repeats took a diagonal: an identity matrix puts it back, with a fresh label. A label that
    occurs nowhere else was summed away alone: its axis is put back by broadcasting.

    Returns:
        The subscripts, of the cotangent, the other operands and the identities; the axes of operand i that need an
        identity; and for each axis of operand i whether the einsum gives it.
    """
    terms, output = split(subscripts)
    own, operands = terms[i], [output, *terms[:i], *terms[i + 1 :]]
    used, target, repeated = subscripts, "", []
    for axis, label in enumerate(own):
        if label in target:
            fresh = _fresh(used)
            used += fresh
            operands.append(label + fresh)
            repeated.append(axis)
            label = fresh
        target += label
    known = "".join(operands)
    present = tuple(label in known for label in target)
    result = "".join(label for label, here in zip(target, present, strict=True) if here)
    return f"{','.join(operands)}->{result}", tuple(repeated), present


def _einsum_transpose(i: int, ct: Any, *xs: Any, subscripts: str, optimize: bool) -> Any:
    shape, dtype = shape_of(xs[i]), tangent_dtype(xs[i])
    transposed, repeated, present = _transposed(subscripts, i)
    identities = [np.eye(shape[axis], dtype=dtype) for axis in repeated]
    operands = [ct, *xs[:i], *xs[i + 1 :], *identities]
    y = einsum(transposed, *operands, optimize=optimize or _is_worth_matmul(transposed, operands))
    if not all(present):
        y = reshape(y, tuple(n if here else 1 for n, here in zip(shape, present, strict=True)))
        y = broadcast_to(y, shape)
    return cast(y, dtype)


def _einsum_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    terms, output = split(params["subscripts"])
    fresh = _fresh(params["subscripts"])
    batched = [t if dim is None else t[:dim] + fresh + t[dim:] for t, dim in zip(terms, dims, strict=True)]
    subscripts = f"{','.join(batched)}->{fresh}{output}"
    return einsum(subscripts, *xs, optimize=params["optimize"] or _is_worth_matmul(subscripts, xs)), 0


einsum_p = multilinear(
    "einsum",
    implementation=_einsum_implementation,
    abstract=_einsum_abstract,
    transposes=_einsum_transpose,
    batch=_einsum_batch,
)


def einsum(subscripts: str, *xs: Any, optimize: bool = False) -> Any:
    """NumPy's einsum in canonical form.

    Args:
        subscripts: Labels of the operands' axes and of the result's, "ij,jk->ik": no spaces, no ellipsis.
        xs: Operands in which equal labels stand for axes of equal length; nothing is broadcast.
        optimize: Whether to contract by matmul, in a good order.
    """
    return bind(einsum_p, *xs, subscripts=subscripts, optimize=optimize)
