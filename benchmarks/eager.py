"""What does un-jitted `grad` cost beside its peers and beside a gradient written by hand?

    python -m benchmarks.eager [--smoke] [--readme]

Peers that are not installed are left out. Every result is checked against the hand-written gradient before it is
timed. The hand-written gradient computes what the libraries compute: the value and the gradient.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import Timing, environment, interleaved, one_thread

one_thread()

import numpy as np  # noqa: E402

import funcgrad  # noqa: E402

HERE = Path(__file__).parent
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(8, 5)), RNG.normal(size=(5, 3))
EQUATIONS = 200

Implementations = dict[str, Callable[[], Any]]


def layer(np: Any) -> Callable[[Any, Any], Any]:
    """The loss of one layer, in the NumPy-like namespace given."""
    return lambda w, x: np.sum(np.tanh(x @ w) ** 2)


def layer_by_hand(w: Any, x: Any) -> tuple[Any, Any]:
    """Value and gradient of `layer` in w."""
    y = np.tanh(x @ w)
    return np.sum(y**2), x.T @ (2 * y * (1 - y * y))


def chain(np: Any) -> Callable[[Any], Any]:
    """A function of 200 equations on a small array."""

    def f(y: Any) -> Any:
        for _ in range((EQUATIONS - 2) // 2):
            y = np.sin(y) * 1.01
        return np.sum(y * y)

    return f


def chain_by_hand(x: Any) -> tuple[Any, Any]:
    """Value and gradient of `chain`."""
    ys, y = [], x
    for _ in range((EQUATIONS - 2) // 2):
        ys.append(y)
        y = np.sin(y) * 1.01
    ct = 2 * y
    for y_before in reversed(ys):
        ct = ct * 1.01 * np.cos(y_before)
    return np.sum(y * y), ct


def implementations(namespace_function: Callable[[Any], Callable[..., Any]], args: tuple[Any, ...]) -> Implementations:
    """`grad` of one function in every library that is installed, each on its own arrays."""
    found: Implementations = {"funcgrad": _bound(funcgrad.grad(namespace_function(np)), *args)}
    try:
        import autograd
        import autograd.numpy as anp

        found["HIPS autograd"] = _bound(autograd.grad(namespace_function(anp)), *args)
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(1)
        tensors = [torch.tensor(a) for a in args]
        f = namespace_function(torch)

        def eager() -> Any:
            w = tensors[0].detach().requires_grad_()
            f(w, *tensors[1:]).backward()
            return w.grad

        found["PyTorch eager"] = eager
        found["torch.func.grad"] = _bound(torch.func.grad(f), *tensors)
    except ImportError:
        pass
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        arrays = [jax.numpy.asarray(a) for a in args]
        gradient = jax.grad(namespace_function(jax.numpy))
        found["JAX without jit"] = lambda: gradient(*arrays).block_until_ready()
    except ImportError:
        pass
    return found


def _bound(f: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: f(*args)


def measure(
    name: str, by_hand: Callable[[], tuple[Any, Any]], calls: Implementations, smoke: bool
) -> dict[str, Timing]:
    """Check every implementation's gradient, then time all in turn."""
    expected = by_hand()[1]
    for library, call in calls.items():
        np.testing.assert_allclose(np.asarray(call()), expected, rtol=1e-10, err_msg=f"{name}: {library}")
    options: dict[str, Any] = {"rounds": 2, "budget": 0.002} if smoke else {}
    return interleaved({"by hand": by_hand, **calls}, **options)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run: does everything still work?")
    parser.add_argument("--readme", action="store_true", help="write the figures to eager.json and README.md")
    options = parser.parse_args()
    small = RNG.normal(size=(5,))
    workloads = {
        "grad of sum(tanh(x @ w)**2), x 8x5": (_bound(layer_by_hand, W, X), implementations(layer, (W, X))),
        f"grad of {EQUATIONS} equations on 5 elements": (
            _bound(chain_by_hand, small),
            implementations(chain, (small,)),
        ),
    }
    versions = environment("autograd", "torch", "jax")
    print("  ".join(f"{key} {value}" for key, value in versions.items()))
    report: dict[str, Any] = {"environment": versions, "command": "python -m benchmarks.eager", "workloads": {}}
    for name, (by_hand, calls) in workloads.items():
        timings = measure(name, by_hand, calls, options.smoke)
        print(f"\n{name}\n{'':<18}{'median (min - max)':<32}   / by hand   / funcgrad")
        for library, timing in timings.items():
            against_hand = timing.median / timings["by hand"].median
            against_us = timing.median / timings["funcgrad"].median
            print(f"{library:<18}{timing!s:<32}{against_hand:10.2f}{against_us:12.2f}")
        report["workloads"][name] = {library: timing.median for library, timing in timings.items()}
    per_equation = report["workloads"][f"grad of {EQUATIONS} equations on 5 elements"]["funcgrad"] / EQUATIONS
    print(f"\nfuncgrad, forward and reverse together: {per_equation * 1e6:.2f} us per recorded equation")
    if options.readme:
        (HERE / "eager.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        write_readme(report)


def write_readme(report: dict[str, Any]) -> None:
    """Put the figures into README.md, between the marks."""
    readme = HERE.parent / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition("<!-- benchmarks: begin")
    mark, _, rest = rest.partition("\n")
    _, end, after = rest.partition("<!-- benchmarks: end -->")
    versions = ", ".join(f"{name} {version}" for name, version in report["environment"].items())
    workloads = report["workloads"]
    libraries = list(next(iter(workloads.values())))
    lines = [
        "Gradients without `jit`, the time of one call and its ratio to a gradient (with its value) written by hand in",
        f"NumPy; one thread, medians of interleaved rounds, `{report['command']}`; {versions}.",
        "",
        f"| | {' | '.join(libraries)} |",
        f"|---|{'---|' * len(libraries)}",
    ]
    for workload, times in workloads.items():
        cells = [f"{times[name] * 1e6:.1f} us ({times[name] / times['by hand']:.1f})" for name in libraries]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    readme.write_text(f"{before}{begin}{mark}\n{table}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
