"""Batching: the equations of one row evaluated for all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcgrad.core.jaxpr import Jaxpr, Literal, Var
from funcgrad.core.primitive import bind
from funcgrad.core.source import begin_replay, end_replay, note_place, replay


def evaluate_batched(
    jaxpr: Jaxpr, size: int, args: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """The outputs of a row's jaxpr for `size` rows, and the axis along which each output's rows lie.

    Each value is dropped after its last use.

    Args:
        args: Batches; `dims` says along which axis of each the rows lie, None for the same value in all rows.
    """
    env: dict[Var, tuple[Any, int | None]] = dict(zip(jaxpr.inputs, zip(args, dims, strict=True), strict=True))
    env.update((v, (value, None)) for v, value in jaxpr.constants)

    def read(x: Var | Literal) -> tuple[Any, int | None]:
        return (x.value, None) if isinstance(x, Literal) else env[x]

    outer = begin_replay()
    try:
        for eqn, dead in zip(jaxpr.equations, jaxpr.last_uses, strict=True):
            replay.place = eqn.place
            xs, x_dims = zip(*map(read, eqn.inputs), strict=True)
            y: Any
            y_dims: Any
            if all(dim is None for dim in x_dims):
                y = bind(eqn.primitive, *xs, **eqn.params)
                y_dims = (None,) * len(eqn.outputs) if eqn.primitive.multiple_results else None
            else:
                y, y_dims = eqn.primitive.batch(size, xs, x_dims, eqn.params)
            if eqn.primitive.multiple_results:
                env.update(zip(eqn.outputs, zip(y, y_dims, strict=True), strict=True))
            else:
                env[eqn.outputs[0]] = (y, y_dims)
            for v in dead:
                del env[v]
    except Exception as error:
        note_place(error)
        raise
    finally:
        end_replay(outer)
    results = [read(x) for x in jaxpr.outputs]
    return [y for y, _ in results], [dim for _, dim in results]
