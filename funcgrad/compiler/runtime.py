"""What compiled code may call: libc, CPython, NumPy, BLAS and LAPACK, and back into Python.

Code on disk knows these by name; the addresses are found when it is loaded.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.machinery
import importlib.util
import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.errors import FuncgradError


class UnavailableError(FuncgradError, ImportError):
    """Compiled code needs a function that is not to be had here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"compiled code needs {name}, which is not available: pip install scipy")


class ProgramError(FuncgradError, RuntimeError):
    """A compiled program stopped with a status that is not 0, its only argument; NumPy says better what is wrong.

    That may have been an exception of a step in Python. Only those that are no `Exception` come out as they are.
    """


NO_MEMORY = -2
"""The status of a program that has found no memory for what its loops keep."""
NO_MEMORY_MESSAGE = (
    "no memory is left for what the steps of a while_loop keep for its derivative. "
    "With checkpoint='sqrt' it keeps less, and in forward mode (funcgrad.jvp) nothing."
)


# What other libraries have

_LIBC = "malloc calloc free memcpy memmove memset memcmp madvise"
_LIBM = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma "
    "fmax fmin fmod frexp hypot ldexp lgamma log log10 log1p log2 logb modf nearbyint nextafter pow remainder rint "
    "round sin sinh sqrt tan tanh tgamma trunc"
)
# What code generators call where a machine has no instruction: halves, and integers of 128 bits.
_COMPILER = "__truncdfhf2 __truncsfhf2 __extendhfsf2 __udivti3 __umodti3 __divti3 __modti3 __multi3 __powidf2 __powisf2"
_CPYTHON = (
    "Py_IncRef Py_DecRef PyTuple_New PyTuple_SetItem PyFloat_FromDouble PyComplex_FromDoubles PyBool_FromLong "
    "PyLong_FromLongLong PyLong_FromUnsignedLongLong PyLong_AsLongLongAndOverflow PyErr_SetObject PyErr_NoMemory "
    "PyErr_Occurred PyErr_GivenExceptionMatches PyErr_Clear PyErr_CheckSignals PyObject_CallFunction "
    "PyEval_SaveThread PyEval_RestoreThread PyGILState_Ensure PyGILState_Release"
)
# Places in NumPy's table of functions, which only ever grows (numpy/__multiarray_api.h).
NUMPY_TABLE = {
    "PyArray_DescrFromType": 45,
    "PyArray_Scalar": 60,
    "PyArray_Return": 76,
    "PyArray_New": 93,
    "PyArray_NewFromDescr": 94,
    "PyArray_Empty": 184,
    "PyDataMem_SetHandler": 304,
    "PyDataMem_DefaultHandler": 306,
}
_OBJECTS: dict[str, object] = {
    "PyArray_Type": np.ndarray,
    "PyBool_Type": bool,
    "PyComplex_Type": complex,
    "PyFloat_Type": float,
    "PyLong_Type": int,
    "fg_true": True,
    "fg_not_implemented": NotImplemented,
    "fg_exception": Exception,
    "fg_program_error": ProgramError,
    "fg_memory_error": MemoryError,
    "fg_memory_message": NO_MEMORY_MESSAGE,
    "fg_numpy_false": np.False_,
    "fg_numpy_true": np.True_,
}
SCALARS = [np.dtype(code) for code in "?bBhHiIlLqQefdgFDG"]


def scalar_symbols(dtype: np.dtype[Any]) -> tuple[str, str]:
    """The symbols of NumPy's type of one number, and of what allocates such an object."""
    return f"fg_type_{dtype.num}", f"fg_allocate_{dtype.num}"


