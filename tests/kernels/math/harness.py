"""Kernels compiled for tests, and their errors in units in the last place against mpmath."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numpy as np

from funcgrad.kernels.assembly import BOOL, ELEMENTS, U8, Builder, Module, Value
from funcgrad.kernels.definitions import OUTLINED, outlined_module

Arrays = tuple[np.ndarray, ...]
Samples = Callable[[np.random.Generator, int, np.dtype], Arrays]

# Compiling


def machine(cpu: str | None = None, features: str | None = None) -> llvm.TargetMachine:
    """The compiler's back end, of this machine where not said otherwise."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu = llvm.get_host_cpu_name() if cpu is None else cpu
    features = llvm.get_host_cpu_features().flatten() if features is None else features
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3)


def has_avx512() -> bool:
    """Whether this machine has AVX-512."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512dq"))


def _define_outlined(module: Module) -> None:
    """Put the functions into a module that programs share, and that it only declares."""
    for line in list(module.declarations):
        found = re.search(rf"@({OUTLINED}[\w.]+)\(", line)
        if found:
            del module.declarations[line]
            defined = outlined_module(found[1], module.avx512)
            module.declarations.update(defined.declarations)
            module.functions.update(defined.functions)


def loop_text(
    function: Callable[..., Value], dtypes: tuple[Any, ...], width: int, avx512: bool
) -> tuple[str, np.dtype]:
    """A module with `run(inputs..., output, n)` that calls a kernel for each `width` of n elements; the result's dtype.

    Args:
        function: A `Kernel`, or any function of values.
        dtypes: Of the operands.
        width: How many elements at once; n must be a multiple of it.
        avx512: Whether instructions of AVX-512 may be used.
    """
    module = Module(avx512)
    builder = Builder(module)
    elements = [ELEMENTS[np.dtype(dtype)] for dtype in dtypes]
    values = []
    for k, element in enumerate(elements):
        address = builder.name()
        builder.lines.append(f"  {address} = getelementptr {element.llvm}, ptr %x{k}, i64 %i")
        values.append(
            builder.emit(f"load {element.of_width(width)}, ptr {address}, align {element.bits // 8}", element, width)
        )
    builder.block = "loop"
    y = function(*values)
    _define_outlined(module)
    dtype = np.dtype(y.element.name)
    y = y.convert(U8) if y.element is BOOL else y
    address = builder.name()
    builder.lines.append(f"  {address} = getelementptr {y.element.llvm}, ptr %y, i64 %i")
    builder.do(f"store {y.type} {y.text}, ptr {address}, align {y.element.bits // 8}")
    parameters = ", ".join([*(f"ptr noalias %x{k}" for k in range(len(elements))), "ptr noalias %y, i64 %n"])
    run = [
        f"define void @run({parameters}) #1 {{",
        "entry:",
        "  %empty = icmp eq i64 %n, 0",
        "  br i1 %empty, label %exit, label %loop",
        "loop:",
        f"  %i = phi i64 [ 0, %entry ], [ %next, %{builder.block} ]",
        *builder.lines,
        f"  %next = add i64 %i, {width}",
        "  %more = icmp ult i64 %next, %n",
        "  br i1 %more, label %loop, label %exit",
        "exit:",
        "  ret void",
        "}",
        "attributes #0 = { alwaysinline nounwind }",
        'attributes #1 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" "frame-pointer"="all" }',
    ]
    return module.text() + "\n".join(run) + "\n", dtype


def optimised(text: str, target: llvm.TargetMachine) -> llvm.ModuleRef:
    """A module after LLVM's passes."""
    module = llvm.parse_assembly(text)
    module.verify()
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    return module


