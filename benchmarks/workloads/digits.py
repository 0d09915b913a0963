"""digits: one step of gradient descent of a classifier of handwritten digits, one layer or a perceptron.

Images are random numbers of the shape of the UCI digits (8 x 8 pixels, ten classes): the time does not depend on them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

RATE = 0.1


def make_inputs(layers: tuple[int, ...], images: int) -> Inputs:
    rng = np.random.default_rng(31337)
    params = [(rng.normal(0, np.sqrt(2 / m), (m, n)), rng.normal(0, 0.1, n)) for m, n in pairwise(layers)]
    return {"params": params, "x": rng.uniform(size=(images, 64)), "labels": rng.integers(0, 10, images)}


def loss(params: Any, x: Any, labels: Any, np: Any = np) -> Any:
    """Cross entropy, in the NumPy-like namespace given."""
    for w, b in params[:-1]:
        x = np.maximum(x @ w + b, 0)
    w, b = params[-1]
    z = x @ w + b
    z = z - np.max(z, axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def flat(params: Any) -> list[Any]:
    """Weights and biases in order."""
    return [x for layer in params for x in layer]


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return tuple(step_by_hand(**inputs))


def step_by_hand(params: Any, x: Any, labels: Any) -> list[Any]:
    """Forward and back, layer by layer."""
    activations = [x]
    for w, b in params[:-1]:
        activations.append(np.maximum(activations[-1] @ w + b, 0))
    w, b = params[-1]
    z = activations[-1] @ w + b
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    z[np.arange(len(labels)), labels] -= 1
    ct = z / len(labels)
    result: list[Any] = []
    for (w, b), a in zip(reversed(params), reversed(activations), strict=True):
        result[:0] = [w - RATE * (a.T @ ct), b - RATE * ct.sum(axis=0)]
        ct = (ct @ w.T) * (a > 0)
    return result


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    @funcgrad.jit
    def step(params: Any, x: Any, labels: Any) -> Any:
        gradient = funcgrad.grad(loss)(params, x, labels)
        return funcgrad.tree.map(lambda p, g: p - RATE * g, params, gradient)

    return lambda: flat(step(inputs["params"], inputs["x"], inputs["labels"]))


def jax_(inputs: Inputs) -> Call:
    import jax

    @jax.jit
    def step(params: Any, x: Any, labels: Any) -> Any:
        gradient = jax.grad(lambda *args: loss(*args, jax.numpy))(params, x, labels)
        return jax.tree.map(lambda p, g: p - RATE * g, params, gradient)

    return lambda: [np.asarray(x) for x in flat(step(inputs["params"], inputs["x"], inputs["labels"]))]


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        params = [tuple(torch.from_numpy(p).requires_grad_() for p in layer) for layer in inputs["params"]]
        x = torch.from_numpy(inputs["x"])
        for w, b in params[:-1]:
            x = torch.relu(x @ w + b)
        w, b = params[-1]
        torch.nn.functional.cross_entropy(x @ w + b, torch.from_numpy(inputs["labels"])).backward()
        with torch.no_grad():
            return [(p - RATE * p.grad).numpy() for p in flat(params)]

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda params, x, labels: loss(params, x, labels, anp))

    def call() -> Any:
        found = gradient(inputs["params"], inputs["x"], inputs["labels"])
        return [p - RATE * g for p, g in zip(flat(inputs["params"]), flat(found), strict=True)]

    return call


def numpy_(inputs: Inputs) -> Call:
    return lambda: step_by_hand(**inputs)


def _size(layers: tuple[int, ...], images: int, group: str) -> Size:
    name = f"{'-'.join(map(str, layers))},images={images}"
    return Size(name, group, {"layers": layers, "images": images})


WORKLOAD = Workload(
    name="digits",
    title="a training step of a classifier of digits",
    sizes=[
        _size((64, 8, 10), 5, "smoke"),
        _size((64, 10), 64, "small"),
        _size((64, 128, 64, 10), 64, "small"),
        _size((64, 10), 1437, "medium"),
        _size((64, 128, 64, 10), 1437, "large"),
    ],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": funcgrad_,
        "jax": jax_,
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
    },
)
