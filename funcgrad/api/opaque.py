"""`opaque`: any function of plain arrays, SciPy's, numba's or C's, as one operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.api.bodies import operands, strengthened
from funcgrad.api.results import fresh
from funcgrad.api.transformed import P, Transformed
from funcgrad.control.custom import TangentRule, custom, is_differentiated, record_rule
from funcgrad.control.derived import closed, is_inexact
from funcgrad.control.opaque import Foreign, opaque_p
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, DifferentiationError, TreeMismatchError, message
from funcgrad.core.naming import name_of
from funcgrad.core.primitive import bind
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Tracer, concrete
from funcgrad.core.tree import TreeDef, tree_flatten, tree_unflatten
from funcgrad.primitives.contractions import matmul
from funcgrad.primitives.structural import reshape
from funcgrad.transforms.evaluate import record_abstract

# The spacing of central differences of fourth order at which truncation and rounding balance.
_STEP = float(np.finfo(np.float64).eps ** 0.2)
_TINY = 1e-30


class _opaque(Transformed[P, Any]):
    options = ("derivative", "result", "batch")
    derivative: Any
    result: Any
    batch: Any

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        self._known: dict[Any, tuple[tuple[ShapedArray, ...], TreeDef]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, tree = operands("opaque", self.function, (args, kwargs), "args")
        if not any(type(x) is Tracer for x in leaves):
            return self.function(*args, **kwargs)
        xs = list(map(strengthened, leaves))
        avals, out_tree = self._result_types(xs, tree)
        foreign = Foreign(functools.partial(self._flat, tree), repr(self), self.function, avals, self._rows(tree))
        return tree_unflatten(out_tree, fresh(self._apply(foreign, tree, xs), xs))

    def _apply(self, foreign: Foreign, tree: TreeDef, xs: Sequence[Any]) -> Sequence[Any]:
        jacobian = self._jacobian()
        if jacobian is None or not any(map(is_inexact, foreign.avals)):
            return bind(opaque_p, *xs, foreign=foreign)
        rule = TangentRule(functools.partial(self._tangents, foreign, tree, jacobian))
        ys: Sequence[Any] | None = None
        if is_differentiated(xs):
            ys = record_rule(xs, lambda values: self._apply(foreign, tree, values), rule, repr(self))
        if ys is None:
            avals = [ShapedArray(get_aval(x).shape, get_aval(x).dtype) for x in xs]
            equation = record_abstract("opaque", lambda *rows: list(bind(opaque_p, *rows, foreign=foreign)), avals)
            ys = custom(xs, closed(equation).jaxpr, rule, repr(self))
        return ys

    def _flat(self, tree: TreeDef, *xs: Any) -> list[Any]:
        args, kwargs = tree_unflatten(tree, xs)
        return tree_flatten(self.function(*args, **kwargs))[0]

    def _rows(self, tree: TreeDef) -> Callable[..., list[Any]] | None:
        if self.batch is None:
            return None

        def rows(*xs: Any) -> list[Any]:
            args, kwargs = tree_unflatten(tree, xs)
            return tree_flatten(self.batch(*args, **kwargs))[0]

        return rows

    def _result_types(self, xs: Sequence[Any], tree: TreeDef) -> tuple[tuple[ShapedArray, ...], TreeDef]:
        """Types and structure of the result, found by running the function once for each signature."""
        key = (tree, tuple(get_aval(x) for x in xs))
        if key not in self._known:
            if self.result is not None:
                leaves, out_tree = tree_flatten(self.result)
            else:
                values = [concrete(x) for x in xs]
                values = [np.ones(x.shape, x.dtype)[()] if isinstance(x, ShapedArray) else x for x in values]
                args, kwargs = tree_unflatten(tree, values)
                leaves, out_tree = tree_flatten(self.function(*args, **kwargs))
            try:
                self._known[key] = (
                    tuple(ShapedArray(np.shape(y), np.result_type(get_aval(y).dtype)) for y in leaves),
                    out_tree,
                )
            except TypeError:
                raise TreeMismatchError(
                    message(
                        f"{self!r} needs a function that returns numbers and arrays.",
                        value=f"{leaves!r}"[:120],
                        where=definition(self.function),
                        fix="return arrays only.",
                    )
                ) from None
        return self._known[key]

    def _jacobian(self) -> Callable[..., Any] | None:
        """From the arguments to the derivatives of each result in each argument."""
        if self.derivative is None:
            return None
        if isinstance(self.derivative, str):
            methods = {"differences": _by_differences, "complex": _by_complex_step}
            method = functools.partial(methods[self.derivative], self.function)
            functools.update_wrapper(method, self.function)
            return _opaque(method, derivative="differences", result=None, batch=None)
        if hasattr(self.derivative, "transformation"):
            return self.derivative
        return _opaque(self.derivative, derivative=None, result=None, batch=None)

    def _tangents(
        self, foreign: Foreign, tree: TreeDef, jacobian: Callable[..., Any], xs: Sequence[Any], x_dots: Sequence[Any]
    ) -> tuple[Sequence[Any], list[Any]]:
        ys = self._apply(foreign, tree, xs)
        args, kwargs = tree_unflatten(tree, xs)
        blocks = tree_flatten(jacobian(*args, **kwargs))[0]
        active = [i for i, x in enumerate(xs) if is_inexact(get_aval(x))]
        if len(blocks) != len(ys) * len(active):
            raise TreeMismatchError(
                message(
                    f"{self!r} has a derivative of {len(blocks)} arrays where it needs {len(ys) * len(active)}.",
                    where=definition(self.derivative if callable(self.derivative) else self.function),
                    fix="for each result, for each floating-point argument, an array of shape result.shape + "
                    "argument.shape (or of the result's shape, if each element depends on its own element only).",
                )
            )
        y_dots: list[Any] = []
        for k, y in enumerate(ys):
            total = None
            for j, i in enumerate(active):
                if x_dots[i] is not None and is_inexact(get_aval(y)):
                    term = self._product(blocks[k * len(active) + j], x_dots[i], y)
                    total = term if total is None else total + term
            y_dots.append(total)
        return ys, y_dots

    def _product(self, block: Any, x_dot: Any, y: Any) -> Any:
        shape, y_shape, x_shape = get_aval(block).shape, get_aval(y).shape, get_aval(x_dot).shape
        if shape == y_shape + x_shape:
            rows = reshape(block, (int(np.prod(y_shape)), int(np.prod(x_shape))))
            return reshape(matmul(rows, reshape(x_dot, (rows.shape[1],))), y_shape)
        if shape == y_shape:
            return block * x_dot
        raise TreeMismatchError(
            message(
                f"{self!r} has a derivative of the wrong shape.",
                value=f"{shape} for a result of shape {y_shape} and an argument of shape {x_shape}",
                where=definition(self.derivative),
                fix=f"shape {y_shape + x_shape}, or {y_shape} for a function that works element by element.",
            )
        )


def _moved(args: Any, kwargs: Any) -> tuple[list[Any], list[int], Any]:
    leaves, tree = tree_flatten((args, kwargs))
    return leaves, [i for i, x in enumerate(leaves) if is_inexact(get_aval(x))], tree


def _by_columns(
    f: Callable[..., Any], args: Any, kwargs: Any, column: Callable[[Callable[[Any], list[Any]], Any], list[Any]]
) -> list[Any]:
    """Derivatives by columns: `column` gives those of a function of one number at 0, a list for its results."""
    leaves, active, tree = _moved(args, kwargs)
    count, blocks = 0, []
    for i in active:
        x = np.asarray(leaves[i])
        columns = []
        for index in np.ndindex(x.shape):

            def along(t: Any, i: int = i, x: Any = x, index: Any = index) -> list[Any]:
                moved = x.astype(np.result_type(x, t))
                moved[index] += t
                new_args, new_kwargs = tree_unflatten(tree, [*leaves[:i], moved[()], *leaves[i + 1 :]])
                return [np.asarray(y) for y in tree_flatten(f(*new_args, **new_kwargs))[0]]

            columns.append(column(along, abs(x[index])))
        example = tree_flatten(f(*args, **kwargs))[0]
        count = len(example)
        blocks.append(
            [
                np.stack([c[k] for c in columns], -1).reshape(np.shape(y) + x.shape)
                if columns
                else np.zeros(np.shape(y) + x.shape)
                for k, y in enumerate(example)
            ]
        )
    return [blocks[j][k] for k in range(count) for j in range(len(active))]


def _by_differences(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    def column(along: Callable[[Any], list[Any]], magnitude: Any) -> list[Any]:
        h = _STEP * max(float(magnitude), 1.0)
        near, far = zip(along(h), along(-h), strict=True), zip(along(2 * h), along(-2 * h), strict=True)
        return [(8 * (a - b) - (c - d)) / (12 * h) for (a, b), (c, d) in zip(near, far, strict=True)]

    return _by_columns(f, args, kwargs, column)


def _by_complex_step(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    def column(along: Callable[[Any], list[Any]], magnitude: Any) -> list[Any]:
        return [y.imag / _TINY for y in along(1j * _TINY)]

    return _by_columns(f, args, kwargs, column)


def opaque(
    f: Callable[P, Any],
    derivative: Callable[..., Any] | str | None = None,
    *,
    result: Any = None,
    batch: Callable[..., Any] | None = None,
) -> Callable[P, Any]:
    """A function of plain arrays as one operation: SciPy's, numba's or C's code takes part in all transformations.

    f always gets plain NumPy arrays, and in `jit` runs as a step of NumPy's. Its results' shapes and dtypes must follow
    from those of its arguments: they are found by running it once.

    Args:
        f: Any function of trees of plain arrays.
        derivative: A function of the same arguments that gives, for each result and for each floating-point argument,
            an array of shape `result.shape + argument.shape`; or of the result's shape alone, if each element depends
            on its own element only. It, too, gets plain arrays, unless it is itself `opaque`, jitted or has a rule:
            that is how higher orders are given. "differences" takes central differences of fourth order; "complex" a
            complex step, exact for code that takes complex numbers.
        result: A tree of `ShapeDtypeStruct`s like the result, so that f need not be run to know.
        batch: The same as f with one more axis in front of all arguments and results; without it a batch is computed
            row after row.

    Returns:
        A function with f's signature.

    Raises:
        DifferentiationError: (a TypeError) A derivative is asked for, and there is none.

    Example:
        >>> import math
        >>> import numpy as np
        >>> from funcgrad import grad
        >>> gamma = opaque(np.vectorize(math.gamma), derivative="differences")
        >>> round(float(grad(gamma)(1.0)), 8)  # minus Euler's constant
        -0.57721566
    """
    if isinstance(derivative, str) and derivative not in ("differences", "complex"):
        raise ArgumentError(
            message(
                f"opaque({name_of(f)}) has derivative={derivative!r}.",
                where=caller(),
                fix='a function, "differences", "complex", or None.',
            )
        )
    if derivative is not None and not isinstance(derivative, str) and not callable(derivative):
        raise DifferentiationError(
            message(f"opaque({name_of(f)}) has a derivative that is no function.", where=caller(), fix="a function.")
        )
    return _opaque(f, derivative=derivative, result=result, batch=batch)
