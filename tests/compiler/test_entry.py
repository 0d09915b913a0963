"""Entries: what they accept, what they refuse, what comes out, and that nothing is lost on the way."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcgrad.compiler import entry, runtime, workspaces
from funcgrad.compiler.entry import Argument
from tests.compiler.programs import (
    BOOL,
    C128,
    F64,
    I64,
    Maker,
    array,
    copying,
    library,
    native_function,
    number,
    pointer,
    portable_function,
    program,
    scalar,
)

BOTH = pytest.mark.parametrize("make", [native_function, portable_function], ids=["native", "portable"])
DTYPES = [np.dtype(code) for code in "?bBhHilLqQefdFDgG"]


def identity(make: Maker, *members: Argument) -> Callable[..., Any]:
    return make(copying(members), members, members)


def test_layout_is_as_entries_expect() -> None:
    assert entry.layout_is_known()


def test_entry_of_unknown_layout_does_without_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(entry, "layout_is_known", lambda: False)
    members = [array(2, 3), scalar(np.float32), number(I64), array(dtype=BOOL)]
    function = identity(native_function, *members)
    assert function.__class__.__name__ == "function"
    x = np.arange(6.0).reshape(2, 3)
    got = function(x, np.float32(2), 3, np.array(True))
    np.testing.assert_array_equal(got[0], x)
    assert got[1:] == (2, 3, True)
    assert function(x.T, np.float32(2), 3, np.array(True)) is NotImplemented


# What comes out


@BOTH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_entry_every_dtype_and_rank_passes(make: Maker, dtype: np.dtype[Any]) -> None:
    for shape in ((), (1,), (3,), (0,), (2, 0, 3), (2, 3), (2, 1, 3, 1)):
        x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        y = identity(make, array(*shape, dtype=dtype))(x)
        assert type(y) is np.ndarray
        assert y.dtype == dtype
        assert y.flags.owndata
        assert y.flags.writeable
        np.testing.assert_array_equal(x, y, strict=True)
    x = dtype.type(1)
    y = identity(make, scalar(dtype))(x)
    assert type(y) is type(x)
    assert y == x


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_entry_any_arrays_pass_bit_for_bit(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4), max_size=4))
    arrays = [data.draw(hnp.arrays(data.draw(st.sampled_from(DTYPES[:13])), shape)) for shape in shapes]
    members = [array(*x.shape, dtype=x.dtype) for x in arrays]
    got = identity(native_function, *members)(*arrays)
    assert [y.tobytes() for y in (got if len(arrays) != 1 else [got])] == [x.tobytes() for x in arrays]


@BOTH
@pytest.mark.parametrize(
    "value",
    [True, False, 0, 7, -(2**63), 2**63 - 1, 0.0, -0.0, 1.5, float("inf"), 5e-324, 2 - 3j, complex(0.0, -0.0)],
    ids=repr,
)
def test_entry_python_numbers_stay_python_numbers(make: Maker, value: Any) -> None:
    dtype = np.dtype(type(value))
    got = identity(make, number(dtype))(value)
    assert type(got) is type(value)
    assert repr(got) == repr(value)


@BOTH
def test_entry_unsigned_result_beyond_signed_range_is_a_python_int(make: Maker) -> None:
    function = make(copying([array(dtype=np.uint64)]), [array(dtype=np.uint64)], [number(np.uint64)])
    assert function(np.uint64(2**64 - 1)) == 2**64 - 1


@BOTH
def test_entry_results_are_a_tuple_unless_there_is_one(make: Maker) -> None:
    assert identity(make)() == ()
    assert identity(make, number())(2.0) == 2.0
    got = identity(make, number(), array(2), scalar(C128), number(BOOL))(2.0, np.ones(2), np.complex128(1j), True)
    assert type(got) is tuple
    assert [type(x) for x in got] == [float, np.ndarray, np.complex128, bool]


def test_entry_takes_and_gives_hundreds() -> None:
    members = [array(3), number(I64), scalar()] * 60
    values = [x for k in range(60) for x in (np.full(3, float(k)), k, np.float64(k))]
    got = identity(native_function, *members)(*values)
    assert all(np.array_equal(x, y) and type(x) is type(y) for x, y in zip(got, values, strict=True))


@BOTH
@pytest.mark.parametrize("member", [array(), scalar()], ids=["array", "scalar"])
def test_entry_without_axes_takes_scalars_and_arrays(make: Maker, member: Argument) -> None:
    function = identity(make, member)
    for x in (np.float64(2.5), np.array(2.5), np.arange(5.0)[3:4].reshape(())):
        assert function(x) == x
        assert type(function(x)) is (np.ndarray if member.kind == "array" else np.float64)


@BOTH
def test_entry_numpy_truth_values_are_the_two_that_there_are(make: Maker) -> None:
    function = identity(make, scalar(BOOL))
    assert function(np.True_) is np.True_
    assert function(np.array(False)) is np.False_


# What is accepted and refused


def misaligned(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    shifted = memory[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


class Subclass(np.ndarray[Any, Any]):
    pass


REFUSED = {
    "shape": np.zeros((3, 2)),
    "rank": np.zeros(6),
    "more axes": np.zeros((1, 2, 3)),
    "dtype": np.zeros((2, 3), np.float32),
    "same size": np.zeros((2, 3), np.int64),
    "byte order": np.zeros((2, 3), np.dtype(float).newbyteorder()),
    "columns first": np.zeros((2, 3), order="F"),
    "strides": np.zeros((2, 6))[:, ::2],
    "negative strides": np.zeros((2, 3))[::-1],
    "broadcast": np.broadcast_to(0.0, (2, 3)),
    "misaligned": misaligned(np.zeros((2, 3))),
    "subclass": np.zeros((2, 3)).view(Subclass),
    "masked": np.ma.zeros((2, 3)),
    "objects": np.zeros((2, 3), object),
    "fields": np.zeros((2, 3), [("a", float)]),
    "dates": np.zeros((2, 3), "M8[s]"),
    "text": np.zeros((2, 3), "U2"),
    "list": [[0.0] * 3] * 2,
    "scalar": np.float64(1),
    "number": 1.0,
    "none": None,
    "type": np.ndarray,
}


@BOTH
@pytest.mark.parametrize("name", REFUSED)
def test_entry_other_arrays_are_refused(make: Maker, name: str) -> None:
    x = REFUSED[name]
    function = identity(make, array(2, 3), array(2, 3))
    fits = np.ones((2, 3))
    assert function(x, fits) is NotImplemented
    assert function(fits, x) is NotImplemented


@BOTH
def test_entry_fitting_arrays_of_any_make_are_accepted(make: Maker) -> None:
    function = identity(make, array(2, 3))
    frozen = np.ones((2, 3))
    frozen.flags.writeable = False
    renewed = np.ones((2, 3), np.dtype(float).newbyteorder().newbyteorder())
    described = np.ones((2, 3), np.dtype(float, metadata={"unit": "m"}))
    for x in (frozen, renewed, described, np.ones((4, 3))[1:3], np.ones((2, 1, 3))[:, 0], np.ones((3, 2)).T.copy("C")):
        np.testing.assert_array_equal(function(x), x)


@BOTH
@pytest.mark.parametrize(
    ("member", "values"),
    [
        (number(F64), [1, True, 1j, np.float64(1), np.array(1.0), "1", None]),
        (number(I64), [1.0, True, 2**63, -(2**63) - 1, 10**30, np.int64(1), None]),
        (number(BOOL), [1, 0, np.True_, None, 1.0]),
        (number(C128), [1.0, 1, np.complex128(1), None]),
        (scalar(F64), [1.0, 1, np.float32(1), np.int64(1), np.ones(1), np.array(1, np.float32), None]),
        (scalar(np.longlong), [np.array(1, np.int8), 1, np.bool_(1)]),
    ],
    ids=str,
)
def test_entry_other_numbers_are_refused(make: Maker, member: Argument, values: list[Any]) -> None:
    function = identity(make, member)
    for value in values:
        assert function(value) is NotImplemented


class Whole(int):
    pass


class Real(float):
    pass


@BOTH
def test_entry_numbers_of_subclasses_are_refused(make: Maker) -> None:
    assert identity(make, number(I64))(Whole(1)) is NotImplemented
    assert identity(make, number(F64))(Real(1)) is NotImplemented


@BOTH
def test_entry_wrong_number_of_arguments_is_refused(make: Maker) -> None:
    function = identity(make, number())
    assert function() is NotImplemented
    assert function(1.0, 2.0) is NotImplemented
    with pytest.raises(TypeError, match="keyword"):
        function(x=1.0)


@pytest.mark.parametrize("dtype", [">f8", object, "M8[s]", "U3"])
def test_entry_of_other_dtypes_is_not_made(dtype: Any) -> None:
    with pytest.raises(TypeError, match="native numbers"):
        entry.entry_text([array(3, dtype=dtype)], [])


def test_entry_refusal_leaves_no_exception_behind() -> None:
    function = identity(native_function, number(I64))
    for _ in range(10):
        assert function(10**30) is NotImplemented


# When something goes wrong

STOPPING = [array(3), scalar(), number(), array()]


@BOTH
@pytest.mark.parametrize("workspace", [0, 100, 100_000])
@pytest.mark.parametrize("release_gil", [False, True])
def test_entry_status_raises_and_drops_the_results(make: Maker, workspace: int, release_gil: bool) -> None:
    function = make(program(status="7"), STOPPING, STOPPING, workspace, release_gil)
    arguments = np.ones(3), np.float64(1), 1.0, np.array(1.0)
    for _ in range(3):
        with pytest.raises(runtime.ProgramError) as caught:
            function(*arguments)
        assert caught.value.args == (7,)

    def stop() -> None:
        with contextlib.suppress(runtime.ProgramError):
            function(*arguments)

    assert flat_memory(stop, 2000)


@BOTH
def test_entry_negative_status_keeps_its_sign(make: Maker) -> None:
    with pytest.raises(runtime.ProgramError) as caught:
        make(program(status="-1"), [], [])()
    assert caught.value.args == (runtime.FALLBACK_FAILED,)


@BOTH
def test_entry_results_too_large_for_memory_raise(make: Maker) -> None:
    function = make(program(), [], [array(3), array(1 << 44), array(3)])
    for _ in range(3):
        with pytest.raises(MemoryError):
            function()


@BOTH
def test_entry_workspace_too_large_for_memory_raises(make: Maker) -> None:
    function = make(program(), [], [array(3)], 1 << 46)
    for _ in range(3):
        with pytest.raises(MemoryError):
            function()


# Memory


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def flat_memory(call: Callable[[], Any], count: int) -> bool:
    """Whether memory grows by less than two bytes a call."""
    for _ in range(count // 10):
        call()
    gc.collect()
    before = resident()
    for _ in range(count):
        call()
    return resident() - before < max(2 * count, 600_000)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_entry_a_million_calls_leave_memory_flat() -> None:
    members = [array(3), scalar(), number(), array(), number(I64), number(C128), scalar(BOOL)]
    function = identity(native_function, *members)
    x = np.ones(3), np.float64(1), 1.5, np.array(1.0), 10**12, 1j, np.True_
    assert flat_memory(lambda: function(*x), 400_000)
    assert flat_memory(lambda: function(*x[:-1], 1), 400_000)  # refused
    one = identity(native_function, array(100))
    assert flat_memory(lambda: one(np.ones(100)), 400_000)


def test_entry_arguments_results_and_constants_keep_their_reference_counts() -> None:
    members = [array(3), scalar(), number(), scalar(BOOL)]
    function = identity(native_function, *members)
    arguments = [np.ones(3), np.float64(1), 1.5e300, np.True_]
    watched = [*arguments, NotImplemented, np.dtype(float), np.ndarray, np.float64, runtime.ProgramError]
    before = [sys.getrefcount(x) for x in watched]
    for _ in range(1000):
        function(*arguments)
        function(*arguments[:2])
    assert [sys.getrefcount(x) for x in watched] == before
    x, y, z, _ = function(*arguments)
    made = np.ones(3)
    assert [sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount(z)] == [sys.getrefcount(made)] * 3


def test_entry_lives_as_long_as_its_function_and_no_longer() -> None:
    loaded = library(copying([array(2)]) + entry.entry_text([array(2)], [array(2)]))
    function, alive = entry.bind_entry(loaded), weakref.ref(loaded)
    del loaded
    gc.collect()
    np.testing.assert_array_equal(function(np.ones(2)), np.ones(2))
    assert alive() is not None
    del function
    gc.collect()
    assert alive() is None


# Workspaces

SIZES = [1, 64, 1000, workspaces.ON_STACK, workspaces.ON_STACK + 1, 100_000, 5_000_000]


def workspace_program(size: int) -> str:
    """A program that gives its workspace's address, and fills it."""
    return "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n" + program(
        *pointer("%y", "outputs", 0),
        "%number = ptrtoint ptr %workspace to i64",
        "store i64 %number, ptr %y",
        f"call void @llvm.memset.p0.i64(ptr %workspace, i8 -1, i64 {size}, i1 false)",
    )


