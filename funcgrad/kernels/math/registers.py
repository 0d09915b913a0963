"""What AVX-512 has instructions for, and the same numbers by other means: small tables, exponents, powers of two.

A table of 16 doubles fills two registers, and one instruction looks up eight entries; elsewhere they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from funcgrad.kernels.assembly import BOOL, F32, F64, I32, I64, Value, constant_text, fma, select, sqrt
from funcgrad.kernels.definitions import looked_up
from funcgrad.kernels.math.arithmetic import INF, NAN, format_of

# Doubles in a register, and how many entries a table has.
LANES = 8
ENTRIES = 16
_VECTOR, _INTEGERS, _SINGLES = F64.of_width(LANES), I64.of_width(LANES), F32.of_width(ENTRIES)
# Of two numbers the one of less magnitude, with the sign of the first, and the one of greater; the mantissa between 1
# and 2, NaN of negative numbers; the rounding that is in force, and that to lower numbers; NaN and infinities among
# kinds of numbers.
_SMALLER, _LARGER = "i32 2", "i32 7"
_ONE_NAN = "i32 8"
_ROUNDING, _DOWN = "i32 4", "i32 9"
_SPECIAL = "i32 153"


def has_registers(x: Value) -> bool:
    """Whether the module is for AVX-512 and the value fills its registers."""
    return x.builder.module.avx512 and x.element.bits == F64.bits and x.width % LANES == 0


def has_tables(x: Value) -> bool:
    """Whether the module is for AVX-512 and the value in float64, so that a table is better than a longer series."""
    return x.builder.module.avx512 and x.element is F64


def _part(x: Value, start: int, count: int, width: int | None = None) -> Value:
    """`count` lanes of a vector; of a wider one where that is said, with anything behind them."""
    width = count if width is None else width
    lanes = ", ".join([f"i32 {start + min(lane, count - 1)}" for lane in range(width)])
    return x.builder.emit(
        f"shufflevector {x.type} {x.text}, {x.type} poison, <{width} x i32> <{lanes}>", x.element, width
    )


def _joined(low: Value, high: Value) -> Value:
    """Two vectors as one."""
    width = 2 * low.width
    lanes = ", ".join([f"i32 {lane}" for lane in range(width)])
    return low.builder.emit(
        f"shufflevector {low.type} {low.text}, {high.type} {high.text}, <{width} x i32> <{lanes}>", low.element, width
    )


def _by_registers(function: Callable[..., Value], *xs: Value) -> Value:
    """A function of values of eight doubles, of as many as there are."""
    width = xs[0].width
    if width == LANES:
        return function(*xs)
    half = width // 2
    low, high = ([_part(x, start, half) for x in xs] for start in (0, half))
    return _joined(_by_registers(function, *low), _by_registers(function, *high))


def _instruction(x: Value, name: str, types: str, operands: str) -> Value:
    """The result of an instruction of the processor, eight doubles."""
    function = f"llvm.x86.avx512.{name}.512"
    x.builder.module.declare(f"declare {_VECTOR} @{function}({types})")
    return x.builder.emit(f"call {_VECTOR} @{function}({operands})", F64, LANES)


# Tables


def entry(name: str, table: Sequence[float], index: Value) -> Value:
    """Entries of a table of 16 doubles, by the lowest four bits of integers; the name is for where it is stored."""
    if not has_registers(index):
        return looked_up(name, table, F64, index & (ENTRIES - 1))

    def register(start: int) -> str:
        return f"<{', '.join([f'double {constant_text(y, F64)}' for y in table[start : start + LANES]])}>"

    def permuted(positions: Value) -> Value:
        return _instruction(
            positions,
            "vpermi2var.pd",
            f"{_VECTOR}, {_INTEGERS}, {_VECTOR}",
            f"{_VECTOR} {register(0)}, {positions.type} {positions.text}, {_VECTOR} {register(LANES)}",
        )

    return _by_registers(permuted, index)


# Exponents


def scaled_by_register(y: Value, k: Value) -> Value:
    """y 2^floor(k), with one rounding, of eight doubles or a multiple."""

    def scalef(y: Value, k: Value) -> Value:
        return _instruction(
            y,
            "mask.scalef.pd",
            f"{_VECTOR}, {_VECTOR}, {_VECTOR}, i8, i32",
            f"{_VECTOR} {y.text}, {_VECTOR} {k.text}, {_VECTOR} zeroinitializer, i8 -1, {_ROUNDING}",
        )

    return _by_registers(scalef, y, k)


def limited_by_register(x: Value, limit: float) -> Value:
    """x, or the limit with x's sign where x is larger, of eight doubles or a multiple; the limit where x is NaN."""
    return _ranged(x, limit, _SMALLER)


