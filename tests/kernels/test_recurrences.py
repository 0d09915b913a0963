from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.kernels.recurrences import recur, recurrence

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((7,), 0), ((3, 4, 2), 0), ((3, 4, 2), 1), ((3, 4, 2), 2), ((0, 2), 0)])
def test_recurrence_by_the_kernel_equals_the_loop(
    shape: Any, axis: int, reverse: bool, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, b = (RNG.uniform(-1, 1, shape).astype(dtype) for _ in range(2))
    results = []
    for pays in (False, True):
        monkeypatch.setattr(type(recur), "pays", lambda self, saving, *args: pays)
        results.append(recurrence(x, b, axis, reverse))
    np.testing.assert_allclose(*results, rtol=0, atol=1e-6 if dtype is np.float32 else 1e-15)
    assert results[0].dtype == results[1].dtype == dtype
    for z in results:
        first, second = (np.take(z, k, axis) for k in ((-1, -2) if reverse else (0, 1))) if z.size else (z, z)
        np.testing.assert_array_equal(first, 0 * first)
        if z.size:
            np.testing.assert_array_equal(second, np.take(b, -1 if reverse else 0, axis))
