"""LLVM assembly written as arithmetic: values with operators, in a function under construction.

A `Value` is a number, or a vector of `width` numbers; `x * y + 1.0` appends instructions. One Python function thus
describes a computation once, for scalars and vectors of any width and for every dtype; `definitions` makes functions
of these. Nothing is allowed to the optimiser that IEEE arithmetic does not allow: no flags, no contraction; a fused
multiply-add is one where `fma` says so.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


class Element:
    """The type of one number.

    Attributes:
        llvm: Its name in LLVM.
        kind: "f" for floating, "i" for signed, "u" for unsigned integers, "b" for truth values.
        bits: Its size in a register.
    """

    __slots__ = ("_vectors", "bits", "kind", "llvm", "name")

    def __init__(self, name: str, llvm: str, kind: str, bits: int) -> None:
        self.name = name
        self.llvm = llvm
        self.kind = kind
        self.bits = bits
        self._vectors: dict[int, str] = {1: llvm}

    def of_width(self, width: int) -> str:
        """LLVM's name of a vector of these; of the number itself for width 1."""
        text = self._vectors.get(width)
        if text is None:
            text = self._vectors[width] = f"<{width} x {self.llvm}>"
        return text

    def __repr__(self) -> str:
        return self.name


BOOL = Element("bool", "i1", "b", 1)
F64, F32 = Element("float64", "double", "f", 64), Element("float32", "float", "f", 32)
I8, I16, I32, I64 = (Element(f"int{bits}", f"i{bits}", "i", bits) for bits in (8, 16, 32, 64))
U8, U16, U32, U64 = (Element(f"uint{bits}", f"i{bits}", "u", bits) for bits in (8, 16, 32, 64))

ELEMENTS: dict[np.dtype[Any], Element] = {
    np.dtype(element.name): element for element in (BOOL, F64, F32, I8, I16, I32, I64, U8, U16, U32, U64)
}
SIGNED = {8: I8, 16: I16, 32: I32, 64: I64}
UNSIGNED = {8: U8, 16: U16, 32: U32, 64: U64}


def constant_text(value: Any, element: Element) -> str:
    """A number as LLVM reads it, exactly."""
    if element.kind == "f":
        number = np.float32(value) if element is F32 else value  # a float is written as the double that equals it
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(number)))[0]:016X}"
    if element.kind == "b":
        return "true" if value else "false"
    return str(int(value))


class Value:
    """A number, or a vector of numbers, of a function under construction.

    Attributes:
        text: What LLVM is to read as an operand.
        element: The type of each number.
        width: How many numbers; 1 is no vector.
    """

    __slots__ = ("builder", "element", "text", "width")

    def __init__(self, builder: Builder, text: str, element: Element, width: int) -> None:
        self.builder = builder
        self.text = text
        self.element = element
        self.width = width

    @property
    def type(self) -> str:
        """LLVM's name of the type."""
        return self.element.of_width(self.width)

    def like(self, number: Any) -> Value:
        """A constant of the same type; a Value stays as it is."""
        if type(number) is Value:
            return number
        return self.builder.constant(number, self.element, self.width)

    def _binary(self, instructions: dict[str, str], other: Any) -> Value:
        other = self.like(other)
        return self.builder.emit(
            f"{instructions[self.element.kind]} {self.type} {self.text}, {other.text}", self.element, self.width
        )

    def __add__(self, other: Any) -> Value:
        return self._binary(_ADD, other)

    def __sub__(self, other: Any) -> Value:
        return self._binary(_SUB, other)

    def __mul__(self, other: Any) -> Value:
        return self._binary(_MUL, other)

    def __truediv__(self, other: Any) -> Value:
        return self._binary(_DIV, other)

    def __and__(self, other: Any) -> Value:
        return self._binary(_AND, other)

    def __or__(self, other: Any) -> Value:
        return self._binary(_OR, other)

    def __xor__(self, other: Any) -> Value:
        return self._binary(_XOR, other)

    def __lshift__(self, other: Any) -> Value:
        return self._binary(_SHL, other)

    def __rshift__(self, other: Any) -> Value:
        """Arithmetic for signed, logical for unsigned integers."""
        return self._binary(_SHR, other)

    def __radd__(self, other: Any) -> Value:
        return self.like(other) + self

    def __rsub__(self, other: Any) -> Value:
        return self.like(other) - self

    def __rmul__(self, other: Any) -> Value:
        return self.like(other) * self

    def __rtruediv__(self, other: Any) -> Value:
        return self.like(other) / self

    def __neg__(self) -> Value:
        if self.element.kind == "f":
            return self.builder.emit(f"fneg {self.type} {self.text}", self.element, self.width)
        return self.like(0) - self

    def __invert__(self) -> Value:
        return self ^ self.like(1 if self.element.kind == "b" else -1)

    def _compare(self, predicates: dict[str, str], other: Any) -> Value:
        other = self.like(other)
        return self.builder.emit(
            f"{predicates[self.element.kind]} {self.type} {self.text}, {other.text}", BOOL, self.width
        )

    def __lt__(self, other: Any) -> Value:
        return self._compare(_LT, other)

    def __le__(self, other: Any) -> Value:
        return self._compare(_LE, other)

    def __gt__(self, other: Any) -> Value:
        return self._compare(_GT, other)

    def __ge__(self, other: Any) -> Value:
        return self._compare(_GE, other)

    def equals(self, other: Any) -> Value:
        """Whether equal, element by element; false for NaN."""
        return self._compare(_EQ, other)

    def differs(self, other: Any) -> Value:
        """Whether not equal, element by element; true for NaN."""
        return self._compare(_NE, other)

    def is_nan(self) -> Value:
        """Whether NaN."""
        return self.builder.emit(f"fcmp uno {self.type} {self.text}, {self.text}", BOOL, self.width)

    def bits(self, element: Element) -> Value:
        """The same bits as another type of the same size."""
        if element.llvm == self.element.llvm:
            return Value(self.builder, self.text, element, self.width)
        return self.builder.emit(
            f"bitcast {self.type} {self.text} to {element.of_width(self.width)}", element, self.width
        )

    def convert(self, element: Element) -> Value:
        """The same number, as C converts it, as another type."""
        if element is self.element:
            return self
        instruction = _conversion(self.element, element)
        if instruction is None:
            return Value(self.builder, self.text, element, self.width)
        if instruction == "nonzero":
            return self.differs(0)
        return self.builder.emit(
            f"{instruction} {self.type} {self.text} to {element.of_width(self.width)}", element, self.width
        )

    def __bool__(self) -> bool:
        raise TypeError("a value of compiled code has no truth in Python; use `select`")

    __hash__ = None  # type: ignore[assignment]


