"""A step that calls a primitive's NumPy implementation: what has no lowering runs as it does without `jit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from funcgrad.compiler import runtime
from funcgrad.compiler.loops import Buffer, Step
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation, Literal


class PythonStep(Step):
    """A call of NumPy on contiguous operands, with its results copied into buffers.

    Attributes:
        eqn: The equation.
        operands: Contiguous tensors, for those that are no literals.
        results: Contiguous tensors.
    """

    __slots__ = ("eqn", "operands", "results")

    def __init__(self, eqn: Equation, operands: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        self.eqn = eqn
        self.operands = tuple(operands)
        self.results = tuple(results)

    def __repr__(self) -> str:
        return self.eqn.primitive.name

    def reads(self) -> Iterator[Buffer]:
        """The operands."""
        return (x.buffer for x in self.operands if x.buffer is not None)

    def writes(self) -> Iterator[Buffer]:
        """The results."""
        return (y.buffer for y in self.results if y.buffer is not None)

    def run(self, table: int) -> None:
        """Compute the results.

        Args:
            table: The address of a table of pointers to operands and results.
        """
        tensors = (*self.operands, *self.results)
        pointers = runtime.pointers_at(table, len(tensors))
        arrays = [runtime.array_at(p, x.shape, x.dtype) for p, x in zip(pointers, tensors, strict=True)]
        count = len(self.operands)
        stored = iter(arrays[:count])
        xs = [x.value if isinstance(x, Literal) else _native(next(stored), x.aval) for x in self.eqn.inputs]
        with np.errstate(all="ignore"):
            results = self.eqn.primitive.implementation(*xs, **self.eqn.params)
        if not self.eqn.primitive.multiple_results:
            results = (results,)
        for y, result in zip(arrays[count:], results, strict=True):
            y[...] = result


def _native(x: np.ndarray[Any, Any], aval: ShapedArray) -> Any:
    """An operand as NumPy would have it: a Python number where it is weak, a scalar where it has no axes."""
    if aval.weak_type:
        return x.item()
    return x[()] if x.ndim == 0 else x
