"""Where temporaries are: in the workspace, or on the stack where the code that uses them is written out in place.

In the workspace each buffer has an offset, and shares it with those that it never meets; what is computed point by
point may lie where an operand was that nothing else reads. Small nests are written out,
point by point; LLVM then keeps the small arrays between them in registers.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import (
    Apply,
    Branch,
    Buffer,
    Check,
    Frames,
    Loop,
    Nest,
    Step,
    every,
)
from funcgrad.compiler.stacks import BASE
from funcgrad.kernels.definitions import Kernel

_ALIGNMENT = 64
# Small: so many instructions, about, and for a whole program so many of all small nests.
_SMALL, _MOST_WRITTEN_OUT = 700, 20000
_SMALL_BYTES = 1024
# So many points are written out also one by one.
_FEW_POINTS = 32


def plan_workspace(steps: Sequence[Step]) -> int:
    """Give every buffer of the workspace its offset in bytes, the largest first; returns the workspace's size."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for number, step in enumerate(steps):
        for buffer in (*step.writes(), *step.reads()):
            if buffer.place == "workspace":
                first.setdefault(buffer, number)
                last[buffer] = number
    heirs = _heirs(steps, first, last)
    groups: dict[Buffer, list[Buffer]] = {}  # what takes the same memory in turn, by the first of them
    for buffer in sorted(first, key=lambda b: first[b]):
        ancestor = buffer
        while ancestor in heirs:
            ancestor = heirs[ancestor]
        groups.setdefault(ancestor, []).append(buffer)
    for ancestor, group in groups.items():
        last[ancestor] = max(last[b] for b in group)
    placed: list[tuple[int, int, Buffer]] = []  # offset, end
    size = 0
    for buffer in sorted(groups, key=lambda b: (-b.nbytes, first[b])):
        space = -(-max(buffer.nbytes, 1) // _ALIGNMENT) * _ALIGNMENT
        offset = 0
        for start, end, other in placed:
            if first[other] > last[buffer] or last[other] < first[buffer]:
                continue
            if start - offset >= space:
                break
            offset = max(offset, end)
        for member in groups[buffer]:
            member.number = offset
        bisect.insort(placed, (offset, offset + space, buffer), key=lambda item: item[0])
        size = max(size, offset + space)
    return size


def _heirs(steps: Sequence[Step], first: dict[Buffer, int], last: dict[Buffer, int]) -> dict[Buffer, Buffer]:
    """What may be stored where an operand was: each such buffer with that operand, which nothing reads later.

    Args:
        steps: The program.
        first: The number of the step that first mentions a buffer of the workspace.
        last: The number of the step that last mentions it.
    """
    found: dict[Buffer, Buffer] = {}
    for number, step in enumerate(steps):
        if type(step) is not Nest or step.ordered or step.sequential:
            continue
        made = [s for s in step.statements if s.combine is None and first.get(s.buffer) == number]
        if not made:
            continue
        places: dict[Buffer, set[Index]] = {}
        for load in [load for s in step.statements for load in s.loads()]:
            places.setdefault(load.buffer, set()).add(load.index)
        written = Counter(step.writes())
        ending = [b for b in places if last.get(b) == number and first[b] < number and b not in written]
        for s in made:
            if s.buffer in places or written[s.buffer] > 1 or not _is_one_to_one(s.index, step):
                continue
            heir_of = [b for b in ending if b.dtype == s.buffer.dtype and b.size == s.buffer.size]
            operand = next((b for b in heir_of if places[b] == {s.index}), None)
            if operand is not None:
                found[s.buffer] = operand
                ending.remove(operand)
    return found


def _is_one_to_one(index: Index, nest: Nest) -> bool:
    """Whether each point of a nest has an element of its own: then each is read before it is overwritten."""
    if type(index) is not Affine:
        return False
    axes = {axis: abs(c) for axis, c, _ in index.terms}
    if any(axis < 0 for axis in axes):
        return False
    span = 0
    for axis in sorted(range(len(nest.extents)), key=lambda axis: axes.get(axis, 0)):
        if nest.extents[axis] > 1:
            if axes.get(axis, 0) <= span:
                return False
            span += axes[axis] * (nest.extents[axis] - 1)
    return True


def write_out_small(steps: Sequence[Step]) -> None:
    """Mark the nests that are written out, and move buffers that only they use to the stack."""
    room = _MOST_WRITTEN_OUT
    users: dict[Buffer, bool] = {}
    for step in every(steps):
        if type(step) is Nest:
            size = step.points if step.points > _SMALL else step.points * _instructions(step)
            step.inline = step.window is None and size <= min(_SMALL, room) and _is_short(step)
            room -= size if step.inline else 0
            here = step.inline
            mentioned = [*step.reads(), *step.writes()]
        elif type(step) is Loop:
            here, mentioned = True, [] if step.flag is None else [step.flag]
        elif type(step) is Branch:
            here, mentioned = True, [step.index]
        else:
            here, mentioned = type(step) is Check, [*step.reads(), *step.writes()]
        for buffer in mentioned:
            users[buffer] = users.get(buffer, True) and here
    for buffer, here in users.items():
        if here and buffer.place == "workspace" and buffer.nbytes <= _SMALL_BYTES:
            buffer.place = "stack"


def plan_frames(steps: Sequence[Step]) -> None:
    """Give every buffer of frames its offset in bytes; frames that nothing pops are not pushed at all."""
    loops = [step for step in every(steps) if type(step) is Loop]
    popped = {loop.pops for loop in loops}
    for loop in loops:
        if loop.pushes not in popped:
            loop.pushes = None
    groups: dict[Frames, dict[Buffer, None]] = {loop.pops: {} for loop in loops if loop.pops is not None}
    for step in every(steps):
        for buffer in () if type(step) in (Loop, Branch) else (*step.writes(), *step.reads()):
            if buffer.frames is not None and buffer.frames in groups:
                groups[buffer.frames][buffer] = None
            elif buffer.frames is not None:
                buffer.place = "workspace"
    for frames, buffers in groups.items():
        offset = unit = 0
        for buffer in sorted(buffers, key=lambda b: (-b.dtype.itemsize, b.serial)):
            alignment = _ALIGNMENT if buffer.nbytes >= _ALIGNMENT else buffer.dtype.itemsize
            unit = max(unit, alignment)
            buffer.number = -(-offset // alignment) * alignment
            offset = buffer.number + buffer.nbytes
        frames.size = -(-offset // unit) * unit if offset else 0
        frames.count = BASE // frames.size if offset else 0
        frames.base.size = frames.count * frames.size


def _instructions(nest: Nest) -> int:
    """About how many instructions each point of a nest takes."""
    applied = {id(x) for s in nest.statements for x in s.expressions() if type(x) is Apply}
    return len(applied) + 2 * len(nest.statements)


def _is_short(nest: Nest) -> bool:
    """Whether a nest written out is short: it has few points, or vectors of four, and calls no library."""
    fills_vectors = any(n % 4 == 0 for n in nest.extents) and all(type(s.index) is Affine for s in nest.statements)
    return (nest.points <= _FEW_POINTS or fills_vectors) and not _calls_library(nest)


def _calls_library(nest: Nest) -> bool:
    """Whether a nest has points enough for vectors of a function of the mathematics library."""
    if nest.points < 3:
        return False
    return any(type(x) is Apply and isinstance(x.function, Kernel) for s in nest.statements for x in s.expressions())
