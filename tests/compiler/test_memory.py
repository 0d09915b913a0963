"""Where temporaries and results are: recycled blocks, aligned and bounded; stores past the cache; memory in turn."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad
from funcgrad.compiler import recycling, runtime, streaming, workspaces
from tests.compiler.programs import array, copying, native_function

ELEMENTS = recycling.LARGE // 8
handler_name: Callable[..., str | None] = np._core.multiarray.get_handler_name  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    gc.collect()
    workspaces.clear()
    yield
    gc.collect()
    workspaces.clear()


def doubled(n: int = ELEMENTS) -> tuple[Callable[[Any], Any], Any]:
    """A compiled function with a large result, and its argument."""
    x = np.linspace(-1, 1, n)
    f = funcgrad.jit(lambda x: 2 * x, compile="now")
    f(x)
    return f, x


def kept() -> int:
    """The bytes that the pool keeps, as it counts them and as its blocks have them."""
    blocks = [runtime.address("fg_bytes") and _bytes(slot) for slot, block in enumerate(runtime.pool) if block]
    assert sum(blocks) == runtime.POOL_BYTES - runtime.pool_room.value
    return sum(blocks)


def _bytes(slot: int) -> int:
    number = slot // runtime.POOL_SLOTS
    return (number % 4 + 5) << (number // 4 + 11)


# Blocks


@given(st.integers(0, 1 << 36))
def test_block_holds_what_is_asked_for_and_little_more(size: int) -> None:
    slot, found = workspaces.block(size)
    assert found >= size + workspaces.ALIGNMENT
    if slot < 0:
        assert found > 1 << 34
    else:
        assert slot % runtime.POOL_SLOTS == 0
        assert _bytes(slot) == found
        assert found <= max(1.25 * (size + workspaces.ALIGNMENT), 1 << 14)


# Results


def test_large_result_is_an_array_like_any_other() -> None:
    f, x = doubled()
    y = f(x)
    assert y.flags.owndata
    assert y.flags.writeable
    assert y.base is None
    assert y.ctypes.data % 64 == 0
    assert handler_name(y) == "funcgrad"
    assert handler_name() == "default_allocator"
    np.testing.assert_array_equal(y, 2 * x)


def test_small_result_is_numpys() -> None:
    f, x = doubled(ELEMENTS - 1)
    assert handler_name(f(x)) == "default_allocator"


def test_memory_of_a_dropped_result_is_used_again() -> None:
    f, x = doubled()
    places = {f(x).ctypes.data for _ in range(10)}
    assert len(places) == 1
    first, second = f(x), f(x)
    assert first.ctypes.data != second.ctypes.data


def test_clear_caches_frees_what_is_kept_and_no_array() -> None:
    f, x = doubled()
    arrays = [f(x) for _ in range(3)]
    f(x)
    assert kept() > 0
    funcgrad.clear_caches()
    assert kept() == 0
    for y in arrays:
        np.testing.assert_array_equal(y, 2 * x)
    del arrays, y
    assert kept() > 0


def test_result_outlives_its_program() -> None:
    f, x = doubled()
    y = f(x)
    program = weakref.ref(f)
    del f
    funcgrad.clear_caches()
    gc.collect()
    assert program() is None
    np.testing.assert_array_equal(y, 2 * x)


@pytest.mark.parametrize("factor", [0.001, 0.4, 0.9, 1.0, 1.1, 3.0])
def test_large_result_can_be_resized(factor: float) -> None:
    f, x = doubled()
    y, n = f(x), int(factor * ELEMENTS)
    expected = np.zeros(n)
    expected[: x.size] = 2 * x[:n]
    y.resize(n, refcheck=False)
    np.testing.assert_array_equal(y, expected)
    assert handler_name(y) == "funcgrad"


def test_pool_is_bounded_and_makes_room_for_other_sizes() -> None:
    limit = 8 << 20
    runtime.pool_room.value = runtime.pool_limit.value = limit
    try:
        for n in range(ELEMENTS, 20 * ELEMENTS, ELEMENTS):
            f, x = doubled(n)
            for _ in range(3):
                arrays = [f(x) for _ in range(6)]
                del arrays
                assert 0 <= runtime.pool_room.value <= limit
            y = f(x)
            place = y.ctypes.data
            del y
            assert x.nbytes > limit - 1000 or f(x).ctypes.data == place
    finally:
        workspaces.clear()
        assert runtime.pool_room.value == limit
        runtime.pool_room.value = runtime.pool_limit.value = runtime.POOL_BYTES


def test_results_of_many_threads_are_apart() -> None:
    f, x = doubled()
    start = threading.Barrier(8)

    def work(k: int) -> bool:
        start.wait()
        good = True
        for _ in range(40):
            ys = [f(x + k + j) for j in range(2)]
            good &= all(bool((y == 2 * (x + k + j)).all()) for j, y in enumerate(ys))
        return good

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert 0 <= kept() <= runtime.POOL_BYTES


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_child_of_a_fork_has_a_pool_of_its_own() -> None:
    f, x = doubled()
    mine = f(x)
    f(x)
    child = os.fork()
    if not child:
        code = 1
        try:
            y, z = f(x), f(x + 1)
            mine[:] = 0
            funcgrad.clear_caches()
            code = 0 if (y == 2 * x).all() and (z == 2 * (x + 1)).all() and not any(runtime.pool) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(mine, 2 * x)
    np.testing.assert_array_equal(f(x), 2 * x)


AT_EXIT = """
import atexit, sys
import numpy as np, funcgrad
f = funcgrad.jit(lambda x: 2 * x, compile="now")
x = np.ones(1_000_000)
class Last:
    def __init__(self, y):
        self.y = y
    def __del__(self):
        self.y[:] = 1
        self.y.resize(2_000_000, refcheck=False)
