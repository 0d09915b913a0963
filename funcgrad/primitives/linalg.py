"""Linear systems and determinants of stacks of square matrices: inv, solve, det, slogdet.

References:
    Giles, "An extended collection of matrix derivative results for forward and reverse mode algorithmic
    differentiation" (2008).
    Magnus and Neudecker, "Matrix Differential Calculus", chapter 8 (determinants, adjugates).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.complex import conjugate, is_complex, real
from funcgrad.primitives.contractions import raise_as_numpy, swap_last
from funcgrad.primitives.kinds import nonlinear, shape_of
from funcgrad.primitives.shaping import diagonal
from funcgrad.primitives.structural import broadcast_to, cast, moveaxis, reduce_sum, reshape

Rule = Callable[..., Any]


# What this family is declared and written with ----------------------------------------------------------------------


def matrix_function(
    name: str, *, implementation: Rule, abstract: Rule, tangent: Rule, multiple_results: bool = False
) -> Primitive:
    """Declare a nonlinear primitive of one stack of matrices, which treats each matrix alike."""

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, Any]:
        y = bind(primitive, moveaxis(xs[0], dims[0], 0), **params)
        return y, (0,) * len(y) if multiple_results else 0

    primitive = nonlinear(
        name,
        implementation=implementation,
        abstract=abstract,
        tangents=(tangent,),
        batch=batch,
        multiple_results=multiple_results,
    )
    return primitive


def check_square(function: Callable[..., Any], x: ShapedArray) -> None:
    """Check that x is a stack of square matrices.

    Raises:
        LinAlgError: as NumPy's `function`.
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise_as_numpy(function, x)


def linalg_dtype(function: Callable[..., Any], *xs: ShapedArray) -> np.dtype[Any]:
    """The dtype in which LAPACK's answer comes back.

    Raises:
        TypeError: as NumPy's `function`, for half and extended precision.
    """
    if any(x.dtype.char not in "fdFD?bBhHiIlLqQ" for x in xs):
        raise_as_numpy(function, *xs)
    return np.result_type(*[x.dtype if x.dtype.kind in "fc" else np.float64 for x in xs]).newbyteorder("=")


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real part."""
    return np.finfo(dtype).dtype


def adjoint(x: Any) -> Any:
    """The conjugate transpose of each matrix."""
    return conjugate(swap_last(x))


def hermitian_part(x: Any) -> Any:
    """(x + x^H) / 2 of each matrix."""
    return 0.5 * (x + adjoint(x))


def sum_matrices(x: Any) -> Any:
    """The sum of each matrix' elements."""
    rank = len(shape_of(x))
    return reduce_sum(x, (rank - 2, rank - 1))


# inv: y = x^-1 ------------------------------------------------------------------------------------------------------


def _inv_implementation(x: Any, invertible: bool) -> Any:
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        if invertible:
            raise
    if x.ndim == 2:
        return np.full(x.shape, np.nan, np.linalg.inv(np.ones((1, 1), x.dtype)).dtype)
    return np.array([_inv_implementation(row, False) for row in x])


def _inv_abstract(x: ShapedArray, invertible: bool) -> ShapedArray:
    check_square(np.linalg.inv, x)
    return ShapedArray(x.shape, linalg_dtype(np.linalg.inv, x))


inv_p = matrix_function(
    "inv",
    implementation=_inv_implementation,
    abstract=_inv_abstract,
    tangent=lambda x_dot, y, x, invertible: -(y @ x_dot @ y),
)


def inv(x: Any, invertible: bool = True) -> Any:
    """The inverses of matrices.

    Args:
        x: A stack of square matrices.
        invertible: Whether they must all be invertible; otherwise a singular one's inverse is NaN.

    Raises:
        LinAlgError: A matrix is singular, and `invertible`.
    """
    return bind(inv_p, x, invertible=invertible)


# solve: y = a^-1 b, of matrices b -----------------------------------------------------------------------------------
# What a_dot does to y is what -a_dot y in place of b_dot would do: one solve serves both tangents, and a solve with
# the transposed matrix both cotangents. (In b alone it is linear, which no kind has together with a rule for a.)


