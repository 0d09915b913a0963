"""What does a step of `scan`, of its gradient, and of `while_loop` cost in compiled code?

The Kalman filter's log-likelihood, forward, stands beside JAX's and a loop by hand in numba.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, jax_and_numpy, timed
from benchmarks.workloads import kalman
from funcgrad import lax

STEPS = 10000


def _step(c: Any) -> Any:
    """One whose derivative is next to 1: the product of all must not become subnormal, which is slow."""
    return c + 1e-4 * (0.5 - c * c)


def scanned(x: Any) -> Any:
    """A scan of a number: a few operations a step, whose derivative needs the values."""
    return lax.scan(lambda c, _: (_step(c), None), x, None, length=STEPS)[0]


def collected(x: Any) -> Any:
    """A scan that reads and writes an element a step."""
    return np.sum(lax.scan(lambda c, y: (c * (0.5 - 0.1 * c) + y, c), x[0], x)[1])


def vectors(x: Any) -> Any:
    """A scan of 16 numbers."""
    return np.sum(lax.scan(lambda c, _: (_step(c), None), x[:16], None, length=STEPS)[0])


def counted(x: Any) -> Any:
    """A while loop on a number."""
    return lax.while_loop(lambda c: c[1] < STEPS, lambda c: (c[0] * 0.999 + 0.1, c[1] + 1), (x, 0))[0]


def filtered_by_hand() -> Callable[..., Any]:
    """The Kalman filter's log-likelihood of 4 states and 2 observations, by loops in numba."""
    import numba

    @numba.njit(error_model="numpy")
    def product(A: Any, B: Any, out: Any) -> None:
        for i in range(4):
            for j in range(4):
                total = 0.0
                for k in range(4):
                    total += A[i, k] * B[k, j]
                out[i, j] = total

    @numba.njit(error_model="numpy")
    def log_likelihood(A: Any, log_q: Any, log_r: Any, y: Any) -> float:
        q, r, At = np.exp(log_q), np.exp(log_r), A.T.copy()
        P, AP, before, gain = np.diag(q), np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 2))
        mean, predicted, total = np.zeros(4), np.empty(4), -np.log(2 * np.pi) * len(y)
        for t in range(len(y)):
            product(A, P, AP)
            product(AP, At, before)
            for i in range(4):
                before[i, i] += q[i]
                predicted[i] = A[i, 0] * mean[0] + A[i, 1] * mean[1] + A[i, 2] * mean[2] + A[i, 3] * mean[3]
            a, b, c, d = before[0, 0] + r[0], before[0, 1], before[1, 0], before[1, 1] + r[1]
            determinant = a * d - b * c
            v0, v1 = y[t, 0] - predicted[0], y[t, 1] - predicted[1]
            square = v0 * (d * v0 - b * v1) + v1 * (a * v1 - c * v0)
            total -= 0.5 * (square / determinant + np.log(determinant))
            for i in range(4):
                gain[i, 0] = (before[i, 0] * d - before[i, 1] * c) / determinant
                gain[i, 1] = (before[i, 1] * a - before[i, 0] * b) / determinant
                mean[i] = predicted[i] + gain[i, 0] * v0 + gain[i, 1] * v1
            for i in range(4):
                for j in range(4):
                    P[i, j] = before[i, j] - gain[i, 0] * before[0, j] - gain[i, 1] * before[1, j]
        return total

    return log_likelihood  # type: ignore[no-any-return]


def filters() -> dict[str, Callable[[], Any]]:
    """The filter over STEPS observations in each library that is installed."""
    inputs = kalman.make_inputs(STEPS)
    args = [inputs[name] for name in kalman.ARGUMENTS]
    own = funcgrad.jit(lambda *xs: kalman.by_scan(*xs, np=np, inverse=kalman.inverse, scan=lax.scan))
    found: dict[str, Callable[..., Any]] = {"funcgrad": own}
    if importlib.util.find_spec("numba") is not None:
        found["numba"] = filtered_by_hand()
    modules = jax_and_numpy()
    if modules is not None:
        jax, jnp = modules
        peer = jax.jit(lambda *xs: kalman.by_scan(*xs, jnp, kalman.inverse_written_out, jax.lax.scan))
        found["jax"] = lambda *xs: jax.block_until_ready(peer(*xs))
    expected = found["funcgrad"](*args)
    for name, f in found.items():
        np.testing.assert_allclose(f(*args), expected, rtol=1e-9, err_msg=name)
    return {name: lambda f=f: f(*args) for name, f in found.items()}  # type: ignore[misc]


def measure() -> Iterator[Entry]:
    """Nanoseconds per step."""
    xs = np.linspace(0, 1, STEPS)
    calls: dict[str, Callable[[], Any]] = {
        "scan of a number": _jitted(scanned, 1.0),
        "gradient of it": _jitted(funcgrad.grad(scanned), 1.0),
        "scan over elements": _jitted(collected, xs),
        "gradient of that": _jitted(funcgrad.grad(collected), xs),
        "scan of 16 numbers": _jitted(vectors, xs),
        "gradient of those": _jitted(funcgrad.grad(vectors), xs),
        "while_loop on a number": _jitted(counted, 1.0),
    }
    for case, samples in timed(calls).items():
        yield entry("loops", case, samples, "ns per step", scale=1e9 / STEPS)
    for library, samples in timed(filters()).items():
        yield entry("loops", "Kalman filter, forward", samples, "ns per step", scale=1e9 / STEPS, library=library)


def _jitted(f: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    compiled = funcgrad.jit(f)
    return lambda: compiled(x)