@functools.cache
def symbols() -> dict[str, int]:
    """The addresses of what is there at all times."""
    found: dict[str, int] = {}
    libraries = _c_libraries()
    for name in (*_LIBC.split(), *_LIBM.split(), *[f"{name}f" for name in _LIBM.split()], *_COMPILER.split()):
        function = next((getattr(library, name) for library in libraries if hasattr(library, name)), None)
        if function is not None:
            found[name] = _place(function)
    found |= {name: _place(getattr(ctypes.pythonapi, name)) for name in _CPYTHON.split()}
    table = _numpy_table()
    found |= {name: table[index] for name, index in NUMPY_TABLE.items()}
    default = found["PyDataMem_DefaultHandler"]  # where the pointer to the object is
    found["PyDataMem_DefaultHandler"] = ctypes.c_size_t.from_address(default).value
    found |= {name: id(value) for name, value in _OBJECTS.items()}
    for dtype in SCALARS:
        type_symbol, allocate_symbol = scalar_symbols(dtype)
        found[type_symbol] = id(dtype.type)
        found[allocate_symbol] = _slot(dtype.type, _TP_ALLOC)
    found["fg_run"] = id(_run)
    found["fg_pool"] = ctypes.addressof(pool)
    found["fg_pool_room"] = ctypes.addressof(pool_room)
    found["fg_pool_limit"] = ctypes.addressof(pool_limit)
    found["fg_pool_next"] = ctypes.addressof(pool_next)
    return found


DEFERRED: dict[str, Callable[[str], int]] = {}
"""What makes the things that are there only once code is loaded that names them, by their names up to a dot."""


def address(name: str) -> int:
    """The address of a function by its name; BLAS's and LAPACK's as in Fortran, `dgemm_`.

    Raises:
        UnavailableError: it is not to be had here.
    """
    make = _maker(name)
    known = make(name) if make else symbols().get(name) or linear_algebra(name.removesuffix("_"))
    if known is None:
        raise UnavailableError(name)
    return known


def is_available(name: str) -> bool:
    """Whether code that calls a function can be loaded; imports SciPy for BLAS and LAPACK."""
    there = name in symbols() or name in TEXT or _maker(name) is not None
    return there or linear_algebra(name.removesuffix("_")) is not None


def _maker(name: str) -> Callable[[str], int] | None:
    return DEFERRED.get(name.partition(".")[0])


def _place(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _c_libraries() -> list[ctypes.CDLL]:
    names: list[str | None] = ["ucrtbase", "msvcrt"] if sys.platform == "win32" else [None]
    if sys.platform.startswith("linux"):
        names += ["libm.so.6", "libgcc_s.so.1"]
    libraries = []
    for name in names:
        try:
            libraries.append(ctypes.CDLL(name))
        except OSError:  # another libc: what it lacks, generated code seldom needs
            continue
    return libraries


def _numpy_table() -> ctypes.Array[ctypes.c_size_t]:
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    start = _capsule_pointer(capsule)
    return (ctypes.c_size_t * (max(NUMPY_TABLE.values()) + 1)).from_address(start)


def _capsule_pointer(capsule: Any) -> int:
    name_of = ctypes.pythonapi.PyCapsule_GetName
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    name_of.argtypes, name_of.restype = [ctypes.py_object], ctypes.c_char_p
    pointer_of.argtypes, pointer_of.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return pointer_of(capsule, name_of(capsule))


_TP_ALLOC = 47  # CPython's Include/typeslots.h, part of the stable ABI


def _slot(kind: type, slot: int) -> int:
    get_slot = ctypes.pythonapi.PyType_GetSlot
    get_slot.argtypes, get_slot.restype = [ctypes.py_object, ctypes.c_int], ctypes.c_void_p
    return get_slot(kind, slot) or 0


# BLAS and LAPACK, from SciPy


_importing = threading.RLock()
if hasattr(os, "register_at_fork"):  # not while a thread holds it, which the child has not
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )


def _capsules() -> dict[str, Any]:
    """The functions that SciPy offers to Cython, by their names; none without SciPy."""
    with _importing:  # its modules cannot be made twice
        return _imported_capsules()


@functools.cache
def _imported_capsules() -> dict[str, Any]:
    try:
        blas, lapack = (_linear_algebra_module(name) for name in ("cython_blas", "cython_lapack"))
    except ImportError:
        return {}
    return {**lapack.__pyx_capi__, **blas.__pyx_capi__}


def _linear_algebra_module(name: str) -> Any:
    """A module of scipy.linalg without its package, whose import takes five times as long as all of this."""
    full = f"scipy.linalg.{name}"
    spec = None if "scipy.linalg" in sys.modules else importlib.util.find_spec("scipy")
    for folder in (spec and spec.submodule_search_locations) or ():
        loader = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
        found = importlib.machinery.FileFinder(os.path.join(folder, "linalg"), loader).find_spec(name)
        if found is None or found.origin is None:
            continue
        own = importlib.util.spec_from_file_location(full, found.origin)
        assert own is not None
        assert own.loader is not None
        module = importlib.util.module_from_spec(own)
        own.loader.exec_module(module)
        sys.modules.pop(full, None)  # so that the package, once it is imported, finds it by itself
        return module
    return importlib.import_module(full)


