"""Jacobian products: `vjp`, `jvp`, `linearize`, `linear_transpose`; and `stop_gradient`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcgrad.api.arguments import Selected, leaf_names, native, run
from funcgrad.api.outputs import split_aux
from funcgrad.api.results import fresh, lower_tree, own, snapshot, zeros_for
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import DifferentiationError, TreeMismatchError, message
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import bind
from funcgrad.core.source import caller
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.core.tree import TreeDef, leaf_paths, tree_flatten, tree_map, tree_unflatten
from funcgrad.primitives import identity
from funcgrad.primitives.structural import cast_p
from funcgrad.transforms.evaluate import evaluate
from funcgrad.transforms.jvp import push_forward
from funcgrad.transforms.linearize import linear_part
from funcgrad.transforms.transpose import linear_transpose as linear_transpose_flat
from funcgrad.transforms.transpose import pull_back


def match_leaves(
    what: str,
    name: str,
    tree: Any,
    treedef: TreeDef,
    avals: Sequence[ShapedArray],
    paths: Callable[[], Sequence[str]] | None = None,
) -> list[Any]:
    """The leaves of a tangent or cotangent tree, checked against structure, shapes and dtypes it must have.

    Args:
        paths: What the user calls the values, where it is not the result.

    Raises:
        TreeMismatchError: naming the leaf that does not fit.
    """
    leaves, actual = tree_flatten(tree)
    if actual != treedef:
        raise TreeMismatchError(
            message(
                f"{name} got a {what} of another structure than the value it belongs to.",
                value=f"{what}: {tree_text(actual)}",
                where=caller(),
                why=f"expected: {tree_text(treedef)}",
                fix=f"the tree of the value, with a {what} in place of each leaf *.",
            )
        )
    checked = []
    for i, (x, aval) in enumerate(zip(leaves, avals, strict=True)):
        x = native(x, lambda: (name, what)) if isinstance(x, np.ndarray) else x
        try:
            given = get_aval(x)
        except TypeError:
            given = None
        if given is None or given.shape != aval.shape or not _fits(given, aval):
            owner = paths()[i] if paths else leaf_paths(treedef, "result")[i]
            raise TreeMismatchError(
                message(
                    f"{name} got a {what} that does not fit the value it belongs to, {owner}.",
                    value=f"{leaf_paths(treedef, what)[i]}: {given!r}" if given else f"{what}: {x!r}",
                    where=caller(),
                    why=f"expected: {aval!r}",
                    fix=_leaf_fix(leaf_paths(treedef, what)[i], given, aval),
                )
            )
        checked.append(x if given.dtype == aval.dtype and not given.weak_type else _converted(x, aval))
    return checked


def _converted(x: Any, aval: ShapedArray) -> Any:
    """A number of Python as what it stands for, which is not weak."""
    return bind(cast_p, x, dtype=aval.dtype) if type(x) is Tracer else np.asarray(x, aval.dtype)[()]


def _leaf_fix(path: str, given: ShapedArray | None, aval: ShapedArray) -> str:
    if given is not None and given.shape == aval.shape:
        return f"{path}.astype(np.{aval.dtype.name})."
    return f"the shape and dtype of the value: np.ones({aval.shape}, np.{aval.dtype.name}), say."


def tree_text(treedef: TreeDef) -> str:
    """A structure, with * for a leaf: `{'b': *, 'w': *}`."""
    return str(treedef).partition(", namespace=")[0].removeprefix("PyTreeSpec(").removesuffix(")")


def _fits(given: ShapedArray, aval: ShapedArray) -> bool:
    if given.weak_type:
        return aval.dtype.kind == "c" or given.dtype.kind != "c"
    return given.dtype == aval.dtype


class Pullback:
    """What `vjp` returns: a function from cotangents of the results to cotangents of the arguments.

    It can be called any number of times: nothing accumulates between calls, so nothing needs to be zeroed.
    """

    def __init__(
        self,
        name: str,
        recording: Recording,
        out_ids: Sequence[int | None],
        out_tree: TreeDef,
        out: Any,
        selected: Selected,
    ) -> None:
        self._name, self._recording, self._out_ids = name, recording, out_ids
        self._out_tree, self._selected = out_tree, selected
        self._out_avals = [tangent_like(y) for y in out]

    def __call__(self, ct: Any) -> tuple[Any, ...]:
        """The cotangents of all arguments.

        Args:
            ct: A tree like the function's result, with its shapes and dtypes.

        Returns:
            A tuple with one entry per argument of the function, each with the argument's tree, shapes and dtypes.

        Raises:
            TreeMismatchError: (a TypeError) ct does not fit the result.
        """
        cts = match_leaves("cotangent", self._name, ct, self._out_tree, self._out_avals)
        selected = self._selected
        gradient = [zeros_for(x) for x in selected.leaves]
        for i, x_ct in zip(selected.traced, pull_back(self._recording, self._out_ids, cts), strict=True):
            if x_ct is not None:
                gradient[i] = x_ct
        return tuple(selected.trees(fresh(gradient, cts)))

    def __repr__(self) -> str:
        return f"<pullback of {self._name}>"


def tangent_like(y: Any) -> ShapedArray:
    """The type of y's tangents and cotangents: floating point, never weak."""
    aval = get_aval(y)
    return ShapedArray(aval.shape, aval.dtype if aval.dtype.kind in "fc" else np.float64)


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of f, and the pullback: products of cotangents with f's Jacobian.

    Args:
        f: Any function of trees of arrays.
        primals: Its arguments: floating-point or complex trees (integers have zero cotangents).
        has_aux: Whether f returns a pair `(result, aux)`.

    Returns:
        `(result, pullback)`, or `(result, pullback, aux)`. `pullback(ct)` takes a tree like the result and
        returns a tuple of cotangents, one per argument; it may be called again and again.

    Raises:
        DifferentiationError: (a TypeError) An argument is no number or array.

    Example:
        >>> import numpy as np
        >>> y, pullback = vjp(lambda x: (x + 1.0) ** 2, np.eye(2))
        >>> pullback(np.ones((2, 2)))
        (array([[4., 2.],
               [2., 4.]]),)

    Reference:
        The pairing is <ct, t> = Re(sum(ct * t)), without conjugation.
    """
    selected = Selected("vjp", f, tuple(range(len(primals))), primals, {}, allow_int=True, complex_inputs=True)
    recording = Recording("vjp", f, False, True)
    recording.naming = selected.naming()
    try:
        leaves = selected.with_traced([recording.input(snapshot(selected.leaves[i])) for i in selected.traced])
        out, aux = _call("vjp", selected, f, leaves, has_aux)
        lowered, out_tree = _lower(f"vjp({name_of(f)})", recording, out)
        aux = tree_map(own, lower_tree(recording, aux))
        kept = copy.copy(recording)  # for the pullback alone: tracers that are still around have escaped
    finally:
        recording.close()
    values = [y for y, _ in lowered]
    pullback = Pullback(f"vjp({name_of(f)})", kept, [i for _, i in lowered], out_tree, values, selected)
    result = tree_unflatten(out_tree, map(own, values))
    return (result, pullback, aux) if has_aux else (result, pullback)


def _lower(name: str, recording: Recording, out: Any) -> tuple[list[tuple[Any, int | None]], TreeDef]:
    """The leaves of a function's result, as `Recording.lower` gives them, and its structure.

    Raises:
        DifferentiationError: naming the leaf that is no number or array.
    """
    leaves, out_tree = tree_flatten(out)
    lowered = [recording.lower(y) for y in leaves]
    for i, (y, _) in enumerate(lowered):
        try:
            get_aval(y)
        except TypeError:
            raise DifferentiationError(
                message(
                    f"{name} needs a function that returns numbers and arrays.",
                    value=f"{leaf_paths(out_tree, 'result')[i]} = {y!r}"[:120],
                    where=caller(),
                    fix="has_aux=True for other results: (result, other results).",
                )
            ) from None
    return lowered, out_tree


def _call(
    transformation: str, selected: Selected, f: Callable[..., Any], leaves: Sequence[Any], has_aux: bool
) -> tuple[Any, Any]:
    out = selected.call(f, leaves)
    return split_aux(f"{transformation}({name_of(f)})", f, out) if has_aux else (out, None)


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of f and its derivative along a tangent: the product of f's Jacobian with it.

    Args:
        f: Any function of trees of arrays.
        primals: A tuple of its arguments.
        tangents: A tuple with a tangent for each argument, of its tree, shapes and dtypes.
        has_aux: Whether f returns a pair `(result, aux)`.

    Returns:
        `(result, tangent)`, or `(result, tangent, aux)`; the tangent has the result's tree, shapes and dtypes.

    Raises:
        TreeMismatchError: (a TypeError) A tangent does not fit its argument.

    Example:
        >>> import numpy as np
        >>> jvp(np.sin, (0.0,), (2.0,))
        (np.float64(0.0), np.float64(2.0))
    """
    name = f"jvp({name_of(f)})"
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TreeMismatchError(
            message(
                f"{name} takes primals and tangents as tuples, one entry per argument.",
                where=caller(),
                fix="jvp(f, (x,), (x_dot,)).",
            )
        )
    selected = Selected("jvp", f, tuple(range(len(primals))), tuple(primals), {}, allow_int=True, complex_inputs=True)
    _, treedef = tree_flatten(tuple(primals))
    avals = [tangent_like(x) for x in selected.leaves]
    x_dots = match_leaves("tangent", name, tuple(tangents), treedef, avals, selected.paths)
    recording = Recording("jvp", f, False, True)
    recording.naming = selected.naming()
    try:
        leaves = selected.with_traced([recording.input(selected.leaves[i]) for i in selected.traced])
        out, aux = _call("jvp", selected, f, leaves, has_aux)
        lowered, out_tree = _lower(name, recording, out)
        y_dots = push_forward(recording, [x_dots[i] for i in selected.traced], [number for _, number in lowered])
        y_dots = [zeros_for(y) if y_dot is None else y_dot for (y, _), y_dot in zip(lowered, y_dots, strict=True)]
        result = tree_unflatten(out_tree, [y for y, _ in lowered])
        tangent = tree_unflatten(out_tree, fresh(y_dots, x_dots))
        return (result, tangent, lower_tree(recording, aux)) if has_aux else (result, tangent)
    finally:
        recording.close()


