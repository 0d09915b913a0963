"""Reductions beyond the plain sum: masked sum, product, norm.

A nonlinear reduction is declared by its partial derivatives (`reduction`), as elementwise primitives are, and both
modes follow: the tangent is the sum over the reduced axes of partial * tangent, the cotangent is ct * partial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.complex import conjugate
from funcgrad.primitives.cumulative import exclusive_cumprod
from funcgrad.primitives.kinds import elementwise, linear, shape_of, tangent_dtype
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import (
    broadcast_to,
    cast,
    moveaxis,
    reduce_sum,
    reduced_shape,
    reshape,
    spread,
    transpose,
)

Rule = Callable[..., Any]
Shape = tuple[int, ...]

# NumPy's stubs do not know the positional parameters: array, axis, dtype, out, keepdims, initial, where.
_sum: Any = np.add.reduce
_product: Any = np.multiply.reduce


def shifted_axes(axes: Sequence[int], dim: int) -> Shape:
    """A row's axes as axes of the batch whose rows lie along `dim`."""
    return tuple(axis + (axis >= dim) for axis in axes)


def remaining_dim(axes: Sequence[int], dim: int, keepdims: bool) -> int:
    """Where the batch axis is after the batch's `axes` are reduced."""
    return dim if keepdims else dim - sum(axis < dim for axis in axes)


def kept(y: Any, shape: Shape, axes: Shape, keepdims: bool) -> Any:
    """A reduction's result in a shape that broadcasts against its operand's."""
    if keepdims or axes == tuple(range(len(axes))):
        return y
    return reshape(y, reduced_shape(shape, axes, True))


def batch_over_axes(this: Callable[[], Primitive]) -> Rule:
    """Batching of a reduction: its `axes` counted among those of the batch."""

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
        axes = shifted_axes(params["axes"], dims[0])
        y = bind(this(), xs[0], **{**params, "axes": axes})
        return y, remaining_dim(axes, dims[0], params["keepdims"])

    return batch


def reduction(
    name: str, *, implementation: Rule, abstract: Rule, partial: Rule, batch: Rule | None = None
) -> Primitive:
    """Declare a differentiable reduction over `axes`, with `keepdims` and further parameters.

    Args:
        partial: `(t, y, x, axes, **params) -> t * dy/dx`; t and y broadcast against x, and t is a tangent of x or a
            cotangent of y.
    """

    def apply(t: Any, y: Any, x: Any, axes: Shape, keepdims: bool, **params: Any) -> Any:
        return partial(t, kept(y, shape_of(x), axes, keepdims), x, axes, **params)

    def jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
        terms = apply(tangents[0], y, xs[0], **params)
        return cast(reduce_sum(terms, params["axes"], params["keepdims"]), tangent_dtype(y))

    def vjp(ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]) -> Any:
        x = xs[0]
        ct = kept(ct, shape_of(x), params["axes"], params["keepdims"])
        return (cast(apply(ct, y, x, **params), tangent_dtype(x)),)

    primitive = Primitive(
        name,
        implementation=implementation,
        abstract=abstract,
        jvp=jvp,
        vjp=vjp,
        batch=batch or batch_over_axes(lambda: primitive),
    )
    return primitive


# masked_sum: initial + the sum over axes of x where the mask is true ------------------------------------------------


def _masked_sum_implementation(x: Any, initial: Any, where: Any, axes: Shape, keepdims: bool, dtype: Any) -> Any:
    return _sum(x, axes, dtype, None, keepdims, initial, where)


def _masked_sum_abstract(
    x: ShapedArray, initial: ShapedArray, where: ShapedArray, axes: Shape, keepdims: bool, dtype: Any
) -> ShapedArray:
    return ShapedArray(reduced_shape(x.shape, axes, keepdims), np.add.reduce(np.empty(0, x.dtype), dtype=dtype).dtype)


def _masked_sum_transpose(
    ct: Any, x: Any, initial: Any, where: Any, axes: Shape, keepdims: bool, dtype: Any
) -> tuple[Any, Any]:
    x_ct = cast(select(where, spread(ct, shape_of(x), axes, keepdims), 0.0), tangent_dtype(x))
    dtype = tangent_dtype(initial)
    return x_ct, cast(reduce_sum(ct, tuple(range(len(shape_of(ct))))), dtype) if dtype.kind in "fc" else None


def _masked_sum_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    (x, initial, where), (dim, initial_dim, where_dim) = xs, dims
    rank = len(shape_of(x)) - (dim is not None)
    x = broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
    if where_dim is not None:
        where = moveaxis(where, where_dim, 0)
        where = reshape(where, (size, *(1,) * (rank + 1 - len(shape_of(where))), *shape_of(where)[1:]))
    params = {**params, "axes": shifted_axes(params["axes"], 0)}
    if initial_dim is None:
        return bind(masked_sum_p, x, initial, where, **params), 0
    y = bind(masked_sum_p, x, 0, where, **params)
    return y + reshape(initial, (size, *(1,) * (len(shape_of(y)) - 1))), 0


masked_sum_p = linear(
    "masked_sum",
    implementation=_masked_sum_implementation,
    abstract=_masked_sum_abstract,
    transpose=_masked_sum_transpose,
    batch=_masked_sum_batch,
    wrt=(0, 1),
)


