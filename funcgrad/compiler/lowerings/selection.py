"""Lowering of `primitives/selection.py`: clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import check_python_integers, dtypes_of, elements
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import ELEMENTS
from funcgrad.primitives import selection


@lowers(selection.clip_p)
def _clip(lowering: Lowering, eqn: Equation, x: Tensor, low: Tensor, high: Tensor) -> Any:
    *dtypes, _ = dtypes_of(np._core.umath.clip, eqn)  # type: ignore[attr-defined]
    if any(d not in ELEMENTS for d in dtypes):
        return NotImplemented
    check_python_integers(lowering, eqn, (x, low, high), dtypes)
    function = scalars.clip if low.size == high.size == 1 else scalars.clip_each
    return elements(lowering, eqn.outputs[0].aval, function, (x, low, high), dtypes, 4.0)
