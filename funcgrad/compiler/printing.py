"""How the loops of a program read: nests with their statements, shared and long expressions named once.

for i0<3:
  let e0 = sin(in0[i0])
  out0[i0] = multiply(e0, e0)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from funcgrad.compiler.indices import Affine, Index, name
from funcgrad.compiler.loops import (
    Apply,
    Branch,
    Buffer,
    Call,
    Check,
    Constant,
    Counter,
    Expression,
    Frames,
    Load,
    Loop,
    Nest,
    Statement,
    Step,
    Window,
)

# Expressions that are longer than this have a name, too.
_LONG = 90


def program_text(steps: Sequence[Step]) -> str:
    """A program as text."""
    return "\n".join(_Printer().steps(steps))


class _Printer:
    """Names of buffers, and the lines of steps."""

    def __init__(self) -> None:
        self._names: dict[Buffer, str] = {}
        self._frames: dict[Frames, int] = {}

    def steps(self, steps: Sequence[Step], indent: str = "") -> Iterator[str]:
        """Steps, line by line."""
        for step in steps:
            yield from self.step(step, indent)

    def step(self, step: Step, indent: str) -> Iterator[str]:
        """A step, line by line."""
        if type(step) is Nest:
            counters = " ".join(f"{name(k)}<{n}" for k, n in enumerate(step.extents))
            part = "" if step.window is None else f" in {_part(step.window)}"
            yield f"{indent}for {counters}{part}:" if counters else f"{indent}once:"
            yield from self._statements(step.statements, f"{indent}  ")
        elif type(step) is Check:
            yield f"{indent}check {self.buffer(step.buffer)}: {step.reason}"
        elif type(step) is Loop:
            if step.flag is not None:
                yield f"{indent}while:"
                yield from self.steps(step.condition, f"{indent}  ")
                yield f"{indent}  if not {self.buffer(step.flag)}: break"
            elif step.pops is not None:
                yield f"{indent}while frames{self._number(step.pops)}:"
                yield f"{indent}  pop frames{self._number(step.pops)}"
            else:
                yield f"{indent}loop {name(step.axis)}<{step.count}:"
            if step.pushes is not None:
                yield f"{indent}  push frames{self._number(step.pushes)}"
            yield from self.steps(step.body, f"{indent}  ")
        elif type(step) is Branch:
            for number, steps in enumerate(step.branches):
                yield f"{indent}case {number} of {self.buffer(step.index)}:"
                yield from self.steps(steps, f"{indent}  ")
        else:
            outs, ins = (", ".join(dict.fromkeys(map(self.buffer, group))) for group in (step.writes(), step.reads()))
            yield f"{indent}{outs} = {_function(step)}({ins})"

    def _number(self, frames: Frames) -> int:
        return self._frames.setdefault(frames, len(self._frames))

    def buffer(self, b: Buffer) -> str:
        """A buffer's name."""
        if b not in self._names and b.place == "frame":
            assert b.frames is not None
            self._names[b] = f"frames{self._number(b.frames)}.{len(self._names)}"
        elif b not in self._names:
            prefix = {"input": "in", "output": "out", "constant": "const"}.get(b.place, "tmp")
            number = len(self._names) if prefix == "tmp" else b.number
            self._names[b] = f"{prefix}{number}"
        return self._names[b]

    def _statements(self, statements: Sequence[Statement], indent: str) -> Iterator[str]:
        roots = [x for s in statements for x in (s.expression, s.index) if isinstance(x, Expression)]
        uses = _uses(roots)
        texts: dict[int, str] = {}
        names = 0
        for s in statements:
            for root in (s.expression, s.index):
                for x in _operands_first(root, texts) if isinstance(root, Expression) else ():
                    text = self._text(x, texts)
                    if type(x) is Apply and (uses[id(x)] > 1 or (len(text) > _LONG and x is not root)):
                        yield f"{indent}let e{names} = {text}"
                        text = f"e{names}"
                        names += 1
                    texts[id(x)] = text
            sign = "=" if s.combine is None else f"={s.combine}="
            yield f"{indent}{self._element(s.buffer, s.index, texts)} {sign} {texts[id(s.expression)]}"

    def _text(self, x: Expression, texts: dict[int, str]) -> str:
        """A scalar, by the texts of what it is made of."""
        if type(x) is Constant:
            return f"{x.value}"
        if type(x) is Counter:
            return f"({x.index!r})"
        if type(x) is Load:
            return self._element(x.buffer, x.index, texts)
        assert type(x) is Apply
        function = getattr(x.function, "name", None) or x.function.__name__
        return f"{function}({', '.join(texts[id(part)] for part in x.operands)})"

    def _element(self, buffer: Buffer, index: Index, texts: dict[int, str]) -> str:
        return f"{self.buffer(buffer)}[{repr(index) if type(index) is Affine else texts[id(index)]}]"


def _function(step: Step) -> str:
    """What a step that is no loop calls."""
    return step.text if type(step) is Call else f"numpy {step!r}"


def _parts(x: Expression) -> Sequence[Expression]:
    """What a scalar is made of."""
    if type(x) is Load:
        return (x.index,) if isinstance(x.index, Expression) else ()
    return x.operands if type(x) is Apply else ()


def _uses(roots: Sequence[Expression]) -> dict[int, int]:
    """How often each scalar is asked for by others, or stored."""
    uses: dict[int, int] = {}
    pending = list(roots)
    while pending:
        x = pending.pop()
        uses[id(x)] = uses.get(id(x), 0) + 1
        if uses[id(x)] == 1:
            pending.extend(_parts(x))
    return uses


def _operands_first(root: Expression, known: dict[int, str]) -> Iterator[Expression]:
    """A scalar and all that it is made of, each after its own parts; those that are known are left out."""
    pending = [(root, False)]
    while pending:
        x, ready = pending.pop()
        if id(x) in known:
            continue
        if ready:
            yield x
        else:
            pending.append((x, True))
            pending.extend((part, False) for part in reversed(_parts(x)))


def _part(window: Window) -> str:
    """A window in print: `i0-block t0 of 4096 (shift -1)`."""
    shift = f" shifted by {window.shift}" if window.shift else ""
    return f"{name(window.axis)}-block {name(window.loop)} of {window.block}{shift}"
