"""Derivative rules of one's own: `custom_jvp`, `custom_vjp`, and one-line forms for common cases."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from funcgrad.api.bodies import operands, record_body, strengthened
from funcgrad.api.products import tree_text
from funcgrad.api.results import zeros_for
from funcgrad.api.rule_checks import check_rule, is_checking
from funcgrad.control.custom import (
    PullbackRule,
    Rule,
    TangentRule,
    behind,
    custom,
    is_differentiated,
    record_rule,
    recorded,
)
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, FunctionExpectedError, TreeMismatchError, message
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.core.naming import name_of, parameters_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import NAMESPACE, TreeDef, leaf_paths, tree_flatten, tree_map, tree_unflatten
from funcgrad.primitives.structural import broadcast_to, cast
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


class _Call:
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
            raise _wrong_tree(self.name, function, "a value of another structure than before", self.out_tree, tree)
        self.out_tree = tree
        return list(map(strengthened, ys))


class _Custom:
    """A function with a derivative rule."""

    construct: str

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        if not callable(function):
            raise FunctionExpectedError(self.construct, function)
        self.function = function
        self.transformation = self.construct
        functools.update_wrapper(self, function, updated=())
        self._nondiff = _positions(self, nondiff_argnums, nondiff_argnames)
        self._checked = False

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return name_of(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result."""
        args = _positional(self.function, args, kwargs)
        self._check_rule()
        call = _Call(self.construct, self.function, self._nondiff, args)
        if not any(type(x) is Tracer for x in call.leaves):
            return self.function(*args)
        if not self._checked and is_checking():
            self._checked = check_rule(
                call.name, self.function, lambda xs: self._lower(call, xs), self._rule(call), call.leaves
            )
        ys: Sequence[Any] | None = None
        if is_differentiated([*call.leaves, *self._captured()]):
            ys = record_rule(call.leaves, lambda xs: self._lower(call, xs), self._rule(call), call.name)
        if ys is None:
            ys = self._record(call)
        assert call.out_tree is not None
        return tree_unflatten(call.out_tree, ys)

    def _captured(self) -> list[Any]:
        """The traced values that the function or its rules hold in their closures."""
        cells = [cell for f in (self.function, *self._rules()) for cell in getattr(f, "__closure__", None) or ()]
        return [value for cell in cells if type(value := _contents(cell)) is Tracer]

    def _rules(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _lower(self, call: _Call, xs: Sequence[Any]) -> list[Any]:
        return call.results(self(*call.full(xs)), self.function)

    def _record(self, call: _Call) -> list[Any]:
        """The call as one equation, in a recording that does not differentiate."""
        avals = [ShapedArray(get_aval(x).shape, get_aval(x).dtype) for x in call.leaves]
        flat_tree = tree_flatten(tuple(avals))[1]

        def flat(*xs: Any) -> list[Any]:
            return call.results(self.function(*call.full(xs)), self.function)

        functools.update_wrapper(flat, self.function, updated=())
        body = record_body(self.construct, flat, flat_tree, avals)
        rule = self._rule(call)
        count = len(body.captured)
        if not any(type(x) is Tracer for x in body.captured):
            return custom([*body.captured, *call.leaves], body.jaxpr, behind(rule, count, call.name), call.name)
        # The rule will run when these values are traced no more: it is recorded, too, with all that it captures.
        rule, values = recorded(rule, avals, call.name)
        own = body.jaxpr.inputs
        inputs = [*own[:count], *[Var(get_aval(x)) for x in values], *own[count:]]
        jaxpr = Jaxpr(inputs, (), body.jaxpr.equations, body.jaxpr.outputs)
        rule = behind(rule, count, call.name)
        return custom([*body.captured, *values, *call.leaves], jaxpr, rule, call.name)

    def _rule(self, call: _Call) -> Rule:
        raise NotImplementedError

    def _check_rule(self) -> None:
        raise NotImplementedError


class custom_jvp(_Custom):
    """A function whose derivative along a tangent is given by a rule; reverse mode follows from it by transposition.

    Args:
        function: Any function of trees of arrays.
        nondiff_argnums: Positions of arguments that are no arrays: the rule gets them in front, as they are.
        nondiff_argnames: The same by name.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> @custom_jvp
        ... def log1pexp(x):
        ...     return np.log(1.0 + np.exp(x))
        >>> @log1pexp.defjvp
        ... def log1pexp_jvp(primals, tangents):
        ...     (x,), (x_dot,) = primals, tangents
        ...     return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * x_dot
        >>> grad(log1pexp)(100.0)
        np.float64(1.0)
    """

    construct = "custom_jvp"
    _jvp: Callable[..., Any] | None = None
    _symbolic = False

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule: `(*nondiff_args, primals, tangents) -> (value, tangent)`, linear in the tangents.

        Args:
            jvp: The rule. `primals` and `tangents` are tuples with one entry per argument.
            symbolic_zeros: Whether tangents that are zero come as `SymbolicZero`s.

        Returns:
            The rule, so that this is a decorator.
        """
        self._jvp, self._symbolic = jvp, symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set a rule for each argument: `(tangent, value, *args) -> tangent of the value`; None for one without."""

        def jvp(*args: Any) -> tuple[Any, Any]:
            primals, tangents = args
            y = self(*primals)
            y_dot = None
            for rule, x_dot in zip(jvps, tangents, strict=True):
                if rule is not None:
                    term = rule(x_dot, y, *primals)
                    y_dot = term if y_dot is None else tree_map(lambda a, b: a + b, y_dot, term)
            return y, tree_map(zeros_for, y) if y_dot is None else y_dot

        if self._nondiff:
            raise ArgumentError(
                message(f"{self!r} has nondiff_argnums, of which defjvps knows nothing.", where=caller(), fix="defjvp.")
            )
        self._jvp, self._symbolic = jvp, False

    def _rules(self) -> tuple[Any, ...]:
        return (self._jvp,)

    def _check_rule(self) -> None:
        if self._jvp is None:
            raise _no_rule(self, "defjvp")

    def _rule(self, call: _Call) -> Rule:
        def tangents(xs: Sequence[Any], x_dots: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            assert self._jvp is not None
            zeros = [_zero(x, self._symbolic) if x_dot is None else x_dot for x, x_dot in zip(xs, x_dots, strict=True)]
            out = self._jvp(*call.nondiff, call.primals(xs), tree_unflatten(call.tree, zeros))
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise _no_pair(call.name, self._jvp, "(value, tangent)")
            ys = call.results(out[0], self._jvp)
            assert call.out_tree is not None
            return ys, _matched(call.name, self._jvp, "tangent", out[1], call.out_tree, ys, "result")

        return TangentRule(tangents)


class custom_vjp(_Custom):
    """A function whose pullback is given by a rule; forward mode follows from it by transposition.

    Args:
        function: Any function of trees of arrays.
        nondiff_argnums: Positions of arguments that are no arrays: the backward rule gets them in front.
        nondiff_argnames: The same by name.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> @custom_vjp
        ... def clipped(x):
        ...     return x
        >>> clipped.defvjp(lambda x: (x, None), lambda residuals, ct: (np.clip(ct, -1.0, 1.0),))
        >>> grad(lambda x: 5.0 * clipped(x))(3.0)
        np.float64(1.0)
    """

    construct = "custom_vjp"
    _fwd: Callable[..., Any] | None = None
    _bwd: Callable[..., Any] | None = None
    _symbolic = False

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any], symbolic_zeros: bool = False) -> None:
        """Set the rule.

        Args:
            fwd: `(*args) -> (value, residuals)`, args as the function's. With `symbolic_zeros` each leaf of an argument
                comes as an object with its `value`, and whether it is `perturbed`: whether it is differentiated.
            bwd: `(*nondiff_args, residuals, ct) -> cts`, a tuple with one entry per argument, of its tree; None for
                zero.
            symbolic_zeros: Whether cotangents that are zero come as `SymbolicZero`s.
        """
        self._fwd, self._bwd, self._symbolic = fwd, bwd, symbolic_zeros

    def _rules(self) -> tuple[Any, ...]:
        return (self._fwd, self._bwd)

    def _check_rule(self) -> None:
        if self._fwd is None:
            raise _no_rule(self, "defvjp")

    def _rule(self, call: _Call) -> Rule:
        fwd, bwd = self._fwd, self._bwd
        assert fwd is not None
        assert bwd is not None
        trees: list[TreeDef] = []
        avals: list[ShapedArray] = []

        def forward(xs: Sequence[Any], active: Sequence[bool]) -> tuple[list[Any], list[Any]]:
            marked = [Primal(x, yes) for x, yes in zip(xs, active, strict=True)] if self._symbolic else xs
            out = fwd(*call.full(marked))
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise _no_pair(call.name, fwd, "(value, residuals)")
            ys = call.results(out[0], fwd)
            residuals, tree = tree_flatten(out[1])
            trees[:] = [tree]
            avals[:] = map(tangent_aval, ys)
            return ys, residuals

        def backward(residuals: list[Any], cts: Sequence[Any]) -> list[Any]:
            full = [
                (SymbolicZero(aval) if self._symbolic else SymbolicZero(aval).instantiate()) if ct is None else ct
                for ct, aval in zip(cts, avals, strict=True)
            ]
            assert call.out_tree is not None
            ct = tree_unflatten(call.out_tree, full)
            out = bwd(*call.nondiff, tree_unflatten(trees[0], residuals), ct)
            return _matched_cts(call, bwd, out)

        return PullbackRule(forward, backward)


