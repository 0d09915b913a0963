"""Matrices of any shape inverted as well as can be: pinv and lstsq.

Both differentiate the pseudoinverse as if its rank stayed as it is; it jumps where the rank changes.

Reference: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate" (1973), equation 4.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.complex import conjugate, real
from funcgrad.primitives.contractions import raise_as_numpy
from funcgrad.primitives.decompositions import svd
from funcgrad.primitives.kinds import nonlinear, shape_of
from funcgrad.primitives.linalg import adjoint, hermitian_part, linalg_dtype, real_dtype
from funcgrad.primitives.shaping import diagonal
from funcgrad.primitives.structural import batch_to_rank, broadcast_to, moveaxis, reduce_sum

# pinv: y = x^+, small singular values cut off -----------------------------------------------------------------------


def _pinv_abstract(x: ShapedArray, rcond: ShapedArray, hermitian: bool) -> ShapedArray:
    if x.ndim < 2 or (hermitian and x.shape[-1] != x.shape[-2]):
        raise_as_numpy(np.linalg.pinv, x, rcond, hermitian=hermitian)
    *stack, m, n = x.shape
    dtype = x.dtype if 0 in (m, n) else linalg_dtype(np.linalg.pinv, x)
    return ShapedArray((*stack, n, m), dtype)


def _pinv_tangent(x_dot: Any, y: Any, x: Any, rcond: Any, hermitian: bool) -> Any:
    if hermitian:
        x_dot = hermitian_part(x_dot)
    flipped = adjoint(x_dot)
    left, right = flipped @ (adjoint(y) @ y), (y @ adjoint(y)) @ flipped
    return left - y @ (x @ left) + right - (right @ x) @ y - y @ x_dot @ y


def _pinv_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    (x, rcond), (x_dim, rcond_dim) = xs, dims
    x = broadcast_to(x, (size, *shape_of(x))) if x_dim is None else moveaxis(x, x_dim, 0)
    if rcond_dim is not None:
        rcond = batch_to_rank(rcond, rcond_dim, len(shape_of(x)) - 3)
    return bind(pinv_p, x, rcond, **params), 0


pinv_p = nonlinear(
    "pinv",
    implementation=np.linalg.pinv,
    abstract=_pinv_abstract,
    tangents=(_pinv_tangent, None),
    batch=_pinv_batch,
)


def pinv(x: Any, rcond: Any, hermitian: bool = False) -> Any:
    """The pseudoinverses of matrices.

    Args:
        x: A stack of matrices.
        rcond: Up to which fraction of the largest singular value others count as zero; a number for each matrix, or
            one for all.
        hermitian: Whether they are Hermitian, and one triangle is to be read.

    Derivative: with the rank held fixed; of `hermitian` ones along Hermitian matrices.
    """
    return bind(pinv_p, x, rcond, hermitian=hermitian)


# lstsq: the shortest y among those that make |a y - b| least ----------------------------------------------------------


def _lstsq_implementation(a: Any, b: Any, rcond: float) -> tuple[Any, Any, Any, Any]:
    if a.ndim == 2:
        y, residuals, rank, s = np.linalg.lstsq(a, b, rcond)
        return y, residuals, rank, s
    stack = a.shape[:-2]
    rows = [np.linalg.lstsq(a[i], b[i], rcond) for i in np.ndindex(stack)]
    y, residuals, rank, s = map(list, zip(*rows, strict=True))
    if any(row.size == 0 for row in residuals):
        residuals = [row[:0] for row in residuals]
    y, residuals, rank, s = [np.reshape(part, (*stack, *np.shape(part[0]))) for part in (y, residuals, rank, s)]
    return y, residuals, rank, s


def _lstsq_abstract(a: ShapedArray, b: ShapedArray, rcond: float) -> tuple[ShapedArray, ...]:
    """Of full rank: of a lesser one there are no residuals."""
    if a.ndim < 2 or b.ndim < 2 or a.shape[:-1] != b.shape[:-1]:
        raise_as_numpy(np.linalg.lstsq, a, b)
    dtype = linalg_dtype(np.linalg.lstsq, a, b)
    *stack, m, n = a.shape
    k = b.shape[-1]
    return (
        ShapedArray((*stack, n, k), dtype),
        ShapedArray((*stack, k if m > n else 0), real_dtype(dtype)),
        ShapedArray((*stack,), np.intc),
        ShapedArray((*stack, min(m, n)), real_dtype(dtype)),
    )


def _lstsq_jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    (a_dot, b_dot), (a, b), (solution, residuals, _, _) = tangents, xs, y
    inverse, r, s_dot = pinv(a, params["rcond"]), b - a @ solution, None
    r_dot = b_dot  # but for what the solution's tangent makes of it, which is orthogonal to r
    if a_dot is not None:
        r_dot = -(a_dot @ solution) if b_dot is None else b_dot - a_dot @ solution
    solution_dot = inverse @ r_dot
    if a_dot is not None:
        flipped = adjoint(a_dot)
        aside = flipped @ (adjoint(inverse) @ solution)
        solution_dot = solution_dot + inverse @ (adjoint(inverse) @ (flipped @ r)) + aside - inverse @ (a @ aside)
        u, _, vh = svd(a)
        s_dot = real(diagonal(adjoint(u) @ a_dot @ adjoint(vh)))
    if 0 in shape_of(residuals):
        return solution_dot, None, None, s_dot
    squares_dot = 2.0 * real(reduce_sum(conjugate(r) * r_dot, (len(shape_of(r)) - 2,)))
    return solution_dot, squares_dot, None, s_dot


def _lstsq_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, tuple[int, ...]]:
    operands = [
        broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
        for x, dim in zip(xs, dims, strict=True)
    ]
    return bind(lstsq_p, *operands, **params), (0, 0, 0, 0)


lstsq_p = Primitive(
    "lstsq",
    implementation=_lstsq_implementation,
    abstract=_lstsq_abstract,
    multiple_results=True,
    jvp=_lstsq_jvp,
    batch=_lstsq_batch,
)


def lstsq(a: Any, b: Any, rcond: float) -> tuple[Any, Any, Any, Any]:
    """Least-squares solutions, sums of squared residuals, ranks of a, singular values of a.

    Args:
        a: Matrices of coefficients.
        b: As many matrices of right-hand sides.
        rcond: Up to which fraction of the largest singular value others count as zero.

    Derivative: with the rank held fixed.
    """
    return bind(lstsq_p, a, b, rcond=rcond)
