"""`jacfwd`, `jacrev`, `jacobian`, `hessian`: all derivatives at once, within a memory bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from funcgrad.api.arguments import Argnums, Selected
from funcgrad.api.outputs import Outputs, record_call
from funcgrad.api.results import lower_tree
from funcgrad.api.transformed import P, Transformed
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller
from funcgrad.core.tracing import Recording
from funcgrad.core.tree import tree_unflatten
from funcgrad.transforms.jacobian import Blocks, Limits, block_dtype, forward_blocks, reverse_blocks

R = TypeVar("R")
Mode: TypeAlias = Literal["auto", "fwd", "rev"]

MEMORY = 2**28  # bytes: 256 MiB
_UNITS = {"chunk_size": "rows, or None", "memory": "bytes"}


class _Dense(Transformed[P, R]):
    """What the transformations that give whole matrices have in common."""

    options: tuple[str, ...] = ("argnums", "has_aux", "holomorphic", "chunk_size", "memory")
    argnums: Argnums
    has_aux: bool
    holomorphic: bool
    chunk_size: int | None
    memory: int

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        for name, unit in _UNITS.items():
            value = getattr(self, name)
            if (name == "memory" or value is not None) and not (isinstance(value, (int, np.integer)) and value > 0):
                raise ArgumentError(
                    message(f"{self!r} got {name}={value!r}.", where=caller(), fix=f"a positive number of {unit}.")
                )
        self._limits = Limits(self.chunk_size, self.memory)


class _jacobian(_Dense[P, R]):
    options = (*_Dense.options, "mode", "allow_int")
    mode: Mode
    allow_int: bool

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        if self.mode not in ("auto", "fwd", "rev"):
            raise ArgumentError(
                message(f"{self!r} got mode={self.mode!r}.", where=caller(), fix='"auto", "fwd" or "rev".')
            )

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
            blocks = forward_blocks if self._forward(selected, outputs) else reverse_blocks
            if blocks is reverse_blocks and not self.holomorphic:
                outputs.check_real(self, "funcgrad.jacfwd for real arguments")
            rows = blocks(recording, outputs.ids, outputs.avals, self._limits)
        finally:
            recording.close()
        result = tree_unflatten(outputs.tree, map(selected.result, _with_zeros(rows, outputs.avals, selected)))
        return (result, outputs.aux) if self.has_aux else result

    def _forward(self, selected: Selected, outputs: Outputs) -> bool:
        """Whether by forward mode: where the inputs are fewer than the outputs, or the outputs complex."""
        if self.mode != "auto":
            return self.mode == "fwd"
        if not self.holomorphic and any(aval.dtype.kind == "c" for aval in outputs.avals):
            return True
        return sum(get_aval(selected.leaves[i]).size for i in selected.traced) < outputs.size


class _jacfwd(_jacobian[P, R]):
    pass


class _jacrev(_jacobian[P, R]):
    pass


def _with_zeros(rows: Blocks, out_avals: Sequence[ShapedArray], selected: Selected) -> Blocks:
    """For each output a block for every leaf: zeros where it does not depend on the leaf."""
    in_avals = [get_aval(x) for x in selected.leaves]
    full: Blocks = []
    for row, y in zip(rows, out_avals, strict=True):
        blocks: list[Any] = [None] * len(in_avals)
        for i, block in zip(selected.traced, row, strict=True):
            blocks[i] = block
        full.append([_zeros(y, x) if block is None else block for block, x in zip(blocks, in_avals, strict=True)])
    return full


def _zeros(y: ShapedArray, x: ShapedArray) -> Any:
    dtype = block_dtype(y, x) if x.dtype.kind in "fc" else np.dtype(float)
    return np.zeros(y.shape + x.shape, dtype)[()]


class _hessian(_Dense[P, R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        selected = Selected(
            self.transformation, self.function, self.argnums, args, kwargs, holomorphic=self.holomorphic
        )
        # Forward over reverse: the outer recording traces how the gradient is computed.
        outer = Recording(self, self.function, False, True)
        inner = Recording(self, self.function, False, True)
        try:
            outer.naming = selected.naming(traced=False)
            selected.leaves = [outer.input(x) for x in selected.leaves]
            outputs = record_call(self, selected, inner, has_aux=self.has_aux, holomorphic=self.holomorphic)
            if not self.holomorphic:
                outputs.check_real(self, "np.real and np.imag of the result")
            gradients = [g for row in reverse_blocks(inner, outputs.ids, outputs.avals, Limits()) for g in row]
            inner.close()
            ids = [None if g is None else outer.lower(g)[1] for g in gradients]
            avals = [
                ShapedArray(y.shape + x.shape, block_dtype(y, get_aval(x)))
                for y in outputs.avals
                for x in selected.leaves
            ]
            rows = forward_blocks(outer, ids, avals, self._limits)
            aux = lower_tree(outer, outputs.aux)
        finally:
            inner.close()
            outer.close()
        columns = list(map(selected.result, _with_zeros(rows, avals, selected)))
        count = len(selected.leaves)
        blocks = [selected.result(columns[i * count : (i + 1) * count]) for i in range(len(outputs.avals))]
        result = tree_unflatten(outputs.tree, blocks)
        return (result, aux) if self.has_aux else result


def jacfwd(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
    memory: int = MEMORY,
) -> Callable[P, Any]:
    """A function that gives f's Jacobian, by forward mode: at the cost of one sweep per element of the arguments.

    Args:
        f: Any function of trees of arrays to a tree of floating-point arrays; with `has_aux` to a pair of that
            and anything else. Real arguments may have complex results.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(result, aux)`; then the result is `(jacobian, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        chunk_size: How many sweeps run together; by default as many as run fastest within `memory`.
        memory: How many bytes intermediate values may take, beside the Jacobian itself. One row of each always fits.

    Returns:
        A function of f's arguments. It gives f's result tree, in place of each array the argument's tree (a tuple
        for several argnums) of blocks of shape `result.shape + argument.shape` in the argument's dtype.

    Raises:
        DifferentiationError: (a TypeError) A result or an argument is no floating-point array, or an argument is
            complex without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Example:
        >>> import numpy as np
        >>> jacfwd(lambda x: x**2)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """
    return _jacfwd(
        f,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        allow_int=False,
        mode="fwd",
        chunk_size=chunk_size,
        memory=memory,
    )


def jacrev(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    chunk_size: int | None = None,
    memory: int = MEMORY,
) -> Callable[P, Any]:
    """A function that gives f's Jacobian, by reverse mode: at the cost of one sweep per element of the result.

    Args:
        f: Any function of trees of arrays to a tree of floating-point arrays; with `has_aux` to a pair of that
            and anything else.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(result, aux)`; then the result is `(jacobian, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        allow_int: Whether integer arguments may be among those differentiated; their blocks are zero.
        chunk_size: How many sweeps run together; by default as many as run fastest within `memory`.
        memory: How many bytes intermediate values may take, beside the Jacobian itself. One row of each always fits.

    Returns:
        A function of f's arguments. It gives f's result tree, in place of each array the argument's tree (a tuple
        for several argnums) of blocks of shape `result.shape + argument.shape` in the argument's dtype.

    Raises:
        DifferentiationError: (a TypeError) A result or an argument is no floating-point array, or one is complex
            without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Example:
        >>> import numpy as np
        >>> jacrev(lambda x, y: {"product": x * y}, argnums=(0, 1))(np.array([1.0, 2.0]), 3.0)
        {'product': (array([[3., 0.],
               [0., 3.]]), array([1., 2.]))}
    """
    return _jacrev(
        f,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        allow_int=allow_int,
        mode="rev",
        chunk_size=chunk_size,
        memory=memory,
    )


def jacobian(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    mode: Mode = "auto",
    chunk_size: int | None = None,
    memory: int = MEMORY,
) -> Callable[P, Any]:
    """A function that gives f's Jacobian: all derivatives of its result, by the mode that needs fewer sweeps.

    f runs once. Its Jacobian is written in place, a batch of rows at a time, so that nothing but the result itself
    need ever be larger than `memory`.

    Args:
        f: Any function of trees of arrays to a tree of floating-point arrays; with `has_aux` to a pair of that
            and anything else. Real arguments may have complex results.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these. A Python
            int counts as a float.
        has_aux: Whether f returns `(result, aux)`; then the result is `(jacobian, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        allow_int: Whether integer arguments may be among those differentiated; their blocks are zero.
        mode: "fwd" (a sweep per element of the arguments), "rev" (a sweep per element of the result), or "auto".
        chunk_size: How many sweeps run together; by default as many as run fastest within `memory`.
        memory: How many bytes intermediate values may take, beside the Jacobian itself. One row of each always fits.

    Returns:
        A function of f's arguments. It gives f's result tree, in place of each array the argument's tree (a tuple
        for several argnums) of blocks of shape `result.shape + argument.shape` in the argument's dtype.

    Raises:
        DifferentiationError: (a TypeError) A result or an argument is no floating-point array, or one is complex
            without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument, or no such mode.

    Example:
        >>> import numpy as np
        >>> A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> jacobian(lambda x: A @ x)(np.zeros(2))
        array([[1., 2.],
               [3., 4.],
               [5., 6.]])
    """
    return _jacobian(
        f,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        allow_int=allow_int,
        mode=mode,
        chunk_size=chunk_size,
        memory=memory,
    )


def hessian(
    f: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
    memory: int = MEMORY,
) -> Callable[P, Any]:
    """A function that gives f's Hessian: all second derivatives, forward over reverse.

    Args:
        f: Returns a floating-point number, or a tree of arrays; with `has_aux` a pair of that and anything else.
        argnums: Which argument is differentiated: its position, its parameter name, or a tuple of these.
        has_aux: Whether f returns `(result, aux)`; then the result is `(hessian, aux)`.
        holomorphic: Whether f is a complex-differentiable function of complex arguments.
        chunk_size: How many rows are computed together; by default as many as run fastest within `memory`.
        memory: How many bytes intermediate values may take, beside the Hessian itself. One row of each always fits.

    Returns:
        A function of f's arguments. It gives f's result tree, in place of each array the argument's tree (a tuple
        for several argnums) of such trees again, of blocks of shape `result.shape + first.shape + second.shape`:
        a symmetric matrix, to rounding, for one vector and a number as the result.

    Raises:
        DifferentiationError: (a TypeError) A result or an argument is no floating-point array, or one is complex
            without `holomorphic`.
        ArgumentError: (a ValueError) There is no such argument.

    Example:
        >>> import numpy as np
        >>> hessian(lambda x: x @ x * x[0])(np.array([1.0, 2.0]))
        array([[6., 4.],
               [4., 2.]])
    """
    return _hessian(f, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic, chunk_size=chunk_size, memory=memory)
