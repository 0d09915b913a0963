"""Reductions, statistics and sorting under vmap, jit and second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad

X = np.random.default_rng(0).permutation(36).reshape(3, 4, 3) / 7 + 0.3
NAMES = (
    *("sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "argmax", "argmin", "cumsum", "cumprod", "ptp"),
    *("median", "sort", "argsort", "nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanmedian"),
    "count_nonzero",
)
FUNCTIONS: dict[str, Any] = {
    **{
        f"{name}-{axis}": lambda x, name=name, axis=axis: getattr(np, name)(x, axis=axis)
        for name in NAMES
        for axis in (None, -1)
    },
    "quantile": lambda x: np.quantile(x, [0.2, 0.7], axis=0),
    "nanquantile": lambda x: np.nanquantile(x, [0.2, 0.7], axis=0),
    "cov": np.cov,
    "corrcoef": np.corrcoef,
    "average": lambda x: np.average(x, axis=1, weights=[1, 2, 3.0]),
    "sum-where": lambda x: np.sum(x, axis=0, where=x > 2, initial=1.0),
    "max-where": lambda x: np.max(x, axis=0, where=x > 2, initial=1.0),
    "partition": lambda x: np.partition(x, 2, axis=0),
    "argpartition": lambda x: np.argpartition(x, 2, axis=0),
    "convolve": lambda x: np.convolve(x[0], x[1]),
    "unwrap": lambda x: np.unwrap(x * 3),
    "searchsorted": lambda x: np.searchsorted(np.sort(x[:, 0]), x[:, 1]),
    "digitize": lambda x: np.digitize(x, [1, 2, 3]),
    "histogram": lambda x: np.histogram(x, 3)[0],
    "histogram-weights": lambda x: np.histogram(x, [0, 2, 5], weights=x**2)[0],
    "bincount": lambda x: np.bincount([0, 1, 1], x[0], 3),
    "lexsort": lambda x: np.lexsort((x[0], x[1])),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, 0),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reduction_under_vmap_and_jit_is_the_loop(name: str) -> None:
    f = FUNCTIONS[name]
    expected = np.stack([f(x) for x in X])
    batched = funcgrad.vmap(f)(X)
    np.testing.assert_allclose(batched, expected, rtol=1e-12)
    assert batched.dtype == expected.dtype
    compiled = funcgrad.jit(f)
    for x, y in zip(X, expected, strict=True):
        np.testing.assert_allclose(compiled(x), y, rtol=1e-13)  # compiled sums add in another order
    if expected.dtype.kind != "f":
        return

    def g(x: Any) -> Any:
        return (f(x) ** 2).sum()

    gradients = np.stack([funcgrad.grad(g)(x) for x in X])
    np.testing.assert_allclose(funcgrad.vmap(funcgrad.grad(g))(X), gradients, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(funcgrad.jit(funcgrad.grad(g))(X[0]), gradients[0], rtol=1e-10, atol=1e-10)
    forward, reverse = funcgrad.jacfwd(funcgrad.grad(g))(X[0]), funcgrad.jacrev(funcgrad.grad(g))(X[0])
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-9)
