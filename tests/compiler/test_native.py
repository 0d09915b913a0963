"""Text becomes machine code, which lives as long as its library."""

from __future__ import annotations

import ctypes
import gc
import re
import struct
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from funcgrad.compiler import native, runtime

ADD = "define i64 @add(i64 %x, i64 %y) {\n  %z = add i64 %x, %y\n  ret i64 %z\n}\n"


def function(library: native.Library, name: str, result: Any, *arguments: Any) -> Any:
    made: Any = ctypes.CFUNCTYPE(result, *arguments)(library.address(name))
    made.library = library  # as long as the function
    return made


def loaded(text: str) -> native.Library:
    return native.load(native.compile_module(text))


def test_compiled_text_runs() -> None:
    library = loaded(ADD)
    assert function(library, "add", ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(20, 22) == 42


def test_code_is_bytes_that_load_any_number_of_times() -> None:
    code = native.compile_module(ADD)
    assert type(code) is bytes
    assert native.compile_module(ADD) == code
    libraries = [native.load(code) for _ in range(3)]
    assert len({library.address("add") for library in libraries}) == 3


def test_internal_functions_are_not_offered() -> None:
    library = loaded("define internal void @inner() {\n  ret void\n}\ndefine void @outer() {\n  ret void\n}\n")
    assert library.address("outer")
    with pytest.raises(KeyError):
        library.address("inner")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("define nonsense", "parsing"),
        ("define i64 @f() {\n  ret i64 %x\n}\n", "undefined value"),
        ("define i64 @f() {\nentry:\n  %p = phi i64 [ 0, %entry ]\n  ret i64 %p\n}\n", "PHI"),
    ],
)
def test_malformed_text_raises(text: str, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        native.compile_module(text)


def test_repeated_declarations_are_one() -> None:
    text = (
        "declare ptr @malloc(i64)\n@fg_pool = external global i64\n"
        "define ptr @f() {\n  %p = call ptr @malloc(i64 8)\n  ret ptr %p\n}\n"
        "declare noalias ptr @malloc(i64)\n@fg_pool = external global i64\n"
        "define ptr @g() {\n  ret ptr @fg_pool\n}\n"
    )
    library = loaded(text)
    assert function(library, "g", ctypes.c_size_t)() == ctypes.addressof(runtime.pool)


def test_constants_of_the_module_are_found() -> None:
    values = ", ".join(f"double {k}.5" for k in range(100))
    text = (
        f"@table = private constant [100 x double] [{values}]\ndefine double @at(i64 %k) {{\n"
        "  %p = getelementptr double, ptr @table, i64 %k\n  %x = load double, ptr %p\n  ret double %x\n}\n"
    )
    at = function(loaded(text), "at", ctypes.c_double, ctypes.c_int64)
    assert [at(k) for k in (0, 50, 99)] == [0.5, 50.5, 99.5]


def splat(x: float) -> str:
    return f"splat (double 0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X})"


def kernel(width: int = 8) -> str:
    """y = x**2 * 0.5 + 1, by fused operations, as one function that is inlined."""
    vector = f"<{width} x double>"
    return (
        f"declare {vector} @llvm.fma.v{width}f64({vector}, {vector}, {vector})\n"
        f"define internal {vector} @kernel({vector} %x) alwaysinline nounwind {{\n"
        f"  %h = fmul {vector} %x, {splat(0.5)}\n"
        f"  %y = call {vector} @llvm.fma.v{width}f64({vector} %h, {vector} %x, {vector} {splat(1.0)})\n"
        f"  ret {vector} %y\n}}\n"
    )


def nest(name: str, count: int, width: int = 8) -> str:
    """A loop over `count` elements in memory."""
    vector = f"<{width} x double>"
    return f"""
define void @{name}(ptr noalias %x, ptr noalias %y) nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %a = load {vector}, ptr %from, align 8
  %b = call {vector} @kernel({vector} %a)
  %to = getelementptr double, ptr %y, i64 %i
  store {vector} %b, ptr %to, align 8
  %next = add nuw nsw i64 %i, {width}
  %more = icmp ult i64 %next, {count}
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_vectors_of_any_width_run_on_any_machine(width: int) -> None:
    run = function(loaded(kernel(width) + nest("f", 64, width)), "f", None, ctypes.c_void_p, ctypes.c_void_p)
    x = np.linspace(-2, 2, 65)[1:]  # at addresses of 8 bytes alone
    y = np.full(66, np.nan)
    run(x.ctypes.data, y[1:].ctypes.data)
    np.testing.assert_allclose(y[1:65], x**2 / 2 + 1, rtol=1e-15)
    assert np.isnan(y[[0, 65]]).all()


def test_inlined_kernels_leave_no_call_and_full_registers() -> None:
    text = kernel() + nest("f", 64).replace("nounwind", 'nounwind "prefer-vector-width"="512"')
    assert "call void" not in native.optimised(text)
    assert "@kernel" not in native.optimised(text)
    assembly = native.assembly(text)
    if native.vector_bytes() == 64:
        assert "zmm" in assembly
    assert not re.search(r"\bcallq?\b", assembly)


def test_equal_terms_are_computed_once() -> None:
    text = (
        "declare double @llvm.sqrt.f64(double)\ndefine double @f(double %x) {\n"
        "  %a = call double @llvm.sqrt.f64(double %x)\n  %b = call double @llvm.sqrt.f64(double %x)\n"
        "  %y = fadd double %a, %b\n  ret double %y\n}\n"
    )
    assert len(re.findall(r"sqrt", native.assembly(text))) == 1


def test_optimiser_keeps_ieee_arithmetic() -> None:
    text = (
        "define double @f(double %x) {\n  %z = fadd double %x, 0.0\n  %s = fadd double %z, 0x4340000000000000\n"
        "  %y = fsub double %s, 0x4340000000000000\n  %n = fmul double %y, 1.0\n  ret double %n\n}\n"
    )
    f = function(loaded(text), "f", ctypes.c_double, ctypes.c_double)
    assert (f(0.3), f(1.7)) == ((0.3 + 2.0**53) - 2.0**53, (1.7 + 2.0**53) - 2.0**53)
    assert str(f(-0.0)) == "0.0"
    assert np.isnan(f(float("nan")))


# Life and memory


def test_library_is_freed_with_its_last_reference() -> None:
    library = loaded(ADD)
    alive, engine = weakref.ref(library), library._engine
    del library
    gc.collect()
    assert alive() is None
    assert engine.count > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_thousands_of_libraries_leave_memory_flat() -> None:
    code = native.compile_module(kernel() + nest("f", 64) + ADD)

    def cycle(count: int) -> int:
        keep: list[native.Library] = []  # some live longer than others
        for k in range(count):
            library = native.load(code)
            if k % 7 == 0:
                keep = [*keep[-20:], library]
        assert function(keep[0], "add", ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(1, 2) == 3
        del keep, library
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    cycle(300)
    before = cycle(300)
    assert cycle(2000) - before < 3_000_000  # 11 kB each if engines were kept


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_compiling_many_programs_leaves_memory_almost_flat() -> None:
    def compile_many(count: int) -> int:
        for k in range(count):
            native.compile_module(ADD.replace("add i64 %x, %y", f"add i64 %x, {k}"))
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = compile_many(100)
    assert compile_many(300) - before < 300 * 4000


def test_many_threads_compile_and_load() -> None:
    def make(k: int) -> int:
        text = f"define i64 @f() {{\n  ret i64 {k}\n}}\n"
        return function(loaded(text), "f", ctypes.c_int64)()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(make, range(100))) == list(range(100))


def test_code_loads_in_another_process() -> None:
    script = (
        "import sys, ctypes; from funcgrad.compiler import native; library = native.load(sys.stdin.buffer.read());"
        "print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address('f'))(0.5))"
    )
    text = "declare double @tanh(double)\ndefine double @f(double %x) {\n"
    text += "  %y = call double @tanh(double %x)\n  ret double %y\n}\n"
    code = native.compile_module(text)
    found = subprocess.run([sys.executable, "-c", script], input=code, capture_output=True, check=True)
    assert float(found.stdout) == pytest.approx(np.tanh(0.5), rel=1e-15)


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_libraries_work_in_a_forked_process() -> None:
    script = f"""
import ctypes, os
from funcgrad.compiler import native
text = {ADD!r}
def run(library):
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(library.address("add"))(1, 2)
before = native.load(native.compile_module(text))
child = os.fork()
assert run(before) == 3
assert run(native.load(native.compile_module(text))) == 3
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)