def _solve_abstract(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    check_square(np.linalg.solve, a)
    if b.ndim < 2 or b.shape[:-1] != a.shape[:-1]:
        raise_as_numpy(np.linalg.solve, a, b)
    return ShapedArray(b.shape, linalg_dtype(np.linalg.solve, a, b))


def _solve_jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    a_dot, b_dot = tangents
    if a_dot is None:
        return solve(xs[0], b_dot)
    effect = a_dot @ y
    return solve(xs[0], -effect if b_dot is None else b_dot - effect)


def _solve_vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
    a, b = xs
    b_ct = solve(swap_last(a), ct)
    a_ct = None if ids[0] is None else cast(-(b_ct @ swap_last(y)), a.dtype)
    return a_ct, None if ids[1] is None else cast(b_ct, b.dtype)


def _solve_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    (a, b), (a_dim, b_dim) = xs, dims
    if a_dim is None:
        # One factorization for all right-hand sides.
        assert b_dim is not None
        b = moveaxis(b, b_dim, len(shape_of(a)) - 1)
        *stack, n, _, k = shape_of(b)
        return reshape(solve(a, reshape(b, (*stack, n, size * k))), (*stack, n, size, k)), len(stack) + 1
    b = broadcast_to(b, (size, *shape_of(b))) if b_dim is None else moveaxis(b, b_dim, 0)
    return solve(moveaxis(a, a_dim, 0), b), 0


solve_p = Primitive(
    "solve",
    implementation=np.linalg.solve,
    abstract=_solve_abstract,
    jvp=_solve_jvp,
    vjp=_solve_vjp,
    batch=_solve_batch,
    is_linear=lambda active: active == [1],
)


def solve(a: Any, b: Any) -> Any:
    """The solutions y of a y = b.

    Args:
        a: A stack of square matrices.
        b: As many matrices of right-hand sides.

    Raises:
        LinAlgError: A matrix is singular.
    """
    return bind(solve_p, a, b)


# cofactor, cofactor_slope: the first derivatives of det, as polynomials of the elements -----------------------------
# det is a polynomial, so its derivatives exist for singular matrices, too. Where a matrix is well conditioned they
# come from its inverse; otherwise from its singular values, without division.


def _products_without(s: Any) -> Any:
    """For each element the product of all others along the last axis."""
    before, after = np.ones_like(s), np.ones_like(s)
    np.cumprod(s[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(s[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return before * after


def _well_conditioned_inverse(x: Any) -> Any:
    """The inverses, if all of them have at least 13 good digits (in double precision); else None."""
    try:
        y = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    condition = np.abs(x).sum(-2).max(-1, initial=0.0) * np.abs(y).sum(-2).max(-1, initial=0.0)
    return y if np.all(condition < 1e3) else None


def _unitary_factors(x: Any) -> tuple[Any, Any, Any, Any]:
    finite = np.isfinite(x).all((-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(finite, x, 0))  # LAPACK may not return from infinities
    u = np.where(finite, u, np.nan)
    return u, s, vh, (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


def _cofactor_implementation(x: Any) -> Any:
    inverse = _well_conditioned_inverse(x)
    if inverse is not None:
        return np.linalg.det(x)[..., None, None] * inverse.mT
    u, s, vh, phase = _unitary_factors(x)
    return phase * ((u * _products_without(s)[..., None, :]) @ vh).conj()


def _cofactor_abstract(x: ShapedArray) -> ShapedArray:
    return ShapedArray(x.shape, linalg_dtype(np.linalg.det, x))


cofactor_p = matrix_function(
    "cofactor",
    implementation=_cofactor_implementation,
    abstract=_cofactor_abstract,
    tangent=lambda x_dot, y, x: cofactor_slope(x, x_dot),
)


def cofactor(x: Any) -> Any:
    """The matrices of cofactors: d det(x) / dx, the transposed adjugate."""
    return bind(cofactor_p, x)


def _cofactor_slope_implementation(x: Any, t: Any) -> Any:
    inverse = _well_conditioned_inverse(x)
    if inverse is not None:
        y = inverse @ t
        trace = np.trace(y, axis1=-2, axis2=-1)[..., None, None]
        return np.linalg.det(x)[..., None, None] * (trace * inverse - y @ inverse).mT
    # In the basis of singular vectors x is diagonal and minors are products of singular values.
    u, s, vh, phase = _unitary_factors(x)
    c = u.conj().mT @ t @ vh.conj().mT
    identity = np.eye(x.shape[-1], dtype=s.dtype)
    without_two = _products_without(s[..., None, :] * (1 - identity) + identity)
    diagonals = np.einsum("...ij,...jj->...i", without_two * (1 - identity), c)
    adjugate = diagonals[..., None] * identity - without_two * (1 - identity) * c
    return phase * (u @ adjugate.conj().mT @ vh).conj()


def _second_slope(x: Any, t1: Any, t2: Any) -> Any:
    """The second directional derivative of the cofactors of invertible matrices."""
    inverse = inv(x)
    y1, y2 = inverse @ t1, inverse @ t2
    trace1, trace2, both = _trace(y1), _trace(y2), y1 @ y2
    total = (trace1 * trace2 - _trace(both)) * inverse
    total = total - (trace1 * y2 + trace2 * y1 - both - y2 @ y1) @ inverse
    return _each(det(x)) * swap_last(total)


def _trace(x: Any) -> Any:
    d = diagonal(x)
    return _each(reduce_sum(d, (len(shape_of(d)) - 1,)))


def _each(x: Any) -> Any:
    """One number for each matrix, as matrices that broadcast."""
    return reshape(x, (*shape_of(x), 1, 1))


# The derivatives of det are symmetric multilinear forms: each of these maps is its own transpose.


def _cofactor_slope_jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    (x_dot, t_dot), (x, t) = tangents, xs
    term = None if t_dot is None else cofactor_slope(x, t_dot)
    if x_dot is None:
        return term
    curvature = _second_slope(x, t, x_dot)
    return curvature if term is None else curvature + term


def _cofactor_slope_vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
    x, t = xs
    return (
        None if ids[0] is None else _second_slope(x, t, ct),
        None if ids[1] is None else cofactor_slope(x, ct),
    )


def _cofactor_slope_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    x, t = [
        broadcast_to(a, (size, *shape_of(a))) if dim is None else moveaxis(a, dim, 0)
        for a, dim in zip(xs, dims, strict=True)
    ]
    return cofactor_slope(x, t), 0


cofactor_slope_p = Primitive(
    "cofactor_slope",
    implementation=_cofactor_slope_implementation,
    abstract=lambda x, t: ShapedArray(x.shape, np.result_type(x.dtype, t.dtype)),
    jvp=_cofactor_slope_jvp,
    vjp=_cofactor_slope_vjp,
    batch=_cofactor_slope_batch,
    is_linear=lambda active: active == [1],
)


def cofactor_slope(x: Any, t: Any) -> Any:
    """The directional derivative of the cofactors at x along t.

    Derivative: exact for singular matrices in t; in x (the third derivative of det) for invertible ones.
    """
    return bind(cofactor_slope_p, x, t)


# det ----------------------------------------------------------------------------------------------------------------


def _det_abstract(x: ShapedArray) -> ShapedArray:
    check_square(np.linalg.det, x)
    return ShapedArray(x.shape[:-2], linalg_dtype(np.linalg.det, x))


det_p = matrix_function(
    "det",
    implementation=np.linalg.det,
    abstract=_det_abstract,
    tangent=lambda x_dot, y, x: sum_matrices(cofactor(x) * x_dot),
)


def det(x: Any) -> Any:
    """The determinants of a stack of square matrices.

    Derivative: the cofactors, exact for singular matrices, to order 2; order 3 asks for invertible matrices.
    """
    return bind(det_p, x)


# slogdet: det(x) = sign exp(logabs) ---------------------------------------------------------------------------------


def _slogdet_abstract(x: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
    check_square(np.linalg.slogdet, x)
    dtype = linalg_dtype(np.linalg.slogdet, x)
    return ShapedArray(x.shape[:-2], dtype), ShapedArray(x.shape[:-2], real_dtype(dtype))


def _slogdet_tangent(x_dot: Any, y: Any, x: Any) -> tuple[Any, Any]:
    slope = sum_matrices(swap_last(inv(x, invertible=False)) * x_dot)
    if not is_complex(x):
        return None, slope
    modulus = real(slope)
    return y[0] * (slope - modulus), modulus


slogdet_p = matrix_function(
    "slogdet",
    implementation=lambda x: tuple(np.linalg.slogdet(x)),
    abstract=_slogdet_abstract,
    tangent=_slogdet_tangent,
    multiple_results=True,
)


def slogdet(x: Any) -> tuple[Any, Any]:
    """The signs of determinants (on the unit circle, if complex) and the logarithms of their moduli.

    Derivative: NaN for singular matrices.
    """
    return bind(slogdet_p, x)
