"""Derivative rules of one's own: `custom_jvp`, `custom_vjp`, and one-line forms for common cases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.bodies import record_body
from funcgrad.api.results import zeros_for
from funcgrad.api.rule_checks import check_rule, is_checking
from funcgrad.api.rule_results import (
    Call,
    SymbolicZero,
    matched_cotangents,
    matched_tangents,
    no_pair_error,
    positional,
    zero_tangent,
)
from funcgrad.control.custom import (
    PullbackRule,
    Recursion,
    Rule,
    TangentRule,
    behind,
    custom,
    is_differentiated,
    record_rule,
    recorded,
    with_inputs,
)
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, FunctionExpectedError, message
from funcgrad.core.naming import name_of, parameters_of
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import TreeDef, tree_flatten, tree_map, tree_unflatten
from funcgrad.primitives.structural import broadcast_to
from funcgrad.transforms.transpose import tangent_aval


class _Custom:
    """A function with a derivative rule."""

    construct: str
    _symbolic = False

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        if not callable(function):
            raise FunctionExpectedError(self.construct, function)
        self.function = function
        self.transformation = self.construct
        functools.update_wrapper(self, function, updated=())
        self._nondiff = _positions(self, nondiff_argnums, nondiff_argnames)
        self._checked = False

    @property
    def rules(self) -> tuple[Any, ...]:
        """The functions that its rule was given as; None for those that were not given."""
        return self._rules()

    @property
    def is_plain(self) -> bool:
        """Whether the rule gets arrays for all arguments, and for zeros, too."""
        return not self._nondiff and not self._symbolic

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return name_of(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result."""
        args = positional(self.function, args, kwargs)
        self._check_rule()
        call = Call(self.construct, self.function, self._nondiff, args)
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

    def _lower(self, call: Call, xs: Sequence[Any]) -> list[Any]:
        return call.results(self(*call.full(xs)), self.function)

    def _record(self, call: Call) -> list[Any]:
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
        known = next((known for known in _being_recorded.get() if known.is_of(self, call, avals)), None)
        if known is not None:
            rule = behind(known.rule, count, call.name)
            return custom([*body.captured, *call.leaves], body.jaxpr, rule, call.name)
        # The rule will run when these values are traced no more: it is recorded, too, with all that it captures.
        recursion = Recursion(call.name)
        token = _being_recorded.set((*_being_recorded.get(), _BeingRecorded(self, call, avals, recursion)))
        try:
            rule, values = recorded(rule, avals, call.name, recursion)
        finally:
            _being_recorded.reset(token)
        jaxpr = with_inputs(body.jaxpr, count, list(map(get_aval, values)))
        rule = behind(rule, count, call.name)
        return custom([*body.captured, *values, *call.leaves], jaxpr, rule, call.name)

    def _rule(self, call: Call) -> Rule:
        raise NotImplementedError

    def _check_rule(self) -> None:
        raise NotImplementedError


class _BeingRecorded(NamedTuple):
    """A call of a function of which the rule is just being recorded."""

    function: _Custom
    call: Call
    avals: Sequence[ShapedArray]
    rule: Recursion

    def is_of(self, function: _Custom, call: Call, avals: Sequence[ShapedArray]) -> bool:
        """Whether another call has the same rule."""
        if function is not self.function or call.tree != self.call.tree or avals != self.avals:
            return False
        pairs = list(zip(call.nondiff, self.call.nondiff, strict=False))
        plain = (bool, int, float, complex, str, bytes)
        return len(call.nondiff) == len(self.call.nondiff) and all(
            x is y or (type(x) is type(y) and isinstance(x, plain) and x == y) for x, y in pairs
        )


_being_recorded: ContextVar[tuple[_BeingRecorded, ...]] = ContextVar("rules that are being recorded", default=())


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

    def _rule(self, call: Call) -> Rule:
        def tangents(xs: Sequence[Any], x_dots: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            assert self._jvp is not None
            zeros = [
                zero_tangent(x, self._symbolic) if x_dot is None else x_dot for x, x_dot in zip(xs, x_dots, strict=True)
            ]
            out = self._jvp(*call.nondiff, call.primals(xs), tree_unflatten(call.tree, zeros))
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise no_pair_error(call.name, self._jvp, "(value, tangent)")
            ys = call.results(out[0], self._jvp)
            assert call.out_tree is not None
            return ys, matched_tangents(call.name, self._jvp, "tangent", out[1], call.out_tree, ys, "result")

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

    def _rule(self, call: Call) -> Rule:
        fwd, bwd = self._fwd, self._bwd
        assert fwd is not None
        assert bwd is not None
        trees: list[TreeDef] = []
        avals: list[ShapedArray] = []

        def forward(xs: Sequence[Any], active: Sequence[bool]) -> tuple[list[Any], list[Any]]:
            marked = [Primal(x, yes) for x, yes in zip(xs, active, strict=True)] if self._symbolic else xs
            out = fwd(*call.full(marked))
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise no_pair_error(call.name, fwd, "(value, residuals)")
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
            return matched_cotangents(call, bwd, out)

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

    vars(backward)["rules"] = (transpose,)
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

    vars(jvp)["rules"] = partials
    result.defjvp(jvp, symbolic_zeros=True)
    return result


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


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


def _no_rule(owner: _Custom, method: str) -> ArgumentError:
    name = name_of(owner.function)
    return ArgumentError(
        message(f"{owner!r} has no derivative rule yet.", where=caller(), fix=f"{name}.{method}(...) before its use.")
    )
