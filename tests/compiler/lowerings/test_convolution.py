from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.primitives.convolution import correlate
from tests.compiler.comparison import assert_compiled_equals_eager

PAIRS = [(1, 1), (5, 3), (3, 5), (4, 4), (70, 9), (9, 70), (2, 64)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("rows", [(), (2, 3)])
@pytest.mark.parametrize(("n1", "n2"), PAIRS)
def test_sliding_products_in_all_modes_equal_numpy(n1: int, n2: int, rows: Any, dtype: Any) -> None:
    rng = np.random.default_rng([n1, n2])
    x1, x2 = ((4 * rng.standard_normal((*rows, n))).astype(dtype) for n in (n1, n2))

    def f(x1: Any, x2: Any) -> Any:
        return [correlate(x1, x2, mode) for mode in ("valid", "same", "full")]

    assert_compiled_equals_eager(f, x1, x2, scale=100.0)


def test_infinities_do_not_meet_the_padding() -> None:
    x1, x2 = np.arange(6.0), np.array([1.0, np.inf, np.nan])
    assert_compiled_equals_eager(lambda a, b: [np.convolve(a, b), np.convolve(b, a, "same")], x1, x2)
