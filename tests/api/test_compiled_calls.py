"""Compiled functions and what they are given: layouts, numbers of all kinds, exceptions, changes around, threads."""

from __future__ import annotations

import copy
import functools
import gc
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
import funcgrad.numpy as fnp

X = np.arange(6.0).reshape(2, 3)


def twice(f: Callable[..., Any], *args: Any) -> list[Any]:
    """The results of a first call, of one that compiles and of one that takes the shortest way."""
    jitted = fg.jit(f)
    return [jitted(*args) for _ in range(3)]


# What is given ------------------------------------------------------------------------------------------------------


def misaligned(x: Any) -> Any:
    y = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "columns first": np.asfortranarray,
    "reversed": lambda x: x[::-1, ::-1],
    "read-only": lambda x: np.broadcast_to(x[:1], x.shape),
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
    "no rows": lambda x: x[:0],
    "no columns": lambda x: x[:, :0],
}


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.int64, np.bool_, np.complex128, np.float16, np.longdouble]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiled_call_takes_every_layout(layout: str, dtype: Any) -> None:
    def f(x: Any) -> Any:
        return x * 2 + x[::-1], np.sum(x, axis=0), x.T

    x = LAYOUTS[layout](X.astype(dtype))
    before = x.copy()
    expected = f(x)
    jitted = fg.jit(f)
    jitted(np.ones_like(X, dtype=dtype, shape=x.shape))
    for results in (jitted(x), jitted(x), jitted(x)):
        for y, z in zip(results, expected, strict=True):
            np.testing.assert_array_equal(y, z)
            assert y.dtype == z.dtype.newbyteorder("=")
            assert y.flags.writeable
            assert y.flags.c_contiguous
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "kind", [lambda x: x.view(np.matrix), np.ma.array, lambda x: x.view(type("Own", (np.ndarray,), {}))]
)
def test_compiled_call_refuses_arrays_of_other_classes(kind: Any) -> None:
    jitted = fg.jit(lambda x: x * 2)
    for _ in range(3):
        jitted(X)
    with pytest.raises(TypeError, match="got an array of class"):
        jitted(kind(X))


@pytest.mark.parametrize(
    "x",
    [
        1,
        -3,
        True,
        1.5,
        -0.0,
        float("nan"),
        1j,
        2**62,
        np.float64(2),
        np.float32(2),
        np.int8(3),
        np.array(2.5),
        np.True_,
    ],
    ids=repr,
)
def test_compiled_call_takes_numbers_of_all_kinds(x: Any) -> None:
    def f(x: Any) -> Any:
        return x * 1, x + np.ones(2, np.float32), abs(x)

    expected = f(x)
    for results in twice(f, x):
        for y, z in zip(results, expected, strict=True):
            np.testing.assert_array_equal(y, z)
            assert np.result_type(y) == np.result_type(z)
            assert isinstance(y, (np.ndarray, np.generic)) == isinstance(z, (np.ndarray, np.generic))


def test_compiled_call_keeps_arguments_and_results_apart() -> None:
    captured, x = np.ones(3), np.zeros(3)

    def f(x: Any, y: Any) -> Any:
        x = x * 1
        x[0] = 5
        y += 1
        return x, y, captured, x, y

    jitted = fg.jit(f)
    for _ in range(4):
        results = jitted(x, x)
        for k, y in enumerate(results):
            for other in (x, captured, *results[:k]):
                assert not np.shares_memory(y, other)
        np.testing.assert_array_equal(results, [[5, 0, 0], [1, 1, 1], [1, 1, 1], [5, 0, 0], [1, 1, 1]])
        for y in results:
            y[:] = 7.0
        np.testing.assert_array_equal([x, captured], [[0, 0, 0], [1, 1, 1]])
    same = fg.jit(lambda x: x + captured)
    for _ in range(3):
        np.testing.assert_array_equal(same(captured), [2, 2, 2])


# What goes wrong ----------------------------------------------------------------------------------------------------

