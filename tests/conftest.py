"""What all tests share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Give a test with many parameters back the hypothesis settings that it had.

    Hypothesis's plugin derives them anew for each set of parameters, from those of the set before: a thousand sets
    on, looking them up overflows the stack.
    """
    test = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    settings = getattr(test, "_hypothesis_internal_use_settings", None)
    try:
        return (yield)
    finally:
        if settings is not None:
            test._hypothesis_internal_use_settings = settings
