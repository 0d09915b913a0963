"""Rows of `primitives/linalg.py`, `decompositions.py` and `leastsquares.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import arithmetic, decompositions, leastsquares, linalg
from funcgrad.primitives.contractions import row
from funcgrad.primitives.linalg import adjoint, hermitian_part
from funcgrad.primitives.shaping import slice_axis
from funcgrad.primitives.structural import reduce_sum
from tests.spec import ALL, FLOATS, Spec, arrays


def draw(rng, dtype, shape):
    x = rng.standard_normal(shape)
    return x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x


def matrices(build, *shapes):
    """Arguments made by `build(rng, dtype, shape)`, of one of these shapes."""

    def made(dtype, shape, seed):
        x = build(np.random.default_rng(seed), dtype, shape)
        return tuple(a.astype(dtype) for a in (x if isinstance(x, tuple) else (x,)))

    return lambda dtype: st.builds(made, st.just(dtype), st.sampled_from(shapes), st.integers(0, 2**32 - 1))


def distinct(rng, dtype, shape):
    """Matrices with singular values 1, 1.7, 2.4, ... in random bases."""
    *stack, m, n = shape
    k = min(m, n)
    u, v = (np.linalg.qr(draw(rng, dtype, (*stack, size, k)))[0] for size in (m, n))
    return (u * (1 + 0.7 * np.arange(k))) @ v.conj().mT


def hermitian(rng, dtype, shape):
    """Hermitian matrices with eigenvalues -1, -0.3, 0.4, ... in random bases."""
    v = np.linalg.qr(draw(rng, dtype, shape))[0]
    return (v * (0.7 * np.arange(shape[-1]) - 1)) @ v.conj().mT


def dominant(rng, dtype, shape):
    """Matrices with a large diagonal: neither eigenvectors nor reflections come near a change of sign."""
    *_, m, n = shape
    return np.eye(m, n) * (2 + 0.7 * np.arange(n)) + 0.2 * draw(rng, dtype, shape)


def definite(rng, dtype, shape):
    """Hermitian matrices with eigenvalues 1, 1.7, ... in random bases."""
    return hermitian(rng, dtype, shape) + 2 * np.eye(shape[-1])


def diagonalizable(rng, dtype, shape):
    """Matrices with eigenvalues on a circle, complex ones in pairs if real, and moderate bases."""
    n = shape[-1]
    turns = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(1), 1 - n) if n > 1 else np.ones((1, 1))
    v = np.eye(n) + 0.3 * draw(rng, dtype, shape) / n
    return v @ (2 * turns + np.diag(np.arange(n) * 0.3)) @ np.linalg.inv(v)


def right_hand_sides(rng, dtype, shape):
    return distinct(rng, dtype, shape), draw(rng, dtype, (*shape[:-1], 2))


def with_direction(rng, dtype, shape):
    return distinct(rng, dtype, shape), draw(rng, dtype, shape)


SQUARE = ((3, 3), (2, 3, 3), (1, 1), (4, 4), (0, 0), (0, 2, 2))
ANY = ((3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 3), (2, 0), (0, 2))
TALL, WIDE = ((3, 3), (4, 2), (2, 3, 2)), ((3, 3), (2, 4), (2, 2, 3))


def projected(v):
    """What does not depend on the phases of the columns of v."""
    return (v * np.arange(1, v.shape[-1] + 1, dtype=np.float32)) @ adjoint(v)


def columns(x, start, stop=None):
    return slice_axis(x, x.ndim - 1, start, stop)


def as_complex(*ys):
    return [y.astype(np.result_type(y, np.complex64)) for y in ys]


def with_signs(w, v):
    """Real eigenvectors with positive sums: LAPACK's sign may flip from one matrix to the next."""
    return w, v * arithmetic.sign(reduce_sum(v, (v.ndim - 2,), keepdims=True))


def eigh_invariants(w, v):
    return w, projected(v)


def power_sums(w):
    """What does not depend on the order of eigenvalues."""
    return [reduce_sum(y, (w.ndim - 1,)) for y in (w, w * w, w * w * w)]