def at_least_by_register(x: Value, least: float) -> Value:
    """x, or a positive number where x is of less magnitude or NaN, of eight doubles or a multiple."""
    return _ranged(x, least, _LARGER)


def _ranged(x: Value, limit: float, which: str) -> Value:
    def ranged(x: Value) -> Value:
        return _instruction(
            x,
            "mask.range.pd",
            f"{_VECTOR}, {_VECTOR}, i32, {_VECTOR}, i8, i32",
            f"{_VECTOR} {x.text}, {_VECTOR} {x.like(limit).text}, {which}, "
            f"{_VECTOR} zeroinitializer, i8 -1, {_ROUNDING}",
        )

    return _by_registers(ranged, x)


def exponent_and_mantissa(x: Value) -> tuple[Value, Value]:
    """k and a mantissa from 1 to 2 with x = 2^k mantissa, of doubles.

    -inf and 1 or -1 for zeros, infinity and 1 for it, NaN as mantissa for NaN and negative numbers.
    """
    if not has_registers(x):
        return _by_bits(x)

    def exponent(x: Value) -> Value:
        return _instruction(
            x,
            "mask.getexp.pd",
            f"{_VECTOR}, {_VECTOR}, i8, i32",
            f"{_VECTOR} {x.text}, {_VECTOR} zeroinitializer, i8 -1, {_ROUNDING}",
        )

    def mantissa(x: Value) -> Value:
        return _instruction(
            x,
            "mask.getmant.pd",
            f"{_VECTOR}, i32, {_VECTOR}, i8, i32",
            f"{_VECTOR} {x.text}, {_ONE_NAN}, {_VECTOR} zeroinitializer, i8 -1, {_ROUNDING}",
        )

    return _by_registers(exponent, x), _by_registers(mantissa, x)


def _by_bits(x: Value) -> tuple[Value, Value]:
    form = format_of(x)
    lift = form.mantissa + 2
    small = x < form.least
    bits = select(small, x * 2.0**lift, x).bits(form.unsigned)
    carrier = 2.0**form.mantissa
    k = ((bits >> form.mantissa) | x.like(carrier).bits(form.unsigned)).bits(F64)
    k = k - select(small, x.like(carrier + form.bias + lift), carrier + form.bias)
    mantissa = ((bits & ((1 << form.mantissa) - 1)) | x.like(1.0).bits(form.unsigned)).bits(F64)
    mantissa = select(x < 0.0, NAN, mantissa)
    special = x.equals(0.0) | ~(x < INF)
    return (
        select(special, select(x.equals(0.0), -INF, x), k),
        select(special, select(x.is_nan(), x, 1.0), mantissa),
    )


def part_of_mantissa(m: Value) -> Value:
    """floor(15.5 (m - 1) + 1/2) of a mantissa from 1 to 2, in the lowest four bits of an integer."""
    form = format_of(m)
    if not has_registers(m):
        fraction = m.bits(form.unsigned) & ((1 << form.mantissa) - 1)
        return ((fraction * 31 + (1 << form.mantissa)) >> (form.mantissa + 1)).bits(I64)

    def rounded_down(m: Value) -> Value:
        return _instruction(
            m,
            "vfmadd.pd",
            f"{_VECTOR}, {_VECTOR}, {_VECTOR}, i32",
            f"{_VECTOR} {m.text}, {_VECTOR} {m.like(15.5).text}, {_VECTOR} {m.like(form.rounder - 15.0).text}, {_DOWN}",
        )

    return _by_registers(rounded_down, m).bits(I64)


# Single precision, sixteen at once: fewer are put into a register that has room for more


def has_single_tables(x: Value) -> bool:
    """Whether the module is for AVX-512 and the value in float32."""
    return x.builder.module.avx512 and x.element is F32


def _by_single_registers(function: Callable[[Value], Value], x: Value) -> Value:
    """A function of values of sixteen floats, of as many as there are."""
    if x.width == ENTRIES:
        return function(x)
    if x.width > ENTRIES:
        half = x.width // 2
        return _joined(*[_by_single_registers(function, _part(x, start, half)) for start in (0, half)])
    if x.width == 1:
        return _first(function(x.builder.splat(x, ENTRIES)))
    return _part(function(_part(x, 0, x.width, ENTRIES)), 0, x.width)


def _single_instruction(x: Value, name: str, types: str, operands: str) -> Value:
    function = f"llvm.x86.avx512.{name}.512"
    x.builder.module.declare(f"declare {_SINGLES} @{function}({types})")
    return x.builder.emit(f"call {_SINGLES} @{function}({operands})", F32, ENTRIES)


