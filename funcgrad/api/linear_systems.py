"""Linear systems solved by any method, with the derivatives of the exact solution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.bodies import Body, operands, record_body, strengthened
from funcgrad.api.jacobians import jacfwd
from funcgrad.api.opaque import opaque
from funcgrad.api.outputs import split_aux
from funcgrad.api.products import stop_gradient, tree_text
from funcgrad.control.linear_solve import System, linear_solve_p, transposed_matvec
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import FuncgradError, TreeMismatchError, message
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import bind
from funcgrad.core.source import caller, definition
from funcgrad.core.tree import TreeDef, tree_flatten, tree_leaves, tree_map, tree_unflatten
from funcgrad.primitives.shaping import concatenate
from funcgrad.primitives.structural import reshape
from funcgrad.transforms.evaluate import evaluate


class SolutionError(FuncgradError, ArithmeticError):
    """What a solver gave is no solution."""


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution of a linear system by a given method, with the derivatives of the exact solution.

    Args:
        matvec: The linear function x -> A x. What it captures may be traced: derivatives pass to it.
        b: The right-hand side, a tree.
        solve: The method: `(matvec, b) -> x`, in functions that can be recorded (`opaque` ones among them).
        transpose_solve: The method for the transposed system, `(vecmat, b) -> x`; reverse mode needs one.
        symmetric: Whether A equals its transpose: `solve` serves both then.
        has_aux: Whether `solve` returns a pair `(x, aux)`; aux has no derivative.

    Returns:
        x, a tree like b; or `(x, aux)`.

    Raises:
        TreeMismatchError: (a TypeError) matvec or solve give another structure than b's.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> a = np.diag([2.0, 4.0])
        >>> def solve(matvec, b):
        ...     return np.linalg.solve(a, b)
        >>> grad(lambda b: np.sum(custom_linear_solve(lambda x: a @ x, b, solve, solve)))(np.ones(2))
        array([0.5 , 0.25])
    """
    b_leaves, tree = operands("custom_linear_solve", matvec, b, "b")
    b_leaves = list(map(strengthened, b_leaves))
    avals = [strong_aval(x) for x in b_leaves]
    arguments = tree_flatten((tree_unflatten(tree, avals),))[1]

    def recorded(function: Callable[..., Any]) -> Body:
        body = record_body("custom_linear_solve", function, arguments, avals)
        if body.tree != tree or list(map(_strong, body.avals)) != avals:
            raise TreeMismatchError(
                message(
                    f"custom_linear_solve({name_of(function)}) gives another type than that of b.",
                    value=f"{tree_text(body.tree)} of {body.avals}, for {tree_text(tree)} of {avals}",
                    where=definition(function),
                    fix="a square system: results of b's tree, shapes and dtypes.",
                )
            )
        return body

    def method(function: Callable[..., Any], system: Callable[[Any], Any]) -> Body:
        return recorded(functools.partial(_first if has_aux else _whole, function, system))

    product = recorded(matvec)
    bodies = [product, method(solve, matvec)]
    transposing = solve if symmetric else transpose_solve
    if transposing is not None:
        alone = System(product.jaxpr, bodies[1].jaxpr, None, len(product.captured))
        transposed, values = transposed_matvec(alone)
        bodies.append(method(transposing, function_of(transposed, [*values, *product.captured], tree)))
    jaxprs, captured = joined(bodies)
    system = System(jaxprs[0], jaxprs[1], jaxprs[2] if len(jaxprs) > 2 else None, len(captured))
    result = tree_unflatten(tree, bind(linear_solve_p, *captured, *b_leaves, system=system))
    return (result, stop_gradient(solve(matvec, b)[1])) if has_aux else result


def _whole(solve: Callable[..., Any], matvec: Callable[[Any], Any], b: Any) -> Any:
    return solve(matvec, b)


def _first(solve: Callable[..., Any], matvec: Callable[[Any], Any], b: Any) -> Any:
    return split_aux(f"custom_linear_solve({name_of(solve)})", solve, solve(matvec, b))[0]


def strong_aval(x: Any) -> ShapedArray:
    """The type of x, not weak."""
    return _strong(get_aval(x))


def _strong(aval: ShapedArray) -> ShapedArray:
    return ShapedArray(aval.shape, aval.dtype)


def function_of(jaxpr: Jaxpr, consts: Sequence[Any], tree: TreeDef) -> Callable[[Any], Any]:
    """A function of one tree, from a jaxpr of consts and the tree's leaves to such leaves."""
    return lambda x: tree_unflatten(tree, evaluate(jaxpr, [*consts, *tree_leaves(x)]))


def joined(bodies: Sequence[Body]) -> tuple[list[Jaxpr], list[Any]]:
    """Jaxprs that take in front what any of them captured, and these values."""
    jaxprs = []
    for i, body in enumerate(bodies):
        before = [Var(get_aval(x)) for other in bodies[:i] for x in other.captured]
        after = [Var(get_aval(x)) for other in bodies[i + 1 :] for x in other.captured]
        own = len(body.captured)
        inputs = [*before, *body.jaxpr.inputs[:own], *after, *body.jaxpr.inputs[own:]]
        jaxprs.append(Jaxpr(inputs, (), body.jaxpr.equations, body.jaxpr.outputs))
    return jaxprs, [x for body in bodies for x in body.captured]


