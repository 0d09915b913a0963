"""What compiled code calls is there, and does what it says."""

from __future__ import annotations

import ctypes
import importlib
import math
import re
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funcgrad.compiler import native, runtime
from tests.compiler.programs import (
    F64,
    I64,
    Maker,
    array,
    library,
    native_function,
    number,
    pointer,
    portable_function,
    program,
)


def test_numpy_table_is_as_numpy_declares_it() -> None:
    header = Path(np.get_include(), "numpy", "__multiarray_api.h").read_text()
    for name, index in runtime.NUMPY_TABLE.items():
        found = re.search(rf"#define {name}\b[\s\\]*\(\*\(.*?PyArray_API\[(\d+)\]", header, re.DOTALL)
        assert found is not None
        assert int(found[1]) == index


def test_every_symbol_has_an_address() -> None:
    assert all(runtime.symbols().values())
    assert all(map(runtime.is_available, ("malloc", "PyArray_New", "fg_fallback", "fmod", "tanhf")))


@pytest.mark.parametrize("dtype", runtime.SCALARS, ids=str)
def test_scalar_types_allocate_numbers(dtype: np.dtype[Any]) -> None:
    type_symbol, allocate_symbol = runtime.scalar_symbols(dtype)
    assert runtime.address(type_symbol) == id(dtype.type)
    allocate = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(runtime.address(allocate_symbol))
    made = allocate(id(dtype.type), 0)
    assert type(made) is dtype.type
    assert made == 0


@pytest.mark.parametrize("name", ["sin", "tanh", "expm1", "erf", "lgamma", "cbrt"])
@pytest.mark.parametrize(("suffix", "kind"), [("", "double"), ("f", "float")])
def test_c_functions_run(name: str, suffix: str, kind: str) -> None:
    text = f"declare {kind} @{name}{suffix}({kind})\ndefine {kind} @f({kind} %x) {{\n"
    loaded = library(f"{text}  %y = call {kind} @{name}{suffix}({kind} %x)\n  ret {kind} %y\n}}\n")
    c_type = ctypes.c_double if kind == "double" else ctypes.c_float
    value = ctypes.CFUNCTYPE(c_type, c_type)(loaded.address("f"))(0.7)
    assert value == pytest.approx(getattr(math, name)(0.7), rel=1e-15 if kind == "double" else 1e-6)


