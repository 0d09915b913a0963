"""What loops of unknown length keep in compiled code: it grows, it is found again, and it is given back in any case."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.compiler import runtime
from funcgrad.core.tree import tree_leaves


def repeated(x: Any, count: Any) -> Any:
    """A sum after so many rounds."""
    return np.sum(fg.fori_loop(0, count, lambda i, c: np.sin(c) + x * 1e-3, x))


# Frames of no bytes, of eight, such that some, one or none fits into the workspace, and that each fill a large chunk.
SIZES = [0, 1, 3, 100, 513, 5000, 40000]


@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_a_loop_of_any_length_and_size_equals_eager(size: int) -> None:
    gradient = fg.grad(repeated)
    compiled = fg.jit(gradient, compile="now")
    x = np.random.default_rng(0).normal(size=size)
    for count in (0, 1, 2, 7, 40, 1000 if size < 1000 else 45, 3):
        expected = gradient(x, np.int64(count))
        np.testing.assert_allclose(compiled(x, np.int64(count)), expected, rtol=1e-12, atol=1e-14)
    assert not compiled.explain().programs[0].executable.fallbacks  # type: ignore[attr-defined]


def test_loop_that_keeps_nothing_counts_its_rounds() -> None:
    gradient = fg.grad(lambda x, count: np.sum(fg.fori_loop(0, count, lambda i, c: 0.5 * c + x, x)))
    compiled = fg.jit(gradient, compile="now")
    x = np.ones(3)
    for count in (0, 1, 5, 100000, 2):
        np.testing.assert_allclose(compiled(x, np.int64(count)), gradient(x, np.int64(min(count, 60))), rtol=1e-13)


def test_values_of_every_type_are_kept() -> None:
    def mixed(x: Any, y: Any, count: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            u, v, k = c
            chosen = np.where(u > 0, np.sin(u) * v.mean(), u * k)
            return chosen, np.cos(v) * np.float32(0.5), (k + 1) % 5

        u, v, _ = fg.fori_loop(0, count, body, (x, y, np.int16(2)))
        return np.sum(u) + np.sum(v)

    gradient = fg.grad(mixed, (0, 1))
    compiled = fg.jit(gradient, compile="now")
    x, y = np.linspace(-1, 1, 7), np.linspace(0, 1, 3, dtype=np.float32)
    for count in (0, 3, 300):
        for actual, expected in zip(compiled(x, y, np.int64(count)), gradient(x, y, np.int64(count)), strict=True):
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_threads_have_stacks_of_their_own() -> None:
    gradient = fg.grad(repeated)
    compiled = fg.jit(gradient, compile="now")
    arguments = [(np.full(200, k / 9), np.int64(100 * k)) for k in range(8)]
    expected = [gradient(*pair) for pair in arguments]
    compiled(*arguments[0])
    wrong: list[int] = []

    def run(k: int) -> None:
        for _ in range(20):
            if not np.allclose(compiled(*arguments[k]), expected[k], rtol=1e-12, atol=0):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def nested(x: Any) -> Any:
    """Loops in a branch in a loop in a scan."""

    def step(c: Any, count: Any) -> Any:
        c = fg.while_loop(lambda s: s[0] < count, lambda s: (s[0] + 1, np.sin(s[1]) * 1.1 + x[0]), (0, c))[1]
        c = fg.cond(
            np.sum(c) > 0.3, lambda u: fg.fori_loop(0, count, lambda i, v: np.cos(v) * u, u), lambda u: u * 2, c
        )
        return c, np.sum(c)

    c, sums = fg.scan(step, x, np.arange(6))
    return np.sum(c**2) + np.sum(np.sin(sums))


def shrinking(x: Any) -> Any:
    """A loop in a loop, either as long as it takes."""

    def outer(s: Any) -> Any:
        inner = fg.while_loop(
            lambda t: np.sum(t[1] ** 2) > 0.5, lambda t: (t[0] + 1, t[1] * 0.7 + 0.01 * x), (0, s[1] + 1)
        )
        return s[0] + 1, inner[1] * 1.5

    return np.sum(fg.while_loop(lambda s: s[0] < 5, outer, (0, x))[1] ** 2)


@pytest.mark.parametrize("f", [nested, shrinking], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "transformed", [fg.grad, fg.value_and_grad, fg.hessian, lambda f: fg.jacfwd(fg.hessian(f))], ids=range(4)
)
def test_nested_loops_of_every_order_equal_eager_ones_with_rows_and_without(f: Any, transformed: Any) -> None:
    x = np.array([0.3, -0.2, 0.9])
    rows = np.stack([x, 2 * x, -x])
    for g, argument in ((transformed(f), x), (fg.vmap(transformed(f)), rows)):
        compiled = fg.jit(g, compile="now")
        for actual, expected in zip(tree_leaves(compiled(argument)), tree_leaves(g(argument)), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
        assert not compiled.explain().programs[0].executable.fallbacks


def root(a: Any) -> Any:
    """Newton's square root."""
    return fg.while_loop(lambda x: np.abs(x * x - a) > 1e-12 * a, lambda x: 0.5 * (x + a / x), 1 + 0 * a)