class Primal:
    """An argument as a forward rule with `symbolic_zeros` gets it.

    Attributes:
        value: The array.
        perturbed: Whether it is differentiated.
    """

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool) -> None:
        self.value, self.perturbed = value, perturbed


def custom_linear(function: Callable[..., Any], transpose: Callable[..., Any]) -> Callable[..., Any]:
    """A linear function with its transpose: derivatives of both modes in one line.

    Args:
        function: Linear in all its arguments together.
        transpose: From a tree like the result to a tuple of trees like the arguments (or the one tree of the only one).

    Returns:
        The function, with that derivative.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> reverse_sum = custom_linear(lambda x: np.cumsum(x[::-1]), lambda ct: np.cumsum(ct[::-1]))
        >>> grad(lambda x: reverse_sum(x)[0])(np.ones(3))
        array([0., 0., 1.])
    """
    result = custom_vjp(function)

    def backward(count: int, ct: Any) -> tuple[Any, ...]:
        cts = transpose(ct)
        return cts if isinstance(cts, tuple) and count == len(cts) else (cts,)

    result.defvjp(lambda *args: (function(*args), len(args)), backward)
    return result


def custom_elementwise(function: Callable[..., Any], *partials: Callable[..., Any] | None) -> Callable[..., Any]:
    """An elementwise function with its partial derivatives: derivatives of both modes in one line.

    Args:
        function: Of arrays that broadcast together, to one array.
        partials: For each argument `(y, *args) -> dy/dx`, y being the function's value; None where it is zero.

    Returns:
        The function, with that derivative.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> cube = custom_elementwise(lambda x: x**3, lambda y, x: 3 * x**2)
        >>> grad(cube)(2.0)
        np.float64(12.0)
    """
    result = custom_jvp(function)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        y = result(*primals)
        total = SymbolicZero(get_aval(y)).instantiate()
        for partial, x_dot in zip(partials, tangents, strict=True):
            if partial is not None and not isinstance(x_dot, SymbolicZero):
                total = total + partial(y, *primals) * x_dot
        return y, broadcast_to(total, get_aval(y).shape)

    result.defjvp(jvp, symbolic_zeros=True)
    return result


