"""Calls of BLAS from compiled code: what a matrix in memory is to Fortran, and the instructions of a call.

Fortran takes everything by reference and stores matrices by columns. Numbers are constants of the module. A matrix of
NumPy's, stored by rows, is Fortran's transpose of it: c = a b is computed as c^T = b^T a^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from funcgrad.compiler.indices import ZERO, Affine, add_affine, scale_affine
from funcgrad.compiler.loops import Apply, Buffer, Call, Division, Exchange, Load, Nest, Round, Statement
from funcgrad.compiler.scalars import multiply
from funcgrad.compiler.scope import Scope
from funcgrad.compiler.tensors import Tensor, view
from funcgrad.kernels.assembly import ELEMENTS, F64, I64, Builder, Element, Module, Value, constant_text, select

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

    def strides(self) -> tuple[int, int]:
        """The distance of its rows and that of its columns."""
        return (1, self.leading) if self.transposed else (self.leading, 1)


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


class Part(NamedTuple):
    """Which part of a product is computed: the counter that is divided, how far it counts, and the round."""

    axis: int
    size: int
    round: Round


# Products of which two of rows, columns and terms are so few at most may be faster as nests.
_NARROW = 24
# Parts of so many rows at least are worth their calls, and what BLAS copies for each.
_LEAST_ROWS = 16


def _sizes(scope: Scope, sizes: Sequence[int], part: Part | None) -> list[str]:
    """Pointers to the sizes of a product; that which is divided is what is left, for the last part."""
    pointers = [integer(scope.module, size) for size in sizes]
    if part is not None:
        b = scope.builder
        left = scope.outer[part.round.loop] * -part.round.block + part.size
        count = select(left < part.round.block, left, b.constant(part.round.block, I64))
        place, narrow = scope.allocate("i32"), b.name()
        b.do(f"{narrow} = trunc i64 {count.text} to i32")
        b.do(f"store i32 {narrow}, ptr {place}")
        pointers[part.axis] = place
    return pointers


def _divisions(
    stack: Sequence[int],
    sizes: Sequence[int],
    tensors: Sequence[tuple[Tensor, Sequence[int]]],
    summed: int,
    least: int,
    make: Callable[[Sequence[Tensor], Sequence[int], Part | None], Call],
) -> list[Division]:
    """How stacks of products can be divided: into members, or along each of the matrices' axes.

    Args:
        stack: The extents of the stack.
        sizes: How far the counters of a product count.
        tensors: Operands and result, each with its stride for each of these counters.
        summed: The counter that is summed over.
        least: The least size of a part.
        make: The product of other tensors.
    """

    def places(first: int) -> list[tuple[Buffer, Affine, bool]]:
        """The indices, with one of the counters of stack and product as number 0."""
        found = []
        for number, (x, strides) in enumerate(tensors):
            terms = list(zip((*x.strides[: len(stack)], *strides), (*stack, *sizes), strict=True))
            terms.insert(0, terms.pop(first))
            own = [(axis, c, n) for axis, (c, n) in enumerate(terms) if c and n > 1]
            assert x.buffer is not None
            index = add_affine(x.offset, Affine(0, tuple(own)))
            found.append((x.buffer, index, number == len(tensors) - 1))
        return found

    def member(round_: Round | None, others: Exchange) -> Call:
        moved = [_exchanged(x, others) for x, _ in tensors]
        if round_ is None:
            return make(moved, stack, None)
        number = Affine(0, ((round_.loop, 1, round_.rounds),))
        return make([_member(x, number) for x in moved], stack[1:], None)

    def along(axis: int) -> Callable[[Round | None, Exchange], Call]:
        def part(round_: Round | None, others: Exchange) -> Call:
            moved = [_exchanged(x, others) for x, _ in tensors]
            if round_ is None:
                return make(moved, stack, None)
            parts = [
                view(x.buffer, x.shape, x.strides, add_affine(x.offset, _steps(strides[axis], round_)))
                for x, (_, strides) in zip(moved, tensors, strict=True)
                if x.buffer is not None
            ]
            return make(parts, stack, Part(axis, sizes[axis], round_))

        return part

    found = [Division(stack[0], True, 1, False, places(0), member)] if stack else []
    for axis, size in enumerate(sizes):
        if size >= 4 * least:
            found.append(Division(size, False, least, axis == summed, places(len(stack) + axis), along(axis)))
    return found


def _steps(stride: int, round_: Round) -> Affine:
    factor = stride * round_.block
    return Affine(0, ((round_.loop, factor, round_.rounds),)) if factor else ZERO


def _exchanged(x: Tensor, others: Exchange) -> Tensor:
    """A stored tensor with another buffer in place of its own."""
    assert x.buffer is not None
    buffer, begin = others.get(x.buffer, (x.buffer, ZERO))
    return view(buffer, x.shape, x.strides, add_affine(x.offset, begin))


def _member(x: Tensor, number: Affine) -> Tensor:
    """One member of a stack."""
    assert x.buffer is not None
    return view(x.buffer, x.shape[1:], x.strides[1:], add_affine(x.offset, scale_affine(number, x.strides[0])))


def product(
    shape: tuple[int, int, int],
    stack: Sequence[int],
    operands: Sequence[tuple[Tensor, Matrix]],
    y: Tensor,
    leading: int,
    part: Part | None = None,
) -> Call:
    """The products y = x1 x2 of stacks of matrices.

    Args:
        shape: Rows of x1, their length, columns of x2.
        stack: The extents of the stack: the first axes of each tensor.
        operands: x1 and x2 with their names to BLAS.
        y: Where the products go.
        leading: The distance of their rows.
        part: If only a part of it is to be computed; tensors begin with that. Parts of sums are added to what y is.
    """
    n, k, m = shape
    (x1, name1), (x2, name2) = operands
    element = ELEMENTS[y.dtype]

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        module = scope.module
        one, zero = floating(module, 1.0, element), floating(module, 0.0, element)
        flags = [letter(module, "T" if name.transposed else "N") for name in (name2, name1)]
        rows, inner, columns = _sizes(scope, shape, part)
        distances = [integer(module, distance) for distance in (name2.leading, name1.leading, leading)]
        old = one if part is not None and part.axis == 1 else zero

        def body(pointers: list[str]) -> None:
            first, second, result = pointers
            matrices = [second, distances[0], first, distances[1], old, result, distances[2]]
            call(scope, routine(element, "gemm"), [*flags, columns, rows, inner, one, *matrices])

        for_each(scope, stack, (x1, x2, y), body)

    made = Call("gemm", buffers((x1, x2)), buffers((y,)), emit, math.prod(stack) * n * k * m)
    if part is None:

        def make(tensors: Sequence[Tensor], rest: Sequence[int], part: Part | None) -> Call:
            first, second, result = tensors
            return product(shape, rest, [(first, name1), (second, name2)], result, leading, part)

        row1, column1 = name1.strides()
        row2, column2 = name2.strides()
        tensors = [(x1, (row1, column1, 0)), (x2, (0, row2, column2)), (y, (leading, 0, 1))]
        made.divisions = _divisions(stack, shape, tensors, 1, _LEAST_ROWS, make)
        if sorted(shape)[1] <= _NARROW:
            made.nest = _nest(stack, shape, tensors)
    return made


def _nest(
    stack: Sequence[int], shape: tuple[int, int, int], tensors: Sequence[tuple[Tensor, tuple[int, int, int]]]
) -> Nest:
    """A stack of products as a nest, whose counters are those of the stack, of rows, of columns, and of the sum.

    Args:
        stack: The extents of the stack.
        shape: Rows of x1, their length, columns of x2.
        tensors: x1, x2 and y, each with its strides for these.
    """
    n, k, m = shape
    extents = (*stack, n, m, k)

    def place(x: Tensor, strides: tuple[int, int, int]) -> Affine:
        steps = (*x.strides[: len(stack)], strides[0], strides[2], strides[1])
        terms = [(axis, c, n) for axis, (c, n) in enumerate(zip(steps, extents, strict=True)) if c and n > 1]
        return add_affine(x.offset, Affine(0, tuple(terms)))

    first, second, result = (place(x, strides) for x, strides in tensors)
    x1, x2, y = buffers([x for x, _ in tensors])
    product = Apply(multiply, (Load(x1, first), Load(x2, second)), y.dtype)
    return Nest(extents, [Statement(y, result, product, "sum")])


def vector_product(
    shape: tuple[int, int],
    stack: Sequence[int],
    x: Tensor,
    name: Matrix,
    v: Tensor,
    step_v: int,
    y: Tensor,
    step_y: int,
    part: Part | None = None,
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
        part: As of `product`.
    """
    element = ELEMENTS[y.dtype]

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        module = scope.module
        one, zero = floating(module, 1.0, element), floating(module, 0.0, element)
        flag = letter(module, "N" if name.transposed else "T")
        rows, columns = _sizes(scope, shape, part)
        head = [flag, *((rows, columns) if name.transposed else (columns, rows)), one]
        leading, steps = integer(module, name.leading), [integer(module, step) for step in (step_v, step_y)]
        old = one if part is not None and part.axis == 1 else zero

        def body(pointers: list[str]) -> None:
            matrix_, vector, result = pointers
            call(scope, routine(element, "gemv"), [*head, matrix_, leading, vector, steps[0], old, result, steps[1]])

        for_each(scope, stack, (x, v, y), body)

    made = Call("gemv", buffers((x, v)), buffers((y,)), emit, math.prod(stack) * math.prod(shape))
    if part is None:

        def make(tensors: Sequence[Tensor], rest: Sequence[int], part: Part | None) -> Call:
            first, second, result = tensors
            return vector_product(shape, rest, first, name, second, step_v, result, step_y, part)

        tensors = [(x, name.strides()), (v, (0, step_v)), (y, (step_y, 0))]
        made.divisions = _divisions(stack, shape, tensors, 1, 1, make)
    return made
