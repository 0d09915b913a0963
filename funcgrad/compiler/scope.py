"""A native function under construction: its instructions, and how it reaches buffers and counters."""

from __future__ import annotations

from collections.abc import Mapping

from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Buffer, Frames
from funcgrad.kernels.assembly import BOOL, ELEMENTS, I64, Builder, Module, Value
from funcgrad.kernels.complex import PARTS


class Scope:
    """A function of the program under construction: its instructions, and the pointers it has asked for.

    Attributes:
        builder: The instructions after the prologue.
        outer: Values of the counters of loops around, by axis (negative numbers).
        frames: Pointers to the frames of loops around.
        parameters: The names of counters that do not change in the function.
        shift: The shift of windows, if it is a parameter.

    Args:
        pointers: Pointers that are parameters; then the shift of windows is one, too.
    """

    def __init__(
        self,
        module: Module,
        globals_: dict[Buffer, str],
        outer: dict[int, Value] | None = None,
        pointers: Mapping[Buffer, str] | None = None,
    ) -> None:
        self.module = module
        self.builder = Builder(module)
        self.outer = outer or {}
        self.frames: dict[Frames, str] = {}
        self.parameters = frozenset(value.text for value in self.outer.values())
        self.shift = None if pointers is None else Value(self.builder, "%shift", I64, 1)
        self.prologue: list[str] = []
        self._multiples: dict[tuple[str, int], Value] = {}
        self._pointers = dict(pointers or {})
        self._globals = globals_

    def pointer(self, buffer: Buffer) -> str:
        """The pointer to a buffer's first element."""
        if buffer.place == "frame":
            return self._in_frame(buffer)
        known = self._pointers.get(buffer)
        if known is None:
            known = self._pointers[buffer] = self._find(buffer)
        return known

    def _in_frame(self, buffer: Buffer) -> str:
        """The pointer to a part of the frame at hand, found anew each time: the next round has another."""
        assert buffer.frames is not None
        frame = self.frames[buffer.frames]
        if buffer.number == 0:
            return frame
        name = self.builder.name()
        self.builder.do(f"{name} = getelementptr i8, ptr {frame}, i64 {buffer.number}")
        return name

    def _find(self, buffer: Buffer) -> str:
        if buffer.place == "constant":
            if buffer not in self._globals:
                self._globals[buffer] = f"@constant{len(self._globals)}"
            return self._globals[buffer]
        name = f"%b{buffer.serial}"
        if buffer.place == "stack":
            element = PARTS.get(buffer.dtype) or ELEMENTS[buffer.dtype]
            kind = "i8" if element is BOOL else element.llvm
            count = max(buffer.size, 1) * (1 + (buffer.dtype in PARTS))
            self.prologue.append(f"  {name} = alloca [{count} x {kind}], align 64")
            return name
        if buffer.place == "workspace":
            if buffer.number == 0:
                return "%workspace"
            self.prologue.append(f"  {name} = getelementptr i8, ptr %workspace, i64 {buffer.number}")
        else:
            table = f"%{buffer.place}s"
            self.prologue.append(f"  {name}.slot = getelementptr ptr, ptr {table}, i64 {buffer.number}")
            self.prologue.append(f"  {name} = load ptr, ptr {name}.slot, align 8, !invariant.load !0")
        return name

    def element_pointer(self, buffer: Buffer, offset: Affine) -> str:
        """The pointer to an element of a buffer."""
        if not offset.terms and not offset.offset:
            return self.pointer(buffer)
        name, place = self.builder.name(), self.affine(offset, {})
        kind = f"[{buffer.dtype.itemsize} x i8]"
        self.builder.do(f"{name} = getelementptr {kind}, ptr {self.pointer(buffer)}, i64 {place.text}")
        return name

    def allocate(self, element: str, count: int = 1) -> str:
        """A place on the stack."""
        name = self.builder.name()
        self.prologue.append(f"  {name} = alloca {element}, i64 {count}, align 64")
        return name

    def affine(self, index: Affine, counters: dict[int, Value]) -> Value:
        """The value of an affine index."""
        b, offset = self.builder, index.offset
        total: Value | None = None
        for axis, factor, _ in index.terms:
            x = counters[axis] if axis in counters else self.outer[axis]
            if not x.text.startswith("%"):
                offset += int(x.text) * factor
                continue
            if factor != 1:
                x = self._multiple(x, factor) if x.text in self.parameters else x * factor
            total = x if total is None else total + x
        if total is None:
            return b.constant(offset, I64)
        return total + offset if offset else total

    def _multiple(self, x: Value, factor: int) -> Value:
        """A parameter times a number, computed once."""
        known = self._multiples.get((x.text, factor))
        if known is None:
            known = Value(self.builder, f"{x.text}.{len(self._multiples)}", x.element, 1)
            self._multiples[x.text, factor] = known
            self.prologue.append(f"  {known.text} = mul i64 {x.text}, {factor}")
        return known

    def text(self, head: str, attributes: str, end: str) -> str:
        """The whole function."""
        return "\n".join([f"{head} {attributes} {{", "entry:", *self.prologue, *self.builder.lines, f"  {end}", "}"])
