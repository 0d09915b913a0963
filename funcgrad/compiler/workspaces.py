"""Memory for programs' temporaries and large results: from a pool of the process, so that no call pays for fresh pages.

The pool keeps blocks of certain sizes (four to each doubling), a few of each, and altogether no more than a fixed
number of bytes. What does not fit displaces other blocks in turn, so that sizes of the past make room. It uses atomic
exchanges, and no lock. Its functions are compiled once, and stay for good: an array may be freed after all else.
"""

from __future__ import annotations

import ctypes
import functools
import sys

from funcgrad.compiler import cache, native, runtime

ALIGNMENT = 64
ON_STACK = 16 << 10 if sys.platform != "win32" else 2 << 10  # Windows grows stacks by pages that are asked for
"""Up to how many bytes a workspace lies on the stack."""
_SMALLEST = 14  # the smallest blocks have 2**14 bytes
_SHIFT = _SMALLEST - 3
_HUGE = 4 << 20  # from here NumPy too asks for huge pages: they cost fewer faults and misses


def block(size: int) -> tuple[int, int]:
    """The number of the pool's first slot for a workspace, -1 if there is none, and the bytes to allocate for it."""
    needed = max(size + ALIGNMENT, 1 << _SMALLEST)
    shift = (needed - 1).bit_length() - 3
    units = (needed - 1 >> shift) + 1  # 5 to 8
    number = 4 * (shift - _SHIFT) + units - 5
    if number >= runtime.POOL_CLASSES:
        return -1, needed
    return number * runtime.POOL_SLOTS, units << shift


DECLARATIONS = """
declare noalias ptr @fg_take(i64, i64)
declare void @fg_give(ptr, i64, i64)
"""
"""`fg_take(slot, bytes)`, whose result may be null, and `fg_give(block, slot, bytes)`."""


def _advice() -> str:
    """Ask for huge pages, where that is to be done."""
    if not sys.platform.startswith("linux"):
        return "  ret ptr %fresh"
    return f"""\
  %large = icmp uge i64 %bytes, {_HUGE}
  %made = icmp ne ptr %fresh, null
  %both = and i1 %large, %made
  br i1 %both, label %advise, label %hand
advise:
  %number.fresh = ptrtoint ptr %fresh to i64
  %up = add i64 %number.fresh, 4095
  %first = and i64 %up, -4096
  %lost = sub i64 %first, %number.fresh
  %length = sub i64 %bytes, %lost
  %start = inttoptr i64 %first to ptr
  %ignored = call i32 @madvise(ptr %start, i64 %length, i32 14)
  br label %hand
hand:
  ret ptr %fresh"""


def text() -> str:
    """The functions, and two of use to others: `i64 fg_bytes(slot)` and `void fg_empty(slot)`."""
    values = {"slots": runtime.POOL_SLOTS, "all": runtime.POOL_CLASSES * runtime.POOL_SLOTS, "shift": _SHIFT}
    made = _TEXT
    for name, value in values.items():
        made = made.replace(f"${name}", str(value))
    declared = "declare i32 @madvise(ptr, i64, i32)\n" if "@madvise" in _advice() else ""
    return declared + made.replace("$advice", _advice())


_TEXT = """
@fg_pool = external global i64
@fg_pool_room = external global i64
@fg_pool_limit = external global i64
@fg_pool_next = external global i64
declare noalias ptr @malloc(i64)
declare void @free(ptr)

define i64 @fg_bytes(i64 %slot) noinline nounwind {
  %class = udiv i64 %slot, $slots
  %doubling = lshr i64 %class, 2
  %shift = add i64 %doubling, $shift
  %quarter = and i64 %class, 3
  %units = add i64 %quarter, 5
  %bytes = shl i64 %units, %shift
  ret i64 %bytes
}

define noalias ptr @fg_take(i64 %slot, i64 %bytes) noinline nounwind {
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
$advice
}

define void @fg_give(ptr %block, i64 %slot, i64 %bytes) noinline nounwind {
entry:
  %pooled = icmp sge i64 %slot, 0
  %limit = load atomic i64, ptr @fg_pool_limit monotonic, align 8
  %allowed = icmp sle i64 %bytes, %limit
  %kind = and i1 %pooled, %allowed
  br i1 %kind, label %reserve, label %release
reserve:
  %tries = phi i64 [ 0, %entry ], [ %tried, %displace ]
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
  br i1 %more, label %look, label %undo
undo:
  %undone = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  br label %release
full:
  %back = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  %tried = add i64 %tries, 1
  %hopeless = icmp sgt i64 %tried, $all
  br i1 %hopeless, label %release, label %displace
displace:
  %turn = atomicrmw add ptr @fg_pool_next, i64 1 seq_cst
  %victim = urem i64 %turn, $all
  call void @fg_empty(i64 %victim)
  br label %reserve
release:
  call void @free(ptr %block)
  br label %done
done:
  ret void
}

define void @fg_empty(i64 %slot) noinline nounwind {
  %place = getelementptr i64, ptr @fg_pool, i64 %slot
  %kept = atomicrmw xchg ptr %place, i64 0 seq_cst
  %found = icmp ne i64 %kept, 0
  br i1 %found, label %release, label %done
release:
  %bytes = call i64 @fg_bytes(i64 %slot)
  %room = atomicrmw add ptr @fg_pool_room, i64 %bytes seq_cst
  %block = inttoptr i64 %kept to ptr
  call void @free(ptr %block)
  br label %done
done:
  ret void
}
"""


@functools.cache
def _functions() -> native.Library:
    return for_good(text(), quick=True)


def for_good(source: str, *, quick: bool = False) -> native.Library:
    """Code that stays until the process ends, from disk if it is there; generated quickly if its speed is no matter."""
    name = cache.key(source)
    stored = cache.read(name)
    code = native.compile_module(source, quick=quick) if stored is None else stored.code
    if stored is None:
        cache.write(name, cache.Program(0, code))
    library = native.load(code)
    for kept in (library, runtime.pool, runtime.pool_room, runtime.pool_limit, runtime.pool_next):
        keep(kept)
    return library


def keep(value: object) -> None:
    """Keep an object from being freed, even when the interpreter ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _address(name: str) -> int:
    return _functions().address(name)


runtime.DEFERRED |= dict.fromkeys(("fg_take", "fg_give", "fg_empty", "fg_bytes"), _address)


def clear() -> None:
    """Free what the pool keeps, while programs may be running."""
    if not any(runtime.pool):
        return
    empty = ctypes.CFUNCTYPE(None, ctypes.c_int64)(_functions().address("fg_empty"))
    for slot, kept in enumerate(runtime.pool):
        if kept:
            empty(slot)
