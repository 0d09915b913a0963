"""Branches: `cond`, `switch`, `select`, `select_n`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.bodies import Body, operands, record_body, strengthened
from funcgrad.api.products import tree_text
from funcgrad.api.results import fresh
from funcgrad.control.cond import cond as cond_flat
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, TreeMismatchError, message
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import leaf_paths, tree_map, tree_unflatten
from funcgrad.primitives import masking
from funcgrad.primitives.structural import cast


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """One of two functions: `true_fun(*operands) if pred else false_fun(*operands)`, for a pred that may be traced.

    Both are recorded, without values; one of them runs. In a batch whose rows choose differently both do.

    Args:
        pred: One truth value or number.
        true_fun: Any function of trees of arrays.
        false_fun: Another, with results of the same tree, shapes and dtypes.
        operands: Their arguments.

    Returns:
        The result of the one chosen.

    Raises:
        TreeMismatchError: (a TypeError) The results differ in tree, shape or dtype.
        ArgumentError: (a ValueError) pred is no scalar.

    Example:
        >>> from funcgrad import grad
        >>> grad(lambda x: cond(x > 0, lambda x: x**2, lambda x: -x, x))(3.0)
        np.float64(6.0)
    """
    if callable(pred) or not callable(true_fun) or not callable(false_fun):
        raise ArgumentError(
            message("cond takes a truth value and two functions.", where=caller(), fix="cond(pred, f, g, *operands).")
        )
    index = _scalar(
        "cond", true_fun, pred, "pred", "np.any(...) or np.all(...) of several; np.where to choose by element."
    )
    if get_aval(index).dtype.kind != "b":
        index = index != 0
    return _choose("cond", cast(index, np.int64), (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """One of several functions: `branches[index](*operands)`, for an index that may be traced.

    All are recorded, without values; one of them runs. In a batch whose rows choose differently all do.

    Args:
        index: One integer; below 0 it means the first branch, beyond the end the last.
        branches: Functions of trees of arrays, with results of the same tree, shapes and dtypes.
        operands: Their arguments.

    Returns:
        The result of the one chosen.

    Raises:
        TreeMismatchError: (a TypeError) The results differ in tree, shape or dtype.
        ArgumentError: (a ValueError) index is no integer, or there is no branch.

    Example:
        >>> switch(1, [lambda x: x, lambda x: 2 * x, lambda x: 3 * x], 5.0)
        np.float64(10.0)
    """
    branches = tuple(branches)
    if not branches or not all(map(callable, branches)):
        raise ArgumentError(
            message("switch takes a sequence of functions.", where=caller(), fix="switch(index, [f, g, h], *operands).")
        )
    fix = "one integer; np.choose to choose by element."
    index = _scalar("switch", branches[0], index, "index", fix)
    if get_aval(index).dtype.kind not in "iu":
        raise _no_scalar("switch", branches[0], index, "index", fix)
    return _choose("switch", index, branches, operands)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Element by element one of two values; both are there already, unlike with `cond`.

    Args:
        pred: Truth values: one for all elements, or an array of the values' shape.
        on_true: A tree of arrays.
        on_false: Another of the same tree, shapes and dtypes.

    Returns:
        A tree like each of the two.

    Raises:
        ArgumentError: (a ValueError) pred is of no truth values.

    Example:
        >>> import numpy as np
        >>> select(np.array([True, False]), np.ones(2), np.zeros(2))
        array([1., 0.])
    """
    return _select("select", pred, (on_false, on_true), "b")


def select_n(which: Any, *cases: Any) -> Any:
    """Element by element the case that `which` numbers.

    Args:
        which: Truth values, for two cases (the first where False), or integers from 0; one number for all elements, or
            an array of the cases' shape.
        cases: Trees of arrays, all of the same tree, shapes and dtypes.

    Returns:
        A tree like each of the cases.

    Raises:
        ArgumentError: (a ValueError) There is no case, or truth values and other than two.

    Example:
        >>> import numpy as np
        >>> select_n(np.array([2, 0]), np.zeros(2), np.ones(2), np.full(2, 5.0))
        array([5., 0.])
    """
    return _select("select_n", which, cases, "biu")


def _select(construct: str, which: Any, cases: Sequence[Any], kinds: str) -> Any:
    aval = get_aval(which)
    if not cases or aval.dtype.kind not in kinds or (aval.dtype.kind == "b" and len(cases) > 2):
        raise ArgumentError(
            message(
                f"{construct} got {len(cases)} cases and {aval!r} to choose by.",
                where=caller(),
                fix="truth values for two cases" + ("." if kinds == "b" else ", integers for any number of them."),
            )
        )
    chosen = cases[0]
    for i, case in enumerate(cases[1:], 1):
        beyond = which if aval.dtype.kind == "b" else which >= i
        chosen = tree_map(lambda y, x, beyond=beyond: masking.select(beyond, x, y), chosen, case)
    return chosen


