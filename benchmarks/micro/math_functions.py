"""How many nanoseconds does each mathematical function take per element, compiled, beside NumPy's?

The accuracy of the kernels is in `kernels.json`, measured by `tests/kernels/math`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import funcgrad
from benchmarks.micro.measuring import Entry, entry, timed

ELEMENTS = 16384
# Where the arguments lie.
RANGES = {
    "exp": (-20, 20),
    "expm1": (-5, 5),
    "exp2": (-20, 20),
    "log": (1e-3, 1e3),
    "log1p": (-0.9, 100),
    "log2": (1e-3, 1e3),
    "log10": (1e-3, 1e3),
    "sqrt": (0, 1e3),
    "cbrt": (-1e3, 1e3),
    "sin": (-10, 10),
    "cos": (-10, 10),
    "tan": (-10, 10),
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
    "arctan": (-10, 10),
    "sinh": (-5, 5),
    "cosh": (-5, 5),
    "tanh": (-5, 5),
    "arcsinh": (-10, 10),
    "arccosh": (1, 10),
    "arctanh": (-0.99, 0.99),
    "floor": (-10, 10),
    "abs": (-10, 10),
    "square": (-10, 10),
    "reciprocal": (1, 10),
}
BINARY = {"power": (0.1, 10), "arctan2": (-5, 5), "hypot": (-5, 5), "logaddexp": (-10, 10), "divide": (1, 5)}


def measure() -> Iterator[Entry]:
    """Nanoseconds per element."""
    rng = np.random.default_rng(0)
    for name, (low, high) in (RANGES | BINARY).items():
        function = getattr(np, name)
        xs = [rng.uniform(low, high, ELEMENTS) for _ in range(2 if name in BINARY else 1)]
        compiled = funcgrad.jit(lambda *xs, function=function: function(*xs))
        calls = {"funcgrad": lambda f=compiled, xs=xs: f(*xs), "numpy": lambda f=function, xs=xs: f(*xs)}
        for library, samples in timed(calls, rounds=5, budget=0.005).items():
            yield entry("math_functions", name, samples, "ns per element", scale=1e9 / ELEMENTS, library=library)
