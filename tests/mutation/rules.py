"""Which functions are rules: all that give a primitive's derivatives, in `primitives/` and in `control/`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import types
from collections import Counter
from pathlib import Path
from typing import Any

import funcgrad.control
import funcgrad.numpy
import funcgrad.primitives
from funcgrad.core.primitive import Primitive
from tests.mutation.changes import Mutant, mutants_of

ROOM = Path(funcgrad.primitives.__file__).parent
# Where the kinds of declarations are; their loops are the same for all primitives.
KINDS = ("strict.py", "kinds.py")
CONTROL = funcgrad.control.__path__
# What all programs that carry programs have in common.
SHARED = ("derived", "equations", "pairs", "splitting")
# Rooms next door: where more of a module's rules are.
BESIDE = {"reversal": ("reversal_operands",)}
# What derivatives are made of in these modules: tangents and cotangents, linear parts, and how they are taken apart.
RULES = re.compile(
    r"push|pull|vjp|inline|transpose|backward|linear|pairs|second|residuals|as_scan|recorded|record_(split|rule)|"
    r"\.operands",
    re.I,
)
# A transposed loop is a primitive whose implementation is the derivative.
NO_RULES = re.compile("(?<!_transpose)_implementation|abstract|batch|_never")
NOT_DIFFERENTIATED = ("custom_batching",)


def declared_primitives() -> dict[str, Primitive]:
    found: dict[str, Primitive] = {}
    for module in pkgutil.iter_modules([str(ROOM)]):
        room = importlib.import_module(f"funcgrad.primitives.{module.name}")
        found.update({value.name: value for value in vars(room).values() if isinstance(value, Primitive)})
    return found


def controlling_primitives() -> dict[str, tuple[Primitive, list[types.FunctionType]]]:
    """The primitives that carry programs, and what gives their derivatives: their modules' functions."""
    names = [part.name for part in pkgutil.iter_modules(CONTROL) if part.name not in NOT_DIFFERENTIATED]
    rooms = {name: importlib.import_module(f"funcgrad.control.{name}") for name in names}
    found: dict[str, tuple[Primitive, list[types.FunctionType]]] = {}
    shared: list[types.FunctionType] = []
    for name, module in rooms.items():
        functions = [f for f in functions_in(module) if is_rule(f)]
        primitives = [
            value for value in vars(module).values() if isinstance(value, Primitive) and value.abstract is not None
        ]
        own = [p for p in primitives if p.abstract.__module__ == module.__name__]
        if name in SHARED:
            shared += functions
        for room in BESIDE.get(name, ()):
            functions += [f for f in functions_in(rooms[room]) if is_rule(f)]
        found.update({p.name: (p, functions) for p in own if p.batch is not None})
    return {name: (p, [*functions, *shared]) for name, (p, functions) in found.items()}


def is_rule(function: types.FunctionType) -> bool:
    """Whether a function of `control/` has to do with derivatives."""
    name = function.__qualname__
    return bool(RULES.search(name)) and not NO_RULES.search(name)


def functions_in(module: types.ModuleType) -> list[types.FunctionType]:
    """The functions and methods that a module defines."""
    found: list[types.FunctionType] = []
    for value in vars(module).values():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, types.FunctionType):
            found.append(value)
        elif isinstance(value, type):
            found += [f for f in vars(value).values() if isinstance(f, types.FunctionType)]
    return [f for f in found if f.__code__.co_filename == module.__file__]


def rules_of(primitive: Primitive) -> list[types.FunctionType]:
    """The functions of `funcgrad/primitives/` that give a primitive's derivatives."""
    found: dict[int, types.FunctionType] = {}

    def visit(x: Any) -> None:
        if isinstance(x, functools.partial):
            visit([x.func, *x.args])
        elif isinstance(x, (tuple, list)):
            for part in x:
                visit(part)
        elif isinstance(x, dict):
            visit(list(x.values()))
        elif isinstance(x, types.FunctionType) and id(x) not in found and Path(x.__code__.co_filename).parent == ROOM:
            found[id(x)] = x
            # What a rule closes over are other rules, but for how the primitive is computed.
            cells = zip(x.__code__.co_freevars, x.__closure__ or (), strict=True)
            visit([cell.cell_contents for name, cell in cells if name not in ("implementation", "abstract", "batch")])
            names = (x.__globals__.get(name) for name in x.__code__.co_names if name.startswith("_"))
            visit([f for f in names if isinstance(f, types.FunctionType) and "implementation" not in f.__name__])

    visit([primitive.jvp, primitive.vjp, list(primitive.derivatives or ())])
    return [f for f in found.values() if Path(f.__code__.co_filename).name not in KINDS]


def all_mutants(names: list[str] | None = None) -> list[Mutant]:
    """The mutants of all primitives, or of some."""
    owners: dict[int, tuple[types.FunctionType, list[str]]] = {}
    for name, primitive in sorted(declared_primitives().items()):
        if primitive.differentiable:
            for function in rules_of(primitive):
                owners.setdefault(id(function), (function, []))[1].append(name)
    for name, (_, functions) in sorted(controlling_primitives().items()):
        for function in functions:
            owners.setdefault(id(function), (function, []))[1].append(name)
    found = []
    for function, primitives in owners.values():
        if names is None or set(names) & set(primitives):
            found += mutants_of(function, primitives)
    seen: Counter[str] = Counter()
    for mutant in found:
        name = mutant.name
        seen[name] += 1
        mutant.number = seen[name]
    return found