def masked_sum(
    x: Any, axes: Shape, keepdims: bool = False, dtype: Any = None, initial: Any = 0, where: Any = True
) -> Any:
    """`initial` plus the sum over some axes of those elements where the boolean `where` (which broadcasts) is true."""
    return bind(masked_sum_p, x, initial, where, axes=axes, keepdims=keepdims, dtype=dtype)


# reduce_prod: product over axes -------------------------------------------------------------------------------------


def _reduce_prod_implementation(x: Any, axes: Shape, keepdims: bool, initial: Any = 1) -> Any:
    return _product(x, axes, None, None, keepdims, initial)


def _reduce_prod_abstract(x: ShapedArray, axes: Shape, keepdims: bool, initial: Any = 1) -> ShapedArray:
    dtype = np.multiply.reduce(np.empty(0, x.dtype), initial=initial).dtype
    return ShapedArray(reduced_shape(x.shape, axes, keepdims), dtype)


def _reduce_prod_partial(t: Any, y: Any, x: Any, axes: Shape, initial: Any = 1) -> Any:
    """t times the product of all others: no division, so that zeros are exact at every order."""
    others = _products_of_others(x, axes)
    return t * (others if initial == 1 else initial * others)


def _products_of_others(x: Any, axes: Shape) -> Any:
    if len(axes) == 1:
        return exclusive_cumprod(x, axes[0]) * exclusive_cumprod(x, axes[0], reverse=True)
    # Several axes are one in another shape.
    shape = shape_of(x)
    order = (*(i for i in range(len(shape)) if i not in axes), *axes)
    moved = transpose(x, order)
    rest = shape_of(moved)[: len(shape) - len(axes)]
    row = reshape(moved, (*rest, math.prod(shape[i] for i in axes)))
    others = exclusive_cumprod(row, len(rest)) * exclusive_cumprod(row, len(rest), reverse=True)
    return transpose(reshape(others, shape_of(moved)), tuple(order.index(i) for i in range(len(order))))


reduce_prod_p = reduction(
    "reduce_prod",
    implementation=_reduce_prod_implementation,
    abstract=_reduce_prod_abstract,
    partial=_reduce_prod_partial,
)


def reduce_prod(x: Any, axes: Shape, keepdims: bool = False, initial: Any = 1) -> Any:
    """The product over some axes, of which `initial`, a static number, is the first factor.

    Derivative: exact where elements are zero, at every order.
    """
    if type(initial) is int and initial == 1:
        return bind(reduce_prod_p, x, axes=axes, keepdims=keepdims)
    return bind(reduce_prod_p, x, axes=axes, keepdims=keepdims, initial=initial)


# norm: y = sqrt(sum(|x|**2)) ----------------------------------------------------------------------------------------


def real_dtype(x: Any) -> np.dtype[Any]:
    """The dtype of x's absolute values."""
    dtype = tangent_dtype(x)
    return np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype


def _norm_implementation(x: Any, axes: Shape, keepdims: bool, flat: bool) -> Any:
    if not flat:
        return np.sqrt(_sum((x.conj() * x).real, axes, None, None, keepdims))
    row = x.ravel(order="K")
    if row.dtype.kind == "c":
        y = np.sqrt(row.real.dot(row.real) + row.imag.dot(row.imag))
    else:
        y = np.sqrt(row.dot(row))
    return y.reshape((1,) * x.ndim) if keepdims else y


def _norm_abstract(x: ShapedArray, axes: Shape, keepdims: bool, flat: bool) -> ShapedArray:
    return ShapedArray(reduced_shape(x.shape, axes, keepdims), real_dtype(x))


def _norm_partial(t: Any, y: Any, x: Any, axes: Shape, flat: bool) -> Any:
    """t * conj(x) / y, and 0 where y is 0; a square root is never so small that 1 / y overflows."""
    zero = y == 0
    return t * (~zero / (y + zero)) * conjugate(x)


def _norm_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    axes, keepdims = shifted_axes(params["axes"], dims[0]), params["keepdims"]
    return norm(xs[0], axes, keepdims), remaining_dim(axes, dims[0], keepdims)


norm_p = reduction(
    "norm", implementation=_norm_implementation, abstract=_norm_abstract, partial=_norm_partial, batch=_norm_batch
)


def norm(x: Any, axes: Shape, keepdims: bool = False, flat: bool = False) -> Any:
    """The Euclidean norm over some axes.

    Args:
        x: An array of an inexact dtype.
        axes: Axes from the front; all of them, if `flat`.
        keepdims: Whether they stay, with length 1.
        flat: Whether to sum as `np.linalg.norm` does without `axis`: by a dot product.

    Derivative: conj(x) / y, and 0 where the norm is 0.
    """
    if not shape_of(x):
        return reshape(norm(reshape(x, (1,)), (0,)), ())[()]
    return bind(norm_p, x, axes=axes, keepdims=keepdims, flat=flat)


# root: y = sqrt(x) of a sum of squares ------------------------------------------------------------------------------


def _root_derivative(t: Any, y: Any, x: Any) -> Any:
    zero = y == 0
    return t * (0.5 * (~zero / (y + zero)))


root_p = elementwise("root", np.sqrt, _root_derivative)


def root(x: Any) -> Any:
    """The square root of what is a sum of squares, as in a standard deviation.

    Derivative: 0 where x is 0. As a function of what was squared, the root is a norm: it has a kink there, and 0 is
    the least of its subgradients. (Of `sqrt` itself the derivative at 0 is infinite, and infinity times 0 is NaN.)
    """
    return bind(root_p, x)
