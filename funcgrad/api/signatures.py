"""One call's arguments, as `jit` tells calls apart: what is traced, what is static, and the key of both together."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.arguments import argument_path, native, run
from funcgrad.api.surroundings import Same, Surroundings, has_state, static_key
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.naming import name_of, parameter_name, parameters_of
from funcgrad.core.seeding import Made
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import is_static, tree_flatten, tree_unflatten


def check_static(owner: Any) -> None:
    """Check that there are parameters for `static_argnums` and `static_argnames`.

    Raises:
        ArgumentError: naming what there is not.
    """
    parameters = parameters_of(owner.function)
    if parameters is None:
        return
    kinds = {p.kind for p in parameters}
    positions = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in parameters]
    count = len(positions)
    wrong: list[Any] = []
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        wrong += [f"static_argnums={n}" for n in owner.static_argnums if not -count <= n < count]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        wrong += [f"static_argnames={name!r}" for name in owner.static_argnames if name not in names]
    if wrong:
        near = difflib.get_close_matches(wrong[0].partition("=")[2].strip("'"), names, n=1)
        raise ArgumentError(
            message(
                f"{owner!r} got {wrong[0]}, but {name_of(owner.function)} has no such parameter.",
                value=f"parameters: {', '.join(names) or 'none'}",
                where=caller(),
                fix=f"did you mean {near[0]!r}?" if near else "a parameter's position or name.",
            )
        )


class Call:
    """One call's arguments: what is traced, what is static, and the key of both together."""

    __slots__ = (
        "arrays",
        "function",
        "key",
        "leaves",
        "made",
        "objects",
        "positions",
        "static_args",
        "static_kwargs",
        "surroundings",
        "treedef",
    )

    def __init__(self, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        positions = {n % len(args) for n in owner.static_argnums if -len(args) <= n < len(args)}
        names = set(owner.static_argnames)
        if names:
            parameters = parameters_of(owner.function) or ()
            positions |= {i for i, p in enumerate(parameters[: len(args)]) if p.name in names}
        self.static_args = {i: args[i] for i in positions}
        self.static_kwargs = {name: value for name, value in kwargs.items() if name in names}
        dynamic_args = tuple(None if i in positions else x for i, x in enumerate(args))
        dynamic_kwargs = {name: value for name, value in kwargs.items() if name not in names}
        self.leaves, self.treedef = tree_flatten((dynamic_args, dynamic_kwargs))
        statics = [i for i, x in enumerate(self.leaves) if is_static(x) or _is_object(x)]
        self.positions = [i for i in range(len(self.leaves)) if i not in statics]
        self.objects = objects = [self.leaves[i] for i in statics]
        self.function = owner.function
        self.arrays = [_array(owner, self, i) for i in self.positions]
        self.key = (
            self.treedef,
            tuple([get_aval(x) for x in self.arrays]),
            tuple([(i, static_key(x) if is_static(x) else Same(x)) for i, x in zip(statics, objects, strict=True)]),
            tuple([(i, static_key(self.static_args[i])) for i in sorted(positions)]),
            tuple([(name, static_key(self.static_kwargs[name])) for name in sorted(self.static_kwargs)]),
        )
        self.surroundings: Surroundings | None = None
        self.made: dict[int, Made] = {}  # by identity, what rules made of seeds while it was recorded
        try:
            hash(self.key)
        except TypeError as error:
            raise ArgumentError(
                message(
                    f"{owner!r} got a static argument that cannot be hashed.",
                    value=f"{self._unhashable()}: {error}",
                    where=caller(),
                    fix="a tuple instead of a list, a frozen dataclass instead of a dict; or do not make it static.",
                )
            ) from None

    @property
    def roots(self) -> tuple[Any, ...]:
        """The function, and the arguments that are no arrays."""
        return self.function, *self.objects, *self.static_args.values(), *self.static_kwargs.values()

    def look_around(self) -> Surroundings:
        """What the call depends on besides the arrays among its arguments, as it is at the first look."""
        if self.surroundings is None:
            self.surroundings = Surroundings(*self.roots)
        return self.surroundings

    def _unhashable(self) -> str:
        """Which static arguments cannot be hashed."""
        named = {parameter_name(self.function, i): x for i, x in self.static_args.items()} | self.static_kwargs
        return ", ".join(f"{name} = {x!r}"[:80] for name, x in named.items() if not _is_hashable(x))

    def is_array(self, subscripts: tuple[Any, ...], x: Any) -> bool:
        """Whether a part of `(args, kwargs)`, given by its subscripts, is an array to the function."""
        if len(subscripts) == 2 and subscripts[1] in (self.static_kwargs if subscripts[0] else self.static_args):
            return False
        return not is_static(x) and not _is_object(x)

    def path(self, number: int) -> str:
        """What the user calls one of the arrays."""
        return argument_path(self.function, self.treedef, self.positions[number])

    def run(self, f: Callable[..., Any], arrays: Sequence[Any]) -> Any:
        """`f` of the call's arguments with other arrays in place."""
        return run(f, *self.arguments(arrays))

    def arguments(self, arrays: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The call's arguments, by position and by name, with other arrays in place."""
        leaves = list(self.leaves)
        for i, x in zip(self.positions, arrays, strict=True):
            leaves[i] = x
        args, kwargs = tree_unflatten(self.treedef, leaves)
        args = [self.static_args.get(i, x) for i, x in enumerate(args)]
        return args, {**kwargs, **self.static_kwargs}


def _is_hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _is_object(x: Any) -> bool:
    """Whether x is an object of a plain class: static, and seen again when its attributes change."""
    return not isinstance(x, (Tracer, ShapedArray)) and has_state(x)


def _array(owner: Any, call: Call, i: int) -> Any:
    x = call.leaves[i]
    if isinstance(x, (np.ndarray, np.generic)):
        return native(x, lambda: (repr(owner), argument_path(owner.function, call.treedef, i)))
    if type(x) in (int, float, complex) or isinstance(x, (Tracer, ShapedArray)):
        return x
    raise ArgumentError(
        message(
            f"{owner!r} got an argument that is neither an array nor static configuration.",
            value=f"{argument_path(owner.function, call.treedef, i)} = {x!r}"[:120],
            where=caller(),
            fix="a dataclass, whose fields count one by one; static_argnums or static_argnames, if it never changes.",
        )
    )
