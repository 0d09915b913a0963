"""What is being recorded, and which value stands for what?

A `Recording` is a jaxpr under construction. A `Tracer` names one variable of one recording and carries the
value from one level below: a NumPy array, a tracer of an outer recording, or, in a recording without values
(`vmap`, bodies of control flow, linear maps), just a `ShapedArray`.

Levels are creation numbers: of two live recordings the later one is the inner one. No stack is kept, so threads
do not meet. A recording refers to values, never to its own tracers, so no reference cycle arises.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.advice import Situation
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.capturing import SMALL, Sample, check_samples, copied, same_elements, sample
from funcgrad.core.deferring import Deferred, defer, elements, errors_are_raised, exceeds, nbytes
from funcgrad.core.errors import (
    EscapedTracerError,
    TracedAssignmentError,
    TracedBranchError,
    TracedConversionError,
    TracedIndexError,
    unheeded,
)
from funcgrad.core.naming import Asking, name_of, parameter_name
from funcgrad.core.seeding import noted_copy
from funcgrad.core.source import (
    Place,
    assigns_elements,
    caller,
    current_place,
    internal_files,
    place_above,
    read_source,
    replay,
    replaying,
    within_scipy,
)

_levels = itertools.count(1)
_ndarray = np.ndarray  # looked up on the hot path
_getframe = sys._getframe

# (primitive, params, xs, ids, y, first_id, place): operands' values and variable numbers (None: a constant),
# the result (a tuple for a primitive with several) and the number of its first variable.
RecordedEquation = tuple[Any, dict[str, Any], Sequence[Any], Sequence[int | None], Any, int, Place | None]


class Recording:
    """The equations that a transformation collects while the user's function runs.

    Args:
        transformation: Its name, for messages: "grad"; or who knows that and the input's name, too.
        function: The user's function, for messages.
        abstract: Whether tracers stand for shapes and dtypes only.
        differentiating: Whether only what can carry a derivative needs to be recorded.
        budget: Bytes that values may take before they are deferred; None where they never are.

    Attributes:
        naming: What the user calls an input, given its number. Where it is not set, which costs nothing, the
            transformation is asked, or the inputs are the function's arguments one by one.
    """

    naming: Callable[[int], str]

    __slots__ = (
        "abstract",
        "budget",
        "differentiating",
        "equations",
        "function",
        "guards",
        "inputs",
        "level",
        "naming",
        "nested",
        "place",
        "plain",
        "samples",
        "size",
        "snapshots",
        "transformation",
    )

    def __init__(
        self,
        transformation: str | Asking,
        function: Callable[..., Any] | None = None,
        abstract: bool = False,
        differentiating: bool = False,
        budget: float | None = None,
    ) -> None:
        self.level = next(_levels)
        self.transformation = transformation
        self.function = function
        self.abstract = abstract
        self.differentiating = differentiating
        # Whether any value is itself a tracer, of an outer recording.
        self.nested = False
        # Whether values are plain NumPy's, only derivatives are wanted, and the recording is open.
        self.plain = differentiating and not abstract
        self.equations: list[RecordedEquation] | None = []
        # Of constant arrays, where a jaxpr must have them as they were used and yet refer to them: pairs of a snapshot
        # and its array, by the id of either.
        self.snapshots: dict[int, tuple[Any, Any]] | None = None if differentiating or abstract else {}
        self.inputs: list[Any] = []
        self.guards: tuple[Place | None, ...] = ()
        self.samples: tuple[Sample, ...] = ()
        # The user's line, while one of NumPy's functions is at work for it.
        self.place: Place | None = None
        self.size = 0
        self.budget = budget

    def input(self, value: Any) -> Tracer:
        """A tracer for the next input, standing for `value` (an aval, where the recording is abstract)."""
        if self.abstract:
            value = get_aval(value)
        elif type(value) is Tracer:
            value = held(value)
            if type(value) is Tracer:
                self.enclose()
        elif type(value) is Deferred:
            if self.differentiating:
                value = elements(value)
            else:
                self.budget = -1.0
        self.inputs.append(value)
        self.size += 1
        return Tracer(self, self.size - 1, value)

    def enclose(self) -> None:
        """Note that values of an outer recording take part: from now on primitives are bound one level down."""
        self.nested, self.plain = True, False

    def apply(
        self,
        primitive: Any,
        params: dict[str, Any],
        xs: tuple[Any, ...],
        ids: tuple[int | None, ...],
        kept: tuple[Any, ...] | None = None,
    ) -> Any:
        """All of `bind` where the recording is `plain`, for a primitive with one result: run it, and record it.

        Args:
            kept: The operands to be recorded where they are not `xs`: constant arrays go through `capture`.
        """
        y = primitive.implementation(*xs, **params) if params else primitive.implementation(*xs)
        if not primitive.differentiable:
            return y
        place = self.place or (replay.place if replaying else None)
        if place is None:
            frame = _getframe(2)
            code = frame.f_code
            place = place_above(frame) if internal_files[code.co_filename] else (code, frame.f_lasti)
        first = self.size
        self.size = first + 1
        self.equations.append((primitive, params, kept or xs, ids, y, first, place))  # type: ignore[union-attr]
        return Tracer(self, first, y, place)

    def append(
        self, primitive: Any, params: dict[str, Any], xs: Sequence[Any], ids: Sequence[int | None], y: Any
    ) -> Any:
        """Record an equation; its result as a tracer, a tuple of them for a primitive with several results."""
        place = self.place or (replay.place if replaying else None) or place_above(_getframe(2))
        first, seen = self.size, y
        if not (self.differentiating or self.abstract):  # a jaxpr is made of types: no traced value is held
            xs = [self.capture(x) if number is None else None for x, number in zip(xs, ids, strict=True)]
            seen = tuple(map(get_aval, y)) if primitive.multiple_results else get_aval(y)
            if self.budget is not None:
                self.budget -= nbytes(seen)
        elif None in ids:
            xs = [x if number is not None else self.capture(x) for x, number in zip(xs, ids, strict=True)]
        self.equations.append((primitive, params, xs, ids, seen, first, place))  # type: ignore[union-attr]
        if primitive.multiple_results:
            self.size = first + len(y)
            return tuple([Tracer(self, first + i, value, place) for i, value in enumerate(y)])
        self.size = first + 1
        return Tracer(self, first, y, place)

    def defers(self, primitive: Any, params: dict[str, Any], xs: Sequence[Any]) -> bool:
        """Whether the budget is spent, or would be by what a primitive goes through or returns."""
        if self.budget is None:
            return False
        if primitive.effort is not None:
            self.budget -= primitive.effort(params)
        return self.budget < 0 or exceeds(self.budget, primitive, params, xs)

    def defer(self, primitive: Any, params: dict[str, Any], xs: Sequence[Any], ids: Sequence[int | None]) -> Any:
        """The result of a primitive as a deferred value.

        None where it has to be computed now: of values of an outer recording, of Python's numbers, which may grow
        beyond 64 bits, and where NumPy has an error for it or is to raise one for a division by zero and the like.
        """
        if self.nested or errors_are_raised():
            return None
        kept = [self.capture(x) if number is None else x for x, number in zip(xs, ids, strict=True)]
        return defer(primitive, kept, params, self.place or replay.place or place_above(_getframe(2)))

    def capture(self, x: Any) -> Any:
        """A constant operand, safe from what the user's code does to it later if it is a plain array."""
        if type(x) is not _ndarray:
            return x
        if self.snapshots is not None:
            return self.snapshot(x)
        if x.size <= SMALL:
            return noted_copy(x) if self.nested else x.copy()
        if x.flags.writeable:
            self.samples += (sample(x, self.place or current_place()),)
        return x

    def snapshot(self, x: Any) -> Any:
        """A constant operand as it is now, of which `original` finds the array that it was taken of."""
        if type(x) is not _ndarray:
            return x
        assert self.snapshots is not None
        copy, _ = self.snapshots.get(id(x), (None, None))
        if copy is None or not same_elements(copy, x):
            copy = copied(x)
            self.snapshots[id(x)] = self.snapshots[id(copy)] = (copy, x)
        return copy

    def original(self, value: Any) -> tuple[Any, bool]:
        """The array of which a constant is a snapshot, and whether it is still what it was; if not, the constant."""
        copy, x = (self.snapshots or {}).get(id(value), (value, value))
        return (x, True) if value is x or same_elements(copy, x) else (value, False)

    def check_captured(self) -> None:
        """Check, before a derivative is computed, that large arrays are what they were when they were used.

        Raises:
            CapturedArrayError: naming the line that used one that is not.
        """
        check_samples(self.name, self.samples)

    def lower(self, x: Any) -> tuple[Any, int | None]:
        """The value one level down and the variable's number; `(x, None)` for what this recording does not trace."""
        if type(x) is Tracer:
            if x.recording is self:
                value = x.value
                return held(value) if type(value) is Tracer else value, x.id
            x = held(x)
        return x, None

    def close(self) -> None:
        """Drop all equations: tracers that are still around have escaped."""
        self.equations, self.plain = None, False
        unheeded.error = None

    @property
    def name(self) -> str:
        """How the user would call it: `vmap(model)`."""
        asking = self.transformation
        transformation = asking if isinstance(asking, str) else asking.transformation
        return transformation if self.function is None else f"{transformation}({name_of(self.function)})"

    def input_name(self, number: int) -> str:
        """What the user calls an input: `params['w']`."""
        naming = getattr(self, "naming", None)
        if naming is not None:
            return naming(number)
        if not isinstance(self.transformation, str):
            return self.transformation.input_name(number)
        return parameter_name(self.function, number) if self.function else ""


