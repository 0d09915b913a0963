"""Compiled programs on disk, so that no process compiles what another has: by content, and out of strangers' reach.

A file's name is a digest of all that its code depends on: the program, this machine's processor, and the versions of
everything between them. So nothing in it is ever out of date. Code is only loaded from a folder that nobody else can
write to; a checksum finds files that were cut off or altered. Nothing here ever fails a program: without a cache it
is compiled.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.machinery
import importlib.util
import os
import stat
import struct
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from funcgrad.compiler import native
from funcgrad.core.errors import message

try:
    from _blake2 import blake2b
except ImportError:  # not CPython; hashlib loads OpenSSL besides, which takes as long as all else here
    from hashlib import blake2b

LIMIT_MEGABYTES = 512
"""How large the folder may grow, unless FUNCGRAD_CACHE_MEGABYTES says otherwise; what was unused longest goes first."""

_MAGIC = b"funcgrad program\n"
_SUFFIX, _PART = ".program", ".part"
_STEPS = struct.Struct("<Q")
_DIGEST_SIZE = 32
_OFF = {"0", "off", "no", "false"}
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file
_REFRESHED = 3600.0  # seconds after which a use is noted in a file's time
_SWEPT = 1 / 16  # of the limit is written between two looks at the folder


class CacheWarning(RuntimeWarning):
    """Compiled programs are not kept on disk, and why."""


class Program(NamedTuple):
    """A compiled program.

    Attributes:
        steps: How many of its steps run in Python, which are not kept.
        code: What `native.compile_module` gave.
    """

    steps: int
    code: bytes


class Information(NamedTuple):
    """The state of the cache.

    Attributes:
        folder: Where it is.
        obstacle: Why it is not used; empty if it is.
        files: How many programs it holds.
        size: Their bytes.
        limit: How many bytes it may hold.
    """

    folder: Path | None
    obstacle: str
    files: int
    size: int
    limit: int


# What a program's code depends on


def key(text: str) -> str:
    """The name of a program in the cache.

    Args:
        text: All that the program is made of. What it is compiled for and with is added here.
    """
    return _digest(f"{_surroundings()}\n{text}".encode()).hex()


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_SIZE).digest()


@functools.cache
def _surroundings() -> str:
    """The machine, and the versions and layouts that code is made for."""
    abi = (*importlib.machinery.EXTENSION_SUFFIXES, str(object.__basicsize__), sys.version)
    return "\n".join((*native.host(), *abi, np.__version__, native.version(), _scipy(), _sources()))


# What follows is read at the second call in each process: importlib.metadata alone would take a quarter of its time.


def _scipy() -> str:
    """The file that tells SciPy's version and revision; empty without SciPy."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: something else stands for it among the modules
        spec = importlib.util.find_spec("scipy")
        folders = () if spec is None else spec.submodule_search_locations or ()
        return "".join(Path(folder, "version.py").read_text(encoding="utf-8") for folder in folders)
    return ""


def _sources() -> str:
    """What tells the compiler's own sources, which change without their version while they are worked on, from others.

    The list of files that pip has installed, with their digests; and of files changed since then, or of all where
    there is no such list, size and time, by which Python decides whether its bytecode is out of date.
    """
    package = os.path.dirname(os.path.dirname(__file__))
    rooms = [os.path.join(package, room) for room in ("compiler", "control", "core", "kernels", "primitives")]
    try:
        installed, since = _installed(package)
        files = [(entry.path, entry.stat()) for entry in _below(rooms) if entry.name.endswith(".py")]
    except OSError:  # in an archive, say
        return os.urandom(_DIGEST_SIZE).hex()
    changed = [f"{path} {at.st_size} {at.st_mtime_ns}" for path, at in files if at.st_mtime_ns > since]
    return "\n".join([installed, *sorted(changed)])


