"""What `jit` keeps for one signature: the jaxpr, the arrays around it, and native code once it has been compiled."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from funcgrad.api import calling
from funcgrad.api.results import fresh
from funcgrad.api.watching import Watch, owners
from funcgrad.core.avals import ShapedArray
from funcgrad.core.errors import message
from funcgrad.core.jaxpr import Jaxpr
from funcgrad.core.primitive import bind
from funcgrad.core.tree import TreeDef, tree_unflatten
from funcgrad.transforms.call import jit_p

if TYPE_CHECKING:
    from funcgrad.compiler.pipeline import Executable


# All jitted functions, so that they can be told to forget.
forgetting: weakref.WeakSet[Any] = weakref.WeakSet()
_off: contextvars.ContextVar[bool] = contextvars.ContextVar("jit is off", default=False)


_step_by_step: contextvars.ContextVar[bool] = contextvars.ContextVar("jit goes step by step", default=False)


def compiling_is_off() -> bool:
    """Whether `disable_jit` is in force."""
    return _off.get()


def is_step_by_step() -> bool:
    """Whether `jit_step_by_step` is in force."""
    return _step_by_step.get()


def clear_caches() -> None:
    """Forget every program of every jitted function, and give back the memory of temporaries and of former results.

    What is on disk stays: `python -m funcgrad cache clear`.
    """
    for function in list(forgetting):
        function.forget()
    if "funcgrad.compiler.workspaces" in sys.modules:
        sys.modules["funcgrad.compiler.workspaces"].clear()


@contextlib.contextmanager
def disable_jit() -> Iterator[None]:
    """Within it `jit` does nothing: a jitted function is the function itself, whose `print` prints and `pdb` stops.

    Example:
        >>> import funcgrad
        >>> with funcgrad.disable_jit():
        ...     funcgrad.jit(lambda x: 2 * x)(1.5)
        3.0
    """
    token = _off.set(True)
    for function in list(forgetting):
        function.forget_shortcuts()
    try:
        yield
    finally:
        _off.reset(token)


@contextlib.contextmanager
def jit_step_by_step() -> Iterator[None]:
    """Within it a jitted function is recorded at every call, so that each of its operations can be looked at."""
    token = _step_by_step.set(True)
    try:
        with disable_jit():
            yield
    finally:
        _step_by_step.reset(token)


Shortcut: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class CompilationWarning(RuntimeWarning):
    """A jitted function could not be compiled; it is evaluated by NumPy."""


class Program:
    """One signature of a jitted function.

    Attributes:
        name: The function's name.
        flush_subnormals: Whether compiled code takes numbers too small to be normal as 0.
        jaxpr: Closed; captured arrays are its first inputs.
        constants: The captured arrays.
        out_tree: The structure of the result.
        calls: How often it has been called.
        seconds: What recording and compiling took.
        failure: Why it is not compiled, if it cannot be.
        watch: Whether it may stand for further calls; None where it stands for one.
    """

    def __init__(
        self, name: str, jaxpr: Jaxpr, constants: list[Any], out_tree: TreeDef, *, flush_subnormals: bool = False
    ) -> None:
        self.name = name
        self.flush_subnormals = flush_subnormals
        self.jaxpr = jaxpr
        self.constants = constants
        self.out_tree = out_tree
        self.calls = 0
        self.seconds: dict[str, float] = {}
        self.failure = ""
        self.executable: Executable | None = None
        self._known: dict[int, Any] = {}
        self._captured = constants
        self._shortcut: Shortcut | None = None
        self.watch: Watch | None = None
        self._watched_by: Callable[[], bool] | None = None

    def find_known(self) -> None:
        """Note which constants nobody else holds, so that they are what they are for good.

        To be called when the recording is gone, with no other references to the constants about.
        """
        from funcgrad.compiler.simplify import is_uniform

        for k in _private(self.constants):
            if is_uniform(self.constants[k]):
                self._known[k] = self.constants[k]
            else:
                self.constants[k] = np.require(self.constants[k], None, ["C", "A"])

    def compile(self) -> None:
        """Make native code, now; if that fails, NumPy goes on."""
        from funcgrad.compiler import pipeline, simplify

        start = time.perf_counter()
        try:
            jaxpr = simplify.with_known(self.jaxpr, self._known)
            self.executable = pipeline.executable(jaxpr, flush_subnormals=self.flush_subnormals)
            self._captured = [x for k, x in enumerate(self.constants) if k not in self._known]
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            text = message(
                f"jit({self.name}) cannot be compiled, and is evaluated by NumPy.",
                why=self.failure,
                fix="a report of this function; the results are right either way.",
            )
            warnings.warn(text, CompilationWarning, stacklevel=2)
        self.seconds["compile"] = time.perf_counter() - start

    def stages(self) -> Any:
        """The program on its way to native code, to be looked at."""
        from funcgrad.compiler import pipeline, recomputing, simplify

        jaxpr = recomputing.recomputed(simplify.with_known(self.jaxpr, self._known))
        return pipeline.Program(jaxpr, flush_subnormals=self.flush_subnormals)

    def results(self, arrays: Sequence[Any]) -> list[Any]:
        """The flat results, by native code if there is some."""
        self.calls += 1
        if self.executable is not None:
            ys = self._native_results(arrays)
            if ys is not None:
                return ys
        ys = bind(jit_p, *self.constants, *arrays, jaxpr=self.jaxpr, name=self.name)
        return fresh(ys, [*arrays, *self.constants])

    def _native_results(self, arrays: Sequence[Any]) -> list[Any] | None:
        from funcgrad.compiler.runtime import ProgramError

        assert self.executable is not None
        avals = self.jaxpr.in_avals[len(self.constants) :]
        try:
            ys = self.executable.call(*self._captured, *arrays)
            if ys is NotImplemented:
                fitting = [_fitting(x, aval) for x, aval in zip(arrays, avals, strict=True)]
                ys = self.executable.call(*map(calling.fitting, self._captured), *fitting)
        except ProgramError:
            return None  # NumPy says what is wrong
        if ys is NotImplemented:
            return None
        return [ys] if len(self.jaxpr.outputs) == 1 else list(ys)

    def shortcut(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], is_array: Callable[[tuple[Any, ...], Any], bool]
    ) -> Shortcut | None:
        """A function of arguments that gives the result, or NotImplemented where this program is not it.

        It is made anew only when something around the function is another object than it was.
        """
        check = None if self.watch is None else self.watch.check
        if self.executable is None or check is None or (self._shortcut is not None and self._watched_by is check):
            return self._shortcut
        assert self.watch is not None
        flatten = calling.flattener(args, kwargs, is_array, self.watch.conditions)
        count = len(self.jaxpr.outputs)
        rebuild = calling.rebuilder(tree_unflatten(self.out_tree, [0.0] * count))
        if flatten is None or rebuild is None:
            return None
        self._shortcut = calling.shortcut(self.executable.call, self._captured, flatten, rebuild, count)
        self._watched_by = check
        return self._shortcut


def _private(values: list[Any]) -> list[int]:
    """Which arrays of a list share their memory with nothing outside of it: the list holds the only references."""
    objects = {id(owner): owner for x in values for owner in (x, *owners(x))}
    held = dict.fromkeys(objects, 0)
    for key in map(id, values):
        held[key] += 1
    for key in [id(owner.base) for owner in objects.values() if getattr(owner, "base", None) is not None]:
        held[key] += 1
    # `objects`, and the argument of getrefcount.
    alone = {key for key in objects if sys.getrefcount(objects[key]) <= held[key] + 2}
    return [
        k
        for k, x in enumerate(values)
        if type(x) is np.ndarray and all(id(owner) in alone for owner in (x, *owners(x)))
    ]


def _fitting(x: Any, aval: ShapedArray) -> Any:
    """An argument as native code takes it."""
    if aval.weak_type:
        return x
    return np.require(x, aval.dtype, ["C", "A"]) if aval.shape else np.asarray(x, aval.dtype)[()]
