"""numpy.linalg of traced arrays: NumPy's results, types and errors, bit for bit, and derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

RNG = np.random.default_rng(11)


def draw(*shape):
    return RNG.standard_normal(shape)


def dominant(*shape):
    """Matrices with a large diagonal: nothing comes near a flip of sign or order when it is disturbed."""
    return np.eye(*shape[-2:]) * (2 + 0.7 * np.arange(shape[-1])) + 0.2 * draw(*shape)


def definite(*shape):
    x = dominant(*shape)
    return x @ x.mT


def symmetric(f):
    """f of the Hermitian part: what a gradient along Hermitian matrices is the gradient of."""
    return lambda x, *args: f((x + x.conj().mT) / 2, *args)


def unsigned(ys):
    """Eigenvectors or singular vectors without their signs and phases."""
    return [abs(y) if y.ndim > 1 else y for y in ys]


A, STACK, TALL, WIDE = dominant(3, 3), dominant(2, 3, 3), dominant(4, 2), dominant(2, 4)
SPD, TENSOR = definite(3, 3), draw(2, 3, 3, 2) + np.eye(6).reshape(2, 3, 3, 2) * 4
LA = np.linalg

CALLS = {
    "inv": (LA.inv, [(A,), (STACK,), (np.zeros((0, 0)),)]),
    "solve": (LA.solve, [(A, draw(3, 2)), (A, draw(3)), (STACK, draw(3)), (STACK, draw(2, 3, 1))]),
    "solve-broadcast": (LA.solve, [(A, draw(5, 3, 2)), (STACK, draw(3, 4)), (dominant(2, 1, 3, 3), draw(4, 3, 2))]),
    "tensorsolve": (LA.tensorsolve, [(TENSOR, draw(2, 3))]),
    "tensorsolve-axes": (lambda a, b: LA.tensorsolve(a, b, axes=(0, 2)), [(TENSOR.transpose(2, 0, 3, 1), draw(2, 3))]),
    "tensorinv": (LA.tensorinv, [(TENSOR,)]),
    "tensorinv-1": (lambda a: LA.tensorinv(a, ind=1), [(dominant(6, 6).reshape(6, 2, 3),)]),
    **{f"matrix_power-{n}": (lambda a, n=n: LA.matrix_power(a, n), [(A,), (STACK,)]) for n in (-3, -1, 1, 2, 3, 4, 7)},
    "det": (LA.det, [(A,), (STACK,), (np.zeros((0, 0)),), (dominant(1, 1),)]),
    "slogdet": (LA.slogdet, [(A,), (STACK,), (-A,)]),
    "cholesky": (symmetric(LA.cholesky), [(SPD,), (definite(2, 3, 3),)]),
    "cholesky-upper": (symmetric(lambda a: LA.cholesky(a, upper=True)), [(SPD,), (definite(2, 3, 3),)]),
    "eigh": (symmetric(lambda a: unsigned(LA.eigh(a))), [(A,), (STACK,)]),
    "eigh-upper": (symmetric(lambda a: unsigned(LA.eigh(a, UPLO="u"))), [(A,)]),
    "eigvalsh": (symmetric(LA.eigvalsh), [(A,), (STACK,)]),
    "eigvalsh-upper": (symmetric(lambda a: LA.eigvalsh(a, "U")), [(A,)]),
    "svd": (lambda a: unsigned(LA.svd(a, full_matrices=False)), [(A,), (TALL,), (WIDE,), (STACK,)]),
    "svd-full": (lambda a: unsigned(LA.svd(a)), [(A,), (STACK,)]),
    "svd-values": (lambda a: LA.svd(a, compute_uv=False), [(A,), (TALL,), (WIDE,)]),
    "svd-hermitian": (symmetric(lambda a: unsigned(LA.svd(a, hermitian=True))), [(A - 3 * np.eye(3),)]),
    "svd-hermitian-values": (symmetric(lambda a: LA.svd(a, compute_uv=False, hermitian=True)), [(A - 3 * np.eye(3),)]),
    "svdvals": (LA.svdvals, [(STACK,)]),
    "qr": (LA.qr, [(A,), (TALL,), (WIDE,), (STACK,)]),
    "qr-r": (lambda a: LA.qr(a, "r"), [(A,), (TALL,), (WIDE,)]),
    "qr-complete": (lambda a: LA.qr(a, mode="complete"), [(A,), (WIDE,)]),
    "pinv": (LA.pinv, [(A,), (TALL,), (WIDE,), (STACK,)]),
    "pinv-rcond": (lambda a: LA.pinv(a, rcond=np.array([0.1, 0.01])), [(STACK,)]),
    "pinv-rtol": (lambda a: LA.pinv(a, rtol=None), [(TALL,)]),
    "pinv-hermitian": (symmetric(lambda a: LA.pinv(a, hermitian=True)), [(A,)]),
    "lstsq": (LA.lstsq, [(TALL, draw(4)), (TALL, draw(4, 3)), (WIDE, draw(2)), (A, draw(3, 1))]),
    "lstsq-rcond": (lambda a, b: LA.lstsq(a, b, rcond=1e-3), [(TALL, draw(4))]),
    "cond": (LA.cond, [(A,), (TALL,), (STACK,)]),
    **{f"cond-{p}": (lambda a, p=p: LA.cond(a, p), [(A,), (STACK,)]) for p in (-2, 1, -1, np.inf, -np.inf, "fro")},
    "norm": (LA.norm, [(A,), (draw(4),), (STACK,), (np.array(2.0),)]),
    "norm-keepdims": (lambda x: LA.norm(x, keepdims=True), [(A,), (STACK,)]),
    **{
        f"norm-matrix-{p}": (lambda x, p=p: LA.norm(x, p), [(A,), (TALL,), (WIDE,)])
        for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    **{
        f"norm-matrices-{p}": (lambda x, p=p: LA.norm(x, p, axis=(2, 0), keepdims=True), [(dominant(3, 2, 4),)])
        for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    **{
        f"norm-vectors-{p}": (lambda x, p=p: LA.norm(x, p, axis=-1, keepdims=True), [(draw(3, 4),)])
        for p in (None, 0, 1, 2, 3, -1, 0.5, 2.5, np.inf, -np.inf)
    },
    "norm-vector": (lambda x: LA.norm(x, 3), [(draw(4),)]),
    "matrix_norm": (LA.matrix_norm, [(STACK,)]),
    "matrix_norm-nuc": (lambda x: LA.matrix_norm(x, ord="nuc", keepdims=True), [(STACK,)]),
    "vector_norm": (LA.vector_norm, [(STACK,)]),
    "vector_norm-axes": (lambda x: LA.vector_norm(x, axis=(0, 2), ord=3, keepdims=True), [(STACK,)]),
    "vector_norm-axis": (lambda x: LA.vector_norm(x, axis=1, ord=1), [(STACK,)]),
    "trace": (LA.trace, [(STACK,)]),
    "diagonal": (LA.diagonal, [(STACK,)]),
    "matrix_transpose": (LA.matrix_transpose, [(STACK,)]),
}
CASES = [pytest.param(f, args, id=f"{name}-{i}") for name, (f, cases) in CALLS.items() for i, args in enumerate(cases)]

CONDITIONS = [f for name, (f, _) in CALLS.items() if name.startswith("cond")]


def turned(x):
    """Complex matrices that are no further from diagonal than x is, and Hermitian where x is symmetric."""
    return x + 0.2j * (x - x.mT) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else x * (1 + 0.2j)


@pytest.mark.parametrize(("f", "args"), CASES)
def test_function_traced_equals_numpy(f, args):
    assert_values(f, *args)
    assert_values(f, *[x.astype(np.float32) for x in args])
    if not (f in CONDITIONS and np.iscomplexobj(f(*map(turned, args)))):  # as NumPy 2.1 had it
        assert_values(f, *map(turned, args))


@pytest.mark.parametrize(("f", "args"), CASES)
def test_function_derivatives_equal_differences(f, args):
    assert_derivatives(f, *args, order=2)
    assert_derivatives(f, *[x.astype(np.float32) for x in args])
    assert_derivatives(f, *map(turned, args))


@pytest.mark.parametrize(("f", "args"), CASES)
def test_function_mapped_equals_the_loop(f, args):
    batch = [np.stack([x, 1.1 * x, x + 0.1], axis=-1) for x in args]
    rows = [f(*[x[..., i] for x in batch]) for i in range(3)]
    ys = funcgrad.vmap(f, in_axes=-1)(*batch)
    many = isinstance(rows[0], (tuple, list))
    expected = [np.stack(part) for part in (zip(*rows, strict=True) if many else [rows])]
    for actual, y in zip(ys if many else [ys], expected, strict=True):
        np.testing.assert_allclose(actual, y, rtol=1e-10, atol=1e-10)


def test_integers_become_double_precision():
    for f in (LA.inv, LA.det, LA.slogdet, LA.eigh, LA.svd, LA.qr, LA.cholesky, LA.norm, LA.cond, LA.pinv):
        x = np.array([[3, 1], [1, 2]])
        aval = funcgrad.eval_shape(f, x)
        for a, y in zip(
            aval if isinstance(aval, tuple) else [aval], f(x) if isinstance(aval, tuple) else [f(x)], strict=True
        ):
            assert (a.shape, a.dtype) == (y.shape, y.dtype)


def test_results_keep_numpys_named_tuples():
    y, _ = funcgrad.vjp(lambda x: LA.eigh(x).eigenvalues + LA.svd(x).S + LA.slogdet(x).logabsdet + LA.qr(x).R[0], SPD)
    assert y.shape == (3,)
    for f in (LA.eigh, LA.svd, LA.slogdet, LA.qr, LA.eig):
        assert type(funcgrad.vjp(f, SPD)[0]) is type(f(SPD))


def test_matrix_power_zero_is_constant():
    assert_same(funcgrad.vjp(lambda x: LA.matrix_power(x, 0), STACK)[0], LA.matrix_power(STACK, 0))


def test_matrix_rank_is_numpys_and_has_no_derivative():
    singular = np.ones((3, 3))
    for x in (A, singular, STACK, draw(3), np.zeros(2)):
        assert_same(funcgrad.vjp(LA.matrix_rank, x)[0], LA.matrix_rank(x))
    np.testing.assert_array_equal(funcgrad.vmap(LA.matrix_rank)(np.stack([A, singular])), [3, 1])
    assert funcgrad.vjp(lambda x: LA.matrix_rank(x, tol=2.5), np.diag([1.0, 2.0, 3.0]))[0] == 1
    assert np.all(funcgrad.grad(lambda x: x.sum() * LA.matrix_rank(x))(A) == 3)


def test_eig_is_real_where_numpy_is_real():
    real, rotation = dominant(3, 3), np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.0, 2.0]])
    for f in (LA.eig, LA.eigvals):
        for x in (real, rotation, real + 0.1j, real.astype(np.float32), STACK):
            assert_same(funcgrad.vjp(f, x)[0], f(x))
    w, v = funcgrad.eval_shape(LA.eig, real)
    assert (w.dtype, v.dtype) == (np.complex128, np.complex128)
    w, v = funcgrad.vmap(LA.eig)(np.stack([real, rotation]))
    np.testing.assert_array_equal(w[0], LA.eigvals(real))
    np.testing.assert_array_equal(v[1], LA.eig(rotation)[1])


def test_eig_derivatives_keep_lapacks_normalization():
    x = np.array([[1.0, 0.3, 0.1], [-0.2, 2.0, 0.4], [0.3, 0.1, 3.5]])
    rotation = np.array([[0.1, -1.0, 0.2], [1.3, 0.2, 0.5], [0.3, 0.1, 2.0]])
    for matrix in (x, rotation, x + 0.3j * rotation):
        assert_derivatives(LA.eig, matrix, order=2)
        assert_derivatives(LA.eigvals, matrix, order=2)


def test_eig_stays_complex_under_disturbance():
    rotation = np.array([[0.0, -1.0], [2.0, 0.3]])
    gradient = funcgrad.grad(lambda x: np.abs(LA.eigvals(x)[0]))(rotation)
    np.testing.assert_allclose(gradient, 0.5 / np.sqrt(2) * LA.det(rotation) * LA.inv(rotation).T, atol=1e-12)


def test_svd_full_of_tall_matrix_differentiates_the_leading_vectors():
    assert_derivatives(lambda x: unsigned([LA.svd(x)[0][:, :2], LA.svd(x)[1], LA.svd(x)[2]]), TALL, order=2)
    assert_derivatives(lambda x: unsigned([LA.svd(x)[0], LA.svd(x)[1], LA.svd(x)[2][:2]]), WIDE, order=2)


def test_norm_at_zero_has_zero_gradient():
    for p in (None, 1, 2, 3, np.inf):
        np.testing.assert_array_equal(funcgrad.grad(lambda x, p=p: LA.norm(x, p))(np.zeros(3)), np.zeros(3))
    for p in (None, "fro", "nuc", 1, 2, np.inf):
        np.testing.assert_array_equal(funcgrad.grad(lambda x, p=p: LA.norm(x, p))(np.zeros((2, 3))), np.zeros((2, 3)))


def test_nuclear_norm_of_low_rank_has_the_least_subgradient():
    u, v = draw(4, 2), draw(2, 3)
    gradient = funcgrad.grad(lambda x: LA.norm(x, "nuc"))(u @ v)
    left, _, right = LA.svd(u @ v)
    np.testing.assert_allclose(gradient, left[:, :2] @ right[:2], atol=1e-12)


def test_norm_infinity_shares_ties():
    np.testing.assert_array_equal(funcgrad.grad(lambda x: LA.norm(x, np.inf))(np.array([1.0, -1.0])), [0.5, -0.5])


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (LA.inv, (draw(2, 3),)),
        (LA.inv, (draw(3),)),
        (LA.inv, (A.astype(np.float16),)),
        (LA.solve, (A, draw(4))),
        (LA.solve, (A, draw(4, 2))),
        (LA.solve, (draw(2, 3), draw(2))),
        (LA.solve, (STACK, draw(3, 3, 2))),
        (LA.solve, (A, np.array(1.0))),
        (LA.tensorsolve, (draw(2, 3, 5), draw(2, 3))),
        (lambda a: LA.tensorinv(a, ind=0), (TENSOR,)),
        (lambda a: LA.matrix_power(a, 0.5), (A,)),
        (lambda a: LA.matrix_power(a, 2), (TALL,)),
        (LA.det, (TALL,)),
        (LA.slogdet, (TALL,)),
        (LA.cholesky, (TALL,)),
        (LA.eigh, (TALL,)),
        (lambda a: LA.eigh(a, "X"), (A,)),
        (lambda a: LA.eigvalsh(a, "X"), (A,)),
        (LA.eigvals, (TALL,)),
        (LA.eig, (TALL,)),
        (LA.svd, (draw(3),)),
        (LA.qr, (draw(3),)),
        (lambda a: LA.qr(a, "nonsense"), (A,)),
        (LA.pinv, (draw(3),)),
        (lambda a: LA.pinv(a, 0.1, rtol=0.1), (A,)),
        (LA.lstsq, (TALL, draw(3))),
        (LA.lstsq, (STACK, draw(3))),
        (lambda a: LA.matrix_rank(a, tol=1.0, rtol=1.0), (A,)),
        (LA.cond, (np.zeros((0, 0)),)),
        (lambda a: LA.cond(a, 1), (TALL,)),
        (lambda a: LA.norm(a, "nonsense"), (A,)),
        (lambda a: LA.norm(a, 3), (A,)),
        (lambda a: LA.norm(a, "fro", axis=0), (A,)),
        (lambda a: LA.norm(a, axis=(0, 0)), (A,)),
        (lambda a: LA.norm(a, axis=(0, 1, 2)), (STACK,)),
        (lambda a: LA.norm(a, 1), (STACK,)),
        (lambda a: LA.norm(a, axis=2), (A,)),
        (lambda a: LA.norm(a, axis="x"), (A,)),
    ],
)
def test_function_wrong_arguments_raise_as_numpy(f, args):
    with pytest.raises(Exception) as expected:  # noqa: PT011 (which, NumPy says)
        f(*args)
    for transformed in (lambda: funcgrad.vjp(f, *args), lambda: funcgrad.eval_shape(f, *args)):
        with pytest.raises(expected.type) as actual:
            transformed()
        assert str(actual.value) == str(expected.value)


def test_singular_and_indefinite_matrices_raise_as_numpy():
    for f, message in ((LA.inv, "Singular matrix"), (LA.cholesky, "not positive definite")):
        with pytest.raises(LA.LinAlgError, match=message):
            funcgrad.vjp(f, -np.ones((2, 2)))


def test_qr_of_unsupported_modes():
    with pytest.raises(TypeError, match="mode='raw'"):
        funcgrad.vjp(lambda x: LA.qr(x, "raw"), A)
    with pytest.warns(DeprecationWarning, match="'full' option"):
        y, _ = funcgrad.vjp(lambda x: LA.qr(x, "full"), A)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(y, LA.qr(A, "full"))


def test_norm_of_a_vector_is_a_scalar_as_numpys() -> None:
    for ord in (None, 0, 0.5, 1, 2, 3, -1, np.inf):
        value, _ = funcgrad.value_and_grad(lambda x, ord=ord: LA.norm(x, ord))(np.ones(3))
        assert type(value) is type(LA.norm(np.ones(3), ord)) is np.float64
