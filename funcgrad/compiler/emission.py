"""Loops become LLVM assembly: explicit vectors, explicit order, every invariant outside of its loop.

Small nests are written out where they stand; of the large ones some share a function,
`void nests(ptr inputs, ptr outputs, ptr workspace, i64 counters of loops around, ptr their frames)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from funcgrad.compiler import native, runtime
from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Branch, Buffer, Call, Check, Frames, Loop, Nest, Step
from funcgrad.compiler.nests import NestEmitter
from funcgrad.compiler.python_step import PythonStep
from funcgrad.compiler.scope import Scope
from funcgrad.compiler.sharing import Shape, repeated
from funcgrad.compiler.stacks import Stack
from funcgrad.kernels.assembly import BOOL, ELEMENTS, I64, Module, Value, constant_text

# With a frame pointer LLVM can align what it spills: vectors across cache lines take twice as long to load.
ATTRIBUTES = """
attributes #0 = { alwaysinline nounwind willreturn memory(none) "prefer-vector-width"="512" }
attributes #1 = { noinline nounwind "prefer-vector-width"="512" "frame-pointer"="all" }
attributes #2 = { nounwind "prefer-vector-width"="512" "frame-pointer"="all" }
"""
# Large nests of one function: many functions cost LLVM more time than their lines, and so do very large ones.
_NESTS = 16
# Rounds of a loop between two looks for Ctrl-C; a power of two.
_ROUNDS = 4096
# The status of a program that NumPy is to evaluate in its place.
REEVALUATE = 1
# Where a program ends before its end, and its status then.
_STATUSES = {"fail": REEVALUATE, "stopped": runtime.FALLBACK_FAILED, "exhausted": runtime.NO_MEMORY}
PARAMETERS = "ptr noalias %inputs, ptr noalias %outputs, ptr noalias %workspace"
ARGUMENTS = "ptr %inputs, ptr %outputs, ptr %workspace"


class ProgramEmitter:
    """A program as a module.

    Args:
        vector_bits: The size of the machine's vectors.
    """

    def __init__(self, vector_bits: int) -> None:
        self.vector_bits = vector_bits
        self.module = Module(avx512=vector_bits == 512)
        self.globals: dict[Buffer, str] = {}
        self.number = 0
        self.python_steps: list[PythonStep] = []
        self.repeated: dict[Nest, Shape] = {}
        # Functions of repeated nests, by what these have in common and the loops around them.
        self.shared: dict[Hashable, str] = {}
        self.stacks: dict[Frames, Stack] = {}

    def program(self, steps: Sequence[Step], name: str = "program") -> None:
        """Add `i32 name(ptr inputs, ptr outputs, ptr workspace)`: 0, or not 0 where NumPy has to say what is wrong."""
        scope = Scope(self.module, self.globals)
        self.repeated = repeated(steps)
        self.steps(steps, scope)
        head, end, b = f"define i32 @{name}({PARAMETERS})", "ret i32 0", scope.builder
        for label, status in _STATUSES.items():
            if any(f"label %{label}" in line for line in b.lines):
                b.do(end)
                b.start(label)
                for stack in self.stacks.values():
                    stack.release(b)
                end = f"ret i32 {status}"
        self.module.functions[name] = scope.text(head, "#2", end)

    def steps(self, steps: Sequence[Step], scope: Scope) -> None:
        """Emit steps one after the other; large nests that follow each other share a function."""
        waiting: list[Nest] = []
        for step in steps:
            if type(step) is Nest and not step.inline:
                waiting.append(step)
                continue
            self.nests(waiting, scope)
            waiting.clear()
            if type(step) is Nest:
                NestEmitter(scope, step, self.vector_bits).emit()
            elif type(step) is Check:
                self.check(step, scope)
            elif type(step) is Call:
                step.emit(self, scope, step)
            elif type(step) is PythonStep:
                self.python_step(step, scope)
            elif type(step) is Loop:
                self.loop(step, scope)
            elif type(step) is Branch:
                self.choice(step, scope)
            else:
                raise TypeError(f"no such step: {step!r}")
        self.nests(waiting, scope)

    def nests(self, nests: Sequence[Nest], scope: Scope) -> None:
        """Emit nests as functions, and the calls of them: some to each, but repeated ones once for all."""
        for is_repeated, group in itertools.groupby(nests, lambda nest: nest in self.repeated):
            if is_repeated:
                for nest in group:
                    self.repeated_nest(self.repeated[nest], scope)
                continue
            together = list(group)
            for start in range(0, len(together), _NESTS):
                symbol = self._function(together[start : start + _NESTS], PARAMETERS, scope)
                self._call(symbol, ARGUMENTS, scope)

    def repeated_nest(self, shape: Shape, scope: Scope) -> None:
        """Emit the call of a function of pointers, and the function where the nest is the first of its shape."""
        key = (shape.key, *scope.outer, len(scope.frames))
        if key not in self.shared:
            nest, pointers = shape.of_pointers()
            parameters = "".join(f"ptr {name}, " for name in pointers.values()) + "i64 %shift"
            self.shared[key] = self._function([nest], parameters, scope, pointers)
        arguments = "".join(f"ptr {scope.element_pointer(buffer, Affine(k))}, " for buffer, k in shape.places)
        shift = 0 if shape.nest.window is None else shape.nest.window.shift
        self._call(self.shared[key], f"{arguments}i64 {shift}", scope)

    def _function(
        self, nests: Sequence[Nest], parameters: str, scope: Scope, pointers: Mapping[Buffer, str] | None = None
    ) -> str:
        """Emit a function of nests, to be called where a scope is; its symbol.

        Args:
            pointers: Those that are parameters, beside a shift of windows.
        """
        self.number += 1
        symbol = f"nests{self.number}"
        outer = {axis: Value(None, f"%t{-1 - axis}", I64, 1) for axis in scope.outer}  # type: ignore[arg-type]
        inner = Scope(self.module, self.globals, outer, pointers)
        inner.frames = {frames: f"%frame{k}" for k, frames in enumerate(scope.frames)}
        for value in outer.values():
            value.builder = inner.builder
        for nest in nests:
            NestEmitter(inner, nest, self.vector_bits).emit()
        parameters += "".join([f", i64 {value.text}" for value in outer.values()])
        parameters += "".join([f", ptr {frame}" for frame in inner.frames.values()])
        head = f"define internal void @{symbol}({parameters})"
        self.module.functions[symbol] = inner.text(head, "#1", "ret void")
        return symbol

    def _call(self, symbol: str, arguments: str, scope: Scope) -> None:
        arguments += "".join([f", i64 {value.text}" for value in scope.outer.values()])
        arguments += "".join([f", ptr {frame}" for frame in scope.frames.values()])
        scope.builder.do(f"call void @{symbol}({arguments})")

    def loop(self, step: Loop, scope: Scope) -> None:
        """Emit a loop in place; long ones ask now and then whether Ctrl-C was pressed."""
        b = scope.builder
        before, label, after = b.block, b.label("round"), b.label("rounds")
        number, following = b.name(), b.name()
        b.jump(label)
        b.start(label)
        place = len(b.lines)
        b.lines.append("")
        scope.outer[step.axis] = Value(b, number, I64, 1)
        if step.pops is not None:
            scope.frames[step.pops] = self.stack(step.pops, scope).pop(b, after)
        if step.flag is not None:
            self.steps(step.condition, scope)
            going, onward = b.name(), b.label("body")
            b.do(f"{going} = load i8, ptr {scope.pointer(step.flag)}")
            again = b.name()
            b.do(f"{again} = icmp ne i8 {going}, 0")
            b.do(f"br i1 {again}, label %{onward}, label %{after}")
            b.start(onward)
        if step.pushes is not None:
            scope.frames[step.pushes] = self.stack(step.pushes, scope).push(b)
        self.steps(step.body, scope)
        if step.count is None or step.count > _ROUNDS:
            self._poll(scope, number)
        b.do(f"{following} = add nuw nsw i64 {number}, 1")
        b.lines[place] = f"  {number} = phi i64 [ 0, %{before} ], [ {following}, %{b.block} ]"
        if step.count is None:
            b.jump(label)
        else:
            again = b.name()
            b.do(f"{again} = icmp ult i64 {following}, {step.count}")
            b.do(f"br i1 {again}, label %{label}, label %{after}")
        b.start(after)
        del scope.outer[step.axis]
        for frames in (step.pushes, step.pops):
            if frames is not None:
                del scope.frames[frames]

    def stack(self, frames: Frames, scope: Scope) -> Stack:
        """The stack of frames, which begins empty."""
        if frames not in self.stacks:
            self.stacks[frames] = Stack(frames, scope)
        return self.stacks[frames]

    def _poll(self, scope: Scope, number: str) -> None:
        b = scope.builder
        low, due, ask, onward = b.name(), b.name(), b.label("ask"), b.label("onward")
        b.do(f"{low} = and i64 {number}, {_ROUNDS - 1}")
        b.do(f"{due} = icmp eq i64 {low}, {_ROUNDS - 1}")
        b.do(f"br i1 {due}, label %{ask}, label %{onward}, !prof !1")
        b.start(ask)
        self.module.declare("declare i32 @fg_interrupted()")
        status, good = b.name(), b.name()
        b.do(f"{status} = call i32 @fg_interrupted()")
        b.do(f"{good} = icmp eq i32 {status}, 0")
        b.do(f"br i1 {good}, label %{onward}, label %stopped")
        b.start(onward)

    def choice(self, step: Branch, scope: Scope) -> None:
        """Emit branches in place."""
        b, last = scope.builder, len(step.branches) - 1
        raw, after = b.name(), b.label("chosen")
        b.do(f"{raw} = load i64, ptr {scope.pointer(step.index)}")
        labels = [b.label("case") for _ in step.branches]
        # What is negative is the first, what is too large the last.
        negative, index = b.name(), b.name()
        b.do(f"{negative} = icmp slt i64 {raw}, 0")
        b.do(f"{index} = select i1 {negative}, i64 0, i64 {raw}")
        cases = " ".join(f"i64 {k}, label %{labels[k]}" for k in range(last))
        b.do(f"switch i64 {index}, label %{labels[last]} [ {cases} ]")
        for label, steps in zip(labels, step.branches, strict=True):
            b.start(label)
            self.steps(steps, scope)
            b.jump(after)
        b.start(after)

    def check(self, step: Check, scope: Scope) -> None:
        """Emit a check: the program fails if the flag is up."""
        b = scope.builder
        element = ELEMENTS[step.buffer.dtype]
        storage = "i8" if element is BOOL else element.llvm
        flag = b.name()
        b.do(f"{flag} = load {storage}, ptr {scope.pointer(step.buffer)}")
        bad, onward = b.name(), b.label("checked")
        b.do(f"{bad} = icmp ne {storage} {flag}, 0")
        b.do(f"br i1 {bad}, label %fail, label %{onward}, !prof !1")
        b.start(onward)

    def python_step(self, step: PythonStep, scope: Scope) -> None:
        """Emit a call into Python, with a table of pointers to operands and results."""
        b, tensors = scope.builder, (*step.operands, *step.results)
        table = scope.allocate("ptr", len(tensors))
        for k, x in enumerate(tensors):
            assert x.buffer is not None
            place, pointer = b.name(), scope.element_pointer(x.buffer, x.offset)
            b.do(f"{place} = getelementptr ptr, ptr {table}, i64 {k}")
            b.do(f"store ptr {pointer}, ptr {place}")
        self.module.declare("declare i32 @fg_fallback(i64, i32, ptr)")
        number, status, good, onward = b.name(), b.name(), b.name(), b.label("onward")
        b.do(f"{number} = load i64, ptr @fg_program")
        b.do(f"{status} = call i32 @fg_fallback(i64 {number}, i32 {len(self.python_steps)}, ptr {table})")
        b.do(f"{good} = icmp eq i32 {status}, 0")
        b.do(f"br i1 {good}, label %{onward}, label %stopped")
        b.start(onward)
        self.python_steps.append(step)

    def text(self) -> str:
        """The module as LLVM reads it."""
        constants = [
            f"{symbol} = internal unnamed_addr constant {_array_text(buffer)}, align 64"
            for buffer, symbol in self.globals.items()
        ]
        program = "@fg_program = global i64 0" if self.python_steps else ""
        metadata = '!0 = !{}\n!1 = !{!"branch_weights", i32 1, i32 100000}\n!2 = !{i32 1}\n'
        return "\n".join([*constants, program, self.module.text(), ATTRIBUTES, metadata])


def _array_text(buffer: Buffer) -> str:
    values = np.asarray(buffer.values)
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    element = ELEMENTS[values.dtype]
    kind = "i8" if element is BOOL else element.llvm
    if element is BOOL:
        items = [str(int(x)) for x in values]
    else:
        items = [constant_text(x, element) for x in values]
    return f"[{len(items)} x {kind}] [{', '.join(f'{kind} {item}' for item in items)}]"


# x86's control register of vector arithmetic: subnormal operands are taken as 0, subnormal results are 0.
_FLUSH = 0x8040


def flushing(text: str) -> str:
    """A module whose program computes without subnormal numbers, where the processor has a switch for that (x86)."""
    if not native.host()[0].startswith(("x86_64", "i686")):
        return text
    body = text.replace("define i32 @program(", "define internal i32 @computation(", 1)
    return (
        body
        + f"""
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define i32 @program({PARAMETERS}) noinline nounwind {{
  %before = alloca i32
  %within = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %before)
  %state = load i32, ptr %before
  %flushed = or i32 %state, {_FLUSH}
  store i32 %flushed, ptr %within
  call void @llvm.x86.sse.ldmxcsr(ptr %within)
  %status = call i32 @computation({ARGUMENTS}) noinline
  call void @llvm.x86.sse.ldmxcsr(ptr %before)
  ret i32 %status
}}
"""
    )
