"""hello: the derivative of `x * x` of a Python float, which measures the cost of a call."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs() -> Inputs:
    return {"x": 3.0}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return (2 * inputs["x"],)


def square(x: Any) -> Any:
    return x * x


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    derivative = funcgrad.jit(funcgrad.grad(square))
    return lambda: derivative(inputs["x"])


def funcgrad_eager(inputs: Inputs) -> Call:
    import funcgrad

    derivative = funcgrad.grad(square)
    return lambda: derivative(inputs["x"])


def jax_(inputs: Inputs) -> Call:
    import jax

    derivative = jax.jit(jax.grad(square))
    return lambda: float(derivative(inputs["x"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> float:
        x = torch.tensor(inputs["x"], dtype=torch.float64, requires_grad=True)
        square(x).backward()
        return x.grad.item()

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd

    derivative = autograd.grad(square)
    return lambda: derivative(inputs["x"])


def numpy_(inputs: Inputs) -> Call:
    def derivative(x: float) -> float:
        return 2 * x

    return lambda: derivative(inputs["x"])


def numba_(inputs: Inputs) -> Call:
    import numba

    derivative = numba.njit(lambda x: 2 * x)
    return lambda: derivative(inputs["x"])


WORKLOAD = Workload(
    name="hello",
    title="derivative of x * x of a Python float",
    sizes=[Size("scalar", "smoke")],
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
