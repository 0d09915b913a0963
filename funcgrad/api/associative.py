"""`associative_scan`: all prefixes of an associative operation, in logarithmically many steps on whole arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.api.bodies import operands
from funcgrad.core.avals import get_aval
from funcgrad.core.errors import ArgumentError, TreeMismatchError, message
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tree import TreeDef, leaf_paths, tree_flatten, tree_unflatten
from funcgrad.primitives.index import Index
from funcgrad.primitives.indexing import basic_index
from funcgrad.primitives.shaping import concatenate, flip, slice_axis, stack
from funcgrad.primitives.structural import moveaxis, reshape


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes of an associative operation: x0, fn(x0, x1), fn(fn(x0, x1), x2), ...

    fn is applied to whole slices of the arrays, about 2 log2(n) times.

    Args:
        fn: An associative operation `(a, b) -> c` on trees like elems, element by element along the axis (any number
            of elements at once). With `reverse`, a stands behind b.
        elems: A tree of arrays of the same length along the axis.
        reverse: Whether to begin at the end.
        axis: Along which axis the elements lie.

    Returns:
        A tree like elems.

    Raises:
        ArgumentError: (a ValueError) The lengths differ, or an array lacks the axis.
        TreeMismatchError: (a TypeError) fn gives another tree than elems.

    Example:
        >>> import numpy as np
        >>> associative_scan(np.multiply, np.array([1.0, 2.0, 3.0, 4.0]))
        array([ 1.,  2.,  6., 24.])
    """
    leaves, tree = operands("associative_scan", fn, elems, "elems")
    axes = []
    for i, x in enumerate(leaves):
        rank = get_aval(x).ndim
        if not -rank <= axis < rank:
            raise ArgumentError(
                message(
                    f"associative_scan({name_of(fn)}) needs arrays with an axis {axis}.",
                    value=f"{leaf_paths(tree, 'elems')[i]}: {get_aval(x)!r}",
                    where=caller(),
                    fix="axis=one that all arrays have.",
                )
            )
        axes.append(axis % rank)
    lengths = {
        leaf_paths(tree, "elems")[i]: get_aval(x).shape[k] for i, (x, k) in enumerate(zip(leaves, axes, strict=True))
    }
    if len(set(lengths.values())) > 1:
        raise ArgumentError(
            message(
                f"associative_scan({name_of(fn)}) got different numbers of elements.",
                value=", ".join(f"{path}: {n}" for path, n in lengths.items()),
                where=caller(),
                fix=f"arrays of equal length along axis {axis}.",
            )
        )
    if not leaves:
        return elems
    if reverse:
        leaves = [flip(x, (k,)) for x, k in zip(leaves, axes, strict=True)]
    prefixes = _Scan(fn, tree, axes).prefixes(leaves)
    if reverse:
        prefixes = [flip(x, (k,)) for x, k in zip(prefixes, axes, strict=True)]
    return tree_unflatten(tree, prefixes)


class _Scan:
    """One call: the operation, and where elements lie in each array."""

    def __init__(self, fn: Callable[[Any, Any], Any], tree: TreeDef, axes: Sequence[int]) -> None:
        self.fn, self.tree, self.axes = fn, tree, axes

    def combined(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """The operation on slices of the arrays."""
        leaves, tree = tree_flatten(self.fn(tree_unflatten(self.tree, a), tree_unflatten(self.tree, b)))
        if tree != self.tree or [get_aval(x).shape for x in leaves] != [get_aval(x).shape for x in a]:
            raise TreeMismatchError(
                message(
                    f"associative_scan({name_of(self.fn)}) changes the type of its elements.",
                    value=f"{[get_aval(x) for x in a]} become {[get_aval(x) for x in leaves]}",
                    where=definition(self.fn),
                    fix="an operation that gives a tree like its operands, of the same shapes.",
                )
            )
        return leaves

    def prefixes(self, xs: Sequence[Any]) -> list[Any]:
        """All prefixes: of pairs, and from these of the elements between them."""
        length = get_aval(xs[0]).shape[self.axes[0]]
        if length < 2:
            return list(xs)
        pairs = self.combined(self.every(xs, 0, length - 1), self.every(xs, 1, length))
        odd = self.prefixes(pairs)
        even = self.every(xs, 0, 1)
        if length > 2:
            before = odd if length % 2 else self.every(odd, 0, length // 2 - 1, 1)
            even = [
                concatenate([first, rest], k)
                for first, rest, k in zip(
                    even, self.combined(before, self.every(xs, 2, length)), self.axes, strict=True
                )
            ]
        return [_interleaved(a, b, k) for a, b, k in zip(even, odd, self.axes, strict=True)]

    def every(self, xs: Sequence[Any], start: int, stop: int, step: int = 2) -> list[Any]:
        """Every second element from one number to before another."""
        return [_strided(x, k, start, stop, step) for x, k in zip(xs, self.axes, strict=True)]


def _strided(x: Any, axis: int, start: int, stop: int, step: int) -> Any:
    whole = [(0, n, 1) for n in get_aval(x).shape[:axis]]
    return basic_index(x, Index((*whole, (start, stop, step))))


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """Elements of both in turn; even may have one more."""
    shape = get_aval(odd).shape
    both = moveaxis(stack([slice_axis(even, axis, 0, shape[axis]), odd], 0), 0, axis + 1)
    merged = reshape(both, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]))
    if get_aval(even).shape[axis] == shape[axis]:
        return merged
    return concatenate([merged, slice_axis(even, axis, shape[axis], None)], axis)