def test_what_the_code_generator_calls_by_itself_is_there() -> None:
    # A remainder, a large copy, a half and a wide division have no instruction of their own everywhere.
    text = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define double @f(double %x, i64 %n, ptr %p) {
  call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 %n, i1 false)
  %r = frem double %x, 3.0
  %h = fptrunc double %r to half
  %d = fpext half %h to double
  %w = zext i64 %n to i128
  %q = udiv i128 %w, 7
  %s = sdiv i128 %q, %w
  %i = trunc i128 %s to i64
  %e = sitofp i64 %i to double
  %y = fadd double %d, %e
  ret double %y
}
"""
    memory = ctypes.create_string_buffer(b"x" * 1000)
    loaded = library(text)
    f = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64, ctypes.c_void_p)(loaded.address("f"))
    assert f(7.5, 1000, ctypes.addressof(memory)) == 1.5
    assert not any(memory.raw[:1000])


# BLAS and LAPACK

GEMM = "declare void @dgemm_(ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr)\n" + program(
    *pointer("%a", "inputs", 0),
    *pointer("%b", "inputs", 1),
    *pointer("%c", "outputs", 0),
    "call void @dgemm_(ptr @n, ptr @n, ptr @size, ptr @size, ptr @size, ptr @one, ptr %b, ptr @size, ptr %a, "
    "ptr @size, ptr @zero, ptr %c, ptr @size)",
)
GEMM += (
    '@n = private constant [1 x i8] c"N"\n@size = private constant i32 4\n'
    "@one = private constant double 1.0\n@zero = private constant double 0.0\n"
)


def test_blas_multiplies_matrices() -> None:
    pytest.importorskip("scipy")
    function = native_function(GEMM, [array(4, 4), array(4, 4)], [array(4, 4)])
    a, b = np.random.default_rng(0).normal(size=(2, 4, 4))
    np.testing.assert_allclose(function(a, b), a @ b, rtol=1e-13)


@pytest.mark.parametrize("name", ["dgemm_", "sgemm_", "zgemm_", "dpotrf_", "dgetrf_", "dtrsm_", "ddot_", "dsyevd_"])
def test_linear_algebra_has_addresses(name: str) -> None:
    pytest.importorskip("scipy")
    assert runtime.address(name) == runtime.linear_algebra(name[:-1])
    assert runtime.is_available(name)


def test_linear_algebra_without_scipy_is_unavailable(monkeypatch: Any) -> None:
    code = native.compile_module(GEMM)
    monkeypatch.setattr(runtime, "_capsules", dict)
    runtime.linear_algebra.cache_clear()
    try:
        assert not runtime.is_available("dgemm_")
        with pytest.raises(runtime.UnavailableError, match=r"dgemm_.*pip install scipy"):
            native.load(code)
        with pytest.raises(ImportError, match="scipy"):
            runtime.address("dgemm_")
    finally:
        runtime.linear_algebra.cache_clear()


def test_capsules_without_scipy_are_none(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "scipy.linalg.cython_blas", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert runtime._imported_capsules.__wrapped__() == {}


def test_unknown_names_are_unavailable() -> None:
    assert not runtime.is_available("no_such_function")
    with pytest.raises(runtime.UnavailableError):
        native.load(
            native.compile_module(
                "declare void @no_such()\ndefine void @f() {\n  call void @no_such()\n  ret void\n}\n"
            )
        )


# Back into Python

CALL = "declare i32 @fg_fallback(i64, i32, ptr)\n" + program(
    *pointer("%x", "inputs", 0),
    *pointer("%y", "outputs", 0),
    *pointer("%n", "inputs", 1),
    "%number = load i64, ptr %n",
    "%table = alloca [2 x ptr]",
    "%second = getelementptr ptr, ptr %table, i64 1",
    "store ptr %x, ptr %table",
    "store ptr %y, ptr %second",
    "%status = call i32 @fg_fallback(i64 %number, i32 1, ptr %table)",
    status="%status",
)


class MyInterrupt(BaseException):
    pass


def run_step(
    step: runtime.Step, x: np.ndarray[Any, Any], release_gil: bool = False, make: Maker = native_function
) -> np.ndarray[Any, Any]:
    """What a step makes of an array, as a part of a program."""

    def unused(buffers: int) -> None:
        raise AssertionError

    function = make(CALL, [array(*x.shape), number(I64)], [array(*x.shape)], release_gil=release_gil)
    program_number = runtime.register([unused, step])
    try:
        return function(x, program_number)
    finally:
        runtime.unregister(program_number)


def doubling(shape: Sequence[int]) -> runtime.Step:
    def step(buffers: int) -> None:
        x, y = (runtime.array_at(p, tuple(shape), F64) for p in runtime.pointers_at(buffers, 2))
        y[...] = 2 * x

    return step


@pytest.mark.parametrize("release_gil", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (0,), (2, 0)])
def test_fallback_runs_a_step_in_python(shape: tuple[int, ...], release_gil: bool) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(run_step(doubling(shape), x, release_gil), 2 * x)


def failing(error: BaseException) -> runtime.Step:
    def step(buffers: int) -> None:
        raise error

    return step


@pytest.mark.parametrize("make", [native_function, portable_function], ids=["native", "portable"])
@pytest.mark.parametrize("release_gil", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), MyInterrupt()], ids=repr)
def test_fallback_interruptions_come_out_of_the_program(make: Maker, error: BaseException, release_gil: bool) -> None:
    with pytest.raises(type(error)) as caught:
        run_step(failing(error), np.ones(2), release_gil, make)
    assert caught.value is error
    np.testing.assert_array_equal(run_step(doubling((2,)), np.ones(2), release_gil, make), [2, 2])


@pytest.mark.parametrize("make", [native_function, portable_function], ids=["native", "portable"])
@pytest.mark.parametrize("release_gil", [False, True])
@pytest.mark.parametrize("error", [ZeroDivisionError("by nothing"), StopIteration(), MemoryError()], ids=repr)
def test_fallback_exceptions_are_left_to_numpy(make: Maker, error: Exception, release_gil: bool) -> None:
    with pytest.raises(runtime.ProgramError) as caught:
        run_step(failing(error), np.ones(2), release_gil, make)
    assert caught.value.args == (runtime.FALLBACK_FAILED,)
    np.testing.assert_array_equal(run_step(doubling((2,)), np.ones(2), release_gil, make), [2, 2])


def test_fallback_of_an_unknown_program_stops() -> None:
    function = native_function(CALL, [array(2), number(I64)], [array(2)])
    with pytest.raises(runtime.ProgramError):
        function(np.ones(2), -5)


def test_fallback_exceptions_are_per_thread() -> None:
    barrier = threading.Barrier(4)
    raised: dict[int, str] = {}

    def run(k: int) -> None:
        def step(buffers: int) -> None:
            barrier.wait()
            raise MyInterrupt(f"of thread {k}")

        try:
            run_step(step, np.ones(2), release_gil=bool(k % 2))
        except MyInterrupt as error:
            raised[k] = str(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == {k: f"of thread {k}" for k in range(4)}


def test_fallback_may_call_programs_again() -> None:
    def step(buffers: int) -> None:
        x, y = (runtime.array_at(p, (2,), F64) for p in runtime.pointers_at(buffers, 2))
        y[...] = run_step(doubling((2,)), x.copy()) + 1

    np.testing.assert_array_equal(run_step(step, np.ones(2)), [3, 3])


# Ctrl-C

FOREVER = "declare i32 @fg_interrupted()\n" + program("br label %loop").replace(
    "  ret i32 0\n}",
    "loop:\n  %status = call i32 @fg_interrupted()\n  %on = icmp eq i32 %status, 0\n"
    "  br i1 %on, label %loop, label %done\ndone:\n  ret i32 %status\n}",
)


def alarm(signal_number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a signal from outside")
@pytest.mark.parametrize("make", [native_function, portable_function], ids=["native", "portable"])
@pytest.mark.parametrize("release_gil", [False, True])
def test_interrupt_stops_a_program_that_asks(make: Maker, release_gil: bool) -> None:
    function = make(FOREVER, [], [number()], release_gil=release_gil)
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(KeyboardInterrupt):
                function()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_numpy_table_is_of_the_module_that_is_imported() -> None:
    assert importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API is not None
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_int)(runtime.address("PyArray_DescrFromType"))
    assert new(F64.num) is np.dtype(float)
