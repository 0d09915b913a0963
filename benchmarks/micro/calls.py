"""What does a call of a jitted function cost, by the number of its arguments, leaves and results; and in JAX?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, jax_and_numpy, timed


def of_arguments(count: int) -> Callable[[], Any]:
    """A call with `count` arrays of one element."""
    f = funcgrad.jit(lambda *xs: sum(xs[1:], xs[0]))
    xs = [np.ones(1) for _ in range(count)]
    return lambda: f(*xs)


def of_leaves(count: int) -> Callable[[], Any]:
    """A call with one dict of `count` arrays of one element."""
    f = funcgrad.jit(lambda tree: sum(tree.values()))
    tree = {f"leaf{i}": np.ones(1) for i in range(count)}
    return lambda: f(tree)


def of_results(count: int) -> Callable[[], Any]:
    """A call that gives `count` arrays."""
    f = funcgrad.jit(lambda x: tuple(x + i for i in range(count)))
    x = np.ones(1)
    return lambda: f(x)


def of_scalar() -> Callable[[], Any]:
    """A call with a Python float."""
    f = funcgrad.jit(lambda x: x + 1.0)
    return lambda: f(2.0)


LAYER = "gradient of sum(tanh(x @ w)^2), x 8x5"


def of_layer() -> dict[str, Callable[[], Any]]:
    """The gradient of one small layer, from NumPy arrays to NumPy arrays, and JAX's."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 5)), rng.normal(size=(5, 3))
    gradient = funcgrad.jit(funcgrad.grad(lambda w, x: np.sum(np.tanh(x @ w) ** 2)))
    calls: dict[str, Callable[[], Any]] = {f"funcgrad {LAYER}": lambda: gradient(w, x)}
    modules = jax_and_numpy()
    if modules is not None:
        jax, jnp = modules
        peer = jax.jit(jax.grad(lambda w, x: jnp.sum(jnp.tanh(x @ w) ** 2)))
        calls[f"jax {LAYER}"] = lambda: np.asarray(peer(w, x))
    return calls


def measure() -> Iterator[Entry]:
    """Microseconds per call."""
    calls = {f"{n} arguments": of_arguments(n) for n in (1, 2, 5, 10, 20)}
    calls |= {f"dict of {n} leaves": of_leaves(n) for n in (1, 10, 100)}
    calls |= {f"{n} results": of_results(n) for n in (1, 5, 20)}
    calls["a float"] = of_scalar()
    calls = {f"funcgrad {case}": call for case, call in calls.items()} | of_layer()
    for said, samples in timed(calls).items():
        library, case = said.split(" ", 1)
        yield entry("calls", case, samples, "us per call", scale=1e6, library=library)
