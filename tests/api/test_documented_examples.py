"""JAX's documented examples with only the names' home changed, against mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from tests.api.documented_examples import EXAMPLES, check


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_documented_example_gives_the_numbers_of_mathematics(example: Any) -> None:
    check(example, fg, fg.lax, np)
