"""`jit`, `make_jaxpr`, `eval_shape`: functions recorded once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeVar

from funcgrad.api.arguments import argument_path, run
from funcgrad.api.explaining import Explanation, Lowered, types_text
from funcgrad.api.nesting import budget_around, pass_on_guards
from funcgrad.api.programs import Program, compiling_is_off, forgetting, is_step_by_step
from funcgrad.api.results import fresh
from funcgrad.api.signatures import Call, check_static
from funcgrad.api.transformed import P, Transformed
from funcgrad.api.volatile import random_states
from funcgrad.api.watching import Watch, arrays_read
from funcgrad.core import seeding
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.deferring import Deferred, elements
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.jaxpr import Equation, Jaxpr, recording_to_jaxpr
from funcgrad.core.jaxpr import Literal as Constant
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import bind
from funcgrad.core.source import Source, caller, definition, read_source
from funcgrad.core.tracing import Recording, Tracer, held, innermost, outermost
from funcgrad.core.tree import TreeDef, flatten_results, is_static, tree_flatten, tree_unflatten
from funcgrad.transforms.call import jit_p

R = TypeVar("R")
# So often may what a function uses change before the user hears that it is recorded anew each time.
_MANY_CHANGES = 5
# Signatures that take turns without the general way; each is asked in turn.
_MOST_SHORTCUTS = 4
# Bytes of values that a first call computes; filling fresh memory with so much takes as long as half a compilation.
_BUDGET = 2.0**25
# Programs keep the objects alive that they were recorded with.
_MOST_PROGRAMS = 256

_BEYOND = "it computes Python integers beyond 64 bits"


class RetracingWarning(UserWarning):
    """A jitted function depends on values in Python, so it is recorded anew at each call."""


class _jit(Transformed[P, R]):
    options = ("static_argnums", "static_argnames", "compile", "flush_subnormals")
    static_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]
    compile: str
    flush_subnormals: bool

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        check_static(self)
        self._programs: dict[Hashable, Program] = {}
        # Signatures that are recorded anew at each call, with the last recording.
        self._uncompiled: dict[Hashable, Program] = {}
        self._shortcuts: tuple[Callable[[tuple[Any, ...], dict[str, Any]], Any], ...] = ()
        self._changes = 0
        self._warned = False
        forgetting.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for shortcut in self._shortcuts:
            try:
                y = shortcut(args, kwargs)
            except Exception:
                break  # the general way will say what is wrong
            if y is not NotImplemented:
                return y
        return self._general_call(args, kwargs)

    def _general_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = Call(self, args, kwargs)
        traced = any(isinstance(x, Tracer) for x in call.arrays)
        if compiling_is_off():
            return self._recorded_call(call) if is_step_by_step() and not traced else _run_as_it_is(call)
        program = self._known_program(call)
        if program is None:
            if call.key in self._programs:
                self._note_change()
            if not traced:
                return self._first_call(call)
            program = self._record_nested(call)
        if traced:
            ys = bind(jit_p, *program.constants, *call.arrays, jaxpr=program.jaxpr, name=program.name)
            return tree_unflatten(program.out_tree, fresh(ys, [*call.arrays, *program.constants]))
        if program.executable is None and not program.failure:
            program.compile()
        shortcut = program.shortcut(args, kwargs, call.is_array)
        if shortcut is not None and shortcut not in self._shortcuts:
            self._shortcuts = (shortcut, *self._shortcuts[: _MOST_SHORTCUTS - 1])
        return tree_unflatten(program.out_tree, program.results(call.arrays))

    def _known_program(self, call: Call) -> Program | None:
        """The program of an earlier call that may stand for this one."""
        program = self._programs.get(call.key)
        return program if program is not None and program.watch is not None and program.watch.holds(call) else None

    def _first_call(self, call: Call) -> Any:
        """Record with the values at hand, and return the result that came out on the way.

        Where values have taken much memory and were deferred, the result is that of compiled code, if it can be.
        """
        start = time.perf_counter()
        recording, outs, out_tree = self._record(call, call.arrays, abstract=False, budget=_BUDGET)
        try:
            program = self._keep(call, recording, outs, out_tree)
            values = [recording.lower(y)[0] for y in outs]
            if any(type(y) is int and not _fits(y) for y in values):
                program.failure = _BEYOND
            compilable = self._programs.get(call.key) is program and not program.failure
            deferred = compilable and any(type(y) is Deferred for y in values)
            if not deferred:
                values = list(map(elements, values))
        finally:
            recording.close()
        result = None if deferred else tree_unflatten(out_tree, fresh(values, [*call.arrays, *program.constants]))
        del recording, outs, values
        program.seconds["record"] = time.perf_counter() - start
        program.find_known()
        if compilable and (deferred or self.compile == "now"):
            program.compile()
        if deferred:
            return tree_unflatten(out_tree, program.results(call.arrays))
        program.calls += 1
        return result

    def _recorded_call(self, call: Call) -> Any:
        """Record with the values at hand, for the sake of who looks at each operation, and keep nothing."""
        recording, outs, out_tree = self._record(call, call.arrays, abstract=False)
        try:
            values = [recording.lower(y)[0] for y in outs]
        finally:
            recording.close()
        return tree_unflatten(out_tree, fresh(list(map(held, values)), call.arrays))

    def _record_nested(self, call: Call) -> Program:
        """Record inside another recording: with the innermost values where all are there."""
        values = [innermost(x) for x in call.arrays]
        around = next((outermost(x) for x in call.arrays if isinstance(innermost(x), ShapedArray)), None)
        recording, outs, out_tree = self._record(
            call, values, abstract=around is not None, around=around, budget=budget_around(call.arrays)
        )
        try:
            pass_on_guards(recording, call.arrays)
            return self._keep(call, recording, outs, out_tree)
        finally:
            recording.close()

    def _record(self, call: Call, arrays: Sequence[Any], **options: Any) -> tuple[Recording, list[Any], TreeDef]:
        """Record, and look whether random numbers are drawn meanwhile."""
        around = call.look_around()
        before = random_states(around.random_sources)
        outer = seeding.begin()
        try:
            recorded = _record(self, call, arrays, **options)
        finally:
            call.made = seeding.end(outer)
        if random_states(around.random_sources) != before:
            around.volatile = "it draws random numbers"
        return recorded

    def _keep(self, call: Call, recording: Recording, outs: list[Any], out_tree: TreeDef) -> Program:
        """The program of a recording, kept for further calls where it serves them."""
        made, call.made = call.made, {}  # which must not outlive this, so that constants are nobody else's
        jaxpr = recording_to_jaxpr(recording, outs)
        # Constants become the first inputs: each call passes captured arrays by reference, unless one has been written
        # to since it was used. Then the function may write to it at every call.
        constants, written = [], []
        for v, value in jaxpr.constants:
            array, same = recording.original(value)
            constants.append(array)
            if not same:
                written.append(v)
        closed = Jaxpr([v for v, _ in jaxpr.constants] + list(jaxpr.inputs), [], jaxpr.equations, jaxpr.outputs)
        flush = self.flush_subnormals
        program = Program(name_of(self.function), closed, constants, out_tree, flush_subnormals=flush)
        if recording.guards:
            program.failure = "a Python branch, loop or index depends on a traced value"
            self._warn(
                read_source(recording.guards[0]),
                "a Python branch, loop or index there depends on a traced value.",
                "np.where, or the argument in static_argnums; the results are right either way.",
            )
        elif written:
            program.failure = "it writes to an array that it has used before"
            self._warn(
                next(eqn.source for eqn in jaxpr.equations if written[0] in eqn.inputs),
                "it writes to an array that it has used before.",
                "a = a * 2 in place of a *= 2; the results are right either way.",
            )
        elif call.look_around().volatile:
            program.failure = call.look_around().volatile
            self._warn(
                definition(self.function),
                f"{program.failure}.",
                "pass what is different at each call as an argument; the results are right either way.",
            )
        elif not any(isinstance(value, Tracer) for value in constants):
            if len(self._programs) >= _MOST_PROGRAMS:
                del self._programs[next(iter(self._programs))]
            if any(_is_beyond(eqn) for eqn in jaxpr.equations):
                program.failure = _BEYOND
            self._programs[call.key] = program
            program.watch = Watch(call.look_around(), arrays_read(call, closed, constants, made))
            return program
        if call.key in self._uncompiled:
            program.calls = self._uncompiled[call.key].calls
        self._uncompiled[call.key] = program
        return program

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The program for arguments like these (`ShapeDtypeStruct`s will do), to be looked at and compiled by hand.

        Returns:
            A `Lowered`: `as_text("jaxpr" | "loops" | "llvm")` shows the stages, `compile()` gives a function.
        """
        call = Call(self, args, kwargs)
        known = self._known_program(call)
        if known is not None:
            return Lowered(self, known)
        abstract = any(isinstance(x, ShapedArray) for x in call.arrays)
        recording, outs, out_tree = self._record(call, call.arrays, abstract=abstract)
        try:
            return Lowered(self, self._keep(call, recording, outs, out_tree))
        finally:
            recording.close()

    def explain(self) -> Explanation:
        """What became of each signature so far: whether it is compiled and where its steps run, or why not."""
        programs = {**self._uncompiled, **self._programs}
        return Explanation(self, [(types_text(key), program) for key, program in programs.items()])

    def forget(self) -> None:
        """Drop all programs."""
        self._programs.clear()
        self._uncompiled.clear()
        self.forget_shortcuts()

    def forget_shortcuts(self) -> None:
        """Take the general way at the next call."""
        self._shortcuts = ()

    def _note_change(self) -> None:
        self._changes += 1
        if self._changes == _MANY_CHANGES:
            self._warn(
                definition(self.function),
                "a global, a closure variable or an attribute that it uses changes from call to call.",
                "make it an argument; the results are right either way.",
            )

    def _warn(self, source: Source | None, why: str, fix: str) -> None:
        if self._warned:
            return
        self._warned = True
        text = message(f"{self!r} is recorded anew at every call.", where=source, why=why, fix=fix)
        # Where the branch is, not where the call is: the line to be changed.
        file, line = (source.file, source.line) if source else ("<unknown>", 1)
        warnings.warn_explicit(RetracingWarning(text), RetracingWarning, file, line)