@BOTH
@pytest.mark.parametrize("size", SIZES)
def test_workspace_is_aligned_and_writable(make: Maker, size: int) -> None:
    function = make(workspace_program(size), [], [number(I64)], size)
    for _ in range(3):
        assert function() % workspaces.ALIGNMENT == 0


def test_workspace_large_one_is_used_again_until_cleared() -> None:
    function = native_function(workspace_program(3_000_000), [], [number(I64)], 3_000_000)
    first = function()
    assert [function() for _ in range(5)] == [first] * 5
    assert runtime.pool_room.value < runtime.POOL_BYTES
    workspaces.clear()
    assert not any(runtime.pool)
    assert runtime.pool_room.value == runtime.POOL_BYTES
    workspaces.clear()
    assert function() % workspaces.ALIGNMENT == 0


def test_workspace_beyond_the_pools_bound_is_given_back(monkeypatch: Any) -> None:
    workspaces.clear()
    runtime.pool_room.value = 1_000_000
    try:
        native_function(workspace_program(3_000_000), [], [number(I64)], 3_000_000)()
        assert not any(runtime.pool)
        assert runtime.pool_room.value == 1_000_000
        native_function(workspace_program(300_000), [], [number(I64)], 300_000)()
        assert sum(map(bool, runtime.pool)) == 1
    finally:
        workspaces.clear()
        runtime.pool_room.value = runtime.POOL_BYTES


