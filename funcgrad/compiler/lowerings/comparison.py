"""Lowerings of `primitives/comparison.py`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import BOOL, INT64
from funcgrad.compiler.lowering import NUMBERS, Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import ALL_KINDS, LIBRARY, Dtype, dtypes_of, elements, literal, pointwise
from funcgrad.compiler.tensors import Tensor, constant
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation
from funcgrad.core.primitive import Primitive
from funcgrad.kernels.assembly import ELEMENTS
from funcgrad.kernels.math import integers
from funcgrad.primitives import comparison

UINT64 = np.dtype(np.uint64)

# Comparisons -------------------------------------------------------------------------------------------------------


def _compares(primitive: Primitive, ufunc: np.ufunc, function: Callable[..., Any], python: Callable[..., bool]) -> None:
    mixed = scalars.Mixed(function, (python(0, 1), python(1, 0)))

    @lowers(primitive, complex_numbers=function in (scalars.equal, scalars.not_equal))
    def rule(lowering: Lowering, eqn: Equation, *xs: Tensor) -> Any:
        aval = eqn.outputs[0].aval
        if _is_huge(eqn):
            sample = [np.zeros((), x.aval.dtype) if literal(x) is None else literal(x) for x in eqn.inputs]
            return constant(bool(primitive.implementation(*sample)), BOOL, aval.shape)
        dtypes = _compared_dtypes(ufunc, eqn)
        if any(d not in NUMBERS for d in dtypes):
            return NotImplemented
        return elements(lowering, aval, function if dtypes[0] == dtypes[1] else mixed, xs, dtypes, 1.0)


def _is_huge(eqn: Equation) -> bool:
    """Whether a Python integer is compared with integers none of which is as large."""
    for x, other in (eqn.inputs, eqn.inputs[::-1]):
        value = literal(x)
        if type(value) is int and other.aval.dtype.kind in "iu" and literal(other) is None:
            info = np.iinfo(other.aval.dtype)
            return not info.min <= value <= info.max
    return False


def _compared_dtypes(ufunc: np.ufunc, eqn: Equation) -> tuple[Dtype, ...]:
    """Where NumPy would compare in, but for Python's integers beside others: these keep their values."""
    avals = [x.aval for x in eqn.inputs]
    unknown = any(_is_python_integer(a) and literal(x) is None for a, x in zip(avals, eqn.inputs, strict=True))
    if unknown and all(a.dtype.kind in "iu" for a in avals):
        return tuple(UINT64 if a.dtype == UINT64 else INT64 for a in avals)
    return dtypes_of(ufunc, eqn)[:-1]


def _is_python_integer(aval: ShapedArray) -> bool:
    return aval.weak_type and aval.dtype == INT64


_compares(comparison.less_p, np.less, scalars.less, operator.lt)
_compares(comparison.less_equal_p, np.less_equal, scalars.less_equal, operator.le)
_compares(comparison.greater_p, np.greater, scalars.greater, operator.gt)
_compares(comparison.greater_equal_p, np.greater_equal, scalars.greater_equal, operator.ge)
_compares(comparison.equal_p, np.equal, scalars.equal, operator.eq)
_compares(comparison.not_equal_p, np.not_equal, scalars.not_equal, operator.ne)

# Logic -------------------------------------------------------------------------------------------------------------


def _logic(primitive: Primitive, function: Callable[..., Any]) -> None:
    @lowers(primitive, complex_numbers=True)
    def rule(lowering: Lowering, eqn: Equation, *xs: Tensor) -> Any:
        return elements(lowering, eqn.outputs[0].aval, function, xs, [BOOL] * len(xs), 1.0)


_logic(comparison.logical_and_p, scalars.logical_and)
_logic(comparison.logical_or_p, scalars.logical_or)
_logic(comparison.logical_xor_p, scalars.logical_xor)
_logic(comparison.logical_not_p, scalars.logical_not)

# Kinds of numbers --------------------------------------------------------------------------------------------------

pointwise(comparison.isnan_p, np.isnan, scalars.is_nan, kinds=ALL_KINDS)
pointwise(comparison.isinf_p, np.isinf, scalars.is_inf, 2.0, kinds=ALL_KINDS)
pointwise(comparison.isfinite_p, np.isfinite, scalars.is_finite, 2.0, kinds=ALL_KINDS)
pointwise(comparison.signbit_p, np.signbit, scalars.sign_bit)


@lowers(comparison.isclose_p)
def _isclose(
    lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor, rtol: Tensor, atol: Tensor, equal_nan: bool
) -> Any:
    a1, a2, *tolerances = (x.aval for x in eqn.inputs)
    second = np.result_type(a2.dtype, 1.0)
    common = np.result_type(0.0 if a1.weak_type else a1.dtype, second)
    if common != second or not all(t.weak_type or t.dtype == common for t in tolerances) or common not in ELEMENTS:
        return NotImplemented
    function = scalars.is_close_or_nan if equal_nan else scalars.is_close
    return elements(lowering, eqn.outputs[0].aval, function, (x1, x2, rtol, atol), (common,) * 4, 8.0)


# Bits --------------------------------------------------------------------------------------------------------------

pointwise(comparison.bitwise_and_p, np.bitwise_and, scalars.bitwise_and)
pointwise(comparison.bitwise_or_p, np.bitwise_or, scalars.bitwise_or)
pointwise(comparison.bitwise_xor_p, np.bitwise_xor, scalars.bitwise_xor)
pointwise(comparison.invert_p, np.invert, scalars.invert)
pointwise(comparison.left_shift_p, np.left_shift, scalars.left_shift, 3.0, python=False)
pointwise(comparison.right_shift_p, np.right_shift, scalars.right_shift, 3.0, python=False)
pointwise(comparison.bitwise_count_p, np.bitwise_count, scalars.bit_count, 3.0, kinds="iu")
pointwise(comparison.gcd_p, np.gcd, integers.gcd, 8.0 * LIBRARY, kinds="iu")
pointwise(comparison.lcm_p, np.lcm, integers.lcm, 8.0 * LIBRARY, kinds="iu")
