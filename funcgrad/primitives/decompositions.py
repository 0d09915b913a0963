"""Factorizations of stacks of matrices: cholesky, qr, eigh, svd, eig, and eigenvalues and singular values alone.

Vectors of equal (or, to working precision, indistinguishable) eigenvalues or singular values have no derivative of
their own: any rotation of them is as good. Their rotation among each other is taken to be zero. Functions that do
not depend on the choice of these vectors, such as projectors onto their span, have the right derivative; so have
symmetric functions of the values.

References:
    Giles, "An extended collection of matrix derivative results for forward and reverse mode algorithmic
    differentiation" (2008).
    Murray, "Differentiation of the Cholesky decomposition" (2016).
    Townsend, "Differentiating the singular value decomposition" (2016); Wan and Zhang, "Automatic differentiation
    for complex valued SVD" (2019).
    Walter and Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum
    experimental design" (2010), for QR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.complex import conjugate, imag, is_complex, real
from funcgrad.primitives.contractions import column, raise_as_numpy, row
from funcgrad.primitives.kinds import nondifferentiable, shape_of
from funcgrad.primitives.linalg import (
    adjoint,
    check_square,
    hermitian_part,
    inv,
    linalg_dtype,
    matrix_function,
    real_dtype,
)
from funcgrad.primitives.shaping import concatenate, diagonal, slice_axis
from funcgrad.primitives.structural import moveaxis, reduce_sum


def _sum_rows(x: Any) -> Any:
    """The sum over each matrix' rows: a vector of column sums."""
    return reduce_sum(x, (len(shape_of(x)) - 2,))


def _columns(x: Any, start: int | None, stop: int | None) -> Any:
    return slice_axis(x, len(shape_of(x)) - 1, start, stop)


# cholesky: x = y y^H, or y^H y for the upper factor -----------------------------------------------------------------


def _cholesky_abstract(x: ShapedArray, upper: bool) -> ShapedArray:
    check_square(np.linalg.cholesky, x)
    return ShapedArray(x.shape, linalg_dtype(np.linalg.cholesky, x))


def _cholesky_tangent(x_dot: Any, y: Any, x: Any, upper: bool) -> Any:
    """y_dot = y phi(y^-1 x_dot y^-H), where phi takes the lower triangle and half of the diagonal (Murray, eq. 8)."""
    lower = adjoint(y) if upper else y
    inverse = inv(lower)
    n = shape_of(x)[-1]
    half = np.tri(n, dtype=real_dtype(x_dot.dtype)) - 0.5 * np.eye(n, dtype=real_dtype(x_dot.dtype))
    lower_dot = lower @ (half * (inverse @ hermitian_part(x_dot) @ adjoint(inverse)))
    return adjoint(lower_dot) if upper else lower_dot


cholesky_p = matrix_function(
    "cholesky",
    implementation=lambda x, upper: np.linalg.cholesky(x, upper=upper),
    abstract=_cholesky_abstract,
    tangent=_cholesky_tangent,
)


def cholesky(x: Any, upper: bool = False) -> Any:
    """The triangular factors of Hermitian positive definite matrices, of which one triangle is read.

    Derivative: along Hermitian matrices. Of other tangents the Hermitian part counts, so gradients are Hermitian.
    """
    return bind(cholesky_p, x, upper=upper)


# coincidences: which values along the last axis cannot be told apart ------------------------------------------------


def _coincidences_implementation(w: Any) -> Any:
    n = w.shape[-1]
    magnitude = np.abs(w)
    resolution = np.finfo(w.dtype).eps * n * magnitude.max(-1, initial=0.0)
    return (np.abs(w[..., :, None] - w[..., None, :]) <= resolution[..., None, None]).astype(magnitude.dtype)


def _coincidences_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return _coincidences(moveaxis(xs[0], dims[0], 0)), 0


coincidences_p = nondifferentiable(
    "coincidences",
    implementation=_coincidences_implementation,
    abstract=lambda w: ShapedArray((*w.shape, w.shape[-1]), real_dtype(w.dtype)),
    batch=_coincidences_batch,
)


def _coincidences(w: Any) -> Any:
    """For each pair of values 1 if they are equal to within LAPACK's resolution, else 0."""
    return bind(coincidences_p, w)


