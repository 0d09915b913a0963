"""Batching rules of one's own: `custom_vmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.api.bodies import operands, record_body, strengthened
from funcgrad.api.products import tree_text
from funcgrad.control.custom_batching import custom_vmap as custom_vmap_flat
from funcgrad.control.derived import only_differentiated
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, FunctionExpectedError, TreeMismatchError, message
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tree import TreeDef, tree_flatten, tree_unflatten


class custom_vmap:
    """A function whose batches are computed by a rule.

    `vmap(f)` calls the rule. Derivatives of f are those of its own equations, and derivatives of `vmap(f)` those of
    the rule's; `vmap(grad(f))`, too, is computed by the rule's derivatives. There every argument that is differentiated
    has rows, also one that is the same in all of them, since each row has a derivative of its own.

    Args:
        function: Any function of trees of arrays.

    Example:
        >>> import numpy as np
        >>> from funcgrad import vmap
        >>> @custom_vmap
        ... def solve(a, b):
        ...     return np.linalg.solve(a, b)
        >>> @solve.def_vmap
        ... def solve_rows(axis_size, in_batched, a, b):
        ...     if in_batched[0]:
        ...         return np.linalg.solve(a, b[..., None])[..., 0], True
        ...     return np.linalg.solve(a, b.T).T, True  # one factorization for all rows
        >>> vmap(solve, in_axes=(None, 0))(2.0 * np.eye(2), np.ones((3, 2)))
        array([[0.5, 0.5],
               [0.5, 0.5],
               [0.5, 0.5]])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise FunctionExpectedError("custom_vmap", function)
        self.function = function
        self.transformation = "custom_vmap"
        self._rule: Callable[..., Any] | None = None
        functools.update_wrapper(self, function, updated=())

    def def_vmap(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule: `(axis_size, in_batched, *args) -> (result, out_batched)`.

        Args:
            rule: Gets the arguments with rows along axis 0 where `in_batched`, a tuple of trees like the arguments,
                is True; says the same of its result by a tree of bools, or one for all.

        Returns:
            The rule, so that this is a decorator.
        """
        self._rule = rule
        return rule

    def __repr__(self) -> str:
        return name_of(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any) -> Any:
        """The function's result."""
        if self._rule is None:
            raise ArgumentError(
                message(
                    f"{self!r} has no batching rule yet.",
                    where=caller(),
                    fix=f"{name_of(self.function)}.def_vmap(...) before its use.",
                )
            )
        leaves, tree = operands("custom_vmap", self.function, args, "args")
        if all(map(only_differentiated, leaves)):  # no batch can come
            return self.function(*args)
        leaves = list(map(strengthened, leaves))
        avals = [ShapedArray(get_aval(x).shape, get_aval(x).dtype) for x in leaves]
        body = record_body("custom_vmap", self.function, tree, avals)
        rule = functools.partial(self._apply, tree, body.tree)
        ys = custom_vmap_flat([*body.captured, *leaves], body.jaxpr, rule, len(body.captured))
        return tree_unflatten(body.tree, ys)

    def _apply(
        self, tree: TreeDef, out_tree: TreeDef, size: int, batched: Sequence[bool], xs: Sequence[Any]
    ) -> tuple[list[Any], list[bool]]:
        assert self._rule is not None
        out = self._rule(size, tree_unflatten(tree, batched), *tree_unflatten(tree, xs))
        if not isinstance(out, tuple) or len(out) != 2:
            raise TreeMismatchError(
                message(
                    f"{self!r} has a rule that gives no pair.",
                    where=definition(self._rule),
                    fix="return result, out_batched.",
                )
            )
        ys, actual = operands("custom_vmap", self.function, out[0], "result")
        if actual != out_tree:
            raise TreeMismatchError(
                message(
                    f"{self!r} has a rule that gives another structure than the function.",
                    value=tree_text(actual),
                    where=definition(self._rule),
                    why=f"expected: {tree_text(out_tree)}",
                    fix="the function's result, with rows along axis 0.",
                )
            )
        marks = [out[1]] * len(ys) if isinstance(out[1], bool) else tree_flatten(out[1])[0]
        for y, mark in zip(ys, marks, strict=True):
            shape = get_aval(y).shape
            if mark and (not shape or shape[0] != size):
                raise TreeMismatchError(
                    message(
                        f"{self!r} has a rule whose result has no {size} rows along axis 0.",
                        value=f"{get_aval(y)!r}",
                        where=definition(self._rule),
                        fix="rows along axis 0; out_batched=False for what is the same for all.",
                    )
                )
        return ys, list(marks)
