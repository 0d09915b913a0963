"""Which stores go past the cache: those that fill large results line by line, where reading the lines first is a waste.

A store to memory that is not in the cache reads the line that it writes to, so a result costs its bytes twice; a
non-temporal store of a whole line does not. It pays for results that would not stay in the cache, even when they are
read right afterwards; for less it costs.
"""

from __future__ import annotations

import platform
from pathlib import Path

from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Nest, Statement
from funcgrad.compiler.ordering import Plan
from funcgrad.compiler.scope import Scope
from funcgrad.kernels.assembly import Builder


def last_cache() -> int:
    """The bytes of the cache that the cores share; 0 where the system does not tell."""
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text(encoding="ascii").strip()
        return int(size.removesuffix("K")) << 10
    except (OSError, ValueError):
        return 0


LARGE = min(max(last_cache() // 4, 6 << 20), 16 << 20)
"""From how many bytes on results are streamed.

As long as operands and results stay in the cache that the cores share, streaming costs 5 to 9 %; beyond, or where other
programs use that cache, it saves 30 to 50 %.
"""
MOST_COST = 12.0
"""Up to which cost of its expressions a nest waits for memory; where it computes meanwhile, streaming slows it down."""
LINE = 64
_MOST_STREAMS = 4  # cores collect about ten lines at a time, other stores among them
HAS_STREAMS = platform.machine().lower() in ("x86_64", "amd64")


def streamed(plan: Plan, width: int, vector_bits: int) -> set[int]:
    """The ids of the statements of a nest whose stores may go past the cache.

    Args:
        plan: How the nest is run through.
        width: How many lanes its vectors have.
        vector_bits: The size of the machine's vectors.
    """
    nest = plan.nest
    if nest.inline or nest.window is not None:
        return set()
    if not HAS_STREAMS or vector_bits < 256 or plan.vector is None or plan.order[-1] != plan.vector:
        return set()
    loaded = {x.buffer for s in nest.statements for x in s.loads()}
    found = {
        id(s)
        for s in nest.statements
        if s.buffer not in loaded
        and s.buffer.dtype.kind in "iuf"
        and s.buffer.dtype.itemsize * width * 8 == vector_bits
        and _fills_lines(s, plan.vector)
    }
    if sum(s.expression.cost for s in nest.statements) > MOST_COST:
        return set()
    # All of a nest's statements only store: what sums besides would have to be split in two with the loops.
    if any(s.combine is not None for s in nest.statements) or len(found) > _MOST_STREAMS:
        return set()
    return found


def _fills_lines(s: Statement, vector: int) -> bool:
    """Whether vectors of a statement lie within lines of a large result that begins with a line."""
    index, size = s.index, s.buffer.dtype.itemsize
    if s.buffer.place != "output" or s.buffer.nbytes < LARGE or type(index) is not Affine:
        return False
    others = [c for axis, c, _ in index.terms if axis != vector]
    inside = all(c * size % LINE == 0 for c in (*others, index.offset))
    return index.coefficient(vector) == 1 and inside and all(axis >= 0 for axis, _, _ in index.terms)


def are_aligned(scope: Scope, nest: Nest, stores: set[int]) -> str:
    """The condition that the streamed results begin with a line: one that a user's own memory handler made may not."""
    b, total = scope.builder, ""
    for buffer in dict.fromkeys(s.buffer for s in nest.statements if id(s) in stores):
        number = b.name()
        b.do(f"{number} = ptrtoint ptr {scope.pointer(buffer)} to i64")
        both = number
        if total:
            both = b.name()
            b.do(f"{both} = or i64 {number}, {total}")
        total = both
    low, aligned = b.name(), b.name()
    b.do(f"{low} = and i64 {total}, {LINE - 1}")
    b.do(f"{aligned} = icmp eq i64 {low}, 0")
    return aligned


def finish(b: Builder) -> None:
    """Order streamed stores before whatever follows, such as letting another thread read them."""
    b.module.declare("declare void @llvm.x86.sse.sfence()")
    b.do("call void @llvm.x86.sse.sfence()")
