"""What a derivative leaves behind (nothing), and how much it holds at once (no cotangent longer than it is needed)."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from funcgrad import (
    eval_shape,
    grad,
    hessian,
    jacobian,
    jit,
    jvp,
    linear_transpose,
    linearize,
    make_jaxpr,
    value_and_grad,
    vjp,
    vmap,
)

X = np.linspace(-1, 1, 40).reshape(8, 5)
W = np.linspace(0, 1, 15).reshape(5, 3)
MEGABYTE = 2**20


def loss(w: Any, x: Any = X) -> Any:
    h = np.tanh(x @ w)
    if np.sum(h) > 100:
        h = 2 * h
    return np.sum(h**2)


def row_loss(w: Any) -> Any:
    return np.sum(np.tanh(X @ w) ** 2)


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


CALLS: dict[str, Callable[[], Any]] = {
    "grad": lambda: grad(loss)(W),
    "value_and_grad of a tree": lambda: value_and_grad(lambda p: loss(p["w"]) + p["b"])({"w": W, "b": 1.0}),
    "vjp": lambda: vjp(loss, W)[1](1.0),
    "jvp": lambda: jvp(loss, (W,), (W,)),
    "linearize": lambda: linearize(loss, W)[1](W),
    "linear_transpose": lambda: linear_transpose(lambda w: X @ w, W)(np.ones((8, 3))),
    "jacobian": lambda: jacobian(lambda w: X @ w)(W),
    "hessian": lambda: hessian(loss)(W),
    "vmap": lambda: vmap(row_loss)(np.stack([W, W])),
    "vmap of grad": lambda: vmap(grad(row_loss))(np.stack([W, W])),
    "jit": lambda: jit(row_loss)(W),
    "grad of jit": lambda: grad(jit(row_loss))(W),
    "grad of grad": lambda: grad(lambda w: np.sum(grad(loss)(w)))(W),
    "make_jaxpr": lambda: make_jaxpr(loss)(W),
    "eval_shape": lambda: eval_shape(row_loss, W),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_leaves_no_reference_cycle(call: Callable[[], Any]) -> None:
    call()
    with no_collector():
        for _ in range(3):
            call()
        assert gc.collect() == 0


def test_failed_call_leaves_no_reference_cycle() -> None:
    def failing(w: Any) -> Any:
        return math_error(np.sum(w))

    def math_error(x: Any) -> Any:
        return float(x)

    def call() -> None:
        with pytest.raises(TypeError):
            grad(failing)(W)

    call()
    with no_collector():
        call()
        assert gc.collect() == 0


def test_grad_memory_stays_flat_over_ten_thousand_calls() -> None:
    gradient = grad(loss)
    with no_collector():
        for _ in range(200):
            gradient(W)
        tracemalloc.start()
        try:
            for _ in range(100):
                gradient(W)
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10_000):
                gradient(W)
            growth = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert growth < 4096, f"{growth} bytes in 10,000 calls"


def peak_of(call: Callable[[], Any]) -> float:
    """The most memory that a call holds at once, in megabytes."""
    call()
    with no_collector():
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1] / MEGABYTE
        finally:
            tracemalloc.stop()


STEPS = 60


def chain(x: Any) -> Any:
    """60 values of a megabyte, each needed by the reverse sweep."""
    for _ in range(STEPS):
        x = np.sin(x)
    return np.sum(x)


def branching(x: Any) -> Any:
    """30 branches from one argument, so that its cotangent is summed up from 30."""
    return np.sum(x) + sum(np.sum(np.sin(x)) for _ in range(STEPS // 2))


ONE_MEGABYTE = np.linspace(0, 1, MEGABYTE // 8)


def test_grad_frees_each_cotangent_when_it_is_used() -> None:
    # 60 megabytes of values, and no more than a handful beside them; all cotangents would be 60 more.
    assert peak_of(lambda: grad(chain)(ONE_MEGABYTE)) < STEPS + 6


def test_pullback_frees_each_cotangent_when_it_is_used() -> None:
    _, pullback = vjp(chain, ONE_MEGABYTE)
    assert peak_of(lambda: pullback(1.0)) < 6


def test_grad_sums_cotangents_as_they_come() -> None:
    assert peak_of(lambda: grad(branching)(ONE_MEGABYTE)) < STEPS // 2 + 6


def test_jvp_frees_each_tangent_after_its_last_use() -> None:
    # 60 megabytes of values, recorded for the tangents to pass; all tangents would be 60 more.
    assert peak_of(lambda: jvp(chain, (ONE_MEGABYTE,), (ONE_MEGABYTE,))) < STEPS + 6


def test_jit_frees_each_value_after_its_last_use() -> None:
    program = jit(chain)
    program(ONE_MEGABYTE)
    assert peak_of(lambda: program(ONE_MEGABYTE)) < 6
