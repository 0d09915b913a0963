"""The compiler's second language: buffers, scalar expressions, and loop nests whose statements store them.

A program is a list of steps. Most steps are nests: a domain (how far each counter counts) and statements that are
executed for each of its points, a store of an expression or an accumulation. Other steps call libraries or Python,
or contain programs of their own (loops and branches of control flow).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.indices import Expression as Expression

Shape: TypeAlias = tuple[int, ...]


class Buffer:
    """Contiguous memory for the elements of one array.

    Attributes:
        size: How many elements.
        dtype: Their NumPy dtype.
        place: "input", "output", "constant", "workspace", "stack" for what never leaves one native function, or
            "frame" for a part of the frames of some `Frames`.
        number: Which input, output or constant; for the workspace and frames the offset in bytes, once planned.
        values: A constant's elements.
        frames: What it is a part of, in frames.
    """

    __slots__ = ("dtype", "frames", "number", "place", "serial", "size", "values")

    _count = 0

    def __init__(self, size: int, dtype: np.dtype[Any], place: str = "workspace", number: int = -1) -> None:
        self.size = size
        self.dtype = dtype
        self.place = place
        self.number = number
        self.values: Any = None
        self.frames: Frames | None = None
        Buffer._count += 1
        self.serial = Buffer._count

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.size * self.dtype.itemsize


class Frames:
    """A stack of frames, all of one size: one loop pushes a frame in each round, a later one pops them all.

    A buffer in a frame means the memory of the frame that was pushed, or popped, last.

    Attributes:
        base: Where the first frames are; there is room for `count` of them.
        size: A frame's bytes, once planned; 0 if the loops only count.
    """

    __slots__ = ("base", "count", "size")

    def __init__(self) -> None:
        self.base = Buffer(0, np.dtype(np.uint8))
        self.count = 0
        self.size = 0

    def buffer(self, size: int, dtype: np.dtype[Any]) -> Buffer:
        """A part of each frame."""
        made = Buffer(size, dtype, "frame")
        made.frames = self
        return made


class Constant(Expression):
    """A number."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        self.value = value
        self.dtype = dtype
        self.cost = 0.0


class Counter(Expression):
    """An index as a number (int64)."""

    __slots__ = ("index",)

    def __init__(self, index: Affine) -> None:
        self.index = index
        self.dtype = INT64
        self.cost = 0.0


class Load(Expression):
    """An element of a buffer."""

    __slots__ = ("buffer", "index")

    def __init__(self, buffer: Buffer, index: Index) -> None:
        self.buffer = buffer
        self.index = index
        self.dtype = buffer.dtype
        self.cost = 0.0 if type(index) is Affine else 2.0


class Apply(Expression):
    """A function of scalars.

    Attributes:
        function: Of values of assembly (`kernels/assembly.py`); its name is printed.
        operands: Expressions.
        own_cost: What the function costs without its operands.
    """

    __slots__ = ("function", "operands", "own_cost")

    def __init__(
        self, function: Callable[..., Any], operands: Sequence[Expression], dtype: np.dtype[Any], cost: float = 1.0
    ) -> None:
        self.function = function
        self.operands = tuple(operands)
        self.dtype = dtype
        self.own_cost = cost
        self.cost = cost + sum(x.cost for x in self.operands)


INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


class Statement:
    """What a nest does at each point of its domain: buffer[index] = expression, or an accumulation into it.

    Attributes:
        combine: None for a store; "sum", "product", "maximum", "minimum", "any" or "all" for an accumulation whose
            buffer is first set to the neutral element; "add", ... (see `UPDATES`) for an update of what is there.
    """

    __slots__ = ("_expressions", "_loads", "buffer", "combine", "expression", "index")

    def __init__(self, buffer: Buffer, index: Index, expression: Expression, combine: str | None = None) -> None:
        self.buffer = buffer
        self.combine = combine
        self.change(index, expression)

    def change(self, index: Index, expression: Expression) -> None:
        """Let it compute something else."""
        self.index = index
        self.expression = expression
        self._expressions: list[Expression] | None = None
        self._loads: list[Load] | None = None

    def expressions(self) -> list[Expression]:
        """All parts of its expressions, operands before what is made of them, each once."""
        if self._expressions is None:
            roots = [self.expression]
            if isinstance(self.index, Expression):
                roots.append(self.index)
            self._expressions = _parts(roots)
        return self._expressions

    def loads(self) -> list[Load]:
        """All elements that it loads, each once."""
        if self._loads is None:
            self._loads = [x for x in self.expressions() if type(x) is Load]
        return self._loads


