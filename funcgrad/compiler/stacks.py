"""A stack that grows while compiled code runs: what a loop of unknown length keeps for the loop that goes back.

Each round's frame has the same size. Frames lie in chunks, the first of them in the workspace, each further one from
the pool and twice as large as the one before. So no frame is ever copied, and a chunk goes back to the pool as soon as
the last of its frames is popped. A program that ends early gives them all back.
"""

from __future__ import annotations

from funcgrad.compiler import runtime
from funcgrad.compiler.loops import Frames
from funcgrad.compiler.scope import Scope
from funcgrad.kernels.assembly import Builder

BASE = 4096
"""How many bytes of frames lie in the workspace, at most."""


class Stack:
    """The stack of a program under construction: `top` is behind the last frame, `bottom` and `end` are the chunk's."""

    def __init__(self, frames: Frames, scope: Scope) -> None:
        self.frames = frames
        self._chunk = scope.allocate("ptr")
        self._top, self._bottom, self._end = (scope.allocate("ptr") for _ in range(3))
        self._count = scope.allocate("i64")
        self._start = scope.pointer(frames.base)
        scope.prologue.append(f"  store ptr null, ptr {self._chunk}")
        scope.prologue.append(f"  store i64 0, ptr {self._count}")
        scope.prologue.append(f"  store ptr {self._start}, ptr {self._top}")
        self._enter_base(scope.builder, scope.prologue)

    def _enter_base(self, b: Builder, lines: list[str]) -> str:
        """Let the first chunk be the one at hand; gives its end."""
        end = b.name()
        lines.append(f"  {end} = getelementptr i8, ptr {self._start}, i64 {self.frames.count * self.frames.size}")
        lines.append(f"  store ptr {self._start}, ptr {self._bottom}")
        lines.append(f"  store ptr {end}, ptr {self._end}")
        return end

    def push(self, b: Builder) -> str:
        """One more frame: the pointer to it."""
        if not self.frames.size:
            self._add(b, self._load(b, "i64", self._count), 1)
            return self._start
        b.module.declare("declare ptr @fg_push(ptr, i64)")
        top, end = self._load(b, "ptr", self._top), self._load(b, "ptr", self._end)
        before, grow, grown, pushed = b.block, b.label("grow"), b.label("grown"), b.label("pushed")
        self._choose(b, self._equal(b, top, end), grow, pushed)
        b.start(grow)
        made = b.name()
        b.do(f"{made} = call ptr @fg_push(ptr {self._load(b, 'ptr', self._chunk)}, i64 {self.frames.size})")
        self._choose(b, self._equal(b, made, "null"), "exhausted", grown)
        b.start(grown)
        bottom, _ = self._enter(b, made)
        b.jump(pushed)
        b.start(pushed)
        frame, following = b.name(), b.name()
        b.do(f"{frame} = phi ptr [ {top}, %{before} ], [ {bottom}, %{grown} ]")
        b.do(f"{following} = getelementptr i8, ptr {frame}, i64 {self.frames.size}")
        b.do(f"store ptr {following}, ptr {self._top}")
        return frame

    def pop(self, b: Builder, after: str) -> str:
        """The pointer to the last frame, which is one no more; jumps away where there is none."""
        if not self.frames.size:
            count, onward = self._load(b, "i64", self._count), b.label("onward")
            none = b.name()
            b.do(f"{none} = icmp eq i64 {count}, 0")
            b.do(f"br i1 {none}, label %{after}, label %{onward}")
            b.start(onward)
            self._add(b, count, -1)
            return self._start
        b.module.declare("declare ptr @fg_pop(ptr)")
        look, shrink, drop, popped = b.label("look"), b.label("shrink"), b.label("drop"), b.label("popped")
        b.jump(look)
        b.start(look)
        top = self._load(b, "ptr", self._top)
        self._choose(b, self._equal(b, top, self._load(b, "ptr", self._bottom)), shrink, popped)
        b.start(shrink)
        chunk = self._load(b, "ptr", self._chunk)
        b.do(f"br i1 {self._equal(b, chunk, 'null')}, label %{after}, label %{drop}")
        b.start(drop)
        self._leave(b, chunk)
        b.jump(look)
        b.start(popped)
        frame = b.name()
        b.do(f"{frame} = getelementptr i8, ptr {top}, i64 {-self.frames.size}")
        b.do(f"store ptr {frame}, ptr {self._top}")
        return frame

    def release(self, b: Builder) -> None:
        """Give back all chunks."""
        if self.frames.size:
            b.module.declare("declare void @fg_drop(ptr)")
            b.do(f"call void @fg_drop(ptr {self._load(b, 'ptr', self._chunk)})")

    def _enter(self, b: Builder, chunk: str) -> tuple[str, str]:
        """Let a chunk be the one at hand; gives its bottom and end."""
        bottom, place = b.name(), b.name()
        b.do(f"store ptr {chunk}, ptr {self._chunk}")
        b.do(f"{bottom} = getelementptr i8, ptr {chunk}, i64 64")
        b.do(f"store ptr {bottom}, ptr {self._bottom}")
        b.do(f"{place} = getelementptr i8, ptr {chunk}, i64 32")
        end = self._load(b, "ptr", place)
        b.do(f"store ptr {end}, ptr {self._end}")
        return bottom, end

    def _leave(self, b: Builder, chunk: str) -> None:
        """Give back an empty chunk; the one before is full."""
        previous, base, other, left = b.name(), b.label("base"), b.label("other"), b.label("left")
        b.do(f"{previous} = call ptr @fg_pop(ptr {chunk})")
        b.do(f"br i1 {self._equal(b, previous, 'null')}, label %{base}, label %{other}")
        b.start(base)
        b.do(f"store ptr null, ptr {self._chunk}")
        end = self._enter_base(b, b.lines)
        b.do(f"store ptr {end}, ptr {self._top}")
        b.jump(left)
        b.start(other)
        _, end = self._enter(b, previous)
        b.do(f"store ptr {end}, ptr {self._top}")
        b.jump(left)
        b.start(left)

    def _add(self, b: Builder, count: str, number: int) -> None:
        following = b.name()
        b.do(f"{following} = add i64 {count}, {number}")
        b.do(f"store i64 {following}, ptr {self._count}")

    def _load(self, b: Builder, kind: str, place: str) -> str:
        name = b.name()
        b.do(f"{name} = load {kind}, ptr {place}")
        return name

    def _equal(self, b: Builder, x1: str, x2: str) -> str:
        name = b.name()
        b.do(f"{name} = icmp eq ptr {x1}, {x2}")
        return name

    def _choose(self, b: Builder, seldom: str, rare: str, common: str) -> None:
        b.do(f"br i1 {seldom}, label %{rare}, label %{common}, !prof !1")


