"""hierarchical: log-density and gradient of a hierarchical logistic regression, as Hamiltonian Monte Carlo asks for.

`y_i ~ Bernoulli(sigmoid(mu + x_i beta + tau z_g(i)))`; z, beta standard normal, mu normal of scale 5, tau half-Cauchy,
of which the parameter is the logarithm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(groups: int, n: int) -> Inputs:
    rng = np.random.default_rng(31337)
    return {
        "mu": np.float64(0.3),
        "beta": rng.normal(size=4),
        "log_tau": np.float64(-0.5),
        "z": rng.normal(size=groups),
        "x": rng.normal(size=(n, 4)),
        "y": rng.integers(0, 2, n).astype(float),
        "group": rng.integers(0, groups, n),
    }


def log_density(mu: Any, beta: Any, log_tau: Any, z: Any, x: Any, y: Any, group: Any, np: Any = np) -> Any:
    """In the NumPy-like namespace given."""
    tau = np.exp(log_tau)
    eta = mu + x @ beta + tau * z[group]
    likelihood = np.sum(y * eta - np.logaddexp(0 * eta, eta))
    prior = -0.5 * (np.sum(z**2) + np.sum(beta**2) + mu**2 / 25)
    return likelihood + prior + log_tau - np.log1p(tau**2)


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return by_hand(**inputs)


def by_hand(mu: Any, beta: Any, log_tau: Any, z: Any, x: Any, y: Any, group: Any) -> tuple[Any, ...]:
    tau = np.exp(log_tau)
    eta = mu + x @ beta + tau * z[group]
    e = np.exp(-np.abs(eta))
    value = np.sum(y * eta - np.maximum(eta, 0) - np.log1p(e)) + log_tau - np.log1p(tau**2)
    value -= 0.5 * (z @ z + beta @ beta + mu**2 / 25)
    ct = y - np.where(eta > 0, 1, e) / (1 + e)
    sums = np.bincount(group, ct, len(z))
    log_tau_ct = tau * (z @ sums) + 1 - 2 * tau**2 / (1 + tau**2)
    return value, np.sum(ct) - mu / 25, x.T @ ct - beta, log_tau_ct, tau * sums - z


def _funcgrad(inputs: Inputs, jit: bool) -> Call:
    import funcgrad

    f = funcgrad.value_and_grad(log_density, argnums=(0, 1, 2, 3))
    f = funcgrad.jit(f) if jit else f

    def call() -> Any:
        value, gradient = f(*inputs.values())
        return value, *gradient

    return call


def funcgrad_(inputs: Inputs) -> Call:
    return _funcgrad(inputs, True)


def funcgrad_eager(inputs: Inputs) -> Call:
    return _funcgrad(inputs, False)


def jax_(inputs: Inputs) -> Call:
    import jax

    f = jax.jit(jax.value_and_grad(lambda *args: log_density(*args, jax.numpy), argnums=(0, 1, 2, 3)))

    def call() -> Any:
        value, gradient = f(*inputs.values())
        return [np.asarray(x) for x in (value, *gradient)]

    return call


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        mu, beta, log_tau, z, x, y, group = (torch.from_numpy(np.asarray(a)) for a in inputs.values())
        leaves = [a.requires_grad_() for a in (mu, beta, log_tau, z)]
        tau = torch.exp(log_tau)
        eta = mu + x @ beta + tau * z[group]
        value = torch.sum(y * eta - torch.nn.functional.softplus(eta)) + log_tau - torch.log1p(tau**2)
        value = value - 0.5 * (torch.sum(z**2) + torch.sum(beta**2) + mu**2 / 25)
        value.backward()
        return [value.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    *parameters, x, y, group = inputs.values()
    f = autograd.value_and_grad(lambda parameters: log_density(*parameters, x, y, group, anp))

    def call() -> Any:
        value, gradient = f(tuple(parameters))
        return value, *gradient

    return call


def numpy_(inputs: Inputs) -> Call:
    return lambda: by_hand(**inputs)


def numba_(inputs: Inputs) -> Call:
    """One pass over the observations."""
    import numba

    @numba.njit(fastmath=True, error_model="numpy")
    def value_and_gradient(mu: Any, beta: Any, log_tau: Any, z: Any, x: Any, y: Any, group: Any) -> Any:
        tau = math.exp(log_tau)
        value, total = log_tau - math.log1p(tau**2) - mu**2 / 50, 0.0
        beta_ct, sums = -beta, np.zeros(len(z))
        for i in range(len(y)):
            eta = mu + tau * z[group[i]]
            for j in range(len(beta)):
                eta += x[i, j] * beta[j]
            e = math.exp(-abs(eta))
            value += y[i] * eta - max(eta, 0.0) - math.log1p(e)
            ct = y[i] - (1.0 if eta > 0 else e) / (1 + e)
            total += ct
            sums[group[i]] += ct
            for j in range(len(beta)):
                beta_ct[j] += ct * x[i, j]
        log_tau_ct = 1 - 2 * tau**2 / (1 + tau**2)
        for j in range(len(beta)):
            value -= 0.5 * beta[j] ** 2
        for g in range(len(z)):
            value -= 0.5 * z[g] ** 2
            log_tau_ct += tau * z[g] * sums[g]
            sums[g] = tau * sums[g] - z[g]
        return value, total - mu / 25, beta_ct, log_tau_ct, sums

    return lambda: value_and_gradient(*inputs.values())


WORKLOAD = Workload(
    name="hierarchical",
    title="log-density of a hierarchical logistic regression with its gradient",
    sizes=[
        Size("groups=3,n=20", "smoke", {"groups": 3, "n": 20}),
        Size("groups=8,n=100", "small", {"groups": 8, "n": 100}),
        Size("groups=100,n=2000", "small", {"groups": 100, "n": 2000}),
        Size("groups=1000,n=100000", "large", {"groups": 1000, "n": 100000}),
    ],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": funcgrad_,
        "funcgrad:eager": funcgrad_eager,
        "jax": jax_,
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
