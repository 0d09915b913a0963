"""The choice between branches in a batch whose rows choose differently.

The branches that any row chooses are computed for all rows, and each row selects. In a branch, a row that did not
choose it is like the first one that did: a branch sees nothing that it was not meant for, so it warns of nothing, and
derivatives stop at what was put in. Batched once more, the rows of both batches become the rows of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.control.constants import without_constants
from funcgrad.control.derived import Closed, derived, picked, settled, valued
from funcgrad.control.scan import batched_jaxpr, in_front
from funcgrad.control.splitting import spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Jaxpr, Var
from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.tracing import Tracer
from funcgrad.primitives.arithmetic import maximum, minimum
from funcgrad.primitives.comparison import equal
from funcgrad.primitives.extrema import argmax
from funcgrad.primitives.identity import stop_gradient
from funcgrad.primitives.index import ARRAY, Index
from funcgrad.primitives.indexing import gather
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import cast, reshape
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import pull_back, tangent_aval, vjp

Branches = tuple[Jaxpr, ...]
Dims = tuple[int | None, ...]
_ROW = Index((ARRAY,), (ARRAY,))


def joined(parts: Sequence[Closed]) -> tuple[Branches, list[Any]]:
    """Branches that take the constants of all of them in front, and these."""
    values = [value for part in parts for value in part.values]
    branches = []
    for i, (jaxpr, own) in enumerate(parts):
        before = [Var(get_aval(value)) for part in parts[:i] for value in part.values]
        after = [Var(get_aval(value)) for part in parts[i + 1 :] for value in part.values]
        inputs = [*before, *jaxpr.inputs[: len(own)], *after, *jaxpr.inputs[len(own) :]]
        branches.append(Jaxpr(inputs, (), jaxpr.equations, jaxpr.outputs))
    return tuple(branches), values


def _results(index: Any, *operands: Any, branches: Branches, dims: Dims, size: int) -> tuple[Any, ...]:
    """The results of all rows, in front, on values or tracers."""
    forced = (True,) * len(branches[0].outputs)
    batched, values = joined([batched_jaxpr(branch, size, dims, forced)[0] for branch in branches])
    which = minimum(maximum(index, np.int64(0)), np.int64(len(branches) - 1))
    chosen = _chosen(which, size, len(branches))
    results: list[Any] = []
    for i in chosen:
        mask = equal(which, np.int64(i))
        rows = operands if len(chosen) == 1 else _safe_rows(operands, dims, mask)
        ys = evaluate(batched[i], [*values, *rows])
        results = [select(_beside(mask, y), y, z) for y, z in zip(ys, results, strict=True)] if results else ys
    return tuple(results)


def _chosen(which: Any, size: int, count: int) -> Sequence[int]:
    """The branches that some row chooses, as far as that is known."""
    if not size:
        return [0]
    return range(count) if type(which) is Tracer else np.unique(which).tolist()


def _safe_rows(operands: Sequence[Any], dims: Dims, mask: Any) -> list[Any]:
    first = argmax(mask, 0)
    return [
        x if dim is None else select(_beside(mask, x), x, stop_gradient(gather(x, _ROW, first)))
        for x, dim in zip(operands, dims, strict=True)
    ]


def _beside(mask: Any, y: Any) -> Any:
    """A truth value for each row in the rank of an array of rows."""
    return reshape(mask, (get_aval(mask).shape[0], *(1,) * (len(get_aval(y).shape) - 1)))


def rows_equations(params: dict[str, Any]) -> Jaxpr | None:
    """The jaxpr that computes the choice with these parameters; None if it would be too long."""
    branches, dims, size = params["branches"], params["dims"], params["size"]
    rows = [
        v.aval if dim is None else ShapedArray((size, *v.aval.shape), v.aval.dtype)
        for v, dim in zip(branches[0].inputs, dims, strict=True)
    ]

    def make(_: Jaxpr) -> Jaxpr | None:
        # The same branch in another object: what is derived of a jaxpr is not to keep it alive.
        same = Jaxpr(branches[0].inputs, (), branches[0].equations, branches[0].outputs)
        chosen = {**params, "branches": (same, *branches[1:])}
        avals = [ShapedArray((size,), np.int64), *rows]
        return without_constants(record_abstract("cond", lambda *xs: list(_results(*xs, **chosen)), avals))

    return derived(branches[0], ("rows", branches[1:], dims, size), make)


# cond_rows: branches[index[row]](operands of the row), for each row ---------------------------------------------------


def _abstract(
    index: ShapedArray, *xs: ShapedArray, branches: Branches, dims: Dims, size: int
) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray((size, *x.shape), x.dtype) for x in branches[0].out_avals])


def _vjp(
    cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> list[Any]:
    # In a recording without values the branches are linear in their operands without values.
    active = [number is not None for number in ids]
    known = list(map(valued, xs))

    def function(*chosen: Any) -> tuple[Any, ...]:
        return _results(
            *[x if new is None else new for x, new in zip(known, spread(chosen, active), strict=True)], **params
        )

    moving = picked(known, active)
    _, recording, out_ids = vjp(function, moving, transformation="cond")
    try:
        x_cts = pull_back(recording, out_ids, cts)
    finally:
        recording.close()
    return spread([settled(ct, tangent_aval(x)) for ct, x in zip(x_cts, moving, strict=True)], active)


def _batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    (index, *operands), (index_dim, *outer_dims) = xs, dims
    count = params["size"]

    def merged(x: Any, dim: int | None, inner: int | None) -> Any:
        """Rows of rows as rows."""
        x = in_front(x, dim, size)
        if inner is None:  # the same in all rows of the inner batch
            x = in_front(in_front(x, None, count), 1, size)
        return reshape(x, (size * count, *get_aval(x).shape[2:]))

    inner_dims: Dims = params["dims"]
    rows = [
        x if dim is None and inner is None else merged(x, dim, inner)
        for x, dim, inner in zip(operands, outer_dims, inner_dims, strict=True)
    ]
    new_dims = tuple(
        None if dim is None and inner is None else 0 for dim, inner in zip(outer_dims, inner_dims, strict=True)
    )
    ys = choose_by_row(merged(index, index_dim, 0), rows, new_dims, params["branches"])
    return [reshape(y, (size, count, *get_aval(y).shape[1:])) for y in ys], [0] * len(ys)


cond_rows_p = Primitive(
    "cond_rows",
    implementation=_results,
    abstract=_abstract,
    batch=_batch,
    inline=_results,
    vjp=_vjp,
    is_linear=lambda active: 0 not in active,
    multiple_results=True,
)


def choose_by_row(index: Any, rows: Sequence[Any], dims: Dims, branches: Branches) -> list[Any]:
    """For each row the results of the branch that it chooses; beyond either end the nearest branch.

    Args:
        index: A number for each row.
        rows: Operands, with rows in front where `dims` is 0; None where they are the same in all rows.
    """
    params: dict[str, Any] = {"branches": branches, "dims": dims, "size": get_aval(index).shape[0]}
    index = cast(index, np.int64)
    if any(type(x) is Tracer and x.recording.abstract for x in (index, *rows)):  # another batch may come
        return list(bind(cond_rows_p, index, *rows, **params))
    return list(_results(index, *rows, **params))