sys.kept = [f(x), Last(f(x))]
sys.kept.append(sys.kept)
atexit.register(lambda y=f(x): print(y.sum()))
"""


def test_arrays_may_be_freed_after_all_else() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2000000.0\n", "")


def test_pool_has_the_size_that_the_environment_says() -> None:
    code = "from funcgrad.compiler import runtime; print(runtime.POOL_BYTES)"
    for said, expected in (("0", 0), ("3", 3 << 20), ("many", runtime.pool_bytes())):
        environment = os.environ | {"FUNCGRAD_POOL_MEGABYTES": said}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert int(done.stdout) == expected


def test_users_own_handler_is_used() -> None:
    f, x = doubled()
    found = []

    def work() -> None:
        theirs = recycling.handler()  # any that is not the default one
        set_handler = _set_handler()
        old = set_handler(theirs)
        try:
            found.append(handler_name(np.empty(3)))
            found.append(handler_name(f(x)))
        finally:
            set_handler(old)
        found.append(handler_name(np.empty(3)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["funcgrad", "funcgrad", "default_allocator"]


def _set_handler() -> Callable[[int], int]:
    return ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(runtime.address("PyDataMem_SetHandler"))


def test_results_too_large_for_memory_raise_memory_error() -> None:
    function = native_function(copying([]), [], [array(1 << 58)])
    with pytest.raises(MemoryError):
        function()


# Stores past the cache


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8])
@pytest.mark.parametrize("extra", [0, 7, 17])
@pytest.mark.parametrize("aligned", [False, True])
def test_streamed_results_are_numpys(dtype: Any, extra: int, aligned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE", "off")
    monkeypatch.setattr(streaming, "LARGE", 0)
    monkeypatch.setattr(recycling, "LARGE", 0 if aligned else 1 << 60)
    x = np.arange(4096 + extra).astype(dtype)
    y = x[::-1].copy()
    f = funcgrad.jit(lambda x, y: (x + y, x - y, (x * y).reshape(-1, 1)), compile="now")
    for got, expected in zip(f(x, y), (x + y, x - y, (x * y).reshape(-1, 1)), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif(not streaming.HAS_STREAMS, reason="no such stores")
def test_stores_are_streamed_only_of_large_results() -> None:
    def llvm(n: int) -> str:
        lowered = funcgrad.jit(lambda x: x + 1).lower(np.ones(n))
        return lowered.as_text("llvm")

    assert "!nontemporal" in llvm(streaming.LARGE // 8)
    assert "sfence" in llvm(streaming.LARGE // 8)
    assert "!nontemporal" not in llvm(streaming.LARGE // 8 - 1)


@pytest.mark.parametrize("rows", [3, 8])
@pytest.mark.parametrize("columns", [16, 24, 4000, 4001])
def test_streamed_matrices_are_numpys(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE", "off")
    monkeypatch.setattr(streaming, "LARGE", 0)
    x = np.arange(rows * columns, dtype=float).reshape(rows, columns)
    b = np.arange(columns, dtype=float)

    def f(x: Any, b: Any) -> Any:
        return x + b, np.concatenate([x, 2 * x], axis=1), x.T + 1, np.concatenate([b[1:], b])

    for got, expected in zip(funcgrad.jit(f, compile="now")(x, b), f(x, b), strict=True):
        np.testing.assert_array_equal(got, expected)


# Memory in turn


def test_chain_of_products_takes_the_memory_of_what_it_no_longer_needs() -> None:
    n = 100

    def f(x: Any) -> Any:
        for _ in range(6):
            x = np.tanh(x @ x) + 1
        return x.sum()

    lowered = funcgrad.jit(f).lower(np.ones((n, n)))
    assert lowered._program.stages().workspace <= 2 * 8 * n * n + 4096


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["tanh", "transpose", "matmul", "flip", "add", "mean", "keep", "roll"]), max_size=12))
def test_random_chains_give_what_numpy_gives(names: list[str]) -> None:
    def f(x: Any) -> Any:
        y, found = x, []
        for name in names:
            if name == "tanh":
                y = np.tanh(y @ x) * y
            elif name == "transpose":
                y = y.T + (y @ x)
            elif name == "matmul":
                y = y @ x
            elif name == "flip":
                y = y[::-1] - y
            elif name == "add":
                y = y + y @ x
            elif name == "mean":
                y = y - y.mean(axis=1, keepdims=True)
            elif name == "keep":
                found.append(y.sum(axis=0))
            else:
                y = np.roll(y, 1, axis=0) + 2 * y
        return y, found

    x = np.random.default_rng(0).normal(size=(12, 12)) / 4
    got, sums = funcgrad.jit(f, compile="now")(x)
    expected, expected_sums = f(x)
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)
    for one, other in zip(sums, expected_sums, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
