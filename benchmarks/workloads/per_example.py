"""per_example: the gradient of a small perceptron's loss for each example apart, `vmap(grad(loss))`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(hidden: int, examples: int) -> Inputs:
    rng = np.random.default_rng(31337)
    params = (rng.normal(0, 0.2, (64, hidden)), rng.normal(0, 0.1, hidden), rng.normal(0, 0.3, (hidden, 10)))
    return {"params": params, "x": rng.uniform(size=(examples, 64)), "y": np.eye(10)[rng.integers(0, 10, examples)]}


def loss(params: Any, x: Any, y: Any, np: Any = np) -> Any:
    """Of one example (64,) and its class as ones and zeros (10,), in the NumPy-like namespace given."""
    w, b, v = params
    z = np.tanh(x @ w + b) @ v
    z = z - np.max(z)
    return np.log(np.sum(np.exp(z))) - np.sum(y * z)


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return by_hand(**inputs)


def by_hand(params: Any, x: Any, y: Any) -> tuple[Any, ...]:
    w, b, v = params
    hidden = np.tanh(x @ w + b)
    z = hidden @ v
    z = np.exp(z - z.max(axis=1, keepdims=True))
    ct = z / z.sum(axis=1, keepdims=True) - y
    hidden_ct = (ct @ v.T) * (1 - hidden**2)
    return x[:, :, None] * hidden_ct[:, None], hidden_ct, hidden[:, :, None] * ct[:, None]


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    f = funcgrad.jit(funcgrad.vmap(funcgrad.grad(loss), in_axes=(None, 0, 0)))
    return lambda: f(*inputs.values())


def funcgrad_eager(inputs: Inputs) -> Call:
    import funcgrad

    f = funcgrad.vmap(funcgrad.grad(loss), in_axes=(None, 0, 0))
    return lambda: f(*inputs.values())


def jax_(inputs: Inputs) -> Call:
    import jax

    gradient = jax.grad(lambda params, x, y: loss(params, x, y, jax.numpy))
    f = jax.jit(jax.vmap(gradient, in_axes=(None, 0, 0)))
    return lambda: [np.asarray(x) for x in f(*inputs.values())]


def torch_(inputs: Inputs) -> Call:
    import torch

    def torch_loss(params: Any, x: Any, y: Any) -> Any:
        w, b, v = params
        z = torch.tanh(x @ w + b) @ v
        return torch.logsumexp(z, 0) - torch.sum(y * z)

    f = torch.func.vmap(torch.func.grad(torch_loss), in_dims=(None, 0, 0))

    def call() -> Any:
        params = tuple(map(torch.from_numpy, inputs["params"]))
        return [x.numpy() for x in f(params, torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"]))]

    return call


def autograd_(inputs: Inputs) -> Call:
    """autograd has no vmap: example by example."""
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda params, x, y: loss(params, x, y, anp))

    def call() -> Any:
        rows = [gradient(inputs["params"], x, y) for x, y in zip(inputs["x"], inputs["y"], strict=True)]
        return [np.stack(column) for column in zip(*rows, strict=True)]

    return call


def numpy_(inputs: Inputs) -> Call:
    return lambda: by_hand(**inputs)


WORKLOAD = Workload(
    name="per_example",
    title="gradients of a perceptron for each example apart",
    sizes=[
        Size("hidden=4,examples=3", "smoke", {"hidden": 4, "examples": 3}),
        Size("hidden=32,examples=32", "small", {"hidden": 32, "examples": 32}),
        Size("hidden=32,examples=1437", "large", {"hidden": 32, "examples": 1437}),
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
