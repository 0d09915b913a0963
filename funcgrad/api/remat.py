"""`checkpoint`: less memory for derivatives, more computing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from funcgrad.api.bodies import Body, check_result, strengthened
from funcgrad.api.nesting import budget_around, pass_on_guards
from funcgrad.api.results import fresh
from funcgrad.api.transformed import P, Transformed
from funcgrad.control.checkpoint import checkpoint as checkpoint_flat
from funcgrad.core.avals import ShapedArray
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.jaxpr import Jaxpr, recording_to_jaxpr
from funcgrad.core.source import caller
from funcgrad.core.tracing import Recording, Tracer, innermost
from funcgrad.core.tree import is_static, leaf_paths, tree_flatten, tree_unflatten

R = TypeVar("R")
# What loops keep for derivatives: a number of states, "sqrt", an amount of memory ("64 MB"), or everything.
Checkpoint: TypeAlias = int | str | None

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class States(int):
    """A number of states."""


def memory_limit(name: str, checkpoint: Checkpoint) -> States | int | str | None:
    """A loop's `checkpoint=`: a number of states, "sqrt", a number of bytes, or None.

    Raises:
        ArgumentError: It is none of these.
    """
    if checkpoint is None or checkpoint == "sqrt":
        return checkpoint
    if isinstance(checkpoint, int) and not isinstance(checkpoint, bool) and checkpoint > 0:
        return States(checkpoint)
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmg]i?)?b(?:ytes)?\s*", str(checkpoint).lower())
    if found is None or not isinstance(checkpoint, str):
        raise ArgumentError(
            message(
                f"{name} has checkpoint={checkpoint!r}.",
                where=caller(),
                fix='a number of states to keep, "sqrt", or an amount of memory: "64 MB", "1.5 GiB".',
            )
        )
    return max(1, int(float(found[1]) * _UNITS[found[2] or ""]))


class _checkpoint(Transformed[P, R]):
    options = ("static_argnums",)
    static_argnums: tuple[int, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        positions = {n % len(args) for n in self.static_argnums if -len(args) <= n < len(args)}
        dynamic = tuple(None if i in positions else x for i, x in enumerate(args))
        leaves, tree = tree_flatten((dynamic, kwargs))
        chosen = [i for i, x in enumerate(leaves) if not is_static(x)]

        def flat(xs: Sequence[Any]) -> Any:
            full = list(leaves)
            for i, x in zip(chosen, xs, strict=True):
                full[i] = x
            new_args, new_kwargs = tree_unflatten(tree, full)
            return self.function(*[args[i] if i in positions else x for i, x in enumerate(new_args)], **new_kwargs)

        xs = [strengthened(leaves[i]) for i in chosen]
        body = self._record(flat, xs)
        operands = [*body.captured, *xs]
        if not any(type(x) is Tracer for x in operands):
            return flat([leaves[i] for i in chosen])
        return tree_unflatten(body.tree, fresh(checkpoint_flat(body.jaxpr, operands), operands))

    def _record(self, flat: Callable[[Sequence[Any]], Any], xs: Sequence[Any]) -> Body:
        """The call's jaxpr: with values where all are there, so that Python may branch on them."""
        values = list(map(innermost, xs))
        abstract = any(type(x) is ShapedArray for x in values)
        recording = Recording("checkpoint", self.function, abstract, budget=budget_around(xs))
        recording.snapshots = {}
        try:
            outs, tree = tree_flatten(flat([recording.input(x) for x in values]))
            for i, y in enumerate(outs):
                check_result("checkpoint", self.function, y, lambda i=i: leaf_paths(tree, "result")[i])  # type: ignore[misc]
            jaxpr = recording_to_jaxpr(recording, list(map(strengthened, outs)))
            captured = [recording.original(value)[0] for _, value in jaxpr.constants]
            pass_on_guards(recording, xs)
        finally:
            recording.close()
        inputs = [*[v for v, _ in jaxpr.constants], *jaxpr.inputs]
        return Body(Jaxpr(inputs, (), jaxpr.equations, jaxpr.outputs), captured, tree)


def checkpoint(
    f: Callable[P, R], *, static_argnums: int | Sequence[int] = (), prevent_cse: bool = True
) -> Callable[P, R]:
    """A function of which derivatives keep the arguments only: all else is computed again when it is needed.

    Args:
        f: Any function of trees of arrays.
        static_argnums: Positions of arguments that are Python values to f, not arrays.
        prevent_cse: Accepted as in JAX; what is computed again is always computed again.

    Returns:
        A function with f's signature.

    Raises:
        ArgumentError: (a ValueError) f returns something that is no number or array.

    Example:
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> grad(lambda x: checkpoint(lambda x: np.sin(np.sin(x)))(x))(0.0)
        np.float64(1.0)
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    return _checkpoint(f, static_argnums=numbers)
