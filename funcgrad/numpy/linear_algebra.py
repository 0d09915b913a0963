"""numpy.linalg of traced arrays: systems, determinants, factorizations, norms. (Products are in `contractions.py`.)"""

from __future__ import annotations

import contextlib
import math
import operator
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.tracing import concrete
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.contractions import stand_in
from funcgrad.numpy.norms import norm
from funcgrad.numpy.protocol import implements
from funcgrad.primitives import decompositions, leastsquares, linalg
from funcgrad.primitives.complex import conjugate, real
from funcgrad.primitives.contractions import matmul, swap_last
from funcgrad.primitives.structural import broadcast_to, cast, reshape, transpose

_ONE = np.eye(1)
# NumPy's own types of results, which have no public name.
EigResult: Any = type(np.linalg.eig(_ONE))
EighResult: Any = type(np.linalg.eigh(_ONE))
_EIG_IS_COMPLEX = np.linalg.eig(_ONE)[0].dtype.kind == "c"  # always, since NumPy 2.5
QRResult: Any = type(np.linalg.qr(_ONE))
SlogdetResult: Any = type(np.linalg.slogdet(_ONE))
SVDResult: Any = type(np.linalg.svd(_ONE))

LinAlgError = np.linalg.LinAlgError


# Systems and determinants


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """np.linalg.inv."""
    return linalg.inv(as_array(a))


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """np.linalg.solve."""
    a, b = as_array(a), as_array(b)
    if a.ndim == b.ndim == 2:
        return linalg.solve(a, b)
    columns = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    stack: Any = None
    with contextlib.suppress(ValueError):
        stack = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    if stack is None or b.ndim == 0 or a.ndim < 2 or a.shape[-2:] != (columns.shape[-2],) * 2:
        np.linalg.solve(stand_in(a), stand_in(b))  # NumPy says what is wrong
    y = linalg.solve(
        broadcast_to(a, (*stack, *a.shape[-2:])),
        broadcast_to(columns, (*stack, *columns.shape[-2:])),
    )
    return reshape(y, y.shape[:-1]) if b.ndim == 1 else y


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """np.linalg.tensorsolve."""
    a, b = as_array(a), as_array(b)
    if axes is not None:
        order = list(range(a.ndim))
        for axis in axes:
            order.remove(axis)
            order.insert(a.ndim, axis)
        a = transpose(a, order)
    shape = a.shape[-(a.ndim - b.ndim) :]
    size = math.prod(shape)
    if a.size != size**2:
        np.linalg.tensorsolve(stand_in(a), stand_in(b))
    y = linalg.solve(reshape(a, (size, size)), reshape(b, (b.size, 1)))
    return reshape(y, shape)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """np.linalg.tensorinv."""
    a = as_array(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    size = math.prod(a.shape[ind:])
    y = linalg.inv(reshape(a, (size, a.size // size if size else 0)))
    return reshape(y, (*a.shape[ind:], *a.shape[:ind]))


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """np.linalg.matrix_power: by repeated squaring, in NumPy's order."""
    a = as_array(a)
    linalg.check_square(np.linalg.inv, a)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n == 0:
        return np.array(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))
    if n < 0:
        a, n = linalg.inv(a), -n
    if n == 3:
        return matmul(matmul(a, a), a)
    square = result = None
    while n > 0:
        square = a if square is None else matmul(square, square)
        n, bit = divmod(n, 2)
        if bit:
            result = square if result is None else matmul(result, square)
    return result


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """np.linalg.det."""
    return linalg.det(as_array(a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """np.linalg.slogdet."""
    return SlogdetResult(*linalg.slogdet(as_array(a)))


# Factorizations


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """np.linalg.cholesky."""
    return decompositions.cholesky(as_array(a), bool(upper))


def _triangle(uplo: str) -> str:
    uplo = uplo.upper()
    if uplo not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    """np.linalg.eigh."""
    return EighResult(*decompositions.eigh(as_array(a), _triangle(UPLO)))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    """np.linalg.eigvalsh."""
    return decompositions.eigvalsh(as_array(a), _triangle(UPLO))


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """np.linalg.eig: real where all eigenvalues are, complex where that is not known as under vmap."""
    a = as_array(a)
    w, v = decompositions.eig(a)
    return EigResult(real(w), real(v)) if _is_all_real(w, a) else EigResult(w, v)


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """np.linalg.eigvals: real where all eigenvalues are, complex where that is not known as under vmap."""
    a = as_array(a)
    w = decompositions.eigvals(a)
    return real(w) if _is_all_real(w, a) else w


def _is_all_real(w: Any, a: Any) -> bool:
    """Whether NumPy would give the eigenvalues w of a as real numbers: a value is read, if there is one."""
    if _EIG_IS_COMPLEX or a.dtype.kind == "c" or type(concrete(w)) is ShapedArray:
        return False
    return bool((w.imag == 0.0).all())


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """np.linalg.svd."""
    a = as_array(a)
    if hermitian:
        return _svd_of_hermitian(a, compute_uv)
    if compute_uv:
        return SVDResult(*decompositions.svd(a, bool(full_matrices)))
    return decompositions.svdvals(a)


def _svd_of_hermitian(a: Any, compute_uv: bool) -> Any:
    """Singular values and vectors by way of eigenvalues, of which one may be negative."""
    if not compute_uv:
        return np.sort(abs(decompositions.eigvalsh(a)))[..., ::-1]
    w, u = decompositions.eigh(a)
    order = np.argsort(abs(w))[..., ::-1]
    sign = np.take_along_axis(np.copysign(1.0, w), order, axis=-1)
    s = np.take_along_axis(abs(w), order, axis=-1)
    u = np.take_along_axis(u, order[..., None, :], axis=-1)
    return SVDResult(u, s, conjugate(swap_last(u * sign[..., None, :])))


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """np.linalg.svdvals."""
    return decompositions.svdvals(as_array(x))


@implements(np.linalg.qr)
def qr(a: Any, mode: Any = "reduced") -> Any:
    """np.linalg.qr, in the modes reduced, complete and r."""
    a = as_array(a)
    if mode not in ("reduced", "complete", "r"):
        np.linalg.qr(_ONE, mode)  # NumPy's error, or its warning
        if mode not in ("f", "full"):
            raise UnsupportedFunctionError(f"np.linalg.qr with mode={mode!r}")
    q, r = decompositions.qr(a, mode == "complete")
    return r if mode == "r" else QRResult(q, r)


# Least squares


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """np.linalg.pinv."""
    a = as_array(a)
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else rtol
        if rcond is None:
            rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    elif rtol is not np._NoValue:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    return leastsquares.pinv(a, rcond, bool(hermitian))


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """np.linalg.lstsq."""
    a, b = as_array(a), as_array(b)
    columns = reshape(b, (b.size, 1)) if b.ndim == 1 else b
    if a.ndim != 2 or columns.ndim != 2 or a.shape[0] != columns.shape[0]:
        np.linalg.lstsq(stand_in(a), stand_in(b))
    if rcond is None:
        rcond = np.finfo(np.float64).eps * max(a.shape)
    dtype = linalg.linalg_dtype(np.linalg.lstsq, a, columns)
    x, residuals, rank, s = leastsquares.lstsq(cast(a, dtype), cast(columns, dtype), float(rcond))
    return reshape(x, x.shape[:1]) if b.ndim == 1 else x, residuals, rank, s


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803
    """np.linalg.matrix_rank, which has no derivative."""
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    a = as_array(A)
    if a.ndim < 2:
        return (a != 0).any().astype(int)
    s = svd(a, compute_uv=False, hermitian=hermitian)
    if tol is not None:
        tol = as_array(tol)[..., None]
    else:
        rtol = max(a.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else as_array(rtol)[..., None]
        tol = np.max(s, axis=-1, keepdims=True, initial=0) * rtol
    return np.count_nonzero(s > tol, axis=-1)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """np.linalg.cond."""
    x = as_array(x)
    if x.size == 0 and math.prod(x.shape[-2:]) == 0:
        raise LinAlgError("cond is not defined on empty arrays")
    with np.errstate(all="ignore"):
        if p is None or p in {2, -2}:
            s = decompositions.svdvals(x)
            y = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
        else:
            linalg.check_square(np.linalg.inv, x)
            dtype = linalg.linalg_dtype(np.linalg.cond, x)
            inverse = linalg.inv(cast(x, np.result_type(dtype, np.float64)), invertible=False)
            y = norm(x, p, axis=(-2, -1)) * norm(inverse, p, axis=(-2, -1))
            y = cast(y, linalg.real_dtype(dtype))
    return np.where(np.isnan(y) & ~np.isnan(x).any(axis=(-2, -1)), np.inf, y)[()]
