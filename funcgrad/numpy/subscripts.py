"""np.einsum of traced arrays: subscripts in any form that NumPy takes are brought to the primitive's canonical one."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.contractions import stand_in, stored
from funcgrad.numpy.protocol import implements
from funcgrad.primitives.einsum import LABELS, einsum_p, split
from funcgrad.primitives.structural import cast, reshape

Shape = tuple[int, ...]
# NumPy's loops number labels in the order of ASCII.
_NUMBERED = "".join(sorted(LABELS))
# Since NumPy 2.4 `optimize` goes by matmul for operands that broadcast, too.
_MATMUL_BROADCASTS = np.lib.NumpyVersion(np.__version__) >= "2.4.0.dev0"


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **kwargs: Any) -> Any:
    """np.einsum. `order` is accepted, but results are laid out as NumPy finds best."""
    subscripts, xs = _parts(operands)
    if kwargs:
        xs = _in_dtype(subscripts, xs, kwargs)
    try:
        explicit = _explicit(subscripts, tuple([len(x.shape) for x in xs]))
        y = _contract(explicit, xs) if optimize is False else _optimized(explicit, xs, optimize)
    except ValueError:
        np.einsum(subscripts, *map(stand_in, xs))  # NumPy says what is wrong
        raise
    return y if out is None else stored(y, out, partial(np.einsum, subscripts), *xs)


def _in_dtype(subscripts: str, xs: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    """The operands in the dtype that keywords ask for.

    Raises:
        TypeError: as NumPy, for keywords that do not exist or a cast that `casting` forbids.
    """
    dtype, casting = kwargs.get("dtype"), kwargs.get("casting", "safe")
    if not set(kwargs) <= {"dtype", "order", "casting"} or (
        dtype is not None and not all(np.can_cast(x.dtype, dtype, casting) for x in xs)
    ):
        np.einsum(subscripts, *map(stand_in, xs), **kwargs)
    return xs if dtype is None else [cast(x, dtype) for x in xs]


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """np.einsum_path, which depends on shapes alone."""
    subscripts, xs = _parts(operands)
    return np.einsum_path(subscripts, *map(stand_in, xs), optimize=optimize)


def _parts(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Subscripts as a string, and arrays, from either form of the arguments."""
    if operands and isinstance(operands[0], str):
        return operands[0], [as_array(x) for x in operands[1:]]
    count = len(operands) // 2
    subscripts = ",".join(_sublist(labels) for labels in operands[1 : 2 * count : 2])
    if len(operands) % 2:
        subscripts += "->" + _sublist(operands[-1])
    return subscripts, [as_array(x) for x in operands[: 2 * count : 2]]


def _sublist(labels: Sequence[Any]) -> str:
    return "".join("..." if label is Ellipsis else _NUMBERED[operator.index(label)] for label in labels)


@lru_cache(4096)
def _explicit(subscripts: str, ranks: tuple[int, ...]) -> str:
    """Subscripts with a letter for every axis, and with the output that they imply.

    Raises:
        ValueError: They do not fit operands of these ranks.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"{len(terms)} terms for {len(ranks)} operands")
    free = [label for label in LABELS if label not in subscripts]
    longest = max([rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True) if "..." in term], default=0)
    stack = "".join(free[:longest])
    for i, rank in enumerate(ranks):
        if "..." in terms[i]:
            terms[i] = terms[i].replace("...", stack[longest - (rank - len(terms[i]) + 3) :])
    used = "".join(terms)
    if arrow:
        if stack and "..." not in output:
            raise ValueError("the output has no place for the axes of an ellipsis")
        output = output.replace("...", stack)
    else:
        output = stack + "".join(sorted(label for label in used if used.count(label) == 1 and label not in stack))
    if any(len(term) != rank for term, rank in zip(terms, ranks, strict=True)):
        raise ValueError("terms do not fit the ranks of operands")
    if len(set(output)) != len(output) or not set(output) <= set(used) <= set(LABELS):
        raise ValueError("labels are not letters, or the output's are not among the operands'")
    return f"{','.join(terms)}->{output}"


@lru_cache(4096)
def _without_broadcasting(subscripts: str, shapes: tuple[Shape, ...]) -> tuple[str, tuple[Shape, ...]]:
    """Subscripts and shapes in which an axis of length 1 that another operand's longer axis shares is left out.

    Raises:
        ValueError: Axes of one label differ in length.
    """
    terms, output = split(subscripts)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        own = dict(zip(term, shape, strict=True))
        for label, n in zip(term, shape, strict=True):
            if sizes.setdefault(label, n) != n or own[label] != n:
                if own[label] != n:
                    text = f"dimensions in single operand for collapsing index '{label}' don't match"
                    raise ValueError(f"{text} ({n} != {own[label]})")
                if 1 not in (n, sizes[label]):
                    raise ValueError(f"axes {label} are of lengths {n} and {sizes[label]}")
                sizes[label] = n if sizes[label] == 1 else sizes[label]
    kept = [
        [(label, n) for label, n in zip(term, shape, strict=True) if n == sizes[label]]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    inputs = ",".join("".join(label for label, _ in pairs) for pairs in kept)
    return f"{inputs}->{output}", tuple(tuple(n for _, n in pairs) for pairs in kept)


def _contract(subscripts: str, xs: Sequence[Any], optimize: bool = False) -> Any:
    strict, shapes = _without_broadcasting(subscripts, tuple([x.shape for x in xs]))
    if strict != subscripts:
        xs = [reshape(x, shape) for x, shape in zip(xs, shapes, strict=True)]
        optimize = optimize and _MATMUL_BROADCASTS
    return bind(einsum_p, *xs, subscripts=strict, optimize=optimize)


def _optimized(subscripts: str, xs: Sequence[Any], optimize: Any) -> Any:
    """The contraction in pairs, along the path that NumPy chooses: reverse mode needs as many pairs again."""
    path, _ = np.einsum_path(subscripts, *map(stand_in, xs), optimize=optimize)
    names, output = split(subscripts)
    terms, operands = list(names), list(xs)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for label, n in zip(term, x.shape, strict=True):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    for positions in path[1:]:
        chosen = sorted(positions)
        inputs = [terms[i] for i in chosen]
        factors = [operands[i] for i in chosen]
        for i in reversed(chosen):
            del terms[i], operands[i]
        needed = set(output).union(*terms)
        kept = sorted((sizes[label], label) for label in set("".join(inputs)) & needed)
        result = "".join(label for _, label in kept) if terms else output
        if len(factors) == 2:
            y = _contract(f"{','.join(inputs)}->{result}", factors, optimize=True)
        else:  # in the order in which NumPy takes them
            y = _contract(f"{','.join(inputs[::-1])}->{result}", factors[::-1])
        terms.append(result)
        operands.append(y)
    if len(operands) > 1:
        raise RuntimeError(f"Invalid einsum_path is specified: {len(operands) - 1} more operands has to be contracted.")
    return operands[0]
