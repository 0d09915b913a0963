"""Python's operators on traced arrays.

Of two Python numbers, traced or not, an operator gives a Python number, as Python does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import NO_PARAMS, Primitive, bind, bind_binary, bind_unary
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import OPERANDS, is_weak, method
from funcgrad.primitives import arithmetic, comparison, contractions, powers, rounding

_ndarray = np.ndarray  # looked up on the hot path


def operand(x: Any) -> Any:
    """x as an operand of a primitive: lists and array-likes become arrays; NotImplemented for what is none."""
    if isinstance(x, (np.generic, np.ndarray, int, float, complex)):
        return x
    if isinstance(x, (list, tuple, range)) or (hasattr(x, "__array__") and not hasattr(x, "__array_ufunc__")):
        return as_array(x)
    return NotImplemented


def _binary(primitive: Primitive) -> tuple[Callable[[Tracer, Any], Any], Callable[[Tracer, Any], Any]]:
    def forward(self: Tracer, other: Any) -> Any:
        kind = type(other)
        if kind not in OPERANDS:
            if (other := operand(other)) is NotImplemented:
                return NotImplemented
            kind = type(other)  # a list may have held tracers
        recording = self.recording
        if recording.plain:
            if kind is _ndarray:
                kept = (self.value, recording.capture(other))
                return recording.apply(primitive, NO_PARAMS, (self.value, other), (self.id, None), kept)
            if kind is not Tracer:
                return recording.apply(primitive, NO_PARAMS, (self.value, other), (self.id, None))
            if other.recording is recording:
                return recording.apply(primitive, NO_PARAMS, (self.value, other.value), (self.id, other.id))
        return bind(primitive, self, other)

    def reflected(self: Tracer, other: Any) -> Any:
        if type(other) not in OPERANDS and (other := operand(other)) is NotImplemented:
            return NotImplemented
        return bind_binary(primitive, other, self)

    return forward, reflected


def _unary(primitive: Primitive) -> Callable[[Tracer], Any]:
    return lambda self: bind_unary(primitive, self)


def _equality(primitive: Primitive, compare: Callable[[Any, Any], Any]) -> Callable[[Tracer, Any], Any]:
    def forward(self: Tracer, other: Any) -> Any:
        if type(other) not in OPERANDS:
            if other is None or isinstance(other, (str, bytes)):
                return compare(np.zeros(self.shape), other)  # no number is equal to these
            if (other := operand(other)) is NotImplemented:
                return NotImplemented
        return bind_binary(primitive, self, other)

    return forward


_BINARY = {
    "add": arithmetic.add_p,
    "sub": arithmetic.subtract_p,
    "mul": arithmetic.multiply_p,
    "truediv": arithmetic.divide_p,
    "floordiv": arithmetic.floor_divide_p,
    "mod": arithmetic.remainder_p,
    "pow": powers.pow_p,
    "matmul": contractions.matmul_p,
    "and": comparison.bitwise_and_p,
    "or": comparison.bitwise_or_p,
    "xor": comparison.bitwise_xor_p,
    "lshift": comparison.left_shift_p,
    "rshift": comparison.right_shift_p,
}
# Python reflects these itself: a < b as b > a.
_ORDER = {
    "lt": comparison.less_p,
    "le": comparison.less_equal_p,
    "gt": comparison.greater_p,
    "ge": comparison.greater_equal_p,
}
_UNARY = {
    "neg": arithmetic.negative_p,
    "pos": arithmetic.positive_p,
    "abs": arithmetic.abs_p,
    "invert": comparison.invert_p,
}

for _name, _primitive in _BINARY.items():
    _forward, _reflected = _binary(_primitive)
    method(f"__{_name}__")(_forward)
    method(f"__r{_name}__")(_reflected)
for _name, _primitive in _ORDER.items():
    method(f"__{_name}__")(_binary(_primitive)[0])
for _name, _primitive in _UNARY.items():
    method(f"__{_name}__")(_unary(_primitive))
method("__eq__")(_equality(comparison.equal_p, lambda a, b: a == b))
method("__ne__")(_equality(comparison.not_equal_p, lambda a, b: a != b))


@method("__divmod__")
def _divmod(self: Tracer, other: Any) -> Any:
    if (other := operand(other) if type(other) not in OPERANDS else other) is NotImplemented:
        return NotImplemented
    return self // other, self % other


@method("__rdivmod__")
def _rdivmod(self: Tracer, other: Any) -> Any:
    if (other := operand(other) if type(other) not in OPERANDS else other) is NotImplemented:
        return NotImplemented
    return other // self, other % self


@method("__contains__")
def _contains(self: Tracer, x: Any) -> bool:
    return bool((self == x).any())


# To Python's integers, whose derivative is zero: noted as a read of the value, as int() is ---------------------------


@method("__round__")
def _round(self: Tracer, digits: int | None = None) -> Any:
    if self.shape:
        raise TypeError("type numpy.ndarray doesn't define __round__ method")
    if digits is None or is_weak(self):
        return round(self._read("int"), digits)
    return bind(rounding.round_p, self, decimals=digits)


@method("__floor__")
def _floor(self: Tracer) -> int:
    return math.floor(self._read("int"))


@method("__ceil__")
def _ceil(self: Tracer) -> int:
    return math.ceil(self._read("int"))


@method("__trunc__")
def _trunc(self: Tracer) -> int:
    return math.trunc(self._read("int"))
