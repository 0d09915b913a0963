"""Eight threads differentiate different functions at the same time, and each gets its own right answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from funcgrad import grad, jit, jvp, make_jaxpr, value_and_grad, vjp, vmap

THREADS = 8
REPEATS = 60


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let the interpreter change threads in the middle of everything."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in one thread each, all starting at once, each many times."""
    barrier = threading.Barrier(len(jobs))
    failures: list[BaseException] = []

    def work(job: Callable[[], None]) -> None:
        barrier.wait()
        try:
            for _ in range(REPEATS):
                job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def power_job(n: int) -> Callable[[], None]:
    """The first and second derivatives of x**n, by nested transformations of several kinds."""
    x = np.linspace(0.5, 1.5, 4)
    first, second = n * x ** (n - 1), n * (n - 1) * x ** (n - 2)

    def power(x: Any) -> Any:
        y = x
        for _ in range(n - 1):
            y = y * x
        return y

    def total(x: Any) -> Any:
        return np.sum(power(x))

    def job() -> None:
        np.testing.assert_allclose(grad(total)(x), first, rtol=1e-12)
        value, gradient = value_and_grad(total)(x)
        np.testing.assert_allclose(value, np.sum(x**n), rtol=1e-12)
        np.testing.assert_allclose(gradient, first, rtol=1e-12)
        np.testing.assert_allclose(vjp(power, x)[1](np.ones(4))[0], first, rtol=1e-12)
        np.testing.assert_allclose(jvp(power, (x,), (np.ones(4),))[1], first, rtol=1e-12)
        np.testing.assert_allclose(vmap(grad(power))(x), first, rtol=1e-12)
        np.testing.assert_allclose(jvp(grad(total), (x,), (np.ones(4),))[1], second, rtol=1e-12)
        np.testing.assert_allclose(grad(lambda x: np.sum(grad(total)(x)))(x), second, rtol=1e-12)

    return job


def test_different_functions_at_once_give_right_answers() -> None:
    run_together([power_job(n) for n in range(2, 2 + THREADS)])


def test_one_jitted_function_at_once_gives_right_answers() -> None:
    @jit
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x)

    def job_of(size: int) -> Callable[[], None]:
        x = np.linspace(0, 1, size)
        expected = np.cos(x) * x + np.sin(x)

        def job() -> None:
            np.testing.assert_allclose(f(x), np.sum(np.sin(x) * x), rtol=1e-12)
            np.testing.assert_allclose(grad(f)(x), expected, rtol=1e-12)

        return job

    # Two threads each for four signatures: some meet a signature for the first time together.
    run_together([job_of(2 + i // 2) for i in range(THREADS)])


def test_closures_over_a_thread_own_tracers_do_not_mix() -> None:
    def job_of(a: float) -> Callable[[], None]:
        def job() -> None:
            # d/dx [x * d/dy (x*y*a)] = d/dx [x * x * a] = 2*x*a
            value = grad(lambda x: x * grad(lambda y: x * y * a)(2.0))(3.0)
            assert value == 6.0 * a
            assert len(make_jaxpr(lambda x: x * a + 1.0)(1.0).equations) == 2

        return job

    run_together([job_of(float(i)) for i in range(THREADS)])
