"""From a jaxpr to a function that computes it: all stages, one after the other."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import cache, entry, native, outlines, runtime
from funcgrad.compiler.blocking import blocked
from funcgrad.compiler.emission import ProgramEmitter, flushing
from funcgrad.compiler.fusion import Fusion, drop_dead
from funcgrad.compiler.layouts import turned
from funcgrad.compiler.loops import Call, Loop, Nest, Step, parts
from funcgrad.compiler.lowering import Lowering
from funcgrad.compiler.planning import plan_frames, plan_workspace, write_out_small
from funcgrad.compiler.recomputing import recomputed
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Jaxpr, jaxpr_text
from funcgrad.primitives.index import Index

# Programs that do more than so many operations let other threads run Python meanwhile.
_LONG = 200_000
# Code of so few lines, without branches, runs in some nanoseconds, a hundredth of what a call takes.
_BRIEF = 32


class Program:
    """A simplified jaxpr on its way to native code, every stage of it to be looked at.

    Attributes:
        jaxpr: Simplified and closed.
        steps: The loops.
        fallbacks: Equations that call NumPy.
        workspace: Bytes of temporaries.
        flush_subnormals: Whether it computes with 0 for numbers too small to be normal.
    """

    def __init__(self, jaxpr: Jaxpr, *, flush_subnormals: bool = False) -> None:
        self.jaxpr = jaxpr
        self.flush_subnormals = flush_subnormals
        lowering = Lowering(Fusion())
        lowering.program(self.jaxpr)
        self.steps: list[Step] = turned(blocked(drop_dead(lowering.fusion.steps)))
        self.fallbacks: list[Equation] = lowering.fallbacks
        plan_frames(self.steps)
        write_out_small(self.steps)
        self.workspace = plan_workspace(self.steps)
        emitter = ProgramEmitter(8 * native.vector_bytes())
        emitter.program(self.steps)
        self._module = emitter.text()
        self._python_steps = emitter.python_steps

    def loops(self) -> str:
        """The loops as text."""
        from funcgrad.compiler.printing import program_text

        return program_text(self.steps)

    def llvm(self) -> str:
        """The module as text, its entry included."""
        arguments = [_argument(v.aval) for v in self.jaxpr.inputs]
        results = [_argument(x.aval) for x in self.jaxpr.outputs]
        text = self._module + entry.entry_text(arguments, results, self.workspace, release_gil=self._is_long())
        return flushing(text) if self.flush_subnormals else text

    def _is_long(self) -> bool:
        return _operations(self.steps) > _LONG

    def _is_brief(self) -> bool:
        """Whether it is over so soon that good code would save nothing of a call."""
        return self._module.count("\n") <= _BRIEF and "\n  br " not in self._module

    def compile(self) -> Executable:
        """Native code, from disk if it is there."""
        return self.executable(*_stored(self.jaxpr, self.flush_subnormals))

    def executable(self, name: str | None, stored: cache.Program | None) -> Executable:
        """Native code: that from disk, or made now and kept there under a name."""
        steps = [step.run for step in self._python_steps]
        if stored is not None:
            return Executable(native.load(stored.code), steps, self.fallbacks, "disk")
        code = native.compile_module(self.llvm(), quick=self._is_brief())
        if name is not None:
            cache.write(name, cache.Program(len(steps), code))
        return Executable(native.load(code), steps, self.fallbacks, "compiler")


def _operations(steps: Sequence[Step]) -> int:
    """About how many operations steps take; of loops without a known end, a thousand rounds."""
    total = 0
    for step in steps:
        if type(step) is Nest:
            w = step.window
            total += step.points if w is None else step.points // step.extents[w.axis] * w.block
        elif type(step) is Call:
            total += step.operations
        rounds = 1 if type(step) is not Loop else 1000 if step.count is None else step.count
        total += rounds * sum(_operations(inner) for inner in parts(step))
    return total


def executable(jaxpr: Jaxpr, *, flush_subnormals: bool = False) -> Executable:
    """Native code of a closed jaxpr, from disk if it is there; then nothing is even lowered."""
    simple = recomputed(jaxpr)
    name, stored = _stored(simple, flush_subnormals)
    if stored is not None and not stored.steps:
        return Executable(native.load(stored.code), (), (), "disk")
    return Program(simple, flush_subnormals=flush_subnormals).executable(name, stored)


class Executable:
    """Native code of a jaxpr.

    Attributes:
        call: Of flat arguments: the result, or a tuple of results unless there is just one; `NotImplemented` where
            arguments are not exactly of the types compiled for (native, contiguous, aligned).
        fallbacks: Equations that call NumPy.
        origin: "compiler" or "disk".
    """

    def __init__(
        self, library: native.Library, steps: Sequence[runtime.Step], fallbacks: Sequence[Equation], origin: str
    ) -> None:
        self.call = entry.bind_entry(library)
        self.fallbacks = list(fallbacks)
        self.origin = origin
        if steps:
            number = runtime.register(steps)
            ctypes.c_int64.from_address(library.address("fg_program")).value = number
            weakref.finalize(library, runtime.unregister, number)


def _argument(aval: ShapedArray) -> entry.Argument:
    if aval.weak_type:
        return entry.Argument((), aval.dtype, "python")
    return entry.Argument(aval.shape, aval.dtype, "array" if aval.shape else "scalar")


# What a parameter of an equation may be, so that its text says all of it.
_TELLING = (int, float, complex, str, bool, type(None), np.dtype, np.generic, Index)


def _stored(jaxpr: Jaxpr, flush_subnormals: bool) -> tuple[str | None, cache.Program | None]:
    """The name of a program on disk, None for one that cannot be kept, and what is there under it."""
    text = canonical_text(jaxpr)
    if text is None:
        return None, None
    name = cache.key(f"flush subnormals\n{text}" if flush_subnormals else text)
    return name, cache.read(name)


def canonical_text(jaxpr: Jaxpr) -> str | None:
    """A text that two jaxprs share only if they are the same program; None where a text cannot say what it is."""
    if not all(_tells(value) for eqn in jaxpr.equations for value in eqn.params.values()):
        return None
    return jaxpr_text(jaxpr)


def _tells(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_tells, value))
    if isinstance(value, Jaxpr):
        return canonical_text(value) is not None
    return isinstance(value, _TELLING)


outlines.register()

__all__ = ["Executable", "Program", "executable"]
