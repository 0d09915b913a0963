"""A user's function as one of flat arrays: what is differentiated goes in, what has a derivative comes out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.arguments import argument_path, native, run
from funcgrad.core.avals import get_aval
from funcgrad.core.errors import DifferentiationError, message
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import flatten_results, is_static, leaf_paths, tree_flatten, tree_unflatten
from funcgrad.transforms.jvp import jvp
from funcgrad.transforms.transpose import pull_back, vjp


def is_inexact(x: Any) -> bool:
    """Whether x is of floating-point or complex numbers, so that it has tangents."""
    return get_aval(x).dtype.kind in "fc"


class FlatFunction:
    """A function of a call's floating-point leaves alone, which gives the floating-point leaves of the result.

    Args:
        f: Any function of trees of arrays.
        args: Its arguments, a tuple; a single argument that is none will do.
        kwargs: Its keyword arguments.

    Attributes:
        name: What the user calls it.
        xs: The leaves that are differentiated, as arrays. Integers are only if there is nothing else.
        paths: What the user calls them: `params['w']`.
        result_paths: What the user calls the leaves of the result, of the last call.

    Raises:
        DifferentiationError: (a TypeError) No argument can be differentiated.
    """

    def __init__(self, f: Callable[..., Any], args: Any, kwargs: dict[str, Any] | None = None) -> None:
        self.function, self.name = f, name_of(f)
        self.result_paths: list[str] = []
        args = tuple(args) if isinstance(args, (tuple, list)) else (args,)
        self._leaves, self._treedef = tree_flatten((args, kwargs or {}))
        numbers = [i for i, x in enumerate(self._leaves) if not is_static(x)]
        inexact = [i for i in numbers if is_inexact(self._leaves[i])]
        self._positions = inexact or [i for i in numbers if type(self._leaves[i]) is int]
        if not self._positions:
            raise DifferentiationError(
                message(
                    f"no argument of {self.name} can be differentiated.",
                    where=caller(),
                    why="only floating-point and complex values have derivatives.",
                    fix="floats among the arguments: 1.0, or x.astype(float).",
                )
            )
        self.paths = [argument_path(f, self._treedef, i) for i in self._positions]
        self.xs = [self._array(i, bool(inexact)) for i in self._positions]

    def _array(self, i: int, inexact: bool) -> Any:
        x = self._leaves[i]
        if isinstance(x, np.ndarray):
            return native(x, lambda: (self.name, argument_path(self.function, self._treedef, i)))
        return x if isinstance(x, np.generic) else np.asarray(x if inexact else float(x))[()]

    def trees(self, xs: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments with other leaves in place of those that are differentiated."""
        leaves = list(self._leaves)
        for i, x in zip(self._positions, xs, strict=True):
            leaves[i] = x
        return tree_unflatten(self._treedef, leaves)

    def outputs(self, *xs: Any) -> tuple[list[Any], list[str]]:
        """The floating-point leaves of the result, and what the user would call them: `result['loss']`."""
        args, kwargs = self.trees(xs)
        leaves, treedef = flatten_results(run(self.function, args, kwargs))
        paths = leaf_paths(treedef, "result")
        for y, path in zip(leaves, paths, strict=True):
            if not isinstance(y, (np.ndarray, np.generic, Tracer, bool, int, float, complex)):
                raise DifferentiationError(
                    message(
                        f"{self.name} returned something that is no number or array.",
                        value=f"{path} = {y!r}"[:120],
                        where=caller(),
                        fix="return numbers and arrays, in dicts, lists and tuples.",
                    )
                )
        found = [(y, path) for y, path in zip(leaves, paths, strict=True) if is_inexact(y)]
        self.result_paths = [path for _, path in found]
        return [y for y, _ in found], [path for _, path in found]

    def at_point(self) -> tuple[list[Any], list[str]]:
        """The floating-point leaves of the result at the call's own arguments, and their paths, without warnings."""
        return quietly(self.outputs, *self.xs)

    def __call__(self, *xs: Any) -> list[Any]:
        """The floating-point leaves of the result."""
        return self.outputs(*xs)[0]


def tangents(f: Callable[..., list[Any]], xs: Sequence[Any], ts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Values of a flat function and their tangents along ts, zeros where nothing depends on xs."""
    ys, y_dots = jvp(f, xs, [matched(t, x) for t, x in zip(ts, xs, strict=True)])
    return ys, [zeros(y) if y_dot is None else y_dot for y, y_dot in zip(ys, y_dots, strict=True)]


def cotangents(f: Callable[..., list[Any]], xs: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """What a flat function's pullback makes of cotangents, zeros where nothing depends on an x."""
    ys, recording, ids = vjp(f, xs)
    try:
        seeds = [matched(ct, y) if is_inexact(y) else None for ct, y in zip(cts, ys, strict=True)]
        x_cts = pull_back(recording, ids, seeds)
    finally:
        recording.close()
    return [zeros(x) if x_ct is None else x_ct for x, x_ct in zip(xs, x_cts, strict=True)]


def matched(t: Any, x: Any) -> Any:
    """A direction in the dtype of what it is a direction of (which may have become complex, or wide)."""
    return np.asarray(t).astype(get_aval(x).dtype)


def zeros(x: Any) -> Any:
    """The zero tangent of x."""
    aval = get_aval(x)
    return np.zeros(aval.shape, aval.dtype if aval.dtype.kind in "fc" else np.float64)


def tangent_function(f: Callable[..., list[Any]], ts: Sequence[Any]) -> Callable[..., list[Any]]:
    """x -> the tangents of f at x along fixed ts: forward mode's way to the next order."""
    return lambda *xs: tangents(f, xs, ts)[1]


def cotangent_function(f: Callable[..., list[Any]], cts: Sequence[Any]) -> Callable[..., list[Any]]:
    """x -> the cotangents of f at x for fixed cts: reverse mode's way to the next order."""
    return lambda *xs: cotangents(f, xs, cts)


def directions(rng: np.random.Generator, xs: Sequence[Any]) -> list[Any]:
    """A random direction for each array, of its shape and dtype, with elements in [-1, 1]; 1 for a single number."""
    ts = []
    single = sum(get_aval(x).size for x in xs) == 1
    for x in xs:
        aval = get_aval(x)
        t = np.ones(aval.shape) if single else rng.uniform(-1, 1, aval.shape)
        if aval.dtype.kind == "c":
            t = t + 1j * rng.uniform(-1, 1, aval.shape)
        ts.append(np.asarray(t).astype(aval.dtype if aval.dtype.kind in "fc" else np.float64))
    return ts


def pairing(cts: Sequence[Any], ts: Sequence[Any]) -> float:
    """<ct, t> = Re(sum(ct * t)), without conjugation, of lists of arrays."""
    return float(sum(np.sum(np.real(np.asarray(ct, np.complex128) * t)) for ct, t in zip(cts, ts, strict=True)))


def pairing_scale(pairs: Sequence[tuple[Any, Any]]) -> float:
    """The magnitude beside which a difference of pairings counts."""
    return max([1.0, *[float(np.sum(np.abs(np.multiply(ct, t)))) for ct, t in pairs]])


def quietly(f: Callable[..., Any], *args: Any) -> Any:
    """f's result without NumPy's warnings: steps may leave a function's domain on purpose."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return f(*args)
