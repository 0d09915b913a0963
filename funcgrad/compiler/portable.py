"""The entry of a program where objects do not lie in memory as `entry` knows them: slower, and by no layout at all."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import native, runtime, workspaces
from funcgrad.compiler.signature import Argument, Signature

_PYTHON_TYPES = {"b": bool, "i": int, "f": float, "c": complex}
_PROGRAM = (ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def text(signature: Signature, release_gil: bool = False) -> str:
    """The text to be put beside a program's in place of an entry."""
    before = "%thread = call ptr @PyEval_SaveThread()" if release_gil else ""
    after = "call void @PyEval_RestoreThread(ptr %thread)" if release_gil else ""
    said = signature.to_text()
    return f"""
@signature = constant [{len(said) + 1} x i8] c"{said}{chr(92)}00"
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
define i32 @call(ptr %inputs, ptr %outputs, ptr %workspace) nounwind {{
  {before}
  %status = call i32 @program(ptr %inputs, ptr %outputs, ptr %workspace)
  {after}
  ret i32 %status
}}
"""


def bind(library: native.Library) -> Callable[..., Any]:
    """The Python function of a module with such a text; it keeps the library alive."""
    program = ctypes.PYFUNCTYPE(*_PROGRAM)(library.address("call"))
    signature = Signature.from_text(ctypes.string_at(library.address("signature")).decode())
    arguments, results, workspace = signature.arguments, signature.results, signature.workspace

    def call(*values: Any) -> Any:
        if len(values) != len(arguments):
            return NotImplemented
        given = [_accepted(x, argument) for x, argument in zip(values, arguments, strict=True)]
        if any(x is None for x in given):
            return NotImplemented
        made = [np.empty(result.shape, result.dtype) for result in results]
        memory = np.empty(workspace + workspaces.ALIGNMENT, np.uint8)
        start = -(-memory.ctypes.data // workspaces.ALIGNMENT) * workspaces.ALIGNMENT
        try:
            status = program(_table(given), _table(made), start)
        except Exception:
            status = runtime.FALLBACK_FAILED
        if status == runtime.NO_MEMORY:
            raise MemoryError(runtime.NO_MEMORY_MESSAGE)
        if status:
            raise runtime.ProgramError(status)
        boxed = tuple(_boxed(x, result) for x, result in zip(made, results, strict=True))
        return boxed[0] if len(boxed) == 1 else boxed

    call.library = library  # type: ignore[attr-defined]  # as long as the function
    return call


def _table(arrays: Sequence[Any]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))


def _accepted(x: Any, argument: Argument) -> Any:
    """An argument as an array, if it is what it has to be."""
    if argument.kind == "python":
        if type(x) is not _PYTHON_TYPES[argument.dtype.kind] or (type(x) is int and not -(2**63) <= x < 2**63):
            return None
        return np.array(x, argument.dtype)
    if not argument.shape and type(x) is argument.dtype.type:
        return np.array(x)
    fits = (
        type(x) is np.ndarray
        and x.shape == argument.shape
        and x.dtype.num == argument.dtype.num
        and x.dtype.isnative
        and x.flags.c_contiguous
        and x.flags.aligned
    )
    return x if fits else None


def _boxed(x: np.ndarray[Any, Any], result: Argument) -> Any:
    return x if result.kind == "array" else x[()] if result.kind == "scalar" else x.item()