def _parts(roots: list[Expression]) -> list[Expression]:
    """All parts of expressions, operands before what is made of them, each once."""
    found: list[Expression] = []
    seen: set[int] = set()
    stack = [(x, False) for x in roots]
    while stack:
        x, done = stack.pop()
        if done:
            found.append(x)
            continue
        if id(x) in seen:
            continue
        seen.add(id(x))
        if type(x) is Apply:
            stack.append((x, True))
            stack.extend([(operand, False) for operand in x.operands])
        elif type(x) is Load and isinstance(x.index, Expression):
            stack += [(x, True), (x.index, False)]
        else:
            found.append(x)
    return found


def loads(x: Expression) -> list[Load]:
    """All loads of an expression, those of indices included; each once."""
    return [part for part in _parts([x]) if type(part) is Load]


class Step:
    """One step of a program."""

    __slots__ = ()

    def reads(self) -> Iterator[Buffer]:
        """The buffers that it reads."""
        raise NotImplementedError

    def writes(self) -> Iterator[Buffer]:
        """The buffers that it writes."""
        raise NotImplementedError


class Window(NamedTuple):
    """A part of a nest: where in round t of a loop a counter is from t * block + shift on, and `block` times.

    Attributes:
        axis: The counter.
        loop: The loop's counter.
        block: How many of its values are in the part.
        shift: By how many it is ahead, or behind.
    """

    axis: int
    loop: int
    block: int
    shift: int


class Nest(Step):
    """Statements for every point of a domain.

    Attributes:
        extents: How far each counter counts; counter k of the statements' indices is number k.
        statements: In order.
        sequential: Counters that must count one by one from 0 upwards, outermost: statements read what they wrote.
        ordered: Whether points must be visited in C order one by one: statements may write an element twice.
        inline: Whether it is so small that it is written out, point by point, where it stands.
        window: The part of it that is done in a round of the loop around it, unless that is all.
    """

    __slots__ = ("extents", "inline", "ordered", "sequential", "statements", "window")

    def __init__(
        self, extents: Shape, statements: list[Statement], sequential: tuple[int, ...] = (), ordered: bool = False
    ) -> None:
        self.extents = extents
        self.statements = statements
        self.sequential = sequential
        self.ordered = ordered
        self.inline = False
        self.window: Window | None = None

    @property
    def points(self) -> int:
        """The size of the domain."""
        return math.prod(self.extents)

    def reads(self) -> Iterator[Buffer]:
        """The buffers that it loads from."""
        for statement in self.statements:
            yield from [load.buffer for load in statement.loads()]
            if statement.combine in UPDATES:
                yield statement.buffer

    def writes(self) -> Iterator[Buffer]:
        """The buffers that it stores to."""
        for statement in self.statements:
            yield statement.buffer


class Check(Step):
    """The program ends with a status if a one-element buffer is not zero: NumPy then says what is wrong."""

    __slots__ = ("buffer", "reason")

    def __init__(self, buffer: Buffer, reason: str) -> None:
        self.buffer = buffer
        self.reason = reason

    def reads(self) -> Iterator[Buffer]:
        """The flag."""
        yield self.buffer

    def writes(self) -> Iterator[Buffer]:
        """Nothing."""
        return iter(())


class Round(NamedTuple):
    """What a part of a call does: in round t of a loop what has numbers from t * block on, and `block` of them.

    Attributes:
        loop: The loop's counter.
        rounds: How often it counts.
        block: How much is in a part, at most.
    """

    loop: int
    rounds: int
    block: int