def _scalar(construct: str, f: Callable[..., Any], x: Any, name: str, fix: str) -> Any:
    """A scalar, without a weak dtype."""
    if not isinstance(x, (Tracer, np.ndarray, np.generic, bool, int, float)) or get_aval(x).shape:
        raise _no_scalar(construct, f, x, name, fix)
    return x[()] if isinstance(x, np.ndarray) else strengthened(x)


def _no_scalar(construct: str, f: Callable[..., Any], x: Any, name: str, fix: str) -> ArgumentError:
    given = f"{get_aval(x)!r}" if isinstance(x, (Tracer, np.ndarray, np.generic)) else f"{x!r}"
    return ArgumentError(
        message(
            f"{construct}({name_of(f)}) needs one {'truth value' if name == 'pred' else 'integer'} to choose by.",
            value=f"{name}: {given}"[:120],
            where=caller(),
            fix=fix,
        )
    )


def _choose(construct: str, index: Any, functions: Sequence[Callable[..., Any]], args: tuple[Any, ...]) -> Any:
    """`functions[index](*args)`, as one equation."""
    leaves, tree = operands(construct, functions[0], args, "operands")
    leaves = list(map(strengthened, leaves))
    avals = [ShapedArray(get_aval(x).shape, get_aval(x).dtype) for x in leaves]
    bodies = [record_body(construct, f, tree, avals) for f in functions]
    targets = _common(construct, functions, bodies)
    if any(out != target for body in bodies for out, target in zip(body.avals, targets, strict=True)):
        bodies = [record_body(construct, f, tree, avals, lambda _, outs: _cast_all(outs, targets)) for f in functions]
    captured = [x for body in bodies for x in body.captured]
    branches = []
    for i, body in enumerate(bodies):
        before = [Var(get_aval(x)) for other in bodies[:i] for x in other.captured]
        after = [Var(get_aval(x)) for other in bodies[i + 1 :] for x in other.captured]
        own = len(body.captured)
        inputs = [*before, *body.jaxpr.inputs[:own], *after, *body.jaxpr.inputs[own:]]
        branches.append(Jaxpr(inputs, (), body.jaxpr.equations, body.jaxpr.outputs))
    ys = cond_flat(index, branches, [*captured, *leaves])
    return tree_unflatten(bodies[0].tree, fresh(ys, [*captured, *leaves]))


def _cast_all(outs: Sequence[Any], targets: Sequence[ShapedArray]) -> list[Any]:
    return [
        cast(y, target.dtype) if type(y) is Tracer or get_aval(y).shape else target.dtype.type(y)
        for y, target in zip(outs, targets, strict=True)
    ]


def _common(construct: str, functions: Sequence[Callable[..., Any]], bodies: Sequence[Body]) -> list[ShapedArray]:
    """The types that all branches give: Python's numbers give way to arrays' dtypes.

    Raises:
        TreeMismatchError: naming two branches and the leaf in which they differ.
    """
    first = bodies[0]
    for f, body in zip(functions[1:], bodies[1:], strict=True):
        if body.tree != first.tree:
            raise _unlike(
                construct,
                functions[0],
                f,
                f"{name_of(functions[0])} gives {tree_text(first.tree)}, {name_of(f)} {tree_text(body.tree)}",
                "the same tree from each.",
            )
    targets = []
    for i, column in enumerate(zip(*[body.avals for body in bodies], strict=True)):
        dtypes = [out.dtype for out in column if not out.weak_type]
        dtype = dtypes[0] if dtypes else np.result_type(*[out.dtype for out in column])
        target = ShapedArray(column[0].shape, dtype)
        for f, out in zip(functions, column, strict=True):
            fits = np.can_cast(out.dtype, dtype, "same_kind") if out.weak_type else out.dtype == dtype
            if out.shape != target.shape or not fits:
                path = leaf_paths(first.tree, "result")[i]
                fix = f".astype(np.{dtype.name})" if out.shape == target.shape else "np.broadcast_to, say"
                raise _unlike(
                    construct,
                    functions[0],
                    f,
                    f"{path}: {column[0]!r} of {name_of(functions[0])}, {out!r} of {name_of(f)}",
                    f"{fix}, so that all give the same.",
                )
        targets.append(target)
    return targets


def _unlike(construct: str, f: Callable[..., Any], g: Callable[..., Any], value: str, fix: str) -> TreeMismatchError:
    return TreeMismatchError(
        message(
            f"{construct} got branches with unlike results: {name_of(f)} and {name_of(g)}.",
            value=value,
            where=definition(g),
            why="which of them runs may depend on traced values; what follows must fit either.",
            fix=fix,
        )
    )
