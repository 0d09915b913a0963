"""The tool speaks GradBench's protocol, and its outputs are the references' values in GradBench's formats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gradbench_tool
from benchmarks.workloads import ba, gmm, kmeans, llsq, lse, ode

RNG = np.random.default_rng(0)
ROOT = Path(gradbench_tool.__file__).parent.parent


def evaluate(module, function, data, **runs):
    message = {"kind": "evaluate", "module": module, "function": function, "input": {**data, **runs}}
    found = gradbench_tool.answer(message)
    assert found["success"], found
    return json.loads(json.dumps(found))


def output(module, function, data):
    return evaluate(module, function, data)["output"]


def test_conversation_by_lines_is_answered_line_by_line():
    messages = [
        {"id": 0, "kind": "start", "eval": "hello", "config": {}},
        {"id": 1, "kind": "define", "module": "hello"},
        {"id": 2, "kind": "evaluate", "module": "hello", "function": "square", "input": 3},
        {"id": 3, "kind": "analysis", "of": 2, "valid": True},
        {"id": 4, "kind": "evaluate", "module": "hello", "function": "double", "input": 3.0, "description": "3"},
        {"id": 5, "kind": "define", "module": "unknown"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gradbench_tool"],
        input="".join(json.dumps(m) + "\n" for m in messages),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["id"] for a in answers] == list(range(6))
    assert answers[0]["tool"] == "funcgrad"
    assert answers[1]["success"] is True
    assert (answers[2]["output"], answers[4]["output"]) == (9.0, 6.0)
    assert answers[3] == {"id": 3}
    assert answers[5]["success"] is False
    assert "unknown" in answers[5]["error"]


@pytest.mark.parametrize(("least_runs", "least_seconds"), [(1, 0), (5, 0), (1, 0.01)])
def test_evaluate_repeats_as_asked_and_times_each_run(least_runs, least_seconds):
    timings = evaluate("lse", "primal", {"x": [1.0, 2.0]}, min_runs=least_runs, min_seconds=least_seconds)["timings"]
    runs = [t["nanoseconds"] for t in timings if t["name"] == "evaluate"]
    assert len(runs) >= least_runs
    assert sum(runs) >= 1e9 * least_seconds
    assert all(isinstance(t["nanoseconds"], int) for t in timings)
    assert {t["name"] for t in timings} == {"prepare", "compile", "evaluate"}


def test_evaluate_unknown_function_is_no_success():
    found = gradbench_tool.answer({"kind": "evaluate", "module": "lse", "function": "other", "input": {}})
    assert found["success"] is False
    assert "other" in found["error"]


def test_evaluate_failure_gives_the_traceback():
    found = gradbench_tool.answer({"kind": "evaluate", "module": "lse", "function": "primal", "input": {}})
    assert found["success"] is False
    assert "KeyError" in found["error"]


def test_lse():
    x = RNG.normal(size=7)
    assert output("lse", "primal", {"x": x.tolist()}) == pytest.approx(np.log(np.sum(np.exp(x))))
    np.testing.assert_allclose(output("lse", "gradient", {"x": x.tolist()}), lse.reference({"x": x})[0], rtol=1e-12)


def test_llsq():
    x = RNG.normal(size=3)
    data = {"x": x.tolist(), "n": 6}
    t = np.linspace(-1, 1, 6)
    expected = 0.5 * np.sum((np.sign(t) - np.polyval(x[::-1], t)) ** 2)
    assert output("llsq", "primal", data) == pytest.approx(expected)
    np.testing.assert_allclose(output("llsq", "gradient", data), llsq.reference({"x": x, "n": 6})[0], rtol=1e-12)


def test_kmeans():
    inputs = kmeans.make_inputs(2, 9, 3)
    data = {name: x.tolist() for name, x in inputs.items()}
    distances = ((inputs["points"][:, None] - inputs["centroids"]) ** 2).sum(axis=2)
    assert output("kmeans", "cost", data) == pytest.approx(distances.min(axis=1).sum())
    np.testing.assert_allclose(output("kmeans", "dir", data), kmeans.reference(inputs)[0], atol=1e-12)


def test_ode():
    inputs = ode.make_inputs(4, 3)
    data = {"x": inputs["x"].tolist(), "s": 3}
    np.testing.assert_allclose(output("ode", "primal", data), ode.solve(inputs["x"], 3), rtol=1e-12)
    np.testing.assert_allclose(output("ode", "gradient", data), ode.reference(inputs)[0], rtol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_gmm(d):
    inputs = gmm.make_inputs(d, 2, 5)
    data = {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in inputs.items()}
    found = output("gmm", "jacobian", {"d": d, "k": 2, "n": 5, **data})
    for name, expected in zip(("alpha", "mu", "q", "l"), gmm.reference(inputs), strict=True):
        np.testing.assert_allclose(np.reshape(found[name], expected.shape), expected, rtol=1e-9, atol=1e-12)
    assert isinstance(output("gmm", "objective", {"d": d, "k": 2, "n": 5, **data}), float)


def test_ba():
    camera = [0.1, 0.2, 0.3, 0.0, 0.1, -5.0, 500.0, 1.0, 2.0, 0.01, 0.02]
    data = {"n": 2, "m": 3, "p": 5, "cam": camera, "x": [0.1, 0.2, 0.3], "w": 0.5, "feat": [3.0, 4.0]}
    inputs = {
        "cameras": np.tile(camera, (2, 1)),
        "points": np.tile(data["x"], (3, 1)),
        "weights": np.full(5, 0.5),
        "features": np.tile(data["feat"], (5, 1)),
        "observations": np.stack([np.arange(5) % 2, np.arange(5) % 3], axis=1),
    }
    objective = output("ba", "objective", data)
    expected = ba.residual(np.array(camera), np.array(data["x"]), 0.5, np.array(data["feat"]))
    np.testing.assert_allclose(objective["reproj_error"]["elements"], expected)
    assert objective["reproj_error"]["repeated"] == objective["w_err"]["repeated"] == 5
    assert objective["w_err"]["element"] == 0.75
    jacobian = output("ba", "jacobian", data)
    indptr, indices = ba.pattern(inputs)
    values = ba.reference(inputs)[0]
    assert jacobian["rows"] == [*indptr[:30].tolist(), int(indptr[-1])]
    assert jacobian["cols"] == [*indices[:30].tolist(), int(indices[-1])]
    np.testing.assert_allclose(jacobian["vals"], [*values[:30], values[-1]], rtol=1e-9, atol=1e-12)
