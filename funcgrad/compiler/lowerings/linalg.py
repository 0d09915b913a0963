"""Lowerings of `primitives/linalg.py`: small matrices as formulas of their elements, larger ones by LAPACK."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcgrad.compiler import blas, lapack, runtime
from funcgrad.compiler.indices import ZERO, Affine, Index
from funcgrad.compiler.loops import BOOL, INT64, Apply, Check, Constant, Counter, Expression, Nest, Statement
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.lowerings.reductions import mapped
from funcgrad.compiler.matrices import Elements, cofactors, directional_cofactors, lower_upper, substituted
from funcgrad.compiler.scalars import equal, logical_or, multiply, select
from funcgrad.compiler.tensors import Tensor, flat_index, identity, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import assembly
from funcgrad.kernels.assembly import ELEMENTS, Value
from funcgrad.kernels.definitions import rarely
from funcgrad.kernels.math.exponential import exp
from funcgrad.kernels.math.logarithm import log
from funcgrad.primitives import linalg

Dtype: TypeAlias = np.dtype[Any]
Shape: TypeAlias = tuple[int, ...]

# Up to this size matrices are eliminated element by element, those of a large stack in vectors; LAPACK takes 15 times
# as long for many, 5 times for one. Code for larger ones takes long to compile. Cofactors are sums of products.
_SMALL, _SMALL_OF_MANY, _MANY = 5, 6, 16
_MOST_COFACTORS = 4
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
_INT32 = np.dtype(np.int32)
_SINGULAR = "Singular matrix"


# Elements of small matrices ------------------------------------------------------------------------------------------


def elements_of(x: Tensor, stack: tuple[Index, ...], dtype: Dtype) -> Elements:
    """The elements of one matrix of a stack."""
    rows, columns = x.shape[-2:]
    return [[cast(x.at((*stack, Affine(i), Affine(j))), dtype) for j in range(columns)] for i in range(rows)]


def is_small(x: Tensor) -> bool:
    """Whether matrices are eliminated element by element."""
    return x.shape[-1] <= (_SMALL_OF_MANY if math.prod(x.shape[:-2]) >= _MANY else _SMALL)


def stored_operand(lowering: Lowering, x: Tensor) -> Tensor:
    """An operand whose elements are each used several times."""
    return lowering.fusion.realise(x) if x.cost > 0.0 else x


class Formulas:
    """A nest over a stack of matrices in the making, with a result for each member.

    Args:
        extents: Of the stack.
    """

    def __init__(self, lowering: Lowering, extents: Shape) -> None:
        self.lowering = lowering
        self.extents = extents
        self.stack = identity(extents)
        self.statements: list[Statement] = []
        self._flags: list[Tensor] = []

    def store(self, y: Tensor, place: tuple[Index, ...], expression: Expression) -> None:
        """Store an element of a result for each member."""
        assert y.buffer is not None
        self.statements.append(Statement(y.buffer, flat_index(place, y.strides, y.offset), expression))

    def result(self, shape: Shape, dtype: Dtype, elements: Sequence[Expression]) -> Tensor:
        """Store elements, in C order, as an array of this shape for each member."""
        y = self.lowering.fusion.buffer((*self.extents, *shape), dtype)
        for place, expression in zip(np.ndindex(*shape), elements, strict=True):
            self.store(y, (*self.stack, *map(Affine, place)), expression)
        return y

    def forbid(self, condition: Expression) -> None:
        """Let NumPy say what is wrong if a condition holds for any member."""
        flag = self.lowering.fusion.buffer((), BOOL)
        assert flag.buffer is not None
        self.statements.append(Statement(flag.buffer, ZERO, condition, "any"))
        self._flags.append(flag)

    def finish(self, reason: str = "") -> None:
        """Append the nest, and its checks."""
        if 0 not in self.extents:
            self.lowering.fusion.append(Nest(self.extents, self.statements))
            for flag in self._flags:
                assert flag.buffer is not None
                self.lowering.fusion.append(Check(flag.buffer, reason))


def any_zero(pivots: Sequence[Expression]) -> Expression:
    """Whether any of several numbers is 0."""
    zeros = [Apply(equal, (pivot, Constant(0, pivot.dtype)), BOOL) for pivot in pivots]
    result: Expression = zeros[0]
    for zero in zeros[1:]:
        result = Apply(logical_or, (result, zero), BOOL)
    return result


# Larger matrices -----------------------------------------------------------------------------------------------------


def by_columns(lowering: Lowering, x: Tensor, dtype: Dtype) -> Tensor:
    """A copy in Fortran's order, to be overwritten: its last axis runs down a column."""
    rank = len(x.shape)
    source = swapped(lowering.cast(x, dtype))
    y = lowering.fusion.buffer(source.shape, dtype)
    lowering.fusion.realise(Tensor(source.shape, dtype, source.at), y)
    assert len(y.shape) == rank
    return y


