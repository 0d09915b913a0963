"""funcgrad as a tool of GradBench, the benchmark of automatic differentiation: messages as JSON lines.

    ./gradbench run --eval "./gradbench repo eval gmm" --tool "python -m benchmarks.gradbench_tool"

Messages start, define, evaluate and analysis arrive on standard input, and each is answered by a line on standard
output. Serves hello, lse, llsq, kmeans, ode, gmm and ba. An evaluation is repeated as its input asks (`min_runs`,
`min_seconds`); converting lists to arrays is timed as "prepare", the first runs, in which the function is recorded and
compiled, as "compile", and each run after them as "evaluate".

Reference:
    https://github.com/gradbench/gradbench
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from benchmarks.timing import one_thread

one_thread()

import numpy as np  # noqa: E402

import funcgrad  # noqa: E402
import funcgrad.numpy as fnp  # noqa: E402
from benchmarks.workloads import ba, gmm, hello, kmeans, llsq, lse, ode  # noqa: E402

TOOL = "funcgrad"
# `jit` records in the first call and compiles in the second.
WARM_UP = 2


class Function:
    """A function of an evaluation.

    Args:
        prepare: From the message's input to the arguments.
        compute: What is timed.
        present: From the result to what JSON can hold.
        repeated: Whether the input may ask for several runs.
    """

    def __init__(
        self,
        prepare: Callable[[Any], tuple[Any, ...]],
        compute: Callable[..., Any],
        present: Callable[[Any], Any],
        *,
        repeated: bool = True,
    ) -> None:
        self.prepare, self.compute, self.present, self.repeated = prepare, compute, present, repeated

    def run(self, message_input: Any) -> dict[str, Any]:
        """Output and timings."""
        asked = message_input if self.repeated else {}
        least_runs, least_seconds = asked.get("min_runs", 1), asked.get("min_seconds", 0)
        start = time.perf_counter_ns()
        arguments = self.prepare(message_input)
        timings = [{"name": "prepare", "nanoseconds": time.perf_counter_ns() - start}]
        for _ in range(WARM_UP if self.repeated else 0):
            start = time.perf_counter_ns()
            self.compute(*arguments)
            timings.append({"name": "compile", "nanoseconds": time.perf_counter_ns() - start})
        runs, elapsed = 0, 0
        while runs < least_runs or elapsed < 1e9 * least_seconds:
            start = time.perf_counter_ns()
            result = self.compute(*arguments)
            taken = time.perf_counter_ns() - start
            timings.append({"name": "evaluate", "nanoseconds": taken})
            runs, elapsed = runs + 1, elapsed + taken
        return {"success": True, "output": self.present(result), "timings": timings}


def arrays(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    """The named lists of an input as arrays; numbers stay."""
    return lambda data: tuple(np.asarray(data[n], float) if isinstance(data[n], list) else data[n] for n in names)


def as_list(x: Any) -> Any:
    """An array as nested lists."""
    return np.asarray(x).tolist()


def _gmm_prepare(data: Any) -> tuple[Any, ...]:
    alpha, mu, q, x = (np.asarray(data[name], float) for name in ("alpha", "mu", "q", "x"))
    l = np.asarray(data["l"], float).reshape(len(alpha), -1)
    return alpha, mu, q, l, x, float(data["gamma"]), int(data["m"])


def _gmm_objective(alpha: Any, mu: Any, q: Any, l: Any, x: Any, gamma: float, m: int) -> Any:
    k, d = q.shape
    Q = fnp.zeros((k, d, d))
    Q[:, *gmm.below_diagonal(d)] = l
    Q[:, np.arange(d), np.arange(d)] = np.exp(q)
    squares = gmm.distances_in_one_product(Q, mu, x, np)
    return gmm.log_posterior(alpha, q, l, squares, gamma, m, np, gmm.logsumexp)


def _gmm_present(gradient: Any) -> Any:
    return dict(zip(("alpha", "mu", "q", "l"), map(as_list, gradient), strict=True))


def _ba_prepare(data: Any) -> tuple[Any, ...]:
    """One camera, point, weight and feature, repeated; observation i is of camera i mod n and point i mod m."""
    n, m, p = data["n"], data["m"], data["p"]
    camera, point = np.arange(p) % n, np.arange(p) % m
    repeated = [np.tile(np.asarray(data[key], float), (count, 1)) for key, count in (("cam", n), ("x", m), ("feat", p))]
    cameras, points, features = repeated
    return cameras, points, np.full(p, float(data["w"])), features, camera, point


def _ba_residuals(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
    return np.stack(ba.residual(cameras[camera].T, points[point].T, w, features.T)), 1 - w**2


def _ba_objective_present(result: Any) -> Any:
    """The first observation's residuals, and how often they come: all are the same."""
    projection, weights = result
    return {
        "reproj_error": {"elements": as_list(projection[:, 0]), "repeated": projection.shape[1]},
        "w_err": {"element": float(weights[0]), "repeated": len(weights)},
    }