def _reciprocal_gaps(w: Any) -> Any:
    """1 / (w_j - w_i) in row i and column j; 0 for equal values."""
    same = _coincidences(w)
    return (1.0 - same) / (row(w) - column(w) + same)


def _reciprocal(x: Any) -> Any:
    """1 / x; 0 where x is 0."""
    zero = x == 0
    return ~zero / (x + zero)


# eigh: x = v w v^H of Hermitian matrices ----------------------------------------------------------------------------


def _eigvalsh_abstract(x: ShapedArray, uplo: str) -> ShapedArray:
    check_square(np.linalg.eigvalsh, x)
    return ShapedArray(x.shape[:-1], real_dtype(linalg_dtype(np.linalg.eigvalsh, x)))


def _eigh_abstract(x: ShapedArray, uplo: str) -> tuple[ShapedArray, ShapedArray]:
    check_square(np.linalg.eigh, x)
    dtype = linalg_dtype(np.linalg.eigh, x)
    return ShapedArray(x.shape[:-1], real_dtype(dtype)), ShapedArray(x.shape, dtype)


def _eigh_tangent(x_dot: Any, y: Any, x: Any, uplo: str) -> tuple[Any, Any]:
    w, v = y
    x_dot_v = x_dot @ v
    w_dot = real(_sum_rows(conjugate(v) * x_dot_v))
    return w_dot, v @ (_reciprocal_gaps(w) * hermitian_part(adjoint(v) @ x_dot_v))


eigh_p = matrix_function(
    "eigh",
    implementation=lambda x, uplo: tuple(np.linalg.eigh(x, uplo)),
    abstract=_eigh_abstract,
    tangent=_eigh_tangent,
    multiple_results=True,
)


