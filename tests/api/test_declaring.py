"""Primitives of one's own, of each kind: both modes, second order, batches, jit and printing follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError

X = np.array([0.3, -0.7, 2.0])

softplus = fg.defprimitive("softplus", lambda x: np.logaddexp(x, 0.0), partials=lambda y, x: 1 / (1 + np.exp(-x)))
scaled = fg.defprimitive(
    "scaled",
    lambda x, y, power=1: x**power * y,
    partials=(lambda z, x, y, power=1: power * x ** (power - 1) * y, lambda z, x, y, power=1: x**power),
)
differences = fg.defprimitive(
    "differences", np.diff, transpose=lambda ct, x: np.concatenate([-ct, [0.0]]) + np.concatenate([[0.0], ct])
)
correlation = fg.defprimitive(
    "correlation",
    lambda x, y: np.correlate(x, y, "valid"),
    transposes=(
        lambda ct, x, y: np.convolve(ct, y),
        lambda ct, x, y: np.stack([np.sum(ct * x[i : i + len(ct)]) for i in range(len(y))]),
    ),
)
logdet = fg.defprimitive(
    "logdet", lambda a: np.linalg.slogdet(a)[1], tangents=[lambda a_dot, y, a: np.sum(np.linalg.inv(a).T * a_dot)]
)
rank = fg.defprimitive("rank", lambda x: np.argsort(np.argsort(x)))

CASES: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "elementwise": (softplus, lambda x: np.logaddexp(x, 0.0), (X,)),
    "elementwise_of_two": (scaled, lambda x, y: x * y, (X, np.float64(2.0))),
    "linear": (differences, np.diff, (X,)),
    "multilinear": (
        correlation,
        lambda x, y: np.stack([np.sum(x[i : i + 2] * y) for i in range(2)]),
        (X, np.array([1.0, 2.0])),
    ),
    "nonlinear": (logdet, lambda a: np.linalg.slogdet(a)[1], (np.diag([1.0, 2.0, 3.0]) + 0.1,)),
}


@pytest.mark.parametrize("name", CASES)
def test_declared_kind_has_all_derivatives_and_batches(name: str) -> None:
    f, reference, args = CASES[name]
    total = lambda f: lambda *xs: np.sum(np.sin(f(*xs)))
    for argnum in range(len(args)):
        for derivative in (fg.jacrev, fg.jacfwd):
            expected = derivative(reference, argnum)(*args)
            np.testing.assert_allclose(derivative(f, argnum)(*args), expected, atol=1e-12)
            np.testing.assert_allclose(fg.jit(derivative(f, argnum))(*args), expected, atol=1e-12)
        expected = fg.hessian(total(reference), argnum)(*args)
        np.testing.assert_allclose(fg.hessian(total(f), argnum)(*args), expected, atol=1e-12)
        np.testing.assert_allclose(fg.jacrev(fg.jacfwd(total(f), argnum), argnum)(*args), expected, atol=1e-12)
        rows = [np.stack([x, 2 * x]) for x in args]
        batch = fg.vmap(fg.grad(total(f), argnum))(*rows)
        np.testing.assert_allclose(batch[1], fg.grad(total(reference), argnum)(*[2 * x for x in args]), atol=1e-12)
        one_side = fg.vmap(f, tuple(0 if i == argnum else None for i in range(len(args))))
        mixed = [row if i == argnum else x for i, (row, x) in enumerate(zip(rows, args, strict=True))]
        np.testing.assert_allclose(one_side(*mixed)[0], reference(*args), atol=1e-12)


def test_declared_without_derivative_is_constant() -> None:
    np.testing.assert_array_equal(rank(X), [1, 0, 2])
    np.testing.assert_array_equal(fg.vmap(rank)(np.stack([X, -X])), [[1, 0, 2], [1, 2, 0]])
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(x * rank(x)))(X), [1.0, 0.0, 2.0])


def test_parameters_go_by_keyword_and_are_printed() -> None:
    assert fg.grad(lambda x: scaled(x, 2.0, power=3))(2.0) == 24.0
    assert "scaled[power=3] a 2.0" in str(fg.make_jaxpr(lambda x: scaled(x, 2.0, power=3))(2.0))
    np.testing.assert_allclose(fg.vmap(lambda x: scaled(x, 2.0, power=2))(X), 2 * X**2)
    assert softplus(np.float32(1)).dtype == np.float32


def test_two_kinds_at_once_are_refused() -> None:
    with pytest.raises(ArgumentError, match="more than one kind"):
        fg.defprimitive("f", np.sin, partials=np.cos, tangents=[])