Exchange: TypeAlias = Mapping[Buffer, tuple[Buffer, Affine]]
"""Other buffers in place of some, each with what to add to indices."""


class Division(NamedTuple):
    """A way to divide a call into parts.

    Attributes:
        size: How much there is to divide: members of a stack, rows of a matrix.
        single: Whether a part has one of them, rather than many.
        least: Of how many on parts are worth it.
        adds: Whether parts are to be added up.
        places: Each array, the index of its elements with the number to be divided as counter 0, and whether it is
            written.
        call: The call of a part (None: of all), with other buffers.
    """

    size: int
    single: bool
    least: int
    adds: bool
    places: Sequence[tuple[Buffer, Affine, bool]]
    call: Callable[[Round | None, Exchange], Call]


class Call(Step):
    """A call of a native function.

    Attributes:
        text: Its name in print.
        inputs: Buffers that it reads.
        outputs: Buffers that it writes.
        emit: `(emitter, scope, step)` writes the instructions.
        operations: About how many it takes.
        divisions: How it can be done in parts.
        nest: What does the same, if that may be faster where arrays lie well for it.
    """

    __slots__ = ("divisions", "emit", "inputs", "nest", "operations", "outputs", "text")

    def __init__(
        self,
        text: str,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        emit: Callable[..., None],
        operations: int = 0,
    ) -> None:
        self.text = text
        self.operations = operations
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.emit = emit
        self.divisions: list[Division] = []
        self.nest: Nest | None = None

    def reads(self) -> Iterator[Buffer]:
        """The operands."""
        return iter(self.inputs)

    def writes(self) -> Iterator[Buffer]:
        """The results."""
        return iter(self.outputs)


class Loop(Step):
    """Steps that are repeated.

    Attributes:
        axis: The counter's number in indices, negative.
        count: How often; None for as long as the flag is up, or there are frames to pop.
        condition: Steps that set the flag, before each round.
        flag: A buffer of one truth value.
        body: The steps.
        pushes: Where each round pushes a frame.
        pops: Where each round pops one, until there is none.
    """

    __slots__ = ("axis", "body", "condition", "count", "flag", "pops", "pushes")

    def __init__(
        self,
        axis: int,
        count: int | None,
        body: list[Step],
        condition: list[Step] | None = None,
        flag: Buffer | None = None,
    ) -> None:
        self.axis = axis
        self.count = count
        self.body = body
        self.condition = condition or []
        self.flag = flag
        self.pushes: Frames | None = None
        self.pops: Frames | None = None

    def reads(self) -> Iterator[Buffer]:
        """Whatever a part of it reads."""
        for step in (*self.condition, *self.body):
            yield from step.reads()
        if self.flag is not None:
            yield self.flag
        if self.pops is not None:
            yield self.pops.base

    def writes(self) -> Iterator[Buffer]:
        """Whatever a part of it writes."""
        for step in (*self.condition, *self.body):
            yield from step.writes()
        if self.pushes is not None:
            yield self.pushes.base


class Branch(Step):
    """One of several lists of steps, by the number in a buffer (the nearest where there is none of that number)."""

    __slots__ = ("branches", "index")

    def __init__(self, index: Buffer, branches: list[list[Step]]) -> None:
        self.index = index
        self.branches = branches

    def reads(self) -> Iterator[Buffer]:
        """Whatever a branch reads."""
        yield self.index
        for steps in self.branches:
            for step in steps:
                yield from step.reads()

    def writes(self) -> Iterator[Buffer]:
        """Whatever a branch writes."""
        for steps in self.branches:
            for step in steps:
                yield from step.writes()


def parts(step: Step) -> list[list[Step]]:
    """The lists of steps that a step contains."""
    if type(step) is Loop:
        return [step.condition, step.body]
    return list(step.branches) if type(step) is Branch else []


def every(steps: Sequence[Step]) -> Iterator[Step]:
    """Steps, and the steps that these contain."""
    for step in steps:
        yield step
        for inner in parts(step):
            yield from every(inner)


# Updates of what is there: addition, multiplication, the greater, the smaller, assignment.
UPDATES = {"add", "scale", "raise", "lower", "set"}
