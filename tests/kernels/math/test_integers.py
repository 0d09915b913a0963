from __future__ import annotations

import numpy as np
import pytest

from funcgrad.kernels.math import integers
from tests.kernels.math.harness import compiled

DTYPES = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def operands(dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Corners with each other, and numbers of every size."""
    info, rng = np.iinfo(dtype), np.random.default_rng(seed)
    numbers = {*range(-4, 8), info.max, info.max - 1, info.min, info.min + 1}
    corners = np.array([number for number in numbers if info.min <= number <= info.max], dtype)
    pairs = [axis.ravel() for axis in np.meshgrid(corners, corners)]
    bits = rng.integers(0, 2**64, (2, 4000), dtype=np.uint64) >> rng.integers(0, 64, (2, 4000), dtype=np.uint64)
    drawn = bits.astype(dtype) * rng.choice([1] if info.min == 0 else [-1, 1], (2, 4000)).astype(dtype)
    x1, x2 = (np.concatenate([a, b]) for a, b in zip(pairs, drawn, strict=True))
    return x1, x2


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "gcd", "lcm"])
def test_kernel_of_integers_is_numpys(name: str, dtype: str, width: int) -> None:
    x1, x2 = operands(dtype)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x1, x2)
    np.testing.assert_array_equal(compiled(getattr(integers, name), dtype, 2, width)(x1, x2), wanted)


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_power_of_integers_is_numpys(dtype: str, width: int) -> None:
    x1, x2 = operands(dtype)
    x2 = np.where(x2 < 0, ~x2, x2)
    np.testing.assert_array_equal(compiled(integers.power, dtype, 2, width)(x1, x2), np.power(x1, x2))