def _run_as_it_is(call: Call) -> Any:
    """The function's own result, in arrays of its own."""
    outs, out_tree = flatten_results(call.run(call.function, call.arrays))
    return tree_unflatten(out_tree, fresh(list(map(held, outs)), call.arrays))


def _fits(x: int) -> bool:
    return -(2**63) <= x < 2**64


def _is_beyond(eqn: Equation) -> bool:
    """Whether an equation computes an integer of one that is beyond 64 bits, as Python's integers may be."""
    wide = any(isinstance(x, Constant) and type(x.value) is int and not _fits(x.value) for x in eqn.inputs)
    return wide and any(v.aval.dtype.kind in "iu" for v in eqn.outputs)


def _record(
    owner: Transformed[Any, Any],
    call: Call,
    arrays: Sequence[Any],
    *,
    abstract: bool,
    around: Recording | None = None,
    budget: float | None = None,
) -> tuple[Recording, list[Any], TreeDef]:
    recording = Recording(owner.transformation, owner.function, abstract, budget=budget)
    if recording.snapshots is None:
        recording.snapshots = {}
    recording.naming = call.path
    if around is not None:
        recording.transformation, recording.function = around.transformation, around.function
    try:
        outs, out_tree = flatten_results(call.run(owner.function, [recording.input(x) for x in arrays]))
    except BaseException:
        recording.close()
        raise
    return recording, outs, out_tree


