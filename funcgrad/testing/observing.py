"""Who looks on while primitives are applied?  Rules exchanged for a while, in one thread; off, that costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from funcgrad.core.primitive import Primitive, declared
from funcgrad.transforms.transpose import transposed_jvp

# Of a primitive and its rule, a rule to stand in its place.
Exchange = Callable[[Primitive, Callable[..., Any]], Callable[..., Any]]
# (primitive, operands, parameters, result), after each application to plain values.
Watcher = Callable[[Primitive, Sequence[Any], dict[str, Any], Any], None]

_exchanging = threading.RLock()


@contextmanager
def exchanged(
    *,
    implementation: Exchange | None = None,
    jvp: Exchange | None = None,
    vjp: Exchange | None = None,
    derivative: Exchange | None = None,
) -> Iterator[None]:
    """A context in which this thread applies every primitive by other rules.

    Args:
        implementation: What to put in place of implementations, `(*xs, **params) -> y`.
        jvp: In place of tangent rules, `(tangents, y, xs, params) -> tangent`.
        vjp: In place of pullback rules, `(ct, y, xs, ids, params) -> cts`, which are derived where there is none.
        derivative: In place of an elementwise primitive's maps `(t, y, *xs, **params) -> t * dy/dx_i`, where they are
            applied to masked cotangents.
    """
    thread = threading.get_ident()
    kept: list[tuple[Primitive, dict[str, Any]]] = []
    slots = {"implementation": implementation, "jvp": jvp, "vjp": vjp}

    def put(primitive: Primitive) -> None:
        kept.append((primitive, {slot: getattr(primitive, slot) for slot in (*slots, "derivatives")}))
        for slot, exchange in slots.items():
            if exchange is not None and (slot == "implementation" or primitive.differentiable):
                rule = getattr(primitive, slot) or transposed_jvp(primitive)
                setattr(primitive, slot, _in_thread(thread, rule, exchange(primitive, rule)))
        if derivative is not None and primitive.derivatives is not None:
            primitive.derivatives = [
                None if rule is None else _in_thread(thread, rule, derivative(primitive, rule))
                for rule in primitive.derivatives
            ]

    with _exchanging:
        for primitive in list(declared):
            put(primitive)
    try:
        yield
    finally:
        with _exchanging:
            for primitive, rules in reversed(kept):
                for slot, rule in rules.items():
                    setattr(primitive, slot, rule)


def _in_thread(thread: int, rule: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """The other rule in one thread, the rule itself in all others."""

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (other if threading.get_ident() == thread else rule)(*args, **kwargs)

    return chosen


@contextmanager
def watched(watch: Watcher) -> Iterator[None]:
    """A context in which `watch` hears of every primitive that is applied to plain values in this thread."""

    def exchange(primitive: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        def implementation(*xs: Any, **params: Any) -> Any:
            y = rule(*xs, **params)
            watch(primitive, xs, params, y)
            return y

        return implementation

    with exchanged(implementation=exchange):
        yield


def results(primitive: Primitive, y: Any) -> Sequence[Any]:
    """A primitive's results as a sequence, also where there is only one."""
    return y if primitive.multiple_results else (y,)
