"""Functions that nothing is known of but how to call them on plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.control.scan import in_front
from funcgrad.core.avals import ShapedArray
from funcgrad.core.errors import DifferentiationError, TreeMismatchError, message
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import caller, definition
from funcgrad.primitives.structural import moveaxis


class Foreign(NamedTuple):
    """A function of plain arrays.

    Attributes:
        call: From the operands to the results, a list.
        name: What the user calls it.
        user: The user's function, for messages.
        avals: The results' types for these operands.
        rows: The same for all rows at once, rows in front of every operand and result; None for one row after another.
    """

    call: Callable[..., Sequence[Any]]
    name: str
    user: Any
    avals: tuple[ShapedArray, ...]
    rows: Callable[..., Sequence[Any]] | None = None


def _implementation(*xs: Any, foreign: Foreign) -> tuple[Any, ...]:
    ys = foreign.call(*xs)
    results = []
    for y, aval in zip(ys, foreign.avals, strict=True):
        y = np.asarray(y)
        if y.shape != aval.shape or not np.can_cast(y.dtype, aval.dtype, "same_kind"):
            raise TreeMismatchError(
                message(
                    f"{foreign.name} gave a result of another type than before.",
                    value=f"{y.dtype.name}[{','.join(map(str, y.shape))}], before {aval!r}",
                    where=definition(foreign.user),
                    fix="a function whose results' shapes and dtypes follow from those of its arguments.",
                )
            )
        results.append(y.astype(aval.dtype, copy=False)[()])
    return tuple(results)


def _abstract(*xs: ShapedArray, foreign: Foreign) -> tuple[ShapedArray, ...]:
    return foreign.avals


def _inline(*xs: Any, foreign: Foreign) -> Any:
    raise DifferentiationError(
        message(
            f"{foreign.name} has no derivative.",
            where=caller(),
            fix='derivative=a function that gives it, or "differences", or "complex"; '
            "for higher orders that function must have one, too: derivative=funcgrad.opaque(df, derivative=...).",
        )
    )


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    foreign: Foreign = params["foreign"]
    avals = tuple([ShapedArray((size, *aval.shape), aval.dtype) for aval in foreign.avals])
    if foreign.rows is not None:
        operands = [in_front(x, dim, size) for x, dim in zip(xs, dims, strict=True)]
        rows = foreign._replace(call=foreign.rows, avals=avals, rows=_rows_of_rows(foreign.rows))
    else:
        mapped = [dim is not None for dim in dims]
        operands = [x if dim is None else moveaxis(x, dim, 0) for x, dim in zip(xs, dims, strict=True)]
        rows = foreign._replace(call=_one_by_one(foreign, size, mapped), avals=avals)
    return bind(opaque_p, *operands, foreign=rows), [0] * len(avals)


def _one_by_one(foreign: Foreign, size: int, mapped: Sequence[bool]) -> Callable[..., list[Any]]:
    def call(*xs: Any) -> list[Any]:
        columns = [np.empty((size, *aval.shape), aval.dtype) for aval in foreign.avals]
        for i in range(size):
            row = [x[i] if yes else x for x, yes in zip(xs, mapped, strict=True)]
            for column, y in zip(columns, _implementation(*row, foreign=foreign), strict=True):
                column[i] = y
        return columns

    return call


def _rows_of_rows(rows: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
    """For a batch of batches: both kinds of rows as one."""

    def call(*xs: Any) -> list[Any]:
        outer, inner = xs[0].shape[:2]
        ys = rows(*[x.reshape(outer * inner, *x.shape[2:]) for x in xs])
        return [np.asarray(y).reshape(outer, inner, *np.shape(y)[1:]) for y in ys]

    return call


opaque_p = Primitive(
    "opaque",
    implementation=_implementation,
    abstract=_abstract,
    batch=_batch,
    inline=_inline,
    multiple_results=True,
)