def eigh(x: Any, uplo: str = "L") -> tuple[Any, Any]:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices, of which one triangle is read.

    Derivative: along Hermitian matrices. Of other tangents the Hermitian part counts, so gradients are Hermitian.
    Eigenvectors of equal eigenvalues do not turn into each other (see above); none changes its phase.
    """
    return bind(eigh_p, x, uplo=uplo)


def _eigvalsh_tangent(x_dot: Any, y: Any, x: Any, uplo: str) -> Any:
    _, v = eigh(x, uplo)
    return real(_sum_rows(conjugate(v) * (hermitian_part(x_dot) @ v)))


eigvalsh_p = matrix_function(
    "eigvalsh",
    implementation=lambda x, uplo: np.linalg.eigvalsh(x, uplo),
    abstract=_eigvalsh_abstract,
    tangent=_eigvalsh_tangent,
)


def eigvalsh(x: Any, uplo: str = "L") -> Any:
    """The eigenvalues of Hermitian matrices, ascending."""
    return bind(eigvalsh_p, x, uplo=uplo)


# svd: x = u s v^H ---------------------------------------------------------------------------------------------------


def _svdvals_abstract(x: ShapedArray) -> ShapedArray:
    if x.ndim < 2:
        raise_as_numpy(np.linalg.svd, x)
    dtype = real_dtype(linalg_dtype(np.linalg.svd, x))
    return ShapedArray((*x.shape[:-2], min(x.shape[-2:])), dtype)


def _svd_abstract(x: ShapedArray, full: bool) -> tuple[ShapedArray, ShapedArray, ShapedArray]:
    s = _svdvals_abstract(x)
    dtype = linalg_dtype(np.linalg.svd, x)
    *stack, m, n = x.shape
    k = min(m, n)
    u, vh = (*stack, m, m if full else k), (*stack, n if full else k, n)
    return ShapedArray(u, dtype), s, ShapedArray(vh, dtype)


def _svd_tangent(x_dot: Any, y: Any, x: Any, full: bool) -> tuple[Any, Any, Any]:
    """u^H u_dot and v^H v_dot are skew; they follow from the two off-diagonal parts of c = u^H x_dot v.

    The parts have different denominators, s_j - s_i and s_j + s_i, so that equal singular values disturb one only.
    The diagonal of the second is imaginary: it settles the phases of complex vectors.
    """
    u, s, vh = y
    m, n = shape_of(x)[-2:]
    k = min(m, n)
    u1, v1 = _columns(u, 0, k), _columns(adjoint(vh), 0, k)
    x_dot_v, x_dot_u = x_dot @ v1, adjoint(x_dot) @ u1
    c = adjoint(u1) @ x_dot_v
    difference = _reciprocal_gaps(s) * hermitian_part(c)
    total = _reciprocal(row(s) + column(s)) * (0.5 * (c - adjoint(c)))
    turned = _reciprocal(row(s))
    u1_dot, v1_dot = u1 @ (difference + total), v1 @ (difference - total)
    if m > n:
        u1_dot = u1_dot + (x_dot_v - u1 @ c) * turned
    if m < n:
        v1_dot = v1_dot + (x_dot_u - v1 @ adjoint(c)) * turned
    u_dot, v_dot = _with_complement(u1_dot, u1, u), _with_complement(v1_dot, v1, adjoint(vh))
    return u_dot, real(diagonal(c)), adjoint(v_dot)


def _with_complement(q1_dot: Any, q1: Any, q: Any) -> Any:
    """The tangent of an orthonormal basis q, given that of its first columns; the others turn as little as they can."""
    k = shape_of(q1)[-1]
    if shape_of(q)[-1] == k:
        return q1_dot
    q2_dot = -(q1 @ (adjoint(q1_dot) @ _columns(q, k, None)))
    return concatenate([q1_dot, q2_dot], len(shape_of(q)) - 1)


svd_p = matrix_function(
    "svd",
    implementation=lambda x, full: tuple(np.linalg.svd(x, full_matrices=full)),
    abstract=_svd_abstract,
    tangent=_svd_tangent,
    multiple_results=True,
)


def svd(x: Any, full: bool = False) -> tuple[Any, Any, Any]:
    """Singular vectors and values: u, s (descending) and v^H.

    Args:
        x: A stack of matrices.
        full: Whether u and v^H are square, completed by orthonormal vectors.

    Derivative: vectors of equal singular values do not turn into each other (see above), nor do the vectors that
    complete u or v^H. At 0 a singular value goes on smoothly, into the negative, as u and v^H go on.
    """
    return bind(svd_p, x, full=full)


def _svdvals_tangent(x_dot: Any, y: Any, x: Any) -> Any:
    u, s, vh = svd(x)
    resolution = np.finfo(s.dtype).eps * max(shape_of(x)[-2:])
    positive = s > resolution * _columns(s, 0, 1)
    return positive * real(_sum_rows(conjugate(u) * (x_dot @ adjoint(vh))))


svdvals_p = matrix_function(
    "svdvals",
    implementation=lambda x: np.linalg.svd(x, compute_uv=False),
    abstract=_svdvals_abstract,
    tangent=_svdvals_tangent,
)


def svdvals(x: Any) -> Any:
    """The singular values of matrices, descending.

    Derivative: 0 for a singular value that is 0 (to within LAPACK's resolution), a kink, so that a nuclear norm's is
    the least of its subgradients.
    """
    return bind(svdvals_p, x)


# qr: x = q r --------------------------------------------------------------------------------------------------------


def _qr_abstract(x: ShapedArray, complete: bool) -> tuple[ShapedArray, ShapedArray]:
    if x.ndim < 2:
        raise_as_numpy(np.linalg.qr, x)
    dtype = linalg_dtype(np.linalg.qr, x)
    *stack, m, n = x.shape
    k = m if complete else min(m, n)
    return ShapedArray((*stack, m, k), dtype), ShapedArray((*stack, k, n), dtype)


def _qr_tangent(x_dot: Any, y: Any, x: Any, complete: bool) -> tuple[Any, Any]:
    """q^H q_dot is skew, and its lower triangle that of c = q^H x_dot r^-1, since r_dot r^-1 is upper triangular."""
    q, r = y
    m, n = shape_of(x)[-2:]
    k = min(m, n)
    rank = len(shape_of(x))
    q1, r1 = _columns(q, 0, k), slice_axis(r, rank - 2, 0, k)
    inverse = inv(_columns(r1, 0, k), invertible=False)
    q_x_dot = adjoint(q1) @ x_dot
    c = _columns(q_x_dot, 0, k) @ inverse
    below = np.tri(k, k, -1, dtype=real_dtype(x_dot.dtype)) * c
    skew = below - adjoint(below)
    if is_complex(x):
        skew = skew + np.eye(k, dtype=x_dot.dtype) * (0.5 * (c - adjoint(c)))
    q1_dot = q1 @ skew
    if m > n:
        q1_dot = q1_dot + x_dot @ inverse - q1 @ c
    r1_dot = q_x_dot - skew @ r1
    if not complete or m <= n:
        return q1_dot, r1_dot
    zeros = np.zeros((*shape_of(x)[:-2], m - n, n), x_dot.dtype)
    return _with_complement(q1_dot, q1, q), concatenate([r1_dot, zeros], rank - 2)


qr_p = matrix_function(
    "qr",
    implementation=lambda x, complete: tuple(np.linalg.qr(x, "complete" if complete else "reduced")),
    abstract=_qr_abstract,
    tangent=_qr_tangent,
    multiple_results=True,
)


def qr(x: Any, complete: bool = False) -> tuple[Any, Any]:
    """The factors of x = q r: orthonormal columns q and upper triangular r with a real diagonal.

    Args:
        x: A stack of matrices.
        complete: Whether q is square, completed by orthonormal vectors.

    Derivative: NaN where the first columns of x (as many as it has rows, at most) are linearly dependent. The vectors
    that complete q do not turn into each other.
    """
    return bind(qr_p, x, complete=complete)


# eig: x v = v w of any square matrices; w and v are complex ---------------------------------------------------------


def _complex_dtype(x: ShapedArray) -> np.dtype[Any]:
    return np.result_type(linalg_dtype(np.linalg.eig, x), np.complex64)


def _eig_implementation(x: Any) -> tuple[Any, Any]:
    w, v = np.linalg.eig(x)
    dtype = np.result_type(w, np.complex64)
    return w.astype(dtype, copy=False), v.astype(dtype, copy=False)


def _eig_abstract(x: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
    check_square(np.linalg.eig, x)
    dtype = _complex_dtype(x)
    return ShapedArray(x.shape[:-1], dtype), ShapedArray(x.shape, dtype)


def _eig_tangent(x_dot: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """LAPACK's vectors have length 1 and a real largest component; so they stay."""
    w, v = y
    c = inv(v, invertible=False) @ (x_dot @ v)
    v_dot = v @ (_reciprocal_gaps(w) * c)
    longer = real(_sum_rows(conjugate(v) * v_dot))
    largest = bind(largest_p, v)
    turned = imag(_sum_rows(largest * v_dot) / _sum_rows(largest * v))
    return diagonal(c), v_dot - v * row(longer + 1j * turned)


eig_p = matrix_function(
    "eig",
    implementation=_eig_implementation,
    abstract=_eig_abstract,
    tangent=_eig_tangent,
    multiple_results=True,
)


def eig(x: Any) -> tuple[Any, Any]:
    """Eigenvalues and right eigenvectors of square matrices, in complex numbers.

    Derivative: eigenvectors of equal eigenvalues do not turn into each other. A defective matrix has none, which shows
    in numbers out of all proportion, or NaN.
    """
    return bind(eig_p, x)


def _largest_implementation(v: Any) -> Any:
    largest = np.zeros_like(v)
    if v.size:
        np.put_along_axis(largest, np.abs(v).argmax(-2)[..., None, :], 1.0, -2)
    return largest


def _largest_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(largest_p, moveaxis(xs[0], dims[0], 0)), 0


# 1 at each column's component of largest modulus, 0 elsewhere
largest_p = nondifferentiable(
    "largest", implementation=_largest_implementation, abstract=lambda v: v, batch=_largest_batch
)


def _eigvals_abstract(x: ShapedArray) -> ShapedArray:
    check_square(np.linalg.eigvals, x)
    return ShapedArray(x.shape[:-1], _complex_dtype(x))


def _eigvals_implementation(x: Any) -> Any:
    w = np.linalg.eigvals(x)
    return w.astype(np.result_type(w, np.complex64), copy=False)


def _eigvals_tangent(x_dot: Any, y: Any, x: Any) -> Any:
    _, v = eig(x)
    return diagonal(inv(v, invertible=False) @ (x_dot @ v))


eigvals_p = matrix_function(
    "eigvals", implementation=_eigvals_implementation, abstract=_eigvals_abstract, tangent=_eigvals_tangent
)


def eigvals(x: Any) -> Any:
    """The eigenvalues of square matrices, in complex numbers."""
    return bind(eigvals_p, x)
