"""pytest's option and fixtures, in a run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import numpy as np
from funcgrad import grad, stop_gradient

def only_first(x):
    return np.sum(x * stop_gradient(x) * 2 - stop_gradient(x * x))

def test_order(derivative_order):
    assert derivative_order == ORDER

def test_check(check_grads):
    report = check_grads(np.tanh, (0.5,))
    assert report.order == ORDER

def test_first_order_only(check_grads):
    check_grads(lambda x: x + (np.sin(x) - stop_gradient(np.sin(x))) - np.sin(x) + stop_gradient(np.sin(x)), (0.5,))

def test_nans(debug_nans):
    try:
        grad(lambda x: np.log(x - 1))(0.5)
    except FloatingPointError:
        pass
    else:
        raise AssertionError("no error")
"""
ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, order: int, *options: str) -> subprocess.CompletedProcess[str]:
    folder.joinpath("test_it.py").write_text(TESTS.replace("ORDER", str(order)), encoding="utf-8")
    plugin = [] if installed() else ["-p", "funcgrad_pytest"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *plugin, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "funcgrad_pytest" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize("order", [None, 1, 3])
def test_plugin_option_sets_the_order(tmp_path: Path, order: int | None) -> None:
    options = [] if order is None else [f"--derivative-order={order}"]
    result = run_pytest(tmp_path, order or 2, *options)
    assert result.returncode == 0, result.stdout
    assert "4 passed" in result.stdout


def test_plugin_option_reaches_the_workers_of_xdist(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, 1, "--derivative-order=1", "-n", "1")
    assert "4 passed" in result.stdout


def test_plugin_order_below_one_is_refused(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, 1, "--derivative-order=0")
    assert result.returncode == 4
    assert "--derivative-order must be at least 1" in result.stderr


def test_plugin_loads_nothing_before_it_is_asked() -> None:
    code = "import sys, funcgrad_pytest; print('numpy' in sys.modules, 'funcgrad' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == ["False", "False"]
