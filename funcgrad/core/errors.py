"""How an error reads: the user's function first, then value, where, why, fix.

Every class also derives from the builtin that a NumPy user would expect to catch.
"""

from __future__ import annotations

from funcgrad.core.source import Source


def message(first: str, *, value: str = "", where: Source | None = None, why: str = "", fix: str = "") -> str:
    """The lines of an error message; empty parts are left out."""
    parts = {"value": value, "where": str(where) if where else "", "why": why, "fix": fix}
    lines = [f"  {label:<6} {text}" for label, text in parts.items() if text]
    return "\n".join([first, *lines])


class FuncgradError(Exception):
    """Any error that funcgrad itself raises."""


class TracedBranchError(FuncgradError, TypeError):
    """A Python branch on a value that is not there, as under `vmap`."""

    def __init__(self, name: str, value: str, where: Source | None) -> None:
        super().__init__(
            message(
                f"{name} met a Python branch on a traced value.",
                value=value,
                where=where,
                why=f"{name.partition('(')[0]} records the function once, without values; Python cannot choose.",
                fix="np.where(pred, a, b) element by element, or a loop over the rows in place of vmap.",
            )
        )


_INDICES = {
    "mask": (
        "a selection by a traced mask",
        "how many elements are selected depends on them",
        "np.where(mask, x, 0) keeps the shape, and so do x[mask] = v and x.at[mask].set(v) for one number v",
    ),
    "update": (
        "an update at traced indices that may repeat each other",
        "which of them do depends on them",
        "unique_indices=True if none is repeated; .add, .min and .max need no promise",
    ),
}


class TracedIndexError(FuncgradError, IndexError):
    """What an index selects depends on values that are not there, as in `x[mask]` under `vmap`."""

    def __init__(self, name: str, value: str, use: str, where: Source | None) -> None:
        what, why, fix = _INDICES[use]
        super().__init__(
            message(
                f"{name} met {what}.",
                value=value,
                where=where,
                why=f"{name.partition('(')[0]} records without values, and {why}.",
                fix=fix + ".",
            )
        )


_CONVERSIONS = {
    "float": ("float()", "a Python float", "np.sin instead of math.sin; funcgrad.stop_gradient(x) for a value alone"),
    "complex": ("complex()", "a Python complex", "x + 0j, or funcgrad.stop_gradient(x) for a value alone"),
    "int": ("int()", "a Python int", "pass it as a static argument, or keep to array operations"),
    "item": (".item()", "a Python number", "leave it an array; funcgrad.stop_gradient(x).item() for a value alone"),
    "tolist": (".tolist()", "Python numbers", "leave it an array; funcgrad.stop_gradient(x) for values alone"),
    "index": (
        "an index",
        "a plain index",
        "funcgrad.numpy.take(table, i) instead of table[i]; np.stack([i, j]) instead of np.array([i, j])",
    ),
    "out": (
        "out=",
        "a plain array",
        "leave out= away, and write a = a + b in place of a += b; or make the array with funcgrad.numpy.zeros(n)",
    ),
    "assignment": (
        "an assignment to elements of a plain array",
        "a plain array",
        "y = funcgrad.numpy.zeros(n), or np.zeros_like(x), for y = np.zeros(n); or y = funcgrad.numpy.at(y)[i].set(v)",
    ),
    "__array__": (
        "NumPy",
        "a plain array",
        "np.stack([a, b]), or funcgrad.numpy.array([a, b]), for np.array([a, b]); "
        "funcgrad.numpy.zeros(n) for an np.zeros(n) that is written to; funcgrad.stop_gradient(x) for a value alone",
    ),
}


class TracedConversionError(FuncgradError, TypeError):
    """A traced value was about to be turned into a plain number or array, and so lose its derivative."""

    def __init__(self, name: str, value: str, use: str, where: Source | None) -> None:
        who, what, fix = _CONVERSIONS[use]
        super().__init__(
            message(
                f"{name} met {who} asking for the plain value of a traced array.",
                value=value,
                where=where,
                why=f"{what} carries no derivative, so the result would silently be wrong.",
                fix=fix + ".",
            )
        )


class EscapedTracerError(FuncgradError, RuntimeError):
    """A traced value was used after the function that made it had been recorded."""

    def __init__(self, name: str, value: str, where: Source | None) -> None:
        super().__init__(
            message(
                f"a traced value of {name} was used after {name} had returned.",
                value=value,
                where=where,
                why="it was kept in a global, an attribute, a list or a closure, and its recording is over.",
                fix="return it from the function (has_aux=True gives it back beside the gradient), "
                "or keep funcgrad.stop_gradient(x).",
            )
        )


class CapturedArrayError(FuncgradError, RuntimeError):
    """A plain array was written to after a recorded function had used it, and before its derivative was computed."""

    def __init__(self, name: str, value: str, where: Source | None) -> None:
        super().__init__(
            message(
                f"{name} used an array that was then modified in place.",
                value=value,
                where=where,
                why="the derivative needs the elements as they were there.",
                fix="use array.copy() there, or write array = array * 2 for array *= 2.",
            )
        )


class ArgumentError(FuncgradError, ValueError):
    """An argument of a transformation does not fit the function."""


class DifferentiationError(FuncgradError, TypeError):
    """What was asked to be differentiated has no derivative of that kind."""


class TreeMismatchError(FuncgradError, TypeError):
    """Two trees (arguments and tangents, say) do not match in structure, shape or dtype."""


class JaxprError(FuncgradError, TypeError):
    """A jaxpr is not well formed."""


class LinearityError(FuncgradError, TypeError):
    """A function given as linear is not."""


class UnsupportedFunctionError(FuncgradError, TypeError):
    """A NumPy or SciPy function that has no rule here."""

    def __init__(self, name: str) -> None:
        super().__init__(
            message(
                f"{name} of a traced array is not supported.",
                why=f"funcgrad has no derivative and batching rule for {name}.",
                fix="write it with functions that have one, or apply it to funcgrad.stop_gradient(x).",
            )
        )
