"""The demo's parts that need no extra; `.ci/run` runs all of it on the real digits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funcgrad import __main__ as command_line
from funcgrad import grad, tree
from funcgrad.demo import digits
from funcgrad.demo.networks import Layer, adam, binary_cross_entropy, cross_entropy, logits, make_layers


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_demo_missing_extras_says_the_command(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("sklearn", "tqdm") else object())
    assert command_line.main(["demo"]) == 1
    text = capsys.readouterr().err
    assert "scikit-learn, tqdm, which are not installed" in text
    assert 'python -m pip install ".[demo]"' in text


@pytest.mark.parametrize(("output", "reason"), [("curves.jpg", "ends in .png"), ("no/such/curves.png", "no folder")])
def test_demo_impossible_output_stops_before_training(
    output: str, reason: str, monkeypatch: Any, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command_line, "run", lambda path: pytest.fail("it ran"))
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["demo", "--output", output])
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("succeeds", "status"), [(True, 0), (False, 1)])
def test_demo_exit_status_says_whether_it_reached_its_aim(succeeds: bool, status: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command_line, "run", lambda path: succeeds)
    assert command_line.main(["demo"]) == status


def test_cross_entropy_gradient_is_probability_minus_target(rng: np.random.Generator) -> None:
    layers = make_layers((64, 8, 10), rng)
    x, labels = rng.uniform(size=(5, 64)), np.array([0, 3, 3, 9, 1])
    scores = np.exp(logits(layers, x))
    expected = scores / np.sum(scores, axis=1, keepdims=True) - np.eye(10)[labels]
    gradient = grad(cross_entropy)(layers, x, labels)
    assert [type(layer) for layer in gradient] == [Layer, Layer]
    np.testing.assert_allclose(gradient[-1].b, np.mean(expected, axis=0), rtol=1e-12)


def test_binary_cross_entropy_of_a_batch_is_the_mean_over_its_rows(rng: np.random.Generator) -> None:
    (layer,) = make_layers((64, 10), rng)
    x, y = rng.uniform(size=(5, 64)), np.eye(10)[:5]
    rows = [binary_cross_entropy(layer, *row) for row in zip(x, y, strict=True)]
    np.testing.assert_allclose(binary_cross_entropy(layer, x, y), np.mean(rows), rtol=1e-12)


def test_adam_first_step_goes_against_the_signs_of_the_gradient(rng: np.random.Generator) -> None:
    layers = make_layers((4, 3, 2), rng)
    gradient = tree.map(lambda leaf: rng.normal(size=leaf.shape), layers)
    moved, state = adam(layers, gradient, None, 0.01)
    assert state.step == 1
    for after, before, g in zip(*map(tree.leaves, (moved, layers, gradient)), strict=True):
        np.testing.assert_allclose(after, before - 0.01 * np.sign(g), rtol=1e-4)


def test_jitter_moves_images_by_less_than_a_pixel(rng: np.random.Generator) -> None:
    images = np.zeros((200, 8, 8))
    images[:, 3, 4] = 1.0
    moved = np.mean(digits.jitter(images.reshape(200, 64), rng), axis=0).reshape(8, 8)
    # On average a quarter of a pixel along each axis, so (3/4)^2 of the light stays; the rest is next to it.
    assert 0.45 < moved[3, 4] < 0.65
    np.testing.assert_allclose(np.sum(moved[2:5, 3:6]), 1.0, atol=0.1)
    assert np.max(np.abs(np.delete(moved.ravel(), [8 * i + j for i in (2, 3, 4) for j in (3, 4, 5)]))) < 0.05
