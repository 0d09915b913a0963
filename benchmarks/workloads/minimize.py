"""minimize: scipy.optimize.minimize to convergence, given the value and the gradient; what users wait for.

Rosenbrock's function of n variables, and a logistic regression of n coefficients on 1000 observations. SciPy's own
finite differences are a peer here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(problem: str, n: int) -> Inputs:
    rng = np.random.default_rng(31337)
    if problem == "rosenbrock":
        return {"problem": problem, "start": np.tile([-1.2, 1.0], n)[:n], "data": ()}
    x = rng.normal(size=(1000, n))
    y = (rng.uniform(size=1000) < 1 / (1 + np.exp(-x @ rng.normal(size=n)))).astype(float)
    return {"problem": problem, "start": np.zeros(n), "data": (x, y)}


def rosenbrock(x: Any, np: Any = np) -> Any:
    """In the NumPy-like namespace given, as the others."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def logistic(w: Any, x: Any, y: Any, np: Any = np) -> Any:
    """Mean loss of a regression with labels 0 and 1, and a penalty."""
    z = x @ w
    return np.mean(np.logaddexp(0 * z, z) - y * z) + 0.005 * np.sum(w**2)


def objective(inputs: Inputs, np: Any = np) -> Any:
    """The function of (x, *data)."""
    f = {"rosenbrock": rosenbrock, "logistic": logistic}[inputs["problem"]]
    return lambda x, *data: f(x, *data, np)


def rosenbrock_by_hand(x: Any) -> tuple[Any, Any]:
    inner, outer = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[1:] = 200 * inner
    gradient[:-1] -= 400 * x[:-1] * inner + 2 * outer
    return np.sum(100 * inner**2 + outer**2), gradient


def logistic_by_hand(w: Any, x: Any, y: Any) -> tuple[Any, Any]:
    z = x @ w
    e = np.exp(-np.abs(z))
    p = np.where(z > 0, 1, e) / (1 + e)
    value = np.mean(np.log1p(e) + np.maximum(z, 0) - y * z) + 0.005 * np.sum(w**2)
    return value, x.T @ (p - y) / len(y) + 0.01 * w


def reference(inputs: Inputs) -> tuple[Any, ...]:
    """Rosenbrock's minimum; that of the regression by Newton's method."""
    w = inputs["start"]
    if inputs["problem"] == "rosenbrock":
        return (np.ones_like(w),)
    x, y = inputs["data"]
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ w))
        hessian = (x.T * (p * (1 - p))) @ x / len(y) + 0.01 * np.eye(len(w))
        w = w - np.linalg.solve(hessian, logistic_by_hand(w, x, y)[1])
    return (w,)


def _minimize(inputs: Inputs, f: Any, jac: bool | None = True) -> Call:
    return lambda: minimize(f, inputs["start"], args=inputs["data"], jac=jac, method="BFGS").x


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    return _minimize(inputs, funcgrad.jit(funcgrad.value_and_grad(objective(inputs))))


def funcgrad_eager(inputs: Inputs) -> Call:
    import funcgrad

    return _minimize(inputs, funcgrad.value_and_grad(objective(inputs)))


def jax_(inputs: Inputs) -> Call:
    import jax

    f = jax.jit(jax.value_and_grad(objective(inputs, jax.numpy)))

    def wrapped(x: Any, *data: Any) -> Any:
        value, gradient = f(x, *data)
        return float(value), np.asarray(gradient)

    return _minimize(inputs, wrapped)


def torch_(inputs: Inputs) -> Call:
    import torch

    def torch_objective(x: Any, *data: Any) -> Any:
        if not data:
            return rosenbrock(x, torch)
        z = data[0] @ x
        return torch.mean(torch.nn.functional.softplus(z) - data[1] * z) + 0.005 * torch.sum(x**2)

    def wrapped(x: Any, *data: Any) -> Any:
        leaf = torch.from_numpy(x).requires_grad_()
        value = torch_objective(leaf, *map(torch.from_numpy, data))
        value.backward()
        return value.item(), leaf.grad.numpy()

    return _minimize(inputs, wrapped)


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    return _minimize(inputs, autograd.value_and_grad(objective(inputs, anp)))


def scipy_(inputs: Inputs) -> Call:
    return _minimize(inputs, objective(inputs), jac=None)


def numpy_(inputs: Inputs) -> Call:
    return _minimize(inputs, rosenbrock_by_hand if inputs["problem"] == "rosenbrock" else logistic_by_hand)


WORKLOAD = Workload(
    name="minimize",
    title="scipy.optimize.minimize by BFGS to convergence",
    sizes=[
        Size("rosenbrock,n=3", "smoke", {"problem": "rosenbrock", "n": 3}),
        Size("rosenbrock,n=5", "small", {"problem": "rosenbrock", "n": 5}),
        Size("logistic,n=20", "medium", {"problem": "logistic", "n": 20}),
        Size("rosenbrock,n=100", "large", {"problem": "rosenbrock", "n": 100}),
    ],
    make_inputs=make_inputs,
    reference=reference,
    # Where the method stops: at a gradient of 1e-5.
    tolerance=2e-3,
    implementations={
        "funcgrad": funcgrad_,
        "funcgrad:eager": funcgrad_eager,
        "jax": jax_,
        "torch": torch_,
        "autograd": autograd_,
        "scipy": scipy_,
        "numpy": numpy_,
    },
)
