"""Lowerings of `primitives/decompositions.py`: small Cholesky factors as formulas, the rest by LAPACK."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler import lapack
from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import BOOL, Apply, Constant, Counter, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.lowerings.linalg import (
    Formulas,
    by_columns,
    elements_of,
    has,
    is_small,
    status_of,
    stored_operand,
    succeeded,
    swapped,
)
from funcgrad.compiler.lowerings.reductions import mapped, reduced
from funcgrad.compiler.matrices import lower_factor
from funcgrad.compiler.scalars import (
    greater_equal,
    less_equal,
    logical_or,
    multiply,
    select,
    subtract,
)
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import assembly
from funcgrad.primitives import decompositions

Dtype: TypeAlias = np.dtype[Any]

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
_INT32 = np.dtype(np.int32)
_INDEFINITE = "Matrix is not positive definite"

# cholesky ------------------------------------------------------------------------------------------------------------


@lowers(decompositions.cholesky_p)
def _cholesky(lowering: Lowering, eqn: Equation, x: Tensor, upper: bool) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype not in _FLOATS or not aval.size:
        return NotImplemented
    lower = swapped(x) if upper else x
    if is_small(x):
        y = _cholesky_small(lowering, lower, aval.dtype)
    elif has(aval.dtype, "potrf"):
        y = _cholesky_large(lowering, lower, aval.dtype)
    else:
        return NotImplemented
    return swapped(y) if upper else y


def _cholesky_small(lowering: Lowering, x: Tensor, dtype: Dtype) -> Tensor:
    x, n = stored_operand(lowering, x), x.shape[-1]
    formulas = Formulas(lowering, x.shape[:-2])
    rows, squares = lower_factor(elements_of(x, formulas.stack, dtype))
    # As LAPACK has it, a NaN goes through.
    bad = [Apply(less_equal, (y, Constant(0.0, dtype)), BOOL) for y in squares]
    indefinite: Expression = bad[0]
    for condition in bad[1:]:
        indefinite = Apply(logical_or, (indefinite, condition), BOOL)
    formulas.forbid(indefinite)
    y = formulas.result((n, n), dtype, [y for row in rows for y in row])
    formulas.finish(_INDEFINITE)
    return y


def _cholesky_large(lowering: Lowering, x: Tensor, dtype: Dtype) -> Tensor:
    factors, status = by_columns(lowering, x, dtype), status_of(lowering, x.shape[:-2])
    lowering.fusion.append(lapack.cholesky(x.shape[:-2], factors, False, status))
    lowering.require(succeeded(status), _INDEFINITE)
    y, zero = swapped(factors), Constant(0.0, dtype)

    def triangle(index: tuple[Index, ...]) -> Expression:
        below = Apply(greater_equal, (_number(index[-2]), _number(index[-1])), BOOL)
        return Apply(select, (below, y.at(index), zero), dtype)

    return Tensor(y.shape, dtype, triangle)


def _number(index: Index) -> Expression:
    return Counter(index) if isinstance(index, Affine) else index


# eigh, eigvalsh ------------------------------------------------------------------------------------------------------


def _eigen(lowering: Lowering, x: Tensor, dtype: Dtype, uplo: str, vectors: bool) -> tuple[Tensor, Tensor] | None:
    """Eigenvalues, and eigenvectors in the columns of the second result."""
    n = x.shape[-1]
    if dtype not in _FLOATS or not x.size or not has(dtype, "syevd"):
        return None
    v, w = by_columns(lowering, x, dtype), lowering.fusion.buffer(x.shape[:-1], dtype)
    status = status_of(lowering, x.shape[:-2])
    # LAPACK's least, and room for blocks of columns.
    work = lowering.fusion.buffer((1 + 6 * n + 2 * n * n + 64 * n,), dtype)
    integers = lowering.fusion.buffer((3 + 5 * n,), _INT32)
    lowering.fusion.append(lapack.eigenvalues(x.shape[:-2], v, w, work, integers, uplo.upper(), vectors, status))
    lowering.require(succeeded(status), "Eigenvalues did not converge")
    return w, swapped(v)


@lowers(decompositions.eigh_p)
def _eigh(lowering: Lowering, eqn: Equation, x: Tensor, uplo: str) -> Any:
    results = _eigen(lowering, x, eqn.outputs[0].aval.dtype, uplo, vectors=True)
    return NotImplemented if results is None else results


@lowers(decompositions.eigvalsh_p)
def _eigvalsh(lowering: Lowering, eqn: Equation, x: Tensor, uplo: str) -> Any:
    results = _eigen(lowering, x, eqn.outputs[0].aval.dtype, uplo, vectors=False)
    return NotImplemented if results is None else results[0]


@lowers(decompositions.coincidences_p)
def _coincidences(lowering: Lowering, eqn: Equation, w: Tensor) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if w.dtype != dtype or not w.size:
        return NotImplemented
    lowering.fusion.realise(w)
    axis = len(w.shape) - 1
    greatest = reduced(lowering, mapped(assembly.fabs, 1.0, dtype, w), (axis,), "maximum", w.shape[:-1])
    unit = Constant(dtype.type(np.finfo(dtype).eps * w.shape[-1]), dtype)

    def same(index: tuple[Index, ...]) -> Expression:
        gap = Apply(subtract, (w.at(index[:-1]), w.at((*index[:-2], index[-1]))), dtype)
        resolution = Apply(multiply, (unit, greatest.at(index[:-2])), dtype)
        return cast(Apply(less_equal, (Apply(assembly.fabs, (gap,), dtype), resolution), BOOL), dtype)

    return Tensor((*w.shape, w.shape[-1]), dtype, same)
