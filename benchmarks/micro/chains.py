"""How fast are fused chains with exp, sin and their kin, in the caches and out of them, beside NumPy and JAX?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, jax_and_numpy, timed

Chain = Callable[[Any, Any, Any], Any]
CHAINS: dict[str, Chain] = {
    "exp(-x x) y + tanh(y)": lambda xp, x, y: xp.exp(-x * x) * y + xp.tanh(y),
    "log1p(exp(-|x|)) + sin(y) cos(x)": lambda xp, x, y: xp.log1p(xp.exp(-xp.abs(x))) + xp.sin(y) * xp.cos(x),
    "exp(-(x - y)^2 / 2) / sqrt(1 + y^2)": lambda xp, x, y: xp.exp(-0.5 * (x - y) ** 2) / xp.sqrt(1 + y * y),
    "arctan(x) sinh(y) + cbrt(x)": lambda xp, x, y: xp.arctan(x) * xp.sinh(y) + xp.cbrt(x),
    "sqrt(x x + y y) log(2 + x)": lambda xp, x, y: xp.sqrt(x * x + y * y) * xp.log(2 + x),
}


def measure(exponents: Sequence[int] = range(3, 8)) -> Iterator[Entry]:
    """Nanoseconds per element of arrays of 10^exponent."""
    for exponent in exponents:
        n = 10**exponent
        x, y = np.linspace(-1, 1, n), np.linspace(2, 1, n)
        calls: dict[str, Callable[[], Any]] = {}
        for name, f in CHAINS.items():
            compiled = funcgrad.jit(lambda x, y, f=f: f(np, x, y))
            calls[f"funcgrad {name}"] = lambda g=compiled, x=x, y=y: g(x, y)  # type: ignore[misc]
            calls[f"numpy {name}"] = lambda f=f, x=x, y=y: f(np, x, y)  # type: ignore[misc]
            calls |= _jax(name, f, x, y)
        for said, samples in timed(calls, rounds=5).items():
            library, case = said.split(" ", 1)
            yield entry("chains", f"{case}, 10^{exponent}", samples, "ns per element", scale=1e9 / n, library=library)


def _jax(name: str, f: Chain, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    modules = jax_and_numpy()
    if modules is None:
        return {}
    jax, jnp = modules
    compiled = jax.jit(lambda x, y: f(jnp, x, y))
    x, y = jnp.asarray(x), jnp.asarray(y)
    return {f"jax {name}": lambda: jax.block_until_ready(compiled(x, y))}
