"""What `python -m funcgrad demo` shows, from the first line to the last."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from funcgrad import grad, make_jaxpr, tree, value_and_grad
from funcgrad.demo import digits, figure
from funcgrad.demo.digits import Digits
from funcgrad.demo.networks import Array, Layer, binary_cross_entropy, cross_entropy, logits, make_layers
from funcgrad.demo.training import BATCH, History, accuracy, train

REQUIRED_ACCURACY = 0.97
REQUIRED_PRECISION = 1e-6


def run(path: Path) -> bool:
    """Run the demo and write its picture.

    Returns:
        Whether the derivatives are right and the perceptron reads 97 % of the held-out digits.
    """
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    data = digits.load()
    # On matrices as small as these several threads gain nothing, and on a busy machine they wait for each other.
    with threadpool_limits(1):
        right, one_layer = _one_layer(data)
        fine, perceptron, scores = _perceptron(data)
    figure.draw(path, {"one layer": one_layer, "perceptron": perceptron}, data.x_test, data.labels_test, scores)
    seconds = time.perf_counter() - start
    reached = perceptron.test[-1] >= REQUIRED_ACCURACY
    _heading("Result")
    print(f"   derivatives    {'agree' if right and fine else 'DISAGREE'} with differences")
    print(f"   one layer      {one_layer.test[-1]:.1%} of the held-out digits")
    print(f"   perceptron     {perceptron.test[-1]:.1%} of the held-out digits{'' if reached else ': LESS THAN 97 %'}")
    print(f"   curves         {path}")
    print(f"   time           {seconds:.1f} s")
    return right and fine and reached


def _one_layer(data: Digits) -> tuple[bool, History]:
    """The tutorial's network: its own example first, then ten such questions to each digit."""
    _heading("1. One layer: the network of PyTorch's autograd tutorial")
    rng = np.random.default_rng(0)
    x, y = np.ones(5), np.zeros(3)
    layer = Layer(rng.normal(size=(5, 3)), rng.normal(size=3))
    loss, gradient = value_and_grad(binary_cross_entropy)(layer, x, y)
    by_hand = (1 / (1 + np.exp(-(x @ layer.w + layer.b))) - y) / 3
    right = np.allclose(gradient.b, by_hand, 1e-12) and np.allclose(gradient.w, np.outer(x, by_hand), 1e-12)
    print("   x = np.ones(5), y = np.zeros(3), one layer, binary cross entropy with logits")
    print(f"   loss                 {loss:.6f}")
    print(f"   dloss/db             {_row(gradient.b)}")
    print(f"   (sigmoid(z) - y)/3   {_row(by_hand)}")
    print(f"   each row of dloss/dw {'equals dloss/db' if right else 'DIFFERS'}\n")
    _show_jaxpr(binary_cross_entropy, layer, x, y)

    print('   Now ten such questions to each digit, "is it a 0?" to "is it a 9?":')
    questions = np.eye(10)[data.labels_train]
    (start,) = make_layers((64, 10), rng)
    right &= _check_derivative(binary_cross_entropy, start, data.x_train, questions)
    _, history = train(
        start,
        binary_cross_entropy,
        lambda layer, x: logits([layer], x),
        data,
        questions,
        epochs=40,
        rate=2e-2,
        rng=rng,
    )
    return right, history


def _perceptron(data: Digits) -> tuple[bool, History, Array]:
    """Three layers that read the digits, and their scores of the held-out ones."""
    _heading("2. A multi-layer perceptron on the UCI digits")
    rng = np.random.default_rng(1)
    layers = make_layers((64, 256, 64, 10), rng)
    count = sum(leaf.size for leaf in tree.leaves(layers))
    print(f"   layers 64 - 256 - 64 - 10, {count} parameters in a list of dataclasses")
    print(f"   {len(data.x_train)} digits to train, {len(data.x_test)} held out\n")
    _show_jaxpr(cross_entropy, layers, data.x_train[:BATCH], data.labels_train[:BATCH])
    fine = _check_derivative(cross_entropy, layers, data.x_train, data.labels_train)
    layers, history = train(layers, cross_entropy, logits, data, data.labels_train, epochs=80, rate=5e-3, rng=rng)
    scores = logits(layers, data.x_test)
    assert history.test[-1] == accuracy(scores, data.labels_test)
    return fine, history, scores


def _check_derivative(loss: Callable[..., Any], params: Any, *args: Any) -> bool:
    """Compare the gradient along three random directions with central differences."""
    rng = np.random.default_rng(2)
    gradient = grad(loss)(params, *args)
    step, right = 1e-5, True
    print("   derivative check      by grad          by differences   relative error")
    for number in range(1, 4):
        direction = tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
        length = np.sqrt(sum(np.sum(d**2) for d in tree.leaves(direction)))
        direction = tree.map(lambda d, length=length: d / length, direction)
        derivative = sum(np.sum(g * d) for g, d in zip(tree.leaves(gradient), tree.leaves(direction), strict=True))
        ahead, behind = (loss(tree.map(lambda p, d, h=h: p + h * d, params, direction), *args) for h in (step, -step))
        differences = (ahead - behind) / (2 * step)
        error = abs(derivative - differences) / abs(derivative)
        right &= bool(error < REQUIRED_PRECISION)
        print(f"   random direction {number}   {derivative:+.10f}    {differences:+.10f}    {error:.0e}")
    print()
    return right


def _show_jaxpr(loss: Callable[..., Any], *args: Any) -> None:
    """Print what funcgrad records of a loss, each step under the line of code that asked for it."""
    print(f"   what funcgrad records of {loss.__name__}, line by line:")
    jaxpr = make_jaxpr(loss)(*args)
    head, *steps, outputs = repr(jaxpr).splitlines()
    print(textwrap.fill(head, 80, initial_indent="   ", subsequent_indent=" " * 14))
    source = None
    for eqn, step in zip(jaxpr.equations, steps, strict=True):
        if eqn.source and eqn.source[:4] != source:
            source = eqn.source[:4]
            print(f"     {eqn.source.brief}  {eqn.source.text}")
        print(f"     {step}")
    print(f"   {outputs}\n")


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def _row(x: Array) -> str:
    return "  ".join(f"{value:.6f}" for value in x)