_ADD = {"f": "fadd", "i": "add", "u": "add"}
_SUB = {"f": "fsub", "i": "sub", "u": "sub"}
_MUL = {"f": "fmul", "i": "mul", "u": "mul"}
_DIV = {"f": "fdiv", "i": "sdiv", "u": "udiv"}
_AND = {"i": "and", "u": "and", "b": "and"}
_OR = {"i": "or", "u": "or", "b": "or"}
_XOR = {"i": "xor", "u": "xor", "b": "xor"}
_SHL = {"i": "shl", "u": "shl"}
_SHR = {"i": "ashr", "u": "lshr"}
_LT = {"f": "fcmp olt", "i": "icmp slt", "u": "icmp ult", "b": "icmp ult"}
_LE = {"f": "fcmp ole", "i": "icmp sle", "u": "icmp ule", "b": "icmp ule"}
_GT = {"f": "fcmp ogt", "i": "icmp sgt", "u": "icmp ugt", "b": "icmp ugt"}
_GE = {"f": "fcmp oge", "i": "icmp sge", "u": "icmp uge", "b": "icmp uge"}
_EQ = {"f": "fcmp oeq", "i": "icmp eq", "u": "icmp eq", "b": "icmp eq"}
_NE = {"f": "fcmp une", "i": "icmp ne", "u": "icmp ne", "b": "icmp ne"}


def _conversion(source: Element, target: Element) -> str | None:
    """The instruction between two types; None where the bits are the same."""
    if target.kind == "b":
        return "nonzero"
    if source.kind == "f":
        if target.kind == "f":
            return "fpext" if target.bits > source.bits else "fptrunc"
        return "fptosi" if target.kind == "i" else "fptoui"
    if target.kind == "f":
        return "sitofp" if source.kind == "i" else "uitofp"
    if target.bits == source.bits:
        return None
    if target.bits < source.bits:
        return "trunc"
    return "sext" if source.kind == "i" else "zext"


# Lines of kernels that are inlined in a module; beyond that they are called, so that modules compile in time.
_MOST_INLINED = 250


