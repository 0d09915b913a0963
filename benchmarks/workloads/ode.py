"""ode: gradient in x of the last component of y at t = 2, where `y_0' = x_0`, `y_i' = x_i y_(i-1)`, `y(0) = 0`.

Runge-Kutta's method of order 4 with s steps. One step carries what x_0 does 4 components further, so that the gradient
is 0 wherever n > 4 s: each implementation is checked on small inputs, too, where it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

TIME = 2.0


def make_inputs(n: int, s: int) -> Inputs:
    return {"x": np.random.default_rng(31337).uniform(size=n), "s": s}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    """A step keeps the symmetry of the equations, so that the last component is a constant times all x_i."""
    x = inputs["x"].astype(np.longdouble)
    return (np.asarray(solve(x, inputs["s"])[-1] / x, float),)


def derivative(x: Any, y: Any, np: Any = np) -> Any:
    """y' in the NumPy-like namespace given."""
    return np.concatenate([x[:1], x[1:] * y[:-1]])


def step(x: Any, y: Any, h: float, np: Any = np) -> Any:
    """One step of Runge and Kutta."""
    k1 = derivative(x, y, np)
    k2 = derivative(x, y + h / 2 * k1, np)
    k3 = derivative(x, y + h / 2 * k2, np)
    k4 = derivative(x, y + h * k3, np)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def solve(x: Any, s: int, np: Any = np) -> Any:
    """y at the end, by a Python loop over the steps."""
    y = np.zeros_like(x)
    for _ in range(s):
        y = step(x, y, TIME / s, np)
    return y


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.jit(funcgrad.grad(lambda x, s: solve(x, s)[-1]), static_argnums=1)
    return lambda: gradient(inputs["x"], inputs["s"])


def by_scan(x: Any, s: int) -> Any:
    """y at the end, by a scan of funcgrad: what is recorded and compiled is one step."""
    from funcgrad import lax

    y, _ = lax.scan(lambda y, _: (step(x, y, TIME / s), None), np.zeros(x.shape), None, length=s)
    return y


