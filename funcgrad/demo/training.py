"""One training loop for both networks: `value_and_grad`, Adam, a progress bar, and the curves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from funcgrad import value_and_grad
from funcgrad.demo import digits
from funcgrad.demo.digits import Digits
from funcgrad.demo.networks import Array, adam

BATCH = 128


@dataclass
class History:
    """What the curves show: a training loss and two accuracies after each epoch."""

    loss: list[float] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)


def accuracy(scores: Array, labels: Array) -> float:
    """The share of examples whose highest score is that of the right digit."""
    return float(np.mean(np.argmax(scores, axis=1) == labels))


def train(
    params: Any,
    loss: Callable[[Any, Array, Array], Any],
    scores: Callable[[Any, Array], Array],
    data: Digits,
    targets: Array,
    *,
    epochs: int,
    rate: float,
    rng: np.random.Generator,
) -> tuple[Any, History]:
    """Parameters that make `loss(params, x, targets)` small on the training images, and the way there.

    Args:
        params: A tree of arrays.
        scores: From parameters and images, a score for each digit.
        targets: What the loss compares with: a row for each training image.
        rate: The step of Adam, which falls to zero along half a cosine.
    """
    step = value_and_grad(loss)
    state, history = None, History()
    with Progress(epochs) as progress:
        for epoch in range(epochs):
            order = rng.permutation(len(targets))
            losses = []
            for start in range(0, len(order) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                value, gradient = step(params, digits.jitter(data.x_train[rows], rng), targets[rows])
                falling = rate * (1 + np.cos(np.pi * (epoch + start / len(order)) / epochs)) / 2
                params, state = adam(params, gradient, state, falling)
                losses.append(float(value))
            history.loss.append(float(np.mean(losses)))
            history.train.append(accuracy(scores(params, data.x_train), data.labels_train))
            history.test.append(accuracy(scores(params, data.x_test), data.labels_test))
            progress.advance(history)
    return params, history


class Progress:
    """A bar where somebody watches; a line now and then where the output goes to a file."""

    def __init__(self, epochs: int) -> None:
        from tqdm import tqdm

        self.epochs, self.watched = epochs, sys.stderr.isatty()
        layout = "   training |{bar}| {n_fmt}/{total_fmt} epochs, {remaining} left{postfix}"
        self.bar = tqdm(total=epochs, bar_format=layout, disable=not self.watched, dynamic_ncols=True)

    def __enter__(self) -> Progress:
        sys.stdout.flush()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def advance(self, history: History) -> None:
        """One epoch is over."""
        text = f"loss {history.loss[-1]:.3f}, test {history.test[-1]:.1%}"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()
        epoch = len(history.loss)
        if not self.watched and (epoch == 1 or epoch % max(self.epochs // 4, 1) == 0):
            print(f"   epoch {epoch:3d} of {self.epochs}: {text}", flush=True)
