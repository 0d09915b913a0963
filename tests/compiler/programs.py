"""Small programs in LLVM's text, and functions of them, for tests of what is around programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import entry, native, portable
from funcgrad.compiler.signature import Argument, Signature

F64, I64, BOOL, C128 = (np.dtype(name) for name in ("float64", "int64", "bool", "complex128"))
SIGNATURE = f"define {entry.PROGRAM}"
Maker = Callable[..., Callable[..., Any]]


def array(*shape: int, dtype: Any = F64) -> Argument:
    return Argument(shape, np.dtype(dtype))


def scalar(dtype: Any = F64) -> Argument:
    return Argument((), np.dtype(dtype), "scalar")


def number(dtype: Any = F64) -> Argument:
    return Argument((), np.dtype(dtype), "python")


def program(*instructions: str, status: str = "0") -> str:
    """A program of instructions that returns a status."""
    lines = "\n".join(f"  {line}" for line in instructions)
    return f"{SIGNATURE} {{\n{lines}\n  ret i32 {status}\n}}\n"


def pointer(name: str, table: str, k: int) -> tuple[str, str]:
    """The instructions that name the pointer to an argument's or a result's data."""
    return f"{name}.at = getelementptr ptr, ptr %{table}, i64 {k}", f"{name} = load ptr, ptr {name}.at"


def copying(members: Sequence[Argument]) -> str:
    """A program whose results are its arguments."""
    lines = ["declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"]
    body = []
    for k, member in enumerate(members):
        size = int(np.prod(member.shape)) * member.dtype.itemsize
        body += [*pointer(f"%x{k}", "inputs", k), *pointer(f"%y{k}", "outputs", k)]
        body.append(f"call void @llvm.memcpy.p0.p0.i64(ptr %y{k}, ptr %x{k}, i64 {size}, i1 false)")
    return "\n".join([*lines, program(*body)])


def native_function(
    text: str, arguments: Sequence[Argument], results: Sequence[Argument], workspace: int = 0, release_gil: bool = False
) -> Callable[..., Any]:
    """A program behind its native entry."""
    return entry.bind_entry(library(text + entry.entry_text(arguments, results, workspace, release_gil)))


def portable_function(
    text: str, arguments: Sequence[Argument], results: Sequence[Argument], workspace: int = 0, release_gil: bool = False
) -> Callable[..., Any]:
    """A program behind the entry in Python."""
    signature = Signature(tuple(arguments), tuple(results), workspace)
    return portable.bind(library(text + portable.text(signature, release_gil)))


def library(text: str) -> native.Library:
    return native.load(native.compile_module(text))
