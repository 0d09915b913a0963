"""Choosing among values element by element: clip. (`select` is in `masking.py`, beside the cotangents it leaves.)"""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.arithmetic import larger_share, maximum
from funcgrad.primitives.kinds import elementwise

_clip: Any = np._core.umath.clip  # type: ignore[attr-defined]  # np.clip without its ceremony

# clip: y = min(max(x, low), high) ------------------------------------------------------------------------------------


def _clip_lower(t: Any, y: Any, x: Any, low: Any, high: Any) -> Any:
    return larger_share(larger_share(t, low, x), high, low)


def _clip_upper(t: Any, y: Any, x: Any, low: Any, high: Any) -> Any:
    return larger_share(t, maximum(x, low), high)


def _clip_inner(t: Any, y: Any, x: Any, low: Any, high: Any) -> Any:
    return larger_share(larger_share(t, x, low), high, x)


clip_p = elementwise(
    "clip",
    _clip,
    _clip_inner,
    _clip_lower,
    _clip_upper,
)


def clip(x: Any, low: Any, high: Any) -> Any:
    """x, but no less than `low` and then no more than `high`, element by element.

    Derivative at a tie: that of `minimum(maximum(x, low), high)`, 1/2 at each end of the interval.
    """
    return bind(clip_p, x, low, high)
