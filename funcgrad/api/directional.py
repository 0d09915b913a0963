"""`hvp` and `elementwise_grad`: one sweep, where the whole matrix is not wanted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from funcgrad.api.arguments import Argnums, Selected, argument_numbers, locate
from funcgrad.api.outputs import record_call
from funcgrad.api.products import match_leaves, tangent_like
from funcgrad.api.results import fresh, lower_tree, zeros_for
from funcgrad.api.transformed import P, Transformed
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.naming import parameters_of
from funcgrad.core.source import caller
from funcgrad.core.tracing import Recording
from funcgrad.core.tree import tree_flatten
from funcgrad.transforms.jvp import prune, push_forward
from funcgrad.transforms.transpose import pull_back

R = TypeVar("R")


class _hvp(Transformed[P, R]):
    options = ("argnums", "has_aux", "holomorphic")
    argnums: Argnums
    has_aux: bool
    holomorphic: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs, v = self._take_vector(args, kwargs)
        selected = Selected(
            self.transformation, self.function, self.argnums, args, kwargs, holomorphic=self.holomorphic
        )
        treedef = tree_flatten(selected.result(selected.leaves))[1]
        x_dots = match_leaves(
            "vector", repr(self), v, treedef, [tangent_like(x) for x in selected.leaves], selected.paths
        )
        # Forward over reverse: the outer recording traces how the gradient is computed.
        outer = Recording(self, self.function, False, True)
        inner = Recording(self, self.function, False, True)
        try:
            zeros = [zeros_for(x) for x in selected.leaves]
            outer.naming = selected.naming(traced=False)
            selected.leaves = [outer.input(x) for x in selected.leaves]
            outputs = record_call(self, selected, inner, has_aux=self.has_aux, holomorphic=self.holomorphic)
            outputs.check_scalar(self, "funcgrad.hessian(f) for all second derivatives of an array.")
            gradient = pull_back(inner, outputs.ids, outputs.ones(), consume=True)
            ids = [None if g is None else outer.lower(g)[1] for g in gradient]
            prune(outer, ids)
            products = push_forward(outer, x_dots, ids)
            aux = lower_tree(outer, outputs.aux)
        finally:
            inner.close()
            outer.close()
        products = [zero if y_dot is None else y_dot for y_dot, zero in zip(products, zeros, strict=True)]
        result = selected.result(fresh(products, x_dots))
        return (result, aux) if self.has_aux else result

    def _take_vector(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """The function's own arguments, and the vector among them."""
        if "v" in kwargs and not any(p.name == "v" for p in parameters_of(self.function) or ()):
            kwargs = dict(kwargs)
            return args, kwargs, kwargs.pop("v")
        _, numbers = argument_numbers(self.transformation, self.function, self.argnums)
        try:
            places = [locate(self.transformation, self.function, number, args[:-1], kwargs) for number in numbers]
        except ArgumentError:
            for number in numbers:
                locate(self.transformation, self.function, number, args, kwargs)
            places = []  # the arguments alone would do
        positions = [place for place in places if isinstance(place, int)]
        if not positions:
            raise ArgumentError(
                message(
                    f"{self!r} was called without a vector.",
                    where=caller(),
                    why="it stands right behind the differentiated argument, if that is not passed by keyword.",
                    fix=f"{self.transformation}(f)(x, v), or v=... by keyword.",
                )
            )
        at = max(positions) + 1
        return (*args[:at], *args[at + 1 :]), kwargs, args[at]

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's signature with the vector in its place."""
        signature = inspect.signature(self.function)
        parameters = list(signature.parameters.values())
        names = list(signature.parameters)
        _, numbers = argument_numbers(self.transformation, self.function, self.argnums)
        at = max(names.index(n) if isinstance(n, str) else n % len(names) for n in numbers) + 1
        vector = inspect.Parameter("v", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return signature.replace(parameters=[*parameters[:at], vector, *parameters[at:]])


def hvp(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that gives the product of f's Hessian with a vector, without the Hessian: forward over reverse.

    The vector comes right behind the argument: `hvp(f)(x, v, *args)` for `f(x, *args)`. This is how SciPy calls
    `hessp`: `minimize(f, x0, args, jac=grad(f), hessp=hvp(f))`.

    Args:
        f: Returns one floating-point number (shape ()), or with `has_aux` a pair of that and anything else.
        argnums: Which argument is differentiated: its position in f, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(value, aux)`; then the result is `(product, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.

    Returns:
        A function of f's arguments and the vector v, which has the differentiated argument's tree, shapes and dtypes,
        as has the product. v stands right behind the argument (for several argnums a tuple behind the last of
        them), or is given by keyword: `hvp(f)(x=x, v=v)`.

    Raises:
        DifferentiationError: (a TypeError) f's result is no floating-point scalar, or an argument is an integer
            array, a string, or complex without `holomorphic`.
        TreeMismatchError: (a TypeError) v does not fit its argument.
        ArgumentError: (a ValueError) There is no such argument, or no vector.

    Example:
        >>> import numpy as np
        >>> hvp(lambda x: x @ x * x[0])(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
        array([4., 2.])
    """
    return _hvp(f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic)


class _elementwise_grad(Transformed[P, R]):
    options = ("argnums", "has_aux", "holomorphic", "allow_int")
    argnums: Argnums
    has_aux: bool
    holomorphic: bool
    allow_int: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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
        try:
            outputs = record_call(self, selected, recording, has_aux=self.has_aux, holomorphic=self.holomorphic)
            if not self.holomorphic:
                outputs.check_real(self, "np.real and np.imag of the result")
            cts = outputs.ones()
            x_cts = pull_back(recording, outputs.ids, cts, consume=True)
        finally:
            recording.close()
        derivative = [zeros_for(x) for x in selected.leaves]
        for i, x_ct in zip(selected.traced, x_cts, strict=True):
            if x_ct is not None:
                derivative[i] = x_ct
        result = selected.result(fresh(derivative, cts))
        return (result, outputs.aux) if self.has_aux else result


def elementwise_grad(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[P, Any]:
    """A function that gives the derivative of each element of f's result in the element of its argument at that place.

    f is taken to work element by element, and this is not checked: what comes out is the sum of the derivatives of
    *all* elements of the result in each element of the argument. For an argument that is broadcast (a scalar, say)
    that is the sum over the elements that it goes into.

    Args:
        f: Any elementwise function to floating-point arrays; with `has_aux` to a pair of that and anything else.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(result, aux)`; then the result is `(derivative, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        allow_int: Whether integer arguments may be among those differentiated; their derivative is zero.

    Returns:
        A function of f's arguments, giving the derivative in the argument's tree, shapes and dtypes; a tuple of
        such for several argnums.

    Raises:
        DifferentiationError: (a TypeError) A result or an argument is no floating-point array, or one is complex
            without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Example:
        >>> import numpy as np
        >>> elementwise_grad(np.tanh)(np.zeros(3))
        array([1., 1., 1.])
    """
    return _elementwise_grad(f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic, allow_int=allow_int)
