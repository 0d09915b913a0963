from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.primitives.sorting import bincount, searchsorted
from tests.compiler.comparison import assert_compiled_equals_eager, compiled


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8])
def test_places_in_sorted_vectors_equal_numpy(dtype: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.sort(rng.integers(-100, 100, size)).astype(dtype)
    v = rng.integers(-120, 120, (5, 9)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        v[0, :3] = np.nan, np.inf, -np.inf
        x[-1:] = np.nan
    assert_compiled_equals_eager(lambda x, v: [searchsorted(x, v), searchsorted(x, v, "right")], x, v)


def test_places_in_rows_and_of_other_dtypes_equal_numpy() -> None:
    x = np.sort(np.random.default_rng(0).standard_normal((4, 10)))
    v = np.arange(-6, 6).reshape(4, 3)
    assert_compiled_equals_eager(lambda x, v: searchsorted(x, v), x, v)
    assert_compiled_equals_eager(lambda x, v: [searchsorted(x[0, :0], v), searchsorted(x[1], v[:0])], x, v)


def test_sums_by_bins_equal_numpy() -> None:
    rng = np.random.default_rng(0)
    bins, weights = rng.integers(0, 7, (3, 50)), rng.standard_normal((3, 50))
    assert_compiled_equals_eager(lambda b, w: [bincount(b, w, 7), bincount(b[0], w[0], 9)], bins, weights)
    _, call = compiled(lambda b, w: bincount(b, w, 7), bins, weights)
    for wrong in (7, -1):
        bins[1, 1] = wrong
        with pytest.raises(RuntimeError):
            call(bins, weights)
