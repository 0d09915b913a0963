"""Scalar functions of compiled code that are a few instructions; the mathematics is in `kernels/math`.

Each takes values of assembly of one element type, or several where its name says so, and gives one.
"""

from __future__ import annotations

from typing import Any

from funcgrad.kernels import assembly
from funcgrad.kernels.assembly import BOOL, Value


def add(x1: Value, x2: Value) -> Value:
    """x1 + x2."""
    return x1 | x2 if x1.element is BOOL else x1 + x2


def subtract(x1: Value, x2: Value) -> Value:
    """x1 - x2."""
    return x1 - x2


def multiply(x1: Value, x2: Value) -> Value:
    """x1 * x2."""
    return x1 & x2 if x1.element is BOOL else x1 * x2


def divide(x1: Value, x2: Value) -> Value:
    """x1 / x2 of floating numbers."""
    return x1 / x2


def negative(x: Value) -> Value:
    """-x."""
    return -x


def select(condition: Value, x1: Value, x2: Value) -> Value:
    """x1 where the condition holds, else x2."""
    return assembly.select(condition, x1, x2)


def less(x1: Value, x2: Value) -> Value:
    """x1 < x2."""
    return x1 < x2


def less_equal(x1: Value, x2: Value) -> Value:
    """x1 <= x2."""
    return x1 <= x2


def greater(x1: Value, x2: Value) -> Value:
    """x1 > x2."""
    return x1 > x2


def greater_equal(x1: Value, x2: Value) -> Value:
    """x1 >= x2."""
    return x1 >= x2


def equal(x1: Value, x2: Value) -> Value:
    """x1 == x2."""
    return x1.equals(x2)


def not_equal(x1: Value, x2: Value) -> Value:
    """x1 != x2."""
    return x1.differs(x2)


def logical_and(x1: Value, x2: Value) -> Value:
    """Both, of truth values."""
    return x1 & x2


def logical_or(x1: Value, x2: Value) -> Value:
    """Either, of truth values."""
    return x1 | x2


def logical_not(x: Value) -> Value:
    """The opposite of a truth value."""
    return ~x


class Convert:
    """A conversion to an element type, as C has it."""

    __slots__ = ("element", "name")

    def __init__(self, element: assembly.Element) -> None:
        self.element = element
        self.name = f"to_{element.name}"

    def __call__(self, x: Value) -> Value:
        """x as the element type."""
        return x.convert(self.element)

    def __eq__(self, other: Any) -> bool:
        return type(other) is Convert and other.element is self.element

    def __hash__(self) -> int:
        return hash(self.element.name)
