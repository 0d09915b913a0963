"""How close do fused chains come to copying an array, in the cache and out of it?

Counted are bytes read and bytes written; the copy is `np.copyto` to an array that is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, jax_and_numpy, timed

# Of a namespace like NumPy's and two arrays; how many arrays are read and written.
Chain = Callable[[Any, Any, Any], Any]
CHAINS: dict[str, tuple[int, Chain]] = {
    "x + 1": (2, lambda xp, x, y: x + 1.0),
    "((x + 1) * 2 - x) / 3": (2, lambda xp, x, y: ((x + 1.0) * 2.0 - x) / 3.0),
    "where(x > 0, x, 0.1 x)": (2, lambda xp, x, y: xp.where(x > 0, x, 0.1 * x)),
    "2 x + y / 2 - 1": (3, lambda xp, x, y: 2.0 * x + y * 0.5 - 1.0),
    "x + y, x - y": (4, lambda xp, x, y: (x + y, x - y)),
    "sum(x)": (1, lambda xp, x, y: xp.sum(x)),
    "sum(x * y)": (2, lambda xp, x, y: xp.sum(x * y)),
    "max(x)": (1, lambda xp, x, y: xp.max(x)),
}


def squared(xp: Any, x: Any) -> Any:
    """A sum of squares."""
    return xp.sum((x - 1.0) ** 2)


def measure() -> Iterator[Entry]:
    """Time over that of a copy which moves as many bytes; below 1.18 is above 85 % of the copy's bandwidth."""
    modules = jax_and_numpy()
    for elements, where in ((10**4, "10^4"), (10**6, "10^6"), (10**7, "10^7")):
        x, y, z = np.linspace(-1, 1, elements), np.linspace(2, 1, elements), np.empty(elements)
        calls: dict[str, Callable[[], Any]] = {"copy": lambda z=z, x=x: np.copyto(z, x)}  # type: ignore[misc]
        calls |= {f"funcgrad {name}": call for name, call in _funcgrad(x, y).items()}
        if modules is not None:
            calls |= {f"jax {name}": call for name, call in _jax(*modules, x, y).items()}
        samples = timed(calls, rounds=7)
        copies = samples.pop("copy")
        yield entry("bandwidth", f"copy, {where}", copies, "ns per element", scale=1e9 / elements, library="numpy")
        for said, seconds in samples.items():
            library, name = said.split(" ", 1)
            arrays = CHAINS[name][0] if name in CHAINS else 2
            ratios = [2 / arrays * s / c for s, c in zip(seconds, copies, strict=True)]
            yield entry("bandwidth", f"{name}, {where}", ratios, "of a copy's time by bytes", library=library)


_GRADIENT = "gradient of sum((x - 1)**2)"


def _funcgrad(x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    compiled = {name: funcgrad.jit(lambda x, y, f=f: f(np, x, y)) for name, (_, f) in CHAINS.items()}
    compiled[_GRADIENT] = funcgrad.jit(funcgrad.grad(lambda x, y: squared(np, x)))
    return {name: lambda f=f: f(x, y) for name, f in compiled.items()}  # type: ignore[misc]


def _jax(jax: Any, jnp: Any, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    ready, x, y = jax.block_until_ready, jnp.asarray(x), jnp.asarray(y)
    compiled = {name: jax.jit(lambda x, y, f=f: f(jnp, x, y)) for name, (_, f) in CHAINS.items()}
    compiled[_GRADIENT] = jax.jit(jax.grad(lambda x, y: squared(jnp, x)))
    return {name: lambda f=f: ready(f(x, y)) for name, f in compiled.items()}
