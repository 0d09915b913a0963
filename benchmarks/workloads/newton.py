"""newton: Kepler's equation `E - e sin E = M` by Newton's method in a `while_loop`, with the derivative of E in M.

n anomalies at once, until the last step is below 1e-12 for all; the derivative is forward mode through the loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

TOLERANCE = 1e-12


def make_inputs(n: int) -> Inputs:
    rng = np.random.default_rng(31337)
    return {"M": rng.uniform(0, 2 * math.pi, n), "e": rng.uniform(0, 0.8, n)}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    M, e = (x.astype(np.longdouble) for x in inputs.values())
    E = M + e * np.sin(M)
    for _ in range(50):
        E = E - newton_step(E, M, e)
    return np.asarray(E, float), np.asarray(1 / (1 - e * np.cos(E)), float)


def newton_step(E: Any, M: Any, e: Any, np: Any = np) -> Any:
    """What Newton's method subtracts from E."""
    return (E - e * np.sin(E) - M) / (1 - e * np.cos(E))


def by_while_loop(M: Any, e: Any, while_loop: Any, np: Any = np) -> Any:
    """E in a library with structured loops."""

    def more(carry: Any) -> Any:
        return np.max(np.abs(carry[1])) > TOLERANCE

    def body(carry: Any) -> Any:
        E, _ = carry
        change = newton_step(E, M, e, np)
        return E - change, change

    return while_loop(more, body, (M + e * np.sin(M), 1.0 + 0 * M))[0]


def by_python(M: Any, e: Any, np: Any) -> Any:
    """E by a Python loop, in libraries that see values."""
    E, change = M + e * np.sin(M), None
    while change is None or np.max(np.abs(change)) > TOLERANCE:
        change = newton_step(E, M, e, np)
        E = E - change
    return E


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad
    from funcgrad import lax

    @funcgrad.jit
    def solve(M: Any, e: Any) -> Any:
        return funcgrad.jvp(lambda M: by_while_loop(M, e, lax.while_loop), (M,), (np.ones(M.shape),))

    return lambda: solve(*inputs.values())


def funcgrad_eager(inputs: Inputs) -> Call:
    import funcgrad

    M, e = inputs.values()
    return lambda: funcgrad.jvp(lambda M: by_python(M, e, np), (M,), (np.ones(M.shape),))


def jax_(inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def solve(M: Any, e: Any) -> Any:
        return jax.jvp(lambda M: by_while_loop(M, e, jax.lax.while_loop, jnp), (M,), (jnp.ones_like(M),))

    return lambda: [np.asarray(x) for x in solve(*inputs.values())]


def torch_(inputs: Inputs) -> Call:
    """One sweep back gives all derivatives, since each anomaly is alone; forward mode costs PyTorch more."""
    import torch

    def call() -> Any:
        M, e = (torch.from_numpy(x) for x in inputs.values())
        E = by_python(M.requires_grad_(), e, torch)
        E.sum().backward()
        return E.detach().numpy(), M.grad.numpy()

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd.numpy as anp
    from autograd import make_vjp

    M, e = inputs.values()

    def call() -> Any:
        pullback, E = make_vjp(lambda M: by_python(M, e, anp))(M)
        return E, pullback(np.ones_like(E))

    return call


def numpy_(inputs: Inputs) -> Call:
    """The derivative by the implicit function theorem."""
    M, e = inputs.values()

    def call() -> Any:
        E = by_python(M, e, np)
        return E, 1 / (1 - e * np.cos(E))

    return call


def numba_(inputs: Inputs) -> Call:
    """Each anomaly until it has converged."""
    import numba

    @numba.njit(error_model="numpy")
    def solve(M: Any, e: Any) -> Any:
        E, E_dot = np.empty_like(M), np.empty_like(M)
        for i in range(len(M)):
            x, change = M[i] + e[i] * math.sin(M[i]), 1.0
            while abs(change) > TOLERANCE:
                s, c = math.sin(x), math.cos(x)
                change = (x - e[i] * s - M[i]) / (1 - e[i] * c)
                x -= change
            E[i], E_dot[i] = x, 1 / (1 - e[i] * math.cos(x))
        return E, E_dot

    return lambda: solve(*inputs.values())


WORKLOAD = Workload(
    name="newton",
    title="Kepler's equation by Newton's method in a while_loop, with its derivative",
    sizes=[
        Size("n=3", "smoke", {"n": 3}),
        Size("n=1", "small", {"n": 1}),
        Size("n=100", "small", {"n": 100}),
        Size("n=100000", "large", {"n": 100000}),
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
