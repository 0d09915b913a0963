"""Calls of BLAS from compiled code: what a matrix in memory is to Fortran, and the instructions of a call.

Fortran takes everything by reference and stores matrices by columns. Numbers are constants of the module. A matrix of
NumPy's, stored by rows, is Fortran's transpose of it: c = a b is computed as c^T = b^T a^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from funcgrad.compiler.indices import ZERO, Affine, add_affine, scale_affine
from funcgrad.compiler.loops import Buffer, Call, Load, Stack
from funcgrad.compiler.scope import Scope
from funcgrad.compiler.tensors import Tensor, identity, view
from funcgrad.kernels.assembly import ELEMENTS, F64, I64, Builder, Element, Module, Value, constant_text

# Fortran's integers.
MOST = 2**31 - 1


# References ---------------------------------------------------------------------------------------------------------


def integer(module: Module, number: int) -> str:
    """A pointer to an integer."""
    name = f"@fg_integer_{number}".replace("-", "minus")
    module.declare(f"{name} = internal unnamed_addr constant i32 {number}")
    return name


def floating(module: Module, number: float, element: Element) -> str:
    """A pointer to a floating number."""
    text = constant_text(number, element)
    name = f"@fg_{element.name}_{text}"
    module.declare(f"{name} = internal unnamed_addr constant {element.llvm} {text}")
    return name


def letter(module: Module, character: str) -> str:
    """A pointer to a character."""
    name = f"@fg_letter_{character}"
    module.declare(f"{name} = internal unnamed_addr constant i8 {ord(character)}")
    return name


def routine(element: Element, name: str) -> str:
    """BLAS's or LAPACK's name of a routine for an element type: `gemm` is `dgemm_`."""
    return f"{'d' if element is F64 else 's'}{name}_"


def call(scope: Scope, symbol: str, pointers: Sequence[str]) -> None:
    """Call a subroutine with pointers to its arguments."""
    scope.module.declare(f"declare void @{symbol}({', '.join(['ptr'] * len(pointers))})")
    scope.builder.do(f"call void @{symbol}({', '.join(f'ptr {p}' for p in pointers)})")


# Loops around calls -------------------------------------------------------------------------------------------------


def counted(builder: Builder, count: int, body: Callable[[Value], None]) -> None:
    """Emit a loop: `body` emits the instructions of a round, given its number."""
    if count == 1:
        body(builder.constant(0, I64))
        return
    before, label, after = builder.block, builder.label("each"), builder.label("all")
    builder.jump(label)
    builder.start(label)
    number, following, again = builder.name(), builder.name(), builder.name()
    place = len(builder.lines)
    builder.lines.append("")
    body(Value(builder, number, I64, 1))
    builder.do(f"{following} = add nuw nsw i64 {number}, 1")
    builder.do(f"{again} = icmp ult i64 {following}, {count}")
    builder.lines[place] = f"  {number} = phi i64 [ 0, %{before} ], [ {following}, %{builder.block} ]"
    builder.do(f"br i1 {again}, label %{label}, label %{after}")
    builder.start(after)


def for_each(
    scope: Scope, extents: Sequence[int], tensors: Sequence[Tensor], body: Callable[[list[str]], None]
) -> None:
    """Emit loops over the first axes of stored tensors: `body` is given pointers to the first element of each part.

    Args:
        extents: How far the loops count; each tensor has at least so many axes.
    """
    b = scope.builder

    def nest(axis: int, offsets: list[Value]) -> None:
        if axis == len(extents):
            body([pointer(scope, x, offset) for x, offset in zip(tensors, offsets, strict=True)])
            return

        def round_(number: Value) -> None:
            nest(
                axis + 1,
                [
                    offset + number * x.strides[axis] if x.strides[axis] else offset
                    for x, offset in zip(tensors, offsets, strict=True)
                ],
            )

        counted(b, extents[axis], round_)

    nest(0, [scope.affine(x.offset, {}) for x in tensors])


def pointer(scope: Scope, x: Tensor, offset: Value) -> str:
    """The pointer to an element of a stored tensor's buffer."""
    name = scope.builder.name()
    assert x.buffer is not None
    kind = ELEMENTS[x.dtype].llvm
    scope.builder.do(f"{name} = getelementptr {kind}, ptr {scope.pointer(x.buffer)}, i64 {offset.text}")
    return name


def buffers(xs: Sequence[Tensor]) -> list[Buffer]:
    """The buffers of stored tensors."""
    return [x.buffer for x in xs if x.buffer is not None]


# Products -----------------------------------------------------------------------------------------------------------


class Matrix(NamedTuple):
    """How BLAS is told of a part of memory: whether to transpose it, and the distance of its columns."""

    transposed: bool
    leading: int


