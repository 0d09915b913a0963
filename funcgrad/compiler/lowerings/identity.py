"""Lowering of `primitives/identity.py`."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import identity


@lowers(identity.stop_gradient_p, complex_numbers=True)
def _stop_gradient(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return x
