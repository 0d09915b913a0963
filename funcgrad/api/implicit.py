"""Derivatives of what equations define, however these are solved: roots, fixed points, minima, linear systems.

The derivative of x with f(x, args) = 0 follows from f alone: x_dot = -(df/dx)^-1 (df/dargs args_dot). No derivative
passes through the solver, which may be SciPy's, stop early or restart; that what it gives is a solution is checked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.bodies import operands, record_body, strengthened
from funcgrad.api.differentiation import grad, value_and_grad
from funcgrad.api.jacobians import jacfwd
from funcgrad.api.linear_systems import (
    check_solution,
    custom_linear_solve,
    dense_solve,
    function_of,
    joined,
    ravel,
    strong_aval,
    unravel,
)
from funcgrad.api.opaque import opaque
from funcgrad.api.products import jvp, stop_gradient, tree_text
from funcgrad.control.custom import TangentRule, custom
from funcgrad.core.avals import get_aval
from funcgrad.core.errors import TreeMismatchError, message
from funcgrad.core.naming import name_of
from funcgrad.core.source import definition
from funcgrad.core.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from funcgrad.transforms.evaluate import evaluate

_MOST_ITERATIONS, _MOST_STEPS = 1000, 100
_SHORTEST = 2.0**-30


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """A root of a function by a given method, with the derivatives of the exact root in what the function captures.

    Args:
        f: The function whose root is sought, x -> f(x), of x's tree. What it captures may be traced.
        initial_guess: Where to start, a tree.
        solve: The method: `(f, initial_guess) -> x`, in functions that can be recorded (`opaque` ones among them).
        tangent_solve: A method for linear systems: `(g, y) -> x` with g(x) = y, g being f's derivative.
        has_aux: Whether `solve` returns a pair `(x, aux)`; aux has no derivative.

    Returns:
        x, or `(x, aux)`.

    Raises:
        TreeMismatchError: (a TypeError) f gives another structure than initial_guess's.

    Example:
        >>> from funcgrad import grad, lax
        >>> def newton(f, x):
        ...     return lax.fori_loop(0, 20, lambda _, x: x - f(x) / grad(f)(x), x)
        >>> def square_root(a):
        ...     return custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
        >>> grad(square_root)(4.0)
        np.float64(0.25)
    """
    guess, tree = operands("custom_root", f, initial_guess, "initial_guess")
    guess = list(map(strengthened, guess))
    avals = list(map(strong_aval, guess))
    arguments = tree_flatten((tree_unflatten(tree, avals),))[1]
    equation = record_body("custom_root", f, arguments, avals)
    if equation.tree != tree or [out.shape for out in equation.avals] != [x.shape for x in avals]:
        raise TreeMismatchError(
            message(
                f"custom_root({name_of(f)}) needs as many equations as unknowns.",
                value=f"{tree_text(equation.tree)} of {equation.avals}, for {tree_text(tree)} of {avals}",
                where=definition(f),
                fix="a function whose result is of the argument's tree and shapes.",
            )
        )
    method = record_body("custom_root", functools.partial(solve, f), arguments, avals)
    jaxprs, captured = joined([equation, method])
    number, count = len(equation.captured), len(avals)
    name = f"custom_root({name_of(f)})"

    def tangents(xs: Sequence[Any], x_dots: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        ys = custom(xs, jaxprs[1], rule, name)
        consts, root = xs[:number], ys[:count]
        moving = [x_dot is not None for x_dot in x_dots[:number]]
        if not any(moving):
            return ys, [None] * len(ys)

        def at_root(*new: Any) -> Any:
            rest = iter(new)
            full = [next(rest) if yes else c for c, yes in zip(consts, moving, strict=True)]
            return tuple(evaluate(equation.jaxpr, [*full, *root]))

        primals = tuple(c for c, yes in zip(consts, moving, strict=True) if yes)
        dots = tuple(x_dot for x_dot in x_dots[:number] if x_dot is not None)
        change = tree_unflatten(tree, [-r for r in jvp(at_root, primals, dots)[1]])
        linear = functools.partial(_derivative, function_of(equation.jaxpr, consts, tree), tree_unflatten(tree, root))
        x_dot = custom_linear_solve(linear, change, tangent_solve, tangent_solve)
        return ys, [*tree_leaves(x_dot), *[None] * (len(ys) - count)]

    rule = TangentRule(tangents)
    ys = custom([*captured, *map(stop_gradient, guess)], jaxprs[1], rule, name)
    return tree_unflatten(method.tree, ys)


def _derivative(f: Callable[[Any], Any], x: Any, x_dot: Any) -> Any:
    return jvp(f, (x,), (x_dot,))[1]


def root(
    f: Callable[..., Any],
    x0: Any,
    *args: Any,
    solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    tol: float | None = None,
    linear_solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
) -> Any:
    """The x with f(x, *args) = 0 near x0, by any solver, with the derivatives of the exact root in args.

    Args:
        f: Gives as many values as x has, in x's tree and shapes. What else it captures may be traced.
        x0: Where to start, a tree; it has no influence on derivatives.
        args: What the root depends on.
        solver: `(f, x0) -> x` on plain arrays, f being a function of x alone; SciPy's `root` result will do for x.
            None: Newton's method with backtracking.
        tol: How large f(x) may be, relative to f(x0). None: the root of the dtype's precision.
        linear_solver: `(g, y) -> x` with g(x) = y, in functions that can be recorded, for the derivative. None: the
            full Jacobian is made and factorized.

    Returns:
        x, a tree like x0.

    Raises:
        SolutionError: (an ArithmeticError) What the solver gave is no root.

    Example:
        >>> from funcgrad import grad
        >>> def cube_root(a):
        ...     return root(lambda x, a: x**3 - a, 1.0, a)
        >>> round(float(cube_root(8.0)), 12), round(float(grad(cube_root)(8.0)), 12)
        (2.0, 0.083333333333)
    """
    return _implicit("root", lambda x: f(x, *args), None, x0, solver, tol, linear_solver)


def fixed_point(
    f: Callable[..., Any],
    x0: Any,
    *args: Any,
    solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    tol: float | None = None,
    linear_solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
) -> Any:
    """The x with f(x, *args) = x near x0, by any solver, with the derivatives of the exact fixed point in args.

    Args:
        f: Gives the next x, of x's tree and shapes. What else it captures may be traced.
        x0: Where to start, a tree; it has no influence on derivatives.
        args: What the fixed point depends on.
        solver: `(f, x0) -> x` on plain arrays, f being a function of x alone. None: f again and again, and Newton's
            method where that takes too long.
        tol: How large f(x) - x may be, relative to f(x0) - x0. None: the root of the dtype's precision.
        linear_solver: As for `root`.

    Returns:
        x, a tree like x0.

    Raises:
        SolutionError: (an ArithmeticError) What the solver gave is no fixed point.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> round(float(grad(lambda a: fixed_point(lambda x, a: np.cos(a * x), 0.5, a))(1.0)), 6)
        -0.297474
    """
    equation: Callable[[Any], Any] = lambda x: tree_map(lambda y, old: y - old, f(x, *args), x)  # noqa: E731
    return _implicit("fixed_point", equation, None, x0, solver, tol, linear_solver)


def argmin(
    f: Callable[..., Any],
    x0: Any,
    *args: Any,
    solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    tol: float | None = None,
    linear_solver: Callable[[Callable[[Any], Any], Any], Any] | None = None,
) -> Any:
    """The x at which f(x, *args) is least near x0, by any solver, with the derivatives of the exact minimum in args.

    Args:
        f: Gives one number; twice differentiable. What else it captures may be traced.
        x0: Where to start, a tree; it has no influence on derivatives.
        args: What the minimum depends on.
        solver: `(f, x0) -> x` on plain arrays, f being a function of x alone; SciPy's `minimize` result will do for x.
            None: SciPy's BFGS, and Newton's method for the last digits.
        tol: How large f's gradient may be, relative to that at x0. None: the root of the dtype's precision.
        linear_solver: As for `root`; its matrix is f's Hessian.

    Returns:
        x, a tree like x0.

    Raises:
        SolutionError: (an ArithmeticError) f's gradient is not zero at what the solver gave.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> def mean(data):
        ...     return argmin(lambda m, data: np.sum((data - m) ** 2), 0.0, data)
        >>> grad(mean)(np.array([1.0, 2.0, 6.0])).round(6)
        array([0.333333, 0.333333, 0.333333])
    """
    objective: Callable[[Any], Any] = lambda x: f(x, *args)  # noqa: E731
    return _implicit("argmin", grad(objective), objective, x0, solver, tol, linear_solver)


def _implicit(
    name: str,
    equation: Callable[[Any], Any],
    objective: Callable[[Any], Any] | None,
    x0: Any,
    solver: Callable[..., Any] | None,
    tol: float | None,
    linear_solver: Callable[[Callable[[Any], Any], Any], Any] | None,
) -> Any:
    """The solution of an equation, found on plain arrays.

    Args:
        name: "root", "fixed_point" or "argmin": what the solver is given is the equation, f(x) = equation(x) + x, or
            the objective.
    """

    def solve(_: Callable[[Any], Any], guess: Any) -> Any:
        arguments = tree_flatten((guess,))[1]
        avals = [strong_aval(x) for x in tree_leaves(guess)]
        bodies = [record_body(name, equation, arguments, avals)]
        if objective is not None:
            bodies.append(record_body(name, objective, arguments, avals))
        jaxprs, captured = joined(bodies)

        def solved(captured: list[Any], guess: Any) -> Any:
            tree = tree_flatten(guess)[1]
            residual = function_of(jaxprs[0], captured, tree)
            given: Callable[[Any], Any] = residual
            if name == "fixed_point":
                given = lambda x: tree_map(lambda r, old: r + old, residual(x), x)  # noqa: E731
            elif objective is not None:
                given = lambda x: evaluate(jaxprs[1], [*captured, *tree_leaves(x)])[0]  # noqa: E731
            found = (solver or _SOLVERS[name])(given, guess)
            x = unravel(ravel(getattr(found, "x", found)), guess)
            check_solution(name, solver, residual(x), residual(guess), tol)
            return x

        return opaque(solved, result=tree_map(strong_aval, guess))(captured, guess)

    x0 = tree_map(lambda x: x if hasattr(x, "dtype") and get_aval(x).dtype.kind in "fc" else np.float64(x), x0)
    return custom_root(equation, x0, solve, linear_solver or dense_solve)


# Solvers for those who name none ------------------------------------------------------------------------------------


def _newton(f: Callable[[Any], Any], x0: Any) -> Any:
    """Newton's method, with shorter steps where the residual would grow."""

    def flat(v: Any) -> Any:
        return ravel(f(unravel(v, x0)))

    jacobian = jacfwd(flat)
    x = np.array(ravel(x0))
    r = flat(x)
    for _ in range(_MOST_STEPS):
        step = np.linalg.lstsq(jacobian(x), -r)[0]
        size = 1.0
        while size > _SHORTEST and not np.linalg.norm(flat(x + size * step)) < np.linalg.norm(r):
            size /= 2
        if size <= _SHORTEST:
            break
        x = x + size * step
        r = flat(x)
    return unravel(x, x0)


def _iterated(f: Callable[[Any], Any], x0: Any) -> Any:
    """f again and again, until nothing changes any more."""
    x = x0
    for _ in range(_MOST_ITERATIONS):
        new = f(x)
        old_vector, vector = ravel(x), ravel(new)
        x = new
        change = np.max(np.abs(vector - old_vector), initial=0.0)
        if change <= 4 * np.finfo(vector.dtype).eps * max(1.0, np.max(np.abs(vector), initial=0.0)):
            return x
        if not np.isfinite(change):
            x = x0
            break
    return _newton(lambda x: tree_map(lambda y, old: y - old, f(x), x), x)


def _minimized(f: Callable[[Any], Any], x0: Any) -> Any:
    """SciPy's BFGS, and Newton's method on the gradient for the last digits."""
    from scipy import optimize

    def flat(v: Any) -> Any:
        return f(unravel(v, x0))

    start = np.asarray(ravel(x0), np.float64)
    found = optimize.minimize(value_and_grad(flat), start, jac=True, method="BFGS").x
    return unravel(_newton(grad(flat), found).astype(ravel(x0).dtype), x0)


_SOLVERS: dict[str, Callable[..., Any]] = {"root": _newton, "fixed_point": _iterated, "argmin": _minimized}
