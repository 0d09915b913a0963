"""The five declarations. Four are in `strict.py`; the elementwise kind, the one that broadcasts, is here.

An elementwise primitive is declared by the linear maps `t -> t * dy/dx_i`. Its tangent is their sum; its
cotangents are the same maps, since they are diagonal, with broadcasting undone in one place (`settle`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.strict import (
    linear,
    multilinear,
    nondifferentiable,
    nonlinear,
    shape_of,
    tangent_dtype,
    zeros_like,
)
from funcgrad.primitives.structural import batch_to_rank, broadcast_shapes, broadcast_to, cast, settle

Rule = Callable[..., Any]

__all__ = [
    "broadcast_shapes",
    "comparison",
    "elementwise",
    "linear",
    "multilinear",
    "nondifferentiable",
    "nonlinear",
    "settle",
    "shape_of",
    "tangent_dtype",
    "zeros_like",
]

# What stands for a dtype kind among Python's numbers (NEP 50), and an example of each.
_PYTHON_TYPES: dict[str, Any] = {"b": np.dtype(np.bool_), "i": int, "f": float, "c": complex}
_PYTHON_EXAMPLES: dict[str, Any] = {"b": True, "i": 1, "f": 1.0, "c": 1j}


def elementwise(
    name: str,
    ufunc: np.ufunc,
    *derivatives: Rule | None,
    operator: Rule | None = None,
    implementation: Rule | None = None,
    result_dtype: Rule | None = None,
    parameters: bool = False,
    is_linear: Callable[[list[int]], bool] = lambda active: False,
) -> Primitive:
    """Declare a primitive that works element by element and broadcasts as NumPy does.

    Args:
        ufunc: NumPy's function, which also says which dtypes give which.
        derivatives: For each operand the map `(t, y, *xs, **params) -> t * dy/dx_i`, in funcgrad functions; None
            where it is zero. t is never a Python scalar, so that `t / x` never raises ZeroDivisionError.
        operator: Python's operator, if the primitive is one. Of Python scalars it gives Python scalars, so their
            weak dtype stays weak.
        implementation: What computes it, if it is not `ufunc` (which then only says which dtypes give which).
        result_dtype: From the operands' dtypes (Python's types for weak ones) the result's, if not as of `ufunc`.
        parameters: Whether it has static parameters.
        is_linear: Whether it is linear in these operands together.
    """

    def jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
        total = None
        for x_dot, derivative in zip(tangents, derivatives, strict=True):
            if x_dot is not None and derivative is not None:
                term = derivative(x_dot, y, *xs, **params)
                total = term if total is None else total + term
        return total if total is None else cast(broadcast_to(total, shape_of(y)), tangent_dtype(y))

    simple = len(derivatives) in _SIMPLE_VJPS and not parameters and None not in derivatives
    abstract, batch = _elementwise_rules(lambda: primitive, ufunc, operator, result_dtype)
    primitive = Primitive(
        name,
        implementation=operator or implementation or ufunc,
        abstract=abstract,
        batch=batch,
        jvp=jvp,
        vjp=_SIMPLE_VJPS[len(derivatives)](*derivatives) if simple else _general_vjp(derivatives),
        is_linear=is_linear,
        derivatives=derivatives,
    )
    return primitive


def comparison(
    name: str,
    ufunc: np.ufunc,
    *,
    operator: Rule | None = None,
    result_dtype: Rule | None = None,
    implementation: Rule | None = None,
) -> Primitive:
    """Declare a nondifferentiable primitive that works element by element and broadcasts."""
    abstract, batch = _elementwise_rules(lambda: primitive, ufunc, operator, result_dtype)
    primitive = nondifferentiable(
        name, implementation=operator or implementation or ufunc, abstract=abstract, batch=batch
    )
    return primitive


_PYTHON_NUMBERS = frozenset({int, float})


def _unary_vjp(derivative: Rule) -> Rule:
    # One operand: nothing was broadcast, and the derivative itself gives x's dtype.
    return lambda ct, y, xs, ids, params: (derivative(ct, y, xs[0]),)


def _binary_vjp(derivative1: Rule, derivative2: Rule) -> Rule:
    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
        x1, x2 = xs
        id1, id2 = ids
        if id2 is None:
            x1_ct = derivative1(ct, y, x1, x2)
            # Beside a Python number nothing was broadcast or promoted.
            return (x1_ct if type(x2) in _PYTHON_NUMBERS else settle(x1_ct, x1), None)
        return (None if id1 is None else settle(derivative1(ct, y, x1, x2), x1), settle(derivative2(ct, y, x1, x2), x2))

    return vjp


_SIMPLE_VJPS: dict[int, Rule] = {1: _unary_vjp, 2: _binary_vjp}


def _general_vjp(derivatives: Sequence[Rule | None]) -> Rule:
    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
        return [
            None if number is None or derivative is None else settle(derivative(ct, y, *xs, **params), x)
            for derivative, x, number in zip(derivatives, xs, ids, strict=True)
        ]

    return vjp


def _elementwise_rules(
    this: Callable[[], Primitive], ufunc: np.ufunc, operator: Rule | None, result_dtype: Rule | None
) -> tuple[Rule, Rule]:
    """Abstract evaluation and batching of a broadcasting primitive."""
    dtypes: dict[tuple[Any, ...], np.dtype[Any]] = {}

    def abstract(*xs: ShapedArray, **params: Any) -> ShapedArray:
        weak = operator is not None and all(x.weak_type for x in xs)
        key = tuple((x.dtype, x.weak_type) for x in xs)
        dtype = dtypes.get(key)
        if dtype is None:
            if operator is not None and weak:
                dtype = np.dtype(type(operator(*[_PYTHON_EXAMPLES[x.dtype.kind] for x in xs])))
            else:
                kinds = [_PYTHON_TYPES[x.dtype.kind] if x.weak_type else x.dtype for x in xs]
                dtype = result_dtype(*kinds) if result_dtype else _ufunc_dtype(ufunc, kinds)
            dtypes[key] = dtype
        return ShapedArray(broadcast_shapes([x.shape for x in xs]), dtype, weak)

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
        rank = max(len(shape_of(x)) - (dim is not None) for x, dim in zip(xs, dims, strict=True))
        rows = [x if dim is None else batch_to_rank(x, dim, rank) for x, dim in zip(xs, dims, strict=True)]
        return bind(this(), *rows, **params), 0

    return abstract, batch


def _ufunc_dtype(ufunc: np.ufunc, kinds: Sequence[Any]) -> np.dtype[Any]:
    if all(isinstance(kind, type) for kind in kinds):
        kinds = [np.dtype(kind) for kind in kinds]
    return ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))[-1]
