"""Calls of LAPACK from compiled code: stacks of matrices in Fortran's order, each overwritten by its factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funcgrad.compiler.blas import buffers, call, for_each, integer, letter, routine
from funcgrad.compiler.loops import Call
from funcgrad.compiler.scope import Scope
from funcgrad.compiler.tensors import Tensor
from funcgrad.kernels.assembly import ELEMENTS

# From the scope and pointers to the operands' parts, and to `info`: the pointers of one call.
Arguments = Callable[["Scope", list[str], str], list[str]]


def _step(
    name: str,
    stack: Sequence[int],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    status: Tensor | None,
    arguments: Arguments,
) -> Call:
    """A call for each member of a stack.

    Args:
        inputs: Tensors that it reads, the stack's axes first; what it overwrites is among these, too.
        outputs: Tensors that it writes.
        status: Where each call's `info` goes, 0 if all is well; nowhere if it is known to be.
    """
    results = [*outputs] if status is None else [*outputs, status]
    tensors = list(dict.fromkeys((*inputs, *results)))
    element = ELEMENTS[tensors[0].dtype]

    def emit(emitter: Any, scope: Scope, step: Call) -> None:
        ignored = scope.allocate("i32")

        def body(pointers: list[str]) -> None:
            info = ignored if status is None else pointers[-1]
            call(scope, routine(element, name), arguments(scope, pointers, info))

        for_each(scope, stack, tensors, body)

    operations = inputs[0].size * inputs[0].shape[-1]
    return Call(name, buffers(inputs), buffers(results), emit, operations)


def factor(stack: Sequence[int], x: Tensor, pivots: Tensor, status: Tensor | None) -> Call:
    """x = p l u, in place (getrf)."""
    n = x.shape[-1]

    def arguments(scope: Scope, pointers: list[str], info: str) -> list[str]:
        size = integer(scope.module, n)
        return [size, size, pointers[0], size, pointers[1], info]

    return _step("getrf", stack, (x,), (x, pivots), status, arguments)


def substitute(stack: Sequence[int], x: Tensor, pivots: Tensor, y: Tensor, *, transposed: bool = False) -> Call:
    """The solutions in place of the right-hand sides y, whose last axis runs down a column (getrs).

    Args:
        stack: The extents of the stack.
        x: Factors.
        pivots: Their rows' exchanges.
        y: The right-hand sides.
        transposed: Whether the factors are those of the transposed matrices.
    """
    k, n = y.shape[-2:]

    def arguments(scope: Scope, pointers: list[str], info: str) -> list[str]:
        size, count = integer(scope.module, n), integer(scope.module, k)
        flag = letter(scope.module, "T" if transposed else "N")
        return [flag, size, count, pointers[0], size, pointers[1], pointers[2], size, info]

    return _step("getrs", stack, (x, pivots, y), (y,), None, arguments)


def invert(stack: Sequence[int], x: Tensor, pivots: Tensor, work: Tensor) -> Call:
    """The inverses of factored matrices, in place (getri)."""
    n = x.shape[-1]

    def arguments(scope: Scope, pointers: list[str], info: str) -> list[str]:
        size, room = integer(scope.module, n), integer(scope.module, work.size)
        assert work.buffer is not None
        return [size, pointers[0], size, pointers[1], scope.pointer(work.buffer), room, info]

    return _step("getri", stack, (x, pivots), (x, work_of(work, stack)), None, arguments)


def work_of(work: Tensor, stack: Sequence[int]) -> Tensor:
    """Scratch memory as a stack of one and the same."""
    y = Tensor((*stack, work.size), work.dtype, lambda index: work.at(index[len(stack) :]))
    y.buffer, y.offset, y.strides = work.buffer, work.offset, (*(0,) * len(stack), 1)
    return y


def cholesky(stack: Sequence[int], x: Tensor, upper: bool, status: Tensor) -> Call:
    """The triangular factors of positive definite matrices, in place; the other triangles stay (potrf).

    Args:
        upper: Which triangle is read and written, as Fortran sees it.
    """
    n = x.shape[-1]

    def arguments(scope: Scope, pointers: list[str], info: str) -> list[str]:
        size = integer(scope.module, n)
        return [letter(scope.module, "U" if upper else "L"), size, pointers[0], size, info]

    return _step("potrf", stack, (x,), (x,), status, arguments)


def eigenvalues(
    stack: Sequence[int], x: Tensor, w: Tensor, work: Tensor, integers: Tensor, uplo: str, vectors: bool, status: Tensor
) -> Call:
    """The eigenvalues of symmetric matrices, their eigenvectors in place of the matrices (syevd)."""
    n = x.shape[-1]

    def arguments(scope: Scope, pointers: list[str], info: str) -> list[str]:
        module = scope.module
        size, room, room2 = (integer(module, m) for m in (n, work.size, integers.size))
        job, triangle = letter(module, "V" if vectors else "N"), letter(module, uplo)
        assert work.buffer is not None
        assert integers.buffer is not None
        scratch, scratch2 = scope.pointer(work.buffer), scope.pointer(integers.buffer)
        return [job, triangle, size, pointers[0], size, pointers[1], scratch, room, scratch2, room2, info]

    outputs = (x, w, work_of(work, stack), work_of(integers, stack))
    return _step("syevd", stack, (x,), outputs, status, arguments)