FORKS = """
import os, signal, threading
from funcgrad.compiler import native
def make(k):
    library = native.load(native.compile_module("define i64 @f() {\\n  ret i64 %d\\n}\\n" % k))
    return library.address("f")
stop = threading.Event()
def work():
    while not stop.is_set():
        make(1)
thread = threading.Thread(target=work)
thread.start()
try:
    for k in range(20):
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(0 if make(k) else 1)
        assert os.waitpid(child, 0)[1] == 0
finally:
    stop.set()
    thread.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_process_forks_while_a_thread_compiles() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=60)


def test_process_with_loaded_libraries_ends_silently() -> None:
    script = f"""
from funcgrad.compiler import native
kept = [native.load(native.compile_module({ADD!r})) for _ in range(3)]
kept.append(kept)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True)
    assert done.stderr == done.stdout == b""


def test_compile_time_grows_linearly_with_functions() -> None:
    def seconds(count: int) -> float:
        text = kernel() + "".join(nest(f"f{k}", 64) for k in range(count))
        start = time.process_time()
        native.compile_module(text)
        return time.process_time() - start

    seconds(5)
    few, many = min(seconds(30) for _ in range(3)), min(seconds(300) for _ in range(2))
    assert many < 16 * few


def test_importing_the_compiler_imports_no_llvm() -> None:
    script = (
        "import sys, funcgrad.compiler.native, funcgrad.compiler.cache, funcgrad.compiler.portable;"
        "assert not {'llvmlite', 'numba', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
