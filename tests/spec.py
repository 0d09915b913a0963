"""What a row of the spec table says of a primitive, and how values for it are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from funcgrad.testing.flat import is_inexact

FLOATS = (np.float64, np.float32)
ALL = (np.float64, np.float32, np.complex128, np.complex64)


@dataclass(frozen=True)
class Spec:
    """One row: a function that exercises primitives, NumPy's own for comparison, and where its arguments lie.

    Attributes:
        name: The test's id.
        primitives: Names of the primitives that this row covers.
        function: Of arrays or tracers, written with funcgrad's primitive functions.
        reference: The same by NumPy (or SciPy) alone.
        arguments: From a dtype, a strategy of argument tuples (arrays of that dtype; index arrays may be among them).
        dtypes: The dtypes that it has.
        order: Up to which order derivatives are checked (0: nondifferentiable).
        exact: Whether values equal the reference bit for bit; otherwise within the tolerance table.
        holomorphic: For complex dtypes: whether the derivative is complex-linear (checked by direction either way).
        canonical: Brings values to a form that has no arbitrary sign or phase (eigenvectors) before comparing.
    """

    name: str
    primitives: tuple[str, ...]
    function: Callable[..., Any]
    reference: Callable[..., Any]
    arguments: Callable[[Any], st.SearchStrategy[tuple[Any, ...]]]
    dtypes: tuple[Any, ...] = FLOATS
    order: int = 2
    exact: bool = True
    canonical: Callable[[Any], Any] = lambda y: y


SHAPES = st.sampled_from([(), (1,), (3,), (4, 3), (2, 1, 3), (0,), (2, 0)])
NONEMPTY_SHAPES = st.sampled_from([(), (1,), (3,), (4, 3), (2, 1, 3)])


def arrays(
    dtype: Any, shape: Any = SHAPES, low: float = -2.0, high: float = 2.0, distinct: bool = False
) -> st.SearchStrategy[Any]:
    """Arrays with elements in [low, high], away from neither end; `distinct`: elements at least 0.05 apart."""
    shapes = shape if isinstance(shape, st.SearchStrategy) else st.just(shape)

    def build(shape: tuple[int, ...], seed: int) -> Any:
        rng = np.random.default_rng(seed)
        size = int(np.prod(shape))

        def draw() -> Any:
            if distinct:
                values = np.linspace(low, high, max(size, 2))[:size] + rng.uniform(0, 0.01, size)
                return rng.permutation(values).reshape(shape)
            return rng.uniform(low, high, shape)

        x = np.asarray(draw())
        if np.dtype(dtype).kind == "c":
            x = x + 1j * draw()
        return x.astype(dtype)

    return st.builds(build, shapes, st.integers(0, 2**32 - 1))


def broadcasting(
    dtype: Any, count: int = 2, low: float = -2.0, high: float = 2.0
) -> st.SearchStrategy[tuple[Any, ...]]:
    """`count` arrays whose shapes broadcast together."""
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=3)
    return shapes.flatmap(lambda s: st.tuples(*[arrays(dtype, shape, low, high) for shape in s.input_shapes]))


def outputs(f: Callable[..., Any], args: Any) -> list[Any]:
    """A row's results as a list, also where there is only one."""
    y = f(*args)
    return list(y) if isinstance(y, (tuple, list)) else [y]


def flat(row: Spec, args: Any) -> tuple[Callable[..., list[Any]], list[Any]]:
    """The row's function of its inexact arguments alone, as the loops want it, and those arguments."""
    positions = [i for i, x in enumerate(args) if is_inexact(x)]

    def f(*xs: Any) -> list[Any]:
        full = list(args)
        for i, x in zip(positions, xs, strict=True):
            full[i] = x
        return outputs(row.function, full)

    return f, [args[i] for i in positions]
