"""How is a jaxpr computed again and again on plain values?  As a Python function written for it.

Loops without a compiler run their body thousands of times. An interpreter's loop over equations costs about as much
as NumPy does on small arrays; a function of one line per equation costs next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from funcgrad.control.derived import derived
from funcgrad.core.jaxpr import Jaxpr, Literal, Var, body_effort
from funcgrad.core.source import Place, note_place, replay
from funcgrad.transforms.evaluate import evaluate

Runner = Callable[..., tuple[Any, ...]]

# In this package, so that its lines are not taken for the user's; and no file, so that no lines are shown.
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "<jaxpr>")


def prepared(jaxpr: Jaxpr) -> Runner:
    """The jaxpr as a function of plain values, a tuple of results; made once.

    For `{ lambda ; a b . let c = sin a; d = multiply c b in (d,) }` the function is
    ```
    def run(v0, v1):
        v2 = f0(v0)
        del v0
        v3 = f1(v2, v1)
        return (v3,)
    ```
    """
    if replay.always:  # somebody looks on, equation by equation
        return lambda *args: tuple(evaluate(jaxpr, args))
    return derived(jaxpr, "run", _prepare)


def _prepare(jaxpr: Jaxpr) -> Runner:
    names: dict[Var, str] = {}
    scope: dict[str, Any] = {}

    def read(x: Any) -> str:
        if isinstance(x, Literal):
            scope[f"c{len(scope)}"] = x.value
            return f"c{len(scope) - 1}"
        return names[x]

    def name(v: Var) -> str:
        names[v] = f"v{len(names)}"
        return names[v]

    lines = [f"def run({', '.join(map(name, jaxpr.inputs))}):"]
    for v, value in jaxpr.constants:
        scope[name(v)] = value
    constants = {v for v, _ in jaxpr.constants}
    for i, (eqn, dead) in enumerate(zip(jaxpr.equations, jaxpr.last_uses, strict=True)):
        scope[f"f{i}"], scope[f"p{i}"] = eqn.primitive.implementation, eqn.params
        operands = [*map(read, eqn.inputs), *([f"**p{i}"] if eqn.params else [])]
        targets = ", ".join(map(name, eqn.outputs)) + ("," if eqn.primitive.multiple_results else "")
        line = f"    {targets} = f{i}({', '.join(operands)})"
        freed = [names[v] for v in dead if v not in constants]
        lines.append(line + (f"; del {', '.join(freed)}" if freed else ""))
    outs = "".join(f"{read(x)}, " for x in jaxpr.outputs)
    lines.append(f"    return ({outs})")
    exec(compile("\n".join(lines), _FILE, "exec"), scope)
    run = scope.pop("run")  # no cycle of references: it goes when the jaxpr goes
    places = [eqn.place for eqn in jaxpr.equations]

    def runner(*args: Any) -> tuple[Any, ...]:
        try:
            return run(*args)
        except Exception as error:
            _note(error, run.__code__, places)
            raise

    return runner


# As how many a loop's rounds count before anybody knows: about as many as Newton's method takes.
_EXPECTED_ROUNDS = 10


def rounds_effort(params: dict[str, Any]) -> float:
    """The effort of a loop that goes through its body `length` times."""
    length = params["length"]
    return (_EXPECTED_ROUNDS if length is None else length) * body_effort(params)


def while_effort(params: dict[str, Any]) -> float:
    """The effort of a loop that goes on while a condition holds."""
    effort: float = params["cond_jaxpr"].effort + params["body_jaxpr"].effort
    return _EXPECTED_ROUNDS * effort


def _note(error: Exception, code: CodeType, places: Sequence[Place | None]) -> None:
    """Add the user's line to an error, by the line of the function that raised it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not code:
        traceback = traceback.tb_next
    if traceback is None:
        return
    outer, replay.place = replay.place, places[traceback.tb_lineno - 2]
    note_place(error)
    replay.place = outer
