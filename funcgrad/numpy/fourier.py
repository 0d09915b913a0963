"""numpy.fft, which is loaded on its first use."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import named_functions
from funcgrad.primitives import fft as transforms
from funcgrad.primitives.complex import conjugate, is_complex
from funcgrad.primitives.shaping import pad, slice_axis
from funcgrad.primitives.structural import cast


def _implements(f: Callable[..., Any]) -> Callable[..., Any]:
    named_functions[f"numpy.fft.{f.__name__}"] = f
    return f


def _prepared(name: str, a: Any, n: Any, axis: Any, norm: Any) -> tuple[Any, int, int]:
    """A floating-point array, the length of the transform, its axis; NumPy's errors."""
    a = as_array(a)
    if name == "rfft" and is_complex(a):
        np.fft.rfft(np.zeros(1, a.dtype))
    length = None if n is None else operator.index(n)
    getattr(np.fft, name)(np.zeros(a.shape and [min(k, 2) for k in a.shape], a.dtype), length, axis, norm)
    axis = normalize_axis_index(axis, len(a.shape))
    if a.dtype.kind not in "fc" or a.dtype == np.float16:
        a = cast(a, np.fft.fft(np.zeros(1, a.dtype)).real.dtype)
    return a, a.shape[axis] if length is None else length, axis


def _fitted(a: Any, axis: int, length: int) -> Any:
    """a, cut off or filled with zeros to a length."""
    old = a.shape[axis]
    if old > length:
        return slice_axis(a, axis, 0, length)
    return a if old == length else pad(a, [(0, (length - old) * (k == axis)) for k in range(len(a.shape))])


@_implements
def fft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.fft."""
    a, n, axis = _prepared("fft", a, n, axis, norm)
    return transforms.fft(_fitted(a, axis, n), axis, False, norm or "backward")


@_implements
def ifft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.ifft."""
    a, n, axis = _prepared("ifft", a, n, axis, norm)
    return transforms.fft(_fitted(a, axis, n), axis, True, norm or "backward")


@_implements
def rfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.rfft."""
    a, n, axis = _prepared("rfft", a, n, axis, norm)
    return transforms.rfft(_fitted(a, axis, n), axis, norm or "backward")


@_implements
def irfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.irfft."""
    a, length, axis = _prepared("irfft", a, n, axis, norm)
    length = 2 * (length - 1) if n is None else length
    if not is_complex(a):
        a = cast(a, np.result_type(a.dtype, np.complex64))
    return transforms.irfft(_fitted(a, axis, length // 2 + 1), axis, length, norm or "backward")


@_implements
def hfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.hfft."""
    a = as_array(a)
    np.fft.hfft(np.zeros(2), None, -1, norm)
    return irfft(conjugate(a), n, axis, transforms.SWAPPED[norm or "backward"])


@_implements
def ihfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: None = None) -> Any:
    """np.fft.ihfft."""
    np.fft.ihfft(np.zeros(2), None, -1, norm)
    return conjugate(rfft(a, n, axis, transforms.SWAPPED[norm or "backward"]))


def _axes(a: Any, s: Any, axes: Any, inverse_of_real: bool = False) -> tuple[list[Any], list[int]]:
    """Lengths and axes of a transform along several."""
    if axes is None:
        axes = range(-(len(a.shape) if s is None else len(s)), 0)
    axes = list(axes)
    if s is None:
        lengths: list[Any] = [a.shape[axis] for axis in axes]
        if inverse_of_real:
            lengths[-1] = 2 * (lengths[-1] - 1)
    else:
        lengths = [a.shape[axis] if n == -1 else n for n, axis in zip(s, axes, strict=False)]
    if len(axes) != len(lengths):
        raise ValueError("Shape and axes have different lengths.")
    return lengths, axes


def _along(f: Callable[..., Any], a: Any, s: Any, axes: Any, norm: Any) -> Any:
    a = as_array(a)
    lengths, axes = _axes(a, s, axes)
    for n, axis in reversed(list(zip(lengths, axes, strict=True))):
        a = f(a, n, axis, norm)
    return a


@_implements
def fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: None = None) -> Any:
    """np.fft.fftn."""
    return _along(fft, a, s, axes, norm)


@_implements
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: None = None) -> Any:
    """np.fft.ifftn."""
    return _along(ifft, a, s, axes, norm)


@_implements
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: None = None) -> Any:
    """np.fft.fft2."""
    return _along(fft, a, s, axes, norm)


@_implements
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: None = None) -> Any:
    """np.fft.ifft2."""
    return _along(ifft, a, s, axes, norm)


@_implements
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: None = None) -> Any:
    """np.fft.rfftn."""
    a = as_array(a)
    lengths, axes = _axes(a, s, axes)
    a = rfft(a, lengths[-1], axes[-1], norm)
    return _along(fft, a, lengths[:-1], axes[:-1], norm)


@_implements
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: None = None) -> Any:
    """np.fft.rfft2."""
    return rfftn(a, s, axes, norm)


@_implements
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: None = None) -> Any:
    """np.fft.irfftn."""
    a = as_array(a)
    lengths, axes = _axes(a, s, axes, inverse_of_real=True)
    for n, axis in zip(lengths[:-1], axes[:-1], strict=True):
        a = ifft(a, n, axis, norm)
    return irfft(a, lengths[-1], axes[-1], norm)


@_implements
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: None = None) -> Any:
    """np.fft.irfft2."""
    return irfftn(a, s, axes, norm)


def _shifts(x: Any, axes: Any, sign: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = range(len(x.shape)) if axes is None else (axes,) if isinstance(axes, int) else axes
    return tuple(sign * (x.shape[axis] // 2) for axis in axes), tuple(axes)


@_implements
def fftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.fftshift."""
    x = as_array(x)
    return np.roll(x, *_shifts(x, axes, 1))


@_implements
def ifftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.ifftshift."""
    x = as_array(x)
    return np.roll(x, *_shifts(x, axes, -1))
