"""Mutants of derivative rules that no law notices, and why each of them is none, or is noticed elsewhere."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {}
