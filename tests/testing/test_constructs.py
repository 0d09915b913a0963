"""Transformations and control flow obey the laws of derivatives wherever a program can use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.testing import check_grads, check_laws
from funcgrad.testing.programs import BINARY, CONTROLLED, KINKED, TRANSFORMED, UNARY, Operation, Program

SHAPES = [(), (3,), (2, 3), (3, 3)]


def fitting(operation: Operation) -> list[Any]:
    two = "{b}" in operation.text
    return [s for s in SHAPES if (operation.fits(s, s) if two else operation.fits(s))]


def program(operation: Operation, shape: Any) -> Program:
    two = "{b}" in operation.text
    text = operation.text.format(a="x0", b="x1")
    return Program(f"def program(x0{', x1' * two}):\n    return {text}\n", [shape] * (1 + two), smooth=True)


CONSTRUCTS = [
    pytest.param(op, shape, id=f"{op.text}-{shape}") for op in TRANSFORMED + CONTROLLED for shape in fitting(op)
]
LINES = [pytest.param(op, id=op.text) for op in UNARY + BINARY]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("operation", "shape"), CONSTRUCTS)
def test_construct_every_shape_obeys_the_laws(operation: Operation, shape: Any, dtype: Any) -> None:
    p = program(operation, shape)
    laws = ["purity", "differences", "linearity", "adjoint", "chain", "symmetry", "vmap", "linearize", "complex"]
    check_laws(p, p.example(1, dtype), laws)


@pytest.mark.parametrize(("operation", "shape"), CONSTRUCTS[::3])
def test_construct_compiled_is_eager(operation: Operation, shape: Any) -> None:
    p = program(operation, shape)
    check_laws(p, p.example(2), ["jit"])


@pytest.mark.parametrize("operation", LINES)
def test_line_of_a_program_has_a_shape_and_obeys_the_laws(operation: Operation) -> None:
    shape = fitting(operation)[-1]
    p = program(operation, shape)
    check_laws(p, p.example(3), ["differences", "adjoint", "symmetry", "vmap"])


@pytest.mark.parametrize("operation", [pytest.param(op, id=op.text) for op in KINKED])
def test_line_with_a_kink_is_right_away_from_it(operation: Operation) -> None:
    p = program(operation, fitting(operation)[-1])
    assert not check_grads(p, p.example(4)).kinks
