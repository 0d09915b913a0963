"""Where temporaries are in the workspace: each buffer has an offset, and shares it with those that it never meets."""

from __future__ import annotations

from collections.abc import Sequence

from funcgrad.compiler.loops import Buffer, Step

_ALIGNMENT = 64


def plan_workspace(steps: Sequence[Step]) -> int:
    """Give every buffer of the workspace its offset in bytes, the largest first; returns the workspace's size."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for number, step in enumerate(steps):
        for buffer in (*step.writes(), *step.reads()):
            if buffer.place == "workspace":
                first.setdefault(buffer, number)
                last[buffer] = number
    placed: list[tuple[int, int, Buffer]] = []  # offset, end
    size = 0
    for buffer in sorted(first, key=lambda b: (-b.nbytes, first[b])):
        space = -(-max(buffer.nbytes, 1) // _ALIGNMENT) * _ALIGNMENT
        offset = 0
        for start, end, other in placed:
            if first[other] > last[buffer] or last[other] < first[buffer]:
                continue
            if start - offset >= space:
                break
            offset = max(offset, end)
        buffer.number = offset
        placed.append((offset, offset + space, buffer))
        placed.sort(key=lambda item: item[0])
        size = max(size, offset + space)
    return size