def single_exponent_and_mantissa(x: Value) -> tuple[Value, Value]:
    """As `exponent_and_mantissa`, of floats."""

    def exponent(x: Value) -> Value:
        operands = f"{_SINGLES} {x.text}, {_SINGLES} zeroinitializer, i16 -1, {_ROUNDING}"
        return _single_instruction(x, "mask.getexp.ps", f"{_SINGLES}, {_SINGLES}, i16, i32", operands)

    def mantissa(x: Value) -> Value:
        operands = f"{_SINGLES} {x.text}, {_ONE_NAN}, {_SINGLES} zeroinitializer, i16 -1, {_ROUNDING}"
        return _single_instruction(x, "mask.getmant.ps", f"{_SINGLES}, i32, {_SINGLES}, i16, i32", operands)

    return _by_single_registers(exponent, x), _by_single_registers(mantissa, x)


def single_entry(table: Sequence[float], m: Value) -> Value:
    """Entries of a table of 16 floats for the parts that mantissas are in, as `part_of_mantissa` counts these."""

    def permuted(m: Value) -> Value:
        shifted = m.like(format_of(m).rounder - 15.0)
        operands = f"{_SINGLES} {m.text}, {_SINGLES} {m.like(15.5).text}, {_SINGLES} {shifted.text}, {_DOWN}"
        part = _single_instruction(m, "vfmadd.ps", f"{_SINGLES}, {_SINGLES}, {_SINGLES}, i32", operands).bits(I32)
        entries = f"<{', '.join([f'float {constant_text(y, F32)}' for y in table])}>"
        operands = f"{_SINGLES} {entries}, {part.type} {part.text}"
        return _single_instruction(m, "permvar.sf", f"{_SINGLES}, {part.type}", operands)

    return _by_single_registers(permuted, m)


# Inverses


def is_special(x: Value) -> Value:
    """Whether infinite or NaN, of eight doubles or a multiple."""

    def classified(x: Value) -> Value:
        function, kind = "llvm.x86.avx512.fpclass.pd.512", BOOL.of_width(LANES)
        x.builder.module.declare(f"declare {kind} @{function}({_VECTOR}, i32)")
        return x.builder.emit(f"call {kind} @{function}({_VECTOR} {x.text}, {_SPECIAL})", BOOL, LANES)

    return _by_registers(classified, x)


def rough_inverse(x: Value) -> Value:
    """1 / x to 2^-14, of eight doubles or a multiple."""
    return _by_registers(lambda x: _approximation(x, "rcp14.pd"), x)


def rough_inverse_root(x: Value) -> Value:
    """1 / sqrt(x) to 2^-14, of eight doubles or a multiple."""
    return _by_registers(lambda x: _approximation(x, "rsqrt14.pd"), x)


def _approximation(x: Value, name: str) -> Value:
    operands = f"{_VECTOR} {x.text}, {_VECTOR} zeroinitializer, i8 -1"
    return _instruction(x, name, f"{_VECTOR}, {_VECTOR}, i8", operands)


def near_inverse(x: Value) -> Value:
    """1 / x to 2^-27 or better, of normal numbers with normal inverses; it is the same for one number and for many."""
    if not (has_tables(x) and (x.width == 1 or x.width % LANES == 0)):
        return 1.0 / x
    y = _first(rough_inverse(x.builder.splat(x, LANES))) if x.width == 1 else rough_inverse(x)
    return fma(y, fma(-x, y, 1.0), y)


def near_quotient(x1: Value, x2: Value) -> Value:
    """x1 / x2 to an ulp, of an x2 as `near_inverse` takes it; the same for one number and for many."""
    inverse = near_inverse(x2)
    if has_tables(x2):
        y = x1 * inverse
        return fma(fma(-x2, y, x1), inverse, y)
    return x1 * inverse


def near_root(x: Value) -> Value:
    """The square root to an ulp, of positive normal numbers; it is the same for one number and for many."""
    if not (has_tables(x) and (x.width == 1 or x.width % LANES == 0)):
        return sqrt(x)
    rough = _first(rough_inverse_root(x.builder.splat(x, LANES))) if x.width == 1 else rough_inverse_root(x)
    y, half = x * rough, rough * 0.5
    error = fma(-y, half, 0.5)
    y, half = fma(y, error, y), fma(half, error, half)
    return fma(fma(-y, y, x), half, y)


def _first(x: Value) -> Value:
    return x.builder.emit(f"extractelement {x.type} {x.text}, i64 0", x.element)
