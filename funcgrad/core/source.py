"""Which line of the user's code is running?  And, later, what did that line say?

On the hot path a place is a bare pair `(code, lasti)`; `Source` reads file, line, text and the assigned
variable's name out of it only when somebody prints.
"""

from __future__ import annotations

import dis
import importlib.util
import linecache
import os
import sys
import sysconfig
import threading
from types import CodeType, FrameType
from typing import NamedTuple, TypeAlias

import numpy

Place: TypeAlias = tuple[CodeType, int]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Rooms of the package that hold programs of its own users' kind: their lines are worth naming.
_USER_ROOMS = (_PACKAGE + "demo",)
_NUMPY = os.path.dirname(os.path.abspath(numpy.__file__)) + os.sep
_SCIPY = os.path.dirname(getattr(importlib.util.find_spec("scipy"), "origin", None) or os.devnull) + os.sep
_PYTHON = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = (_PYTHON + "site-packages", _PYTHON + "dist-packages")


class _InternalFiles(dict[str, bool]):
    """Whether a file belongs to funcgrad, NumPy, SciPy or Python itself, remembered by name."""

    def __missing__(self, filename: str) -> bool:
        path = filename if filename.startswith("<") else os.path.abspath(filename)
        ours = path.startswith(_PACKAGE) and not path.startswith(_USER_ROOMS)
        python = path.startswith(_PYTHON) and not path.startswith(_INSTALLED)
        self[filename] = (
            ours or python or path.startswith((_NUMPY, _SCIPY)) or filename == "<__array_function__ internals>"
        )
        return self[filename]


internal_files = _InternalFiles()


class _InstalledFiles(dict[str, bool]):
    """Whether a file belongs to an installed package, remembered by name."""

    def __missing__(self, filename: str) -> bool:
        parts = os.path.abspath(filename).split(os.sep)
        self[filename] = not filename.startswith("<") and ("site-packages" in parts or "dist-packages" in parts)
        return self[filename]


installed_files = _InstalledFiles()


class _Replay(threading.local):
    """The forward equation whose rule is running in this thread, so that what the rule records keeps its place.

    Attributes:
        always: Whether somebody looks on, and wants the place where nothing is recorded, too.
    """

    place: Place | None = None
    always: bool = False


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


def note_place(error: Exception) -> None:
    """Add the user's line to an error of NumPy's that comes when the user's code is not running any more."""
    source = read_source(replay.place)
    if source is not None and not hasattr(error, "__notes__"):
        error.add_note(f"of the line recorded at {source}")


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


def caller() -> Source | None:
    """The innermost user frame, read for people."""
    return read_source(current_place())


def within_scipy() -> bool:
    """Whether SciPy stands between the user's code and here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and internal_files[frame.f_code.co_filename]:
        if os.path.abspath(frame.f_code.co_filename).startswith(_SCIPY):
            return True
        frame = frame.f_back
    return False


class Source(NamedTuple):
    """A place in the user's code, read for people.

    Attributes:
        text: The line.
        variable: What the line assigns the result to.
        expression: What exactly is evaluated there: `np.sin(x)`.
    """

    file: str
    line: int
    function: str
    text: str
    variable: str | None
    expression: str = ""

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
    return Source(code.co_filename, line, code.co_name, text, _assigned_name(code, lasti), _expression(code, lasti))


def definition(f: object) -> Source | None:
    """Where a function of the user's begins; the innermost user frame, if it is none."""
    while not hasattr(f, "__code__"):
        inner = next((getattr(f, name) for name in ("__func__", "__wrapped__", "func") if hasattr(f, name)), None)
        if inner is None:
            break
        f = inner
    code = getattr(f, "__code__", None) or getattr(vars(type(f)).get("__call__"), "__code__", None)
    if not isinstance(code, CodeType) or internal_files[code.co_filename]:
        return caller()
    text = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return Source(code.co_filename, code.co_firstlineno, code.co_name, text, None)


def _assigned_name(code: CodeType, lasti: int) -> str | None:
    """The name in `name = <the call at lasti>` or `name.attribute = ...`, if that is what the code does next."""
    following = (i for i in dis.get_instructions(code) if i.offset > lasti and i.opname not in ("CACHE", "NOP"))
    first, second = next(following, None), next(following, None)
    if first is None:
        return None
    if first.opname in _STORES:
        return str(first.argval)
    if first.opname in _DOUBLE_STORES:
        return str(first.argval[0])
    if second is not None and second.opname == "STORE_ATTR" and isinstance(first.argval, str):
        return f"{first.argval}.{second.argval}"
    return None


_STORES = {"STORE_FAST", "STORE_NAME", "STORE_DEREF", "STORE_GLOBAL"}
_DOUBLE_STORES = {"STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST"}  # of Python 3.13


def _expression(code: CodeType, lasti: int) -> str:
    """The text of the expression at a place; empty where the code does not know it."""
    positions = list(code.co_positions())
    line, last, start, stop = positions[lasti // 2] if lasti // 2 < len(positions) else (None,) * 4
    if line is None or last is None or start is None or stop is None:
        return ""
    lines = [linecache.getline(code.co_filename, n).encode() for n in range(line, last + 1)]
    lines[-1] = lines[-1][:stop]
    lines[0] = lines[0][start:]
    return " ".join(part.decode(errors="replace").strip() for part in lines)


def assigns_elements(place: Place | None) -> bool:
    """Whether the code at a place is `a[index] = ...`."""
    return place is not None and dis.opname[place[0].co_code[place[1]]] in ("STORE_SUBSCR", "STORE_SLICE")
