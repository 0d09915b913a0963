"""The memory of large results: recycled, so that no call pays for fresh pages, and aligned to whole lines of the cache.

A fresh result of eighty megabytes costs twenty thousand page faults, several times as long as filling it does. So
large results are allocated by a memory handler of NumPy's (NEP 49) that takes their memory from the pool, and gives it
back to the pool when an array is freed. To all else they are arrays that own their memory. Where a user has set a
handler, theirs is used. Three words lie before an array's elements: the bytes of its block, its slot, the block.
"""

from __future__ import annotations

import ctypes
import functools
import math

from funcgrad.compiler import runtime, workspaces
from funcgrad.compiler.signature import Argument

LARGE = 256 << 10
"""From how many bytes on a result's memory comes from the pool."""
_OVERHEAD = 32  # bytes before the elements, besides those for alignment: three words, kept on 16 bytes

DECLARATIONS = """
@fg_handler = external global i8
@PyDataMem_DefaultHandler = external global i8
declare ptr @PyDataMem_SetHandler(ptr)

define internal ptr @fg_large_array(i32 %axes, ptr %sizes, i32 %type) noinline nounwind {
entry:
  %old = call ptr @PyDataMem_SetHandler(ptr @fg_handler)
  %failed = icmp eq ptr %old, null
  br i1 %failed, label %nothing, label %known
known:
  %usual = icmp eq ptr %old, @PyDataMem_DefaultHandler
  br i1 %usual, label %make, label %theirs
make:
  %array = call ptr @PyArray_New(
      ptr @PyArray_Type, i32 %axes, ptr %sizes, i32 %type, ptr null, ptr null, i32 0, i32 0, ptr null)
  %ours = call ptr @PyDataMem_SetHandler(ptr %old)
  call void @Py_DecRef(ptr %ours)
  call void @Py_DecRef(ptr %old)
  ret ptr %array
theirs:
  %again = call ptr @PyDataMem_SetHandler(ptr %old)
  call void @Py_DecRef(ptr %again)
  call void @Py_DecRef(ptr %old)
  %other = call ptr @PyArray_New(
      ptr @PyArray_Type, i32 %axes, ptr %sizes, i32 %type, ptr null, ptr null, i32 0, i32 0, ptr null)
  ret ptr %other
nothing:
  ret ptr null
}
"""
"""What an entry needs to make a large result, `ptr fg_large_array(i32 axes, ptr sizes, i32 type)`."""


def is_large(result: Argument) -> bool:
    """Whether a result's memory comes from the pool."""
    return result.kind == "array" and math.prod(result.shape) * result.dtype.itemsize >= LARGE


def text() -> str:
    """The handler's functions."""
    mapping = {"all": runtime.POOL_CLASSES, "slots": runtime.POOL_SLOTS, "extra": _OVERHEAD + workspaces.ALIGNMENT}
    made = _TEXT
    for name, value in mapping.items():
        made = made.replace(f"${name}", str(value))
    return made


