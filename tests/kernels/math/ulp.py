"""The table of the kernels' errors and speeds: `python -m tests.kernels.math.ulp [name ...] [--points N]`.

Errors are against mpmath, in units in the last place; nanoseconds are of one thread, for arrays in cache, the least of
many runs, beside NumPy's (or SciPy's) and JAX's where these are importable. Written to benchmarks/micro/kernels.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tests.kernels.math
from tests.kernels.math.harness import Row, compiled

TABLE = Path(__file__).parents[3] / "benchmarks" / "micro" / "kernels.json"
# Elements of a timed call: they fit the second cache, and the cost of a call does not count.
COUNT = 16384
REPEATS, ROUNDS = 20, 15


def all_rows() -> list[Row]:
    """The rows of every test module beside this one."""
    modules = [
        importlib.import_module(f"{tests.kernels.math.__name__}.{info.name}")
        for info in pkgutil.iter_modules(tests.kernels.math.__path__)
        if info.name.startswith("test_")
    ]
    return [row for module in modules for row in getattr(module, "ROWS", [])]


def nanoseconds(call: Callable[[], Any], repeats: int) -> float:
    """Per element, the least of several rounds."""
    best = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        best = min(best, time.perf_counter() - start)
    return best / repeats / COUNT * 1e9


def jax_call(name: str, xs: tuple[np.ndarray, ...]) -> Callable[[], Any] | None:
    """JAX's function, compiled, of these operands; None where JAX is not installed."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    module, _, attribute = name.rpartition(".")
    function = jax.jit(getattr(importlib.import_module(module), attribute))
    # As many elements that the cost of a call does not count.
    arrays = [jax.numpy.asarray(np.tile(x, 4)) for x in xs]
    function(*arrays).block_until_ready()
    return lambda: function(*arrays).block_until_ready()


def measure(row: Row, dtype: str, points: int) -> dict[str, Any]:
    """One line of the table."""
    errors, xs = row.errors(dtype, 8, points)
    worst = int(np.argmax(errors))
    line: dict[str, Any] = {
        "function": row.name,
        "dtype": dtype,
        "points": len(errors),
        "ulp": round(float(errors[worst]), 3),
        "at": [float(x[worst]) for x in xs],
    }
    operands = row.timed(np.random.default_rng(1), COUNT, np.dtype(dtype))
    width = 64 // np.dtype(dtype).itemsize
    run = compiled(row.kernel, dtype, row.operands, width).run
    y = np.empty(COUNT, dtype)
    addresses = [x.ctypes.data for x in (*operands, y)]
    line["ns"] = round(nanoseconds(lambda: run(*addresses, COUNT), REPEATS), 3)
    if row.numpy is not None:
        with np.errstate(all="ignore"):
            line["ns_numpy"] = round(nanoseconds(lambda: row.numpy(*operands), 10), 3)
    call = jax_call(row.jax, operands) if row.jax is not None else None
    if call is not None:
        line["ns_jax"] = round(nanoseconds(call, 5) / 4, 3)
    return line


def main() -> None:
    """Measure the named kernels, or all, print the table, and merge it into the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of kernels; all where none is named")
    parser.add_argument("--points", type=int, default=100_000)
    arguments = parser.parse_args()
    rows = [row for row in all_rows() if not arguments.names or row.name in arguments.names]
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    print(f"{'function':<14}{'dtype':<9}{'ulp':>7}{'ns':>8}{'NumPy':>8}{'JAX':>8}  worst at")
    for row in rows:
        for dtype in row.dtypes:
            line = lines[row.name, dtype] = measure(row, dtype, arguments.points)
            times = "".join(f"{line.get(key, float('nan')):>8.2f}" for key in ("ns", "ns_numpy", "ns_jax"))
            print(f"{row.name:<14}{dtype:<9}{line['ulp']:>7.3f}{times}  {line['at']}", flush=True)
    header = {"machine": platform.processor() or platform.machine(), "numpy": np.__version__, "elements": COUNT}
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(TABLE.read_text())["kernels"] if TABLE.exists() else []
    lines = {(line["function"], line["dtype"]): line for line in known} | lines
    table = sorted(lines.values(), key=lambda line: (line["function"], line["dtype"]))
    text = ",\n".join("    " + json.dumps(line) for line in table)
    TABLE.write_text(f'{{\n  "environment": {json.dumps(header)},\n  "kernels": [\n{text}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
