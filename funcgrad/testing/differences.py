"""What is the derivative, if no rule is asked?  Complex steps and extrapolated differences, with error estimates.

A derivative along a direction is taken from values alone. Where the function is analytic and takes complex input, its
imaginary part at x + ih t gives it to the last digit. Otherwise central differences are extrapolated over a sweep of
steps, and the entry with the least error estimate is chosen, element by element: large steps err by curvature, or
leave the function's domain, and small ones by rounding.

Reference:
    Squire, Trapp: Using complex variables to estimate derivatives of real functions (1998).
    Ridders: Accurate computation of F'(x) and F'(x)F''(x) (1982).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcgrad.testing.flat import quietly
from funcgrad.testing.tolerances import SAFETY, magnitude

Flat = Callable[..., Sequence[Any]]
Inside = Callable[..., bool]

_LARGEST_STEP = 1 / 16
_RATIO = 4.0
_LEVELS = 18
_COLUMNS = 5
# An estimate this small beside the derivative is good enough.
_GOOD = 1e-11
_TINY = 1e-20
# A jump shows at such steps; it is more than rounding, and the same at each of them.
_JUMP_STEP = 1e-10
_LEAST_JUMP = 1e-6
_STAYS = 1e-3


class Reference(NamedTuple):
    """A derivative from values alone.

    Attributes:
        values: For each output the derivative, in double precision.
        errors: For each output an estimate of the error, element by element; infinite where there is none.
        method: How it was found.
    """

    values: list[Any]
    errors: list[Any]
    method: str


def _anywhere(*xs: Any) -> bool:
    return True


def wide(x: Any) -> Any:
    """x in double precision."""
    return np.asarray(x).astype(np.result_type(x, np.float64))


class _Line:
    """A function along a line through x, evaluated once for each step."""

    def __init__(self, f: Flat, xs: Sequence[Any], ts: Sequence[Any], inside: Inside) -> None:
        self.f, self.inside = f, inside
        self.xs, self.ts = [wide(x) for x in xs], [wide(t) for t in ts]
        self.error: Exception | None = None
        self.start = self.at(0.0)
        if self.start is None and self.error is not None:
            raise self.error

    def at(self, h: complex) -> list[Any] | None:
        """The values at x + h t; None outside of the domain."""
        xs = [(x + h * t)[()] for x, t in zip(self.xs, self.ts, strict=True)]
        if not isinstance(h, complex) and not self.inside(*xs):
            return None
        try:
            return [wide(y) for y in quietly(self.f, *xs)]
        except (ArithmeticError, ValueError) as error:
            self.error = error
            return None


def differences(
    f: Flat,
    xs: Sequence[Any],
    ts: Sequence[Any],
    *,
    side: int = 0,
    inside: Inside = _anywhere,
    levels: int = _LEVELS,
    largest: float = _LARGEST_STEP,
) -> Reference:
    """The derivative of a flat function along a direction by differences, extrapolated over a sweep of steps.

    Args:
        f: A function of arrays, which gives a list of arrays.
        xs: Where.
        ts: The direction.
        side: 0 for central differences; 1 and -1 for those ahead and behind.
        inside: Of arrays like xs, whether f may be asked there.
        levels: How many steps there are at most, each a quarter of the one before.
        largest: The first step, along a direction with elements up to 1.

    Raises:
        Exception: f's own, if it raises at xs.
    """
    line = _Line(f, xs, ts, inside)
    if line.start is None:
        raise ValueError("the point at which the derivative is wanted is not in the domain")
    order = 1 if side else 2
    step = largest / magnitude(*line.ts)
    tables = [_Table(y, order) for y in line.start]
    for _ in range(levels):
        ahead = line.start if side < 0 else line.at(step)
        behind = line.start if side > 0 else line.at(-step)
        for i, table in enumerate(tables):
            if ahead is None or behind is None:
                table.skip()
            else:
                table.add(ahead[i], behind[i], step if side else 2 * step)
        if all(table.done() for table in tables):
            break
        step /= _RATIO
    method = ("central differences", "differences ahead", "differences behind")[side]
    return Reference([table.value for table in tables], [table.error for table in tables], method)


def gaps(f: Flat, xs: Sequence[Any], ts: Sequence[Any], *, side: int, inside: Inside = _anywhere) -> list[Any]:
    """By how much each output of a flat function jumps at x; 0 where it does not, or has no values.

    A jump is what is left of f(x + h t) - f(x) when h becomes small, and does not become less.

    Args:
        f, xs, ts, inside: As for `differences`.
        side: 1 for what is ahead of x, -1 for what is behind.
    """
    line = _Line(f, xs, ts, inside)
    if line.start is None:
        return []
    step = side * _JUMP_STEP * magnitude(*line.xs) / magnitude(*line.ts)
    at = [line.at(step * _RATIO**k) for k in (0, 1, 2)]
    found = []
    for i, y in enumerate(line.start):
        if any(values is None for values in at):
            found.append(np.zeros_like(y))
            continue
        nearest, next_one, far = (values[i] - y for values in at if values is not None)
        stays = np.isfinite(nearest) & (np.abs(nearest) > _LEAST_JUMP * magnitude(y))
        for other in (next_one, far):
            stays &= np.abs(other - nearest) <= _STAYS * np.abs(nearest)
        found.append(np.where(stays, nearest - (next_one - nearest) / (_RATIO - 1), 0.0))
    return found


class _Table:
    """Richardson's tableau of one output, of which the last row and the best entries are kept."""

    def __init__(self, y: Any, order: int) -> None:
        self.value, self.error = np.full(y.shape, np.nan, y.dtype), np.full(y.shape, np.inf)
        self.row: list[Any] = []
        self.order = order
        self.rounding = np.inf
        self.settled = False

    def skip(self) -> None:
        """Note that a step had no value."""
        self.row = []

    def add(self, ahead: Any, behind: Any, width: float) -> None:
        """Put in the difference quotient of another step, a quarter of the one before."""
        row = [(ahead - behind) / width]
        rounding = 2 * np.finfo(np.float64).eps * np.maximum(np.abs(ahead), np.abs(behind)) / width
        spread = rounding
        for k, above in enumerate(self.row[: _COLUMNS - 1]):
            power = _RATIO ** (self.order * (k + 1))
            row.append((power * row[-1] - above) / (power - 1))
            error = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - above)) + rounding
            spread = np.maximum(spread, error)
            # Large steps may agree with each other beyond a pole, of which they know nothing.
            refuted = np.abs(row[-1] - self.value) > SAFETY * (spread + self.error)
            better = (error < self.error) | refuted
            self.value, self.error = np.where(better, row[-1], self.value), np.where(better, error, self.error)
        self.row = row
        self.rounding = float(np.max(rounding, initial=0.0))
        # A value that smaller steps contradict, by more than they lose by rounding, is not the last word.
        self.settled = not np.any(np.abs(row[-1] - self.value) > SAFETY * (self.error + rounding))

    def done(self) -> bool:
        """Whether smaller steps will not do better."""
        if not self.error.size:
            return True
        worst = float(np.max(self.error))
        return worst <= _GOOD * magnitude(self.value) or (self.settled and worst < self.rounding)