def test_loop_whose_value_is_needed_runs_once_for_value_and_derivative() -> None:
    f = fg.value_and_grad(lambda a: root(a) ** 2)
    loops = fg.jit(f).lower(np.float64(3.0)).as_text("loops")
    assert (loops.count("while:"), loops.count("push"), loops.count("pop")) == (1, 1, 1)
    np.testing.assert_allclose(fg.jit(f, compile="now")(3.0), (3.0, 1.0), rtol=1e-14)


def test_loop_within_a_checkpoint_keeps_nothing_meanwhile() -> None:
    f = fg.grad(lambda a: fg.checkpoint(root)(a) ** 2)
    loops = fg.jit(f).lower(np.float64(3.0)).as_text("loops")
    assert (loops.count("while:"), loops.count("push"), loops.count("pop")) == (2, 1, 1)
    assert loops.index("break") < loops.rindex("while:") < loops.index("push")


def test_pullback_that_is_called_twice_goes_back_twice() -> None:
    def both(a: Any, b: Any) -> Any:
        y, pullback = fg.vjp(root, a)
        return y, pullback(b)[0], pullback(y * b)[0]

    compiled = fg.jit(both, compile="now")
    numbers = np.float64(3.0), np.float64(2.0)
    np.testing.assert_allclose(compiled(*numbers), both(*numbers), rtol=1e-13)
    np.testing.assert_allclose(compiled(*numbers), both(*numbers), rtol=1e-13)


# What ends before its end --------------------------------------------------------------------------------------------


def resident() -> int:
    """The bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def failing(x: Any, end: Any) -> Any:
    """A loop whose index leaves the array after many rounds, if it does not end before."""

    def body(s: Any) -> Any:
        return s[0] + 1, np.sin(s[1]) * x[s[0] // 100]

    return np.sum(fg.while_loop(lambda s: s[0] < end, body, (0, x))[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_index_error_after_many_rounds_is_raised_and_leaks_nothing() -> None:
    compiled = fg.jit(fg.grad(failing), compile="now")
    x = np.ones(19)
    np.testing.assert_allclose(compiled(x, np.int64(1900)), fg.grad(failing)(x, np.int64(1900)), rtol=1e-12)
    with pytest.raises(IndexError):
        compiled(x, np.int64(2000))
    call = compiled.explain().programs[0].executable.call  # type: ignore[attr-defined]
    for limit in (runtime.POOL_BYTES, 0):  # chunks from the pool, and from malloc each time
        runtime.pool_limit.value = limit
        try:
            before = 0
            for k in range(300):
                with pytest.raises(runtime.ProgramError):
                    call(x, np.int64(2000))
                before = resident() if k == 20 else before
            assert resident() - before < 20 << 20  # each call has kept half a megabyte
        finally:
            runtime.pool_limit.value = runtime.POOL_BYTES


_ENDLESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np, funcgrad as fg
f = lambda x: np.sum(fg.while_loop(lambda s: s[0] < 9.0, np.cos, x))
compiled = fg.jit(fg.grad(f)).lower(fg.ShapeDtypeStruct((3,), np.float64)).compile()
print("running", flush=True)
for _ in range(2):
    try:
        compiled(np.ones(3))
    except BaseException as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_endless_loop_that_keeps_its_steps_ends_at_ctrl_c() -> None:
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "running\n"
        for _ in range(2):
            threading.Timer(0.1, process.send_signal, [signal.SIGINT]).start()
            assert process.stdout.readline() == "KeyboardInterrupt\n"
    finally:
        process.kill()
        process.communicate()


_EXHAUSTED = """
import resource
import numpy as np, funcgrad as fg
f = lambda x, n: np.sum(fg.fori_loop(0, n, lambda i, c: np.cos(c), x))
gradient = fg.jit(fg.grad(f), compile="now")
expected = gradient(np.ones(3), np.int64(5))
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))
for _ in range(3):
    try:
        gradient(np.ones(3), np.int64(10**12))
    except MemoryError as error:
        print(error, flush=True)
    assert np.array_equal(gradient(np.ones(3), np.int64(5)), expected)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory")
def test_loop_that_keeps_more_than_there_is_raises_a_memory_error() -> None:
    done = subprocess.run([sys.executable, "-c", _EXHAUSTED], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{runtime.NO_MEMORY_MESSAGE}\n" * 3, done.stderr