class Builder:
    """The body of one function under construction, in a module.

    Attributes:
        module: Where functions and declarations are that the body asks for.
        lines: The instructions so far.
        cold: Whether what is appended now runs seldom, so that kernels are better called than inlined.
    """

    __slots__ = ("_constants", "_labels", "_names", "block", "cold", "lines", "module")

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[str] = []
        self.block = "entry"
        self.cold = False
        self._names = 0
        self._labels = 0
        self._constants: dict[tuple[Any, ...], Value] = {}

    def emit(self, instruction: str, element: Element, width: int = 1) -> Value:
        """Append an instruction that has a result."""
        name = self.name()
        self.lines.append(f"  {name} = {instruction}")
        return Value(self, name, element, width)

    def may_inline(self, lines: int) -> bool:
        """Whether a kernel of so many lines is to be inlined here: neither in seldom code nor in a huge module."""
        if self.cold or self.module.inlined + lines > _MOST_INLINED:
            return False
        self.module.inlined += lines
        return True

    def do(self, instruction: str) -> None:
        """Append an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def name(self) -> str:
        """A fresh name of a register."""
        self._names += 1
        return f"%v{self._names}"

    def label(self, hint: str = "block") -> str:
        """A fresh label, not placed yet."""
        self._labels += 1
        return f"{hint}{self._labels}"

    def start(self, label: str) -> None:
        """Begin the block of a label."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        """End the block with a jump."""
        self.do(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        """End the block with a jump that depends."""
        self.do(f"br i1 {condition.text}, label %{yes}, label %{no}")

    def constant(self, number: Any, element: Element, width: int = 1) -> Value:
        """A constant."""
        text = constant_text(number, element)
        key = (text, element, width)
        value = self._constants.get(key)
        if value is None:
            if width > 1:
                text = f"splat ({element.llvm} {text})"
            value = self._constants[key] = Value(self, text, element, width)
        return value

    def splat(self, x: Value, width: int) -> Value:
        """A scalar in all lanes of a vector."""
        if not x.text.startswith(("%", "@", "<", "splat")):
            return Value(self, f"splat ({x.element.llvm} {x.text})", x.element, width)
        kind = x.element.of_width(width)
        first = self.emit(f"insertelement {kind} poison, {x.type} {x.text}, i64 0", x.element, width)
        return self.emit(
            f"shufflevector {kind} {first.text}, {kind} poison, <{width} x i32> zeroinitializer", x.element, width
        )

    def call(self, function: str, result: Element, *xs: Value) -> Value:
        """Call a function or intrinsic of this full name, declared by itself, on values of one width."""
        width = xs[0].width
        types = [x.type for x in xs]
        self.module.declare(f"declare {result.of_width(width)} @{function}({', '.join(types)})")
        operands = ", ".join([f"{x.type} {x.text}" for x in xs])
        return self.emit(f"call {result.of_width(width)} @{function}({operands})", result, width)

    def intrinsic(self, name: str, *xs: Value) -> Value:
        """An LLVM intrinsic that is overloaded on its one type, as `llvm.floor`."""
        x = xs[0]
        kind = f"{'f' if x.element.kind == 'f' else 'i'}{x.element.bits}"
        suffix = kind if x.width == 1 else f"v{x.width}{kind}"
        return self.call(f"{name}.{suffix}", x.element, *xs)


class Module:
    """A module under construction: functions by name, in the order in which they were asked for.

    Attributes:
        avx512: Whether it is for a processor with AVX-512.
    """

    __slots__ = ("avx512", "declarations", "functions", "inlined")

    def __init__(self, avx512: bool = False) -> None:
        self.avx512 = avx512
        self.declarations: dict[str, None] = {}
        self.functions: dict[str, str] = {}
        self.inlined = 0

    def declare(self, declaration: str) -> None:
        """Ask for a declaration, once."""
        self.declarations[declaration] = None

    def text(self) -> str:
        """The module as LLVM reads it."""
        return "\n".join([*self.declarations, *self.functions.values()]) + "\n"


# What the operators do not say


def fma(x1: Any, x2: Any, x3: Any) -> Value:
    """x1 * x2 + x3 with one rounding."""
    x = next(x for x in (x1, x2, x3) if type(x) is Value)
    return x.builder.intrinsic("llvm.fma", x.like(x1), x.like(x2), x.like(x3))


def select(condition: Value, x1: Any, x2: Any) -> Value:
    """x1 where the condition holds, x2 elsewhere."""
    x = x1 if type(x1) is Value else x2
    x1, x2 = x.like(x1), x.like(x2)
    return x.builder.emit(
        f"select {condition.type} {condition.text}, {x.type} {x1.text}, {x.type} {x2.text}", x.element, x.width
    )


def sqrt(x: Value) -> Value:
    """The square root, correctly rounded."""
    return x.builder.intrinsic("llvm.sqrt", x)


def fabs(x: Value) -> Value:
    """The absolute value of a floating number."""
    return x.builder.intrinsic("llvm.fabs", x)


def copysign(x1: Value, x2: Any) -> Value:
    """The magnitude of x1 with the sign of x2."""
    return x1.builder.intrinsic("llvm.copysign", x1, x1.like(x2))


def rint(x: Value) -> Value:
    """The nearest integer, ties to even."""
    return x.builder.intrinsic("llvm.roundeven", x)


def floor(x: Value) -> Value:
    """The greatest integer not above x."""
    return x.builder.intrinsic("llvm.floor", x)


def ceil(x: Value) -> Value:
    """The least integer not below x."""
    return x.builder.intrinsic("llvm.ceil", x)


def trunc(x: Value) -> Value:
    """The integer next to x towards zero."""
    return x.builder.intrinsic("llvm.trunc", x)
