"""The functions that users give to loops and branches: recorded once, without values, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.arguments import argument_path, native, run
from funcgrad.api.products import tree_text
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, FunctionExpectedError, TreeMismatchError, message
from funcgrad.core.jaxpr import Jaxpr, recording_to_jaxpr
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.core.tree import TreeDef, leaf_paths, tree_flatten, tree_unflatten
from funcgrad.primitives.structural import cast


class Body(NamedTuple):
    """A recorded function.

    Attributes:
        jaxpr: Without constants: what the function captured comes first among its inputs.
        captured: The values of these.
        tree: The structure of the result.
    """

    jaxpr: Jaxpr
    captured: list[Any]
    tree: TreeDef

    @property
    def avals(self) -> list[ShapedArray]:
        """The types of the result's leaves."""
        return self.jaxpr.out_avals


def record_body(
    construct: str,
    f: Callable[..., Any],
    tree: TreeDef,
    avals: Sequence[ShapedArray],
    casts: Callable[[TreeDef, list[Any]], list[Any]] = lambda tree, outs: outs,
) -> Body:
    """Record a function of positional arguments without values.

    Args:
        construct: What it is given to, for messages: "scan".
        tree: The structure of its arguments, a tuple.
        avals: The types of their leaves.
        casts: Brings the leaves of the result to other types, given its structure.
    """
    if not callable(f):
        raise FunctionExpectedError(construct, f)
    recording = Recording(construct, f, abstract=True)
    named = tree_flatten((tree_unflatten(tree, avals), {}))[1]
    recording.naming = lambda number: argument_path(f, named, number)
    try:
        result = run(f, tree_unflatten(tree, [recording.input(aval) for aval in avals]), {})
        outs, out_tree = tree_flatten(result)
        for i, y in enumerate(outs):
            check_result(construct, f, y, lambda i=i: leaf_paths(out_tree, "result")[i])  # type: ignore[misc]
        jaxpr = recording_to_jaxpr(recording, casts(out_tree, outs))
    finally:
        recording.close()
    inputs = [*[v for v, _ in jaxpr.constants], *jaxpr.inputs]
    closed = Jaxpr(inputs, (), jaxpr.equations, jaxpr.outputs)
    return Body(closed, [value for _, value in jaxpr.constants], out_tree)


def check_result(construct: str, f: Callable[..., Any], y: Any, path: Callable[[], str]) -> None:
    """Check that a leaf of a function's result is a number or an array.

    Raises:
        TreeMismatchError: It is neither.
    """
    try:
        get_aval(y)
    except TypeError:
        raise TreeMismatchError(
            message(
                f"{construct}({name_of(f)}) needs a function that returns numbers and arrays.",
                value=f"{path()} = {y!r}"[:120],
                where=definition(f),
                fix="keep other things out of the result: what does not change can be captured.",
            )
        ) from None


def operands(construct: str, f: Callable[..., Any], tree: Any, what: str) -> tuple[list[Any], TreeDef]:
    """The leaves of a tree of arrays and numbers, as plain arrays, and its structure.

    Raises:
        ArgumentError: A leaf is neither.
    """
    leaves, treedef = tree_flatten(tree)
    checked = []
    for i, x in enumerate(leaves):
        if isinstance(x, np.ndarray):
            x = native(x, lambda i=i: (f"{construct}({name_of(f)})", leaf_paths(treedef, what)[i]))  # type: ignore[misc]
        elif not isinstance(x, (Tracer, np.generic, bool, int, float, complex)):
            raise ArgumentError(
                message(
                    f"{construct}({name_of(f)}) got something that is no number or array in {what}.",
                    value=f"{leaf_paths(treedef, what)[i]} = {x!r}"[:120],
                    where=caller(),
                    fix="let the function capture what is none, and pass arrays only.",
                )
            )
        checked.append(x)
    return checked, treedef


def strong(aval: ShapedArray) -> ShapedArray:
    """A type that is not weak."""
    return ShapedArray(aval.shape, aval.dtype)


def strengthened(x: Any) -> Any:
    """x with a dtype of its own: Python's numbers become NumPy's."""
    if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
        return get_aval(x).dtype.type(x)
    return x