class LinearMap:
    """What `linearize` returns: the derivative at a point as a function of tangents, recorded once.

    Attributes:
        jaxpr: The linear map from input tangents to output tangents.
    """

    def __init__(self, name: str, jaxpr: Jaxpr, selected: Selected, in_tree: TreeDef, out_tree: TreeDef) -> None:
        self.jaxpr = jaxpr
        self._name, self._traced, self._in_tree, self._out_tree = name, selected.traced, in_tree, out_tree
        self._avals = [tangent_like(x) for x in selected.leaves]
        self._paths = partial(leaf_names, selected.function, selected.places, selected.treedefs)
        self._constants = [value for _, value in jaxpr.constants]

    def __call__(self, *tangents: Any) -> Any:
        """The derivative along tangents, one per argument; a tree like the function's result."""
        x_dots = match_leaves("tangent", self._name, tangents, self._in_tree, self._avals, self._paths)
        y_dots = evaluate(self.jaxpr, [x_dots[i] for i in self._traced])
        return tree_unflatten(self._out_tree, fresh(y_dots, [*x_dots, *self._constants]))

    def __repr__(self) -> str:
        return f"<linear part of {self._name}>"


def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of f, and its derivative at that point as a function of tangents.

    f runs once; the linear map can be applied many times at the cost of its own equations.

    Args:
        f: Any function of trees of arrays.
        primals: Its arguments: floating-point or complex trees (tangents of integers do not count).
        has_aux: Whether f returns a pair `(result, aux)`.

    Returns:
        `(result, linear)`, or `(result, linear, aux)`; `linear(*tangents)` equals `jvp(f, primals, tangents)[1]`.

    Raises:
        DifferentiationError: (a TypeError) An argument is no number or array.

    Example:
        >>> import numpy as np
        >>> y, linear = linearize(lambda x: x**2, 3.0)
        >>> linear(1.0), linear(10.0)
        (np.float64(6.0), np.float64(60.0))
    """
    selected = Selected("linearize", f, tuple(range(len(primals))), primals, {}, allow_int=True, complex_inputs=True)
    recording = Recording("linearize", f, False, True)
    recording.naming = selected.naming()
    try:
        leaves = selected.with_traced([recording.input(own(selected.leaves[i])) for i in selected.traced])
        out, aux = _call("linearize", selected, f, leaves, has_aux)
        lowered, out_tree = _lower(f"linearize({name_of(f)})", recording, out)
        jaxpr = linear_part(recording, lowered)
        result = tree_unflatten(out_tree, [own(y) for y, _ in lowered])
        aux = tree_map(own, lower_tree(recording, aux))
    finally:
        recording.close()
    linear = LinearMap(f"linearize({name_of(f)})", jaxpr, selected, tree_flatten(primals)[1], out_tree)
    return (result, linear, aux) if has_aux else (result, linear)


def linear_transpose(f: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of a linear function.

    Args:
        f: A function linear in all its arguments together.
        primals: Examples of its arguments: only shapes and dtypes count (`ShapeDtypeStruct`s will do).

    Returns:
        A function from a tree like f's result to a tuple with a tree for each argument.

    Raises:
        LinearityError: (a TypeError) f is not linear; the message names the line.

    Example:
        >>> import numpy as np
        >>> linear_transpose(lambda x: 3.0 * x, 0.0)(1.0)
        (np.float64(3.0),)
    """
    leaves, in_tree = tree_flatten(primals)
    out_trees: list[TreeDef] = []

    def flat(*xs: Any) -> list[Any]:
        outs, out_tree = tree_flatten(run(f, tree_unflatten(in_tree, xs), {}))
        out_trees.append(out_tree)
        return outs

    avals = [tangent_like(x) for x in leaves]
    out_avals, transpose = linear_transpose_flat(flat, avals, f)
    out_avals = [tangent_like(y) for y in out_avals]

    def transposed(ct: Any) -> tuple[Any, ...]:
        cts = match_leaves("cotangent", f"linear_transpose({name_of(f)})", ct, out_trees[0], out_avals)
        x_cts = [
            np.zeros(a.shape, a.dtype)[()] if x_ct is None else x_ct
            for x_ct, a in zip(transpose(cts), avals, strict=True)
        ]
        return tuple(tree_unflatten(in_tree, fresh(x_cts, cts)))

    return transposed


def stop_gradient(x: Any) -> Any:
    """x as a constant: no derivative passes, in any transformation.

    Args:
        x: An array, a scalar or a tree of them.

    Returns:
        The same values.

    Example:
        >>> from funcgrad import grad
        >>> grad(lambda x: x * stop_gradient(x))(3.0)
        np.float64(3.0)
    """
    if isinstance(x, Tracer):
        return identity.stop_gradient(x)
    return tree_map(lambda leaf: identity.stop_gradient(leaf) if isinstance(leaf, Tracer) else leaf, x)
