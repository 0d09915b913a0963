"""How Python calls a program: a builtin function, generated in LLVM with the program.

It checks the arguments, allocates the results, finds a workspace and runs the program. A call that does not fit gives
`NotImplemented`, and the caller converts the arguments or takes another program; a program that stops raises
`runtime.ProgramError`. All this is native code against CPython's and NumPy's C interfaces, since unboxing in Python
costs more than most programs.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import native, portable, recycling, runtime, workspaces
from funcgrad.compiler.signature import Argument as Argument
from funcgrad.compiler.signature import Signature

PROGRAM = "i32 @program(ptr %inputs, ptr %outputs, ptr %workspace)"
"""The program's signature: tables of pointers to data, and aligned memory; it returns a status, 0 when all is well."""


# Where things are in objects: CPython's PyObject; NumPy's PyArrayObject_fields and PyArray_Descr, part of its ABI.
_HEAD = object.__basicsize__
_TYPE = _HEAD - 8
_DATA, _NDIM, _SHAPE, _DESCR, _FLAGS = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48
_DESCR_TYPE = _HEAD + 8  # kind, type, byte order, flags: a byte each; then the type's number
_DESCR_MASK = 0xFFFFFFFF_00FE0000  # "=" and "<" are the same on the machines that lie so
_CONTIGUOUS_ALIGNED = 0x0001 | 0x0100

_DECLARATIONS = """
@PyArray_Type = external global i8
@PyBool_Type = external global i8
@PyComplex_Type = external global i8
@PyFloat_Type = external global i8
@PyLong_Type = external global i8
@fg_true = external global i8
@fg_not_implemented = external global i8
@fg_exception = external global i8
@fg_program_error = external global i8
@fg_memory_error = external global i8
@fg_memory_message = external global i8
@fg_numpy_false = external global i8
@fg_numpy_true = external global i8
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyComplex_FromDoubles(double, double)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyLong_FromUnsignedLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyArray_New(ptr, i32, ptr, i32, ptr, ptr, i32, i32, ptr)
declare void @PyErr_SetObject(ptr, ptr)
declare ptr @PyErr_NoMemory()
declare ptr @PyErr_Occurred()
declare i32 @PyErr_GivenExceptionMatches(ptr, ptr)
declare void @PyErr_Clear()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
"""


# Optimising an entry takes milliseconds and makes no call faster.
_QUICKLY = "nounwind noinline optnone"


def _descr_word(dtype: np.dtype[Any]) -> int:
    """What the masked word of a descriptor is: the type's number and the byte order."""
    return (dtype.num << 32 | ord(dtype.byteorder) << 16) & _DESCR_MASK


def entry_text(
    arguments: Sequence[Argument], results: Sequence[Argument], workspace: int = 0, release_gil: bool = False
) -> str:
    """The text of a program's entry, to be put beside the program's in one module.

    Args:
        arguments: In order.
        results: In order; one is returned as it is, several as a tuple, none as an empty tuple.
        workspace: How many bytes the program needs for temporaries.
        release_gil: Whether other threads may run Python meanwhile: when the program takes long.

    Returns:
        LLVM assembly that defines `entry`, calls `program` and declares what it uses.

    Raises:
        TypeError: a dtype is none of native numbers.
    """
    for member in (*arguments, *results):
        if member.dtype.kind not in "biufc" or not member.dtype.isnative:
            raise TypeError(f"a program's arguments and results are native numbers, not {member.dtype!r}")
    if not layout_is_known():
        return portable.text(Signature(tuple(arguments), tuple(results), workspace), release_gil)
    writer = _Writer()
    writer.prologue(arguments, results, workspace)
    for k, argument in enumerate(arguments):
        writer.check(k, argument)
    for k, result in enumerate(results):
        writer.allocate(k, result)
    writer.run(workspace, release_gil)
    for k, result in enumerate(results):
        writer.box(k, result)
    writer.hand_over(len(results))
    writer.refuse()
    writer.fail(len(results))
    body = "\n".join([*writer.entry, *writer.lines])
    pool = workspaces.DECLARATIONS if workspace > workspaces.ON_STACK else ""
    if any(recycling.is_large(result) for result in results):
        pool += recycling.DECLARATIONS
    return (
        f"{_DECLARATIONS}{pool}\n{chr(10).join(writer.globals)}\n"
        f"define ptr @entry(ptr %self, ptr %args, i64 %count) {_QUICKLY} {{\n{body}\n}}\n"
    )


