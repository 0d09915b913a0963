"""The UCI digits: 1797 handwritten digits of 8 x 8 pixels, which scikit-learn ships."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funcgrad.demo.networks import Array

HELD_OUT = 360


@dataclass(frozen=True)
class Digits:
    """Images (examples, 64) in [0, 1] and their labels, apart for training and for the test."""

    x_train: Array
    labels_train: Array
    x_test: Array
    labels_test: Array


def load() -> Digits:
    """The digits in a fixed random order, a fifth of them held out."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    images = images / 16
    return Digits(images[train], labels[train], images[test], labels[test])


def jitter(x: Array, rng: np.random.Generator) -> Array:
    """Images moved by up to half a pixel each way, with a little noise: no example is seen twice the same."""
    images = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    for axis in (1, 2):
        shift = rng.uniform(-0.5, 0.5, (len(x), 1, 1))
        neighbours = np.where(shift > 0, np.roll(images, 1, axis), np.roll(images, -1, axis))
        images = images + np.abs(shift) * (neighbours - images)
    return images[:, 1:-1, 1:-1].reshape(x.shape) + rng.normal(0, 0.1, x.shape)