def _installed(package: str) -> tuple[str, int]:
    """The list of the package's installed files and when it was written; nothing, and never, in a checkout."""
    with os.scandir(os.path.dirname(package)) as beside:
        for entry in beside:
            if entry.name.startswith("funcgrad-") and entry.name.endswith(".dist-info"):
                path = os.path.join(entry.path, "RECORD")
                with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
                    return file.read(), os.stat(path).st_mtime_ns
    return "", -1


def _below(folders: Iterable[str]) -> Iterator[os.DirEntry[str]]:
    """The files in folders and in folders in these."""
    for folder in folders:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.is_dir():
                    yield from _below([entry.path])
                else:
                    yield entry


# Reading and writing


def read(name: str) -> Program | None:
    """The program of a key; None if it is not there, and then it is to be compiled and written."""
    folder = _usable_folder(create=False)
    if folder is None:
        return None
    path = folder / f"{name}{_SUFFIX}"
    try:
        data = _read_file(path)
    except OSError:
        return None
    program = _unpacked(name, data)
    if program is None:
        _remove(path)
    return program


def write(name: str, program: Program) -> None:
    """Keep a program under a key; where that is impossible, nothing happens but a warning, once."""
    folder = _usable_folder(create=True)
    if folder is None or _state.full:
        return
    data = _packed(name, program)
    if len(data) > _limit():
        return
    part = folder / f"{name}.{os.getpid()}.{os.urandom(4).hex()}{_PART}"
    try:
        _write_file(part, data)
        part.replace(folder / f"{name}{_SUFFIX}")  # at once: readers see all of it or nothing
    except OSError as error:
        _remove(part)
        _explain(error, folder)
        return
    _state.room -= len(data) / _limit()
    if _state.room <= 0.0:
        _state.room = _SWEPT
        _evict(folder)


def _packed(name: str, program: Program) -> bytes:
    content = _STEPS.pack(program.steps) + program.code
    return _MAGIC + _digest(name.encode() + content) + content


def _unpacked(name: str, data: bytes) -> Program | None:
    start = len(_MAGIC) + _DIGEST_SIZE
    content = data[start:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : start] != _digest(name.encode() + content):
        return None
    return Program(_STEPS.unpack_from(content)[0], content[_STEPS.size :])