def funcgrad_scan(inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.jit(funcgrad.grad(lambda x, s: by_scan(x, s)[-1]), static_argnums=1)
    return lambda: gradient(inputs["x"], inputs["s"])


def jax_(inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    def last(x: Any, s: int) -> Any:
        y, _ = jax.lax.scan(lambda y, _: (step(x, y, TIME / s, jnp), None), jnp.zeros_like(x), None, length=s)
        return y[-1]

    gradient = jax.jit(jax.grad(last), static_argnums=1)
    return lambda: np.asarray(gradient(inputs["x"], inputs["s"]))


def jax_loop(inputs: Inputs) -> Call:
    import jax

    gradient = jax.jit(jax.grad(lambda x, s: solve(x, s, jax.numpy)[-1]), static_argnums=1)
    return lambda: np.asarray(gradient(inputs["x"], inputs["s"]))


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        x = torch.from_numpy(inputs["x"]).requires_grad_()
        solve(x, inputs["s"], torch)[-1].backward()
        return x.grad.numpy()

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda x: solve(x, inputs["s"], anp)[-1])
    return lambda: gradient(inputs["x"])


def numpy_(inputs: Inputs) -> Call:
    """The adjoint of each step, from the values of y at its beginning."""

    def shifted(x: Any, ct: Any) -> Any:
        """The cotangent of y from that of `derivative(x, y)`."""
        result = np.zeros_like(ct)
        np.multiply(x[1:], ct[1:], out=result[:-1])
        return result

    def gradient(x: Any, s: int) -> Any:
        h = TIME / s
        starts = [np.zeros_like(x)]
        for _ in range(s - 1):
            starts.append(step(x, starts[-1], h))
        x_ct, ct = np.zeros_like(x), np.zeros_like(x)
        ct[-1] = 1.0
        for y in reversed(starts):
            y2 = y + h / 2 * derivative(x, y)
            y3 = y + h / 2 * derivative(x, y2)
            y4 = y + h * derivative(x, y3)
            y_ct = ct.copy()
            k_ct = h / 6 * ct
            argument_ct = np.zeros_like(ct)
            for at, weight, following in ((y4, 1, 0.0), (y3, 2, h), (y2, 2, h / 2), (y, 1, h / 2)):
                # What each slope has in y + h/6 (...), and in the argument of the slope that follows.
                total = weight * k_ct + following * argument_ct
                x_ct[0] += total[0]
                x_ct[1:] += total[1:] * at[:-1]
                argument_ct = shifted(x, total)
                y_ct += argument_ct
            ct = y_ct
        return x_ct

    return lambda: gradient(inputs["x"], inputs["s"])


def numba_(inputs: Inputs) -> Call:
    """One loop for each slope, forward and back, over arrays that are reused; y is kept where steps begin."""
    import numba

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def slope(x: Any, y: Any, base: Any, h: float, k: Any, following: Any) -> None:
        k[0] = x[0]
        following[0] = base[0] + h * x[0]
        for i in range(1, len(x)):
            k[i] = x[i] * y[i - 1]
        for i in range(1, len(x)):
            following[i] = base[i] + h * k[i]

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def back(x: Any, at: Any, total: Any, x_ct: Any, y_ct: Any, weight: float, k_ct: Any, h: float, into: Any) -> None:
        """With `total` the cotangent of a slope at `at`: `into` gets that of the slope before it."""
        n = len(x)
        x_ct[0] += total[0]
        for i in range(1, n):
            x_ct[i] += total[i] * at[i - 1]
        for i in range(n - 1):
            argument = x[i + 1] * total[i + 1]
            y_ct[i] += argument
            into[i] = weight * k_ct[i] + h * argument
        into[n - 1] = weight * k_ct[n - 1]

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def gradient(x: Any, s: int) -> Any:
        n = len(x)
        h = TIME / s
        starts = np.zeros((s, n))
        k1, k2, k3, k4 = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        y2, y3, y4, end = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        for j in range(s - 1):
            y = starts[j]
            slope(x, y, y, h / 2, k1, y2)
            slope(x, y2, y, h / 2, k2, y3)
            slope(x, y3, y, h, k3, y4)
            slope(x, y4, y, 0.0, k4, end)
            for i in range(n):
                starts[j + 1, i] = y[i] + h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i])
        x_ct, ct, y_ct = np.zeros(n), np.zeros(n), np.empty(n)
        one, two = np.empty(n), np.empty(n)
        ct[n - 1] = 1.0
        for j in range(s - 1, -1, -1):
            y = starts[j]
            slope(x, y, y, h / 2, k1, y2)
            slope(x, y2, y, h / 2, k2, y3)
            slope(x, y3, y, h, k3, y4)
            for i in range(n):
                y_ct[i] = ct[i]
                ct[i] *= h / 6
                one[i] = ct[i]
            back(x, y4, one, x_ct, y_ct, 2.0, ct, h, two)
            back(x, y3, two, x_ct, y_ct, 2.0, ct, h / 2, one)
            back(x, y2, one, x_ct, y_ct, 1.0, ct, h / 2, two)
            back(x, y, two, x_ct, y_ct, 0.0, ct, 0.0, one)
            ct, y_ct = y_ct, ct
        return x_ct

    return lambda: gradient(inputs["x"], inputs["s"])


WORKLOAD = Workload(
    name="ode",
    title="gradient of the end of s Runge-Kutta steps in n parameters",
    sizes=[Size("n=12,s=4", "smoke", {"n": 12, "s": 4})]
    + [
        Size(f"n={n},s={s}", "small" if n * s <= 10000 else "large" if n * s >= 10**6 else "medium", {"n": n, "s": s})
        for n, s in sorted(((n, s) for n in (1000, 10000, 100000) for s in (1, 10, 100)), key=lambda x: x[0] * x[1])
    ],
    make_inputs=make_inputs,
    reference=reference,
    also_check=[{"n": 12, "s": 4}, {"n": 3, "s": 1}],
    # Tracing and compiling 100 steps one by one takes JAX minutes; the tape of the largest takes gigabytes.
    left_out={"jax:loop": lambda numbers: numbers["s"] > 10},
    implementations={
        "funcgrad": funcgrad_,
        "funcgrad:scan": funcgrad_scan,
        "jax": jax_,
        "jax:loop": jax_loop,
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