_TEXT = """
declare noalias ptr @fg_take(i64, i64)
declare void @fg_give(ptr, i64, i64)
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @memset(ptr, i32, i64)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare { i64, i1 } @llvm.umul.with.overflow.i64(i64, i64)
declare { i64, i1 } @llvm.uadd.with.overflow.i64(i64, i64)

define ptr @fg_allocate(ptr %context, i64 %size) noinline nounwind {
entry:
  %sum = call { i64, i1 } @llvm.uadd.with.overflow.i64(i64 %size, i64 $extra)
  %wide = extractvalue { i64, i1 } %sum, 0
  %over = extractvalue { i64, i1 } %sum, 1
  br i1 %over, label %nothing, label %sort
sort:
  %needed = call i64 @llvm.umax.i64(i64 %wide, i64 16384)
  %last = sub i64 %needed, 1
  %zeros = call i64 @llvm.ctlz.i64(i64 %last, i1 true)
  %shift = sub i64 61, %zeros
  %whole = lshr i64 %last, %shift
  %units = add i64 %whole, 1
  %doubling = sub i64 %shift, 11
  %class.low = shl i64 %doubling, 2
  %quarter = sub i64 %units, 5
  %class = add i64 %class.low, %quarter
  %known = icmp ult i64 %class, $all
  %rounded = shl i64 %units, %shift
  %bytes = select i1 %known, i64 %rounded, i64 %needed
  %first = mul i64 %class, $slots
  %slot = select i1 %known, i64 %first, i64 -1
  %block = call ptr @fg_take(i64 %slot, i64 %bytes)
  %none = icmp eq ptr %block, null
  br i1 %none, label %nothing, label %enter
enter:
  %number = ptrtoint ptr %block to i64
  %behind = add i64 %number, 95
  %place = and i64 %behind, -64
  %data = inttoptr i64 %place to ptr
  %p.bytes = getelementptr i64, ptr %data, i64 -3
  %p.slot = getelementptr i64, ptr %data, i64 -2
  %p.block = getelementptr i64, ptr %data, i64 -1
  store i64 %bytes, ptr %p.bytes
  store i64 %slot, ptr %p.slot
  store ptr %block, ptr %p.block
  ret ptr %data
nothing:
  ret ptr null
}

define ptr @fg_allocate_zeros(ptr %context, i64 %count, i64 %each) noinline nounwind {
entry:
  %product = call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %count, i64 %each)
  %size = extractvalue { i64, i1 } %product, 0
  %over = extractvalue { i64, i1 } %product, 1
  br i1 %over, label %nothing, label %make
make:
  %data = call ptr @fg_allocate(ptr %context, i64 %size)
  %none = icmp eq ptr %data, null
  br i1 %none, label %nothing, label %fill
fill:
  %filled = call ptr @memset(ptr %data, i32 0, i64 %size)
  ret ptr %data
nothing:
  ret ptr null
}

define i64 @fg_capacity(ptr %data) noinline nounwind {
  %p.bytes = getelementptr i64, ptr %data, i64 -3
  %p.block = getelementptr i64, ptr %data, i64 -1
  %bytes = load i64, ptr %p.bytes
  %block = load i64, ptr %p.block
  %number = ptrtoint ptr %data to i64
  %ahead = sub i64 %number, %block
  %capacity = sub i64 %bytes, %ahead
  ret i64 %capacity
}

define ptr @fg_resize(ptr %context, ptr %data, i64 %size) noinline nounwind {
entry:
  %fresh = icmp eq ptr %data, null
  br i1 %fresh, label %make, label %measure
make:
  %first = call ptr @fg_allocate(ptr %context, i64 %size)
  ret ptr %first
measure:
  %capacity = call i64 @fg_capacity(ptr %data)
  %half = lshr i64 %capacity, 1
  %enough = icmp ule i64 %size, %capacity
  %filled = icmp uge i64 %size, %half
  %stays = and i1 %enough, %filled
  br i1 %stays, label %same, label %move
same:
  ret ptr %data
move:
  %other = call ptr @fg_allocate(ptr %context, i64 %size)
  %none = icmp eq ptr %other, null
  br i1 %none, label %nothing, label %copy
copy:
  %length = call i64 @llvm.umin.i64(i64 %capacity, i64 %size)
  %copied = call ptr @memcpy(ptr %other, ptr %data, i64 %length)
  call void @fg_release(ptr %context, ptr %data, i64 0)
  ret ptr %other
nothing:
  ret ptr null
}

define void @fg_release(ptr %context, ptr %data, i64 %size) noinline nounwind {
entry:
  %none = icmp eq ptr %data, null
  br i1 %none, label %done, label %give
give:
  %p.bytes = getelementptr i64, ptr %data, i64 -3
  %p.slot = getelementptr i64, ptr %data, i64 -2
  %p.block = getelementptr i64, ptr %data, i64 -1
  %bytes = load i64, ptr %p.bytes
  %slot = load i64, ptr %p.slot
  %block = load ptr, ptr %p.block
  call void @fg_give(ptr %block, i64 %slot, i64 %bytes)
  br label %done
done:
  ret void
}
"""


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler, of version 1."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


@functools.cache
def handler() -> int:
    """The address of the capsule with our handler; neither ever goes away, as some array may need them."""
    library = workspaces.for_good(text(), quick=True)
    names = ("fg_allocate", "fg_allocate_zeros", "fg_resize", "fg_release")
    made = _Handler(b"funcgrad", 1, None, *map(library.address, names))
    new = ctypes.pythonapi.PyCapsule_New
    new.argtypes, new.restype = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p], ctypes.py_object
    capsule = new(ctypes.addressof(made), _CAPSULE, None)
    for kept in (made, capsule, _CAPSULE):
        workspaces.keep(kept)
    return id(capsule)


_CAPSULE = b"mem_handler"  # as NumPy looks for; the capsule has the pointer to it
runtime.DEFERRED["fg_handler"] = lambda name: handler()
