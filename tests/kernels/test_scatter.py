from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.kernels import scatter

RNG = np.random.default_rng(0)
SIZE = scatter._SMALL + 100

# The shape that is added to, and the index; each selects more elements than np.add.at is used for.
CASES: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "rows": ((50, 8), (RNG.integers(-50, 50, SIZE),)),
    "rows of matrices": ((5, 3, 4), (RNG.integers(-5, 5, SIZE),)),
    "grid of rows": ((50, 8), (RNG.integers(-50, 50, (20, SIZE // 20)),)),
    "pairs": ((50, 8), (RNG.integers(-50, 50, SIZE), RNG.integers(-8, 8, SIZE))),
    "crossed pairs": ((50, 8, 2), (RNG.integers(-50, 50, (SIZE, 1)), RNG.integers(-8, 8, 3))),
    "columns": ((6, 50), (slice(1, 5), RNG.integers(-50, 50, SIZE))),
    "apart": ((6, 5, 50), (RNG.integers(-6, 6, SIZE), slice(None, None, -2), RNG.integers(-50, 50, SIZE))),
    "vector": ((50,), (RNG.integers(-50, 50, SIZE),)),
    "sparse": ((100_000, 8), (RNG.integers(0, 100_000, 100),)),
    "empty rows": ((50, 0), (RNG.integers(0, 50, SIZE),)),
}


def added(x: Any, index: Any, shape: Any) -> Any:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


DTYPES = [np.float64, np.float32, np.complex128, np.complex64, np.float16, np.int64, np.bool_]


@pytest.mark.parametrize(
    ("dtype", "bought"), [*[(t, False) for t in DTYPES], (np.float64, True), (np.complex128, True)]
)
@pytest.mark.parametrize("case", CASES)
def test_scatter_sum_any_index_equals_add_at(dtype: Any, bought: bool, case: str, monkeypatch: Any) -> None:
    shape, index = CASES[case]
    monkeypatch.setattr(type(scatter.add_rows), "pays", lambda self, saving, *args: bought)
    x = RNG.uniform(-1, 1, np.empty(shape)[index].shape).astype(dtype)
    x = x * (1 + 2j) if np.dtype(dtype).kind == "c" else x
    for values in (x.astype(dtype), np.asfortranarray(x.astype(dtype))):
        actual = scatter.scatter_sum(values, index, shape)
        assert actual.dtype == dtype
        tolerance = {"float32": 1e-4, "complex64": 1e-4}.get(np.dtype(dtype).name, 1e-12)
        np.testing.assert_allclose(actual, added(values, index, shape), rtol=0, atol=tolerance)


@pytest.mark.parametrize("bought", [True, False])
@pytest.mark.parametrize("wrong", [50, -51])
def test_scatter_sum_out_of_range_is_numpys_error(wrong: int, bought: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(scatter.add_rows), "pays", lambda self, saving, *args: bought)
    rows = RNG.integers(0, 50, SIZE)
    rows[7] = wrong
    with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis 0 with size 50"):
        scatter.scatter_sum(np.ones((SIZE, 8)), (rows,), (50, 8))


def test_scatter_sum_keeps_nan_and_infinity_in_their_places() -> None:
    x = np.ones((SIZE, 2))
    x[0], x[1] = np.nan, np.inf
    rows = np.arange(SIZE) % 5
    y = scatter.scatter_sum(x, (rows,), (5, 2))
    np.testing.assert_array_equal(y, added(x, (rows,), (5, 2)))