def _read_file(path: Path) -> bytes:
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
    descriptor = os.open(path, os.O_RDONLY | sum(flags))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
            raise PermissionError(errno.EPERM, "not a file of this user alone", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
    finally:
        os.close(descriptor)
    if time.time() - status.st_mtime > _REFRESHED:
        with contextlib.suppress(OSError):  # read-only
            os.utime(path)
    return data


def _write_file(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


class _State:
    """What a process remembers of its cache: what it has warned of, and when to look at the size again."""

    def __init__(self) -> None:
        self.full = False
        self.warned: set[str] = set()
        # What it may write before it looks, as a part of the limit: by chance, so that of many processes that write
        # little some do, and each does not pay for it.
        self.room = _SWEPT * int.from_bytes(os.urandom(4)) / 2**32


_state = _State()


def _explain(error: OSError, folder: Path) -> None:
    """Warn of an error of the disk. A folder that can only be read, or that has just gone, is nothing to mention."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
        return
    _state.full = True
    _warn(f"{error.strerror or error} in {folder}", "free some space there")


def _warn(why: str, fix: str) -> None:
    if why not in _state.warned:
        _state.warned.add(why)
        fix = f"{fix}; or choose a folder by FUNCGRAD_CACHE_DIR; or switch the cache off by FUNCGRAD_CACHE=0."
        text = message("jit keeps no compiled programs on disk: each process compiles its own.", why=f"{why}.", fix=fix)
        warnings.warn(text, CacheWarning, stacklevel=2)


# Size


def _limit() -> int:
    try:
        megabytes = float(os.environ.get("FUNCGRAD_CACHE_MEGABYTES", ""))
    except ValueError:
        megabytes = LIMIT_MEGABYTES
    return int(megabytes * 1e6)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The programs and the half-written files in the cache."""
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.endswith((_SUFFIX, _PART)):
                    try:
                        yield Path(entry.path), entry.stat(follow_symlinks=False)
                    except OSError:  # another process has just removed it
                        continue
    except OSError:
        return


def _evict(folder: Path) -> None:
    """Remove what killed writers have left, and the programs used least recently, until there is room again."""
    now = time.time()
    programs = []
    for path, status in _files(folder):
        if path.suffix == _SUFFIX:
            programs.append((status.st_mtime, status.st_size, path))
        elif now - status.st_mtime > _ABANDONED:
            _remove(path)
    total = sum(size for _, size, _ in programs)
    if total <= _limit():
        return
    for _, size, path in sorted(programs):
        if total <= 0.75 * _limit():
            break
        _remove(path)
        total -= size


# The folder


def folder() -> Path | None:
    """Where the cache is or would be; None where it is switched off or this user has no place for one."""
    if os.environ.get("FUNCGRAD_CACHE", "").strip().lower() in _OFF:
        return None
    chosen = os.environ.get("FUNCGRAD_CACHE_DIR")
    try:
        return Path(chosen).expanduser().absolute() if chosen else _default_folder()
    except RuntimeError:  # no home
        return None


def _default_folder() -> Path:
    """The platform's place for what can be made again."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "funcgrad" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "funcgrad"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "funcgrad"


def _usable_folder(create: bool) -> Path | None:
    """The folder, if code may be loaded from it and, where it is to be made, if it can be."""
    path = folder()
    if path is None:
        return None
    try:
        if create:
            _make(path)
        elif not path.is_dir():
            return None
        obstacle = _obstacle(path)
    except OSError as error:
        if create:
            _explain(error, path)
        return None
    if obstacle:
        _warn(f"{obstacle}, so others could put code there", f"chmod 700 {path}, and chown it, if it is yours")
        return None
    return path


def _make(path: Path) -> None:
    """Make a folder and those above it, for this user alone."""
    if not path.is_dir():
        _make(path.parent)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():  # else another process has just made it
                raise


def _obstacle(path: Path) -> str:
    """Through which folder another user could put files into one; empty if through none.

    Raises:
        OSError: a folder is not there, or cannot be looked at.
    """
    if not hasattr(os, "getuid"):  # Windows keeps users out of each other's folders by other means
        return ""
    real = Path(os.path.realpath(path))
    for place in dict.fromkeys((path, *path.parents, *real.parents)):
        status = place.lstat()
        if status.st_uid not in (0, os.getuid()):
            return f"{place} belongs to another user"
        sticky = status.st_mode & stat.S_ISVTX  # as /tmp: others may add files, but not replace them
        if _writable_by_others(status) and not sticky and not stat.S_ISLNK(status.st_mode):
            return f"{place} can be written to by others"
    status = real.lstat()
    if status.st_uid != os.getuid():
        return f"{real} belongs to another user"
    return f"{real} can be written to by others" if _writable_by_others(status) else ""


def _writable_by_others(status: os.stat_result) -> bool:
    """Whether more users than the owner can write. A group of the same number is its user's own by convention."""
    by_group = bool(status.st_mode & stat.S_IWGRP) and status.st_gid != status.st_uid
    return by_group or bool(status.st_mode & stat.S_IWOTH)


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not _writable_by_others(status))


# For people


def information() -> Information:
    """What the cache holds, and why it is not used if it is not."""
    path = folder()
    if path is None:
        return Information(None, "it is switched off" if os.environ.get("FUNCGRAD_CACHE") else "no home", 0, 0, 0)
    sizes = [status.st_size for file, status in _files(path) if file.suffix == _SUFFIX]
    try:
        obstacle = _obstacle(path) if path.exists() else ""
    except OSError as error:
        obstacle = str(error)
    return Information(path, obstacle, len(sizes), sum(sizes), _limit())


def clear() -> int:
    """Remove all programs from the disk.

    Returns:
        How many there were.
    """
    path = folder()
    if path is None:
        return 0
    return sum(_remove(file) and file.suffix == _SUFFIX for file, _ in _files(path))
