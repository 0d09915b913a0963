"""The cache gives back what was put into it, takes nothing from strangers, and never fails a program."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgrad import __main__ as command_line
from funcgrad.compiler import cache, native

CODE = bytes(range(256)) * 20
PROGRAM = cache.Program(3, CODE)
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="has no owners and modes")


@pytest.fixture(autouse=True)
def place(monkeypatch: Any, tmp_path: Path) -> Path:
    """An empty cache of its own, and a process that has not warned yet."""
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("FUNCGRAD_CACHE_DIR", str(folder))
    monkeypatch.delenv("FUNCGRAD_CACHE", raising=False)
    monkeypatch.delenv("FUNCGRAD_CACHE_MEGABYTES", raising=False)
    monkeypatch.setattr(cache, "_state", cache._State())
    return folder


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


# Contents


def test_program_comes_back_as_it_was(place: Path) -> None:
    name = cache.key("text")
    assert cache.read(name) is None
    cache.write(name, PROGRAM)
    assert cache.read(name) == PROGRAM
    assert cache.read(cache.key("other text")) is None
    assert [path.name for path in place.iterdir()] == [f"{name}.program"]


@given(st.integers(0, 2**64 - 1), st.binary())
def test_any_program_comes_back_as_it_was(steps: int, code: bytes) -> None:
    program = cache.Program(steps, code)
    assert cache._unpacked("name", cache._packed("name", program)) == program


def test_program_is_replaced_by_a_later_one() -> None:
    for code in (b"one", b"two"):
        cache.write("name", cache.Program(0, code))
        assert cache.read("name") == (0, code)


def test_code_of_the_cache_runs() -> None:
    cache.write("name", cache.Program(0, native.compile_module("define i64 @f() {\n  ret i64 7\n}\n")))
    stored = cache.read("name")
    assert stored is not None
    assert native.load(stored.code).address("f")


def test_files_and_folders_are_for_this_user_alone(place: Path) -> None:
    before = os.umask(0)
    try:
        cache.write("name", PROGRAM)
    finally:
        os.umask(before)
    if hasattr(os, "getuid"):
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (place.parent, place, only_file(place))]
        assert modes == [0o700, 0o700, 0o600]


# Keys


def test_key_depends_on_all_that_code_depends_on(monkeypatch: Any) -> None:
    def with_changed(target: Any, name: str, value: Any) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            cache._surroundings.cache_clear()
            return cache.key("text")

    host = native.host()
    cache._surroundings.cache_clear()
    keys = [
        cache.key("text"),
        cache.key("text "),
        with_changed(native, "host", lambda: (*host[:2], host[2] + ",+quantum")),
        with_changed(native, "host", lambda: (host[0], "pentium", host[2])),
        with_changed(np, "__version__", "9.9"),
        with_changed(sys, "version", "4.0"),
        with_changed(native, "version", lambda: "9.9"),
        with_changed(cache, "_scipy", lambda: "changed"),
        with_changed(cache, "_sources", lambda: "changed"),
    ]
    cache._surroundings.cache_clear()
    assert len(set(keys)) == len(keys)
    assert cache.key("text") == keys[0]


def test_sources_are_told_by_what_was_installed_and_what_has_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources(place: Path) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(cache, "__file__", str(place / "funcgrad" / "compiler" / "cache.py"))
            return cache._sources()

    def package(place: Path, record: str) -> Path:
        for room in ("compiler", "control", "core", "kernels/math", "primitives"):
            (place / "funcgrad" / room).mkdir(parents=True)
            (place / "funcgrad" / room / "x.py").write_text("x = 1")
        if record:
            (place / "funcgrad-0.1.0.dist-info").mkdir()
            (place / "funcgrad-0.1.0.dist-info" / "RECORD").write_text(record)
        return place

    one, two, newer = (package(tmp_path / name, name[:3]) for name in ("one", "one again", "newer"))
    checkout, other = (package(tmp_path / name, "") for name in ("checkout", "other"))
    assert sources(one) == sources(two) == "one"
    assert len({sources(place) for place in (one, newer, checkout, other)}) == 4
    before = [sources(one), sources(checkout)]
    for place in (one, checkout):
        file = place / "funcgrad" / "kernels" / "math" / "x.py"
        file.write_text("x = 2")
        os.utime(file, (time.time() + 10,) * 2)
    assert sources(two) == "one"
    assert all(a != b for a, b in zip(before, [sources(one), sources(checkout)], strict=True))
    nowhere = tmp_path / "archive.zip"
    assert sources(nowhere) != sources(nowhere)


def test_key_is_the_same_in_another_process() -> None:
    script = "from funcgrad.compiler import cache; print(cache.key('text'))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == cache.key("text")


# Damage


@pytest.mark.parametrize("size", [0, 1, 16, 17, 40, 48, 56, 60, 100, 5000, -1])
def test_file_cut_off_is_removed_and_replaced(place: Path, size: int) -> None:
    cache.write("name", PROGRAM)
    path = only_file(place)
    path.write_bytes(path.read_bytes()[:size])
    assert cache.read("name") is None
    assert not path.exists()
    cache.write("name", PROGRAM)
    assert cache.read("name") == PROGRAM


@pytest.mark.parametrize("position", [0, 5, 17, 30, 49, 52, 57, 80, 200, 5000, -1])
def test_file_altered_is_removed(place: Path, position: int) -> None:
    cache.write("name", PROGRAM)
    data = bytearray(only_file(place).read_bytes())
    data[position] ^= 1
    only_file(place).write_bytes(data)
    assert cache.read("name") is None
    assert list(place.iterdir()) == []


def test_file_under_another_name_is_not_taken(place: Path) -> None:
    cache.write("name", PROGRAM)
    only_file(place).rename(place / "other.program")
    assert cache.read("other") is None


@posix
def test_what_is_no_file_is_not_taken(place: Path, tmp_path: Path) -> None:
    cache.write("name", PROGRAM)
    path = only_file(place)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.read("name") is None
    path.unlink()
    os.mkfifo(path)
    assert cache.read("name") is None
    path.unlink()
    path.mkdir()
    assert cache.read("name") is None


# Several writers, dead writers

WRITER = """
import sys
from funcgrad.compiler import cache
for turn in range(60):
    for k in range(5):
        code = bytes([k]) * 20000
        cache.write(f"name{k}", cache.Program(k, code))
        for j in range(5):
            found = cache.read(f"name{j}")
            assert found is None or found == (j, bytes([j]) * 20000), (j, found.steps)
            if sys.argv[1] == "clearing" and turn % 10 == j:
                cache.clear()