# What rules are given, and what they give ---------------------------------------------------------------------------


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _positional(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
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


def _positions(owner: _Custom, numbers: Any, names: Any) -> tuple[int, ...]:
    found = [numbers] if isinstance(numbers, (int, np.integer)) else list(numbers)
    wanted = [names] if isinstance(names, str) else list(names)
    known = [p.name for p in parameters_of(owner.function) or ()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ArgumentError(
            message(
                f"{owner!r} has nondiff_argnames={unknown[0]!r}, but no such parameter.",
                value=f"parameters: {', '.join(known) or 'none'}",
                where=caller(),
                fix="a parameter's name, or its position in nondiff_argnums.",
            )
        )
    positions = [*map(int, found), *map(known.index, wanted)]
    return tuple(sorted({n + len(known) if n < 0 else n for n in positions}))


def _zero(x: Any, symbolic: bool) -> Any:
    zero = SymbolicZero(get_aval(zeros_for(x)))
    return zero if symbolic else zero.instantiate()


def _matched(
    name: str, rule: Callable[..., Any], what: str, tree: Any, expected: TreeDef, values: Sequence[Any], root: str
) -> list[Any]:
    """The leaves of a tangent that a rule gave, in the types of the values they belong to; None for a symbolic zero."""
    leaves, actual = tree_flatten(tree)
    if actual != expected:
        raise _wrong_tree(name, rule, f"a {what} of another structure than the value", expected, actual)
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


def _matched_cts(call: _Call, bwd: Callable[..., Any], out: Any) -> list[Any]:
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
            cts += _matched(call.name, bwd, "cotangent", _filled(ct, primal), tree, values, root)
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


def _no_rule(owner: _Custom, method: str) -> ArgumentError:
    name = name_of(owner.function)
    return ArgumentError(
        message(f"{owner!r} has no derivative rule yet.", where=caller(), fix=f"{name}.{method}(...) before its use.")
    )


def _no_pair(name: str, rule: Callable[..., Any], pair: str) -> TreeMismatchError:
    return TreeMismatchError(
        message(f"{name} has a rule that gives no pair.", where=definition(rule), fix=f"return {pair}.")
    )


def _wrong_tree(
    name: str, rule: Callable[..., Any], what: str, expected: TreeDef, actual: TreeDef
) -> TreeMismatchError:
    return TreeMismatchError(
        message(
            f"{name} has a rule that gives {what}.",
            value=tree_text(actual),
            where=definition(rule),
            why=f"expected: {tree_text(expected)}",
            fix="the tree of the value, with arrays in place of each leaf *.",
        )
    )
