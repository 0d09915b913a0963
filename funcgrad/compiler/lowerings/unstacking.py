"""Lowerings of `primitives/unstacking.py`."""

from __future__ import annotations

from functools import partial
from typing import Any

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.tensors import Tensor, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import unstacking


@lowers(unstacking.unstack_p, complex_numbers=True)
def _unstack(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return [moved(x, x.shape[1:], partial(_in_row, row)) for row in range(x.shape[0])]


def _in_row(row: int, index: tuple[Index, ...]) -> tuple[Index, ...]:
    return (Affine(row), *index)
