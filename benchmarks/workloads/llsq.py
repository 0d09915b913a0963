"""llsq: gradient in x of `1/2 sum_i (sign(t_i) - sum_j x_j t_i^j)^2`, `t_i = -1 + 2i/(n-1)`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(n: int, m: int) -> Inputs:
    return {"x": np.random.default_rng(31337).uniform(size=m), "n": n}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    x, n = inputs["x"], inputs["n"]
    powers = np.linspace(-1, 1, n, dtype=np.longdouble)[:, None] ** np.arange(len(x))
    residual = np.sign(powers[:, 1]) - powers @ x
    return (np.asarray(-powers.T @ residual, float),)


def objective(x: Any, n: int, np: Any = np) -> Any:
    """The definition, in the NumPy-like namespace given."""
    t = np.linspace(-1.0, 1.0, n)
    powers = t[:, None] ** np.arange(x.shape[0])
    return 0.5 * np.sum((np.sign(t) - powers @ x) ** 2)


def vander(x: Any, n: int, np: Any = np) -> Any:
    """The same, with each power as a product of the one before."""
    t = np.linspace(-1.0, 1.0, n)
    powers = np.vander(t, x.shape[0], increasing=True)
    return 0.5 * np.sum((np.sign(t) - powers @ x) ** 2)


def horner(x: Any, n: int, np: Any = np) -> Any:
    """The same, with the polynomial from its highest coefficient down: 2 m n operations and no matrix."""
    t = np.linspace(-1.0, 1.0, n)
    value = x[-1] * np.ones(n)
    for j in range(x.shape[0] - 2, -1, -1):
        value = value * t + x[j]
    return 0.5 * np.sum((np.sign(t) - value) ** 2)


def _funcgrad(f: Any, inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.jit(funcgrad.grad(lambda x, n: f(x, n)), static_argnums=1)
    return lambda: gradient(inputs["x"], inputs["n"])


def _jax(f: Any, inputs: Inputs) -> Call:
    import jax

    gradient = jax.jit(jax.grad(lambda x, n: f(x, n, jax.numpy)), static_argnums=1)
    return lambda: np.asarray(gradient(inputs["x"], inputs["n"]))


def jax_constant(inputs: Inputs) -> Call:
    """JAX with the powers made by NumPy while it traces: two products with a constant matrix."""
    import jax

    gradient = jax.jit(jax.grad(lambda x, n: vander(x, n)), static_argnums=1)
    return lambda: np.asarray(gradient(inputs["x"], inputs["n"]))


def jax_cumprod(inputs: Inputs) -> Call:
    """JAX with the powers as cumulative products, batched over the points."""
    import jax
    import jax.numpy as jnp

    def residual(x: Any, t: Any) -> Any:
        powers = jnp.cumprod(jnp.full(x.shape, t).at[0].set(1.0))
        return jnp.sign(t) - x @ powers

    def cost(x: Any, n: int) -> Any:
        return 0.5 * jnp.sum(jax.vmap(residual, (None, 0))(x, jnp.linspace(-1.0, 1.0, n)) ** 2)

    gradient = jax.jit(jax.grad(cost), static_argnums=1)
    return lambda: np.asarray(gradient(inputs["x"], inputs["n"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    def cost(x: Any, n: int) -> Any:
        t = torch.linspace(-1.0, 1.0, n, dtype=x.dtype)
        powers = torch.linalg.vander(t, N=len(x))
        return 0.5 * torch.sum((torch.sign(t) - powers @ x) ** 2)

    def call() -> Any:
        x = torch.from_numpy(inputs["x"]).requires_grad_()
        cost(x, inputs["n"]).backward()
        return x.grad.numpy()

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda x, n: objective(x, n, anp))
    return lambda: gradient(inputs["x"], inputs["n"])


def numpy_(inputs: Inputs) -> Call:
    def gradient(x: Any, n: int) -> Any:
        t = np.linspace(-1.0, 1.0, n)
        value = np.full(n, x[-1])
        for coefficient in x[-2::-1]:
            value *= t
            value += coefficient
        ct = value - np.sign(t)
        result = np.empty_like(x)
        for j in range(len(x)):
            result[j] = np.sum(ct)
            ct *= t
        return result

    return lambda: gradient(inputs["x"], inputs["n"])


def numba_(inputs: Inputs) -> Call:
    """Horner's rule on 128 points at a time, which stay in the cache, and back through the powers in the same block."""
    import numba

    width = 128

    @numba.njit(fastmath=True, error_model="numpy")
    def gradient(x: Any, n: int) -> Any:
        m = len(x)
        result = np.zeros(m)
        t, value = np.empty(width), np.empty(width)
        for start in range(0, n, width):
            count = min(width, n - start)
            for i in range(width):
                t[i] = -1.0 + 2.0 * (start + i) / (n - 1) if i < count else 0.0
                value[i] = x[m - 1]
            for j in range(m - 2, -1, -1):
                coefficient = x[j]
                for i in range(width):
                    value[i] = value[i] * t[i] + coefficient
            for i in range(width):
                value[i] = value[i] - np.sign(t[i]) if i < count else 0.0
            for j in range(m):
                total = 0.0
                for i in range(width):
                    total += value[i]
                    value[i] *= t[i]
                result[j] += total
        return result

    return lambda: gradient(inputs["x"], inputs["n"])


WORKLOAD = Workload(
    name="llsq",
    title="gradient of a least-squares fit of a polynomial of degree 127",
    sizes=[Size("n=8,m=5", "smoke", {"n": 8, "m": 5})]
    + [
        Size(f"n={n}", "small" if n <= 512 else "large" if n >= 8196 else "medium", {"n": n, "m": 128})
        for n in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8196, 16392)
    ],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": partial(_funcgrad, objective),
        "funcgrad:vander": partial(_funcgrad, vander),
        "funcgrad:horner": partial(_funcgrad, horner),
        "jax": partial(_jax, objective),
        "jax:vander": partial(_jax, vander),
        "jax:cumprod": jax_cumprod,
        "jax:constant": jax_constant,
        "jax:horner": partial(_jax, horner),
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
