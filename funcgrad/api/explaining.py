"""What `jit` did, to be read: the stages of a program, and what became of each signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from funcgrad.api.programs import Program
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller


class Lowered:
    """A jitted function for one signature, recorded and not yet compiled."""

    def __init__(self, function: Any, program: Program) -> None:
        self._function = function
        self._program = program

    def as_text(self, stage: Literal["jaxpr", "loops", "llvm"] = "loops") -> str:
        """A stage of the program as text.

        Args:
            stage: "jaxpr": what was recorded. "loops": after simplification, fusion and memory planning. "llvm": the
                module that is handed to LLVM.

        Raises:
            ArgumentError: (a ValueError) There is no such stage.
        """
        if stage == "jaxpr":
            return repr(self._program.jaxpr)
        if stage not in ("loops", "llvm"):
            raise ArgumentError(
                message(f"as_text got stage={stage!r}.", where=caller(), fix='"jaxpr", "loops" or "llvm".')
            )
        stages = self._program.stages()
        return stages.loops() if stage == "loops" else stages.llvm()

    def compile(self) -> Any:
        """Compile it now; returns the jitted function, which runs natively for this signature from its next call on."""
        if self._program.executable is None:
            self._program.compile()
        return self._function


class Explanation:
    """What became of each signature of a jitted function; print it."""

    def __init__(self, function: Any, programs: Sequence[tuple[str, Program]]) -> None:
        self._name = repr(function)
        self.programs = [program for _, program in programs]
        self._types = [types for types, _ in programs]

    def __repr__(self) -> str:
        if not self.programs:
            return f"{self._name}: not called yet"
        lines = [f"{self._name}: {len(self.programs)} signature{'s' * (len(self.programs) > 1)}"]
        for types, program in zip(self._types, self.programs, strict=True):
            lines += [f"  {types}", *[f"    {line}" for line in _account(program)]]
        return "\n".join(lines)


def _account(program: Program) -> list[str]:
    """What is to be said of one signature."""
    times = f"recorded in {1e3 * program.seconds.get('record', 0.0):.1f} ms"
    if program.failure:
        often = "at each call" if program.watch is None else "once"
        calls = f"{program.calls} call{'s' * (program.calls != 1)}"
        return [f"evaluated by NumPy: {program.failure}", f"{times} {often}, {calls}"]
    if program.executable is None:
        return [f"{times}; to be compiled at the next call"]
    origin = "compiled" if program.executable.origin == "compiler" else "loaded from disk"
    equations = len(program.jaxpr.equations)
    lines = [f"{times}, {origin} in {1e3 * program.seconds['compile']:.1f} ms, {program.calls} calls the general way"]
    fallbacks = program.executable.fallbacks
    if not fallbacks:
        return [*lines, f"native: all of {equations} equations"]
    lines.append(f"native: all of {equations} equations but {len(fallbacks)}, which call NumPy:")
    for eqn in fallbacks:
        where = f"  {eqn.source.brief}  {eqn.source.text}" if eqn.source is not None else ""
        lines.append(f"  {eqn.primitive.name}{where}")
    return lines


def types_text(key: Any) -> str:
    """The types of a signature's arrays."""
    return f"({', '.join(map(repr, key[1]))})"
