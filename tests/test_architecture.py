"""The floors of the house hold: imports run downwards, nothing heavy loads with the package, and it loads fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import funcgrad

PACKAGE = Path(funcgrad.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "core": 1,
    "kernels": 1,
    "primitives": 2,
    "transforms": 3,
    "control": 4,
    "compiler": 5,
    "numpy": 5,
    "scipy": 5,
    "lax": 7,
    "api": 6,
    "tree": 6,
    "testing": 7,
    "__init__": 8,
    "demo": 9,
    "__main__": 10,
}
# Rooms of one floor do not know each other, but for these.
NEIGHBOURS = {("scipy", "numpy")}
HEAVY = {"numba", "llvmlite", "scipy", "sklearn", "matplotlib", "threadpoolctl", "tqdm"}


def module_name(path: Path) -> str:
    """`funcgrad.core.tree` of the file's path."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module: "core" of `funcgrad.core.tree`, "__init__" of the package's face."""
    return module.split(".")[1] if "." in module else "__init__"


def imported_by(node: ast.AST) -> Iterator[str]:
    """Full names of the modules that an import statement loads."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            path = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
            is_module = path.is_dir() or path.with_suffix(".py").is_file()
            yield f"{node.module}.{alias.name}" if is_module else node.module


def internal_imports(path: Path) -> set[str]:
    """The modules of funcgrad that a file imports, anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in imported_by(node)}
    return {name for name in names if name.split(".")[0] == "funcgrad"}


def file_id(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_rooms_each_has_a_floor() -> None:
    assert {room_of(module_name(path)) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(module_name(path))
    for name in internal_imports(path):
        other = room_of(name)
        assert other == room or FLOORS[other] < FLOORS[room] or (room, other) in NEIGHBOURS, (
            f"{room} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[other]})"
        )


@pytest.mark.parametrize("path", [p for p in FILES if "kernels" in p.parts], ids=file_id)
def test_kernels_know_nothing_of_funcgrad(path: Path) -> None:
    assert {room_of(name) for name in internal_imports(path)} <= {"kernels"}


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_imports_inside_functions_are_heavy_ones(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    found = {name for function in functions for node in ast.walk(function) for name in imported_by(node)}
    deferred = ("funcgrad.kernels", "funcgrad.compiler")  # what is wanted only once something is compiled
    light = {name for name in found if name.split(".")[0] not in HEAVY and not name.startswith(deferred)}
    assert not light, f"{file_id(path)} imports inside a function: {sorted(light)}"


def test_imports_have_no_cycles() -> None:
    graph = {module_name(path): internal_imports(path) for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for other in sorted(graph.get(module, ())):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


# What importing the package costs


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return result.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = set(run_python("import sys, funcgrad; print(*sys.modules)").split())
    assert not HEAVY & loaded
    # NumPy loads these on first use.
    assert not {"numpy.f2py", "numpy.ma", "numpy.random", "numpy.testing"} & loaded


TIMED = """
import time, numpy
start = time.perf_counter(), time.thread_time()
import funcgrad
print(time.perf_counter() - start[0], time.thread_time() - start[1])
"""


def test_import_costs_little_beside_numpy(tmp_path: Path) -> None:
    # Compiled once, as an installed package is; then the least of a few runs. What counts is the import's own
    # processor time: the other tests keep the processors busy meanwhile.
    environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    run_python(TIMED, **environment)
    runs = [tuple(map(float, run_python(TIMED, **environment).split())) for _ in range(5)]
    elapsed, own = (1000 * min(column) for column in zip(*runs, strict=True))
    print(f"import funcgrad after numpy: {own:.0f} ms of processor time, {elapsed:.0f} ms on the clock")
    assert own < 100
