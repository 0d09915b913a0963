"""gmm: gradient of the log posterior of a mixture of K Gaussians in D dimensions, given N points.

Weights softmax(alpha), means mu (K, D), precisions `Q_k^T Q_k` with Q_k lower triangular: its diagonal exp(q_k), below
it l_k column by column. A Wishart prior on each precision has the parameters gamma and m. Asked for is the gradient in
alpha, mu, q and l.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

ARGUMENTS = ("alpha", "mu", "q", "l", "x", "gamma", "m")


def make_inputs(d: int, k: int, n: int) -> Inputs:
    rng = np.random.default_rng(31337)
    x, mu, q = rng.normal(size=(n, d)), rng.uniform(size=(k, d)), rng.normal(size=(k, d))
    l = rng.normal(size=(k, d * (d - 1) // 2))
    return {"alpha": rng.normal(size=k), "mu": mu, "q": q, "l": l, "x": x, "gamma": 1.0, "m": 0}


def below_diagonal(d: int) -> tuple[Any, Any]:
    """Rows and columns of the elements of l, column by column."""
    columns, rows = np.triu_indices(d, 1)
    return rows, columns


def log_multivariate_gamma(a: float, d: int) -> float:
    """scipy.special.multigammaln."""
    return d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma(a - j / 2) for j in range(d))


def constant(n: int, d: int, k: int, gamma: float, m: int) -> float:
    """What does not depend on the parameters."""
    degrees = d + m + 1
    prior = k * (degrees * d * math.log(gamma / math.sqrt(2)) - log_multivariate_gamma(degrees / 2, d))
    return prior - n * d / 2 * math.log(2 * math.pi)


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return gradient_by_hand(*(inputs[name] for name in ARGUMENTS))


def gradient_by_hand(alpha: Any, mu: Any, q: Any, l: Any, x: Any, gamma: float, m: int) -> tuple[Any, ...]:
    """One component after the other; the weights of the points in each are a softmax over the components."""
    (n, d), k = x.shape, len(alpha)
    rows, columns = below_diagonal(d)
    diagonal = np.arange(d)
    Q = np.zeros((k, d, d))
    Q[:, rows, columns] = l
    Q[:, diagonal, diagonal] = np.exp(q)
    y = np.empty((k, n, d))
    for j in range(k):
        np.matmul(x - mu[j], Q[j].T, out=y[j])
    weights = (alpha + q.sum(axis=1))[:, None] - 0.5 * np.einsum("kni,kni->kn", y, y)
    weights -= weights.max(axis=0)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=0)
    total = weights.sum(axis=1)
    mu_ct, Q_ct = np.empty_like(mu), np.empty_like(Q)
    for j in range(k):
        y[j] *= -weights[j][:, None]
        Q_ct[j] = y[j].T @ (x - mu[j])
        mu_ct[j] = -(y[j].sum(axis=0) @ Q[j])
    q_ct = total[:, None] + m + (Q_ct[:, diagonal, diagonal] - gamma**2 * np.exp(q)) * np.exp(q)
    l_ct = Q_ct[:, rows, columns] - gamma**2 * l
    softmax = np.exp(alpha - alpha.max())
    return total - n * softmax / softmax.sum(), mu_ct, q_ct, l_ct


def log_posterior(alpha: Any, q: Any, l: Any, squares: Any, gamma: float, m: int, np: Any, logsumexp: Any) -> Any:
    """The log posterior from `|Q_k (x_i - mu_k)|^2` (N, K), in the NumPy-like namespace given."""
    n, (k, d) = len(squares), q.shape
    likelihood = np.sum(logsumexp(alpha + np.sum(q, 1) - 0.5 * squares, 1)) - n * logsumexp(alpha, 0)
    prior = m * np.sum(q) - 0.5 * gamma**2 * (np.sum(np.exp(q) ** 2) + np.sum(l**2))
    return constant(n, d, k, gamma, m) + likelihood + prior


def distances(Q: Any, mu: Any, x: Any, np: Any) -> Any:
    """`|Q_k (x_i - mu_k)|^2` (N, K), as it is written down."""
    y = np.einsum("kij,nkj->nki", Q, x[:, None] - mu)
    return np.sum(y**2, 2)


def distances_in_one_product(Q: Any, mu: Any, x: Any, np: Any) -> Any:
    """The same as `Q_k x_i - Q_k mu_k`: one product of two matrices for all points and components."""
    k, d = mu.shape
    y = (x @ Q.reshape(k * d, d).T).reshape(len(x), k, d) - np.einsum("kij,kj->ki", Q, mu)
    return np.sum(y**2, 2)


def logsumexp(x: Any, axis: int) -> Any:
    """In NumPy's functions, for funcgrad."""
    top = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top, axis)


