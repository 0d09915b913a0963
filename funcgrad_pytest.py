"""pytest's door to `funcgrad.testing`: an option and fixtures.

It stands outside of the package because pytest loads its plugins at the start of every run, with or without
derivatives in it: nothing here imports funcgrad or NumPy before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--derivative-order`."""
    parser.getgroup("funcgrad").addoption(
        "--derivative-order",
        type=int,
        default=None,
        metavar="N",
        help="to which order funcgrad.testing checks derivatives where a test does not say (2)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an order that is none."""
    order = config.getoption("--derivative-order")
    if order is not None and order < 1:
        raise pytest.UsageError(f"--derivative-order must be at least 1, not {order}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set the order, if the option is there."""
    order = session.config.getoption("--derivative-order")
    if order is not None:
        from funcgrad.testing.tolerances import settings

        settings.order = order


@pytest.fixture
def derivative_order() -> int:
    """To which order derivatives are checked: what --derivative-order says, or 2."""
    from funcgrad.testing.tolerances import settings

    return settings.order


@pytest.fixture
def check_grads(derivative_order: int) -> Callable[..., Any]:
    """`funcgrad.testing.check_grads`, to the order that --derivative-order says."""
    from funcgrad.testing import check_grads

    return partial(check_grads, order=derivative_order)


@pytest.fixture
def debug_nans() -> Iterator[None]:
    """A test that uses this fails where an operation or a derivative gives NaN: `funcgrad.testing.debug_nans`."""
    from funcgrad.testing import debug_nans

    with debug_nans():
        yield
