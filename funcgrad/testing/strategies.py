"""Strategies for hypothesis: arrays in a function's domain, trees like an example, directions, shapes, programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from funcgrad.core.avals import get_aval
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller
from funcgrad.core.tree import is_static, tree_flatten, tree_unflatten
from funcgrad.testing.programs import Program, build_program

Shape = tuple[int, ...]
Domain: TypeAlias = Literal[
    "real", "positive", "unit", "distinct", "smooth", "well-conditioned", "positive definite", "orthogonal"
]

_INTERVALS: dict[str, tuple[float, float]] = {"real": (-3.0, 3.0), "positive": (0.125, 3.0), "unit": (0.03125, 0.96875)}
_MATRICES = ("well-conditioned", "positive definite", "orthogonal")
_GAP = 0.5


def shapes(max_dims: int = 2, max_side: int = 3, min_dims: int = 0, min_side: int = 1) -> st.SearchStrategy[Shape]:
    """Shapes of small arrays, those of no axes among them.

    Args:
        max_dims: The most axes.
        max_side: The largest size of an axis.
        min_dims: The fewest axes.
        min_side: The least size of an axis; with 0 there are empty arrays.

    Example:
        >>> shapes(max_dims=0).example()  # doctest: +SKIP
        ()
    """
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def shapes_that_broadcast(count: int = 2, max_dims: int = 3, max_side: int = 3) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Tuples of shapes that broadcast with each other.

    Args:
        count: How many.
        max_dims: The most axes.
        max_side: The largest size of an axis.
    """
    found = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, max_side=max_side, min_side=1)
    return found.map(lambda broadcastable: broadcastable.input_shapes)


def arrays(
    shape: Shape | int | st.SearchStrategy[Shape] | None = None,
    dtype: Any = np.float64,
    domain: Domain | tuple[float, float] = "real",
) -> st.SearchStrategy[Any]:
    """Floating-point or complex arrays in a domain.

    Args:
        shape: A shape, or a strategy of shapes; small ones of up to two axes, square for matrices, if None.
        dtype: Of floating-point or complex numbers.
        domain: Where the elements lie: an interval `(low, high)`, or by name. "real" (up to 3 in magnitude),
            "positive", "unit" (inside of [0, 1]), "distinct" (no two nearly equal), "smooth" (away from kinks:
            distinct, and neither near 0 nor near an integer); and for stacks of square matrices "well-conditioned",
            "positive definite" (Hermitian) and "orthogonal" (unitary).

    Returns:
        A strategy of arrays, which shrinks towards few and simple elements.

    Raises:
        ArgumentError: (a ValueError) There is no such domain, or matrices are asked for in a shape of fewer axes.

    Example:
        >>> x = arrays((2,), domain="unit").example()  # doctest: +SKIP
    """
    matrices = domain in _MATRICES
    if isinstance(domain, str) and not matrices and domain not in (*_INTERVALS, "distinct", "smooth"):
        known = ", ".join(map(repr, (*_INTERVALS, "distinct", "smooth", *_MATRICES)))
        raise ArgumentError(message(f"arrays got domain={domain!r}.", where=caller(), fix=f"(low, high), {known}."))
    if shape is None:
        shape = st.integers(1, 3).map(lambda n: (n, n)) if matrices else shapes()
    elif isinstance(shape, int):
        shape = (shape,)
    chosen = shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))
    return chosen.flatmap(lambda size: _arrays(size, np.dtype(dtype), domain))


def _arrays(shape: Shape, dtype: np.dtype[Any], domain: str | tuple[float, float]) -> st.SearchStrategy[Any]:
    if isinstance(domain, str) and domain in _MATRICES:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ArgumentError(
                message(f"a {domain} matrix is square; shape={shape} is not.", where=caller(), fix="shape=(3, 3).")
            )
        return _elements(shape, dtype, (-1.0, 1.0)).map(lambda x: _matrix(x, domain).astype(dtype))
    if domain in ("distinct", "smooth"):
        count = int(np.prod(shape))
        jitter = _elements(shape, np.dtype(np.float64), (-0.125, 0.125))
        signs = st.booleans() if domain == "smooth" else st.just(False)
        return st.tuples(st.permutations(range(count)), jitter, signs).map(
            lambda drawn: _apart(drawn[0], drawn[1], drawn[2], shape).astype(dtype)[()]
        )
    interval = _INTERVALS[domain] if isinstance(domain, str) else domain
    return _elements(shape, dtype, interval).map(lambda x: x.astype(dtype)[()])


