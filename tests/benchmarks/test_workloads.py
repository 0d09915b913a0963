"""References are right, by finite differences; implementations that need no peer return them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.workload import ALL, WrongResultError, check, load
from benchmarks.workloads import (
    ba,
    digits,
    eager_grad,
    gmm,
    hessian,
    hierarchical,
    kalman,
    kmeans,
    llsq,
    lse,
    newton,
    ode,
    per_example,
)

STEP = 1e-6


def smoke_inputs(workload):
    """Inputs of the smallest size."""
    return workload.make_inputs(**workload.sizes[0].numbers)


def slope(f, x):
    """The derivative of f in each element of x by central differences, on trailing axes."""
    x = np.asarray(x, float)
    columns = []
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = STEP
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * STEP))
    return np.moveaxis(np.stack(columns), 0, -1).reshape(np.shape(columns[0]) + x.shape)


def assert_gradient(f, arguments, expected):
    """Check derivatives of f in its leading arguments."""
    for i, y in enumerate(expected):
        found = slope(lambda x, i=i: f(*arguments[:i], x, *arguments[i + 1 :]), arguments[i])
        np.testing.assert_allclose(y, found, rtol=1e-5, atol=1e-5 * max(1, np.max(np.abs(y))))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("package", ["funcgrad", "numpy"])
def test_implementations_return_the_reference_at_every_call(name, package):
    workload = load(name)
    inputs = smoke_inputs(workload)
    expected = workload.reference(inputs)
    for library in workload.libraries_at(workload.sizes[0]):
        if library.partition(":")[0] == package:
            call = workload.implementations[library](inputs)
            for _ in range(3):
                check(call(), expected, workload.tolerance)


@pytest.mark.parametrize("name", ALL)
def test_sizes_begin_with_one_for_smoke_and_have_names_of_their_own(name):
    sizes = load(name).sizes
    assert sizes[0].group == "smoke"
    assert len({size.name for size in sizes}) == len(sizes)
    assert {size.group for size in sizes} <= {"smoke", "small", "medium", "large"}


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_the_same_each_time(name):
    workload = load(name)
    np.testing.assert_equal(smoke_inputs(workload), smoke_inputs(workload))


def test_reference_of_lse():
    inputs = smoke_inputs(lse.WORKLOAD)
    assert_gradient(lse.logsumexp, [inputs["x"]], lse.reference(inputs))


def test_reference_of_llsq():
    inputs = smoke_inputs(llsq.WORKLOAD)
    assert_gradient(llsq.objective, [inputs["x"], inputs["n"]], llsq.reference(inputs))
    assert llsq.horner(inputs["x"], inputs["n"]) == pytest.approx(llsq.objective(inputs["x"], inputs["n"]))


def test_reference_of_kmeans():
    inputs = smoke_inputs(kmeans.WORKLOAD)
    centroids, points = inputs["centroids"], inputs["points"]
    gradient = slope(lambda c: kmeans.cost(c, points), centroids)
    nearest = np.argmin(((points[:, None] - centroids) ** 2).sum(axis=2), axis=1)
    diagonal = 2 * np.bincount(nearest)[:, None]
    np.testing.assert_allclose(kmeans.reference(inputs)[0], gradient / diagonal, atol=1e-6)


def test_reference_of_ode():
    inputs = smoke_inputs(ode.WORKLOAD)
    x, s = inputs["x"], inputs["s"]
    big = ode.make_inputs(3, 2)
    assert_gradient(lambda x, s: ode.solve(x, s)[-1], [big["x"], big["s"]], ode.reference(big))
    assert np.all(ode.reference({"x": x, "s": s})[0] != 0)


def test_reference_of_gmm():
    inputs = {**smoke_inputs(gmm.WORKLOAD), "gamma": 1.3, "m": 2}

    def objective(alpha, mu, q, l):
        k, d = q.shape
        Q = np.zeros((k, d, d))
        Q[:, *gmm.below_diagonal(d)] = l
        Q[:, np.arange(d), np.arange(d)] = np.exp(q)
        squares = gmm.distances(Q, mu, inputs["x"], np)
        np.testing.assert_allclose(squares, gmm.distances_in_one_product(Q, mu, inputs["x"], np), rtol=1e-9)
        return gmm.log_posterior(alpha, q, l, squares, 1.3, 2, np, gmm.logsumexp)

    assert_gradient(objective, [inputs[name] for name in gmm.ARGUMENTS[:4]], gmm.reference(inputs))


def test_gmm_of_one_component_is_a_normal_density_with_a_prior():
    from scipy import stats

    mu, q, x = np.array([[0.3, -0.2]]), np.array([[0.1, -0.4]]), np.array([[1.0, 2.0]])
    Q = np.array([[[np.exp(0.1), 0.0], [0.7, np.exp(-0.4)]]])
    found = gmm.log_posterior(np.zeros(1), q, np.array([[0.7]]), gmm.distances(Q, mu, x, np), 1.0, 0, np, gmm.logsumexp)
    precision = Q[0].T @ Q[0]
    expected = stats.multivariate_normal(mu[0], np.linalg.inv(precision)).logpdf(x[0])
    expected += stats.wishart(3, np.eye(2)).logpdf(precision)
    assert found == pytest.approx(expected)


def test_reference_of_ba():
    inputs = smoke_inputs(ba.WORKLOAD)
    inputs["cameras"][1, :3] = [1e-3, 0.2, -0.1]  # the first stays without rotation
    cameras, points, w, features = ba.observed(inputs)
    values = ba.reference(inputs)[0]
    indptr, indices = ba.pattern(inputs)
    assert len(indices) == len(values) == 31 * len(w) == indptr[-1]
    rows = values[: 2 * ba.ROW * len(w)].reshape(-1, 2, ba.ROW)
    for i in range(0, len(w), 7):

        def f(camera, point, weight, i=i):
            return np.stack(ba.residual(camera, point, weight, features[i]))

        expected = np.split(rows[i], [11, 14], axis=1)
        arguments = [cameras[i], points[i], w[i]]
        turned = np.any(cameras[i, :3] != 0)
        for j, y in enumerate(expected):
            found = slope(lambda x, j=j: f(*arguments[:j], x, *arguments[j + 1 :]), arguments[j]).reshape(2, -1)
            # Where the rotation is 0, the two branches meet: differences of the one are the slope of the other.
            np.testing.assert_allclose(y, found, rtol=1e-4, atol=1e-3 if turned or j else 1e-2)
    np.testing.assert_array_equal(values[-len(w) :], -2 * w)


def test_reference_of_kalman():
    inputs = smoke_inputs(kalman.WORKLOAD)

    def f(A, log_q, log_r, y):
        return kalman.by_loop(A, log_q, log_r, y, kalman.H, np, kalman.inverse)

    arguments = [inputs[name] for name in kalman.ARGUMENTS]
    assert_gradient(f, arguments, kalman.reference(inputs))
    assert kalman.by_loop(*arguments, kalman.H, np, kalman.inverse_written_out) == pytest.approx(f(*arguments))


def test_reference_of_digits():
    inputs = smoke_inputs(digits.WORKLOAD)
    params, found = inputs["params"], digits.reference(inputs)
    for i, p in enumerate(digits.flat(params)[2:]):

        def f(x, i=i):
            leaves = digits.flat(params)
            leaves[i + 2] = x
            return digits.loss(list(zip(leaves[::2], leaves[1::2], strict=True)), inputs["x"], inputs["labels"])

        np.testing.assert_allclose(found[i + 2], p - digits.RATE * slope(f, p), atol=1e-8)


def test_reference_of_hierarchical():
    inputs = smoke_inputs(hierarchical.WORKLOAD)
    value, *gradient = hierarchical.reference(inputs)
    assert value == pytest.approx(hierarchical.log_density(*inputs.values()))
    assert_gradient(hierarchical.log_density, list(inputs.values()), gradient)


def test_reference_of_per_example():
    inputs = smoke_inputs(per_example.WORKLOAD)
    w, b, v = inputs["params"]
    found = per_example.reference(inputs)
    for i, (x, y) in enumerate(zip(inputs["x"], inputs["y"], strict=True)):
        np.testing.assert_allclose(
            found[1][i], slope(lambda b, x=x, y=y: per_example.loss((w, b, v), x, y), b), atol=1e-6
        )
        np.testing.assert_allclose(
            found[2][i], slope(lambda v, x=x, y=y: per_example.loss((w, b, v), x, y), v), atol=1e-6
        )


def test_reference_of_hessian():
    inputs = smoke_inputs(hessian.WORKLOAD)
    x, a = inputs["x"], inputs["a"]

    def gradient(x):
        # By complex steps: the function is analytic but for logaddexp, here in a form that is.
        def f(z):
            return np.sum(np.log(1 + np.exp(a @ z))) + np.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)

        return np.array([f(x + 1e-30j * e).imag / 1e-30 for e in np.eye(len(x))])

    np.testing.assert_allclose(hessian.reference(inputs)[0], slope(gradient, x), rtol=1e-5, atol=1e-5)


def test_reference_of_newton():
    inputs = smoke_inputs(newton.WORKLOAD)
    E, E_dot = newton.reference(inputs)
    np.testing.assert_allclose(E - inputs["e"] * np.sin(E), inputs["M"], atol=1e-14)
    moved = [newton.reference({**inputs, "M": inputs["M"] + h})[0] for h in (STEP, -STEP)]
    np.testing.assert_allclose(E_dot, (moved[0] - moved[1]) / (2 * STEP), rtol=1e-6)


@pytest.mark.parametrize("size", eager_grad.WORKLOAD.sizes, ids=lambda size: size.name)
def test_reference_of_eager_grad(size):
    inputs = eager_grad.make_inputs(**size.numbers)
    f = eager_grad.function_of(inputs, np)
    assert_gradient(f, [inputs["x"], *inputs["extra"]], eager_grad.reference(inputs))


def test_check_accepts_what_is_within_the_tolerance():
    assert check(np.array([1.0, 1e-12]), (np.array([1.0, 0.0]),), 1e-9) == pytest.approx(1e-12)
    assert check((1.0, [np.nan, np.inf]), (1.0, np.array([np.nan, np.inf])), 1e-9) == 0


@pytest.mark.parametrize(
    "result", [np.array([1.0, 2e-9]), np.array([1.0]), np.array([1.0, np.nan]), np.array([1.0, np.inf]), (1.0, 0.0)]
)
def test_check_refuses_other_values_shapes_and_nan(result):
    with pytest.raises(WrongResultError):
        check(result, (np.array([1.0, 0.0]),), 1e-9)
