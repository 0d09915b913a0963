"""hessian: the dense Hessian of a function of n variables: a logistic regression plus Rosenbrock's function."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(n: int, rows: int) -> Inputs:
    rng = np.random.default_rng(31337)
    return {"x": rng.normal(0, 0.3, n), "a": rng.normal(size=(rows, n))}


def objective(x: Any, a: Any, np: Any = np) -> Any:
    """In the NumPy-like namespace given."""
    z = a @ x
    return np.sum(np.logaddexp(0 * z, z)) + np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return (by_hand(**inputs),)


def by_hand(x: Any, a: Any) -> Any:
    p = 1 / (1 + np.exp(-(a @ x)))
    hessian = (a.T * (p * (1 - p))) @ a
    i = np.arange(len(x) - 1)
    hessian[i, i] += 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    hessian[i + 1, i + 1] += 200
    hessian[i, i + 1] -= 400 * x[:-1]
    hessian[i + 1, i] -= 400 * x[:-1]
    return hessian


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    f = funcgrad.jit(funcgrad.hessian(objective))
    return lambda: f(inputs["x"], inputs["a"])


def funcgrad_eager(inputs: Inputs) -> Call:
    import funcgrad

    f = funcgrad.hessian(objective)
    return lambda: f(inputs["x"], inputs["a"])


def jax_(inputs: Inputs) -> Call:
    import jax

    f = jax.jit(jax.hessian(lambda x, a: objective(x, a, jax.numpy)))
    return lambda: np.asarray(f(inputs["x"], inputs["a"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    def torch_objective(x: Any, a: Any) -> Any:
        rosenbrock = torch.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
        z = a @ x
        return torch.sum(torch.logaddexp(torch.zeros_like(z), z)) + rosenbrock

    f = torch.func.hessian(torch_objective)
    return lambda: f(torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["a"])).numpy()


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    f = autograd.hessian(lambda x, a: objective(x, a, anp))
    return lambda: f(inputs["x"], inputs["a"])


def numpy_(inputs: Inputs) -> Call:
    return lambda: by_hand(**inputs)


WORKLOAD = Workload(
    name="hessian",
    title="dense Hessian",
    sizes=[
        Size("n=5", "smoke", {"n": 5, "rows": 7}),
        Size("n=20", "small", {"n": 20, "rows": 30}),
        Size("n=200", "large", {"n": 200, "rows": 300}),
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
    },
)
