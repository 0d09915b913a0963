"""What the user's function returned: its leaves, which of them are traced, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.api.arguments import Selected
from funcgrad.api.results import lower_tree
from funcgrad.api.transformed import Transformed
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import DifferentiationError, message
from funcgrad.core.naming import name_of
from funcgrad.core.source import definition
from funcgrad.core.tracing import Recording, Tracer
from funcgrad.core.tree import leaf_paths, tree_flatten
from funcgrad.transforms.transpose import tangent_aval


class Outputs:
    """The result of one recorded call.

    Attributes:
        tree: Its structure.
        values: Its leaves, one level below the recording.
        ids: The recording's variables that they are; None for what does not depend on the traced arguments.
        avals: The types of their cotangents.
        aux: The auxiliary data of a function with `has_aux`.
    """

    __slots__ = ("aux", "avals", "ids", "tree", "values")

    def __init__(
        self, owner: Transformed[Any, Any], recording: Recording, result: Any, *, has_aux: bool, holomorphic: bool
    ) -> None:
        self.aux = None
        if has_aux:
            result, aux = split_aux(repr(owner), owner.function, result)
            self.aux = lower_tree(recording, aux)
        leaves, self.tree = tree_flatten(result)
        lowered = [recording.lower(y) for y in leaves]
        self.values = [y for y, _ in lowered]
        self.ids = [number for _, number in lowered]
        self.avals: list[ShapedArray] = []
        for i, y in enumerate(self.values):
            try:
                aval = get_aval(y)
            except TypeError:
                raise self._no_number(owner, i) from None
            if aval.dtype.kind not in "fc":
                raise self._no_number(owner, i)
            if holomorphic and aval.dtype.kind != "c":
                raise real_result_error(owner, self._path(i), aval)
            self.avals.append(tangent_aval(aval))

    @property
    def size(self) -> int:
        """The number of elements that depend on the traced arguments."""
        return sum(aval.size for aval, number in zip(self.avals, self.ids, strict=True) if number is not None)

    def check_real(self, owner: Transformed[Any, Any], fix: str) -> None:
        """Check that no output is complex.

        Raises:
            DifferentiationError: naming the leaf that is.
        """
        for i, aval in enumerate(self.avals):
            if aval.dtype.kind == "c":
                raise complex_result_error(owner, self._path(i), aval, fix)

    def check_scalar(self, owner: Transformed[Any, Any], fix: str) -> None:
        """Check that there is one output, a number.

        Raises:
            DifferentiationError: saying what there is instead.
        """
        if not self.tree.is_leaf():
            what = f"a {getattr(self.tree.type, '__name__', 'tree')} of {len(self.avals)}" if self.avals else "None"
        elif self.avals[0].shape:
            what = f"an array of shape {self.avals[0].shape}"
        else:
            return
        raise DifferentiationError(
            message(
                f"{owner!r} needs a function that returns one number; {name_of(owner.function)} returned {what}.",
                where=definition(owner.function),
                fix=fix,
            )
        )

    def ones(self) -> list[Any]:
        """The cotangents of the sum of all outputs."""
        return [np.ones(aval.shape, aval.dtype)[()] for aval in self.avals]

    def _path(self, i: int) -> str:
        return leaf_paths(self.tree, "result")[i]

    def _no_number(self, owner: Transformed[Any, Any], i: int) -> DifferentiationError:
        y = self.values[i]
        kind = f"{get_aval(y)!r}" if hasattr(y, "dtype") or isinstance(y, (bool, int)) else type(y).__name__
        return DifferentiationError(
            message(
                f"{owner!r} needs floating-point results; {name_of(owner.function)} returned {kind}.",
                value=f"{self._path(i)} = {y!r}"[:120],
                where=definition(owner.function),
                why="only floating-point values have derivatives.",
                fix="return floats; has_aux=True for other results (result, other results).",
            )
        )


def complex_result_error(owner: Transformed[Any, Any], path: str, aval: ShapedArray, fix: str) -> DifferentiationError:
    """The error for a complex result without `holomorphic`; `fix` is what a real function of it would be."""
    return DifferentiationError(
        message(
            f"{owner!r} got a complex result from {name_of(owner.function)}.",
            value=f"{path}: {aval!r}",
            where=definition(owner.function),
            why="the derivative of a complex result is one number only if the function is holomorphic.",
            fix=f"holomorphic=True if it is, with complex arguments; {fix} if not.",
        )
    )


def real_result_error(owner: Transformed[Any, Any], path: str, aval: ShapedArray) -> DifferentiationError:
    """The error for a real result with `holomorphic`."""
    return DifferentiationError(
        message(
            f"{owner!r} has holomorphic=True, but {name_of(owner.function)} returned a real result.",
            value=f"{path}: {aval!r}",
            where=definition(owner.function),
            why="a real function of complex arguments is holomorphic only if it is constant.",
            fix="the real and imaginary parts as arguments, or funcgrad.vjp.",
        )
    )


def kind_of(y: Any) -> str:
    """What a result is, in words: "a tuple", "an array of shape (3,)", "None"."""
    if isinstance(y, (Tracer, np.ndarray)):
        return f"an array of shape {y.shape}" if y.shape else "a number"
    return {"NoneType": "None", "str": "a string"}.get(type(y).__name__, f"a {type(y).__name__}")


def split_aux(name: str, f: Callable[..., Any], result: Any) -> tuple[Any, Any]:
    """The result and the auxiliary data of a function with `has_aux`.

    Args:
        name: The transformation with the function, for the message.

    Raises:
        DifferentiationError: It did not return a pair.
    """
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise DifferentiationError(
        message(
            f"{name} has has_aux=True, but {name_of(f)} did not return a pair.",
            value=f"it returned {kind_of(result)}",
            where=definition(f),
            fix="return (result, auxiliary_data).",
        )
    )


def record_call(
    owner: Transformed[Any, Any], selected: Selected, recording: Recording, *, has_aux: bool, holomorphic: bool
) -> Outputs:
    """Run the user's function once, its differentiated leaves traced by a recording."""
    recording.naming = selected.naming()
    leaves = selected.with_traced([recording.input(selected.leaves[i]) for i in selected.traced])
    result = selected.call(owner.function, leaves)
    return Outputs(owner, recording, result, has_aux=has_aux, holomorphic=holomorphic)
