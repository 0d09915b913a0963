"""What does a function depend on besides its arguments, and is it still the same?

A recorded function has seen the Python values around it: closure variables, globals, defaults, attributes of objects,
of classes and of modules, elements of containers. One walk finds them, each with a condition that says in Python
whether it is still there. Their values make up a state: two equal states mean that a recording may stand for another
call. The conditions make up a function that answers sooner: whether everything is the same object.

Arrays count by identity, since a recording refers to their elements. Nothing can be said of the clock and of iterators,
which are something else each time they are asked, nor of files and of what code in other languages remembers.
"""

from __future__ import annotations

import array
import builtins
import collections
import dis
import functools
import marshal
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.expressions import Expression
from funcgrad.api.ownership import is_installed, is_users, package_of
from funcgrad.api.transformed import Transformed
from funcgrad.api.volatile import is_random_source, is_volatile, makes_unseeded_generators, may_be_volatile
from funcgrad.core.tracing import Tracer

# A function that depends on more values than this is recorded anew at each call.
_MOST_VALUES = 20_000
# With more to compare than this the general way is as good.
_MOST_CHECKS = 1_000
# Longer lists of numbers are compared as a whole.
_LONG = 16
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_OPAQUE = (np.ndarray, np.generic, type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)
_BUFFERS = (bytearray, memoryview, array.array)
# Whose objects hold on to much that matters to no recording.
_BEYOND = {"logging", "threading", "asyncio", "concurrent", "multiprocessing", "unittest", "tempfile", "warnings", "io"}
_SLOTS = (types.WrapperDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType)
# What an object's class does when the object is made or shown, which is not what it does when it is used.
_NOT_IN_USE = {"__init__", "__new__", "__repr__", "__str__", "__eq__", "__hash__", "__init_subclass__", "__post_init__"}


class Same:
    """An object that is equal to itself alone, and is kept so that its id stays its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class Part(NamedTuple):
    """A value that was found around a function.

    Attributes:
        value: The value.
        check: Whether it is still there: a condition on a holder {h}, a key {k} and the value {v}. None where it is
            there for good.
    """

    value: Any
    check: str | None = None
    holder: Any = None
    key: Any = None


_ITEM, _LENGTH, _ABSENT = "{h}[{k}] is {v}", "len({h}) == {v}", "{k} not in {h}"


class Surroundings:
    """All that some functions and objects depend on, as it is now.

    Attributes:
        roots: The functions and objects.
        parts: What was found.
        volatile: Why no recording of the functions can stand for another call, if so.
    """

    def __init__(self, *roots: Any) -> None:
        self.roots = roots
        self.parts: list[Part] = []
        self.volatile = ""
        for part in _walk(roots):
            self.parts.append(part)
            if len(self.parts) > _MOST_VALUES:
                self.volatile = f"it depends on more than {_MOST_VALUES} Python values"
                break
        if not self.volatile:
            self.volatile = next((why for part in self.parts if (why := is_volatile(part.value))), "")
        self._state: tuple[Hashable, ...] | None = None

    @property
    def state(self) -> tuple[Hashable, ...]:
        """Equal to an earlier one if nothing that was seen has changed."""
        if self._state is None:
            self._state = tuple([_key(part.value) for part in self.parts])
        return self._state

    @property
    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The arrays among the parts."""
        return list({id(part.value): part.value for part in self.parts if isinstance(part.value, np.ndarray)}.values())

    @property
    def random_sources(self) -> list[Any]:
        """The generators of random numbers among the parts."""
        return [part.value for part in self.parts if is_random_source(part.value)]

    def conditions(self, code: Expression, others: Iterable[Part] = ()) -> bool:
        """Add that all parts, and others, are still the same objects; that may fail where they are equal.

        Returns:
            Whether it was done: not where there is too much to look at.
        """
        checked = [part for part in (*self.parts, *others) if part.check is not None]
        if len(checked) > _MOST_CHECKS:
            return False
        for value, check, holder, key in checked:
            assert check is not None
            code.parts.append(check.format(h=code.name(holder), k=code.name(key), v=code.name(value)))
        return True