def _ba_jacobian(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
    """The values of the Jacobian, and where they stand."""
    inputs = {"cameras": cameras, "points": points, "weights": w, "observations": np.stack([camera, point], 1)}
    return _ba_values(cameras, points, w, features, camera, point), *ba.pattern(inputs)


def _ba_jacobian_present(result: Any) -> Any:
    """The first observation's two rows and the last element of each array, as the format of this evaluation has it."""
    values, rows, columns = result
    first = 2 * ba.ROW
    named = {"rows": rows, "cols": columns, "vals": values}
    return {key: [*as_list(x[:first]), as_list(x[-1])] for key, x in named.items()}


# As Any, since lambdas have no types that jit and grad could hand on.
jit: Any = funcgrad.jit
grad: Any = funcgrad.grad

_ba_values = jit(ba.jacobian_values)
_direction = jit(kmeans.direction)
_jit_static_last = partial(jit, static_argnums=1)

MODULES: dict[str, dict[str, Function]] = {
    "hello": {
        "square": Function(lambda x: (float(x),), jit(hello.square), float, repeated=False),
        "double": Function(lambda x: (float(x),), jit(grad(hello.square)), float, repeated=False),
    },
    "lse": {
        "primal": Function(arrays("x"), jit(lambda x: lse.logsumexp(x)), float),
        "gradient": Function(arrays("x"), jit(grad(lambda x: lse.logsumexp(x))), as_list),
    },
    "llsq": {
        "primal": Function(arrays("x", "n"), _jit_static_last(lambda x, n: llsq.objective(x, n)), float),
        "gradient": Function(arrays("x", "n"), _jit_static_last(grad(lambda x, n: llsq.objective(x, n))), as_list),
    },
    "kmeans": {
        "cost": Function(arrays("centroids", "points"), jit(lambda c, p: kmeans.cost(c, p)), float),
        "dir": Function(arrays("points", "centroids"), _direction, as_list),
    },
    "ode": {
        "primal": Function(arrays("x", "s"), _jit_static_last(lambda x, s: ode.by_scan(x, s)), as_list),
        "gradient": Function(arrays("x", "s"), _jit_static_last(grad(lambda x, s: ode.by_scan(x, s)[-1])), as_list),
    },
    "gmm": {
        "objective": Function(_gmm_prepare, jit(_gmm_objective, static_argnums=(5, 6)), float),
        "jacobian": Function(
            _gmm_prepare,
            jit(grad(_gmm_objective, argnums=(0, 1, 2, 3)), static_argnums=(5, 6)),
            _gmm_present,
        ),
    },
    "ba": {
        "objective": Function(_ba_prepare, jit(_ba_residuals), _ba_objective_present),
        "jacobian": Function(_ba_prepare, _ba_jacobian, _ba_jacobian_present),
    },
}


def evaluate(message: dict[str, Any]) -> dict[str, Any]:
    """The answer to an "evaluate" message."""
    functions = MODULES.get(message["module"], {})
    function = functions.get(message["function"])
    if function is None:
        return {"success": False, "error": f"no function {message['function']!r} in module {message['module']!r}"}
    try:
        return function.run(message["input"])
    except Exception:
        return {"success": False, "error": traceback.format_exc()}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """The answer to a message, without its id."""
    match message["kind"]:
        case "start":
            return {"tool": TOOL}
        case "define":
            known = message["module"] in MODULES
            return {"success": True} if known else {"success": False, "error": f"no module {message['module']!r}"}
        case "evaluate":
            return evaluate(message)
        case _:  # "analysis", and kinds that are not known yet, want to be acknowledged
            return {}


def serve(messages: TextIO, answers: TextIO) -> None:
    """Answer messages, one a line, until there are no more."""
    for line in messages:
        if line.strip():
            message = json.loads(line)
            print(json.dumps({"id": message["id"], **answer(message)}), file=answers, flush=True)


def main() -> None:
    """Serve on standard input and output; what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
