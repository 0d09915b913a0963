"""Ways in which users have got NaN out of a derivative.

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


def softmax_of_a_masked_row(x):
    scores = np.where(np.array([[True, False], [False, False]]), x, -np.inf)
    shifted = scores - np.max(scores, axis=-1, keepdims=True)  # culprit
    e = np.exp(shifted)
    return np.sum(x * e / np.sum(e, axis=-1, keepdims=True))


def determinant_of_a_singular_matrix(a):
    _, logarithm = np.linalg.slogdet(a)  # culprit
    return logarithm * np.sum(a)


def norms_of_rows(x):
    return np.sum(fg.vmap(lambda row: np.linalg.norm(row))(x))


def unit_rows(x):
    def unit(row):
        return row / np.linalg.norm(row)  # culprit

    return np.sum(fg.vmap(unit)(x) ** 2)


def gaussian_without_variance(p):
    standard = (1.0 - p["mean"]) / p["scale"]  # culprit
    return -0.5 * standard**2 - np.log(p["scale"] + 1)


def division_in_an_untaken_branch(x):
    return np.sum(fg.vmap(lambda u: fg.cond(u > 0, lambda v: 1 / v, lambda v: v * 2, u))(x))


def power_of_zero_to_zero(p):
    return p[0] ** p[1]


def deviation_of_one_element(x):
    return np.std(x)


def cosine_similarity(p):
    a, b = p
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / lengths  # culprit


def logsumexp_of_infinities(x):
    return np.logaddexp.reduce(np.where(np.arange(3) > 5, x, -np.inf))


def matrix_function_at_equal_eigenvalues(a):
    w, v = np.linalg.eigh(a)
    return np.sum((v * np.exp(w)) @ v.T * np.array([[1.0, 2.0], [3.0, 4.0]]))


def arccosh_at_one(x):
    distance = np.arccosh(x)  # culprit
    return np.sum(distance * np.array([0.0, 1.0]))


def entropy_at_zero(x):
    return np.sum(x * np.log(x))  # culprit


def root_in_a_scan(x):
    def body(total, row):
        length = np.sqrt(np.sum(row**2))  # culprit
        return total + length, length

    return fg.scan(body, 0.0, x)[0]


def root_in_a_while_loop(x):
    def body(s):
        return s[0] + 1, np.sqrt(s[1] * s[1])  # culprit

    return fg.while_loop(lambda s: s[0] < 2, body, (0, x))[1]


def root_in_a_branch(x):
    def root(u):
        return np.sqrt(u) * np.array([0.0, 1.0])  # culprit

    return np.sum(fg.cond(np.sum(x) > 0, root, lambda u: u, x))


def root_in_a_checkpoint(x):
    def root(u):
        return np.sqrt(u) * np.array([0.0, 1.0])  # culprit

    return np.sum(fg.checkpoint(root)(x))


def divergence(p):
    return np.sum(p * np.log(p / np.array([0.5, 0.5])))  # culprit


def nuclear_norm_of_zero(a):
    return np.linalg.norm(a, "nuc")


def jitted_loop_of_roots(x):
    def body(i, c):
        return c + np.sqrt(x - 0.5) * 0.0  # culprit

    return np.sum(fg.jit(lambda: fg.fori_loop(0, 2, body, x))())


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
    Bug(softmax_of_a_masked_row, (np.ones((2, 2)),)),
    Bug(determinant_of_a_singular_matrix, (np.ones((2, 2)),)),
    Bug(norms_of_rows, (np.array([[0.0, 0.0], [3.0, 4.0]]),), np.array([[0.0, 0.0], [0.6, 0.8]])),
    Bug(unit_rows, (np.array([[0.0, 0.0], [3.0, 4.0]]),)),
    Bug(gaussian_without_variance, ({"mean": np.array(1.0), "scale": np.array(0.0)},)),
    Bug(division_in_an_untaken_branch, (np.array([0.0, 2.0]),), np.array([2.0, -0.25])),
    Bug(power_of_zero_to_zero, (ZERO,), ZERO),
    Bug(deviation_of_one_element, (np.array([2.0]),), np.zeros(1)),
    Bug(cosine_similarity, ((ZERO, np.ones(2)),)),
    Bug(logsumexp_of_infinities, (np.zeros(3),), np.zeros(3)),
    Bug(matrix_function_at_equal_eigenvalues, (np.eye(2),), np.e * np.array([[1.0, 0.0], [0.0, 4.0]])),
    Bug(arccosh_at_one, (np.array([1.0, 2.0]),)),
    Bug(entropy_at_zero, (np.array([0.0, 2.0]),)),
    Bug(root_in_a_scan, (np.array([[0.0, 0.0], [3.0, 4.0]]),)),
    Bug(root_in_a_while_loop, (0.0,)),
    Bug(root_in_a_branch, (np.array([0.0, 1.0]),)),
    Bug(root_in_a_checkpoint, (np.array([0.0, 1.0]),)),
    Bug(divergence, (np.array([0.0, 1.0]),)),
    Bug(nuclear_norm_of_zero, (np.zeros((2, 2)),), np.zeros((2, 2))),
    Bug(jitted_loop_of_roots, (np.array([0.5, 2.0]),)),
]
