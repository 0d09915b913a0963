"""How long do recorded programs take to become native code, and how much memory have they then, beside XLA?

Counted is what follows the recording: `lower` and `compile` of `jax.jit(f).trace(...)`, `compile` of `funcgrad.jit(f).
lower(...)`; nothing is read from disk. Memory is what a program has for temporaries, arguments and results aside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, jax_and_numpy
from benchmarks.workloads import digits, gmm

ROUNDS = 5
LAYERS, IMAGES = (64, 128, 64, 10), 1437
COMPONENTS, DIMENSIONS, POINTS = 25, 20, 1000

# Of a namespace like NumPy's, a loss; it and its arguments, by the first of which it is differentiated.
Loss = Callable[..., Any]


def chain(count: int) -> Callable[[Any], Loss]:
    """So many sines of 1000 elements, each with a product and a sum."""

    def make(xp: Any) -> Loss:
        def loss(x: Any, y: Any) -> Any:
            for k in range(count):
                x = xp.sin(x) * y + 0.5 * k
            return xp.sum(x * x)

        return loss

    return make


def recurrence(steps: int) -> Callable[[Any], Loss]:
    """A recurrent network of 16 units, its steps unrolled."""

    def make(xp: Any) -> Loss:
        def loss(w: Any, h: Any) -> Any:
            for _ in range(steps):
                h = xp.tanh(w @ h + 0.1)
            return xp.sum(h)

        return loss

    return make


def network(xp: Any) -> Loss:
    """Cross entropy of a network of three layers."""
    return lambda params, x, labels: digits.loss(params, x, labels, xp)


def mixture(xp: Any) -> Loss:
    """The log posterior of a Gaussian mixture, by its means and its factors of the precisions."""

    def logsumexp(x: Any, axis: int) -> Any:
        top = xp.max(x, axis=axis, keepdims=True)
        return xp.squeeze(xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top, axis)

    def loss(parameters: Any, alpha: Any, x: Any) -> Any:
        mu, q, l = parameters
        Q = xp.tril(l, -1) + xp.exp(q)[:, :, None] * np.eye(DIMENSIONS)
        squares = gmm.distances_in_one_product(Q, mu, x, xp)
        return gmm.log_posterior(alpha, q, xp.tril(l, -1), squares, 1.0, 0, xp, logsumexp)

    return loss


def cases() -> dict[str, tuple[Callable[[Any], Loss], tuple[Any, ...]]]:
    """The programs with their arguments."""
    rng = np.random.default_rng(0)
    vector, w = np.linspace(0.1, 0.9, 1000), rng.normal(size=(16, 16)) * 0.2
    inputs = digits.make_inputs(LAYERS, IMAGES)
    k, d = COMPONENTS, DIMENSIONS
    parameters = rng.uniform(size=(k, d)), rng.normal(size=(k, d)), rng.normal(size=(k, d, d))
    return {
        "chain of 10 sines": (chain(10), (vector, vector)),
        "chain of 100 sines": (chain(100), (vector, vector)),
        "recurrence of 20 steps": (recurrence(20), (w, np.ones(16))),
        "recurrence of 200 steps": (recurrence(200), (w, np.ones(16))),
        "network of 3 layers": (network, (inputs["params"], inputs["x"], inputs["labels"])),
        "Gaussian mixture": (mixture, (parameters, rng.normal(size=k), rng.normal(size=(POINTS, d)))),
    }


def compiled_by_funcgrad(make: Callable[[Any], Loss], args: tuple[Any, ...]) -> tuple[float, int, int]:
    """Seconds, bytes of temporaries, and how many equations there were."""
    lowered = funcgrad.jit(funcgrad.grad(make(np))).lower(*args)
    equations = len(lowered.as_text("jaxpr").splitlines()) - 2
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    return seconds, compiled.explain().programs[-1].stages().workspace, equations


def compiled_by_jax(jax: Any, jnp: Any, make: Callable[[Any], Loss], args: tuple[Any, ...]) -> tuple[float, int]:
    """Seconds, and bytes of temporaries."""
    traced = jax.jit(jax.grad(make(jnp))).trace(*args)
    start = time.perf_counter()
    compiled = traced.lower().compile()
    return time.perf_counter() - start, compiled.memory_analysis().temp_size_in_bytes


@patch.dict(os.environ, FUNCGRAD_CACHE="0")
def compiled(case: str, make: Callable[[Any], Loss], args: tuple[Any, ...]) -> list[Entry]:
    """The entries of one program."""
    modules = jax_and_numpy()
    # The first program of a process pays for its compiler, too.
    found = [compiled_by_funcgrad(make, args) for _ in range(ROUNDS + 1)][1:]
    peers = [compiled_by_jax(*modules, make, args) for _ in range(ROUNDS + 1)][1:] if modules else []
    name = f"{case}, {found[0][2]} equations"
    entries = []
    for library, samples in (("funcgrad", [s[:2] for s in found]), ("jax", peers)):
        if samples:
            seconds, sizes = zip(*samples, strict=True)
            entries.append(entry("programs", name, seconds, "ms to compile", scale=1e3, library=library))
            entries.append(entry("programs", case, sizes[:1], "MB of temporaries", scale=1e-6, library=library))
    return entries


def measure() -> Iterator[Entry]:
    """Milliseconds, and megabytes."""
    for case, (make, args) in cases().items():
        yield from compiled(case, make, args)
