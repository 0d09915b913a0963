from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from funcgrad.kernels import compiling
from funcgrad.kernels.compiling import Kernel, compiled


def double(y: Any, x: Any) -> None:
    for i in range(x.size):
        y[i] = 2.0 * x[i]


@pytest.fixture
def arrays() -> tuple[Any, Any]:
    return np.zeros(3), np.arange(3.0)


def test_pays_small_savings_stays_with_numpy(arrays: Any) -> None:
    kernel = compiled(double)
    assert not kernel.pays(1e-6, *arrays)


def test_pays_savings_that_add_up_buys_the_kernel(arrays: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = compiled(double)
    monkeypatch.setattr(Kernel, "is_on_disk", lambda self: False)
    monkeypatch.setitem(sys.modules, "numba", sys.modules.get("numba") or __import__("numba"))
    answers = [kernel.pays(compiling.COMPILE_PRICE / 3.5, *arrays) for _ in range(5)]
    assert answers == [False, False, False, True, True]
    kernel(*arrays)
    np.testing.assert_array_equal(arrays[0], 2 * arrays[1])


def test_pays_other_dtypes_are_another_purchase(arrays: Any) -> None:
    kernel = compiled(double)
    assert kernel.pays(10.0, *arrays)
    assert not kernel.pays(1e-6, np.zeros(3, np.float32), np.zeros(3, np.float32))
    assert kernel.pays(1e-6, *arrays)


def test_pays_jit_disabled_stays_with_numpy(arrays: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    kernel = compiled(double)
    assert not kernel.pays(10.0, *arrays)
    kernel(*arrays)
    np.testing.assert_array_equal(arrays[0], 2 * arrays[1])


def test_import_alone_does_not_load_numba() -> None:
    code = "import sys, funcgrad.kernels.compiling; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
