"""Python's operators on traced arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import Primitive, bind
from funcgrad.core.tracing import Tracer
from funcgrad.primitives import contractions, elementwise

_OPERANDS = frozenset({Tracer, np.ndarray, int, float, complex, bool, np.float64, np.float32, np.int64, np.bool_})


def operand(x: Any) -> Any:
    """x as an operand of a primitive: lists and tuples become arrays; NotImplemented for what is none."""
    if type(x) in _OPERANDS or isinstance(x, (np.generic, np.ndarray)):
        return x
    if isinstance(x, (list, tuple)):
        return np.asarray(x)
    return NotImplemented


def _binary(primitive: Primitive) -> tuple[Callable[[Tracer, Any], Any], Callable[[Tracer, Any], Any]]:
    def forward(self: Tracer, other: Any) -> Any:
        if type(other) not in _OPERANDS and (other := operand(other)) is NotImplemented:
            return NotImplemented
        return bind(primitive, self, other)

    def reflected(self: Tracer, other: Any) -> Any:
        if type(other) not in _OPERANDS and (other := operand(other)) is NotImplemented:
            return NotImplemented
        return bind(primitive, other, self)

    return forward, reflected


_BINARY = {
    "add": elementwise.add_p,
    "sub": elementwise.subtract_p,
    "mul": elementwise.multiply_p,
    "truediv": elementwise.divide_p,
    "pow": elementwise.pow_p,
    "matmul": contractions.matmul_p,
}

for _name, _primitive in _BINARY.items():
    _forward, _reflected = _binary(_primitive)
    setattr(Tracer, f"__{_name}__", _forward)
    setattr(Tracer, f"__r{_name}__", _reflected)

Tracer.__neg__ = lambda self: bind(elementwise.negative_p, self)  # type: ignore[attr-defined]