def swapped(x: Tensor) -> Tensor:
    """Each matrix transposed."""
    return moved(x, (*x.shape[:-2], x.shape[-1], x.shape[-2]), lambda i: (*i[:-2], i[-1], i[-2]))


def has(dtype: Dtype, *names: str) -> bool:
    """Whether LAPACK's routines are there for a dtype."""
    return all(runtime.is_available(blas.routine(ELEMENTS[dtype], name)) for name in names)


def status_of(lowering: Lowering, stack: Shape) -> Tensor:
    """Room for what each call says of itself."""
    return lowering.fusion.buffer(stack, _INT32)


def succeeded(status: Tensor) -> Tensor:
    """Whether each call did."""
    return mapped(equals_zero, 1.0, BOOL, status)


def equals_zero(x: Value) -> Value:
    """x == 0."""
    return x.equals(0)


class Factors(NamedTuple):
    """P L U of a stack of matrices.

    Attributes:
        factors: L and U by columns.
        pivots: The rows that were exchanged, as LAPACK counts them.
        status: 0, or the number of a pivot that is 0.
        transposed: Whether they are those of the transposed matrices.
    """

    factors: Tensor
    pivots: Tensor
    status: Tensor
    transposed: bool = False


def _factored(lowering: Lowering, x: Tensor, dtype: Dtype) -> Factors:
    """The factors of matrices, or of their transposes, whichever were computed before."""
    lowering.fusion.realise(x)
    assert x.buffer is not None
    *outer, down, across = x.strides
    place = lowering.fusion, x.buffer, lowering.fusion.stored_in(x.buffer), x.offset, x.shape, dtype
    for transposed, strides in ((False, (*outer, down, across)), (True, (*outer, across, down))):
        known = lowering.factors.get((*place, strides))
        if known is not None:
            return Factors(*known, transposed=transposed)
    made = _new_factors(lowering, x, dtype)
    lowering.factors[*place, x.strides] = made.factors, made.pivots, made.status
    return made


def _new_factors(lowering: Lowering, x: Tensor, dtype: Dtype) -> Factors:
    y = by_columns(lowering, x, dtype)
    pivots, status = lowering.fusion.buffer(x.shape[:-1], _INT32), status_of(lowering, x.shape[:-2])
    lowering.fusion.append(lapack.factor(x.shape[:-2], y, pivots, status))
    return Factors(y, pivots, status)


# inv -----------------------------------------------------------------------------------------------------------------


@lowers(linalg.inv_p)
def _inv(lowering: Lowering, eqn: Equation, x: Tensor, invertible: bool) -> Any:
    aval, n = eqn.outputs[0].aval, x.shape[-1]
    if aval.dtype not in _FLOATS:
        return NotImplemented
    if aval.size == 0:
        return lowering.fusion.buffer(aval.shape, aval.dtype)
    if is_small(x):
        x = stored_operand(lowering, x)
        formulas = Formulas(lowering, x.shape[:-2])
        factors = lower_upper(elements_of(x, formulas.stack, aval.dtype))
        ones: Elements = [[Constant(float(i == j), aval.dtype) for j in range(n)] for i in range(n)]
        columns = substituted(factors, ones)
        singular = any_zero(factors.pivots)
        if not invertible:
            nan = Constant(np.nan, aval.dtype)
            columns = [[Apply(select, (singular, nan, y), aval.dtype) for y in row] for row in columns]
        else:
            formulas.forbid(singular)
        y = formulas.result((n, n), aval.dtype, [y for row in columns for y in row])
        formulas.finish(_SINGULAR)
        return y
    if not has(aval.dtype, "getrf", "getri"):
        return NotImplemented
    y, pivots, status, _ = _new_factors(lowering, x, aval.dtype)
    if invertible:
        lowering.require(succeeded(status), _SINGULAR)
    work = lowering.fusion.buffer((64 * n,), aval.dtype)
    lowering.fusion.append(lapack.invert(x.shape[:-2], y, pivots, work))
    return swapped(y) if invertible else _nan_where_singular(swapped(y), status)