def _call(gradient: Any, inputs: Inputs) -> Call:
    arguments = [inputs[name] for name in ARGUMENTS]
    return lambda: gradient(*arguments)


def _funcgrad(squares: Any, inputs: Inputs) -> Call:
    import funcgrad
    import funcgrad.numpy as fnp

    def objective(alpha: Any, mu: Any, q: Any, l: Any, x: Any, gamma: float, m: int) -> Any:
        k, d = q.shape
        Q = fnp.zeros((k, d, d))
        Q[:, *below_diagonal(d)] = l
        Q[:, np.arange(d), np.arange(d)] = np.exp(q)
        return log_posterior(alpha, q, l, squares(Q, mu, x, np), gamma, m, np, logsumexp)

    # Weights of far components are subnormal, which processors are slow at; XLA flushes them, too.
    gradient = funcgrad.grad(objective, argnums=(0, 1, 2, 3))
    gradient = funcgrad.jit(gradient, static_argnums=(5, 6), flush_subnormals=True)
    return _call(gradient, inputs)


def _jax(squares: Any, inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    def objective(alpha: Any, mu: Any, q: Any, l: Any, x: Any, gamma: float, m: int) -> Any:
        k, d = q.shape
        rows, columns = below_diagonal(d)
        Q = jnp.zeros((k, d, d)).at[:, rows, columns].set(l)
        Q = Q.at[:, jnp.arange(d), jnp.arange(d)].set(jnp.exp(q))
        return log_posterior(alpha, q, l, squares(Q, mu, x, jnp), gamma, m, jnp, jax.scipy.special.logsumexp)

    gradient = jax.jit(jax.grad(objective, argnums=(0, 1, 2, 3)), static_argnums=(5, 6))
    call = _call(gradient, inputs)
    return lambda: [np.asarray(x) for x in call()]


def _torch(squares: Any, compiled: bool, inputs: Inputs) -> Call:
    import torch

    def objective(alpha: Any, mu: Any, q: Any, l: Any, x: Any, rows: Any, columns: Any, gamma: float, m: int) -> Any:
        k = len(q)
        Q = torch.diag_embed(torch.exp(q))
        Q = Q.index_put((torch.arange(k)[:, None], rows, columns), l)
        return log_posterior(alpha, q, l, squares(Q, mu, x, torch), gamma, m, torch, torch.logsumexp)

    rows, columns = (torch.from_numpy(i) for i in below_diagonal(inputs["x"].shape[1]))
    f = torch.compile(objective) if compiled else objective

    def call() -> Any:
        leaves = [torch.from_numpy(inputs[name]).requires_grad_() for name in ARGUMENTS[:4]]
        f(*leaves, torch.from_numpy(inputs["x"]), rows, columns, inputs["gamma"], inputs["m"]).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return call


def autograd_(inputs: Inputs) -> Call:
    """autograd cannot write to arrays: the elements of each factor are taken from a row of all, zeros included."""
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    k, d = inputs["q"].shape
    rows, columns = below_diagonal(d)
    place = np.full((d, d), d + len(rows))
    place[np.arange(d), np.arange(d)] = np.arange(d)
    place[rows, columns] = d + np.arange(len(rows))

    def objective(parameters: Any, x: Any, gamma: float, m: int) -> Any:
        alpha, mu, q, l = parameters
        elements = anp.concatenate([anp.exp(q), l, np.zeros((k, 1))], axis=1)
        Q = elements[:, place]
        squares = distances_in_one_product(Q, mu, x, anp)
        return log_posterior(alpha, q, l, squares, gamma, m, anp, logsumexp)

    gradient = autograd.grad(objective)
    alpha, mu, q, l, *rest = (inputs[name] for name in ARGUMENTS)
    return lambda: gradient((alpha, mu, q, l), *rest)


def numpy_(inputs: Inputs) -> Call:
    return _call(gradient_by_hand, inputs)


def numba_(inputs: Inputs) -> Call:
    """BLAS for wide points; for narrow ones loops over the triangle, each over a block of points side by side."""
    import numba

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def softmax(a: Any) -> None:
        """Of each column of a."""
        k, n = a.shape
        for i in range(n):
            top = a[0, i]
            for j in range(1, k):
                top = max(top, a[j, i])
            total = 0.0
            for j in range(k):
                a[j, i] = math.exp(a[j, i] - top)
                total += a[j, i]
            for j in range(k):
                a[j, i] /= total

    @numba.njit(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
    def narrow(mu: Any, Q: Any, xt: Any, base: Any, mu_ct: Any, Q_ct: Any, total: Any) -> None:
        k, d = mu.shape
        n = xt.shape[1]
        width = 64
        y, c, a = np.empty((k, d, width)), np.empty((k, d, width)), np.empty((k, width))
        for start in range(0, n, width):
            count = min(width, n - start)
            for j in range(k):
                for i in range(width):
                    a[j, i] = 0.0
                for r in range(d):
                    for i in range(width):
                        c[j, r, i] = xt[r, start + i] - mu[j, r] if i < count else 0.0
                        y[j, r, i] = 0.0
                    for s in range(r + 1):
                        factor = Q[j, r, s]
                        for i in range(width):
                            y[j, r, i] += factor * c[j, s, i]
                    for i in range(width):
                        a[j, i] += y[j, r, i] * y[j, r, i]
                for i in range(width):
                    a[j, i] = base[j] - 0.5 * a[j, i]
            softmax(a)
            for j in range(k):
                for i in range(count, width):
                    a[j, i] = 0.0
                for i in range(width):
                    total[j] += a[j, i]
                for r in range(d):
                    sum_ = 0.0
                    for i in range(width):
                        y[j, r, i] *= -a[j, i]
                        sum_ += y[j, r, i]
                    for s in range(r + 1):
                        product = 0.0
                        for i in range(width):
                            product += y[j, r, i] * c[j, s, i]
                        Q_ct[j, r, s] += product
                        mu_ct[j, s] -= sum_ * Q[j, r, s]

    @numba.njit(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
    def wide(mu: Any, Q: Any, x: Any, base: Any, mu_ct: Any, Q_ct: Any, total: Any) -> None:
        k, d = mu.shape
        n = len(x)
        width = 256
        y, a, c = np.empty((k, width, d)), np.empty((k, width)), np.empty((width, d))
        for start in range(0, n, width):
            count = min(width, n - start)
            for j in range(k):
                for i in range(count):
                    for r in range(d):
                        c[i, r] = x[start + i, r] - mu[j, r]
                np.dot(c[:count], Q[j].T, y[j, :count])
                for i in range(count):
                    square = 0.0
                    for r in range(d):
                        square += y[j, i, r] * y[j, i, r]
                    a[j, i] = base[j] - 0.5 * square
            softmax(a[:, :count])
            for j in range(k):
                for i in range(count):
                    weight = a[j, i]
                    total[j] += weight
                    for r in range(d):
                        c[i, r] = x[start + i, r] - mu[j, r]
                        y[j, i, r] *= -weight
                Q_ct[j] += np.dot(y[j, :count].T, c[:count])
                for r in range(d):
                    sum_ = 0.0
                    for i in range(count):
                        sum_ += y[j, i, r]
                    for s in range(r + 1):
                        mu_ct[j, s] -= sum_ * Q[j, r, s]

    @numba.njit(error_model="numpy")
    def gradient(alpha: Any, mu: Any, q: Any, l: Any, x: Any, gamma: float, m: int) -> Any:
        (n, d), k = x.shape, len(alpha)
        Q, Q_ct, mu_ct = np.zeros((k, d, d)), np.zeros((k, d, d)), np.zeros((k, d))
        base, total = alpha.copy(), np.zeros(k)
        for j in range(k):
            at = 0
            for column in range(d):
                base[j] += q[j, column]
                Q[j, column, column] = math.exp(q[j, column])
                for row in range(column + 1, d):
                    Q[j, row, column] = l[j, at]
                    at += 1
        if d <= 16:
            narrow(mu, Q, x.T.copy(), base, mu_ct, Q_ct, total)
        else:
            wide(mu, Q, x, base, mu_ct, Q_ct, total)
        top = alpha.max()
        exponentials = np.exp(alpha - top)
        alpha_ct = total - n * exponentials / exponentials.sum()
        q_ct, l_ct = np.empty((k, d)), np.empty_like(l)
        for j in range(k):
            at = 0
            for column in range(d):
                e = Q[j, column, column]
                q_ct[j, column] = total[j] + m + (Q_ct[j, column, column] - gamma**2 * e) * e
                for row in range(column + 1, d):
                    l_ct[j, at] = Q_ct[j, row, column] - gamma**2 * l[j, at]
                    at += 1
        return alpha_ct, mu_ct, q_ct, l_ct

    return _call(gradient, inputs)


def _size(d: int, k: int, n: int = 1000) -> Size:
    work = d * (d + 1) * k * n
    group = "small" if work < 10**6 else "large" if work > 2 * 10**8 else "medium"
    return Size(f"D={d},K={k}" + (f",N={n}" if n != 1000 else ""), group, {"d": d, "k": k, "n": n})


WORKLOAD = Workload(
    name="gmm",
    title="gradient of the log posterior of a Gaussian mixture",
    sizes=[Size("D=3,K=4,N=20", "smoke", {"d": 3, "k": 4, "n": 20})]
    + [
        _size(d, k)
        for d, k in sorted(
            ((d, k) for d in (2, 10, 20, 32, 64) for k in (5, 10, 25, 50, 100)), key=lambda x: x[0] * x[1]
        )
    ]
    + [_size(20, 50, 10000), _size(64, 100, 10000)],
    make_inputs=make_inputs,
    reference=reference,
    also_check=[{"d": 1, "k": 2, "n": 5}],
    # Written down as it is, N = 10000 takes 1 GB for each intermediate value.
    left_out={
        **dict.fromkeys(("torch", "autograd"), lambda numbers: numbers["n"] * numbers["k"] > 500000),
        # Half a minute to compile.
        "torch:compile": lambda numbers: (
            numbers["n"] != 1000 or (numbers["d"], numbers["k"]) not in ((2, 5), (64, 100))
        ),
    },
    implementations={
        "funcgrad": partial(_funcgrad, distances),
        "funcgrad:product": partial(_funcgrad, distances_in_one_product),
        "jax": partial(_jax, distances),
        "jax:product": partial(_jax, distances_in_one_product),
        "torch": partial(_torch, distances, False),
        "torch:product": partial(_torch, distances_in_one_product, False),
        "torch:compile": partial(_torch, distances_in_one_product, True),
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
