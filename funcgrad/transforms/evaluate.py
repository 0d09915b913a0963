"""How is a jaxpr computed?  And how does a function become one?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var, recording_to_jaxpr
from funcgrad.core.naming import Asking
from funcgrad.core.primitive import bind
from funcgrad.core.source import begin_replay, end_replay, note_place, replay
from funcgrad.core.tracing import Recording


def evaluate(jaxpr: Jaxpr, args: Sequence[Any]) -> list[Any]:
    """The outputs of a jaxpr; each value is dropped after its last use."""
    env: dict[Var, Any] = dict(zip(jaxpr.inputs, args, strict=True))
    env.update(jaxpr.constants)
    read = _reader(env)
    outer = begin_replay()
    try:
        for eqn, dead in zip(jaxpr.equations, jaxpr.last_uses, strict=True):
            replay.place = eqn.place
            y = bind(eqn.primitive, *map(read, eqn.inputs), **eqn.params)
            write(env, eqn, y)
            for v in dead:
                del env[v]
    except Exception as error:
        note_place(error)
        raise
    finally:
        end_replay(outer)
    return [read(x) for x in jaxpr.outputs]


def write(env: dict[Var, Any], eqn: Equation, y: Any) -> None:
    """Put an equation's result into an environment."""
    if eqn.primitive.multiple_results:
        env.update(zip(eqn.outputs, y, strict=True))
    else:
        env[eqn.outputs[0]] = y


def _reader(env: dict[Var, Any]) -> Callable[[Var | Literal], Any]:
    return lambda x: x.value if isinstance(x, Literal) else env[x]


def record_abstract(
    transformation: str | Asking,
    function: Callable[..., Any],
    avals: Sequence[ShapedArray],
    *,
    user_function: Any = None,
    naming: Callable[[int], str] | None = None,
) -> Jaxpr:
    """The jaxpr of a function of flat arrays (returning a list of them), recorded without values.

    Args:
        user_function: Whose transformation it is, for messages.
        naming: What the user calls each array, for messages.
    """
    recording = Recording(transformation, user_function or function, abstract=True)
    if naming is not None:
        recording.naming = naming
    try:
        outputs = function(*[recording.input(aval) for aval in avals])
        return recording_to_jaxpr(recording, outputs)
    finally:
        recording.close()