def eig_invariants(w, v):
    return [*power_sums(w), (v * row(w)) @ adjoint(v)]


def svd_invariants(u, s, vh):
    weights = np.arange(1, s.shape[-1] + 1, dtype=np.float32)
    return projected(u), s, projected(adjoint(vh)), (u * weights) @ vh


def complements(u, s, vh):
    """Projectors onto the vectors that complete the bases, which are unique where those are not."""
    u2, v2 = columns(u, s.shape[-1]), columns(adjoint(vh), s.shape[-1])
    return u2 @ adjoint(u2), v2 @ adjoint(v2), s


def qr_invariants(q, r):
    q2 = columns(q, r.shape[-1])
    return columns(q, 0, r.shape[-1]), r, q2 @ adjoint(q2)


ROWS = [
    Spec("inv", ("inv",), linalg.inv, np.linalg.inv, matrices(distinct, *SQUARE), ALL),
    Spec("solve", ("solve",), linalg.solve, np.linalg.solve, matrices(right_hand_sides, *SQUARE), ALL),
    Spec("det", ("det",), linalg.det, np.linalg.det, matrices(distinct, *SQUARE), ALL),
    Spec("slogdet", ("slogdet",), linalg.slogdet, np.linalg.slogdet, matrices(distinct, *SQUARE), ALL),
    Spec(
        "cofactor",
        ("cofactor",),
        linalg.cofactor,
        lambda x: np.linalg.det(x)[..., None, None] * np.linalg.inv(x).mT,
        matrices(distinct, *SQUARE),
        ALL,
        exact=False,
    ),
    Spec(
        "cofactor_slope",
        ("cofactor_slope",),
        linalg.cofactor_slope,
        lambda x, t: (
            np.linalg.det(x)[..., None, None]
            * (
                np.linalg.trace(np.linalg.inv(x) @ t)[..., None, None] * np.linalg.inv(x)
                - np.linalg.inv(x) @ t @ np.linalg.inv(x)
            ).mT
        ),
        matrices(with_direction, *SQUARE),
        ALL,
        exact=False,
    ),
    Spec(
        "cholesky",
        ("cholesky",),
        lambda x: decompositions.cholesky(hermitian_part(x)),
        lambda x: np.linalg.cholesky((x + x.conj().mT) / 2),
        matrices(definite, *SQUARE),
        ALL,
    ),
    Spec(
        "cholesky-upper",
        ("cholesky",),
        lambda x: decompositions.cholesky(hermitian_part(x), upper=True),
        lambda x: np.linalg.cholesky((x + x.conj().mT) / 2, upper=True),
        matrices(definite, *SQUARE),
        ALL,
    ),
    Spec(
        "eigh-real",
        ("eigh",),
        lambda x: with_signs(*decompositions.eigh(hermitian_part(x))),
        lambda x: with_signs(*np.linalg.eigh((x + x.mT) / 2)),
        matrices(dominant, *SQUARE),
        FLOATS,
    ),
    Spec(
        "eigh-invariant",
        ("eigh",),
        lambda x: eigh_invariants(*decompositions.eigh(hermitian_part(x), "U")),
        lambda x: eigh_invariants(*np.linalg.eigh((x + x.conj().mT) / 2, "U")),
        matrices(hermitian, *SQUARE),
        ALL,
    ),
    Spec(
        "eigvalsh",
        ("eigvalsh",),
        decompositions.eigvalsh,
        np.linalg.eigvalsh,
        matrices(lambda *args: np.tril(hermitian(*args)), *SQUARE),
        ALL,
        order=0,
    ),
    Spec(
        "eigvalsh-hermitian",
        ("eigvalsh",),
        lambda x: decompositions.eigvalsh(hermitian_part(x)),
        lambda x: np.linalg.eigvalsh((x + x.conj().mT) / 2),
        matrices(hermitian, *SQUARE),
        ALL,
    ),
    Spec(
        "svd-reduced",
        ("svd",),
        decompositions.svd,
        lambda x: np.linalg.svd(x, full_matrices=False),
        matrices(distinct, *ANY),
        ALL,
        order=0,
    ),
    Spec(
        "svd-invariant",
        ("svd",),
        lambda x: svd_invariants(*decompositions.svd(x)),
        lambda x: svd_invariants(*np.linalg.svd(x, full_matrices=False)),
        matrices(distinct, *ANY),
        ALL,
    ),
    Spec(
        "svd-full",
        ("svd",),
        lambda x: decompositions.svd(x, full=True),
        np.linalg.svd,
        matrices(distinct, *ANY),
        ALL,
        order=0,
    ),
    Spec(
        "svd-full-complement",
        ("svd",),
        lambda x: complements(*decompositions.svd(x, full=True)),
        lambda x: complements(*np.linalg.svd(x)),
        matrices(distinct, *ANY),
        ALL,
    ),
    Spec(
        "svdvals",
        ("svdvals",),
        decompositions.svdvals,
        lambda x: np.linalg.svd(x, compute_uv=False),
        matrices(distinct, *ANY),
        ALL,
    ),
    Spec("qr", ("qr",), decompositions.qr, np.linalg.qr, matrices(dominant, *TALL, *WIDE, (0, 2), (2, 0)), ALL),
    Spec(
        "qr-complete",
        ("qr",),
        lambda x: decompositions.qr(x, complete=True),
        lambda x: np.linalg.qr(x, "complete"),
        matrices(dominant, *WIDE),
        ALL,
    ),
    Spec(
        "qr-complete-tall",
        ("qr",),
        lambda x: qr_invariants(*decompositions.qr(x, complete=True)),
        lambda x: qr_invariants(*np.linalg.qr(x, "complete")),
        matrices(dominant, *TALL),
        ALL,
    ),
    Spec(
        "eig",
        ("eig",),
        lambda x: eig_invariants(*decompositions.eig(x)),
        lambda x: eig_invariants(*as_complex(*np.linalg.eig(x))),
        matrices(diagonalizable, *SQUARE[:4], (0, 2, 2)),
        ALL,
    ),
    Spec(
        "eigvals",
        ("eigvals",),
        lambda x: power_sums(decompositions.eigvals(x)),
        lambda x: power_sums(*as_complex(np.linalg.eigvals(x))),
        matrices(diagonalizable, *SQUARE[:4], (0, 2, 2)),
        ALL,
    ),
    Spec(
        "pinv",
        ("pinv",),
        lambda x: leastsquares.pinv(x, 1e-15),
        np.linalg.pinv,
        matrices(distinct, *ANY),
        ALL,
    ),
    Spec(
        "pinv-hermitian",
        ("pinv",),
        lambda x: leastsquares.pinv(hermitian_part(x), 1e-15, hermitian=True),
        lambda x: np.linalg.pinv((x + x.conj().mT) / 2, hermitian=True),
        matrices(hermitian, *SQUARE),
        ALL,
    ),
    Spec(
        "lstsq",
        ("lstsq",),
        lambda a, b: leastsquares.lstsq(a, b, 1e-15),
        lambda a, b: np.linalg.lstsq(a, b, 1e-15),
        matrices(right_hand_sides, (4, 2), (3, 3), (2, 4), (2, 0), (3, 1)),
        ALL,
    ),
    Spec(
        "coincidences",
        ("coincidences",),
        lambda w: decompositions.bind(decompositions.coincidences_p, w),
        lambda w: np.equal(w[..., :, None], w[..., None, :]).astype(w.real.dtype),
        lambda dtype: arrays(dtype, (2, 4)).map(lambda w: (np.round(w),)),
        ALL,
        order=0,
    ),
    Spec(
        "largest",
        ("largest",),
        lambda v: decompositions.bind(decompositions.largest_p, v),
        lambda v: np.equal(np.abs(v), np.abs(v).max(-2, keepdims=True)).astype(v.dtype),
        lambda dtype: arrays(dtype, (2, 4, 4)).map(lambda v: (v,)),
        ALL,
        order=0,
    ),
]
