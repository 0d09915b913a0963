"""A tree of arrays as one vector, for solvers and samplers that know nothing else."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller
from funcgrad.core.tree import is_static, tree_flatten, tree_unflatten
from funcgrad.numpy.arrays import as_array


def ravel_pytree(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A tree's numbers as one vector, and the function that makes a tree of such a vector again.

    Args:
        tree: Arrays and numbers in dicts, lists, tuples, dataclasses; strings, functions and flags stay in the tree.

    Returns:
        The vector, in the dtype to which NumPy promotes the leaves' dtypes, and the function, which gives the leaves
        their shapes and dtypes. Both are differentiable.

    Raises:
        ArgumentError: (a ValueError, by the function) The vector is of another shape.

    Example:
        >>> import numpy as np
        >>> from funcgrad.tree import ravel_pytree
        >>> vector, unravel = ravel_pytree({"w": np.ones((2, 2)), "b": 3.0})
        >>> vector
        array([3., 1., 1., 1., 1.])
        >>> unravel(2 * vector)["b"]
        np.float64(6.0)
    """
    leaves, treedef = tree_flatten(tree)
    places = [k for k, x in enumerate(leaves) if not is_static(x)]
    arrays = [as_array(leaves[k]) for k in places]
    shapes, dtypes = [x.shape for x in arrays], [x.dtype for x in arrays]
    ends = list(itertools.accumulate(map(math.prod, shapes), initial=0))

    def unravel(vector: Any) -> Any:
        """The tree of a vector."""
        vector = as_array(vector)
        if vector.shape != (ends[-1],):
            raise ArgumentError(
                message(
                    f"unravel got an array of shape {vector.shape}.",
                    where=caller(),
                    fix=f"a vector like that of ravel_pytree, of shape {(ends[-1],)}.",
                )
            )
        result = list(leaves)
        for k, start, stop, shape, dtype in zip(places, ends, ends[1:], shapes, dtypes, strict=False):
            part = vector[start:stop].reshape(shape)[()]
            result[k] = part if part.dtype == dtype else _in_dtype(part, dtype)
        return tree_unflatten(treedef, result)

    if not arrays:
        return np.zeros(0), unravel
    dtype = np.result_type(*dtypes)
    return np.concatenate([_in_dtype(x.reshape(-1), dtype) for x in arrays]), unravel


def _in_dtype(x: Any, dtype: Any) -> Any:
    return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype)
