"""`grad` and `value_and_grad`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from funcgrad.api.arguments import Argnums, Selected
from funcgrad.api.outputs import complex_result_error, kind_of, real_result_error, split_aux
from funcgrad.api.results import fresh, lower_tree, zeros_for
from funcgrad.api.transformed import P, Transformed
from funcgrad.core.avals import get_aval
from funcgrad.core.errors import DifferentiationError, message, revealed
from funcgrad.core.naming import name_of, parameter_name
from funcgrad.core.seeding import SEEDS
from funcgrad.core.source import definition
from funcgrad.core.tracing import Recording, Tracer, describe
from funcgrad.transforms.transpose import pull_back, sweep

R = TypeVar("R")

_PLAIN = frozenset({np.ndarray, np.float64, np.float32})
_FLOAT64 = np.dtype(np.float64)
_ONE = SEEDS[_FLOAT64]
_float64, _ndarray = np.float64, np.ndarray


def _is_plain(x: Any) -> bool:
    """Whether x is one floating-point array or number, in the form in which it is traced."""
    kind = type(x)
    if kind is _ndarray and x.dtype is _FLOAT64:
        return True
    return kind is float or (kind in _PLAIN and x.dtype in SEEDS and x.dtype.kind == "f")


class _value_and_grad(Transformed[P, R]):
    options = ("argnums", "has_aux", "holomorphic", "allow_int")
    argnums: Argnums
    has_aux: bool
    holomorphic: bool
    allow_int: bool

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        # The place of the only argument, where nothing else is asked for: then the short way may be taken.
        argnum = self.argnums
        simple = not self.holomorphic and not self.has_aux
        self._position = argnum if type(argnum) is int and argnum >= 0 and simple else sys.maxsize

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value, aux, gradient = self._differentiate(args, kwargs)
        return ((value, aux) if self.has_aux else value), gradient

    def _differentiate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Value, auxiliary data and gradient of one call."""
        position = self._position
        if position >= len(args) or not _is_plain(args[position]):
            return self._differentiate_trees(args, kwargs)
        # The short way for one plain array: no trees.
        x = args[position]
        recording = Recording(self, self.function, False, True)
        try:
            tracer = recording.input(x)
            if position == 0:
                y = self.function(tracer, *args[1:], **kwargs)
            else:
                y = self.function(*args[:position], tracer, *args[position + 1 :], **kwargs)
            if type(y) is Tracer and y.recording is recording and type(y.value) is _float64:
                value, aux = y.value, None
                cts: list[Any] = [None] * recording.size
                cts[y.id] = _ONE
                (ct,) = sweep(recording, recording.equations, cts)  # type: ignore[arg-type]
            else:
                value, aux, (ct,) = self._sweep(recording, y)
        except (ValueError, SystemError) as error:
            raise revealed(error)  # noqa: B904 (an error that is none of these is raised as it is)
        finally:
            recording.close()
        if type(ct) is _ndarray:
            return value, aux, ct if ct.flags.carray else ct.copy(order="C")
        return value, aux, zeros_for(x) if ct is None else ct

    def _differentiate_trees(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
        selected = Selected(
            self.transformation,
            self.function,
            self.argnums,
            args,
            kwargs,
            holomorphic=self.holomorphic,
            allow_int=self.allow_int,
        )
        recording = Recording(self, self.function, False, True)
        recording.naming = selected.naming()
        try:
            leaves = selected.with_traced([recording.input(selected.leaves[i]) for i in selected.traced])
            value, aux, cts = self._sweep(recording, selected.call(self.function, leaves))
        finally:
            recording.close()
        gradient = [zeros_for(x) for x in selected.leaves]
        for i, ct in zip(selected.traced, cts, strict=True):
            if ct is not None:
                gradient[i] = ct
        return value, aux, selected.result(fresh(gradient))

    def _sweep(self, recording: Recording, y: Any) -> tuple[Any, Any, list[Any]]:
        """Value and auxiliary data of what the function returned, and the cotangents of the inputs."""
        aux = None
        if self.has_aux:
            y, aux = split_aux(repr(self), self.function, y)
            aux = lower_tree(recording, aux)
        value, number = recording.lower(y)
        if type(value) is not np.float64 or self.holomorphic:
            value = self._check_output(value, y)
        return value, aux, pull_back(recording, (number,), (SEEDS[value.dtype],), consume=True)

    def input_name(self, number: int) -> str:
        """What the user calls the only input of the short way."""
        return parameter_name(self.function, self._position)

    def _check_output(self, y: Any, returned: Any) -> Any:
        """The result in the form in which it has a derivative; `returned` is what the function gave, for messages."""
        name = name_of(self.function)
        try:
            aval = get_aval(y)
        except TypeError:
            raise DifferentiationError(
                message(
                    f"{self!r} needs a function that returns one number; {name} returned {kind_of(y)}.",
                    where=definition(self.function),
                    fix="return the loss alone; has_aux=True if it is a pair (loss, other results)."
                    if y is not None
                    else f"does {name} lack a return statement?",
                )
            ) from None
        value = describe(returned, "result") if type(returned) is Tracer else f"result: {aval!r}"
        if aval.shape:
            raise DifferentiationError(
                message(
                    f"{self!r} needs a function that returns one number; "
                    f"{name} returned an array of shape {aval.shape}.",
                    value=value,
                    where=definition(self.function),
                    why="the gradient of an array is a matrix, its Jacobian.",
                    fix="np.sum or np.mean of the result, funcgrad.jacobian(f) for all derivatives, "
                    "funcgrad.elementwise_grad(f) for an elementwise f, funcgrad.vjp(f, x) for a Jacobian product.",
                )
            )
        if aval.dtype.kind not in "fc":
            raise DifferentiationError(
                message(
                    f"{self!r} needs a floating-point result; {name} returned {aval.dtype.name}.",
                    value=value,
                    where=definition(self.function),
                    why="an integer or boolean result has no derivative.",
                    fix="return a float (a cast, a comparison or argmax on the way cuts the derivative off).",
                )
            )
        if aval.dtype.kind == "c" and not self.holomorphic:
            raise complex_result_error(self, "result", aval, "np.real, np.imag or np.abs of the result")
        if aval.dtype.kind != "c" and self.holomorphic:
            raise real_result_error(self, "result", aval)
        return y if isinstance(y, (Tracer, np.ndarray, np.generic)) else np.asarray(y)[()]


class _grad(_value_and_grad[P, R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _, aux, gradient = self._differentiate(args, kwargs)
        return (gradient, aux) if self.has_aux else gradient


def value_and_grad(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[P, tuple[R, Any]]:
    """A function that gives f's value and its gradient.

    Args:
        f: Returns one floating-point number (shape ()), or with `has_aux` a pair of that and anything else.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these. Arguments
            are floats, float arrays of any shape, or trees of them; a Python int counts as a float.
        has_aux: Whether f returns `(value, aux)`; then the result is `((value, aux), gradient)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        allow_int: Whether integer arguments may be among those differentiated; their gradient is zero.

    Returns:
        A function of f's arguments, giving `(value, gradient)`. The gradient has the argument's tree, shapes and
        dtypes; for several argnums it is a tuple.

    Raises:
        DifferentiationError: (a TypeError) f's result is no floating-point scalar, or an argument is an integer
            array, a string, or complex without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Example:
        >>> import numpy as np
        >>> value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
        (np.float64(5.0), array([2., 4.]))
    """
    return _value_and_grad(f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic, allow_int=allow_int)


def grad(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[P, Any]:
    """A function that gives f's gradient.

    Args:
        f: Returns one floating-point number (shape ()), or with `has_aux` a pair of that and anything else.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(value, aux)`; then the result is `(gradient, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        allow_int: Whether integer arguments may be among those differentiated; their gradient is zero.

    Returns:
        A function of f's arguments, giving the gradient: the argument's tree, shapes and dtypes; a tuple of such
        for several argnums.

    Raises:
        DifferentiationError: (a TypeError) f's result is no floating-point scalar, or an argument is an integer
            array, a string, or complex without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Derivative:
        At kinks the subgradient of least norm: 0 for abs at 0; ties of maximum are split evenly.

    Example:
        >>> import numpy as np
        >>> grad(np.tanh)(0.0)
        np.float64(1.0)
        >>> grad(lambda x, y: x * y, argnums="y")(2.0, 3.0)
        np.float64(2.0)
    """
    return _grad(f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic, allow_int=allow_int)