def static_key(x: Any) -> Hashable:
    """What tells a static value from others, where Python's equality does not: 1 == True == 1.0, 0.0 == -0.0."""
    if type(x) is tuple:
        return (tuple, *map(static_key, x))
    return type(x), x.hex() if type(x) is float else x


def has_state(x: Any) -> bool:
    """Whether x is an object whose attributes can be seen."""
    return not isinstance(x, _OPAQUE) and hasattr(x, "__dict__")


def _key(x: Any) -> Hashable:
    """What a value is compared by; containers by their parts, which follow."""
    kind = type(x)
    if kind in _PLAIN:
        return static_key(x)
    if kind is Tracer:
        return "tracer"
    return kind.__name__ if kind in (list, tuple, dict) else Same(x)


# The walk -----------------------------------------------------------------------------------------------------------


def _walk(roots: Iterable[Any]) -> Iterator[Part]:
    """What is around some values, each part once.

    Of modules and classes only those attributes count whose names the functions use. What belongs to an installed
    package is looked into as the user's own where one of the values belongs to that package, too.
    """
    pending = collections.deque(Part(x) for x in roots)
    home = frozenset(map(package_of, roots))
    seen: set[int] = set()
    names: dict[str, None] = {}
    places: list[_Place] = []
    classes: set[type] = set()
    while pending:
        part = pending.popleft()
        yield part
        x = part.value
        if type(x) not in _PLAIN and id(x) not in seen:
            seen.add(id(x))
            if type(x) is types.FunctionType:
                if not is_users(x, home):
                    # One of ours that applies a user's rules shows them.
                    pending.extend(map(Part, vars(x).get("rules", ())))
                    continue
                names.update(dict.fromkeys(_names(x.__code__)))
            elif isinstance(x, types.ModuleType):
                places.append(_Place([vars(x)], is_users(x, home)))
            elif isinstance(x, type):
                places.append(_Place(list(map(vars, x.__mro__)), is_users(x, home), _NOT_IN_USE))
            elif not isinstance(x, _OPAQUE) and is_users(type(x), home) and type(x) not in classes:
                classes.add(type(x))
                places.append(_Place(list(map(vars, type(x).__mro__)), True, _implied(type(x))))
            inner = list(_parts(x, type(x)))
            pending.extend(inner)
            if not isinstance(x, _OPAQUE) and is_installed(type(x), home):
                # Of an object of another package what it holds itself counts: there may be no end to the rest.
                seen.update(id(part.value) for part in inner)
        if not pending:
            for place in places:
                pending.extend(place.found(names))


class _Place:
    """A module or a class: the dicts in which Python looks for its attributes, in turn."""

    def __init__(self, dicts: list[Mapping[str, Any]], users: bool, implied: Iterable[str] = ()) -> None:
        self._dicts = dicts
        self._users = users  # of others only what is volatile matters
        self._looked_up: set[str] = set()
        self._implied = implied

    def found(self, names: Iterable[str]) -> list[Part]:
        """The attributes of these names that were not looked up before."""
        parts: list[Part] = []
        new = [name for name in (*names, *self._implied) if name not in self._looked_up]
        self._looked_up.update(new)
        for name in new:
            for k in [k for k, entries in enumerate(self._dicts) if name in entries][: None if "super" in names else 1]:
                value = self._dicts[k][name]
                if type(value) in _SLOTS or not (self._users or may_be_volatile(value)):
                    continue
                parts += [Part(None, _ABSENT, entries, name) for entries in self._dicts[:k] if name not in entries]
                parts.append(Part(value, _ITEM, self._dicts[k], name))
        return parts


def _implied(cls: type) -> tuple[str, ...]:
    """Methods that are called by operators and not by their names."""
    return tuple(
        name
        for base in cls.__mro__[:-1]
        for name, value in vars(base).items()
        if name.startswith("__") and name not in _NOT_IN_USE and type(value) is types.FunctionType
    )