def ravel(tree: Any) -> Any:
    """The leaves of a tree in one vector."""
    leaves = [reshape(x, (get_aval(x).size,)) for x in tree_leaves(tree)]
    return concatenate(leaves)


def unravel(vector: Any, like: Any) -> Any:
    """A vector as a tree like another."""
    leaves, tree = tree_flatten(like)
    parts, start = [], 0
    for x in leaves:
        aval = get_aval(x)
        parts.append(reshape(vector[start : start + aval.size], aval.shape))
        start += aval.size
    return tree_unflatten(tree, parts)


def dense_solve(matvec: Callable[[Any], Any], b: Any) -> Any:
    """The solution of a linear system whose matrix is made from its products with unit vectors."""
    b = tree_map(strengthened, b)
    rhs = ravel(b)
    matrix = jacfwd(lambda x: ravel(matvec(unravel(x, b))))(np.zeros(rhs.shape, rhs.dtype))
    return unravel(np.linalg.solve(matrix, rhs), b)


def linear_solve(
    a: Any,
    b: Any,
    solver: Callable[[Any, Any], Any] | None = None,
    *,
    symmetric: bool = False,
    tol: float | None = None,
) -> Any:
    """The solution of A x = b by any solver, with the derivatives of the exact solution in A and b.

    Args:
        a: A square matrix; or a linear function x -> A x, of a tree like b. What it captures may be traced.
        b: The right-hand side: a vector; a tree, if a is a function.
        solver: `(a, b) -> x` on plain arrays, SciPy's say; a is the matrix or the function, or its transpose. None:
            a factorization of the full matrix.
        symmetric: Whether A equals its transpose, so that the transposed function need not be made.
        tol: How large the largest element of A x - b may be, relative to that of b. None: the root of the dtype's
            precision.

    Returns:
        x, of b's type.

    Raises:
        SolutionError: (an ArithmeticError) What the solver gave is no solution.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> a = np.array([[4.0, 1.0], [1.0, 3.0]])
        >>> grad(lambda b: linear_solve(a, b)[0])(np.array([1.0, 2.0])).round(4)
        array([ 0.2727, -0.0909])
    """
    matvec = a if callable(a) else lambda x: a @ x
    if solver is None:
        if not callable(a):
            return custom_linear_solve(
                matvec, b, lambda _, rhs: np.linalg.solve(a, rhs), lambda _, rhs: np.linalg.solve(a.T, rhs)
            )
        return custom_linear_solve(matvec, b, dense_solve, dense_solve, symmetric)

    def method(product: Callable[[Any], Any], rhs: Any) -> Any:
        arguments = tree_flatten((rhs,))[1]
        body = record_body("linear_solve", product, arguments, [strong_aval(x) for x in tree_leaves(rhs)])

        def solved(captured: list[Any], rhs: Any) -> Any:
            plain = function_of(body.jaxpr, captured, tree_flatten(rhs)[1])
            matrix = plain if callable(a) else plain_matrix(plain, rhs)
            x = solver(matrix, rhs)
            check_solution("linear_solve", solver, tree_map(lambda p, q: p - q, plain(x), rhs), rhs, tol)
            return x

        return opaque(solved, result=tree_map(strong_aval, rhs))(list(body.captured), rhs)

    def plain_matrix(product: Callable[[Any], Any], rhs: Any) -> Any:
        return jacfwd(product)(np.zeros(np.shape(rhs), np.result_type(rhs)))

    return custom_linear_solve(matvec, b, method, method, symmetric)


def check_solution(name: str, solver: Callable[..., Any] | None, residual: Any, scale: Any, tol: float | None) -> None:
    """Check that a residual is small beside something of the size of the equation's terms.

    Raises:
        SolutionError: It is not.
    """
    leaves = [np.asarray(x) for x in tree_leaves(residual)]
    largest = max((float(np.max(np.abs(x), initial=0.0)) for x in leaves), default=0.0)
    size = max((float(np.max(np.abs(x), initial=0.0)) for x in tree_leaves(scale)), default=1.0)
    if tol is None:
        tol = max((float(np.sqrt(np.finfo(x.dtype).eps)) for x in leaves if x.dtype.kind in "fc"), default=1e-8)
    if not largest <= tol * max(size, 1.0) or any(np.isnan(x).any() for x in leaves):
        who = "its solver" if solver is None else name_of(solver)
        raise SolutionError(
            message(
                f"{name} got something from {who} that is no solution.",
                value=f"the largest residual is {largest:.3g}, allowed are {tol * max(size, 1.0):.3g}",
                where=caller(),
                why="the derivative of a solution follows from the equation, so the equation must hold.",
                fix="a better start, more iterations, or a smaller tolerance in the solver; tol=... to allow more.",
            )
        )
