"""What a check of derivatives found, in data and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from funcgrad.core.errors import FuncgradError
from funcgrad.core.source import Source

Mode = Literal["fwd", "rev"]
Verdict = Literal["right", "wrong", "kink", "jump", "undecided"]

_MODES = {"fwd": "forward", "rev": "reverse"}


@dataclass(frozen=True)
class Comparison:
    """The worst element of one comparison of a derivative with its reference.

    Attributes:
        order: Of the derivative.
        mode: "fwd" for `jvp` against the reference, "rev" for `vjp` against `jvp`.
        path: The leaf: of the result in forward mode, of the arguments in reverse mode.
        element: Its index in the leaf.
        actual: What the transformation gave.
        expected: What the reference gave.
        estimate: What the reference says of its own error.
        error: The difference's magnitude.
        allowed: How large it may be: the reference's error estimate, and rounding.
        method: How the reference was found.
        function: Of what the derivative is: "f", "jvp of f".
        verdict: Right, wrong, at a kink or a jump, or undecided because the reference's own error is too large.
        count: How many elements of the leaf have this verdict.
        sides: At a kink the derivatives ahead and behind, at a jump the values.
    """

    order: int
    mode: Mode
    path: str
    element: tuple[int, ...]
    actual: complex
    expected: complex
    estimate: float
    error: float
    allowed: float
    method: str
    function: str
    verdict: Verdict
    count: int = 1
    sides: tuple[complex, complex] | None = None

    @property
    def ratio(self) -> float:
        """How large the error is beside what is allowed."""
        if np.isnan(self.error):
            return float("inf")
        return self.error / self.allowed if self.allowed else float("inf") if self.error else 0.0

    @property
    def place(self) -> str:
        """The leaf and the element as an expression: `result['y'][2, 1]`."""
        return f"{self.path}[{', '.join(map(str, self.element))}]" if self.element else self.path

    def __str__(self) -> str:
        who = "jvp" if self.mode == "fwd" else "vjp"
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        lines = [f"order {self.order} in {_MODES[self.mode]} mode, {self.place}{more}: {_VERDICTS[self.verdict]}"]
        lines.append(f"  {who:<9} {_number(self.actual)}")
        if self.sides is None or self.verdict == "wrong":
            known = f"{_number(self.expected)} +- {self.estimate:.1g}" if self.estimate < np.inf else "not to be found"
            lines.append(f"  {'reference':<9} {known}, by {self.method}")
        if self.verdict == "wrong":
            lines.append(f"  {'error':<9} {self.error:.2g}, where {self.allowed:.2g} is allowed")
        if self.sides is not None:
            what = "values" if self.verdict == "jump" else "sides"
            ahead, behind = (f"{complex(x):.6g}" if np.iscomplex(x) else f"{np.real(x):.6g}" for x in self.sides)
            lines.append(f"  {what:<9} {ahead} ahead, {behind} behind")
        lines.append(f"  {'of':<9} {self.function}")
        guess = self.guess()
        return "\n".join([*lines, f"  {'looks as':<9} {guess}"] if guess else lines)

    def guess(self) -> str:
        """What kind of mistake gives such a pair of values; empty where none comes to mind."""
        if self.verdict != "wrong" or not np.isfinite([self.actual, self.expected]).all():
            return ""
        if not self.expected:
            return ""
        ratio = complex(self.actual / self.expected)
        for value, words in _RATIOS.items():
            if abs(ratio - value) < 1e-3 * max(1.0, abs(value)):
                return words
        return ""


_VERDICTS = {
    "right": "right",
    "wrong": "WRONG",
    "kink": "at a kink, where the derivatives of the two sides differ",
    "jump": "at a jump, where there is no derivative",
    "undecided": "undecided, since the reference itself is not certain enough",
}
_RATIOS = {
    0: "if the derivative had been forgotten",
    -1: "if a sign were wrong",
    2: "if a factor 2 were too much",
    0.5: "if a factor 2 were missing",
    -2: "if a sign and a factor 2 were wrong",
}


def _number(x: complex) -> str:
    x = complex(x)
    return f"{x.real:.12g}" if x.imag == 0 else f"{x:.12g}"


@dataclass
class Report:
    """What `check_grads` found.

    Attributes:
        function: What was checked.
        order: To which order.
        modes: In which modes.
        comparisons: The worst element of each comparison.
        source: Where the function is defined; where it was checked, if that is nowhere to be seen.
    """

    function: str
    order: int
    modes: tuple[Mode, ...]
    comparisons: list[Comparison] = field(default_factory=list)
    source: Source | None = None

    def _of(self, verdict: Verdict) -> list[Comparison]:
        return [c for c in self.comparisons if c.verdict == verdict]

    @property
    def failures(self) -> list[Comparison]:
        """Where a derivative is wrong."""
        return self._of("wrong")

    @property
    def kinks(self) -> list[Comparison]:
        """Where the derivatives of the two sides differ, so that the one that the function gets is a convention."""
        return self._of("kink")

    @property
    def jumps(self) -> list[Comparison]:
        """Where the function is not continuous, so that the derivative that it gets is that of one piece."""
        return self._of("jump")

    @property
    def undecided(self) -> list[Comparison]:
        """Where the reference was not certain enough to tell."""
        return self._of("undecided")

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    @property
    def worst(self) -> Comparison | None:
        """The failure of lowest order that is farthest off; if there is none, the comparison that is."""
        if self.failures:
            first = min(c.order for c in self.failures)
            return max((c for c in self.failures if c.order == first), key=lambda c: c.ratio)
        return max(self.comparisons, key=lambda c: c.ratio, default=None)

    def __str__(self) -> str:
        modes = " and ".join(_MODES[mode] for mode in self.modes)
        count = len(self.comparisons)
        if not self.passed:
            head = f"{self.function} has a wrong derivative: {len(self.failures)} of {count} comparisons fail."
            where = [f"  {'where':<9} {self.source}"] if self.source else []
            return "\n".join([head, str(self.worst), *where])
        head = f"derivatives of {self.function} to order {self.order} in {modes} mode:"
        others = {"at a kink": self.kinks, "at a jump": self.jumps, "undecided": self.undecided}
        parts = [f"{len(found)} {what}" for what, found in others.items() if found]
        if not parts:
            return f"{head} right ({count} comparisons)."
        right = f"{len(self._of('right'))} of {count} comparisons right"
        return "\n".join(
            [f"{head} {', '.join([right, *parts])}.", *[str(c) for found in others.values() for c in found]]
        )

    __repr__ = __str__


class DerivativeError(FuncgradError, AssertionError):
    """A derivative is wrong.

    Attributes:
        report: What was found.
    """

    def __init__(self, report: Any) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> Any:
        return type(self), (self.report,)
