"""Linear algebra where the laws do not look: singular matrices, equal eigenvalues, third derivatives in 40 digits."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest

import funcgrad
from funcgrad.primitives.decompositions import cholesky, eig, eigh, eigvalsh, qr, svd, svdvals
from funcgrad.primitives.leastsquares import lstsq, pinv
from funcgrad.primitives.linalg import adjoint, cofactor, det, inv, slogdet, solve, sum_matrices

RNG = np.random.default_rng(5)


def draw(*shape, dtype=float):
    x = RNG.standard_normal(shape)
    return x + 1j * RNG.standard_normal(shape) if dtype is complex else x


def along(f, x, t, order):
    """The derivatives of f at x along t of orders 0, 1, ..., by forward mode over forward mode."""

    def g(s):
        return f(x + s * t)

    values = [g(0.0)]
    for _ in range(order):
        g = lambda s, g=g: funcgrad.jvp(g, (s,), (1.0,))[1]
        values.append(g(0.0))
    return values


def reverse_along(f, x, t, order):
    """The same of a scalar f, by reverse mode over reverse mode."""

    def g(s):
        return f(x + s * t)

    values = [g(0.0)]
    for _ in range(order):
        g = funcgrad.grad(g)
        values.append(g(0.0))
    return values


def precise(f, x, t, order):
    """The derivatives of a function of mpmath matrices in 40 digits."""
    with mpmath.workdps(40):
        wide, direction = mpmath.matrix(x.tolist()), mpmath.matrix(t.tolist())
        return [float(mpmath.diff(lambda s: f(wide + s * direction), 0, k)) for k in range(order + 1)]


def definite(n):
    x = draw(n, n)
    return x @ x.T / n + np.eye(n)


# Orders 1 to 3


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("derivatives", [along, reverse_along])
def test_det_third_order_is_exact(n, derivatives):
    x, t = draw(n, n), draw(n, n)
    np.testing.assert_allclose(derivatives(det, x, t, 3), precise(mpmath.det, x, t, 3), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("derivatives", [along, reverse_along])
def test_slogdet_third_order_is_exact(derivatives):
    x, t = definite(3), draw(3, 3)
    expected = precise(lambda a: mpmath.log(abs(mpmath.det(a))), x, t, 3)
    np.testing.assert_allclose(derivatives(lambda a: slogdet(a)[1], x, t, 3), expected, rtol=1e-9)


@pytest.mark.parametrize("derivatives", [along, reverse_along])
def test_solve_and_inv_third_order_are_exact(derivatives):
    x, t, b, c = definite(3), draw(3, 3), draw(3, 1), draw(3, 1)
    wide_b, wide_c = mpmath.matrix(b.tolist()), mpmath.matrix(c.tolist())
    expected = precise(lambda a: (wide_c.T * a**-1 * wide_b)[0], x, t, 3)
    np.testing.assert_allclose(derivatives(lambda a: (c.T @ solve(a, b))[0, 0], x, t, 3), expected, rtol=1e-9)
    np.testing.assert_allclose(derivatives(lambda a: (c.T @ inv(a) @ b)[0, 0], x, t, 3), expected, rtol=1e-9)


@pytest.mark.parametrize("derivatives", [along, reverse_along])
def test_cholesky_third_order_is_exact(derivatives):
    x, t, weights = definite(3), draw(3, 3), np.tril(draw(3, 3))
    t = t + t.T
    wide = mpmath.matrix(weights.tolist())
    expected = precise(lambda a: sum(p * q for p, q in zip(mpmath.cholesky(a), wide, strict=True)), x, t, 3)
    np.testing.assert_allclose(derivatives(lambda a: sum_matrices(cholesky(a) * weights), x, t, 3), expected, rtol=1e-9)


@pytest.mark.parametrize("derivatives", [along, reverse_along])
@pytest.mark.parametrize("f", [eigvalsh, lambda a: eigh(a)[0]], ids=["eigvalsh", "eigh"])
def test_eigenvalues_third_order_are_exact(f, derivatives):
    x, t = np.diag([1.0, 2.0, 4.0]) + 0.1, draw(3, 3)
    t = t + t.T
    expected = precise(lambda a: sorted(mpmath.eigsy(a, eigvals_only=True))[1], x, t, 3)
    np.testing.assert_allclose(derivatives(lambda a: f(a)[1], x, t, 3), expected, rtol=1e-9)


@pytest.mark.parametrize("derivatives", [along, reverse_along])
@pytest.mark.parametrize("f", [svdvals, lambda a: svd(a)[1]], ids=["svdvals", "svd"])
def test_singular_values_third_order_are_exact(f, derivatives):
    x, t = np.diag([1.0, 2.0, 4.0])[:, :2] + 0.2, draw(3, 2)
    expected = precise(lambda a: sorted(mpmath.svd_r(a, compute_uv=False))[1], x, t, 3)
    np.testing.assert_allclose(derivatives(lambda a: f(a)[0], x, t, 3), expected, rtol=1e-9)


def test_qr_third_order_is_exact():
    x, t = np.eye(3, 2) * 2 + 0.3, draw(3, 2)
    expected = precise(lambda a: mpmath.qr(a)[1][0, 1] * mpmath.sign(mpmath.qr(a)[1][0, 0]), x, t, 3)
    actual = along(lambda a: qr(a)[1][0, 1], x, t, 3)
    np.testing.assert_allclose(np.abs(actual), np.abs(expected), rtol=1e-9)


# Determinants of singular matrices


def minor(x, rows, columns):
    return np.linalg.det(np.delete(np.delete(x, rows, 0), columns, 1))


def singular(n, rank, dtype=float):
    return draw(n, rank, dtype=dtype) @ draw(rank, n, dtype=dtype)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(("n", "rank"), [(1, 0), (2, 1), (2, 0), (3, 2), (3, 1), (4, 3), (5, 3)])
def test_det_gradient_of_singular_matrix_is_the_cofactors(n, rank, dtype):
    x = singular(n, rank, dtype)
    expected = np.array([[(-1) ** (i + j) * minor(x, i, j) for j in range(n)] for i in range(n)])
    gradient = funcgrad.vjp(det, x)[1](np.ones((), dtype)[()])
    np.testing.assert_allclose(
        np.squeeze(gradient), np.squeeze(expected), rtol=0, atol=1e-12 * (1 + abs(expected).max())
    )


@pytest.mark.parametrize(("n", "rank"), [(2, 1), (2, 0), (3, 2), (3, 1), (3, 0), (4, 2)])
@pytest.mark.parametrize("hessian", [funcgrad.hessian, lambda f: funcgrad.jacrev(funcgrad.grad(f))])
def test_det_hessian_of_singular_matrix_is_the_minors(n, rank, hessian):
    x = singular(n, rank)
    expected = np.zeros((n, n, n, n))
    for i, j, k, m in itertools.product(range(n), repeat=4):
        if i != k and j != m:
            sign = (-1) ** (i + j + k + m) * (1 if (k > i) == (m > j) else -1)
            expected[i, j, k, m] = sign * minor(x, [i, k], [j, m])
    np.testing.assert_allclose(hessian(det)(x), expected, rtol=0, atol=1e-12 * (1 + abs(expected).max()))


def test_det_gradient_in_a_stack_is_right_for_singular_and_regular_matrices():
    stack = np.stack([np.eye(3), np.diag([1.0, 2.0, 0.0]), np.zeros((3, 3)), 1e-9 * np.eye(3)])
    expected = [np.eye(3), np.diag([0.0, 0.0, 2.0]), np.zeros((3, 3)), 1e-18 * np.eye(3)]
    gradient = funcgrad.grad(lambda x: det(x).sum())(stack)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-30)


def test_cofactor_of_ill_conditioned_matrix_keeps_its_digits():
    x = np.diag([1.0, 1e-8, 1e-9]) + np.triu(np.ones((3, 3)), 1)
    exact = np.array([[(-1) ** (i + j) * minor(x, i, j) for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(cofactor(x), exact, rtol=0, atol=1e-15)


def test_slogdet_gradient_of_singular_matrix_is_nan_and_of_its_neighbours_right():
    stack = np.stack([np.zeros((2, 2)), 2 * np.eye(2)])
    with np.errstate(all="ignore"):
        gradient = funcgrad.grad(lambda x: slogdet(x)[1][1])(stack)
    np.testing.assert_array_equal(gradient[1], 0.5 * np.eye(2))
    assert np.isnan(gradient[0]).all()
    np.testing.assert_array_equal(inv(stack, invertible=False)[1], 0.5 * np.eye(2))


# Equal eigenvalues and singular values


def test_eigenvalues_equal_symmetric_functions_are_right():
    v = np.linalg.qr(draw(4, 4))[0]
    x = (v * [1.0, 2.0, 2.0, 2.0]) @ v.T
    for f in (eigvalsh, lambda a: eigh(a)[0]):
        gradient = funcgrad.grad(lambda a, f=f: np.log(f(a)).sum())(x)
        np.testing.assert_allclose(gradient, np.linalg.inv(x), rtol=1e-12, atol=1e-12)
        hessian = along(lambda a, f=f: np.log(f(a)).sum(), x, np.diag([1.0, 0, 0, 1]), 1)
        assert np.isfinite(hessian).all()
    np.testing.assert_allclose(funcgrad.grad(lambda a: eigh(a)[0].sum())(np.eye(3)), np.eye(3), rtol=1e-15)


@pytest.mark.parametrize("dtype", [float, complex])
def test_eigenvectors_of_equal_eigenvalues_have_a_projector_with_the_right_derivative(dtype):
    v = np.linalg.qr(draw(4, 4, dtype=dtype))[0]
    x = (v * [1.0, 1.0, 3.0, 3.0]) @ v.conj().T
    t = draw(4, 4, dtype=dtype)
    t = t + t.conj().T

    def projector(a):
        low = eigh(a)[1][:, :2]
        return low @ adjoint(low)

    actual = along(projector, x, t, 1)[1]
    h = 1e-5
    expected = (projector(x + h * t) - projector(x - h * t)) / (2 * h)
    np.testing.assert_allclose(actual, expected, atol=1e-8)
    weights = draw(4, 4)
    _, pull = funcgrad.vjp(lambda a: (projector(a) * weights).sum().real, x)
    left, right = np.sum(np.real(actual * weights)), np.sum(np.real(pull(1.0)[0] * t))
    np.testing.assert_allclose(left, right, rtol=1e-9)


@pytest.mark.parametrize("x", [np.eye(3), np.zeros((3, 3)), np.diag([1.0, 1.0, 1.0 + 1e-16]), np.ones((3, 3))])
def test_decompositions_of_degenerate_matrices_have_finite_derivatives(x):
    t = draw(3, 3)
    for f in (eigh, svd, lambda a: svd(a[:, :2], full=True), svdvals, eigvalsh):
        ys = funcgrad.jvp(f, (x,), (t,))[1]
        assert all(np.isfinite(y).all() for y in (ys if isinstance(ys, tuple) else [ys]))


def test_svd_of_equal_singular_values_has_the_right_polar_factor():
    x, t = np.linalg.qr(draw(3, 3))[0] * 2.0, draw(3, 3)

    def polar(a):
        u, _, vh = svd(a)
        return u @ vh

    h = 1e-5
    expected = (polar(x + h * t) - polar(x - h * t)) / (2 * h)
    np.testing.assert_allclose(along(polar, x, t, 1)[1], expected, atol=1e-8)


def test_svd_of_full_basis_turns_the_null_space_as_little_as_can_be():
    x, t = draw(4, 2), draw(4, 2)

    def null_space(a):
        u2 = svd(a, full=True)[0][:, 2:]
        return u2 @ u2.T

    h = 1e-5
    expected = (null_space(x + h * t) - null_space(x - h * t)) / (2 * h)
    np.testing.assert_allclose(along(null_space, x, t, 1)[1], expected, atol=1e-8)


def test_svd_reconstruction_differentiates_to_the_identity():
    for x in (draw(3, 3), draw(4, 2), draw(2, 4), np.diag([2.0, 1.0, 0.0])):
        t = draw(*x.shape)

        def product(a):
            u, s, vh = svd(a)
            return (u * s) @ vh

        np.testing.assert_allclose(along(product, x, t, 2)[1], t, atol=1e-12)
        np.testing.assert_allclose(along(product, x, t, 2)[2], np.zeros_like(t), atol=1e-11)


def test_eig_of_defective_matrix_shows_in_its_derivative():
    x, t = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    with np.errstate(all="ignore"):
        w_dot, _ = funcgrad.jvp(eig, (x,), (t,))[1]
    assert not np.abs(w_dot).max() < 1e100


# Conventions


def test_gradients_of_hermitian_functions_are_hermitian():
    x = definite(3)
    for f in (
        lambda a: np.log(np.diagonal(cholesky(a))).sum() * 2,
        lambda a: np.log(np.diagonal(cholesky(a, upper=True))).sum() * 2,
        lambda a: np.log(eigvalsh(a)).sum(),
        lambda a: np.log(eigh(a, "U")[0]).sum(),
    ):
        np.testing.assert_allclose(funcgrad.grad(f)(x), np.linalg.inv(x), rtol=1e-12)
    assert_hermitian = funcgrad.grad(lambda a: (cholesky(a) * draw(3, 3)).sum())(x)
    np.testing.assert_allclose(assert_hermitian, assert_hermitian.T, rtol=1e-12)


@pytest.mark.parametrize(("m", "n", "rank"), [(4, 3, 2), (3, 4, 2), (4, 4, 1)])
def test_pinv_and_lstsq_of_constant_low_rank_equal_differences(m, n, rank):
    p, q, b = draw(m, rank), draw(rank, n), draw(m, 2)
    t = draw(m, rank)
    h = 1e-5
    for f in (lambda p: pinv(p @ q, 1e-12), lambda p: lstsq(p @ q, b, 1e-12)[0]):
        expected = (f(p + h * t) - f(p - h * t)) / (2 * h)
        actual = along(f, p, t, 1)[1]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-7 * (1 + np.abs(actual).max()))


def test_solve_is_linear_in_its_right_hand_sides_alone():
    a, b = definite(3), draw(3, 2)
    transposed = funcgrad.linear_transpose(lambda b: solve(a, b), b)
    np.testing.assert_allclose(np.squeeze(transposed(b)), np.linalg.solve(a.T, b), rtol=1e-13)
    with pytest.raises(TypeError, match="not linear"):
        funcgrad.linear_transpose(lambda a: solve(a, b), a)


def test_solve_mapped_over_right_hand_sides_factorizes_once():
    a, b = definite(3), draw(5, 3, 2)
    y = funcgrad.vmap(lambda b: solve(a, b))(b)
    np.testing.assert_allclose(y, np.linalg.solve(a, b), rtol=1e-12)
    assert "solve a b" not in str(funcgrad.make_jaxpr(funcgrad.vmap(lambda b: solve(a, b)))(b))
    assert "float64[3,10] = solve" in str(funcgrad.make_jaxpr(funcgrad.vmap(lambda b: solve(a, b)))(b))


def test_matmul_cotangents_are_summed_by_the_product():
    x, w = draw(50, 4, 3), draw(3, 5)
    text = str(funcgrad.make_jaxpr(funcgrad.grad(lambda w: (x @ w).sum()))(w))
    assert "[50,3,5]" not in text
    text = str(funcgrad.make_jaxpr(funcgrad.grad(lambda w, y: (w @ y).sum()))(draw(4, 3), draw(50, 3, 5)))
    assert "[50,4,3]" not in text


def test_gradient_of_det_of_a_matrix_with_an_infinity_is_nan_and_others_in_the_stack_are_right() -> None:
    x = np.array([[[np.inf, 1.0], [2.0, 3.0]], [[1.0, 2.0], [2.0, 4.0]]])
    with np.errstate(invalid="ignore"):
        slope = funcgrad.grad(lambda x: np.sum(np.linalg.det(x)))(x)
    assert np.isnan(slope[0]).all()
    np.testing.assert_allclose(slope[1], [[4.0, -2.0], [-2.0, 1.0]])
