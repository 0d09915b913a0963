"""NumPy's elementwise functions that are no ufuncs: parts of complex numbers, rounding, closeness, sinc, i0."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.core.tracing import Tracer, held
from funcgrad.numpy.aliasing import update, view_of
from funcgrad.numpy.arrays import as_array, fresh
from funcgrad.numpy.protocol import as_operand, implements, is_weak, method
from funcgrad.numpy.reductions import stored
from funcgrad.primitives import comparison, complex, rounding, special
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import cast

# Parts of complex numbers --------------------------------------------------------------------------------------------


def _array_real(self: Tracer) -> Any:
    """ndarray.real: a view."""
    if not complex.is_complex(self):
        return view_of(self, fresh)
    return view_of(self, complex.real, lambda base, v: complex.make_complex(v, complex.imag(base)))


def _array_imag(self: Tracer) -> Any:
    """ndarray.imag: a view; of a real array zeros that cannot be written to."""
    if complex.is_complex(self):
        return view_of(self, complex.imag, lambda base, v: complex.make_complex(complex.real(base), v))
    if self.shape:
        return np.zeros(self.shape, self.dtype).imag
    zero = self.dtype.type(0)
    return zero.item() if is_weak(self) else zero


def _set_real(self: Tracer, value: Any) -> None:
    _array_real(self)[...] = value


def _set_imag(self: Tracer, value: Any) -> None:
    if not complex.is_complex(self):
        raise TypeError("array does not have imaginary part to set")
    _array_imag(self)[...] = value


method("real")(property(_array_real, _set_real))
method("imag")(property(_array_imag, _set_imag))


@implements(np.real)
def real(val: Any) -> Any:
    """NumPy's real."""
    return as_array(val).real


@implements(np.imag)
def imag(val: Any) -> Any:
    """NumPy's imag."""
    return as_array(val).imag


@method("conj", "conjugate")
def array_conj(self: Tracer, out: Any = None) -> Any:
    """ndarray.conj; of a real array the array itself, as in NumPy."""
    if not complex.is_complex(self):
        return stored(self, out, "conjugate")
    return np.conjugate(self, out=out)


@implements(np.angle)
def angle(z: Any, deg: Any = False) -> Any:
    """NumPy's angle. Derivative at 0: 0."""
    z = as_array(z)
    a = np.arctan2(z.imag, z.real) if complex.is_complex(z) else np.arctan2(0, z)
    return a * (180 / math.pi) if deg else a


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """NumPy's isreal."""
    return imag(x) == 0


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """NumPy's iscomplex."""
    x = as_array(x)
    return x.imag != 0 if complex.is_complex(x) else np.zeros(x.shape, bool)[()]


@implements(np.real_if_close)
def real_if_close(a: Any, tol: Any = 100) -> Any:
    """NumPy's real_if_close, which depends on the values."""
    a = as_array(a)
    if not complex.is_complex(a):
        return a
    if tol > 1:
        tol = np.finfo(a.dtype).eps * tol
    return a.real if np.all(np.absolute(a.imag) < tol) else a


# Rounding ------------------------------------------------------------------------------------------------------------


@implements(np.round, np.around)
@method("round")
def round_(a: Any, decimals: Any = 0, out: Any = None) -> Any:
    """NumPy's round. Its derivative is zero."""
    y = bind(rounding.round_p, as_array(a), decimals=operator.index(decimals))
    return y if out is None else stored(cast(y, out.dtype), out, "round")


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """NumPy's fix: towards zero. Its derivative is zero."""
    return np.trunc(x, out=out)


# NaN, infinities, closeness ------------------------------------------------------------------------------------------


def _infinite(x: Any, out: Any, negative: bool) -> Any:
    try:
        sign = np.signbit(x)
    except TypeError as error:
        raise TypeError(
            f"This operation is not supported for {x.dtype} values because it would be ambiguous."
        ) from error
    return np.logical_and(np.isinf(x), sign if negative else ~sign, out=out)


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """NumPy's isposinf."""
    return _infinite(x, out, negative=False)


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """NumPy's isneginf."""
    return _infinite(x, out, negative=True)


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NumPy's nan_to_num. Derivative: 0 where something was replaced, 1 elsewhere."""
    target = as_array(x)
    y = held(target)
    if y.dtype.kind == "c":
        parts = [_replaced(part, nan, posinf, neginf) for part in (complex.real(y), complex.imag(y))]
        y = complex.make_complex(*parts)
    elif y.dtype.kind == "f":
        y = _replaced(y, nan, posinf, neginf)
    if copy or type(target) is not Tracer or not target.shape:
        return fresh(y) if y is target else y
    update(target, y)
    return target


def _replaced(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    limits = np.finfo(x.dtype)
    replacements = (
        (np.isnan(x), nan),
        (np.isposinf(x), limits.max if posinf is None else posinf),
        (np.isneginf(x), limits.min if neginf is None else neginf),
    )
    for mask, value in replacements:
        x = select(mask, cast(as_array(value), x.dtype), x)
    return x


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1.0e-5, atol: Any = 1.0e-8, equal_nan: Any = False) -> Any:
    """NumPy's isclose."""
    a, b, rtol, atol = map(as_operand, (a, b, rtol, atol))
    return comparison.isclose(a, b, rtol, atol, bool(equal_nan))


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1.0e-5, atol: Any = 1.0e-8, equal_nan: Any = False) -> bool:
    """NumPy's allclose: a Python bool, so it depends on the values."""
    return bool(np.all(isclose(a, b, rtol, atol, equal_nan)))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """NumPy's array_equal: a Python bool, so it depends on the values."""
    a1, a2 = as_array(a1), as_array(a2)
    if a1.shape != a2.shape:
        return False
    equal = a1 == a2
    if equal_nan:
        equal = equal | ((a1 != a1) & (a2 != a2))
    return bool(np.all(equal))


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> bool:
    """NumPy's array_equiv: a Python bool, so it depends on the values."""
    a1, a2 = as_array(a1), as_array(a2)
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return bool(np.all(a1 == a2))


# Special functions ---------------------------------------------------------------------------------------------------


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """NumPy's sinc, its derivatives accurate near 0, too."""
    return special.sinc(x)


@implements(np.i0)
def i0(x: Any) -> Any:
    """NumPy's i0; its derivatives need SciPy."""
    if complex.is_complex(x):
        raise TypeError("i0 not supported for complex values")
    return special.bessel_i(x, 0)