def test_workspace_each_of_many_threads_has_its_own() -> None:
    # The number is written to both ends of the workspace, and read back after a while.
    size = 200_000
    last = size // 8 - 1
    text = program(
        *pointer("%x", "inputs", 0),
        *pointer("%y", "outputs", 0),
        "%value = load i64, ptr %x",
        f"%end = getelementptr i64, ptr %workspace, i64 {last}",
        "store volatile i64 %value, ptr %workspace",
        "store volatile i64 %value, ptr %end",
        "br label %wait",
    ).replace("  ret i32 0\n}", WAIT)
    function = native_function(text, [number(I64)], [number(I64)], size, release_gil=True)
    with ThreadPoolExecutor(8) as threads:
        for got, k in zip(threads.map(function, range(800)), range(800), strict=True):
            assert got == 2 * k
        assert runtime.pool_room.value <= runtime.POOL_BYTES
        kept = list(threads.map(lambda _: workspaces.clear(), range(8)))
    assert kept == [None] * 8
    assert not any(runtime.pool)
    assert runtime.pool_room.value == runtime.POOL_BYTES


WAIT = """
wait:
  %k = phi i64 [ 0, %0 ], [ %more, %wait ]
  %more = add i64 %k, 1
  %now = load volatile i64, ptr %workspace
  %on = icmp slt i64 %more, 20000
  br i1 %on, label %wait, label %done
done:
  %b = load volatile i64, ptr %end
  %sum = add i64 %now, %b
  store i64 %sum, ptr %y
  ret i32 0
}
"""


# Threads

SPIN = """
spin:
  %seen = load volatile i64, ptr %x
  %go = icmp ne i64 %seen, 0
  br i1 %go, label %done, label %spin
done:
  ret i32 0
}
"""


@BOTH
def test_entry_that_releases_the_lock_lets_other_threads_run(make: Maker) -> None:
    text = program(*pointer("%x", "inputs", 0), "br label %spin").replace("  ret i32 0\n}", SPIN)
    function = make(text, [array(1, dtype=I64)], [number(I64)], release_gil=True)
    flag = np.zeros(1, np.int64)
    threading.Timer(0.05, lambda: flag.__setitem__(0, 1)).start()
    function(flag)  # would never return if the thread could not run
    assert flag[0] == 1


def test_entry_eight_threads_call_one_function() -> None:
    function = identity(native_function, array(50), number())

    def run(k: int) -> bool:
        x = np.full(50, float(k))
        return all((function(x, float(k))[0] == k).all() for _ in range(2000))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(8)))
