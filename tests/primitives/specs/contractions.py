"""Rows of `primitives/contractions.py`, `vectors.py` and `einsum.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import contractions, einsum, vectors
from tests.spec import ALL, Spec, arrays


def shaped(*cases):
    """Argument tuples with shapes from one of these cases."""
    return lambda dtype: st.sampled_from(cases).flatmap(
        lambda shapes: st.tuples(*[arrays(dtype, shape) for shape in shapes])
    )


MATMUL = (
    ((4, 3), (3, 2)),
    ((3,), (3,)),
    ((4, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 4, 3), (3,)),
    ((2, 4, 3), (3, 2)),
    ((3,), (2, 3, 4)),
    ((4, 3), (2, 3, 2)),
    ((2, 4, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (3, 3, 2)),
    ((1, 4, 3), (2, 3, 2)),
    ((1, 3), (3, 1)),
    ((0, 3), (3, 2)),
    ((4, 0), (0, 2)),
    ((2, 0, 3), (3, 0)),
)
DOT = (*MATMUL[:8], ((2, 4, 3), (5, 3, 2)), ((3, 2), (2, 2, 2, 3)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((0,), (0,)))


def einsum_row(subscripts: str, *shapes: tuple[int, ...], optimize: bool = False) -> Spec:
    return Spec(
        f"einsum-{subscripts}{'-optimize' if optimize else ''}",
        ("einsum",),
        lambda *xs: einsum.einsum(subscripts, *xs, optimize=optimize),
        lambda *xs: np.einsum(subscripts, *xs, optimize=optimize),
        shaped(shapes),
        ALL,
    )


def mixed(dtype):
    """A matrix product of single and double precision, or real and complex."""
    other = {"f": np.complex64, "c": np.float64}[np.dtype(dtype).kind]
    return st.tuples(arrays(dtype, (4, 3)), arrays(other, (3, 2)))


ROWS = [
    Spec("matmul", ("matmul",), contractions.matmul, np.matmul, shaped(*MATMUL), ALL),
    Spec("matmul-mixed", ("matmul",), contractions.matmul, np.matmul, mixed, ALL),
    Spec("dot", ("dot",), contractions.dot, np.dot, shaped(*DOT), ALL),
    Spec("dot-mixed", ("dot",), contractions.dot, np.dot, mixed, ALL),
    Spec(
        "vdot",
        ("vdot",),
        contractions.vdot,
        np.vdot,
        shaped(((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))),
        ALL,
    ),
    Spec(
        "vecdot",
        ("vecdot",),
        vectors.vecdot,
        np.vecdot,
        shaped(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((2, 0), (0,))),
        ALL,
    ),
    Spec(
        "cross",
        ("cross",),
        vectors.cross,
        np.cross,
        shaped(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3))),
        ALL,
    ),
    einsum_row("ij,jk->ik", (2, 3), (3, 4)),
    einsum_row("ij,jk->ik", (2, 3), (3, 4), optimize=True),
    einsum_row("ij->ji", (2, 3)),
    einsum_row("ii->", (3, 3)),
    einsum_row("iij->ji", (3, 3, 2)),
    einsum_row("iii,i->i", (3, 3, 3), (3,)),
    einsum_row("ijk,lk->i", (2, 3, 4), (2, 4)),
    einsum_row("ij,ij,jk->k", (2, 3), (2, 3), (3, 2)),
    einsum_row(",i->i", (), (3,)),
    einsum_row("ij,j->", (0, 3), (3,)),
]
if hasattr(np, "matvec"):
    ROWS += [
        Spec(
            "matvec",
            ("matvec",),
            vectors.matvec,
            np.matvec,
            shaped(((4, 3), (3,)), ((4, 3), (2, 3)), ((2, 4, 3), (3,)), ((2, 1, 4, 3), (3, 3)), ((0, 3), (3,))),
            ALL,
        ),
        Spec(
            "vecmat",
            ("vecmat",),
            vectors.vecmat,
            np.vecmat,
            shaped(((3,), (3, 4)), ((2, 3), (3, 4)), ((3,), (2, 3, 4)), ((2, 1, 3), (3, 3, 4)), ((3,), (3, 0))),
            ALL,
        ),
    ]