def complex_step(f: Flat, xs: Sequence[Any], ts: Sequence[Any]) -> Reference | None:
    """The derivative along a direction from the imaginary part at x + ih t; None where f does not take that.

    It is right where f is analytic, and wrong where it is not: compare it with differences.
    """
    if any(np.iscomplexobj(x) for x in xs):
        return None
    line = _Line(f, xs, ts, _anywhere)
    ys = line.at(1j * _TINY)
    if ys is None or line.start is None or not all(np.iscomplexobj(y) for y in ys):
        return None
    if not all(_same_values(np.real(y), start) for y, start in zip(ys, line.start, strict=True)):
        return None  # another branch: of complex numbers with equal real parts the imaginary ones decide
    values = [np.imag(y) / _TINY for y in ys]
    return Reference(values, [16 * np.finfo(np.float64).eps * np.abs(v) for v in values], "complex step")


def _same_values(a: Any, b: Any) -> bool:
    return bool(np.all(np.abs(a - b) <= 1e-9 * magnitude(b)))


def reference(f: Flat, xs: Sequence[Any], ts: Sequence[Any], *, inside: Inside = _anywhere) -> Reference:
    """The derivative of a flat function along a direction, by the best way that it allows.

    By a complex step where that agrees with central differences; by those otherwise; where one side of x is outside
    of the domain, by differences on the other.
    """
    found = differences(f, xs, ts, inside=inside)
    if all(np.isfinite(error).all() for error in found.errors):
        exact = _try_complex_step(f, xs, ts)
        return exact if exact is not None and _agree(exact, found) else found
    sides = [differences(f, xs, ts, side=side, inside=inside) for side in (1, -1)]
    return _combined(found, sides)


def _try_complex_step(f: Flat, xs: Sequence[Any], ts: Sequence[Any]) -> Reference | None:
    try:
        return complex_step(f, xs, ts)
    except Exception:  # whatever a function does with numbers that it was not written for
        return None


def _agree(exact: Reference, found: Reference) -> bool:
    return all(
        np.all(np.abs(a - b) <= SAFETY * error + 1e-9 * magnitude(a, b))
        for a, b, error in zip(exact.values, found.values, found.errors, strict=True)
    )


def _combined(found: Reference, sides: Sequence[Reference]) -> Reference:
    """Central differences where there are any, and otherwise those of the side on which there are."""
    values, errors = list(found.values), list(found.errors)
    for side in sides:
        for i, error in enumerate(side.errors):
            take = np.isinf(errors[i]) & (error < np.inf)
            values[i] = np.where(take, side.values[i], values[i])
            errors[i] = np.where(take, error, errors[i])
    return Reference(values, errors, "differences on one side")
