"""Discrete Fourier transforms along one axis, scaled as NumPy's norms say ("backward": the inverse by 1 / n).

The matrix of the transform is symmetric, and derivatives pair without conjugation: it is its own transpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.complex import conjugate, is_complex, real
from funcgrad.primitives.kinds import linear, shape_of
from funcgrad.primitives.shaping import pad

Rule = Callable[..., Any]


def _batch(this: Callable[[], Primitive]) -> Rule:
    def batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
        axis = params["axis"] + (params["axis"] >= dims[0])
        return bind(this(), xs[0], **{**params, "axis": axis}), dims[0]

    return batch


def _with_length(x: Any, axis: int, length: int) -> tuple[int, ...]:
    shape = shape_of(x)
    return (*shape[:axis], length, *shape[axis + 1 :])


def _complex_dtype(dtype: Any) -> np.dtype[Any]:
    return np.result_type(dtype, np.complex64)


# fft: y[k] = sum over j of x[j] e^(-2 pi i j k / n), scaled; `inverse` with the other sign --------------------------


def _fft_implementation(x: Any, axis: int, inverse: bool, norm: Any) -> Any:
    return np.fft.ifft(x, None, axis, norm) if inverse else np.fft.fft(x, None, axis, norm)


def _fft_transpose(ct: Any, x: Any, axis: int, inverse: bool, norm: str) -> Any:
    x_ct = fft(ct, axis, inverse, norm)
    return x_ct if is_complex(x) else real(x_ct)


fft_p: Primitive = linear(
    "fft",
    implementation=_fft_implementation,
    abstract=lambda x, axis, inverse, norm: ShapedArray(x.shape, _complex_dtype(x.dtype)),
    transpose=_fft_transpose,
    batch=_batch(lambda: fft_p),
)


def fft(x: Any, axis: int, inverse: bool = False, norm: str = "backward") -> Any:
    """The discrete Fourier transform of floating-point numbers along an axis."""
    return bind(fft_p, x, axis=axis, inverse=inverse, norm=norm)


# rfft: the first n // 2 + 1 elements of the transform of a real x ---------------------------------------------------


def _rfft_transpose(ct: Any, x: Any, axis: int, norm: str) -> Any:
    rest = shape_of(x)[axis] - shape_of(ct)[axis]
    widths = [(0, rest if k == axis else 0) for k in range(len(shape_of(x)))]
    return real(fft(pad(ct, widths), axis, norm=norm))


rfft_p: Primitive = linear(
    "rfft",
    implementation=lambda x, axis, norm: np.fft.rfft(x, None, axis, norm),
    abstract=lambda x, axis, norm: ShapedArray(_with_length(x, axis, x.shape[axis] // 2 + 1), _complex_dtype(x.dtype)),
    transpose=_rfft_transpose,
    batch=_batch(lambda: rfft_p),
)


def rfft(x: Any, axis: int, norm: str = "backward") -> Any:
    """The part of a real x's discrete Fourier transform that determines the rest."""
    return bind(rfft_p, x, axis=axis, norm=norm)


# irfft: the real y of length n whose rfft is x ----------------------------------------------------------------------

SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _irfft_transpose(ct: Any, x: Any, axis: int, n: int, norm: str) -> Any:
    # All elements but the first, and the middle one of an even length, stand for their conjugates, too.
    weights = np.full(n // 2 + 1, 2.0)
    weights[0] = 1.0
    weights[(n + 1) // 2 :] = 1.0
    shape = [1] * len(shape_of(x))
    shape[axis] = n // 2 + 1
    return conjugate(rfft(ct, axis, SWAPPED[norm])) * weights.reshape(shape).astype(ct.dtype)


irfft_p: Primitive = linear(
    "irfft",
    implementation=lambda x, axis, n, norm: np.fft.irfft(x, n, axis, norm),
    abstract=lambda x, axis, n, norm: ShapedArray(_with_length(x, axis, n), np.zeros(0, x.dtype).real.dtype),
    transpose=_irfft_transpose,
    batch=_batch(lambda: irfft_p),
)


def irfft(x: Any, axis: int, n: int, norm: str = "backward") -> Any:
    """n real numbers of the n // 2 + 1 complex ones that determine their transform."""
    return bind(irfft_p, x, axis=axis, n=n, norm=norm)