INDEXED: dict[str, Callable[..., Any]] = {
    "gather": lambda x, i: x[i],
    "take": lambda x, i: np.take(x, i),
    "gradient": lambda x, i: fg.grad(lambda x: np.sum(x[i] ** 2))(x),
    "loop": lambda x, i: fg.fori_loop(0, 2, lambda k, c: c + np.take(x, i)[0] * np.take(x, i[1]), 0.0),
    "scan": lambda x, i: fg.scan(lambda c, k: (c + fnp.take(x, k), c), 0.0, i)[0],
    "vmap": lambda x, i: fg.vmap(lambda k: fnp.take(x, k))(i),
    "along axis": lambda x, i: np.take_along_axis(x, i, 0),
}


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("bad", [[0, 7], [-4, 0]], ids=str)
def test_compiled_index_out_of_bounds_raises_as_numpy_does(name: str, bad: list[int]) -> None:
    f, x, i = INDEXED[name], np.arange(3.0), np.array([0, -1])
    jitted = fg.jit(f)
    jitted(x, i)
    jitted(x, i)
    with pytest.raises(IndexError) as expected:
        f(x, np.array(bad))
    for _ in range(2):
        with pytest.raises(IndexError) as raised:
            jitted(x, np.array(bad))
        assert str(raised.value) == str(expected.value)
        np.testing.assert_array_equal(jitted(x, i), f(x, i))


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.inv,
        np.linalg.cholesky,
        lambda a: np.linalg.solve(a, a[0]),
        lambda a: fg.scan(lambda c, x: (np.linalg.solve(a, x) + c, x), a[0], a)[0],
        lambda a: fg.cond(a[0, 0] > 5, np.negative, np.linalg.inv, a),
    ],
    ids=["inv", "cholesky", "solve", "scan", "cond"],
)
def test_compiled_singular_matrix_raises_as_numpy_does(f: Any) -> None:
    good, bad = np.eye(3) * 2, -np.ones((3, 3))
    jitted = fg.jit(f)
    for _ in range(2):
        np.testing.assert_allclose(jitted(good), f(good))
    with pytest.raises(np.linalg.LinAlgError) as expected:
        f(bad)
    with pytest.raises(np.linalg.LinAlgError) as raised:
        jitted(bad)
    assert str(raised.value) == str(expected.value)


_ENDLESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np, funcgrad as fg
jitted = fg.jit(lambda x: fg.while_loop(lambda s: s[0] < 9.0, np.cos, x))
jitted.lower(fg.ShapeDtypeStruct((3,), np.float64)).compile()
print("running", flush=True)
try:
    jitted(np.ones(3))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_compiled_endless_loop_ends_at_ctrl_c() -> None:
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    threading.Timer(0.3, process.send_signal, [signal.SIGINT]).start()
    try:
        assert process.communicate(timeout=20)[0] == "interrupted\n"
    finally:
        process.kill()


# What changes around ------------------------------------------------------------------------------------------------


class Part:
    def __init__(self) -> None:
        self.array, self.factor, self.part = np.ones(3), 2.0, None

    def apply(self, x: Any) -> Any:
        return x * self.array * self.factor


Change = tuple[Callable[[Any], Any], list[Callable[[], Any]]]


def changes() -> list[Change]:
    """Functions, and what changes what they give."""
    array, elements, table, thing, nested = np.ones(3), [np.ones(3), 2.0], {"k": {"factor": 3}}, Part(), Part()
    nested.part = Part()  # type: ignore[assignment]
    return [
        (lambda x: x * array, [lambda: array.__setitem__(0, 5.0), lambda: array.fill(2.0)]),
        (
            lambda x: x * elements[0] * elements[1],
            [lambda: elements.__setitem__(1, 9.0), lambda: elements[0].fill(3.0)],
        ),  # type: ignore[union-attr]
        (lambda x: x * elements[0], [lambda: elements.__setitem__(0, np.full(3, 7.0))]),
        (
            lambda x: x * table["k"]["factor"],
            [lambda: table["k"].update(factor=4), lambda: table.update(k={"factor": 8})],
        ),
        (lambda x: thing.apply(x), [lambda: setattr(thing, "factor", 4.0), lambda: thing.array.fill(3.0)]),
        (thing.apply, [lambda: setattr(thing, "array", np.zeros(3))]),
        (
            lambda x: nested.part.apply(x),
            [lambda: setattr(nested.part, "factor", 4.0), lambda: setattr(nested, "part", thing)],
        ),  # type: ignore[attr-defined]
        (functools.partial(lambda a, x: a * x, array), [lambda: array.fill(6.0)]),
    ]