# A chunk begins with a line that has: the chunk before, what the pool gave, its slot and size there (see `workspaces`),
# the end of the last frame, and the power of two that the size is. Chunks are of 16 kilobytes or more, and room for
# four frames; the largest of the pool are of 16 gigabytes.
runtime.TEXT["fg_push"] = """
declare noalias ptr @fg_take(i64, i64)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)

define internal ptr @fg_push(ptr %previous, i64 %frame) noinline nounwind {
entry:
  %four = shl i64 %frame, 2
  %needed = add i64 %four, 127
  %zeros = call i64 @llvm.ctlz.i64(i64 %needed, i1 true)
  %enough = sub i64 64, %zeros
  %least = call i64 @llvm.umax.i64(i64 %enough, i64 14)
  %first = icmp eq ptr %previous, null
  br i1 %first, label %allocate, label %double
double:
  %p.before = getelementptr i64, ptr %previous, i64 5
  %before = load i64, ptr %p.before
  %doubled = add i64 %before, 1
  br label %allocate
allocate:
  %power = phi i64 [ %least, %entry ], [ %doubled, %double ]
  %bytes = shl i64 1, %power
  %class = sub i64 %power, 14
  %pooled = icmp ult i64 %class, 21
  %sixteen = shl i64 %class, 4
  %number = add i64 %sixteen, 12
  %slot = select i1 %pooled, i64 %number, i64 -1
  %block = call ptr @fg_take(i64 %slot, i64 %bytes)
  %none = icmp eq ptr %block, null
  br i1 %none, label %nothing, label %enter
enter:
  %start = ptrtoint ptr %block to i64
  %behind = add i64 %start, 63
  %place = and i64 %behind, -64
  %chunk = inttoptr i64 %place to ptr
  %ahead = sub i64 %place, %start
  %lost = add i64 %ahead, 64
  %room = sub i64 %bytes, %lost
  %rest = urem i64 %room, %frame
  %used = sub i64 %room, %rest
  %last = add i64 %used, 64
  %end = getelementptr i8, ptr %chunk, i64 %last
  %p.block = getelementptr i64, ptr %chunk, i64 1
  %p.slot = getelementptr i64, ptr %chunk, i64 2
  %p.bytes = getelementptr i64, ptr %chunk, i64 3
  %p.end = getelementptr i64, ptr %chunk, i64 4
  %p.power = getelementptr i64, ptr %chunk, i64 5
  store ptr %previous, ptr %chunk
  store ptr %block, ptr %p.block
  store i64 %slot, ptr %p.slot
  store i64 %bytes, ptr %p.bytes
  store ptr %end, ptr %p.end
  store i64 %power, ptr %p.power
  ret ptr %chunk
nothing:
  ret ptr null
}
"""
runtime.TEXT["fg_pop"] = """
declare void @fg_give(ptr, i64, i64)

define internal ptr @fg_pop(ptr %chunk) noinline nounwind {
  %previous = load ptr, ptr %chunk
  %p.block = getelementptr i64, ptr %chunk, i64 1
  %p.slot = getelementptr i64, ptr %chunk, i64 2
  %p.bytes = getelementptr i64, ptr %chunk, i64 3
  %block = load ptr, ptr %p.block
  %slot = load i64, ptr %p.slot
  %bytes = load i64, ptr %p.bytes
  call void @fg_give(ptr %block, i64 %slot, i64 %bytes)
  ret ptr %previous
}
"""
runtime.TEXT["fg_drop"] = """
define internal void @fg_drop(ptr %last) noinline nounwind {
entry:
  br label %look
look:
  %chunk = phi ptr [ %last, %entry ], [ %previous, %drop ]
  %none = icmp eq ptr %chunk, null
  br i1 %none, label %done, label %drop
drop:
  %previous = call ptr @fg_pop(ptr %chunk)
  br label %look
done:
  ret void
}
"""