def _nan_where_singular(x: Tensor, status: Tensor) -> Tensor:
    nan, regular = Constant(np.nan, x.dtype), succeeded(status)
    return Tensor(x.shape, x.dtype, lambda index: Apply(select, (regular.at(index[:-2]), x.at(index), nan), x.dtype))


# solve ---------------------------------------------------------------------------------------------------------------


@lowers(linalg.solve_p)
def _solve(lowering: Lowering, eqn: Equation, a: Tensor, b: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype not in _FLOATS:
        return NotImplemented
    if aval.size == 0:
        return NotImplemented if a.size else lowering.fusion.buffer(aval.shape, aval.dtype)
    if is_small(a):
        return _solve_small(lowering, a, b, aval.dtype)
    if not has(aval.dtype, "getrf", "getrs"):
        return NotImplemented
    factors, pivots, status, transposed = _factored(lowering, a, aval.dtype)
    lowering.require(succeeded(status), _SINGULAR)
    y = by_columns(lowering, b, aval.dtype)
    lowering.fusion.append(lapack.substitute(a.shape[:-2], factors, pivots, y, transposed=transposed))
    return swapped(y)


def _solve_small(lowering: Lowering, a: Tensor, b: Tensor, dtype: Dtype) -> Tensor:
    """One nest over the stack and the right-hand sides."""
    a, b = stored_operand(lowering, a), stored_operand(lowering, b)
    *stack, n, k = b.shape
    formulas = Formulas(lowering, (*stack, k))
    outer, column = formulas.stack[:-1], formulas.stack[-1]
    factors = lower_upper(elements_of(a, outer, dtype))
    sides = [[cast(b.at((*outer, Affine(i), column)), dtype)] for i in range(n)]
    y = lowering.fusion.buffer(b.shape, dtype)
    for i, (solution,) in enumerate(substituted(factors, sides)):
        formulas.store(y, (*outer, Affine(i), column), solution)
    formulas.forbid(any_zero(factors.pivots))
    formulas.finish(_SINGULAR)
    return y


# det, slogdet --------------------------------------------------------------------------------------------------------


def logarithm_of_magnitude(x: Value) -> Value:
    """log |x|."""
    return log(assembly.fabs(x))


def sign(x: Value) -> Value:
    """-1, 0 or 1; NaN of NaN."""
    one = assembly.copysign(x.like(1.0), x)
    return select(x.equals(0.0), x.like(0.0), select(x.is_nan(), x, one))


def determinant(start: Value, *pivots: Value) -> Value:
    """The product; by logarithms where a part of it overflows or vanishes."""
    y = start
    for pivot in pivots:
        y = y * pivot
    infinite = assembly.fabs(y).equals(np.inf)
    return rarely(infinite | y.equals(0.0) | y.is_nan(), y, _determinant_by_logarithms, start, *pivots)


def _determinant_by_logarithms(start: Value, *pivots: Value) -> Value:
    total, y = log(assembly.fabs(start)), sign(start)
    for pivot in pivots:
        total, y = total + log(assembly.fabs(pivot)), y * sign(pivot)
    return select(y.equals(0.0), y, y * exp(total))


@lowers(linalg.slogdet_p)
def _slogdet(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype not in _FLOATS:
        return NotImplemented
    if x.shape[-1] and aval.size and is_small(x):
        return _slogdet_small(lowering, x, aval.dtype)
    if not x.size or not has(aval.dtype, "getrf"):
        return NotImplemented
    return _slogdet_large(lowering, x, aval.dtype)


def _slogdet_small(lowering: Lowering, x: Tensor, dtype: Dtype) -> list[Tensor]:
    x = stored_operand(lowering, x)
    formulas = Formulas(lowering, x.shape[:-2])
    factors = lower_upper(elements_of(x, formulas.stack, dtype))
    singular = any_zero(factors.pivots)
    total: Expression = Constant(0.0, dtype)
    direction = factors.sign
    for pivot in factors.pivots:
        total = Apply(lambda a, b: a + logarithm_of_magnitude(b), (total, pivot), dtype, 13.0)
        direction = Apply(lambda a, b: a * sign(b), (direction, pivot), dtype, 3.0)
    zero, lowest = Constant(0.0, dtype), Constant(-np.inf, dtype)
    signs = formulas.result((), dtype, [Apply(select, (singular, zero, direction), dtype)])
    logarithms = formulas.result((), dtype, [Apply(select, (singular, lowest, total), dtype)])
    formulas.finish()
    return [signs, logarithms]


def _slogdet_large(lowering: Lowering, x: Tensor, dtype: Dtype) -> list[Tensor]:
    factors, pivots, _, _ = _factored(lowering, x, dtype)
    *stack, n = pivots.shape
    diagonal = moved(factors, (*stack, n), lambda index: (*index, index[-1]))

    def direction(index: tuple[Index, ...]) -> Expression:
        own = index[-1]
        assert type(own) is Affine
        stays = Apply(equal, (cast(pivots.at(index), INT64), Counter(Affine(own.offset + 1, own.terms))), BOOL)
        one = Apply(select, (stays, Constant(1.0, dtype), Constant(-1.0, dtype)), dtype)
        return Apply(multiply, (one, Apply(sign, (diagonal.at(index),), dtype, 3.0)), dtype)

    shape, kept = tuple(stack), range(len(stack))
    extents = (*shape, n)
    index = identity(extents)
    logarithms = mapped(logarithm_of_magnitude, 12.0, dtype, diagonal)
    signs = lowering.fusion.reduce(extents, kept, direction(index), "product", shape, dtype)
    return [signs, lowering.fusion.reduce(extents, kept, logarithms.at(index), "sum", shape, dtype)]


@lowers(linalg.det_p)
def _det(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    dtype = aval.dtype
    if dtype not in _FLOATS or not x.size or not has(dtype, "getrf"):
        return NotImplemented
    if not is_small(x):
        signs, logarithms = _slogdet_large(lowering, x, dtype)
        return mapped(lambda s, x: select(s.equals(0.0), s, s * exp(x)), 13.0, dtype, signs, logarithms)
    x = stored_operand(lowering, x)
    formulas = Formulas(lowering, x.shape[:-2])
    factors = lower_upper(elements_of(x, formulas.stack, dtype))
    value: Expression = Apply(determinant, (factors.sign, *factors.pivots), dtype, 6.0)
    zero = Constant(0.0, dtype)
    y = formulas.result((), dtype, [Apply(select, (any_zero(factors.pivots), zero, value), dtype)])
    formulas.finish()
    return y


# cofactor, cofactor_slope --------------------------------------------------------------------------------------------


def _polynomials(lowering: Lowering, eqn: Equation, xs: Sequence[Tensor], function: Callable[..., Elements]) -> Any:
    """Polynomials of the elements of small matrices."""
    aval, n = eqn.outputs[0].aval, xs[0].shape[-1]
    if aval.dtype not in _FLOATS or not 0 < n <= _MOST_COFACTORS or not aval.size:
        return NotImplemented
    operands = [stored_operand(lowering, x) for x in xs]
    formulas = Formulas(lowering, aval.shape[:-2])
    rows = function(*[elements_of(x, formulas.stack, aval.dtype) for x in operands])
    y = formulas.result((n, n), aval.dtype, [y for row in rows for y in row])
    formulas.finish()
    return y


@lowers(linalg.cofactor_p)
def _cofactor(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return _polynomials(lowering, eqn, (x,), cofactors)


@lowers(linalg.cofactor_slope_p)
def _cofactor_slope(lowering: Lowering, eqn: Equation, x: Tensor, t: Tensor) -> Any:
    return _polynomials(lowering, eqn, (x, t), directional_cofactors)
