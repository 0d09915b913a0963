"""What derivative rules are given, and what they give: by position, in trees, and of the right types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from funcgrad.api.bodies import operands, strengthened
from funcgrad.api.products import tree_text
from funcgrad.api.results import zeros_for
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, TreeMismatchError, message
from funcgrad.core.naming import name_of, parameters_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import NAMESPACE, TreeDef, leaf_paths, tree_flatten, tree_unflatten
from funcgrad.primitives.structural import cast
from funcgrad.transforms.transpose import tangent_aval


class SymbolicZero:
    """A tangent or cotangent that is zero and takes no memory: what a rule with `symbolic_zeros=True` may get.

    Attributes:
        shape: As of the array of zeros.
        dtype: As of the array of zeros.
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, aval: ShapedArray) -> None:
        self.shape, self.dtype = aval.shape, aval.dtype

    def instantiate(self) -> Any:
        """The array of zeros."""
        return np.zeros(self.shape, self.dtype)[()]

    def __repr__(self) -> str:
        return f"SymbolicZero({self.dtype.name}[{','.join(map(str, self.shape))}])"


class Call:
    """One call of a function with a rule: its differentiated leaves, and everything else in its place."""

    __slots__ = ("args", "leaves", "name", "nondiff", "out_tree", "places", "tree")

    def __init__(
        self, construct: str, function: Callable[..., Any], nondiff: Sequence[int], args: Sequence[Any]
    ) -> None:
        self.args, self.name = list(args), f"{construct}({name_of(function)})"
        self.nondiff = [args[i] for i in nondiff if i < len(args)]
        self.places = [i for i in range(len(args)) if i not in nondiff]
        self.leaves, self.tree = operands(construct, function, tuple(args[i] for i in self.places), "args")
        self.out_tree: TreeDef | None = None

    def primals(self, xs: Sequence[Any]) -> tuple[Any, ...]:
        """The differentiated arguments, as a tuple of trees."""
        return tree_unflatten(self.tree, xs)

    def full(self, xs: Sequence[Any]) -> list[Any]:
        """All arguments, in their places."""
        args = list(self.args)
        for i, x in zip(self.places, self.primals(xs), strict=True):
            args[i] = x
        return args

    def results(self, result: Any, function: Callable[..., Any]) -> list[Any]:
        """The leaves of what the function or its rule gave for its value."""
        ys, tree = operands(self.name.partition("(")[0], function, result, "result")
        if self.out_tree is not None and tree != self.out_tree:
            raise wrong_tree_error(self.name, function, "a value of another structure than before", self.out_tree, tree)
        self.out_tree = tree
        return list(map(strengthened, ys))


def positional(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """A call's arguments by position, defaults filled in."""
    parameters = parameters_of(f)
    if parameters is None or isinstance(f, np.ufunc):
        parameters = ()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    missing = positional[len(args) :]
    if not kwargs and all(p.default is p.empty for p in missing):
        return args
    by_name = [name for name in kwargs if name not in {p.name for p in missing}]
    if by_name:
        raise ArgumentError(
            message(
                f"{name_of(f)} has a derivative rule, which knows arguments by position.",
                value=f"given by name: {', '.join(by_name)}",
                where=caller(),
                fix="parameters without * in front; functools.partial for what stays the same.",
            )
        )
    bound = inspect.Signature(positional).bind(*args[: len(positional)], **kwargs)
    bound.apply_defaults()
    return (*bound.args, *args[len(positional) :])


def zero_tangent(x: Any, symbolic: bool) -> Any:
    """The tangent of x that is zero, as an array or symbolic."""
    zero = SymbolicZero(get_aval(zeros_for(x)))
    return zero if symbolic else zero.instantiate()


def matched_tangents(
    name: str, rule: Callable[..., Any], what: str, tree: Any, expected: TreeDef, values: Sequence[Any], root: str
) -> list[Any]:
    """The leaves of a tangent that a rule gave, in the types of the values they belong to; None for a symbolic zero."""
    leaves, actual = tree_flatten(tree)
    if actual != expected:
        raise wrong_tree_error(name, rule, f"a {what} of another structure than the value", expected, actual)
    paths = leaf_paths(expected, root)
    return [_fitted(name, rule, what, x, y, path) for x, y, path in zip(leaves, values, paths, strict=True)]


def _fitted(name: str, rule: Callable[..., Any], what: str, x: Any, value: Any, path: str) -> Any:
    expected = tangent_aval(value)
    if isinstance(x, SymbolicZero) or expected.dtype.kind not in "fc":
        return None
    try:
        given = get_aval(x)
    except TypeError:
        given = None
    if given is None or given.shape != expected.shape or (given.dtype.kind == "c" and expected.dtype.kind == "f"):
        raise TreeMismatchError(
            message(
                f"{name} has a rule that gives a {what} which does not fit.",
                value=f"{what} of {path}: {x!r}"[:120] if given is None else f"{what} of {path}: {given!r}",
                where=definition(rule),
                why=f"{path} is {expected!r}.",
                fix=f"a {what} of shape {expected.shape} and dtype {expected.dtype.name}.",
            )
        )
    return cast(x, expected.dtype) if type(x) is Tracer else np.asarray(x, expected.dtype)[()]


def matched_cotangents(call: Call, bwd: Callable[..., Any], out: Any) -> list[Any]:
    """The cotangents of all leaves that a backward rule gave; None for zero."""
    if not isinstance(out, (tuple, list)) or len(out) != len(call.places):
        count = f"{len(out)}" if isinstance(out, (tuple, list)) else "no tuple"
        raise TreeMismatchError(
            message(
                f"{call.name} has a backward rule that gives {count} where it needs {len(call.places)} cotangents.",
                where=definition(bwd),
                fix="a tuple with one cotangent per argument; None for zero.",
            )
        )
    cts: list[Any] = []
    for position, ct, primal in zip(call.places, out, call.primals(call.leaves), strict=True):
        values, tree = tree_flatten(primal)
        root = f"args[{position}]"
        if ct is None or isinstance(ct, SymbolicZero):
            cts += [None] * len(values)
        else:
            cts += matched_tangents(call.name, bwd, "cotangent", _filled(ct, primal), tree, values, root)
    return cts


def _filled(ct: Any, primal: Any) -> Any:
    """A tree of cotangents with None in it, as a tree of zeros there."""
    leaves, tree = optree.tree_flatten(ct, none_is_leaf=True, namespace=NAMESPACE)
    values, expected = optree.tree_flatten(primal, none_is_leaf=True, namespace=NAMESPACE)
    if tree != expected:
        return ct
    full = [
        SymbolicZero(get_aval(zeros_for(x))) if x_ct is None and x is not None else x_ct
        for x_ct, x in zip(leaves, values, strict=True)
    ]
    return optree.tree_unflatten(tree, full)


def no_pair_error(name: str, rule: Callable[..., Any], pair: str) -> TreeMismatchError:
    """The error for a rule that does not return the pair which it should."""
    return TreeMismatchError(
        message(f"{name} has a rule that gives no pair.", where=definition(rule), fix=f"return {pair}.")
    )


def wrong_tree_error(
    name: str, rule: Callable[..., Any], what: str, expected: TreeDef, actual: TreeDef
) -> TreeMismatchError:
    """The error for a rule that returns another structure than it should."""
    return TreeMismatchError(
        message(
            f"{name} has a rule that gives {what}.",
            value=tree_text(actual),
            where=definition(rule),
            why=f"expected: {tree_text(expected)}",
            fix="the tree of the value, with arrays in place of each leaf *.",
        )
    )