def matrix(rows: int, columns: int, row_stride: int, column_stride: int) -> Matrix | None:
    """How to name a matrix stored with these strides; None where BLAS has no name for it.

    Not transposed is what has neighbours in a row: the transpose of what Fortran calls so.
    """
    if column_stride == 1 or columns == 1:
        leading = row_stride if rows > 1 else max(columns, 1)
        if columns <= leading <= MOST:
            return Matrix(False, leading)
    if row_stride == 1 or rows == 1:
        leading = column_stride if columns > 1 else max(rows, 1)
        if rows <= leading <= MOST:
            return Matrix(True, leading)
    return None


def product(
    shape: tuple[int, int, int],
    stack: Sequence[int],
    operands: Sequence[tuple[Tensor, Matrix]],
    y: Tensor,
    leading: int,
) -> Call:
    """The products y = x1 x2 of stacks of matrices.

    Args:
        shape: Rows of x1, their length, columns of x2.
        stack: The extents of the stack: the first axes of each tensor.
        operands: x1 and x2 with their names to BLAS.
        y: Where the products go.
        leading: The distance of their rows.
    """
    n, k, m = shape
    (x1, name1), (x2, name2) = operands
    element = ELEMENTS[y.dtype]

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        module = scope.module
        one, zero = floating(module, 1.0, element), floating(module, 0.0, element)
        flags = [letter(module, "T" if name.transposed else "N") for name in (name2, name1)]
        sizes = [integer(module, size) for size in (m, n, k)]
        distances = [integer(module, distance) for distance in (name2.leading, name1.leading, leading)]

        def body(pointers: list[str]) -> None:
            first, second, result = pointers
            arguments = [*flags, *sizes, one, second, distances[0], first, distances[1], zero, result, distances[2]]
            call(scope, routine(element, "gemm"), arguments)

        for_each(scope, stack, (x1, x2, y), body)

    made = Call("gemm", buffers((x1, x2)), buffers((y,)), emit, math.prod(stack) * n * k * m)
    if stack:

        def part(member: Affine | None, others: Exchange) -> Call:
            first, second, result = (_part(x, member, others) for x in (x1, x2, y))
            rest = stack if member is None else stack[1:]
            return product(shape, rest, [(first, name1), (second, name2)], result, leading)

        made.stack = Stack(stack[0], [(*_place(x), x is y) for x in (x1, x2, y)], part)
    return made


Exchange: TypeAlias = Mapping[Buffer, tuple[Buffer, Affine]]


def _place(x: Tensor) -> tuple[Buffer, Affine]:
    """A stored tensor's buffer, and the index in it of an element."""
    element = x.at(identity(x.shape))
    assert type(element) is Load
    assert type(element.index) is Affine
    return element.buffer, element.index


def _part(x: Tensor, member: Affine | None, others: Exchange) -> Tensor:
    """One member of a stack, or all of it (None), with another buffer in place of its own."""
    assert x.buffer is not None
    buffer, begin = others.get(x.buffer, (x.buffer, ZERO))
    offset = add_affine(x.offset, begin)
    if member is None:
        return view(buffer, x.shape, x.strides, offset)
    return view(buffer, x.shape[1:], x.strides[1:], add_affine(offset, scale_affine(member, x.strides[0])))


def vector_product(
    shape: tuple[int, int],
    stack: Sequence[int],
    x: Tensor,
    name: Matrix,
    v: Tensor,
    step_v: int,
    y: Tensor,
    step_y: int,
) -> Call:
    """The products y = x v of stacks of matrices and vectors.

    Args:
        shape: Rows and columns of x.
        stack: The extents of the stack: the first axes of each tensor.
        x: Matrices.
        name: Their name to BLAS.
        v: Vectors.
        step_v: The distance of their elements.
        y: Where the products go.
        step_y: The distance of their elements.
    """
    rows, columns = shape
    element = ELEMENTS[y.dtype]

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        module = scope.module
        one, zero = floating(module, 1.0, element), floating(module, 0.0, element)
        flag = letter(module, "N" if name.transposed else "T")
        sizes = (rows, columns) if name.transposed else (columns, rows)
        head = [flag, *[integer(module, size) for size in sizes], one]
        leading, steps = integer(module, name.leading), [integer(module, step) for step in (step_v, step_y)]

        def body(pointers: list[str]) -> None:
            matrix_, vector, result = pointers
            arguments = [*head, matrix_, leading, vector, steps[0], zero, result, steps[1]]
            call(scope, routine(element, "gemv"), arguments)

        for_each(scope, stack, (x, v, y), body)

    return Call("gemv", buffers((x, v)), buffers((y,)), emit, math.prod(stack) * rows * columns)
