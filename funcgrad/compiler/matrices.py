"""Linear algebra of a few elements: elimination and cofactors as scalar expressions."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from funcgrad.compiler.loops import BOOL, Apply, Constant, Expression
from funcgrad.compiler.scalars import add, multiply, negative, select, subtract
from funcgrad.kernels import assembly
from funcgrad.kernels.assembly import Value

Elements: TypeAlias = list[list[Expression]]


# Scalar functions ----------------------------------------------------------------------------------------------------


def is_larger(x1: Value, x2: Value) -> Value:
    """|x1| > |x2|."""
    return assembly.fabs(x1) > assembly.fabs(x2)


def reciprocal(x: Value) -> Value:
    """1 / x."""
    return 1.0 / x


def less_product(x1: Value, x2: Value, x3: Value) -> Value:
    """x1 - x2 * x3."""
    return assembly.fma(-x2, x3, x1)


def _less_product(x1: Expression, x2: Expression, x3: Expression) -> Expression:
    return Apply(less_product, (x1, x2, x3), x1.dtype, 1.0)


def _product(x1: Expression, x2: Expression) -> Expression:
    return Apply(multiply, (x1, x2), x1.dtype)


def _select(condition: Expression, x1: Expression, x2: Expression) -> Expression:
    return x1 if x1 is x2 else Apply(select, (condition, x1, x2), x1.dtype)


# Elimination ---------------------------------------------------------------------------------------------------------


class Factors(NamedTuple):
    """p x = l u.

    Attributes:
        lower: The multipliers below the diagonal.
        upper: The rows from the diagonal on.
        pivots: The diagonal of u.
        inverses: Their reciprocals.
        exchanges: In order: conditions and the pairs of rows that are exchanged where they hold.
        sign: 1, or -1 for an odd number of exchanges.
    """

    lower: Elements
    upper: Elements
    pivots: list[Expression]
    inverses: list[Expression]
    exchanges: list[tuple[Expression, int, int]]
    sign: Expression


def lower_upper(x: Elements) -> Factors:
    """Gaussian elimination; the largest element of a column is its pivot, the first of equals."""
    n, dtype = len(x), x[0][0].dtype
    rows = [list(row) for row in x]
    lower: Elements = [[] for _ in range(n)]
    exchanges: list[tuple[Expression, int, int]] = []
    inverses: list[Expression] = []
    sign: Expression = Constant(1.0, dtype)
    for k in range(n):
        for i in range(k + 1, n):
            swap = Apply(is_larger, (rows[i][k], rows[k][k]), BOOL, 2.0)
            exchanges.append((swap, k, i))
            _exchange(swap, rows, k, i)
            _exchange(swap, lower, k, i)
            sign = _select(swap, Apply(negative, (sign,), dtype), sign)
        inverse = Apply(reciprocal, (rows[k][k],), dtype, 4.0)
        inverses.append(inverse)
        for i in range(k + 1, n):
            factor = _product(rows[i][k], inverse)
            lower[i].append(factor)
            for j in range(k + 1, n):
                rows[i][j] = _less_product(rows[i][j], factor, rows[k][j])
    return Factors(lower, rows, [rows[k][k] for k in range(n)], inverses, exchanges, sign)


def _exchange(condition: Expression, rows: Elements, i: int, j: int) -> None:
    pairs = list(zip(rows[i], rows[j], strict=True))
    rows[i] = [_select(condition, b, a) for a, b in pairs]
    rows[j] = [_select(condition, a, b) for a, b in pairs]


def substituted(factors: Factors, sides: Elements) -> Elements:
    """The solutions of x y = sides, by forward and back substitution."""
    rows = [list(row) for row in sides]
    n, columns = len(rows), range(len(rows[0]))
    for condition, i, j in factors.exchanges:
        _exchange(condition, rows, i, j)
    for i in range(n):
        for k in range(i):
            rows[i] = [_less_product(rows[i][c], factors.lower[i][k], rows[k][c]) for c in columns]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            rows[i] = [_less_product(rows[i][c], factors.upper[i][k], rows[k][c]) for c in columns]
        rows[i] = [_product(rows[i][c], factors.inverses[i]) for c in columns]
    return rows


# The Cholesky factor -------------------------------------------------------------------------------------------------


def lower_factor(x: Elements) -> tuple[Elements, list[Expression]]:
    """The factor l of x = l l^T, of which the lower triangle is read, and what the squares of its diagonal were."""
    n, dtype = len(x), x[0][0].dtype
    zero = Constant(0.0, dtype)
    rows: Elements = [[zero] * n for _ in range(n)]
    squares: list[Expression] = []
    for j in range(n):
        square = x[j][j]
        for k in range(j):
            square = _less_product(square, rows[j][k], rows[j][k])
        squares.append(square)
        rows[j][j] = Apply(assembly.sqrt, (square,), dtype, 4.0)
        inverse = Apply(reciprocal, (rows[j][j],), dtype, 4.0)
        for i in range(j + 1, n):
            rest = x[i][j]
            for k in range(j):
                rest = _less_product(rest, rows[i][k], rows[j][k])
            rows[i][j] = _product(rest, inverse)
    return rows, squares


# Cofactors -----------------------------------------------------------------------------------------------------------


def cofactors(x: Elements) -> Elements:
    """The matrix of cofactors, without divisions."""
    n = len(x)
    return [[_signed(i + j, _determinant(_minor(x, i, j), x[0][0])) for j in range(n)] for i in range(n)]


def directional_cofactors(x: Elements, t: Elements) -> Elements:
    """The derivative of the cofactors along t: in each product of a minor one factor after the other is t's."""
    n = len(x)
    zero = Constant(0.0, x[0][0].dtype)
    return [[_signed(i + j, _slope(_minor(x, i, j), _minor(t, i, j)) or zero) for j in range(n)] for i in range(n)]


def _minor(x: Elements, i: int, j: int) -> Elements:
    return [[y for c, y in enumerate(row) if c != j] for r, row in enumerate(x) if r != i]


def _signed(parity: int, x: Expression) -> Expression:
    return Apply(negative, (x,), x.dtype) if parity % 2 else x


def _determinant(x: Elements, like: Expression) -> Expression:
    """By the first row; 1 for no rows."""
    if not x:
        return Constant(1.0, like.dtype)
    if len(x) == 1:
        return x[0][0]
    total: Expression | None = None
    for j, y in enumerate(x[0]):
        term = _product(y, _determinant(_minor(x, 0, j), like))
        total = term if total is None else _plus(total, term, j)
    assert total is not None
    return total


def _plus(total: Expression, term: Expression, parity: int) -> Expression:
    return Apply(subtract if parity % 2 else add, (total, term), total.dtype)


def _slope(x: Elements, t: Elements) -> Expression | None:
    """The derivative of the determinant along t; None for no rows."""
    total: Expression | None = None
    for r in range(len(x)):
        rows = [t[i] if i == r else x[i] for i in range(len(x))]
        term = _determinant(rows, x[0][0])
        total = term if total is None else _plus(total, term, 0)
    return total