class Tracer:
    """Stands for an array while a function is recorded; has NumPy's operators, methods and attributes."""

    __slots__ = ("__weakref__", "alias", "id", "place", "recording", "value")

    # NumPy arrays leave `array + tracer` to the tracer.
    __array_priority__ = 1000

    def __init__(self, recording: Recording, id: int, value: Any, place: Place | None = None) -> None:
        self.recording = recording
        self.id = id
        self.value = value
        self.place = place
        self.alias: Any = None  # what this is a view of, for in-place code

    @property
    def aval(self) -> ShapedArray:
        """Shape, dtype and weakness."""
        return get_aval(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of `numpy.ndarray`."""
        try:
            return self.value.shape
        except AttributeError:
            return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of `numpy.ndarray`."""
        try:
            return self.value.dtype
        except AttributeError:
            return get_aval(self.value).dtype

    @property
    def ndim(self) -> int:
        """As of `numpy.ndarray`."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """As of `numpy.ndarray`."""
        return get_aval(self.value).size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __hash__(self) -> int:
        raise TypeError("unhashable type: 'traced array' (as is 'numpy.ndarray')")

    def __bool__(self) -> bool:
        return bool(self._read("branch"))

    def __int__(self) -> int:
        return int(self._read("int"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return self._read("int").__index__()

    def __float__(self) -> float:
        if self.dtype.kind in "fc" and self.recording is not CONSTANTS:
            raise conversion_error(self, "float")
        return float(self._read("float"))

    def __complex__(self) -> complex:
        if self.dtype.kind in "fc" and self.recording is not CONSTANTS:
            raise conversion_error(self, "complex")
        return complex(self._read("complex"))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.recording is CONSTANTS:
            return np.array(self.value, dtype, copy=copy)
        raise conversion_error(self, "index" if self.dtype.kind in "iub" else "__array__")

    def item(self, *args: Any) -> Any:
        """An error: a Python number carries no derivative."""
        if self.recording is CONSTANTS:
            return self.value.item(*args)
        raise conversion_error(self, "item")

    def tolist(self) -> Any:
        """An error: Python numbers carry no derivative."""
        if self.recording is CONSTANTS:
            return self.value.tolist()
        raise conversion_error(self, "tolist")

    def _read(self, use: str) -> Any:
        """The value, for Python: noted as a guard; an error where there is none."""
        value = self.value
        if self.recording is CONSTANTS:
            return value
        if self.recording.equations is None:
            raise escaped_error(self)
        if type(value) is ShapedArray:
            raise _missing_value_error(self, use)
        self.recording.guards += (current_place(),)
        return value._read(use) if type(value) is Tracer else elements(value)

    def __repr__(self) -> str:
        if self.recording is CONSTANTS:
            return repr(self.value)
        return f"{concrete_text(self.value)} (traced, {self.recording.name})"

    def __format__(self, spec: str) -> str:
        value = elements(self.value)
        if type(value) is ShapedArray:
            return repr(self)
        return format(value, spec) if spec else str(value)

    def __str__(self) -> str:
        value = elements(self.value)
        return repr(self) if type(value) is ShapedArray else str(value)


Tracer.__name__ = "traced array"  # in Python's own messages

# The recording of plain arrays into which traced values can be assigned (`funcgrad.numpy.zeros(n)`): it is never open.
# Its tracers are handles only; `bind` and every way out of a transformation see the array.
CONSTANTS = Recording("constants")
CONSTANTS.level = 0
CONSTANTS.close()


def held(x: Any) -> Any:
    """x as it is now: what an in-place update of its handle does not reach."""
    if type(x) is not Tracer:
        return x
    return x.value if x.recording is CONSTANTS else Tracer(x.recording, x.id, x.value, x.place)


def concrete_text(value: Any) -> str:
    """`float64[3] [1. 2. 3.]`, or the aval alone where there is no value."""
    if type(value) is Tracer:
        return concrete_text(value.value)
    if type(value) is ShapedArray:
        return repr(value)
    return f"{get_aval(value)!r} {np.array2string(np.asarray(value), threshold=20, edgeitems=3)}"


def origin(x: Tracer) -> RecordedEquation | None:
    """The equation that made a tracer's value; None for an input, and when the recording is over."""
    for equation in reversed(x.recording.equations or ()):
        if x.id >= equation[5]:
            return equation
    return None


def describe(x: Tracer, name: str | None = None) -> str:
    """What is known of a tracer: "pred: bool[32], made by `greater` (model.py:40)", or "x: float64[3], an argument"."""
    if x.id < len(x.recording.inputs):
        return f"{_titled(name or x.recording.input_name(x.id), x)}, an argument"
    source, equation = read_source(x.place), origin(x)
    maker = f", made by `{equation[0].name}`" if equation else ", made" if source else ""
    return _titled(name or (source.variable if source else None), x) + maker + (f" ({source.brief})" if source else "")


def _titled(name: str | None, x: Tracer) -> str:
    return f"{name}: {x.aval!r}" if name else repr(x.aval)


def conversion_error(x: Tracer, use: str) -> Exception:
    """The error for reading a traced value in a way that would cut it off from its derivative."""
    if x.recording.equations is None and x.recording is not CONSTANTS:
        return escaped_error(x)
    place = current_place()
    if assigns_elements(place):
        use = "assignment"
    kind = TracedAssignmentError if use in ("assignment", "out") else TracedConversionError
    situation = Situation(
        x.recording.abstract, x.recording.differentiating and has_value(x), x.dtype.kind in "iub", within_scipy()
    )
    error = kind(x.recording.name, describe(x), use, read_source(place), situation)
    if within_scipy():
        unheeded.error = error
    return error


def innermost(x: Any) -> Any:
    """What is behind a tracer, at any depth: a plain value, a deferred one, or a type alone."""
    while type(x) is Tracer:
        x = x.value
    return x


def outermost(x: Tracer) -> Recording:
    """The recording that is around all others that x is of; the one without values, if there is such."""
    while type(x.value) is Tracer:
        x = x.value
    return x.recording


def concrete(x: Any) -> Any:
    """The plain value behind a tracer, at any depth, computed now if it is deferred; the type where there is none."""
    return elements(innermost(x))


def has_value(x: Any) -> bool:
    """Whether there are elements behind x, at any depth, perhaps deferred."""
    return type(innermost(x)) is not ShapedArray


def escaped_error(x: Tracer) -> EscapedTracerError:
    """The error for a tracer that outlived its recording."""
    is_input = x.id < len(x.recording.inputs)
    source = None if is_input else read_source(x.place)
    value = describe(x) if source is None else _titled(source.variable, x)
    return EscapedTracerError(
        x.recording.name, value, str(source) if source else "", caller(), x.recording.differentiating and has_value(x)
    )


def _missing_value_error(x: Tracer, use: str) -> Exception:
    if use == "branch":
        return TracedBranchError(x.recording.name, describe(x), caller())
    if use == "mask":
        return TracedIndexError(x.recording.name, describe(x), use, caller())
    return conversion_error(x, use)