"""


@pytest.mark.parametrize("mode", ["writing", "clearing"])
def test_processes_write_and_read_at_once(place: Path, mode: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", WRITER, mode]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert not list(place.glob("*.part"))
    if mode == "writing":
        assert all(cache.read(f"name{k}") == (k, bytes([k]) * 20000) for k in range(5))


KILLED = """
import os, signal
from funcgrad.compiler import cache
def half(path, data):
    path.write_bytes(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
cache._write_file = half
cache.write("name", cache.Program(0, bytes(5000)))
"""


@posix
def test_killed_writer_leaves_nothing_that_counts(place: Path) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED])
    assert process.returncode == -signal.SIGKILL
    part = only_file(place)
    assert part.suffix == ".part"
    assert cache.read("name") is None
    cache.write("name", PROGRAM)
    assert cache.read("name") == PROGRAM
    cache._evict(place)
    assert part.exists()  # it may still be being written
    os.utime(part, (time.time() - 7200,) * 2)
    cache._evict(place)
    assert [path.suffix for path in place.iterdir()] == [".program"]


# Disks and folders that do not let us


def failing(number: int) -> Any:
    def write(path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(number, os.strerror(number), str(path))

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_full_disk_warns_once_and_leaves_nothing(place: Path, monkeypatch: Any, number: int) -> None:
    monkeypatch.setattr(cache, "_write_file", failing(number))
    with pytest.warns(cache.CacheWarning, match=os.strerror(number)) as caught:
        cache.write("name", PROGRAM)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "FUNCGRAD_CACHE_DIR" in text
    assert str(place) in text
    cache.write("name", PROGRAM)  # no second warning
    cache.write("other", PROGRAM)
    assert list(place.iterdir()) == []
    assert cache.read("name") is None


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_read_only_folder_is_read_and_not_complained_about(place: Path, monkeypatch: Any, number: int) -> None:
    cache.write("name", PROGRAM)

    def refuse(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache, "_write_file", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    cache.write("other", PROGRAM)
    assert cache.read("name") == PROGRAM
    assert cache.read("other") is None


@posix
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_to_write_is_read(place: Path) -> None:
    cache.write("name", PROGRAM)
    place.chmod(0o500)
    try:
        cache.write("other", PROGRAM)
        assert cache.read("name") == PROGRAM
    finally:
        place.chmod(0o700)


def test_file_in_the_place_of_the_folder_warns(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text("a file")
    with pytest.warns(cache.CacheWarning):
        cache.write("name", PROGRAM)
    assert cache.read("name") is None
    assert place.read_text() == "a file"


def test_folder_that_vanishes_is_made_again(place: Path) -> None:
    cache.write("name", PROGRAM)
    only_file(place).unlink()
    place.rmdir()
    assert cache.read("name") is None
    cache.write("name", PROGRAM)
    assert cache.read("name") == PROGRAM


# Folders that others can write to


def refused(reason: str) -> None:
    """Neither written to nor read from, with one warning of the reason."""
    cache._state.warned.clear()
    with pytest.warns(cache.CacheWarning, match=reason) as caught:
        cache.write("name", PROGRAM)
    assert len(caught) == 1
    assert cache.read("name") is None
    assert cache.information().obstacle


@posix
@pytest.mark.parametrize("mode", [0o777, 0o707, 0o722, 0o1777])
def test_folder_that_others_can_write_to_is_refused(place: Path, mode: int) -> None:
    cache.write("name", PROGRAM)
    place.chmod(mode)
    refused("can be written to by others")
    place.chmod(0o700)
    assert cache.read("name") == PROGRAM


@posix
def test_folder_that_a_group_can_write_to_is_refused_unless_it_is_the_users_own(place: Path, monkeypatch: Any) -> None:
    cache.write("name", PROGRAM)
    place.chmod(0o770)
    status = place.stat()
    if status.st_gid == status.st_uid:
        assert cache.read("name") == PROGRAM
    fields = list(status)
    fields[5] = status.st_uid + 1  # st_gid
    assert cache._writable_by_others(os.stat_result(fields))


@posix
def test_folder_in_one_that_others_can_write_to_is_refused(place: Path) -> None:
    cache.write("name", PROGRAM)
    place.parent.chmod(0o777)
    refused("deep can be written to by others")
    place.parent.chmod(0o1777)  # as /tmp
    assert cache.read("name") == PROGRAM


@posix
def test_folder_of_another_user_is_refused(place: Path, monkeypatch: Any) -> None:
    cache.write("name", PROGRAM)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    refused("belongs to another user")


@posix
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() != 0, reason="only root can give folders away")
def test_folder_given_to_another_user_is_refused(place: Path) -> None:
    cache.write("name", PROGRAM)
    os.chown(place, 12345, -1)
    refused("cache belongs to another user")
    os.chown(place, 0, -1)
    os.chown(place.parent, 12345, -1)
    refused("deep belongs to another user")
    os.chown(place.parent, 0, -1)
    os.chown(only_file(place), 12345, -1)
    assert cache.read("name") is None
    assert cache.information().files == 1


@posix
def test_file_that_others_can_write_to_is_not_taken(place: Path) -> None:
    cache.write("name", PROGRAM)
    only_file(place).chmod(0o666)
    assert cache.read("name") is None


@posix
def test_folder_behind_a_link_is_judged_by_where_it_is(place: Path, tmp_path: Path) -> None:
    real = tmp_path / "open" / "real"
    real.mkdir(parents=True, mode=0o700)
    place.parent.mkdir(mode=0o700)
    place.symlink_to(real)
    cache.write("name", PROGRAM)
    assert cache.read("name") == PROGRAM
    assert len(list(real.iterdir())) == 1
    real.parent.chmod(0o777)
    refused("open can be written to by others")


def test_warning_comes_once_for_each_reason(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(cache, "_obstacle", lambda path: "it belongs to somebody")
    with pytest.warns(cache.CacheWarning, match="belongs to somebody") as caught:
        cache.write("name", PROGRAM)
    cache.write("name", PROGRAM)
    cache.write("other", PROGRAM)
    assert cache.read("name") is None
    text = str(caught[0].message)
    assert text.splitlines()[0] == "jit keeps no compiled programs on disk: each process compiles its own."
    assert "chmod 700" in text


# Where


@pytest.mark.parametrize("value", ["0", "off", "OFF", " no ", "False"])
def test_cache_switched_off_does_nothing(place: Path, monkeypatch: Any, value: str) -> None:
    cache.write("name", PROGRAM)
    monkeypatch.setenv("FUNCGRAD_CACHE", value)
    assert cache.read("name") is None
    cache.write("other", PROGRAM)
    assert cache.folder() is None
    assert cache.clear() == 0
    assert cache.information()[:2] == (None, "it is switched off")
    monkeypatch.setenv("FUNCGRAD_CACHE", "1")
    assert cache.read("name") == PROGRAM
    assert cache.read("other") is None


@pytest.mark.skipif(sys.platform == "win32", reason="paths of other platforms")
@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/funcgrad"),
        ("linux", {"XDG_CACHE_HOME": "/fast/cache"}, "/fast/cache/funcgrad"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/funcgrad"),
        ("darwin", {"XDG_CACHE_HOME": "/fast"}, "/home/ada/Library/Caches/funcgrad"),
        ("win32", {}, "/home/ada/AppData/Local/funcgrad/Cache"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/funcgrad/Cache"),
        ("linux", {"FUNCGRAD_CACHE_DIR": "~/kept"}, "/home/ada/kept"),
        ("linux", {"FUNCGRAD_CACHE_DIR": "kept"}, f"{os.getcwd()}/kept"),
        ("linux", {"FUNCGRAD_CACHE_DIR": ""}, "/home/ada/.cache/funcgrad"),
    ],
)
def test_folder_is_where_the_platform_keeps_such_things(
    monkeypatch: Any, platform: str, environment: dict[str, str], expected: str
) -> None:
    for name in ("FUNCGRAD_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(cache.folder()) == expected


def test_user_without_home_has_no_cache(monkeypatch: Any) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FUNCGRAD_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    cache.write("name", PROGRAM)
    assert cache.read("name") is None
    assert cache.information().obstacle == "no home"


# Size


def test_programs_unused_longest_go_first(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE_MEGABYTES", "0.05")
    now = time.time()
    for k in range(8):
        cache.write(f"name{k}", cache.Program(0, bytes(5000)))
        os.utime(place / f"name{k}.program", (now - 10_000 + k,) * 2)
    assert cache.read("name0") is not None  # used now
    cache.write("big", cache.Program(0, bytes(20_000)))
    kept = sorted(path.stem for path in place.iterdir())
    assert kept == ["big", "name0", "name6", "name7"]
    assert sum(path.stat().st_size for path in place.iterdir()) <= 50_000


def test_program_larger_than_the_cache_is_not_kept(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE_MEGABYTES", "0.001")
    cache.write("name", PROGRAM)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("value", ["", "much"])
def test_limit_has_a_default(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE_MEGABYTES", value)
    assert cache.information().limit == cache.LIMIT_MEGABYTES * 10**6


def test_many_writes_never_exceed_the_limit_by_much(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE_MEGABYTES", "0.1")
    for k in range(60):
        cache.write(f"name{k}", cache.Program(0, bytes(4000)))
        assert cache.information().size < 115_000


def test_few_of_many_processes_that_write_little_look_at_the_folder(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FUNCGRAD_CACHE_MEGABYTES", "0.1")
    evict, looks = cache._evict, []
    monkeypatch.setattr(cache, "_evict", lambda folder: (looks.append(folder), evict(folder)))
    for k in range(400):
        monkeypatch.setattr(cache, "_state", cache._State())  # as a process of its own
        cache.write(f"name{k}", cache.Program(0, bytes(500)))
    assert 10 <= len(looks) <= 90  # about 36: one for every sixteenth of the limit
    assert cache.information().size < 150_000


# For people


def test_command_shows_and_clears(place: Path, capsys: Any, monkeypatch: Any) -> None:
    cache.write("one", PROGRAM)
    cache.write("two", PROGRAM)
    (place / "notes.txt").write_text("somebody's own")
    (place / "three.part").write_text("half")
    assert command_line.main(["cache", "info"]) == 0
    text = capsys.readouterr().out
    assert str(place) in text
    assert "in use    yes" in text
    assert "programs  2" in text
    assert command_line.main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("2 programs removed")
    assert [path.name for path in place.iterdir()] == ["notes.txt"]
    monkeypatch.setenv("FUNCGRAD_CACHE", "0")
    assert command_line.main(["cache", "info"]) == 0
    assert "no: it is switched off" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["cache", "burn"])


def test_nothing_warns_in_ordinary_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write("name", PROGRAM)
        cache.read("name")
        cache.information()
        cache.clear()
