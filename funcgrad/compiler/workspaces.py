"""Memory for a program's temporaries: from a pool of the process, so that no call pays for fresh pages.

The pool keeps blocks of powers of two, a few of each, and altogether no more than a fixed number of bytes. Taking and
giving are compiled into each program that needs them (see `entry`); they use atomic exchanges, and no lock.
"""

from __future__ import annotations

import ctypes
import functools
import sys

from funcgrad.compiler import native, runtime

ALIGNMENT = 64
ON_STACK = 16 << 10 if sys.platform != "win32" else 2 << 10  # Windows grows stacks by pages that are asked for
"""Up to how many bytes a workspace lies on the stack."""


def block(size: int) -> tuple[int, int]:
    """The number of the pool's first slot for a workspace, -1 if there is none, and the bytes to allocate for it."""
    bits = max((size + ALIGNMENT - 1).bit_length(), runtime.POOL_CLASSES.start)
    if bits not in runtime.POOL_CLASSES:
        return -1, size + ALIGNMENT
    return (bits - runtime.POOL_CLASSES.start) * runtime.POOL_SLOTS, 1 << bits


def text() -> str:
    """The functions `fg_take(slot, bytes)`, whose result may be null, and `fg_give(block, slot, bytes)`."""
    return _TEXT.replace("$slots", str(runtime.POOL_SLOTS))


_TEXT = """
@fg_pool = external global i64
@fg_pool_room = external global i64
declare noalias ptr @malloc(i64)
declare void @free(ptr)

define internal ptr @fg_take(i64 %slot, i64 %bytes) noinline nounwind {
entry:
  %pooled = icmp sge i64 %slot, 0
  br i1 %pooled, label %look, label %allocate
look:
  %k = phi i64 [ 0, %entry ], [ %next, %empty ]
  %number = add i64 %slot, %k
  %place = getelementptr i64, ptr @fg_pool, i64 %number
  %kept = atomicrmw xchg ptr %place, i64 0 seq_cst
  %found = icmp ne i64 %kept, 0
  br i1 %found, label %reuse, label %empty
reuse:
  %room = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  %block = inttoptr i64 %kept to ptr
  ret ptr %block
empty:
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, $slots
  br i1 %more, label %look, label %allocate
allocate:
  %fresh = call ptr @malloc(i64 %bytes)
  ret ptr %fresh
}

define internal void @fg_give(ptr %block, i64 %slot, i64 %bytes) noinline nounwind {
entry:
  %pooled = icmp sge i64 %slot, 0
  br i1 %pooled, label %reserve, label %release
reserve:
  %room = atomicrmw sub ptr @fg_pool_room, i64 %bytes seq_cst
  %fits = icmp sge i64 %room, %bytes
  br i1 %fits, label %look, label %full
look:
  %k = phi i64 [ 0, %reserve ], [ %next, %taken ]
  %number = add i64 %slot, %k
  %place = getelementptr i64, ptr @fg_pool, i64 %number
  %value = ptrtoint ptr %block to i64
  %pair = cmpxchg ptr %place, i64 0, i64 %value seq_cst seq_cst
  %kept = extractvalue { i64, i1 } %pair, 1
  br i1 %kept, label %done, label %taken
taken:
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, $slots
  br i1 %more, label %look, label %full
full:
  %undone = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  br label %release
release:
  call void @free(ptr %block)
  br label %done
done:
  ret void
}
"""


def clear() -> None:
    """Free what the pool keeps, while programs may be running."""
    if not any(runtime.pool):
        return
    library = _emptying()
    ctypes.CFUNCTYPE(None)(library.address("clear"))()


@functools.cache
def _emptying() -> native.Library:
    """Code that takes each block from the pool and frees it."""
    lines = []
    for slot in range(len(runtime.pool)):
        lines += [f"  call void @empty(i64 {slot}, i64 {1 << runtime.POOL_CLASSES[slot // runtime.POOL_SLOTS]})"]
    calls = "\n".join(lines)
    return native.load(native.compile_module(f"{_EMPTY}\ndefine void @clear() {{\n{calls}\n  ret void\n}}\n"))


_EMPTY = """
@fg_pool = external global i64
@fg_pool_room = external global i64
declare void @free(ptr)

define internal void @empty(i64 %slot, i64 %bytes) noinline nounwind {
  %place = getelementptr i64, ptr @fg_pool, i64 %slot
  %kept = atomicrmw xchg ptr %place, i64 0 seq_cst
  %found = icmp ne i64 %kept, 0
  br i1 %found, label %release, label %done
release:
  %room = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  %block = inttoptr i64 %kept to ptr
  call void @free(ptr %block)
  br label %done
done:
  ret void
}
"""
