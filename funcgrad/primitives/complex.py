"""Complex numbers and their parts: real, imaginary, conjugate, and the sign x / |x|.

Cotangents pair without conjugation, <ct, t> = Re(sum(ct * t)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import elementwise, linear, nonlinear, tangent_dtype
from funcgrad.primitives.structural import cast


def is_complex(x: Any) -> bool:
    """Whether x has a complex dtype."""
    dtype = getattr(x, "dtype", None)
    return type(x) is complex if dtype is None else dtype.kind == "c"


def _real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.zeros((), dtype).real.dtype


def _part_abstract(x: ShapedArray) -> ShapedArray:
    return ShapedArray(x.shape, _real_dtype(x.dtype), x.weak_type)


# real: y = Re x, of a complex x ------------------------------------------------------------------------------------


def _real_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(real_p, xs[0]), dims[0]


real_p = linear(
    "real",
    implementation=lambda x: x.real,
    abstract=_part_abstract,
    transpose=lambda ct, x: cast(ct, tangent_dtype(x)),
    batch=_real_batch,
)


def real(x: Any) -> Any:
    """The real part; of a real x, x itself."""
    return bind(real_p, x) if is_complex(x) else x


# imag: y = Im x, of a complex x ------------------------------------------------------------------------------------


def _imag_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(imag_p, xs[0]), dims[0]


imag_p = linear(
    "imag",
    implementation=lambda x: x.imag,
    abstract=_part_abstract,
    transpose=lambda ct, x: cast(ct * -1j, tangent_dtype(x)),
    batch=_imag_batch,
)


def imag(x: Any) -> Any:
    """The imaginary part of a complex x."""
    return bind(imag_p, x)


# conjugate: y = Re x - i Im x --------------------------------------------------------------------------------------

conjugate_p = elementwise("conjugate", np.conjugate, lambda t, y, x: conjugate(t), is_linear=lambda active: True)


def conjugate(x: Any) -> Any:
    """The complex conjugate; of a real x, x itself."""
    return bind(conjugate_p, x) if is_complex(x) else x


# complex: y = x1 + i x2, of real x1 and x2 -------------------------------------------------------------------------


def _complex_implementation(x1: Any, x2: Any) -> Any:
    y = np.empty(np.broadcast(x1, x2).shape, _complex_dtype(np.result_type(x1), np.result_type(x2)))
    y.real, y.imag = x1, x2
    return y[()]


def _complex_dtype(*kinds: Any) -> np.dtype[Any]:
    return np.result_type(np.result_type(*kinds), np.complex64)


complex_p = elementwise(
    "complex",
    np.add,
    lambda t, y, x1, x2: t,
    lambda t, y, x1, x2: t * 1j,
    implementation=_complex_implementation,
    result_dtype=_complex_dtype,
    is_linear=lambda active: True,
)


def make_complex(x1: Any, x2: Any) -> Any:
    """x1 + i x2 from two real operands, infinities and signed zeros in their places."""
    return bind(complex_p, x1, x2)


# sign_complex: y = x / |x|, 0 at 0 -----------------------------------------------------------------------------------


def _sign_complex_tangent(x_dot: Any, y: Any, x: Any) -> Any:
    # Only the component along i y turns the sign; |x| is Re(conj(y) x).
    radius = real(conjugate(y) * x)
    return y * (imag(conjugate(y) * x_dot) / (radius + (radius == 0)) * 1j)


def _sign_complex_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(sign_complex_p, xs[0]), dims[0]


sign_complex_p = nonlinear(
    "sign_complex",
    implementation=np.sign,
    abstract=lambda x: ShapedArray(x.shape, x.dtype),
    tangents=(_sign_complex_tangent,),
    batch=_sign_complex_batch,
)
