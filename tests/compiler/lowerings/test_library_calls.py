"""Calls of BLAS and LAPACK inside loops: each round has its own part of the operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from funcgrad.core.tree import tree_flatten
from tests.compiler.comparison import compiled


def rounds(carry: Any, xs: Any, matrices: Any, vectors: Any, systems: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        x, matrix, vector, system = row
        carry = carry @ x + x.T
        symmetric = system + system.T
        results = (
            carry.sum(),
            matrix @ vector,
            np.linalg.inv(system),
            np.linalg.slogdet(system[:3, :3])[1],
            np.linalg.solve(system, carry[:7, :2]),
            np.cumsum(vector),
            np.linalg.eigvalsh(symmetric),
            np.linalg.cholesky(symmetric),
        )
        return carry, results

    return funcgrad.scan(step, carry, (xs, matrices, vectors, systems))


def operands(singular: bool = False) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    systems = np.eye(7) + 0.1 * rng.standard_normal((6, 7, 7))
    if singular:
        systems[4] = 0.0
    return (
        rng.standard_normal((50, 50)),
        rng.standard_normal((6, 50, 50)) / 8,
        rng.standard_normal((6, 200, 200)) / 20,
        rng.standard_normal((6, 200)),
        systems,
    )


def test_library_calls_in_loops_equal_numpy() -> None:
    program, call = compiled(rounds, *operands())
    assert not program.fallbacks
    for y, z in zip(call(*operands()), tree_flatten(rounds(*operands()))[0], strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-10, atol=1e-12)


def test_failing_library_call_in_a_loop_stops_the_program() -> None:
    _, call = compiled(rounds, *operands())
    with pytest.raises(RuntimeError):
        call(*operands(singular=True))