def record_step(
    construct: str,
    f: Callable[..., Any],
    arguments: Callable[[Sequence[ShapedArray]], tuple[TreeDef, Sequence[ShapedArray]]],
    carry_tree: TreeDef,
    carry: Sequence[Any],
    split: Callable[[TreeDef, list[Any]], tuple[TreeDef, int]],
) -> tuple[Body, list[Any]]:
    """Record a loop's body, and settle the types of its carry.

    A carried Python number takes the dtype that the body gives it, as in NumPy's arithmetic; everything else keeps its
    type from step to step.

    Args:
        arguments: The structure and types of f's arguments, given those of the carry's leaves.
        split: From the result's structure the carry's in it, and how many leaves that has: these come first.

    Returns:
        The body, and the leaves of the first carry in their types.

    Raises:
        TreeMismatchError: naming the leaf of the carry whose type the body changes.
    """
    avals = [get_aval(x) for x in carry]
    while any(aval.weak_type for aval in avals):
        body = record_body(construct, f, *arguments(avals))
        found, _ = split(body.tree, body.avals)
        if found != carry_tree:
            raise changed_tree_error(construct, f, carry_tree, found)
        avals = [_settled(aval, out) for aval, out in zip(avals, body.avals, strict=False)]

    def casts(tree: TreeDef, outs: list[Any]) -> list[Any]:
        found, count = split(tree, outs)
        if found != carry_tree:
            raise changed_tree_error(construct, f, carry_tree, found)
        return [
            *[_kept(x, aval) for x, aval in zip(outs[:count], avals, strict=True)],
            *map(strengthened, outs[count:]),
        ]

    body = record_body(construct, f, *arguments(avals), casts)
    for i, (aval, out) in enumerate(zip(avals, body.avals, strict=False)):
        if strong(out) != aval:
            raise _changed_leaf_error(construct, f, leaf_paths(carry_tree, "carry")[i], aval, out)
    return body, [cast(strengthened(x), aval.dtype) for x, aval in zip(carry, avals, strict=True)]


def _settled(aval: ShapedArray, out: ShapedArray) -> ShapedArray:
    """The type of a carried number: where it is Python's, the one that the first step gives it."""
    if not aval.weak_type:
        return aval
    kinds = "biufc"
    grows = kinds.index(out.dtype.kind) >= kinds.index(aval.dtype.kind)
    return ShapedArray(aval.shape, out.dtype if grows else aval.dtype)


def _kept(x: Any, aval: ShapedArray) -> Any:
    """A carried value after a step: a Python number, or what acts as one, in the type that it had before."""
    given = get_aval(x)
    kinds = "biufc"
    if given.weak_type and kinds.index(given.dtype.kind) <= kinds.index(aval.dtype.kind):
        return cast(x, aval.dtype) if type(x) is Tracer else aval.dtype.type(x)
    return strengthened(x)


def changed_tree_error(construct: str, f: Callable[..., Any], before: TreeDef, after: TreeDef) -> TreeMismatchError:
    """The error for a carry that comes out in another structure."""
    return TreeMismatchError(
        message(
            f"{construct}({name_of(f)}) changes the structure of its carry.",
            value=f"before: {tree_text(before)}, after: {tree_text(after)}",
            where=definition(f),
            why="what goes from step to step keeps its tree, shapes and dtypes.",
            fix="return the carry in the structure in which it came.",
        )
    )


def _changed_leaf_error(
    construct: str, f: Callable[..., Any], path: str, before: ShapedArray, after: ShapedArray
) -> TreeMismatchError:
    if before.shape != after.shape:
        fix = f"an initial {path} of shape {after.shape}, or a step that keeps the shape."
    else:
        fix = f"an initial {path} of dtype {after.dtype.name}, or .astype(np.{before.dtype.name}) in the step."
    return TreeMismatchError(
        message(
            f"{construct}({name_of(f)}) changes the type of its carry.",
            value=f"{path}: {before!r} before a step, {strong(after)!r} after it",
            where=definition(f),
            why="what goes from step to step keeps its tree, shapes and dtypes.",
            fix=fix,
        )
    )
