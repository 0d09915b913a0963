"""What is a workload? A definition, an input, a reference value, and implementations side by side.

Each file of `benchmarks/workloads/` defines one, under the name `WORKLOAD`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

Inputs: TypeAlias = dict[str, Any]
Call: TypeAlias = Callable[[], Any]

GRADBENCH = ("hello", "lse", "llsq", "kmeans", "ode", "gmm", "ba")
OF_USERS = ("kalman", "digits", "minimize", "hierarchical", "per_example", "hessian", "newton", "eager_grad")
ALL = GRADBENCH + OF_USERS

# Not peers: what no user writes by choice.
LIMIT, BY_HAND, OURS = "numba", "numpy", "funcgrad"


@dataclass(frozen=True)
class Size:
    """One size of a workload: its name, the class it belongs to, and its numbers.

    The classes are "smoke" (to see whether all works), "small" (calls of less than a millisecond), "medium", "large".
    """

    name: str
    group: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """A workload.

    Args:
        name: The file's name.
        title: What is asked for, in one line.
        sizes: From small to large; at least one is of the class "smoke".
        make_inputs: The arrays for the numbers of a size, always the same ones.
        reference: What every implementation has to return for the inputs: a tuple of arrays.
        implementations: By library, or `library:variant`: a function that is given the inputs and gives the call to be
            timed, which goes from NumPy arrays to NumPy arrays. A variant is another way to write the same.
        tolerance: The largest difference that is accepted, as a part of the largest element of each array.
        also_check: Numbers of further inputs that every implementation is checked on before it is timed.
        left_out: By library, the numbers of sizes at which an implementation takes minutes or has not enough memory.
    """

    name: str
    title: str
    sizes: Sequence[Size]
    make_inputs: Callable[..., Inputs]
    reference: Callable[[Inputs], tuple[Any, ...]]
    implementations: dict[str, Callable[[Inputs], Call]]
    tolerance: float = 1e-9
    also_check: Sequence[dict[str, Any]] = ()
    left_out: dict[str, Callable[[dict[str, Any]], bool]] = field(default_factory=dict)

    def libraries_at(self, size: Size) -> list[str]:
        """The implementations that are measured at a size."""
        out = {name for name, is_out in self.left_out.items() if is_out(size.numbers)}
        return [name for name in self.implementations if name not in out]


class WrongResultError(Exception):
    """An implementation's result is not the reference value."""


def load(name: str) -> Workload:
    """The workload of a name."""
    workload: Workload = importlib.import_module(f"benchmarks.workloads.{name}").WORKLOAD
    return workload


def check(result: Any, expected: Sequence[Any], tolerance: float) -> float:
    """The largest difference between two tuples of arrays, as a part of the largest element of each.

    Raises:
        WrongResultError: The difference is above the tolerance, or the shapes differ, or NaN is not where it should be.
    """
    leaves = result if isinstance(result, (tuple, list)) else (result,)
    if len(leaves) != len(expected):
        raise WrongResultError(f"{len(leaves)} arrays instead of {len(expected)}")
    worst = 0.0
    for i, (x, y) in enumerate(zip(leaves, expected, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape:
            raise WrongResultError(f"array {i} has shape {x.shape} instead of {y.shape}")
        if not np.array_equal(np.isnan(x), np.isnan(y)):
            raise WrongResultError(f"array {i} has {np.isnan(x).sum()} NaN instead of {np.isnan(y).sum()}")
        scale = np.max(np.abs(y), initial=0, where=np.isfinite(y)) or 1.0
        with np.errstate(invalid="ignore"):
            difference = float(np.max(np.abs(x - y), initial=0, where=np.isfinite(y)) / scale)
        if not difference <= tolerance or not np.array_equal(x[np.isinf(y)], y[np.isinf(y)]):
            raise WrongResultError(f"array {i} differs by {difference:.1e} of its largest element, not {tolerance:.0e}")
        worst = max(worst, difference)
    return worst
