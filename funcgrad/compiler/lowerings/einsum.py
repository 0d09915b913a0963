"""Lowering of `primitives/einsum.py`: contractions, two operands at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers, wishes
from funcgrad.compiler.lowerings.contractions import WORTH_MATRIX, Labels, Shape, contract, relabelled, summed
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import einsum


@lowers(einsum.einsum_p)
def _einsum(lowering: Lowering, eqn: Equation, *xs: Tensor, subscripts: str, optimize: bool) -> Any:
    terms, output = einsum.split(subscripts)
    dtype = eqn.outputs[0].aval.dtype
    out = _numbers(output)
    operands = [(x, _numbers(term)) for x, term in zip(xs, terms, strict=True)]
    for i, j in _pairs(subscripts, tuple(x.shape for x in xs)):
        (x1, labels1), (x2, labels2) = operands.pop(max(i, j)), operands.pop(min(i, j))
        needed = {label for _, labels in operands for label in labels} | set(out)
        both = tuple(dict.fromkeys((*labels2, *labels1)))
        kept = out if not operands else tuple(label for label in both if label in needed)
        operands.append((contract(lowering, x2, labels2, x1, labels1, kept, dtype), kept))
    x, labels = relabelled(*operands[0])
    return x if labels == out and len(xs) > 1 else summed(lowering, x, labels, out, dtype)


@wishes(einsum.einsum_p)
def _wish(eqn: Equation) -> list[tuple[int, ...] | None]:
    """Of a stack of large products, that the matrices are not scattered among each other."""
    terms, out = einsum.split(eqn.params["subscripts"])
    if len(terms) != 2:
        return [None] * len(terms)
    sizes = {a: n for term, x in zip(terms, eqn.inputs, strict=True) for a, n in zip(term, x.aval.shape, strict=True)}
    stack = [a for a in terms[0] if a in terms[1] and a in out]
    if not stack or math.prod(n for a, n in sizes.items() if a not in stack) < WORTH_MATRIX:
        return [None, None]
    return [_stack_first(term, stack) for term in terms]


def _stack_first(term: str, stack: list[str]) -> tuple[int, ...] | None:
    order = sorted(range(len(term)), key=lambda axis: (term[axis] not in stack, axis))
    return None if order == list(range(len(term))) or len(set(term)) < len(term) else tuple(order)


def _numbers(term: str) -> Labels:
    return tuple(map(ord, term))


def _pairs(subscripts: str, shapes: tuple[Shape, ...]) -> list[tuple[int, int]]:
    """In which order to multiply operands, two at a time; a product goes behind all others."""
    if len(shapes) < 3:
        return [(0, 1)] * (len(shapes) - 1)
    operands = [np.broadcast_to(np.float64(0), shape) for shape in shapes]
    path = np.einsum_path(subscripts, *operands, optimize="greedy")[0][1:]
    pairs: list[tuple[int, int]] = []
    for places in path:
        # The last place may be of more than two, none of which share a label.
        pairs += [(places[0], places[1])] if len(places) == 2 else [(0, 1)] * (len(places) - 1)
    return pairs