def jit(
    f: Callable[P, R],
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    *,
    compile: Literal["second", "now"] = "second",
    flush_subnormals: bool = False,
) -> Callable[P, R]:
    """A function that is recorded once per signature, compiled, and from then on runs as one native function.

    The first call records with the values at hand and returns NumPy's own result; the second compiles. Once values have
    filled 32 MB, and before loops of many rounds, the first call computes only what Python looks at, and compiled code
    gives its result; of what is put off NumPy warns of nothing, and its errors come at the end. A signature is made of
    the arguments' trees, shapes, dtypes and weak types, and of the static arguments' values. A function that reads
    values in Python (`if x > 0`), draws random numbers or looks at a clock still gives right answers: it is recorded
    anew at each call, with one warning.

    What the function uses besides its arguments is seen when it changes: variables, attributes of objects, classes and
    modules, elements of containers, which lead to a new recording, and elements of arrays. Arrays that are operands are
    passed by reference; those that Python or NumPy reads elements of first (`float(c[0])`, `c.sum()`) are compared
    with a copy at each call, unless nobody can write to them (`c.setflags(write=False)`). Files and the state of
    objects of other languages are read once. Python's integers have 64 bits in compiled code.

    Args:
        f: Any function of trees of arrays; strings, functions and bools among its leaves are static by themselves.
        static_argnums: Positions of arguments that are Python values to f, not arrays; they must be hashable.
        static_argnames: The same by parameter name.
        compile: "second": at the second call with a signature. "now": at the first.
        flush_subnormals: Whether compiled code takes numbers below 2.2e-308 (float64) as 0, as XLA's does. NumPy keeps
            them, but many processors take a hundred times longer over each.

    Returns:
        A function with f's signature.

    Raises:
        ArgumentError: (a ValueError) A static argument is not hashable, or an argument is no array.

    Example:
        >>> import numpy as np
        >>> jit(lambda x: np.sin(x) ** 2 + np.cos(x) ** 2)(np.zeros(2))
        array([1., 1.])
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    if compile not in ("second", "now"):
        raise ArgumentError(
            message(
                f"jit got compile={compile!r}.", where=caller(), fix='compile="second" (at the second call) or "now".'
            )
        )
    options = {"compile": compile, "flush_subnormals": flush_subnormals}
    return _jit(f, static_argnums=numbers, static_argnames=names, **options)


class _make_jaxpr(Transformed[P, Jaxpr]):
    options = ("static_argnums", "static_argnames")
    static_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Jaxpr:
        call = Call(self, args, kwargs)
        abstract = any(isinstance(innermost(x), ShapedArray) for x in call.arrays)
        recording, outs, _ = _record(self, call, call.arrays, abstract=abstract)
        try:
            return recording_to_jaxpr(recording, outs)
        finally:
            recording.close()


def make_jaxpr(f: Callable[P, R], static_argnums: int | Sequence[int] = ()) -> Callable[P, Jaxpr]:
    """A function that gives the jaxpr of a call of f: what made its value.

    Args:
        f: Any function of trees of arrays.
        static_argnums: Positions of arguments that are Python values to f, not arrays.

    Returns:
        A function of f's arguments (`ShapeDtypeStruct`s will do) that gives a `Jaxpr`: printable, with an HTML
        form for notebooks, each equation with the user's line as `source`.

    Example:
        >>> import numpy as np
        >>> make_jaxpr(lambda x: 2.0 * np.sin(x))(1.0)
        { lambda ; a:float[] . let
            b:float64[] = sin a
            c:float64[] = multiply 2.0:float[] b
          in (c,) }
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    return _make_jaxpr(f, static_argnums=numbers, static_argnames=())


def eval_shape(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of what f would return, without computing anything.

    Args:
        f: Any function of trees of arrays.
        args: Its arguments, or `ShapeDtypeStruct`s in their place.
        kwargs: Its keyword arguments.

    Returns:
        f's result with `ShapeDtypeStruct`s for arrays.

    Raises:
        TracedBranchError: (a TypeError) f branches on a value.

    Example:
        >>> import numpy as np
        >>> eval_shape(lambda x: x @ x, ShapeDtypeStruct((3, 3), float))
        float64[3,3]
    """
    leaves, treedef = tree_flatten((args, kwargs))
    recording = Recording("eval_shape", f, True)
    dynamic = [i for i, x in enumerate(leaves) if not is_static(x)]
    recording.naming = lambda number: argument_path(f, treedef, dynamic[number])
    try:
        tracers = [x if is_static(x) else recording.input(x) for x in leaves]
        out_args, out_kwargs = tree_unflatten(treedef, tracers)
        outs, out_tree = flatten_results(run(f, out_args, out_kwargs))
        return tree_unflatten(out_tree, [get_aval(recording.lower(y)[0]) for y in outs])
    finally:
        recording.close()


ShapeDtypeStruct = ShapedArray
