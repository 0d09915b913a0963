"""`vmap`: a function of one row, applied to all rows at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import optree

from funcgrad.api.arguments import argument_path, native, run
from funcgrad.api.results import fresh
from funcgrad.api.transformed import P, Transformed
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import (
    NAMESPACE,
    TreeDef,
    flatten_results,
    is_static,
    leaf_paths,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from funcgrad.primitives.structural import broadcast_to, moveaxis
from funcgrad.transforms.evaluate import record_abstract
from funcgrad.transforms.vmap import evaluate_batched

R = TypeVar("R")


class _vmap(Transformed[P, R]):
    options = ("in_axes", "out_axes", "axis_size")
    in_axes: Any
    out_axes: Any
    axis_size: int | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree_flatten((args, kwargs))
        axes = self._input_axes(args, kwargs)
        rows = _Rows(self, leaves, treedef, axes)
        out_trees: list[TreeDef] = []
        traced = [i for i, axis in enumerate(rows.axes) if axis is not None]

        def one_row(*xs: Any) -> list[Any]:
            full = list(leaves)
            for i, x in zip(traced, xs, strict=True):
                full[i] = x
            row_args, row_kwargs = tree_unflatten(treedef, full)
            outs, out_tree = flatten_results(run(self.function, row_args, row_kwargs))
            out_trees.append(out_tree)
            return outs

        batches = [rows.batch(i) for i in traced]
        dims = [rows.axes[i] for i in traced]
        jaxpr = record_abstract(
            "vmap",
            one_row,
            [rows.row_aval(i) for i in traced],
            user_function=self.function,
            naming=lambda k: rows.path(traced[k]),
        )
        ys, y_dims = evaluate_batched(jaxpr, rows.size, batches, dims)
        placed = self._place(rows.size, ys, y_dims, out_trees[0])
        return tree_unflatten(out_trees[0], fresh(placed, batches))

    def _input_axes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
        in_axes = self.in_axes
        if isinstance(in_axes, list):
            in_axes = tuple(in_axes)
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ArgumentError(
                message(
                    f"{self!r} has in_axes for {len(in_axes)} argument{'s' * (len(in_axes) != 1)}, "
                    f"but was called with {len(args)}.",
                    value=f"in_axes={self.in_axes}",
                    where=caller(),
                    fix="one int for all, or one entry per positional argument (keyword arguments go by axis 0).",
                )
            )
        return _broadcast_axes(self, "in_axes", in_axes, args) + _broadcast_axes(self, "in_axes", 0, kwargs)

    def _place(self, size: int, ys: Sequence[Any], dims: Sequence[int | None], out_tree: TreeDef) -> list[Any]:
        """Each result with its rows along the axis that was asked for."""
        example = tree_unflatten(out_tree, map(get_aval, ys))
        axes = _broadcast_axes(self, "out_axes", self.out_axes, example)
        out_axes = [axis for axis, x in zip(axes, tree_leaves(example), strict=True) if isinstance(x, ShapedArray)]
        results = []
        for i, (y, dim, axis) in enumerate(zip(ys, dims, out_axes, strict=True)):
            if axis is None:
                if dim is not None:
                    raise ArgumentError(
                        message(
                            f"{self!r} has out_axes None for a result that differs from row to row.",
                            value=f"{leaf_paths(out_tree, 'result')[i]}: {get_aval(y)!r}",
                            where=caller(),
                            fix="an axis for it, or return something that does not depend on the mapped arguments.",
                        )
                    )
                results.append(y)
                continue
            if dim is None:
                y, dim = broadcast_to(y, (size, *get_aval(y).shape)), 0
            results.append(moveaxis(y, dim, _axis(self, axis, len(get_aval(y).shape), "the result")))
        return results


class _Rows:
    """The mapped leaves of one call: their axes, counted from the front, and the number of rows."""

    def __init__(self, owner: _vmap[Any, Any], leaves: list[Any], treedef: TreeDef, axes: list[int | None]) -> None:
        self.owner, self.leaves, self.treedef = owner, leaves, treedef
        self.axes: list[int | None] = []
        sizes: dict[str, int] = {}
        for i, (x, axis) in enumerate(zip(leaves, axes, strict=True)):
            if axis is None or is_static(x):
                self.axes.append(None)
                continue
            shape = np.shape(x) if not isinstance(x, (Tracer, ShapedArray)) else x.shape
            if isinstance(x, (int, float, complex)) or not shape:
                raise ArgumentError(
                    message(
                        f"{owner!r} cannot map over {self.path(i)}: it is a scalar, without axes.",
                        value=f"{self.path(i)} = {x!r}",
                        where=caller(),
                        fix=f"in_axes=None for {self.path(i)}, or an array with a row axis.",
                    )
                )
            self.axes.append(_axis(owner, axis, len(shape), self.path(i)))
            sizes[self.path(i)] = shape[self.axes[-1]]  # type: ignore[index]
        self.size = self._agree(sizes)

    def path(self, i: int) -> str:
        """What the user calls leaf i."""
        return argument_path(self.owner.function, self.treedef, i)

    def batch(self, i: int) -> Any:
        """Leaf i as a plain array."""
        x = self.leaves[i]
        return native(x, lambda: (repr(self.owner), self.path(i))) if isinstance(x, np.ndarray) else x

    def row_aval(self, i: int) -> ShapedArray:
        """The type of one row of leaf i."""
        aval, axis = get_aval(self.batch(i)), self.axes[i]
        assert axis is not None
        return ShapedArray(aval.shape[:axis] + aval.shape[axis + 1 :], aval.dtype)

    def _agree(self, sizes: dict[str, int]) -> int:
        if self.owner.axis_size is not None:
            sizes = {"axis_size": self.owner.axis_size, **sizes}
        if not sizes:
            raise ArgumentError(
                message(
                    f"{self.owner!r} has nothing to map over: in_axes is None for every argument.",
                    where=caller(),
                    fix="an axis for at least one argument, or axis_size=n.",
                )
            )
        if len(set(sizes.values())) > 1:
            raise ArgumentError(
                message(
                    f"{self.owner!r} got different numbers of rows.",
                    value=", ".join(f"{path}: {size}" for path, size in sizes.items()),
                    where=caller(),
                    fix="arrays of equal length along their in_axes; None for arguments without rows.",
                )
            )
        return next(iter(sizes.values()))


def _axis(owner: Any, axis: int, rank: int, path: str) -> int:
    if -rank <= axis < rank:
        return axis % rank
    raise ArgumentError(
        message(
            f"{owner!r} cannot map {path} over axis {axis}.",
            value=f"{path} has {rank} ax{'i' if rank == 1 else 'e'}s",
            where=caller(),
            fix=f"an axis from {-rank} to {rank - 1}, or None.",
        )
    )


def _broadcast_axes(owner: Any, what: str, axes: Any, tree: Any) -> list[int | None]:
    """An axis for each leaf of a tree, from a tree of axes that is a prefix of it."""
    try:
        per_leaf = optree.broadcast_prefix(axes, tree, none_is_leaf=True, namespace=NAMESPACE)
    except ValueError as error:
        raise ArgumentError(
            message(
                f"{owner!r} has {what} that do not match {'its arguments' if what == 'in_axes' else 'the result'}.",
                value=f"{what}={axes}",
                where=caller(),
                why=str(error).partition("\n")[0],
                fix=f"an int or None for a whole {'argument' if what == 'in_axes' else 'result'}, "
                "or a tree with one for each leaf.",
            )
        ) from None
    leaves = optree.tree_leaves(tree, none_is_leaf=True, namespace=NAMESPACE)
    chosen = [axis for axis, leaf in zip(per_leaf, leaves, strict=True) if leaf is not None]
    for axis in chosen:
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, (int, np.integer))):
            raise ArgumentError(
                message(f"{owner!r} has {what} with {axis!r} in it.", where=caller(), fix="integers or None.")
            )
    return chosen


def vmap(f: Callable[P, R], in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None) -> Callable[P, R]:
    """A function that applies f to every row of its arguments at once.

    f is recorded once for one row, without values: a Python branch on a mapped value is an error.

    Args:
        f: Any function of trees of arrays.
        in_axes: The axis along which the rows of the arguments lie: an int for all, or a tuple with an int, None
            (the same value for all rows) or a tree of these for each positional argument. Keyword arguments are
            mapped over axis 0.
        out_axes: The axis along which the rows of the results are to lie: an int, or a tree of ints and None.
        axis_size: The number of rows; needed only where no argument has them.

    Returns:
        A function of f's arguments, each with one more axis, to f's result with one more axis.

    Raises:
        ArgumentError: (a ValueError) The axes do not match the arguments.
        TracedBranchError: (a TypeError) f branches on a mapped value.

    Example:
        >>> import numpy as np
        >>> vmap(lambda x, y: x @ y)(np.eye(3), np.arange(9.0).reshape(3, 3))
        array([0., 4., 8.])
    """
    return _vmap(f, in_axes=in_axes, out_axes=out_axes, axis_size=axis_size)
