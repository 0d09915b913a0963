"""The laws of the spec table on every row of the primitives that carry programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgrad.core.avals import get_aval
from funcgrad.core.jaxpr import check_jaxpr
from funcgrad.testing.flat import cotangent_function, directions, tangent_function
from funcgrad.testing.laws import close, pullback_is_adjoint, tangent_equals_differences
from funcgrad.testing.tolerances import VALUE
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.vmap import evaluate_batched
from tests.control.specs import ROWS
from tests.primitives.test_laws import law
from tests.spec import Spec, flat, outputs

CASES = [pytest.param(row, dtype, id=f"{row.name}-{np.dtype(dtype).name}") for row in ROWS for dtype in row.dtypes]


def few(test: Any) -> Any:
    return law(test, max_examples=3)


@pytest.mark.parametrize(("row", "dtype"), CASES)
@few
@given(data=st.data())
def test_program_any_input_equals_numpy(row: Spec, dtype: Any, data: Any) -> None:
    args = data.draw(row.arguments(dtype))
    for a, b in zip(outputs(row.function, args), outputs(row.reference, args), strict=True):
        close(a, b, VALUE)


@pytest.mark.parametrize(("row", "dtype"), CASES)
@few
@given(data=st.data(), seed=st.integers(0, 1000))
def test_program_derivatives_to_second_order_obey_the_laws(row: Spec, dtype: Any, data: Any, seed: int) -> None:
    f, xs = flat(row, data.draw(row.arguments(dtype)))
    rng = np.random.default_rng(seed)
    tangent_equals_differences(f, xs, directions(rng, xs), row.order)
    pullback_is_adjoint(f, xs, rng, row.order)


@pytest.mark.parametrize(("row", "dtype"), CASES)
@few
@given(data=st.data(), seed=st.integers(0, 1000))
def test_program_derivatives_recorded_without_values_equal_eager(row: Spec, dtype: Any, data: Any, seed: int) -> None:
    f, xs = flat(row, data.draw(row.arguments(dtype)))
    rng = np.random.default_rng(seed)
    bent = lambda *us: [y * y + y for y in f(*us)]  # its derivative depends on the results, and on their signs
    forward = tangent_function(bent, directions(rng, xs))
    back = cotangent_function(bent, directions(rng, bent(*xs)))
    for derivative in (forward, back):
        jaxpr = record_abstract("jit", derivative, [get_aval(x) for x in xs])
        check_jaxpr(jaxpr)
        for a, b in zip(evaluate(jaxpr, xs), derivative(*xs), strict=True):
            close(a, b, VALUE)


@pytest.mark.parametrize(("row", "dtype"), CASES)
@few
@given(data=st.data(), seed=st.integers(0, 1000))
def test_program_batched_and_differentiated_is_the_loop(row: Spec, dtype: Any, data: Any, seed: int) -> None:
    f, xs = flat(row, data.draw(row.arguments(dtype)))
    rng = np.random.default_rng(seed)
    dims = [int(rng.integers(0, 2)) - 1 for _ in xs]
    dims[0] = 0
    rows = [
        [x if dim < 0 else (x * (1 - k / 8)).astype(x.dtype) for x, dim in zip(xs, dims, strict=True)] for k in (0, 1)
    ]
    stacked = [rows[0][i] if dim < 0 else np.stack([r[i] for r in rows]) for i, dim in enumerate(dims)]
    back = cotangent_function(f, directions(rng, f(*xs)))
    for g in (f, back):
        jaxpr = record_abstract("vmap", g, [get_aval(x) for x in xs])
        ys, y_dims = evaluate_batched(jaxpr, 2, stacked, [None if dim < 0 else dim for dim in dims])
        for k, own in enumerate(rows):
            for y, dim, expected in zip(ys, y_dims, g(*own), strict=True):
                close(y if dim is None else np.take(y, k, axis=dim), expected, VALUE)
