"""Two networks and an optimiser in plain NumPy: nothing here knows that it will be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from funcgrad import tree

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Layer:
    """Weights (inputs, outputs) and biases (outputs,)."""

    w: Array
    b: Array


def make_layers(sizes: Sequence[int], rng: np.random.Generator) -> list[Layer]:
    """Random layers from one size to the next, scaled for rectified units."""
    return [Layer(rng.normal(0, np.sqrt(2 / m), (m, n)), np.zeros(n)) for m, n in pairwise(sizes)]


def binary_cross_entropy(layer: Layer, x: Array, y: Array) -> Any:
    """The loss of PyTorch's autograd tutorial: one layer, and binary cross entropy with logits.

    Args:
        x: Inputs, (inputs,) or (examples, inputs).
        y: Zeros and ones, shaped like the layer's outputs.
    """
    z = x @ layer.w + layer.b
    losses = np.logaddexp(0, z) - z * y
    return np.mean(losses)


def logits(layers: Sequence[Layer], x: Array) -> Array:
    """What the perceptron makes of images (examples, 64): a score for each digit."""
    for layer in layers[:-1]:
        x = np.maximum(x @ layer.w + layer.b, 0)
    return x @ layers[-1].w + layers[-1].b


def cross_entropy(layers: Sequence[Layer], x: Array, labels: Array) -> Any:
    """Minus the mean log probability that the perceptron gives to the right digits."""
    z = logits(layers, x)
    z = z - np.max(z, axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


@dataclass(frozen=True)
class Adam:
    """The optimiser's memory: running means of the gradient and of its square, and the number of steps."""

    mean: Any
    square: Any
    step: int = 0


def adam(params: Any, gradient: Any, state: Adam | None, rate: float) -> tuple[Any, Adam]:
    """One step of Adam on a tree of parameters.

    Reference:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, algorithm 1.
    """
    if state is None:
        zeros = tree.map(np.zeros_like, params)
        state = Adam(zeros, zeros)
    step = state.step + 1
    mean = tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, gradient)
    square = tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, state.square, gradient)
    rate *= np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    params = tree.map(lambda p, m, s: p - rate * m / (np.sqrt(s) + 1e-8), params, mean, square)
    return params, Adam(mean, square, step)
