"""What elementwise primitives have in common: a scalar function of broadcast operands, in the dtypes of a ufunc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import BOOL, INT64, Apply, Constant, Expression
from funcgrad.compiler.lowering import NUMBERS, Lowering, cast, lowers
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Atom, Equation, Literal
from funcgrad.core.primitive import Primitive
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.math.divider import over_root

Dtype: TypeAlias = np.dtype[Any]
Scalar: TypeAlias = Callable[..., Any]

# What a division and a call of the mathematics library cost beside an addition.
DIVISION = 4.0
LIBRARY = 12.0
# And a quotient by a root at once.
_OVER_ROOT = 10.0

# Of dtypes that a function takes.
ALL_KINDS = "fiubc"

_PYTHON_TYPES: dict[str, Any] = {"b": BOOL, "i": int, "f": float, "c": complex}


@lru_cache(maxsize=4096)
def loop_dtypes(ufunc: np.ufunc, operands: tuple[tuple[Dtype, bool], ...]) -> tuple[Dtype, ...]:
    """The dtypes to which NumPy converts a ufunc's operands, pairs of dtype and weakness (NEP 50), and its result's."""
    kinds = [_PYTHON_TYPES[dtype.kind] if weak else dtype for dtype, weak in operands]
    if all(isinstance(kind, type) for kind in kinds):
        kinds = [np.dtype(kind) for kind in kinds]
    dtypes = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    return (*dtypes[: ufunc.nin], dtypes[-1])


def dtypes_of(ufunc: np.ufunc, eqn: Equation) -> tuple[Dtype, ...]:
    """The dtypes in which a ufunc's equation computes, and that of its result."""
    avals = [x.aval for x in eqn.inputs]
    result = eqn.outputs[0].aval
    if result.weak_type:  # Python's operator on Python's numbers; abs makes real ones of complex ones
        given = np.dtype(complex) if any(aval.dtype.kind == "c" for aval in avals) else result.dtype
        return (*[given] * len(avals), result.dtype)
    return loop_dtypes(ufunc, tuple((aval.dtype, aval.weak_type) for aval in avals))


def elements(
    lowering: Lowering, aval: ShapedArray, function: Scalar, xs: Sequence[Tensor], dtypes: Sequence[Dtype], cost: float
) -> Tensor:
    """A scalar function of operands that broadcast to the result, each converted to a dtype first."""
    shape, dtype = aval.shape, aval.dtype
    operands = [lowering.repeated(x, shape) for x in xs]
    pairs = list(zip(operands, dtypes, strict=True))
    return Tensor(shape, dtype, lambda index: Apply(function, [cast(x.at(index), d) for x, d in pairs], dtype, cost))


def over_roots(y: Tensor) -> Tensor:
    """Quotients; x / sqrt(y) as one function where the root is of no other use."""
    return Tensor(y.shape, y.dtype, lambda index: _over_root(y.at(index)))


def _over_root(x: Expression) -> Expression:
    if type(x) is not Apply or x.dtype != np.float64:
        return x
    above, below = (Constant(1.0, x.dtype), *x.operands)[-2:]
    if type(below) is not Apply or below.function is not scalars.sqrt:
        return x
    return Apply(over_root, (above, below.operands[0]), x.dtype, _OVER_ROOT)


def pointwise(
    primitive: Primitive,
    ufunc: np.ufunc,
    function: Scalar,
    cost: float = 1.0,
    *,
    kinds: str = "fiub",
    python: bool = True,
) -> None:
    """Lower a primitive to a scalar function.

    Args:
        ufunc: Which dtypes its operands are converted to.
        kinds: The kinds of these dtypes that the function takes.
        python: Whether it takes Python's numbers alone; if not, Python's operator does, which may raise.
    """

    @lowers(primitive, complex_numbers="c" in kinds)
    def rule(lowering: Lowering, eqn: Equation, *xs: Tensor, **params: Any) -> Any:
        aval = eqn.outputs[0].aval
        *dtypes, result = dtypes_of(ufunc, eqn)
        if (
            result != aval.dtype
            or (aval.weak_type and not python)
            or any(d not in NUMBERS or d.kind not in kinds for d in dtypes)
        ):
            return NotImplemented
        check_python_integers(lowering, eqn, xs, dtypes)
        return elements(lowering, aval, function, xs, dtypes, cost)


class ByKind:
    """One function of floating numbers, another of integers."""

    __slots__ = ("_floating", "_whole", "name")

    def __init__(self, floating: Scalar, whole: Scalar) -> None:
        self._floating = floating
        self._whole = whole
        self.name = str(getattr(floating, "name", ""))

    def __call__(self, *xs: Value) -> Value:
        """The function of these values."""
        y: Value = (self._floating if xs[0].element.kind == "f" else self._whole)(*xs)
        return y


def check_python_integers(lowering: Lowering, eqn: Equation, xs: Sequence[Tensor], dtypes: Sequence[Dtype]) -> None:
    """Let NumPy say so where a Python integer is out of the range of the dtype that it takes."""
    for atom, x, dtype in zip(eqn.inputs, xs, dtypes, strict=True):
        unknown = atom.aval.weak_type and not isinstance(atom, Literal)
        if unknown and atom.aval.dtype == INT64 and dtype.kind in "iu" and dtype != INT64:
            lowering.require(_within(x, dtype), f"a Python integer is out of bounds for {dtype.name}")


def _within(x: Tensor, dtype: Dtype) -> Tensor:
    info = np.iinfo(dtype)
    low, high = Constant(info.min, INT64), Constant(min(info.max, np.iinfo(np.int64).max), INT64)

    def inside(index: Any) -> Expression:
        y = x.at(index)
        above = Apply(scalars.greater_equal, (y, low), BOOL)
        return Apply(scalars.logical_and, (above, Apply(scalars.less_equal, (y, high), BOOL)), BOOL)

    return Tensor(x.shape, BOOL, inside)


def literal(atom: Atom) -> Any:
    """A literal's number; None of a variable."""
    return atom.value if isinstance(atom, Literal) else None
