"""lse: gradient of `log(sum(exp(x - max x))) + max x`, from these pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(n: int) -> Inputs:
    return {"x": np.random.default_rng(31337).uniform(size=n)}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    x = inputs["x"].astype(np.longdouble)
    e = np.exp(x - np.max(x))
    return (np.asarray(e / np.sum(e), float),)


def logsumexp(x: Any, np: Any = np) -> Any:
    """The definition, in the NumPy-like namespace given."""
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.jit(funcgrad.grad(lambda x: logsumexp(x)))
    return lambda: gradient(inputs["x"])


def jax_(inputs: Inputs) -> Call:
    import jax

    gradient = jax.jit(jax.grad(lambda x: logsumexp(x, jax.numpy)))
    return lambda: np.asarray(gradient(inputs["x"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        x = torch.from_numpy(inputs["x"]).requires_grad_()
        logsumexp(x, torch).backward()
        return x.grad.numpy()

    return call


def torch_compile(inputs: Inputs) -> Call:
    import torch

    compiled = torch.compile(lambda x: logsumexp(x, torch))

    def call() -> Any:
        x = torch.from_numpy(inputs["x"]).requires_grad_()
        compiled(x).backward()
        return x.grad.numpy()

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda x: logsumexp(x, anp))
    return lambda: gradient(inputs["x"])


def numpy_(inputs: Inputs) -> Call:
    def gradient(x: Any) -> Any:
        e = np.exp(x - np.max(x))
        e /= np.sum(e)
        return e

    return lambda: gradient(inputs["x"])


def numba_(inputs: Inputs) -> Call:
    """Maximum, exponentials and their sum block by block, division: three passes.

    exp is that of Cody and Waite with a Taylor polynomial, which LLVM vectorises.
    """
    import numba

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def exponentials(x: Any, top: float, e: Any) -> None:
        for i in range(len(x)):
            d = x[i] - top
            d = -708.0 if d < -708.0 else d
            k = np.floor(d * 1.4426950408889634 + 0.5)
            r = (d - k * 0.6931471803691238) - k * 1.9082149292705877e-10
            p = 1.0 / 6227020800.0
            p = p * r + 1.0 / 479001600.0
            p = p * r + 1.0 / 39916800.0
            p = p * r + 1.0 / 3628800.0
            p = p * r + 1.0 / 362880.0
            p = p * r + 1.0 / 40320.0
            p = p * r + 1.0 / 5040.0
            p = p * r + 1.0 / 720.0
            p = p * r + 1.0 / 120.0
            p = p * r + 1.0 / 24.0
            p = p * r + 1.0 / 6.0
            p = p * r + 0.5
            p = (p * r) * r + r + 1.0
            e[i] = p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)

    @numba.njit(fastmath=True, error_model="numpy")
    def gradient(x: Any) -> Any:
        e = np.empty_like(x)
        top = -np.inf
        for i in range(len(x)):
            top = max(top, x[i])
        total = 0.0
        for start in range(0, len(x), 1024):
            stop = min(start + 1024, len(x))
            exponentials(x[start:stop], top, e[start:stop])
            for i in range(start, stop):
                total += e[i]
        scale = 1 / total
        for i in range(len(x)):
            e[i] *= scale
        return e

    return lambda: gradient(inputs["x"])


WORKLOAD = Workload(
    name="lse",
    title="gradient of log(sum(exp(x - max x))) + max x",
    sizes=[Size("n=16", "smoke", {"n": 16})]
    + [
        Size(f"n={n}", "small" if n <= 5000 else "large" if n >= 640000 else "medium", {"n": n})
        for n in [2500 * 2**i for i in range(10)]
    ],
    make_inputs=make_inputs,
    reference=reference,
    left_out={"torch:compile": lambda numbers: numbers["n"] not in (2500, 160000, 1280000)},
    implementations={
        "funcgrad": funcgrad_,
        "jax": jax_,
        "torch": torch_,
        "torch:compile": torch_compile,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
