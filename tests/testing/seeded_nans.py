"""Twenty ways in which users have got NaN out of a derivative.

In each the culprit's line is marked. Either the derivative is finite and right by the convention, or `why_nan` names
that line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import funcgrad as fg


class Bug(NamedTuple):
    """A function, where it goes wrong, and its derivative there if the convention gives it one."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    derivative: Any = None


def where_log(x):
    return np.sum(np.where(x > 0, np.log(x), 0.0))


def root_at_zero(x):
    s = np.sum(x**2)
    return np.sqrt(s)  # culprit


def norm_at_zero(x):
    return np.linalg.norm(x)


def zero_times_infinity(x):
    weight = np.array([0.0, 1.0])
    scale = 1 / x  # culprit
    return np.sum(weight * scale)


def product_with_zeros(x):
    return np.prod(x)


def power_at_zero(x):
    return np.sum(x**2 + x**3.0)


def root_power_at_zero(x):
    y = np.abs(x)
    return np.sum(y**0.5) * 0.0  # culprit


def power_of_itself(x):
    return x**x


def logsumexp_of_nothing(x):
    masked = np.where(np.arange(3) > 5, x, -np.inf)
    top = np.max(masked)
    shifted = masked - top  # culprit
    return np.log(np.sum(np.exp(shifted))) + top


def arccos_at_one(x):
    cosine = x / np.sqrt(np.sum(x**2))
    angles = np.arccos(cosine)  # culprit
    return np.sum(angles * np.array([0.0, 1.0]))


def untaken_division(x):
    ratio = np.where(x != 0, np.sin(x) / x, 1.0)
    return np.sum(ratio)


def entropy(p):
    logarithm = np.log(p)  # culprit
    return -np.sum(p * logarithm)


def softmax_overflow(x):
    e = np.exp(x)  # culprit
    return np.sum((e / np.sum(e)) ** 2)


def logistic_overflow(x):
    return np.sum(1 / (1 + np.exp(-x)))  # culprit


def softplus_overflow(x):
    return np.sum(np.log(1 + np.exp(x)))  # culprit


def standard_deviation_of_constants(x):
    centred = x - np.mean(x)
    spread = np.sqrt(np.mean(centred**2))  # culprit
    return spread * 0.5


def distances(x):
    difference = x[:, None, :] - x[None, :, :]
    pairwise = np.sqrt(np.sum(difference**2, axis=-1))  # culprit
    return np.sum(pairwise)


def cosine_of_zero_vector(x):
    length = np.sqrt(np.sum(x * x))
    unit = x / length  # culprit
    return unit @ np.ones(2)


def log_probability_of_zero(x):
    p = np.maximum(x, 0)
    return np.sum(np.log(p) * np.array([0.0, 1.0]))  # culprit


def loop_that_reaches_zero(x):
    for _ in range(3):
        x = np.sqrt(x - 0.0)  # culprit
    return np.sum(x * np.array([0.0, 1.0]))


def angle_at_origin(x):
    return np.arctan2(x[0], x[1])


def jitted_root(x):
    inner = fg.jit(lambda u: np.sqrt(u) * u)  # culprit
    return np.sum(inner(x))


def hypot_at_zero(x):
    return np.hypot(x[0], x[1])


def batched_root(x):
    rows = fg.vmap(lambda row: np.sqrt(np.sum(row**2)))(x)  # culprit
    return np.sum(rows)


ZERO = np.zeros(2)
BUGS = [
    Bug(where_log, (np.array([0.0, 2.0]),), np.array([0.0, 0.5])),
    Bug(root_at_zero, (ZERO,)),
    Bug(norm_at_zero, (ZERO,), ZERO),
    Bug(zero_times_infinity, (np.array([0.0, 2.0]),)),
    Bug(product_with_zeros, (np.array([0.0, 2.0, 3.0]),), np.array([6.0, 0.0, 0.0])),
    Bug(power_at_zero, (ZERO,), ZERO),
    Bug(root_power_at_zero, (np.array([0.0, 4.0]),)),
    Bug(power_of_itself, (0.0,)),
    Bug(logsumexp_of_nothing, (np.zeros(3),)),
    Bug(arccos_at_one, (np.array([3.0, 0.0]),)),
    Bug(untaken_division, (np.array([0.0, np.pi]),), np.array([0.0, -1 / np.pi])),
    Bug(entropy, (np.array([0.0, 1.0]),)),
    Bug(softmax_overflow, (np.array([0.0, 1000.0]),)),
    Bug(logistic_overflow, (np.array([0.0, -1000.0]),)),
    Bug(softplus_overflow, (np.array([0.0, 1000.0]),)),
    Bug(standard_deviation_of_constants, (np.array([2.0, 2.0]),)),
    Bug(distances, (np.array([[0.0, 1.0], [2.0, 3.0]]),)),
    Bug(cosine_of_zero_vector, (ZERO,)),
    Bug(log_probability_of_zero, (np.array([-1.0, 1.0]),)),
    Bug(loop_that_reaches_zero, (np.array([0.0, 1.0]),)),
    Bug(angle_at_origin, (ZERO,)),
    Bug(jitted_root, (np.array([0.0, 1.0]),)),
    Bug(hypot_at_zero, (ZERO,), ZERO),
    Bug(batched_root, (np.zeros((2, 2)),)),
]