WAYS: dict[str, Callable[[Any], Any]] = {
    "jit": fg.jit,
    "jit of jit": lambda f: fg.jit(fg.jit(f)),
    "vmap of jit": lambda f: lambda x: fg.vmap(fg.jit(f))(np.stack([x, x]))[1],
    "jit in a function": lambda f: (lambda inner: fg.jit(lambda x: inner(x) * 1.0))(fg.jit(f)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(8))
def test_compiled_function_sees_what_changes_around(way: str, number: int) -> None:
    f, happenings = changes()[number]
    x = np.arange(3.0)
    jitted = WAYS[way](f)
    for happening in (lambda: None, *happenings):
        happening()
        for _ in range(3):
            np.testing.assert_array_equal(jitted(x), f(x))


def test_compiled_recursion_is_right() -> None:
    def power(n: int, x: Any) -> Any:
        return x if n == 0 else fg.jit(lambda u: power(n - 1, u * 2.0))(x)

    for y in twice(lambda x: power(5, x), X):
        np.testing.assert_array_equal(y, X * 32)


def loss(x: Any) -> Any:
    return np.sum(np.tanh(x) * 2.0)


gradient = fg.jit(fg.grad(fg.jit(loss)))


def test_compiled_function_is_copied_and_pickled_without_its_programs() -> None:
    expected = 2.0 / np.cosh(X) ** 2
    for f in (gradient, copy.deepcopy(gradient), pickle.loads(pickle.dumps(gradient))):
        for _ in range(3):
            np.testing.assert_allclose(f(X), expected)


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
def test_compiled_function_runs_in_other_processes(method: str) -> None:
    for _ in range(3):
        gradient(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
        with multiprocessing.get_context(method).Pool(2) as pool:
            results = pool.map(gradient, [X, X + 1, X + 2])
    for k, y in enumerate(results):
        np.testing.assert_allclose(y, 2.0 / np.cosh(X + k) ** 2)


# Threads and memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 6])
def test_eight_threads_call_compiled_functions_from_the_first_call_on(count: int) -> None:
    functions = [fg.jit(lambda x, k=k: np.cos(x) * k + np.sum(x)) for k in range(count)]  # type: ignore[misc]
    barrier, wrong = threading.Barrier(8), []

    def work(number: int) -> None:
        barrier.wait()
        for i in range(60):
            k = (number + i) % count
            x = np.full(3 + i % 3, number + 0.01 * i)
            if not np.allclose(functions[k](x), np.cos(x) * k + np.sum(x), rtol=1e-13):
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compiled_functions_that_are_dropped_leave_nothing() -> None:
    def kept(k: int) -> list[Any]:
        jitted = fg.jit(lambda x: x * k + np.sin(x))
        jitted(X)
        jitted(X)
        return [weakref.ref(jitted), weakref.ref(jitted.explain().programs[0].executable)]  # type: ignore[attr-defined]

    references = [reference for k in range(5) for reference in kept(k)]
    gc.collect()
    assert not any(reference() for reference in references)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_many_programs_take_bounded_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def compile_some(count: int) -> None:
        for k in range(count):
            jitted = fg.jit(lambda x, k=k: x * (k + 0.5) - k)  # type: ignore[misc]
            jitted(X)
            jitted(X)
        gc.collect()

    compile_some(40)
    before = resident()
    compile_some(120)
    assert resident() - before < 120 * 60_000


def test_one_function_keeps_a_bounded_number_of_programs() -> None:
    jitted = fg.jit(lambda x, n: x * n, static_argnums=1)
    for n in range(300):
        jitted(1.0, n)
    assert len(jitted.explain().programs) <= 256  # type: ignore[attr-defined]
