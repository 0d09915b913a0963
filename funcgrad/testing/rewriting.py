"""Which rewrite helps?  Each is put in place of the operation, and the whole function run again with it.

Only what gives finite numbers there is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.source import current_place, replay
from funcgrad.core.tracing import Recording
from funcgrad.core.tree import flatten_results
from funcgrad.testing.examining import Examined, Step, simple
from funcgrad.testing.flat import FlatFunction, quietly
from funcgrad.testing.observing import exchanged, results
from funcgrad.testing.rewrites import EQUIVALENTS, GUARDS, Pattern, Rewrite
from funcgrad.testing.terms import Operation, Term, UnnamedError
from funcgrad.testing.wording import operand_texts

# The rules of primitives that carry programs are there.
_CARRIERS = "funcgrad.control."
# So many steps further on an equivalent of a whole expression is looked for.
_NEAR = 4


class Suggestion(NamedTuple):
    """A rewrite that has been run.

    Attributes:
        text: What to write.
        replaced: In place of what.
        results: What the function then gives.
    """

    text: str
    replaced: str
    results: list[Any]


def suggestion(
    examined: Examined, call: Callable[..., Any], culprits: Sequence[Step], before: Sequence[Any]
) -> Suggestion | None:
    """The first rewrite with which all results are finite, and those that were finite are what they were.

    Args:
        call: What was evaluated: the function of flat arrays, or its derivative.
        culprits: The steps to be rewritten, the most suspicious first.
        before: The results without a rewrite.
    """
    around = [*culprits, *_users(examined, culprits)]
    tries = [(step, pattern) for step in around for pattern in EQUIVALENTS.get(step.primitive.name, ())]
    tries += [(step, pattern) for step in culprits for pattern in GUARDS.get(step.primitive.name, ())]
    for step, pattern in tries:
        rewrite = _proposed(step, pattern, [step for step in simple(examined.steps) if step.rule is None])
        if rewrite is None:
            continue
        try:
            with _put(step, pattern):
                after = quietly(values, examined.flat, call)
        except Exception:  # whatever a rewrite does in a place that it does not fit
            continue
        if all(np.isfinite(y).all() for y in after) and all(map(_agrees, before, after)):
            source = step.source
            replaced = source.expression if source and source.expression else f"`{step.primitive.name}`"
            return Suggestion(rewrite.text, replaced, after)
    return None


def _proposed(step: Step, pattern: Pattern, steps: Sequence[Step]) -> Rewrite | None:
    """What a pattern proposes in place of a step, if it gives the same there and the user's line says the step."""
    inside = any(made is step and user.place == step.place for user in steps for made in user.operands)
    if inside and operand_texts(step) is None:
        return None  # its line says what is made of it
    try:
        rewrite = pattern(Term(step.ys[0], step))
    except UnnamedError:
        return None
    if rewrite is None:
        return None
    after = results(step.primitive, quietly(rewrite.compute))
    return rewrite if all(map(_agrees, step.ys, after)) else None


def _users(examined: Examined, culprits: Sequence[Step]) -> list[Step]:
    """The function's own steps that use the results of others, a few steps further on, the nearest first."""
    found: list[Step] = []
    reached = list(culprits)
    own = [step for step in simple(examined.steps) if step.rule is None]
    for _ in range(_NEAR):
        reached = [step for step in own if any(made in reached for made in step.operands)]
        found += [step for step in reached if step not in found]
    return found


def _agrees(before: Any, after: Any) -> bool:
    """Whether elements that were finite are what they were."""
    finite = np.isfinite(before)
    return np.shape(before) == np.shape(after) and bool(
        np.allclose(np.asarray(before)[finite], np.asarray(after)[finite], rtol=1e-5, atol=1e-5)
    )


def values(flat: FlatFunction, call: Callable[..., Any]) -> list[Any]:
    """The results of a call, computed under a recording, so that every primitive is bound."""
    recording = Recording("make_jaxpr", flat.function)
    try:
        outs, _ = flatten_results(call(*[recording.input(x) for x in flat.xs]))
        return [recording.lower(y)[0] for y in outs]
    finally:
        recording.close()


@contextmanager
def _put(step: Step, pattern: Pattern) -> Iterator[None]:
    """A context in which what the step's line does with the step's primitive is rewritten."""
    primitive = step.primitive
    busy = False

    def wanted() -> bool:
        return not busy and (replay.place or current_place()) == step.place

    def rewritten(term: Term) -> Any:
        nonlocal busy
        rewrite = pattern(term)
        if rewrite is None:
            raise ValueError("the pattern is not found here")
        busy = True
        try:
            return rewrite.compute()
        finally:
            busy = False

    def inline(*xs: Any, **params: Any) -> Any:
        if wanted():
            return rewritten(Operation(primitive.name, params, xs))
        primitive.inline = None
        try:
            return bind(primitive, *xs, **params)
        finally:
            primitive.inline = inline

    def exchange(other: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        if other is not primitive:
            return rule
        return lambda *xs, **params: rewritten(Term(step.ys[0], step)) if wanted() else rule(*xs, **params)

    def unseen(other: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        """A derivative's rule, which works at the same line, but is not what is written there."""
        if rule.__module__.startswith(_CARRIERS):
            return rule  # it records the user's own lines again

        def derivative(*args: Any, **kwargs: Any) -> Any:
            nonlocal busy
            outer, busy = busy, True
            try:
                return rule(*args, **kwargs)
            finally:
                busy = outer

        return derivative

    before = primitive.inline
    with exchanged(implementation=exchange, jvp=unseen, vjp=unseen, derivative=unseen):
        primitive.inline = inline
        try:
            yield
        finally:
            primitive.inline = before