def _elements(shape: Shape, dtype: np.dtype[Any], interval: tuple[float, float]) -> st.SearchStrategy[Any]:
    low, high = interval
    width: Any = 32 if np.float32(low) == low and np.float32(high) == high else 64
    numbers = st.floats(low, high, width=width, allow_subnormal=False)
    real = hnp.arrays(np.float64, shape, elements=numbers)
    if dtype.kind != "c":
        return real
    return st.tuples(real, real).map(lambda parts: parts[0] + 1j * parts[1])


def _apart(order: Sequence[int], jitter: Any, negative: bool, shape: Shape) -> Any:
    """Numbers near 1/4, 3/4, 5/4, ...: half a unit from each other, and away from integers and their halves."""
    x = np.reshape(_GAP * np.asarray(order, dtype=float) + _GAP / 2, shape) + jitter
    return np.asarray(-x if negative else x)


def _matrix(x: Any, domain: str) -> Any:
    n = x.shape[-1]
    q, r = np.linalg.qr(x + 2 * np.eye(n))
    phases = np.diagonal(r, axis1=-2, axis2=-1)
    q = q * (phases / np.abs(phases))[..., None, :]
    if domain == "orthogonal":
        return q
    values = 1 + 0.5 * np.arange(n)
    if domain == "positive definite":
        return (q * values) @ q.conj().mT
    return (q * values) @ q[..., ::-1, :]


def like(example: Any, domain: Domain | tuple[float, float] = "real") -> st.SearchStrategy[Any]:
    """Trees like an example: its structure, shapes and dtypes, other floating-point numbers.

    Args:
        example: A tree of arrays and numbers. Integers, strings and flags stay what they are.
        domain: Where the numbers lie, as for `arrays`.

    Example:
        >>> strategy = like({"w": np.zeros((2, 3)), "b": 0.0, "name": "layer"})
    """
    leaves, treedef = tree_flatten(example)

    def leaf(x: Any) -> st.SearchStrategy[Any]:
        if is_static(x) or get_aval(x).dtype.kind not in "fc":
            return st.just(x)
        aval = get_aval(x)
        drawn = _arrays(aval.shape, aval.dtype, domain)
        return drawn.map(type(x)) if type(x) in (float, complex) else drawn

    return st.tuples(*map(leaf, leaves)).map(lambda drawn: tree_unflatten(treedef, drawn))


def directions(example: Any) -> st.SearchStrategy[Any]:
    """Tangents (or cotangents) of a tree: its structure, shapes and dtypes, with elements up to 1 in magnitude.

    Args:
        example: A tree of floating-point arrays and numbers.
    """
    return like(example, (-1.0, 1.0))


def functions(
    inputs: int = 2, max_steps: int = 6, *, smooth: bool = True, scalar: bool = False, control: bool = True
) -> st.SearchStrategy[Program]:
    """Random differentiable programs, for testing transformations themselves.

    A program is a function of arrays that are moderate in size, in few steps of NumPy; its text is its `repr`, its
    arguments are drawn by `arguments_of`, or come from `program.example()`.

    Args:
        inputs: How many arguments it takes, at most.
        max_steps: How many operations it has, at most.
        smooth: Whether it has derivatives of all orders; otherwise there are abs, max, sort and clip in it, too.
        scalar: Whether its result is one number.
        control: Whether there are transformations and loops of funcgrad in it.
    """

    @st.composite
    def programs(draw: st.DrawFn) -> Program:
        def choose(options: Sequence[Any]) -> Any:
            return draw(st.sampled_from(options))

        return build_program(choose, inputs, max_steps, smooth=smooth, scalar=scalar, control=control)

    return programs()


def arguments_of(program: Program, dtype: Any = np.float64) -> st.SearchStrategy[tuple[Any, ...]]:
    """Arguments for a program that `functions` has made; "smooth" ones if it is not smooth itself."""
    domain: Domain = "real" if program.smooth else "smooth"
    return st.tuples(*[_arrays(shape, np.dtype(dtype), domain) for shape in program.shapes])
