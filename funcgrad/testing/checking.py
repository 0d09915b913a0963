"""`check_grads`: are the derivatives of a function right at a point, to some order, in both modes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller, definition
from funcgrad.testing.differences import reference, wide
from funcgrad.testing.flat import (
    FlatFunction,
    cotangent_function,
    cotangents,
    directions,
    pairing,
    pairing_scale,
    quietly,
    tangent_function,
    tangents,
)
from funcgrad.testing.judging import Judgement, Neighbourhood, Side, judge
from funcgrad.testing.reports import Comparison, DerivativeError, Mode, Report, Verdict
from funcgrad.testing.tolerances import (
    ADJOINT,
    DERIVATIVE,
    LOSS_PER_ORDER,
    SAFETY,
    magnitude,
    settings,
    tolerance,
)

Domain = tuple[float, float] | Callable[..., bool] | None


def check_grads(
    f: Callable[..., Any],
    args: Any,
    order: int | None = None,
    modes: Sequence[Mode] | Mode = ("fwd", "rev"),
    *,
    kwargs: dict[str, Any] | None = None,
    domain: Domain = None,
    rtol: float | None = None,
    seed: int = 0,
) -> Report:
    """Check the derivatives of a function against derivatives from values alone, order by order.

    Forward mode is compared with a reference along a random direction: a complex step where the function is analytic
    and takes complex input, otherwise extrapolated differences, whose error estimate says how much they may differ.
    Reverse mode is compared with forward mode by <ct, J t> = <J^T ct, t>. Steps keep out of places where the function
    is NaN or raises. Where the derivatives of the two sides differ, that is reported as a kink and not as an error.

    Args:
        f: Any function of trees of arrays and numbers, giving such a tree.
        args: Its arguments, a tuple. All floating-point leaves are differentiated; in float32, references are
            taken in double precision.
        order: To which order; 2 if pytest's option --derivative-order does not say otherwise.
        modes: "fwd" for `jvp`, "rev" for `vjp`, or both, which are then nested in all ways.
        kwargs: Its keyword arguments.
        domain: Where f may be asked: an interval `(low, high)` for all elements, or a function of f's arguments
            that says whether it may be.
        rtol: What derivatives may lose by rounding, beside their magnitude, in place of the table's entry.
        seed: Of the random directions.

    Returns:
        A report of all comparisons, with kinks among them.

    Raises:
        DerivativeError: (an AssertionError) A derivative is wrong; the message is the report.
        DifferentiationError: (a TypeError) No argument can be differentiated, or a result is no number.

    Example:
        >>> import numpy as np
        >>> check_grads(np.tanh, (np.array([0.5, 1.0]),))
        derivatives of tanh to order 2 in forward and reverse mode: right (6 comparisons).
        >>> check_grads(np.abs, (0.0,), order=1).kinks
        []
        >>> check_grads(lambda x: np.where(x > 0, x, 0), (0.0,), order=1).kinks[0].sides
        (1.0, 0.0)
    """
    __tracebackhide__ = True
    order = settings.order if order is None else order
    chosen = _chosen(modes, order)
    flat = FlatFunction(f, args, kwargs)
    report = Report(flat.name, order, chosen, source=definition(f))
    inside = _inside(flat, domain)
    if not inside(*flat.xs):
        raise ArgumentError(
            message(
                f"the arguments of {flat.name} are outside of the domain that check_grads was given.",
                value=f"domain={domain!r}",
                where=caller(),
                fix="arguments inside of it.",
            )
        )
    _Check(flat, report, inside, rtol, np.random.default_rng(seed)).run(flat, 1, flat.name)
    if not report.passed:
        raise DerivativeError(report)
    return report


def _chosen(modes: Sequence[Mode] | Mode, order: int) -> tuple[Mode, ...]:
    """The modes that are asked for.

    Raises:
        ArgumentError: There are no such modes, or no such order.
    """
    chosen: tuple[Mode, ...] = (modes,) if isinstance(modes, str) else tuple(modes)
    if not chosen or not set(chosen) <= {"fwd", "rev"} or order < 1:
        raise ArgumentError(
            message(
                f"check_grads got modes={modes!r}, order={order!r}.",
                where=caller(),
                fix='modes=("fwd", "rev") or one of these, and an order of at least 1.',
            )
        )
    return chosen


def _inside(flat: FlatFunction, domain: Domain) -> Callable[..., bool]:
    if domain is None:
        return lambda *xs: True
    if callable(domain):

        def asked(*xs: Any) -> bool:
            args, kwargs = flat.trees(xs)
            return bool(domain(*args, **kwargs))

        return asked
    low, high = domain
    return lambda *xs: all(np.all((np.real(x) >= low) & (np.real(x) <= high)) for x in xs)


class _Check:
    """One run of `check_grads`: what does not change from order to order."""

    def __init__(
        self, flat: FlatFunction, report: Report, inside: Callable[..., bool], rtol: float | None, rng: Any
    ) -> None:
        self.flat, self.report, self.rtol, self.rng = flat, report, rtol, rng
        self.domain = inside
        self.inside = inside

    def within(self, *xs: Any) -> bool:
        """Whether f itself has values there; its derivatives may have some beyond, as 1/x has where log has none."""
        if not self.domain(*xs):
            return False
        try:
            return not any(np.isnan(y).any() for y in quietly(self.flat, *xs))
        except (ArithmeticError, ValueError):
            return False

    def run(self, f: Callable[..., list[Any]], order: int, name: str, paths: list[str] | None = None) -> None:
        """Compare the derivatives of f, and go on to those of its derivatives."""
        xs = self.flat.xs
        self.inside = self.domain if order == 1 else self.within
        if paths is None:
            ys, paths = self.flat.at_point()
            check_finite(self.flat, ys, paths)
        ts = directions(self.rng, xs)
        ys, y_dots = quietly(tangents, f, xs, ts)
        cts = directions(self.rng, ys)
        nested = order < self.report.order
        if "fwd" in self.report.modes:
            self.forward(f, order, name, paths, ts, ys, y_dots)
            if nested and self.report.passed:
                self.run(tangent_function(f, ts), order + 1, f"jvp of {name}", paths)
        if "rev" in self.report.modes:
            if "fwd" not in self.report.modes:
                y_dots = self.trusted(f, ts, ys)
            self.reverse(f, order, name, ts, ys, y_dots, cts)
            if nested and self.report.passed:
                self.run(cotangent_function(f, cts), order + 1, f"vjp of {name}", self.flat.paths)

    def trusted(self, f: Callable[..., list[Any]], ts: list[Any], ys: list[Any]) -> list[Any]:
        """The reference's tangents, where reverse mode is to be checked without trust in forward mode."""
        found = reference(f, self.flat.xs, ts, inside=self.inside)
        return [v.astype(np.result_type(y)) for v, y in zip(found.values, ys, strict=True)]

    def forward(
        self, f: Any, order: int, name: str, paths: list[str], ts: list[Any], ys: list[Any], y_dots: list[Any]
    ) -> None:
        """Compare tangents with the reference."""
        found = reference(f, self.flat.xs, ts, inside=self.inside)
        around = Neighbourhood(f, self.flat.xs, ts, self.inside)
        for i, (path, y, actual, expected, error) in enumerate(
            zip(paths, ys, y_dots, found.values, found.errors, strict=True)
        ):
            if not np.size(actual):
                continue
            actual, expected = wide(actual), wide(expected)
            scale = magnitude(y, actual, expected)
            rounding = self.rounding(DERIVATIVE, y, *self.flat.xs) * LOSS_PER_ORDER ** (order - 1)
            side = Side(path, actual, expected, SAFETY * error + rounding * scale, error)
            self.note(order, "fwd", side, found.method, name, judge(side, scale, wide(y), i, around))

    def reverse(
        self, f: Any, order: int, name: str, ts: list[Any], ys: list[Any], y_dots: list[Any], cts: list[Any]
    ) -> None:
        """Compare the pullback with the tangents by the adjoint identity."""
        xs = self.flat.xs
        x_cts = quietly(cotangents, f, xs, cts)
        if not all(np.isfinite(part).all() for part in y_dots):
            return  # forward mode has said so, or the derivative is infinite
        expected, actual = pairing(cts, y_dots), pairing(x_cts, ts)
        scale = pairing_scale([*zip(cts, y_dots, strict=True), *zip(x_cts, ts, strict=True)])
        allowed = self.rounding(ADJOINT, *xs, *ys) * scale
        method = "jvp and the adjoint identity"
        if "fwd" not in self.report.modes:
            allowed, method = self.rounding(DERIVATIVE, *xs, *ys) * scale, "differences and the adjoint identity"
        side = Side("the whole", *map(np.asarray, (actual, expected, allowed, allowed / SAFETY)))
        verdict: Verdict = "right" if abs(actual - expected) <= allowed else "wrong"
        found = Judgement(verdict, (), 1)
        if verdict == "wrong" and "fwd" not in self.report.modes:
            found = self.singular(f, order, ts) or found
        if found.verdict == "wrong":
            side, element = self.locate(f, cts, x_cts, side)
            found = found._replace(element=element)
        self.note(order, "rev", side, method, name, found)

    def singular(self, f: Any, order: int, ts: list[Any]) -> Judgement | None:
        """The kink or the jump that forward mode, which was not asked for, meets."""
        report = Report(self.flat.name, order, ("fwd",))
        other = _Check(self.flat, report, self.inside, self.rtol, self.rng)
        ys, y_dots = quietly(tangents, f, self.flat.xs, ts)
        other.forward(f, order, "", [str(i) for i in range(len(ys))], ts, ys, y_dots)
        met = next(iter([*report.jumps, *report.kinks]), None)
        return None if met is None else Judgement(met.verdict, (), 1, met.sides)

    def locate(self, f: Any, cts: list[Any], x_cts: list[Any], whole: Side) -> tuple[Side, tuple[int, ...]]:
        """The element of the arguments whose cotangent is farthest off, by halving what the direction touches."""
        xs = self.flat.xs
        spans = [(i, 0, int(np.size(x))) for i, x in enumerate(xs) if np.size(x)]
        best = max(spans, key=lambda span: self.mismatch(f, cts, x_cts, span)[0])
        while best[2] - best[1] > 1:
            i, start, stop = best
            middle = (start + stop) // 2
            best = max([(i, start, middle), (i, middle, stop)], key=lambda s: self.mismatch(f, cts, x_cts, s)[0])
        _, actual, expected = self.mismatch(f, cts, x_cts, best)
        i, start, _ = best
        element = tuple(int(n) for n in np.unravel_index(start, np.shape(xs[i])))
        full = [np.full(np.shape(xs[i]), value) for value in (actual, expected, whole.allowed, whole.estimate)]
        return Side(self.flat.paths[i], *full), element

    def mismatch(self, f: Any, cts: list[Any], x_cts: list[Any], span: tuple[int, int, int]) -> tuple[float, Any, Any]:
        """By how much the identity fails along a direction that touches some elements, and both its sides."""
        xs = self.flat.xs
        number, start, stop = span
        signs = np.random.default_rng(start).choice([-1.0, 1.0], stop - start) if stop - start > 1 else np.ones(1)
        ts = [np.zeros(np.shape(x), np.result_type(x)) for x in xs]
        ts[number].reshape(-1)[start:stop] = signs
        ys, y_dots = quietly(tangents, f, xs, ts)
        if "fwd" not in self.report.modes:
            y_dots = self.trusted(f, ts, ys)
        actual, expected = pairing([x_cts[number]], [ts[number]]), pairing(cts, y_dots)
        return abs(actual - expected), actual, expected

    def rounding(self, table: dict[str, float], *arrays: Any) -> float:
        """What derivatives may lose by rounding."""
        return tolerance(table, *arrays) if self.rtol is None else self.rtol

    def note(self, order: int, mode: Mode, side: Side, method: str, name: str, found: Judgement) -> None:
        """Put the worst element of a comparison into the report."""
        verdict, element, count, sides = found
        actual, expected, allowed, estimate = (part[element].item() for part in side[1:])
        error = 0.0 if actual == expected else float(abs(actual - expected))
        values = (actual, expected, estimate, error, allowed)
        self.report.comparisons.append(
            Comparison(order, mode, side.path, element, *values, method, name, verdict, count, sides)
        )


def check_finite(flat: FlatFunction, ys: Sequence[Any], paths: Sequence[str]) -> None:
    """Check that the values at which derivatives are to be checked are numbers.

    Raises:
        ArgumentError: naming the leaf that has a NaN.
    """
    for y, path in zip(ys, paths, strict=True):
        if np.isnan(y).any():
            raise ArgumentError(
                message(
                    f"{flat.name} gives NaN at these arguments.",
                    value=f"{path} = {np.array2string(np.asarray(y), threshold=20)}",
                    where=caller(),
                    why="where there is no value there is no derivative to check.",
                    fix=f"arguments inside of {flat.name}'s domain; funcgrad.testing.why_nan says where it comes from.",
                )
            )
