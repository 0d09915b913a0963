"""NumPy's functions that make matrices of arrays: diag, diagflat, tril, triu, trace, kron, vander."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.joining import stack
from funcgrad.numpy.protocol import implements, method
from funcgrad.numpy.views import diagonal, ravel
from funcgrad.primitives import shaping
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import cast, reshape


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """NumPy's diag."""
    v = as_array(v)
    if len(v.shape) == 2:
        return diagonal(v, k)
    if len(v.shape) != 1:
        raise ValueError("Input must be 1- or 2-d.")
    n = v.shape[0] + abs(k)
    return shaping.embed_diagonal(v, int(k), (n, n))


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """NumPy's diagflat."""
    return diag(ravel(v), k)


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """NumPy's trace."""
    return diagonal(a, offset, axis1, axis2).sum(-1, dtype, out)


@method("trace")
def array_trace(
    self: Tracer, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """ndarray.trace."""
    return trace(self, offset, axis1, axis2, dtype, out)


@implements(np.linalg.trace)
def matrix_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """NumPy's linalg.trace."""
    return trace(x, offset, -2, -1, dtype)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """NumPy's tril."""
    m = as_array(m)
    return select(_lower(m, k), m, np.zeros(1, m.dtype))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """NumPy's triu."""
    m = as_array(m)
    return select(_lower(m, k - 1), np.zeros(1, m.dtype), m)


def _lower(m: Any, k: int) -> Any:
    if not m.shape:
        raise TypeError("tri() missing 1 required positional argument: 'N'")
    return np.tri(m.shape[-min(2, m.ndim)], m.shape[-1], k, bool)


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """NumPy's tril_indices_from."""
    return np.tril_indices_from(np.broadcast_to(False, arr.shape), k)


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """NumPy's triu_indices_from."""
    return np.triu_indices_from(np.broadcast_to(False, arr.shape), k)


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """NumPy's diag_indices_from."""
    return np.diag_indices_from(np.broadcast_to(False, arr.shape))


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """NumPy's kron."""
    a, b = as_array(a), as_array(b)
    if not a.shape or not b.shape:
        return a * b
    rank = max(len(a.shape), len(b.shape))
    rows, columns = ((1,) * (rank - len(x.shape)) + x.shape for x in (a, b))
    blocks = reshape(a, tuple(n for length in rows for n in (length, 1))) * reshape(
        b, tuple(n for length in columns for n in (1, length))
    )
    return reshape(blocks, tuple(n * m for n, m in zip(rows, columns, strict=True)))


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:  # noqa: N803 (NumPy's name)
    """NumPy's vander."""
    x = as_array(x)
    if len(x.shape) != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = len(x) if N is None else int(N)
    x = cast(x, np.promote_types(x.dtype, int))
    if count < 2:
        return np.ones((len(x), count), x.dtype)
    powers = [np.ones(x.shape, x.dtype), x]
    while len(powers) < count:
        powers.append(powers[-1] * x)
    return stack(powers if increasing else powers[::-1], 1)
