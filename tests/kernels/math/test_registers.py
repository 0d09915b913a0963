from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.kernels.math import exponential, hyperbolic, inverse_trigonometric, logarithm, powers, registers
from tests.kernels.math import (
    test_exponential,
    test_hyperbolic,
    test_inverse_trigonometric,
    test_logarithm,
    test_powers,
)
from tests.kernels.math.harness import Compiled, everything, has_avx512, loop_text, mixture, numbers, ulp_errors

# What AVX-512 computes as every other processor does, bit by bit.
SAME = [exponential.exp, exponential.expm1, logarithm.log, logarithm.log2, logarithm.log10, logarithm.log1p]
# What it computes otherwise.
DIFFERENT = [
    exponential.logistic,
    hyperbolic.tanh,
    hyperbolic.asinh,
    hyperbolic.acosh,
    hyperbolic.atanh,
    inverse_trigonometric.atan,
    powers.pow,
    powers.cbrt,
    logarithm.softplus,
]
# And of float32.
SINGLE = [
    logarithm.log,
    logarithm.log2,
    logarithm.log10,
    logarithm.log1p,
    hyperbolic.asinh,
    hyperbolic.acosh,
    hyperbolic.atanh,
]
ROWS_OF = (test_exponential, test_logarithm, test_hyperbolic, test_inverse_trigonometric, test_powers)
MEASURED = {row.kernel: row for tests in ROWS_OF for row in tests.ROWS}
SAMPLES = mixture(everything(), numbers(-750, 750), numbers(-2, 2))


def samples() -> np.ndarray:
    points = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1.0, -1.0, 0.75, 1.5]
    return np.append(SAMPLES(np.random.default_rng(0), 4000, np.dtype(np.float64))[0], points)


@pytest.mark.skipif(not has_avx512(), reason="compares instructions of AVX-512 with others")
@pytest.mark.parametrize("width", [1, 8, 16])
@pytest.mark.parametrize("kernel", SAME, ids=lambda kernel: kernel.name)
def test_kernel_with_and_without_avx512_is_the_same(kernel: Any, width: int) -> None:
    x = samples()
    with_registers, without = (Compiled(kernel, (np.float64,), width, avx512=avx512)(x) for avx512 in (True, False))
    np.testing.assert_array_equal(with_registers, without)


@pytest.mark.parametrize("width", [1, 4, 8])
@pytest.mark.parametrize("kernel", [*SAME, *DIFFERENT], ids=lambda kernel: kernel.name)
def test_kernel_without_avx512_is_within_its_bound(kernel: Any, width: int) -> None:
    row = MEASURED[kernel]
    xs = row.samples(np.random.default_rng(1), 1000, np.dtype(np.float64))
    y = Compiled(kernel, (np.float64,) * row.operands, width, avx512=False)(*xs)
    assert ulp_errors(y, xs, row.reference, row.precision).max() <= row.bound


@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("kernel", SINGLE, ids=lambda kernel: kernel.name)
def test_kernel_of_float32_is_within_its_bound_with_avx512_and_without(kernel: Any, width: int) -> None:
    row = MEASURED[kernel]
    xs = row.samples(np.random.default_rng(1), 1000, np.dtype(np.float32))
    for avx512 in (False, True) if has_avx512() else (False,):
        y = Compiled(kernel, (np.float32,), width, avx512)(*xs)
        assert ulp_errors(y, xs, row.reference, row.precision).max() <= row.bound


@pytest.mark.parametrize("avx512", [False, pytest.param(True, marks=pytest.mark.skipif(not has_avx512(), reason="-"))])
def test_exponent_and_mantissa_make_the_number(avx512: bool) -> None:
    x = np.abs(samples())
    x = x[(x > 0) & (x < np.inf)]
    k, mantissa = (
        Compiled(lambda x, part=part: registers.exponent_and_mantissa(x)[part], (np.float64,), 8, avx512)(x)
        for part in (0, 1)
    )
    assert np.all((mantissa >= 1.0) & (mantissa < 2.0))
    np.testing.assert_array_equal(np.ldexp(mantissa, k.astype(int)), x)


@pytest.mark.parametrize("kernel", [*SAME, *DIFFERENT], ids=lambda kernel: kernel.name)
def test_module_without_avx512_has_none_of_its_instructions(kernel: Any) -> None:
    dtypes = (np.float64,) * MEASURED[kernel].operands
    assert "llvm.x86" not in loop_text(kernel, dtypes, 8, avx512=False)[0]
    assert "llvm.x86" in loop_text(kernel, dtypes, 8, avx512=True)[0]
