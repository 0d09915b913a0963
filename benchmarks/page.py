"""A page with the plots of one run, complete in one file."""

from __future__ import annotations

from typing import Any


def page(document: dict[str, Any]) -> str:
    """The page."""
    raise NotImplementedError