class _Writer:
    """The entry under construction.

    Attributes:
        entry: What is reserved on the stack.
        lines: The instructions after that.
        globals: Constants and declarations.
    """

    def __init__(self) -> None:
        self.entry: list[str] = ["start:"]
        self.lines: list[str] = []
        self.globals: dict[str, None] = {}
        self._count = 0

    def name(self) -> str:
        """A name that is not taken."""
        self._count += 1
        return f"%v{self._count}"

    def emit(self, instruction: str) -> str:
        """Append an instruction and name its result."""
        name = self.name()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def load(self, pointer: str, offset: int, kind: str) -> str:
        """What lies some bytes behind a pointer."""
        place = self.emit(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer
        return self.emit(f"load {kind}, ptr {place}, align {4 if kind == 'i32' else 8}")

    def goes_on_if(self, condition: str, otherwise: str = "%refuse") -> None:
        """Branch away unless a condition holds."""
        label = self.name()
        self.lines.append(f"  br i1 {condition}, label {label}, label {otherwise}")
        self.lines.append(f"{label[1:]}:")

    def equal(self, *pairs: tuple[str, str]) -> str:
        """Whether all pairs of integers, "i32 %x" and "3", are equal."""
        total = "true"
        for left, right in pairs:
            one = self.emit(f"icmp eq {left}, {right}")
            total = one if total == "true" else self.emit(f"and i1 {total}, {one}")
        return total

    def prologue(self, arguments: Sequence[Argument], results: Sequence[Argument], workspace: int) -> None:
        """The tables, and a place for each number that is passed by value."""
        for table, members in (("inputs", arguments), ("outputs", results)):
            self.entry.append(f"  %{table} = alloca [{max(len(members), 1)} x ptr], align 16")
            for k, member in enumerate(members):
                if member.kind == "python" or (table == "outputs" and member.kind == "scalar"):
                    self.entry.append(f"  %{table}.{k} = alloca [{max(member.dtype.itemsize, 8)} x i8], align 16")
        for k in range(len(results)):
            self.entry.append(f"  %object.{k} = alloca ptr, align 8")
            self.lines.append(f"  store ptr null, ptr %object.{k}, align 8")
        if 0 < workspace <= workspaces.ON_STACK:
            self.entry.append(f"  %workspace = alloca [{workspace} x i8], align {workspaces.ALIGNMENT}")
        self.goes_on_if(self.equal(("i64 %count", str(len(arguments)))))

    def put(self, table: str, k: int, pointer: str) -> None:
        """Enter a pointer into a table."""
        place = self.emit(f"getelementptr ptr, ptr %{table}, i64 {k}")
        self.lines.append(f"  store ptr {pointer}, ptr {place}, align 8")

    # Arguments

    def check(self, k: int, argument: Argument) -> None:
        """Find an argument's data, if it is what it has to be."""
        x = self.load("%args", 8 * k, "ptr")
        kind = self.load(x, _TYPE, "ptr")
        if argument.kind == "python":
            self._python_number(k, argument, x, kind)
            self.put("inputs", k, f"%inputs.{k}")
        elif argument.shape:
            self.goes_on_if(self.equal((f"ptr {kind}", "@PyArray_Type")))
            self._array(argument, x)
            self.put("inputs", k, self.load(x, _DATA, "ptr"))
        else:
            self.put("inputs", k, self._no_axes(argument, x, kind))

    def _array(self, argument: Argument, x: str) -> None:
        shape = argument.shape
        self.goes_on_if(self.equal((f"i32 {self.load(x, _NDIM, 'i32')}", str(len(shape)))))
        sizes = self.load(x, _SHAPE, "ptr") if shape else ""
        pairs = [(f"i64 {self.load(sizes, 8 * axis, 'i64')}", str(n)) for axis, n in enumerate(shape)]
        flags = self.emit(f"and i32 {self.load(x, _FLAGS, 'i32')}, {_CONTIGUOUS_ALIGNED}")
        kind = self.emit(f"and i64 {self.load(self.load(x, _DESCR, 'ptr'), _DESCR_TYPE, 'i64')}, {_DESCR_MASK}")
        wanted = str(_descr_word(argument.dtype))
        self.goes_on_if(self.equal(*pairs, (f"i32 {flags}", str(_CONTIGUOUS_ALIGNED)), (f"i64 {kind}", wanted)))

    def _no_axes(self, argument: Argument, x: str, kind: str) -> str:
        """The data of an array without axes or of a NumPy scalar."""
        array, scalar, both = (self.name() for _ in range(3))
        type_symbol, _ = runtime.scalar_symbols(argument.dtype)
        self.globals[f"@{type_symbol} = external global i8"] = None
        is_scalar = self.equal((f"ptr {kind}", f"@{type_symbol}"))
        self.lines += [f"  br i1 {is_scalar}, label {scalar}, label {array}", f"{scalar[1:]}:"]
        inside = self.emit(f"getelementptr i8, ptr {x}, i64 {_HEAD}")
        self.lines += [f"  br label {both}", f"{array[1:]}:"]
        self.goes_on_if(self.equal((f"ptr {kind}", "@PyArray_Type")))
        self._array(argument, x)
        data, last = self.load(x, _DATA, "ptr"), self.name()
        self.lines += [f"  br label {last}", f"{last[1:]}:", f"  br label {both}", f"{both[1:]}:"]
        return self.emit(f"phi ptr [ {inside}, {scalar} ], [ {data}, {last} ]")

    def _python_number(self, k: int, argument: Argument, x: str, kind: str) -> None:
        code = argument.dtype.kind
        self.goes_on_if(self.equal((f"ptr {kind}", _PYTHON_TYPES[code])))
        place = f"%inputs.{k}"
        if code == "i":
            overflow = self.name()
            self.entry.append(f"  {overflow} = alloca i32, align 4")
            value = self.emit(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {x}, ptr {overflow})")
            self.goes_on_if(self.equal((f"i32 {self.load(overflow, 0, 'i32')}", "0")))
            self.lines.append(f"  store i64 {value}, ptr {place}, align 8")
        elif code == "b":
            truth = self.emit(f"zext i1 {self.equal((f'ptr {x}', '@fg_true'))} to i8")
            self.lines.append(f"  store i8 {truth}, ptr {place}, align 8")
        else:
            for offset in range(0, argument.dtype.itemsize, 8):
                part = self.emit(f"getelementptr i8, ptr {place}, i64 {offset}")
                self.lines.append(f"  store i64 {self.load(x, _HEAD + offset, 'i64')}, ptr {part}, align 8")

    # Results

    def allocate(self, k: int, result: Argument) -> None:
        """A result's memory: a fresh array's, or a place on the stack."""
        if result.kind != "array":
            self.put("outputs", k, f"%outputs.{k}")
            return
        sizes = "null"
        if result.shape:
            sizes = f"@shape.{k}"
            numbers = ", ".join(f"i64 {n}" for n in result.shape)
            self.globals[f"{sizes} = private constant [{len(result.shape)} x i64] [{numbers}]"] = None
        head = f"i32 {len(result.shape)}, ptr {sizes}, i32 {result.dtype.num}"
        if recycling.is_large(result):
            array = self.emit(f"call ptr @fg_large_array({head})")
        else:
            rest = "ptr null, ptr null, i32 0, i32 0, ptr null"
            array = self.emit(f"call ptr @PyArray_New(ptr @PyArray_Type, {head}, {rest})")
        self._own(k, array)
        self.put("outputs", k, self.load(array, _DATA, "ptr"))

    def _own(self, k: int, made: str) -> None:
        self.goes_on_if(self.emit(f"icmp ne ptr {made}, null"), "%fail")
        self.lines.append(f"  store ptr {made}, ptr %object.{k}, align 8")

    def box(self, k: int, result: Argument) -> None:
        """A number among the results as an object."""
        if result.kind == "python":
            self._own(k, self._python_object(result.dtype, f"%outputs.{k}"))
        elif result.kind == "scalar":
            self._own(k, self._numpy_scalar(result.dtype, f"%outputs.{k}"))

    def _python_object(self, dtype: np.dtype[Any], place: str) -> str:
        if dtype.kind == "b":
            byte = self.emit(f"load i8, ptr {place}, align 8")
            return self.emit(f"call ptr @PyBool_FromLong(i64 {self.emit(f'zext i8 {byte} to i64')})")
        if dtype.kind in "iu":
            function = "PyLong_FromLongLong" if dtype.kind == "i" else "PyLong_FromUnsignedLongLong"
            return self.emit(f"call ptr @{function}(i64 {self.load(place, 0, 'i64')})")
        parts = [f"double {self.load(place, offset, 'double')}" for offset in range(0, dtype.itemsize, 8)]
        function = "PyFloat_FromDouble" if dtype.kind == "f" else "PyComplex_FromDoubles"
        return self.emit(f"call ptr @{function}({', '.join(parts)})")

    def _numpy_scalar(self, dtype: np.dtype[Any], place: str) -> str:
        if dtype.kind == "b":
            byte = self.emit(f"load i8, ptr {place}, align 8")
            truth = self.emit(f"icmp ne i8 {byte}, 0")
            made = self.emit(f"select i1 {truth}, ptr @fg_numpy_true, ptr @fg_numpy_false")
            self.lines.append(f"  call void @Py_IncRef(ptr {made})")
            return made
        type_symbol, allocate_symbol = runtime.scalar_symbols(dtype)
        self.globals[f"@{type_symbol} = external global i8"] = None
        self.globals[f"declare ptr @{allocate_symbol}(ptr, i64)"] = None
        made = self.emit(f"call ptr @{allocate_symbol}(ptr @{type_symbol}, i64 0)")
        self.goes_on_if(self.emit(f"icmp ne ptr {made}, null"), "%fail")
        inside = self.emit(f"getelementptr i8, ptr {made}, i64 {_HEAD}")
        number = f"i{8 * dtype.itemsize}"
        value = self.emit(f"load {number}, ptr {place}, align 8")
        self.lines.append(f"  store {number} {value}, ptr {inside}, align 8")
        return made

    # The call

    def run(self, workspace: int, release_gil: bool) -> None:
        """Call the program, with a workspace, and look at its status."""
        memory, taken = "null", ""
        slot, size = workspaces.block(workspace)
        if workspace > workspaces.ON_STACK:
            taken = self.emit(f"call ptr @fg_take(i64 {slot}, i64 {size})")
            self.goes_on_if(self.emit(f"icmp ne ptr {taken}, null"), "%no_memory")
            number = self.emit(f"ptrtoint ptr {taken} to i64")
            ahead = self.emit(f"and i64 {self.emit(f'sub i64 0, {number}')}, {workspaces.ALIGNMENT - 1}")
            memory = self.emit(f"getelementptr i8, ptr {taken}, i64 {ahead}")
        elif workspace:
            memory = "%workspace"
        thread = self.emit("call ptr @PyEval_SaveThread()") if release_gil else ""
        status = self.emit(f"call i32 @program(ptr %inputs, ptr %outputs, ptr {memory})")
        if taken:
            self.lines.append(f"  call void @fg_give(ptr {taken}, i64 {slot}, i64 {size})")
        if release_gil:
            self.lines.append(f"  call void @PyEval_RestoreThread(ptr {thread})")
        self.lines.append("  store i32 " + status + ", ptr %status, align 4")
        self.entry.append("  %status = alloca i32, align 4")
        self.goes_on_if(self.equal((f"i32 {status}", "0")), "%stopped")

    def hand_over(self, count: int) -> None:
        """Return the result, or a tuple of them."""
        if count == 1:
            self.lines.append(f"  ret ptr {self.load('%object.0', 0, 'ptr')}")
            return
        pack = self.emit(f"call ptr @PyTuple_New(i64 {count})")
        self.goes_on_if(self.emit(f"icmp ne ptr {pack}, null"), "%fail")
        for k in range(count):
            self.emit(f"call i32 @PyTuple_SetItem(ptr {pack}, i64 {k}, ptr {self.load(f'%object.{k}', 0, 'ptr')})")
        self.lines.append(f"  ret ptr {pack}")

    def refuse(self) -> None:
        """Return NotImplemented."""
        self.lines += [
            "refuse:",
            "  call void @Py_IncRef(ptr @fg_not_implemented)",
            "  ret ptr @fg_not_implemented",
        ]

    def fail(self, count: int) -> None:
        """Raise an exception: by the program's status, for want of memory, or the one that is set."""
        self.lines += ["stopped:", "  %status.value = load i32, ptr %status, align 4"]
        raised = self.emit("call ptr @PyErr_Occurred()")
        caught, told = self.name(), self.name()
        none = self.emit(f"icmp eq ptr {raised}, null")
        self.lines += [f"  br i1 {none}, label {told}, label {caught}", f"{caught[1:]}:"]
        ordinary = self.emit(f"call i32 @PyErr_GivenExceptionMatches(ptr {raised}, ptr @fg_exception)")
        self.goes_on_if(self.emit(f"icmp ne i32 {ordinary}, 0"), "%fail")  # as Ctrl-C
        self.lines += ["  call void @PyErr_Clear()", f"  br label {told}", f"{told[1:]}:"]
        exhausted = self.equal(("i32 %status.value", str(runtime.NO_MEMORY)))
        without, other = self.name(), self.name()
        self.lines += [
            f"  br i1 {exhausted}, label {without}, label {other}",
            f"{without[1:]}:",
            "  call void @PyErr_SetObject(ptr @fg_memory_error, ptr @fg_memory_message)",
            "  br label %fail",
            f"{other[1:]}:",
        ]
        wide = self.emit("sext i32 %status.value to i64")
        number = self.emit(f"call ptr @PyLong_FromLongLong(i64 {wide})")
        self.goes_on_if(self.emit(f"icmp ne ptr {number}, null"), "%fail")
        self.lines += [
            f"  call void @PyErr_SetObject(ptr @fg_program_error, ptr {number})",
            f"  call void @Py_DecRef(ptr {number})",
            "  br label %fail",
            "no_memory:",
        ]
        self.emit("call ptr @PyErr_NoMemory()")
        self.lines += ["  br label %fail", "fail:"]
        for k in range(count):
            made = self.load(f"%object.{k}", 0, "ptr")
            drop, after = self.name(), self.name()
            self.lines += [
                f"  br i1 {self.emit(f'icmp ne ptr {made}, null')}, label {drop}, label {after}",
                f"{drop[1:]}:",
                f"  call void @Py_DecRef(ptr {made})",
                f"  br label {after}",
                f"{after[1:]}:",
            ]
        self.lines.append("  ret ptr null")


_PYTHON_TYPES = {"b": "@PyBool_Type", "i": "@PyLong_Type", "f": "@PyFloat_Type", "c": "@PyComplex_Type"}


# A builtin function of the entry


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x0080


def bind_entry(library: native.Library) -> Callable[..., Any]:
    """The Python function of a module that has an entry; it keeps the library alive."""
    if not layout_is_known():
        return portable.bind(library)
    method = _MethodDef(b"program", library.address("entry"), _METH_FASTCALL, None)
    library.keep.append(method)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    return new(ctypes.addressof(method), library, None)


@functools.cache
def layout_is_known() -> bool:
    """Whether objects of this Python and NumPy lie in memory as entries expect."""
    if math.prod((ctypes.sizeof(ctypes.c_void_p), ctypes.sizeof(ctypes.c_ssize_t))) != 64:
        return False
    return all(
        _array_fits(x) for x in (np.zeros((2, 3)), np.zeros((), np.complex64), np.zeros((3, 4), np.int8).T)
    ) and (_numbers_fit())


def _word(place: int, kind: Any = ctypes.c_size_t) -> Any:
    return kind.from_address(place).value


def _array_fits(x: np.ndarray[Any, Any]) -> bool:
    start, descr = id(x), id(x.dtype)
    if type(x).__basicsize__ < _FLAGS + 4 or np.dtype.__basicsize__ < _DESCR_TYPE + 8:
        return False
    sizes = _word(start + _SHAPE)
    return (
        _word(start + _TYPE) == id(np.ndarray)
        and _word(start + _DATA) == x.ctypes.data
        and _word(start + _NDIM, ctypes.c_int) == x.ndim
        and all(_word(sizes + 8 * axis) == n for axis, n in enumerate(x.shape))
        and _word(start + _DESCR) == descr
        and _word(start + _FLAGS, ctypes.c_int) & _CONTIGUOUS_ALIGNED == (x.flags.c_contiguous | x.flags.aligned << 8)
        and _word(descr + _DESCR_TYPE) & _DESCR_MASK == _descr_word(x.dtype)
    )


def _numbers_fit() -> bool:
    for value in (1.5, np.float64(2.5)):
        if _word(id(value) + _TYPE) != id(type(value)) or _word(id(value) + _HEAD, ctypes.c_double) != value:
            return False
    return all(
        _word(id(value) + _HEAD, ctypes.c_double) == value.real
        and _word(id(value) + _HEAD + 8, ctypes.c_double) == value.imag
        for value in (1.5 - 2.5j, np.complex128(3.5 + 4.5j))
    )
