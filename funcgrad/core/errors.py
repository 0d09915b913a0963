"""How an error reads: the user's function first, then value, where, why, fix.

Every class also derives from the builtin that a NumPy user would expect to catch.
"""

from __future__ import annotations

import threading

from funcgrad.core.advice import Situation, branch_fix, callee, conversion_fix, index_fix
from funcgrad.core.source import Source, caller, internal_files


def message(
    first: str, *, value: str = "", made: str = "", where: Source | None = None, why: str = "", fix: str = ""
) -> str:
    """The lines of an error message; empty parts are left out."""
    parts = {"value": value, "made": made, "where": str(where) if where else "", "why": why, "fix": fix}
    lines = [f"  {label:<6} {text}" for label, text in parts.items() if text]
    return "\n".join([first, *lines])


class FuncgradError(Exception):
    """Any error that funcgrad itself raises."""


def revealed(error: Exception) -> Exception:
    """An error; or the one of funcgrad's in it, if NumPy or SciPy have put it into one of their own.

    NumPy says "setting an array element with a sequence" of `plain_array[0] = traced`, SciPy "must return a scalar".
    """
    cause = error.__cause__ or unheeded.taken()
    if not isinstance(cause, FuncgradError):
        return error
    by_library = _files(error)[-1:] == [True]
    if not by_library and not isinstance(error, SystemError) and str(error) != _ELEMENT:
        return error  # the user's own
    cause.__suppress_context__ = True
    return cause


_ELEMENT = "setting an array element with a sequence."


def _files(error: Exception) -> list[bool]:
    """Of each frame that an error has come through, whether it is funcgrad's, NumPy's, SciPy's or Python's."""
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(internal_files[traceback.tb_frame.f_code.co_filename])
        traceback = traceback.tb_next
    return found


class _Unheeded(threading.local):
    """The last error that SciPy's C code was given in this thread, while the recording is open.

    It may go on as if there was none, and raise an error of its own in the end: then a garbage collection that comes
    in between drops the first one for good.
    """

    error: Exception | None = None

    def taken(self) -> Exception | None:
        """That error, if it has reached none of the user's lines."""
        error, self.error = self.error, None
        return error if error is not None and all(_files(error)) else None


unheeded = _Unheeded()


class TracedBranchError(FuncgradError, TypeError):
    """A Python branch on a value that is not there, as under `vmap`."""

    def __init__(self, name: str, value: str, where: Source | None) -> None:
        transformation = name.partition("(")[0]
        super().__init__(
            message(
                f"{name} met a Python branch on a traced value.",
                value=value,
                where=where,
                why=f"{transformation} records the function once, without values; Python cannot choose.",
                fix=branch_fix(transformation, where),
            )
        )


class TracedIndexError(FuncgradError, IndexError):
    """What an index selects depends on values that are not there, as in `x[mask]` under `vmap`."""

    def __init__(self, name: str, value: str, use: str, where: Source | None) -> None:
        transformation = name.partition("(")[0]
        what, why = _INDICES[use]
        if use == "mask" and callee(where):
            what = f"{callee(where)}() of traced values"
        super().__init__(
            message(
                f"{name} met {what}.",
                value=value,
                where=where,
                why=f"{transformation} records without values, and {why}.",
                fix=index_fix(transformation, use, where),
            )
        )


_INDICES = {
    "mask": ("a selection by a traced mask", "how many elements are selected depends on them"),
    "update": ("an update at traced indices that may repeat each other", "which of them do depends on them"),
}


_CONVERSIONS = {
    "float": ("float()", "a Python float carries"),
    "complex": ("complex()", "a Python complex carries"),
    "int": ("int()", "a Python int carries"),
    "item": (".item()", "a Python number carries"),
    "tolist": (".tolist()", "Python numbers carry"),
    "index": ("an index", "a plain index carries"),
    "out": ("out=", "a plain array carries"),
    "assignment": ("an assignment to elements of a plain array", "a plain array carries"),
    "__array__": ("NumPy", "a plain array carries"),
}


class TracedConversionError(FuncgradError, TypeError):
    """A traced value was about to be turned into a plain number or array, and so lose its derivative."""

    def __init__(self, name: str, value: str, use: str, where: Source | None, situation: Situation) -> None:
        transformation = name.partition("(")[0]
        who, carries = _CONVERSIONS[use]
        if callee(where) and use not in ("out", "assignment"):
            who = f"{callee(where)}()"
        super().__init__(
            message(
                f"{name} met {who} asking for the plain value of a traced array.",
                value=value,
                where=where,
                why=_why(transformation, carries, situation),
                fix=conversion_fix(transformation, use, where, situation),
            )
        )


def _why(transformation: str, carries: str, situation: Situation) -> str:
    if situation.abstract:
        return f"{transformation} records the function once, without values; there is none to give."
    if transformation in ("jit", "make_jaxpr"):
        return f"{transformation} records the function once, for all values; this one would stay in it for ever."
    return f"{carries} no derivative, so the result would silently be wrong."


class TracedAssignmentError(TracedConversionError, ValueError):
    """A traced value was about to be written to a plain array: a ValueError, too, as NumPy's own is."""


class EscapedTracerError(FuncgradError, RuntimeError):
    """A traced value was used after the function that made it had been recorded.

    Args:
        made: Where it was made.
        where: Where it was used.
        stoppable: Whether `stop_gradient` would have given a plain value.
    """

    def __init__(self, name: str, value: str, made: str, where: Source | None, stoppable: bool) -> None:
        super().__init__(
            message(
                f"a traced value of {name} was used after {name} had returned.",
                value=value,
                made=made,
                where=where,
                why="it was kept in a global, an attribute, a list or a closure, and its recording is over.",
                fix="return it from the function"
                + (" (has_aux=True gives it back beside the gradient)" if "grad" in name.partition("(")[0] else "")
                + (", or keep funcgrad.stop_gradient(x)." if stoppable else "."),
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


class FunctionExpectedError(FuncgradError, TypeError):
    """What was to be transformed is no function."""

    def __init__(self, transformation: str, got: object) -> None:
        super().__init__(
            message(
                f"{transformation} expected a function to transform, got {got!r}"[:200] + ".",
                where=caller(),
                fix=f"{transformation}(f)(x) in place of {transformation}(f(x)).",
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
                where=caller(),
                why=f"funcgrad has no derivative or batching rule for {name}.",
                fix=f"NumPy's functions that have one; funcgrad.opaque({name}, derivative=...); or, where none is "
                "wanted, funcgrad.stop_gradient(x) as its argument (but not under vmap or jit).",
            )
        )
