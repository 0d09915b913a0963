"""The picture: loss and accuracy of both networks, and the held-out digits that the better one misread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from funcgrad.demo.networks import Array
from funcgrad.demo.training import History

COLOURS = {"one layer": "#c05a1c", "perceptron": "#1f5f99"}
LABELS = {"one layer": "one layer (ten yes-or-no questions)", "perceptron": "perceptron (one of ten)"}
LOSS_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
SHOWN = 10


def draw(path: Path, histories: dict[str, History], x: Array, labels: Array, scores: Array) -> None:
    """Write the picture.

    Args:
        path: A PNG file.
        histories: By name of network, the last one being that of `scores`.
        x: Held-out images (examples, 64), with their labels and the network's scores.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(10, 6.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    curves, images = figure.subfigures(2, 1, height_ratios=(3, 1))
    figure.suptitle("UCI digits, trained with funcgrad.value_and_grad on plain NumPy code", fontsize=13)
    left, right = curves.subplots(1, 2)
    for name, history in histories.items():
        epochs = np.arange(1, len(history.loss) + 1)
        colour = COLOURS[name]
        left.plot(epochs, history.loss, color=colour, label=LABELS[name])
        right.plot(epochs, 100 * np.array(history.test), color=colour, label=f"{name}, held-out digits")
        right.plot(epochs, 100 * np.array(history.train), color=colour, alpha=0.45, ls=":", label=f"{name}, training")
    left.set(title="Training loss", xlabel="epoch", ylabel="cross entropy (nats)", yscale="log")
    left.set_yticks(LOSS_TICKS, [f"{tick:g}" for tick in LOSS_TICKS])
    left.minorticks_off()
    right.axhline(97, color="#888888", lw=0.8, ls="--")
    right.text(1, 97.1, "97 %", color="#666666", fontsize=8, ha="right", transform=right.get_yaxis_transform())
    right.set(title="Accuracy", xlabel="epoch", ylabel="digits read correctly (%)", ylim=(85, 100.5))
    for axes in (left, right):
        axes.set_xlim(1, None)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    _draw_mistakes(images, x, labels, np.argmax(scores, axis=1))
    figure.savefig(path)


def _draw_mistakes(figure: Any, x: Array, labels: Array, read: Array) -> None:
    wrong = read != labels
    figure.suptitle(f"Held-out digits: the {int(np.sum(wrong))} of {len(x)} misread (orange) come first", fontsize=10)
    first = np.argsort(~wrong, kind="stable")[:SHOWN]
    for axes, i in zip(figure.subplots(1, SHOWN), first, strict=True):
        axes.imshow(x[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        text, colour = (f"{labels[i]} read as {read[i]}", "#c05a1c") if wrong[i] else (f"{labels[i]}", "#333333")
        axes.set_title(text, fontsize=8, color=colour)
