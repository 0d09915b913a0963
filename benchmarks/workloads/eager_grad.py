"""eager_grad: `grad` without `jit` of small functions, as in a notebook or a loop: what recording costs.

See `benchmarks/eager.py` for the same in one process, as the README shows it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

CHAIN = 100


def make_inputs(function: str) -> Inputs:
    rng = np.random.default_rng(31337)
    x, extra = {
        "square": (np.float64(0.7), ()),
        "cubic": (np.float64(0.7), ()),
        "rosenbrock": (rng.normal(size=5), ()),
        "layer": (rng.normal(size=(5, 3)), (rng.normal(size=(8, 5)),)),
        "chain": (rng.normal(size=5), ()),
    }[function]
    return {"function": function, "x": x, "extra": extra}


def square(x: Any, np: Any) -> Any:
    return x * x


def cubic(x: Any, np: Any) -> Any:
    return x * x * x - 2 * x


def rosenbrock(x: Any, np: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def layer(w: Any, x: Any, np: Any) -> Any:
    return np.sum(np.tanh(x @ w) ** 2)


def chain(x: Any, np: Any) -> Any:
    for _ in range(CHAIN):
        x = np.sin(x) * 1.01
    return np.sum(x * x)


def by_hand(function: str, x: Any, extra: Any) -> Any:
    """The gradients."""
    if function == "square":
        return 2 * x
    if function == "cubic":
        return 3 * x * x - 2
    if function == "rosenbrock":
        inner, gradient = x[1:] - x[:-1] ** 2, np.zeros_like(x)
        gradient[1:] = 200 * inner
        gradient[:-1] -= 400 * x[:-1] * inner + 2 * (1 - x[:-1])
        return gradient
    if function == "layer":
        y = np.tanh(extra[0] @ x)
        return extra[0].T @ (2 * y * (1 - y * y))
    ys = []
    for _ in range(CHAIN):
        ys.append(x)
        x = np.sin(x) * 1.01
    ct = 2 * x
    for y in reversed(ys):
        ct = ct * 1.01 * np.cos(y)
    return ct


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return (by_hand(**inputs),)


def function_of(inputs: Inputs, np: Any) -> Any:
    """The function of (x, *extra), in the NumPy-like namespace given."""
    f = {"square": square, "cubic": cubic, "rosenbrock": rosenbrock, "layer": layer, "chain": chain}[inputs["function"]]
    return lambda *args: f(*args, np)


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.grad(function_of(inputs, np))
    return lambda: gradient(inputs["x"], *inputs["extra"])


def jax_(inputs: Inputs) -> Call:
    import jax

    gradient = jax.grad(function_of(inputs, jax.numpy))
    return lambda: np.asarray(gradient(inputs["x"], *inputs["extra"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    f = function_of(inputs, torch)

    def call() -> Any:
        x = torch.from_numpy(np.asarray(inputs["x"])).requires_grad_()
        f(x, *map(torch.from_numpy, inputs["extra"])).backward()
        return x.grad.numpy()

    return call


def torch_func(inputs: Inputs) -> Call:
    import torch

    gradient = torch.func.grad(function_of(inputs, torch))
    return lambda: gradient(torch.from_numpy(np.asarray(inputs["x"])), *map(torch.from_numpy, inputs["extra"])).numpy()


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(function_of(inputs, anp))
    return lambda: gradient(inputs["x"], *inputs["extra"])


def numpy_(inputs: Inputs) -> Call:
    return lambda: by_hand(**inputs)


WORKLOAD = Workload(
    name="eager_grad",
    title="grad without jit of small functions",
    sizes=[Size("square", "smoke", {"function": "square"})]
    + [Size(name, "small", {"function": name}) for name in ("cubic", "rosenbrock", "layer", "chain")],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": funcgrad_,
        "jax": jax_,
        "torch": torch_,
        "torch:func": torch_func,
        "autograd": autograd_,
        "numpy": numpy_,
    },
)
