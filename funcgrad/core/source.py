"""Which line of the user's code is running?  And, later, what did that line say?

On the hot path a place is a bare pair `(code, lasti)`; `Source` reads file, line, text and the assigned
variable's name out of it only when somebody prints.
"""

from __future__ import annotations

import dis
import linecache
import os
import sys
import threading
from types import CodeType, FrameType
from typing import NamedTuple, TypeAlias

import numpy

Place: TypeAlias = tuple[CodeType, int]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Rooms of the package that hold programs of its own users' kind: their lines are worth naming.
_USER_ROOMS = (_PACKAGE + "demo",)
_NUMPY = os.path.dirname(os.path.abspath(numpy.__file__)) + os.sep


class _InternalFiles(dict[str, bool]):
    """Whether a file belongs to funcgrad or NumPy, remembered by name."""

    def __missing__(self, filename: str) -> bool:
        path = filename if filename.startswith("<") else os.path.abspath(filename)
        internal = (path.startswith(_PACKAGE) and not path.startswith(_USER_ROOMS)) or path.startswith(_NUMPY)
        self[filename] = internal or filename == "<__array_function__ internals>"
        return self[filename]


internal_files = _InternalFiles()


class _Replay(threading.local):
    """The forward equation whose rule is running in this thread, so that what the rule records keeps its place."""

    place: Place | None = None


replay = _Replay()
# Threads with a sweep under way: while there is none, recording need not ask `replay`, which is dear.
replaying: set[int] = set()


def begin_replay() -> Place | None:
    """Begin a sweep that sets `replay.place` before each equation's rule; what it gives goes to `end_replay`."""
    replaying.add(threading.get_ident())
    return replay.place


def end_replay(outer: Place | None) -> None:
    """End a sweep, inside the one that `begin_replay` found."""
    replay.place = outer
    if outer is None:
        replaying.discard(threading.get_ident())


def place_above(frame: FrameType) -> Place | None:
    """The innermost user frame, from this one outwards."""
    found: FrameType | None = frame
    while found is not None:
        if not internal_files[found.f_code.co_filename]:
            return found.f_code, found.f_lasti
        found = found.f_back
    return None


def current_place() -> Place | None:
    """The innermost user frame."""
    return place_above(sys._getframe(1))


class Source(NamedTuple):
    """A place in the user's code, read for people."""

    file: str
    line: int
    function: str
    text: str
    variable: str | None

    def __str__(self) -> str:
        text = f":  {self.text}" if self.text else ""
        return f"{_shown(self.file)}:{self.line}, in {self.function}{text}"

    @property
    def brief(self) -> str:
        """`file:line` with the file's last component only."""
        return f"{os.path.basename(_shown(self.file))}:{self.line}"


def _shown(file: str) -> str:
    """A notebook's cell as IPython calls it ("Cell In[3]", not a temporary file), any other file by its path."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cell = None if shell is None else shell.compile.format_code_name(file)
    return file if cell is None else " ".join(cell)


def read_source(place: Place | None) -> Source | None:
    """File, line, function, text and assigned variable at a place."""
    if place is None:
        return None
    code, lasti = place
    line = next((row for start, stop, row in code.co_lines() if start <= lasti < stop and row), code.co_firstlineno)
    text = linecache.getline(code.co_filename, line).strip()
    return Source(code.co_filename, line, code.co_name, text, _assigned_name(code, lasti))


def _assigned_name(code: CodeType, lasti: int) -> str | None:
    """The name in `name = <the call at lasti>`, if that is what the code does next."""
    for instruction in dis.get_instructions(code):
        if instruction.offset > lasti and instruction.opname != "CACHE":
            return (
                str(instruction.argval)
                if instruction.opname.startswith("STORE_") and instruction.opname in _STORES
                else None
            )
    return None


_STORES = {"STORE_FAST", "STORE_NAME", "STORE_DEREF", "STORE_GLOBAL"}


def assigns_elements(place: Place | None) -> bool:
    """Whether the code at a place is `a[index] = ...`."""
    return place is not None and dis.opname[place[0].co_code[place[1]]] in ("STORE_SUBSCR", "STORE_SLICE")