@functools.cache
def linear_algebra(name: str) -> int | None:
    """The address of a function of BLAS or LAPACK with Fortran's arguments (by reference, `int` of 32 bits).

    Args:
        name: Without an underscore: "dgemm".

    Returns:
        None where it is not to be had: without SciPy, or where SciPy's integers are of another size.
    """
    capsule = _capsules().get(name)
    if capsule is None or "int *" not in repr(capsule):
        return None
    return _capsule_pointer(capsule)


# Back into Python

Step = Callable[[int], None]
"""What a program asks of Python: a function of the address of a table of pointers to its buffers."""

_steps: dict[int, Sequence[Step]] = {}
_programs = itertools.count(1)


def register(steps: Sequence[Step]) -> int:
    """A number by which a program's code finds its steps in Python: the first argument of `fg_fallback`."""
    number = next(_programs)
    _steps[number] = steps
    return number


def unregister(number: int) -> None:
    """Forget a program's steps."""
    _steps.pop(number, None)


def array_at(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Memory of a program as an array, which must not outlive the step."""
    size = dtype.itemsize
    for n in shape:
        size *= n
    memory: Any = (ctypes.c_char * size).from_address(pointer)
    return np.ndarray(shape, dtype, memory)


def pointers_at(table: int, count: int) -> list[int]:
    """The pointers in a table."""
    return list((ctypes.c_size_t * count).from_address(table))


def _run(program: int, step: int, buffers: int) -> None:
    """A step in Python, called by `fg_fallback`."""
    _steps[program][step](buffers)


FALLBACK_FAILED = -1
"""The status of a program that an exception in Python has stopped: a step's own, or KeyboardInterrupt."""

# Both may be called with and without the interpreter's lock. They leave the exception where the entry finds it. That
# is why they are not written in Python: a function there may be interrupted before its first line.
TEXT = {
    "fg_fallback": """
@fg_run = external global i8
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_CallFunction(ptr, ptr, ...)
@fg_format = private constant [4 x i8] c"LiK\\00"

define internal i32 @fg_fallback(i64 %program, i32 %step, ptr %buffers) noinline nounwind {
  %state = call i32 @PyGILState_Ensure()
  %made = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr @fg_run, ptr @fg_format, i64 %program, i32 %step, ptr %buffers)
  %raised = icmp eq ptr %made, null
  br i1 %raised, label %done, label %drop
drop:
  call void @Py_DecRef(ptr %made)
  br label %done
done:
  call void @PyGILState_Release(i32 %state)
  %status = sext i1 %raised to i32
  ret i32 %status
}
""",
    "fg_interrupted": """
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()

define internal i32 @fg_interrupted() noinline nounwind {
  %state = call i32 @PyGILState_Ensure()
  %status = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %state)
  ret i32 %status
}
""",
}
"""Functions that are put into each program that calls them, by their names.

`i32 fg_fallback(i64 program, i32 step, ptr buffers)` runs a registered step in Python; `i32 fg_interrupted()` sees to
Ctrl-C, in loops that run long. A program returns their status at once unless it is 0.
"""


# The pool of memory (see `workspaces`): pointers to blocks, and how much more of them it may keep.

POOL_CLASSES = 84
POOL_SLOTS = 4


def pool_bytes() -> int:
    """How much the pool may keep: an eighth of the machine's memory, at most two gigabytes, or what the user says."""
    said = os.environ.get("FUNCGRAD_POOL_MEGABYTES", "")
    if said.isdecimal():
        return int(said) << 20
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows, or a system that does not tell
        memory = 4 << 30
    return min(memory >> 3, 2 << 30)


POOL_BYTES = pool_bytes()
pool = (ctypes.c_size_t * (POOL_CLASSES * POOL_SLOTS))()
pool_room = ctypes.c_int64(POOL_BYTES)
pool_limit = ctypes.c_int64(POOL_BYTES)
pool_next = ctypes.c_int64(0)