class Compiled:
    """A kernel as a function of arrays of one shape.

    Args:
        function: A `Kernel`, or any function of values.
        dtypes: Of the operands.
        width: How many elements each call of the kernel takes.
        avx512: Whether it may use instructions of AVX-512; where the machine has them, if not said.
    """

    def __init__(
        self, function: Callable[..., Value], dtypes: tuple[Any, ...], width: int = 8, avx512: bool | None = None
    ) -> None:
        text, self.dtype = loop_text(function, dtypes, width, has_avx512() if avx512 is None else avx512)
        self.width = width
        self.dtypes = dtypes
        target = machine()
        module = optimised(text, target)
        self.text = str(module)
        self.assembly = target.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, target)
        self._engine.finalize_object()
        address = self._engine.get_function_address("run")
        self.run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(dtypes) + 1), ctypes.c_int64)(address)

    def __call__(self, *xs: Any) -> np.ndarray:
        arrays = np.broadcast_arrays(*[np.asarray(x, dtype) for x, dtype in zip(xs, self.dtypes, strict=True)])
        shape, count = arrays[0].shape, arrays[0].size
        full = -(-count // self.width) * self.width
        padded = [np.ones(full, x.dtype) for x in arrays]
        for x, target in zip(arrays, padded, strict=True):
            target[:count] = x.ravel()
        y = np.empty(full, self.dtype)
        self.run(*[x.ctypes.data for x in padded], y.ctypes.data, full)
        return y[:count].reshape(shape)


_KNOWN: dict[Any, Compiled] = {}


def compiled(function: Any, dtype: Any, operands: int = 1, width: int = 8) -> Compiled:
    """A kernel compiled for operands of one dtype, once in a process."""
    key = (function, np.dtype(dtype), operands, width)
    if key not in _KNOWN:
        _KNOWN[key] = Compiled(function, (np.dtype(dtype),) * operands, width)
    return _KNOWN[key]


# Errors


def ulp_errors(y: np.ndarray, xs: Arrays, reference: Callable[..., Any], precision: int = 200) -> np.ndarray:
    """How far y is from the reference, in units in the last place of the reference at y's precision.

    A result out of range counts as the next power of two would; infinite where exactly one of the two is NaN.

    Args:
        y: float64 or float32.
        xs: The operands.
        reference: Of mpmath numbers.
        precision: Bits to compute it with.
    """
    info = np.finfo(y.dtype)
    mantissa, smallest = info.nmant, int(info.minexp) - info.nmant
    limit = mpmath.ldexp(1, int(info.maxexp))
    errors = np.empty(y.shape)
    with mpmath.workprec(precision):
        for i, (value, *operands) in enumerate(zip(y.tolist(), *[x.tolist() for x in xs], strict=True)):
            exact = reference(*[mpmath.mpf(x) for x in operands])
            if isinstance(exact, mpmath.mpc) or mpmath.isnan(exact) or value != value:
                undefined = isinstance(exact, mpmath.mpc) or mpmath.isnan(exact)
                errors[i] = 0.0 if undefined and value != value else np.inf
                continue
            exact = max(-limit, min(limit, exact))
            got = limit if value == np.inf else -limit if value == -np.inf else mpmath.mpf(value)
            exponent = mpmath.mag(exact) - 1 if exact else smallest
            unit = max(min(int(exponent), int(info.maxexp) - 1) - mantissa, smallest)
            errors[i] = float(mpmath.ldexp(abs(got - exact), -unit))
    return errors


# What to measure a function at


def numbers(low: float, high: float, operands: int = 1) -> Samples:
    """Evenly spread numbers."""
    return lambda rng, n, dtype: tuple(rng.uniform(low, high, n).astype(dtype) for _ in range(operands))


def magnitudes(low: float, high: float, operands: int = 1, signed: bool = True) -> Samples:
    """Numbers of which the logarithm of the magnitude is evenly spread, of both signs if `signed`."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        def one() -> np.ndarray:
            info = np.finfo(dtype)
            least, most = np.clip([low, high], float(info.smallest_subnormal), float(info.max))
            x = np.exp2(rng.uniform(np.log2(least), np.log2(most), n)).clip(least, most)
            return np.where(rng.random(n) < 0.5, -x, x).astype(dtype) if signed else x.astype(dtype)

        return tuple(one() for _ in range(operands))

    return sample


def everything(operands: int = 1) -> Samples:
    """Finite numbers of any bits: subnormal, huge, of both signs."""
    return magnitudes(0.0, np.inf, operands)


def near(*points: float, steps: int = 40) -> Samples:
    """Neighbours of points, up to `steps` units in the last place away on a logarithmic scale of distances."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        x = rng.choice(np.array(points), n).astype(dtype)
        distance = np.exp2(rng.uniform(0, steps, n)) * np.where(rng.random(n) < 0.5, -1, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            return (x + (distance * np.spacing(x)).astype(dtype),)

    return sample


def mixture(*parts: Samples) -> Samples:
    """As many of each of several kinds."""

    def sample(rng: np.random.Generator, n: int, dtype: np.dtype) -> Arrays:
        drawn = [part(rng, -(-n // len(parts)), dtype) for part in parts]
        return tuple(np.concatenate(xs)[:n] for xs in zip(*drawn, strict=True))

    return sample


@dataclass(frozen=True)
class Row:
    """A kernel and what it is measured against.

    Attributes:
        kernel: The kernel.
        reference: The function, of mpmath numbers.
        samples: Where it is compared.
        timed: Operands that it is timed at.
        numpy: NumPy's or SciPy's function, of arrays; None where there is none.
        jax: The name of JAX's function, as `jax.numpy.exp`.
        bound: The greatest error, in units in the last place.
        operands: How many.
        precision: Bits to compute the reference with.
        dtypes: What it is defined for.
    """

    kernel: Any
    reference: Callable[..., Any]
    samples: Samples
    timed: Samples
    numpy: Callable[..., Any] | None = None
    jax: str | None = None
    bound: float = 2.0
    operands: int = 1
    precision: int = 200
    dtypes: tuple[str, ...] = ("float64", "float32")

    @property
    def name(self) -> str:
        """The kernel's."""
        return self.kernel.name

    def errors(self, dtype: Any, width: int, count: int, seed: int = 0) -> tuple[np.ndarray, Arrays]:
        """Errors at `count` samples, and these."""
        xs = self.samples(np.random.default_rng(seed), count, np.dtype(dtype))
        y = compiled(self.kernel, dtype, self.operands, width)(*xs)
        return ulp_errors(y, xs, self.reference, self.precision), xs


def cases(rows: list[Row]) -> list[tuple[Row, str]]:
    """Rows with each of their dtypes."""
    return [(row, dtype) for row in rows for dtype in row.dtypes]


def check_row(row: Row, dtype: str, count: int = 2000) -> None:
    """Fail unless a kernel is as exact as its row says, and the same for a number and for vectors."""
    errors, xs = row.errors(dtype, 8, count)
    worst = int(np.argmax(errors))
    assert errors[worst] <= row.bound, f"{row.name} of {[x[worst] for x in xs]}: {errors[worst]:.3f} ulp"
    vector = compiled(row.kernel, dtype, row.operands, 8)(*xs)
    scalar = compiled(row.kernel, dtype, row.operands, 1)(*xs)
    np.testing.assert_array_equal(scalar, vector)


def check_special(row: Row, dtype: str, operands: Any, expected: Any) -> None:
    """Fail unless a kernel gives exactly these values, signs of zeros too, at special points; widths 1 and 8."""
    expected = np.asarray(expected, dtype)
    for width in (1, 8):
        y = compiled(row.kernel, dtype, row.operands, width)(*operands)
        np.testing.assert_array_equal(y, expected, err_msg=f"{row.name} of {operands}")
        defined = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(y[defined]), np.signbit(expected[defined]), err_msg=row.name)


def name_of(case: Any) -> str:
    """Of a parameter of a test: the row's name, or the dtype."""
    return case.name if isinstance(case, Row) else str(case)
