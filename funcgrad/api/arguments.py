"""Which arguments are differentiated, what their leaves are, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcgrad.core.errors import ArgumentError, DifferentiationError, message, revealed
from funcgrad.core.naming import name_of, parameter_name, parameters_of
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import TreeDef, leaf_paths, tree_flatten, tree_unflatten

Argnums = int | str | Sequence[int | str]


def argument_numbers(
    transformation: str, f: Callable[..., Any], argnums: Argnums
) -> tuple[bool, tuple[int | str, ...]]:
    """Whether one argument is meant, and the numbers or names of all that are.

    Raises:
        ArgumentError: There is something else among them.
    """
    single = isinstance(argnums, (int, str, np.integer))
    numbers = (argnums,) if single else tuple(argnums) if isinstance(argnums, Iterable) else ()
    if (not single and not isinstance(argnums, Iterable)) or not all(
        isinstance(number, (int, str, np.integer)) for number in numbers
    ):
        raise ArgumentError(
            message(
                f"{transformation}({name_of(f)}) has argnums={argnums!r}.",
                where=caller(),
                fix="a position, a parameter's name, or a tuple of these.",
            )
        )
    return single, tuple(number if isinstance(number, str) else int(number) for number in numbers)  # type: ignore


def locate(transformation: str, f: Callable[..., Any], argnum: int | str, args: Any, kwargs: Any) -> int | str:
    """Where in a call an argument stands that was asked for by number or by parameter name.

    Returns:
        A position in `args`, or a name in `kwargs`.

    Raises:
        ArgumentError: There is no such argument in the call.
    """
    parameters = parameters_of(f)
    if isinstance(argnum, str):
        if argnum in kwargs:
            return argnum
        names = [p.name for p in parameters or ()]
        if argnum in names[: len(args)]:
            return names.index(argnum)
        raise _unknown_name(transformation, f, argnum, names, kwargs)
    position = argnum + len(args) if argnum < 0 else argnum
    if 0 <= position < len(args):
        return position
    if parameters is not None and 0 <= argnum < len(parameters) and parameters[argnum].name in kwargs:
        return parameters[argnum].name
    raise ArgumentError(
        message(
            f"{transformation}({name_of(f)}) has argnums={argnum}, but was called with {len(args)} positional "
            f"argument{'s' * (len(args) != 1)}.",
            value=f"keyword arguments: {', '.join(kwargs)}" if kwargs else "",
            where=caller(),
            fix=_argnums_fix(f, len(args)),
        )
    )


def _argnums_fix(f: Callable[..., Any], count: int) -> str:
    if not count:
        return f"pass the argument to {name_of(f)} by position, or name it in argnums."
    names = " or ".join([repr(parameter_name(f, i)) for i in range(count)][:4])
    return f"argnums={'0' if count == 1 else f'0 to {count - 1}'}, or by name: {names}."


def _unknown_name(transformation: str, f: Any, argnum: str, names: list[str], kwargs: Any) -> ArgumentError:
    known = [*names, *[name for name in kwargs if name not in names]]
    near = difflib.get_close_matches(argnum, known, n=1)
    first = f"{transformation}({name_of(f)}) was asked for the derivative in {argnum!r}"
    if argnum in names:
        return ArgumentError(
            message(f"{first}, but the call does not pass it.", where=caller(), fix=f"pass {argnum}=...")
        )
    return ArgumentError(
        message(
            f"{first}, but {name_of(f)} has no such parameter.",
            value=f"parameters: {', '.join(known) or 'none'}",
            where=caller(),
            fix=f"did you mean {near[0]!r}?" if near else "name one of the parameters.",
        )
    )


class Selected:
    """The differentiated arguments of one call: their leaves, and how to call the function with others in place.

    Attributes:
        leaves: All leaves of the selected arguments, in order.
        traced: Positions in `leaves` of those that are differentiated (integers need not be, see `allow_int`).
    """

    __slots__ = ("args", "function", "kwargs", "leaves", "places", "single", "traced", "treedefs")

    def __init__(
        self,
        transformation: str,
        f: Callable[..., Any],
        argnums: Argnums,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        holomorphic: bool = False,
        allow_int: bool = False,
        complex_inputs: bool = False,
    ) -> None:
        self.function, self.args, self.kwargs = f, args, kwargs
        self.single, numbers = argument_numbers(transformation, f, argnums)
        self.places = [locate(transformation, f, number, args, kwargs) for number in numbers]
        if len(set(self.places)) < len(self.places):
            raise ArgumentError(
                message(
                    f"{transformation}({name_of(f)}) got the same argument twice: argnums={argnums}.",
                    where=caller(),
                    fix="each argument once.",
                )
            )
        self.leaves: list[Any] = []
        self.treedefs: list[TreeDef] = []
        self.traced: list[int] = []
        for place in self.places:
            leaves, treedef = tree_flatten(args[place] if isinstance(place, int) else kwargs[place])
            start = len(self.leaves)
            for i, x in enumerate(leaves):
                x, differentiated = check_leaf(
                    x,
                    lambda i=i, treedef=treedef, place=place: (  # type: ignore[misc]
                        f"{transformation}({name_of(f)})",
                        leaf_paths(treedef, parameter_name(f, place))[i],
                    ),
                    holomorphic=holomorphic,
                    allow_int=allow_int,
                    complex_inputs=complex_inputs,
                )
                if differentiated:
                    self.traced.append(start + i)
                self.leaves.append(x)
            self.treedefs.append(treedef)

    def paths(self) -> list[str]:
        """What the user calls the leaves: `params['w']`."""
        return leaf_names(self.function, self.places, self.treedefs)

    def naming(self, *, traced: bool = True) -> Callable[[int], str]:
        """For a recording: what the user calls its inputs, the differentiated leaves or all of them.

        It holds no leaf, which might be a tracer of the recording.
        """
        numbers = self.traced if traced else list(range(len(self.leaves)))
        return partial(_leaf_name, self.function, self.places, self.treedefs, numbers)

    def call(self, f: Callable[..., Any], leaves: Sequence[Any]) -> Any:
        """`f` of the call's arguments, with other leaves in the selected ones."""
        args, kwargs = list(self.args), dict(self.kwargs)
        for place, tree in zip(self.places, self.trees(leaves), strict=True):
            if isinstance(place, int):
                args[place] = tree
            else:
                kwargs[place] = tree
        return run(f, args, kwargs)

    def with_traced(self, xs: Sequence[Any]) -> list[Any]:
        """All leaves, those that are differentiated replaced."""
        leaves = list(self.leaves)
        for i, x in zip(self.traced, xs, strict=True):
            leaves[i] = x
        return leaves

    def trees(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves put back into the trees of the selected arguments."""
        trees, start = [], 0
        for treedef in self.treedefs:
            stop = start + treedef.num_leaves
            trees.append(tree_unflatten(treedef, leaves[start:stop]))
            start = stop
        return trees

    def result(self, leaves: Sequence[Any]) -> Any:
        """The derivative's tree: that of the one argument, or a tuple of those of several."""
        trees = self.trees(leaves)
        return trees[0] if self.single else tuple(trees)


def leaf_names(f: Callable[..., Any], places: Sequence[int | str], treedefs: Sequence[TreeDef]) -> list[str]:
    """What the user calls the leaves of some arguments of f: `params['w']`."""
    return [
        path
        for place, treedef in zip(places, treedefs, strict=True)
        for path in leaf_paths(treedef, parameter_name(f, place))
    ]


def _leaf_name(
    f: Callable[..., Any], places: Sequence[int | str], treedefs: Sequence[TreeDef], numbers: Sequence[int], i: int
) -> str:
    return leaf_names(f, places, treedefs)[numbers[i]]


def run(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """f's result. An error of funcgrad's that NumPy or SciPy have wrapped in one of theirs comes out of it."""
    try:
        return f(*args, **kwargs)
    except (ValueError, SystemError) as error:
        raise revealed(error)  # noqa: B904 (an error that is none of these is raised as it is)


def argument_path(f: Callable[..., Any], treedef: TreeDef, i: int) -> str:
    """What the user calls leaf i of `(args, kwargs)`: `params['w']`."""
    path = leaf_paths(treedef, "")[i]
    place, _, rest = path[4:].partition("]")
    return parameter_name(f, int(place) if path.startswith("[0]") else place.strip("'")) + rest


def check_leaf(
    x: Any, name: Callable[[], tuple[str, str]], *, holomorphic: bool, allow_int: bool, complex_inputs: bool
) -> tuple[Any, bool]:
    """A leaf in the form in which it is traced, and whether it is differentiated.

    Args:
        name: Gives the transformation's and the leaf's name, when an error needs them.

    Raises:
        DifferentiationError: It cannot be differentiated.
    """
    kind = type(x)
    if kind is float or kind is complex:
        pass
    elif kind is int:
        x = float(x)
    elif kind is Tracer and x.aval.weak_type and x.dtype.kind == "i":
        x = x * 1.0
    elif kind is Tracer or isinstance(x, (np.ndarray, np.generic)):
        if not isinstance(x, Tracer):
            x = native(x, name)
    else:
        raise _not_a_number(x, *name())
    dtype_kind = np.dtype(kind).kind if kind in (float, complex) else "f" if kind is int else x.dtype.kind
    if dtype_kind == "f":
        if holomorphic:
            return x + 0j, True
        return x, True
    if dtype_kind == "c":
        if not (holomorphic or complex_inputs):
            raise _complex_input(x, *name())
        return x, True
    if dtype_kind in "iub" and allow_int:
        return x, False
    raise _not_a_number(x, *name())


def native(x: Any, name: Callable[[], tuple[str, str]]) -> Any:
    """An array as plain `ndarray` in the machine's byte order.

    Args:
        name: Gives the transformation's and the array's name, when an error needs them.

    Raises:
        DifferentiationError: It is of a subclass with operations of its own: a matrix, a masked array, a quantity.
    """
    kind = type(x)
    if kind is np.ndarray and x.dtype.isnative:
        return x
    if isinstance(x, np.generic):
        return x
    if kind is not np.ndarray and kind is not np.memmap:
        transformation, path = name()
        raise DifferentiationError(
            message(
                f"{transformation} got an array of class {kind.__name__} for {path}.",
                value=f"{path}: {x.dtype}{list(x.shape)}",
                where=caller(),
                why="traced arrays have the operations of np.ndarray, and that class has others.",
                fix=f"np.asarray({path}), or the plain arrays of which it is made ({path}.data and {path}.mask, say).",
            )
        )
    return np.asarray(x, dtype=x.dtype.newbyteorder("="))


def _not_a_number(x: Any, transformation: str, path: str) -> DifferentiationError:
    if isinstance(x, (np.ndarray, np.generic, Tracer, bool)):
        dtype = "bool" if isinstance(x, bool) else x.dtype.name
        return DifferentiationError(
            message(
                f"{transformation} cannot differentiate {path}: its dtype is {dtype}.",
                value=f"{path}: {dtype}{list(getattr(x, 'shape', ()))}",
                where=caller(),
                why="only floating-point values have derivatives.",
                fix=f"{path}.astype(float), or another argnums; allow_int=True gives zeros.",
            )
        )
    return DifferentiationError(
        message(
            f"{transformation} cannot differentiate {path}: it is {'a string' if isinstance(x, str) else 'no number'}.",
            value=f"{path} = {x!r}"[:120],
            where=caller(),
            why="every leaf of a differentiated argument must be a floating-point number or array.",
            fix="pass it as another argument, outside argnums, or keep it as a field of a dataclass.",
        )
    )


def _complex_input(x: Any, transformation: str, path: str) -> DifferentiationError:
    return DifferentiationError(
        message(
            f"{transformation} got a complex value for {path}.",
            value=f"{path}: {getattr(x, 'dtype', 'complex')}{list(getattr(x, 'shape', ()))}",
            where=caller(),
            why="the derivative of a function of complex numbers is one number only if it is holomorphic.",
            fix="holomorphic=True if it is; funcgrad.vjp, or the real and imaginary parts as arguments, if not.",
        )
    )
