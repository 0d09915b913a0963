"""Functions that one Python function describes for all widths and elements; branches, loops and tables in them.

A kernel works on vectors. What only some numbers need is done one by one, loops go on until the last number is done,
and tables are stored in the module once.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.kernels.assembly import BOOL, ELEMENTS, I64, Builder, Element, Module, Value, constant_text

Definition = Callable[..., Value]


class Kernel:
    """A mathematical function for compiled code: `exp(x)` appends a call of it, and the module gets its definition.

    Attributes:
        name: Its name.
        definition: `(*xs) -> y`, of values of one element and width.
        results: From the operands' element, the result's; the same where not said.
        is_outlined: Whether it is a function for all modules, which only declare it, and not one of each that calls it.
    """

    __slots__ = ("_texts", "definition", "is_outlined", "name", "results")

    def __init__(
        self, name: str, definition: Definition, results: Callable[[Element], Element], is_outlined: bool = False
    ) -> None:
        self.name = name
        self.definition = definition
        self.results = results
        self.is_outlined = is_outlined
        self._texts: dict[tuple[Element, int, bool], tuple[str, Module]] = {}

    def __call__(self, *xs: Any) -> Value:
        """Append a call; numbers among the operands become constants."""
        x = next(x for x in xs if type(x) is Value)
        values = [x.like(other) for other in xs]
        result = self.results(x.element)
        operands = ", ".join([f"{value.type} {value.text}" for value in values])
        if self.is_outlined:
            symbol = self.symbol(x.element, x.width)
            x.builder.module.declare(f"declare {values[0].type} @{symbol}({', '.join([v.type for v in values])})")
            return x.builder.emit(f"call {values[0].type} @{symbol}({operands})", result, x.width)
        symbol = self.require(x.builder.module, x.element, x.width, len(xs))
        inlined = x.builder.may_inline(x.builder.module.functions[symbol].count("\n"))
        call = f"call {result.of_width(x.width)} @{symbol}({operands}){'' if inlined else ' noinline'}"
        return x.builder.emit(call, result, x.width)

    def symbol(self, element: Element, width: int) -> str:
        """The name of the function for an element and width."""
        if self.is_outlined:
            return ".".join((OUTLINED, self.definition.__module__.rpartition(".")[2], self.name, element.name))
        return f"fg_{self.name}_{element.name}_{width}"

    def require(self, module: Module, element: Element, width: int, count: int) -> str:
        """The same, defined in a module."""
        symbol = self.symbol(element, width)
        if symbol not in module.functions:
            key = (element, width, module.avx512)
            known = self._texts.get(key)
            if known is None:
                known = self._texts[key] = self._define(symbol, element, width, count, module.avx512)
            text, needs = known
            module.declarations.update(needs.declarations)
            module.functions.update(needs.functions)
            module.functions[symbol] = text
        return symbol

    def _define(self, symbol: str, element: Element, width: int, count: int, avx512: bool) -> tuple[str, Module]:
        needs = Module(avx512)
        builder = Builder(needs)
        names = [f"%x{i}" for i in range(count)]
        y = self.definition(*[Value(builder, name, element, width) for name in names])
        parameters = ", ".join([f"{element.of_width(width)} {name}" for name in names])
        kind = "define" if self.is_outlined else "define internal"
        attributes = "noinline nounwind" if self.is_outlined else "#0"
        head = f"{kind} {y.type} @{symbol}({parameters}) {attributes} {{\nentry:"
        return "\n".join([head, *builder.lines, f"  ret {y.type} {y.text}", "}"]), needs


def kernel(definition: Definition) -> Kernel:
    """Make a function of values a `Kernel` of the same name."""
    return Kernel(definition.__name__, definition, lambda element: element)


OUTLINED = "fg_outlined"
"""How the symbols of functions for all modules begin; behind, apart by dots, the room, the kernel, the element."""


def outlined(definition: Definition) -> Kernel:
    """Make a function of numbers a `Kernel` that is compiled once for all modules: what `rarely` calls."""
    return Kernel(definition.__name__, definition, lambda element: element, is_outlined=True)


def outlined_module(symbol: str, avx512: bool) -> Module:
    """The module that defines a function for all modules."""
    _, room, name, element = symbol.split(".")
    kernel = getattr(importlib.import_module(f"funcgrad.kernels.math.{room}"), name)
    module = Module(avx512)
    kernel.require(module, ELEMENTS[np.dtype(element)], 1, len(inspect.signature(kernel.definition).parameters))
    return module


# What only some numbers need


def any_lane(condition: Value) -> Value:
    """Whether a condition holds for any number of a vector."""
    if condition.width == 1:
        return condition
    name = f"llvm.vector.reduce.or.v{condition.width}i1"
    condition.builder.module.declare(f"declare i1 @{name}({condition.type})")
    return condition.builder.emit(f"call i1 @{name}({condition.type} {condition.text})", BOOL)


def rarely(condition: Value, y: Value, function: Callable[..., Value], *xs: Value) -> Value:
    """function(*xs) where the condition holds, y elsewhere, for a function of numbers: it is called one by one."""
    builder = y.builder
    before, within, after = builder.block, builder.label("rare"), builder.label("common")
    builder.branch(any_lane(condition), within, after)
    builder.start(within)
    if y.width == 1:
        other = function(*xs)
    else:
        count = builder.constant(0, I64)
        _, other = repeated(
            (count, y), lambda i, _: i < y.width, lambda i, z: (i + 1, _lane(i, condition, z, function, xs))
        )
    end = builder.block
    builder.jump(after)
    builder.start(after)
    return builder.emit(f"phi {y.type} [ {y.text}, %{before} ], [ {other.text}, %{end} ]", y.element, y.width)


def _lane(i: Value, condition: Value, y: Value, function: Callable[..., Value], xs: tuple[Value, ...]) -> Value:
    """y with function(*xs) in lane i, if the condition holds there."""
    builder = y.builder
    before, within, after = builder.block, builder.label("lane"), builder.label("next")
    holds, *operands = (
        builder.emit(f"extractelement {x.type} {x.text}, {i.type} {i.text}", x.element) for x in (condition, *xs)
    )
    builder.branch(holds, within, after)
    builder.start(within)
    number = function(*operands)
    other = builder.emit(
        f"insertelement {y.type} {y.text}, {number.type} {number.text}, {i.type} {i.text}", y.element, y.width
    )
    end = builder.block
    builder.jump(after)
    builder.start(after)
    return builder.emit(f"phi {y.type} [ {y.text}, %{before} ], [ {other.text}, %{end} ]", y.element, y.width)


def repeated(
    start: tuple[Value, ...], unfinished: Callable[..., Value], step: Callable[..., tuple[Value, ...]]
) -> tuple[Value, ...]:
    """Values stepped while any number of what `unfinished` says of them holds."""
    builder = start[0].builder
    before, head, body, after = builder.block, builder.label("head"), builder.label("body"), builder.label("after")
    builder.jump(head)
    builder.start(head)
    place = len(builder.lines)
    values = tuple(Value(builder, builder.name(), x.element, x.width) for x in start)
    builder.branch(any_lane(unfinished(*values)), body, after)
    builder.start(body)
    stepped = step(*values)
    builder.lines[place:place] = [
        f"  {y.text} = phi {y.type} [ {x.text}, %{before} ], [ {z.text}, %{builder.block} ]"
        for x, y, z in zip(start, values, stepped, strict=True)
    ]
    builder.jump(head)
    builder.start(after)
    return values


def looked_up(name: str, table: Sequence[int | float], element: Element, index: Value) -> Value:
    """The entries of a constant table at indices; it is stored in the module once, under the name."""
    builder = index.builder
    entries = ", ".join([f"{element.llvm} {constant_text(entry, element)}" for entry in table])
    kind = f"[{len(table)} x {element.llvm}]"
    builder.module.declare(f"@{name} = internal unnamed_addr constant {kind} [{entries}]")
    if index.width == 1:
        return _entry(name, element, index)
    result = "poison"
    for lane in range(index.width):
        position = builder.emit(f"extractelement {index.type} {index.text}, i32 {lane}", index.element)
        entry = _entry(name, element, position)
        result = builder.emit(
            f"insertelement {element.of_width(index.width)} {result}, {entry.type} {entry.text}, i32 {lane}", element
        ).text
    return Value(builder, result, element, index.width)


def _entry(name: str, element: Element, index: Value) -> Value:
    pointer = index.builder.emit(f"getelementptr {element.llvm}, ptr @{name}, {index.type} {index.text}", element)
    return index.builder.emit(f"load {element.llvm}, ptr {pointer.text}", element)
