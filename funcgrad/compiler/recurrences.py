"""A recurrence along an array's last axis: what is carried from element to element stays in a register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.compiler.blas import buffers, counted, for_each
from funcgrad.compiler.loops import Call
from funcgrad.compiler.scope import Scope
from funcgrad.compiler.tensors import Tensor
from funcgrad.kernels.assembly import BOOL, ELEMENTS, I8, I64, Value

Body = Callable[..., Value]


def recurrence(xs: Sequence[Tensor], y: Tensor, start: Any, body: Body, exclusive: bool) -> Call:
    """y[k] = z[k + 1] where z[0] = start and z[k + 1] = body(z[k], x[k], ...); z[k] itself, if exclusive.

    Args:
        xs: Stored tensors of one shape.
        y: Where the results go, of that shape.
        start: A number.
        body: A function of values of assembly.
    """
    *stack, length = y.shape
    element = ELEMENTS[y.dtype]
    tensors = (*xs, y)

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        b = scope.builder

        def rows(pointers: list[str]) -> None:
            kind = element.llvm
            place = scope.allocate(kind)
            b.do(f"store {kind} {b.constant(start, element).text}, ptr {place}")

            def advance(number: Value) -> None:
                z = b.emit(f"load {kind}, ptr {place}", element)
                operands = [_load(scope, x, p, number) for x, p in zip(xs, pointers, strict=False)]
                following = body(z, *operands)
                _store(scope, y, pointers[-1], number, z if exclusive else following)
                b.do(f"store {kind} {following.text}, ptr {place}")

            counted(b, length, advance)

        for_each(scope, stack, tensors, rows)

    return Call("recurrence", buffers(xs), buffers((y,)), emit, y.size)


def _place(scope: Scope, x: Tensor, pointer: str, number: Value) -> str:
    name, kind = scope.builder.name(), ELEMENTS[x.dtype]
    offset = number * x.strides[-1] if x.strides[-1] != 1 else number
    stored = I8 if kind is BOOL else kind
    scope.builder.do(f"{name} = getelementptr {stored.llvm}, ptr {pointer}, {I64.llvm} {offset.text}")
    return name


def _load(scope: Scope, x: Tensor, pointer: str, number: Value) -> Value:
    element = ELEMENTS[x.dtype]
    place = _place(scope, x, pointer, number)
    if element is BOOL:
        return scope.builder.emit(f"load i8, ptr {place}", I8).differs(0)
    return scope.builder.emit(f"load {element.llvm}, ptr {place}, align {element.bits // 8}", element)


def _store(scope: Scope, y: Tensor, pointer: str, number: Value, value: Value) -> None:
    place = _place(scope, y, pointer, number)
    scope.builder.do(f"store {value.type} {value.text}, ptr {place}, align {value.element.bits // 8}")