def _parts(x: Any, kind: type) -> Iterable[Part]:
    """What a value holds."""
    if kind is types.FunctionType:
        return _function_parts(x)
    if isinstance(x, (list, collections.deque)):
        return _sequence_parts(x)
    if isinstance(x, dict):
        check = _ITEM if kind is dict else "{h}.get({k}) is {v}"  # which makes no entry of a defaultdict
        entries = [Part(value, check, x, key) for key, value in x.items()]
        return [Part(len(x), _LENGTH, x), *[Part(key) for key in x], *entries]
    if isinstance(x, tuple):
        return [Part(len(x)), *map(Part, x)]
    if isinstance(x, (set, frozenset)):
        return [Part(tuple(x), "tuple({h}) == {v}", x)]
    if isinstance(x, _BUFFERS):
        return [Part(bytes(x), "bytes({h}) == {v}", x)]
    held = _held(x, kind)
    return _attributes(x, kind) if held is None else map(Part, held)


def _held(x: Any, kind: type) -> tuple[Any, ...] | None:
    """What stands behind objects that are there to call something else."""
    if kind is types.MethodType:
        return x.__func__, x.__self__
    if isinstance(x, types.BuiltinFunctionType):
        return (x.__self__,) if is_random_source(x.__self__) else ()
    if isinstance(x, functools.partial):
        return x.func, x.args, x.keywords
    if isinstance(x, Transformed):
        return (x.function,)
    if isinstance(x, (staticmethod, classmethod)):
        return (x.__func__,)
    if isinstance(x, property):
        return (x.fget,)
    if isinstance(x, functools.cached_property):
        return (x.func,)
    return () if isinstance(x, (*_OPAQUE, Tracer)) or package_of(x) in _BEYOND else None


def _sequence_parts(x: Any) -> list[Part]:
    if type(x) is list and len(x) > _LONG and set(map(type, x)) <= set(_PLAIN):
        return [Part(marshal.dumps(x, 2), "dumps({h}, 2) == {v}", x)]
    return [Part(len(x), _LENGTH, x), *[Part(value, _ITEM, x, k) for k, value in enumerate(x)]]


def _attributes(x: Any, kind: type) -> list[Part]:
    """The attributes of an object itself, in its dict or in slots."""
    entries = getattr(x, "__dict__", None)
    parts = list(_parts(entries, dict)) if type(entries) is dict else []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(x, name):
                parts.append(Part(getattr(x, name), f"{{h}}.{name} is {{v}}", x))
    return parts


def _function_parts(f: types.FunctionType) -> list[Part]:
    """A function's code, attributes, defaults, closure variables and globals."""
    parts = [Part(f.__code__, "{h}.__code__ is {v}", f)]
    if f.__dict__:
        parts += _parts(f.__dict__, dict)
    if f.__defaults__:
        parts.append(Part(f.__defaults__, "{h}.__defaults__ is {v}", f))
    if f.__kwdefaults__:
        parts.append(Part(f.__kwdefaults__, "{h}.__kwdefaults__ is {v}", f))
    if makes_unseeded_generators(f.__code__):
        parts.append(Part(makes_unseeded_generators))
    for cell in f.__closure__ or ():
        try:
            parts.append(Part(cell.cell_contents, "{h}.cell_contents is {v}", cell))
        except ValueError:  # not assigned yet
            parts.append(Part(None))
    variables = f.__globals__
    for name in _globals(f.__code__):
        if name in variables:
            value = variables[name]
            given = isinstance(value, types.ModuleType) and not is_users(value, ())
            parts.append(Part(value, None if given else _ITEM, variables, name))
        elif not hasattr(builtins, name):
            parts.append(Part(None, _ABSENT, variables, name))
    return parts


@functools.lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes that a function's code, and that of functions in it, uses or has as text."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_names(constant)))
        elif isinstance(constant, str) and constant.isidentifier():
            names[constant] = None
    return tuple(names)


@functools.lru_cache(maxsize=4096)
def _globals(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a function's code, and that of functions in it, looks up."""
    names = {i.argval: None for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_globals(constant)))
    return tuple(names)
