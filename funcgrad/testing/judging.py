"""Is a derivative right, element by element?  Or is there none: is the function at a kink, or does it jump?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.testing.differences import Inside, Reference, differences, gaps
from funcgrad.testing.reports import Verdict
from funcgrad.testing.tolerances import INCONCLUSIVE, SAFETY


class Side(NamedTuple):
    """One leaf: what the transformation gave, what the reference did, and how far apart they may be.

    Attributes:
        estimate: What the reference says of its own error.
    """

    path: str
    actual: Any
    expected: Any
    allowed: Any
    estimate: Any


class Judgement(NamedTuple):
    """What is to be told of one leaf.

    Attributes:
        element: The worst of those with this verdict.
        alike: How many there are.
        sides: At a kink the derivatives ahead and behind, at a jump the values.
    """

    verdict: Verdict
    element: tuple[int, ...]
    alike: int
    sides: tuple[complex, complex] | None = None


# Of a leaf whose elements differ, what is told first.
_ORDER: tuple[Verdict, ...] = ("wrong", "jump", "kink", "undecided", "right")


class Neighbourhood:
    """What a flat function does ahead of a point and behind it, found out when somebody asks."""

    def __init__(self, f: Callable[..., list[Any]], xs: Sequence[Any], ts: Sequence[Any], inside: Inside) -> None:
        self.asked = (f, xs, ts)
        self.inside = inside
        self._derivatives: list[Reference] | None = None
        self._gaps: list[list[Any]] | None = None

    def derivatives(self, number: int) -> tuple[Any, Any, Any]:
        """One output's derivatives ahead and behind, and by how much both together may be off."""
        if self._derivatives is None:
            self._derivatives = [differences(*self.asked, side=side, inside=self.inside) for side in (1, -1)]
        ahead, behind = self._derivatives
        return ahead.values[number], behind.values[number], SAFETY * (ahead.errors[number] + behind.errors[number])

    def jumps(self, number: int) -> tuple[Any, Any]:
        """By how much one output jumps ahead and behind."""
        if self._gaps is None:
            self._gaps = [gaps(*self.asked, side=side, inside=self.inside) for side in (1, -1)]
        ahead, behind = self._gaps
        return ahead[number], behind[number]


def judge(side: Side, scale: float, y: Any, number: int, around: Neighbourhood) -> Judgement:
    """The verdict on one output's derivative.

    Args:
        scale: The magnitude in play.
        y: The output's value.
        number: Which output it is.
        around: Of the function whose derivative it is.
    """
    verdicts = compared(side, scale)
    pending = verdicts != "right"
    if not pending.any():
        return told(side, verdicts)
    ahead, behind, error = around.derivatives(number)
    differ, between = _differ(side.actual, ahead, behind, error)
    verdicts = np.where(pending & differ, np.where(between, "kink", "wrong"), verdicts)
    up, down = around.jumps(number)
    jumping = pending & ((up != 0) | (down != 0)) & np.isfinite(side.actual)
    verdicts = np.where(jumping, "jump", verdicts)
    found = told(side, verdicts)
    values = (y + up, y + down) if found.verdict == "jump" else (ahead, behind)
    if found.verdict == "jump" or differ[found.element]:
        return found._replace(sides=(values[0][found.element].item(), values[1][found.element].item()))
    return found


def compared(side: Side, scale: float) -> Any:
    """For each element "right", "wrong", or "undecided" where the reference is not certain enough."""
    with np.errstate(all="ignore"):
        error = np.abs(side.actual - side.expected)
    unknown = ~np.isfinite(side.expected) | ~(side.allowed < np.inf)
    vague = side.allowed > INCONCLUSIVE * scale
    unknown |= vague & ~np.isfinite(side.actual)  # an infinite derivative, to which differences do not converge
    within = error <= side.allowed
    conditions = [side.actual == side.expected, unknown, within & vague & (error > 0), within]
    return np.select(conditions, ["right", "undecided", "undecided", "right"], "wrong")


def told(side: Side, verdicts: Any) -> Judgement:
    """The verdict of which a leaf's report is, and the worst element of those that it has."""
    verdict = next(v for v in _ORDER if np.any(verdicts == v))
    among = verdicts == verdict
    return Judgement(verdict, worst(side, among), int(np.count_nonzero(among)))


def worst(side: Side, among: Any = True) -> tuple[int, ...]:
    """The element that is farthest off beside what is allowed; one that is not a number before all others."""
    with np.errstate(all="ignore"):
        ratio = np.abs(side.actual - side.expected) / side.allowed
    ratio = np.where(side.actual == side.expected, 0.0, np.where(np.isnan(ratio), np.inf, ratio))
    ratio = np.where(among, ratio, -1.0)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))


def _differ(actual: Any, ahead: Any, behind: Any, error: Any) -> tuple[Any, Any]:
    """Where the derivatives of the two sides differ, and where the one that is given is between them."""
    with np.errstate(all="ignore"):
        allowed = error + 1e-6 * np.maximum(1.0, np.maximum(np.abs(ahead), np.abs(behind)))
        gap = np.abs(ahead - behind)
        differ = np.isfinite(allowed) & (gap > allowed)
        return differ, np.abs(actual - ahead) + np.abs(actual - behind) <= gap + allowed
