"""A jaxpr becomes steps: each equation is handed to its primitive's lowering, which works on lazy tensors.

A rule is `(lowering, eqn, *xs) -> tensor` (a list of them for several results), registered by `@lowers(primitive)` in
the room of `lowerings/` that has the name of the primitive's own, which is imported when a program needs it. A rule may
answer NotImplemented for types that it does not know; such an equation, and one whose primitive has no rule, becomes a
step that calls the primitive's NumPy implementation.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler import lowerings
from funcgrad.compiler.fusion import Fusion
from funcgrad.compiler.indices import ZERO, strides_of
from funcgrad.compiler.loops import Apply, Buffer, Check, Constant, Expression, loads
from funcgrad.compiler.python_step import PythonStep
from funcgrad.compiler.scalars import Convert, ToComplex, logical_not
from funcgrad.compiler.simplify import loop_key
from funcgrad.compiler.tensors import Tensor, broadcast, constant, identity, reshaped, view
from funcgrad.control.while_loop import while_p
from funcgrad.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from funcgrad.core.primitive import Primitive
from funcgrad.kernels.assembly import ELEMENTS
from funcgrad.kernels.complex import PARTS
from funcgrad.primitives.identity import stop_gradient_p

Rule: TypeAlias = Callable[..., Any]

Wish: TypeAlias = Callable[[Equation], Sequence[tuple[int, ...] | None]]

RULES: dict[Primitive, Rule] = {}
WISHES: dict[Primitive, Wish] = {}
# Those whose rules know complex numbers.
COMPLEX: set[Primitive] = set()


def lowers(*primitives: Primitive, complex_numbers: bool = False) -> Callable[[Rule], Rule]:
    """Register a rule for primitives."""

    def register(rule: Rule) -> Rule:
        for primitive in primitives:
            assert primitive not in RULES, primitive
            RULES[primitive] = rule
            if complex_numbers:
                COMPLEX.add(primitive)
        return rule

    return register


def wishes(*primitives: Primitive) -> Callable[[Wish], Wish]:
    """Register what primitives would like: for each operand the order of axes in memory, or None for any."""

    def register(wish: Wish) -> Wish:
        WISHES.update(dict.fromkeys(primitives, wish))
        return wish

    return register


_imported: set[Primitive] = set()  # those whose rules are there, if they have any
_rooms_of: dict[Primitive, set[str]] = {}
_searched: set[str] = set()
_DECLARING = {"funcgrad.primitives", "funcgrad.control"}


def _import_rules(primitives: Iterable[Primitive]) -> None:
    """Import the rooms with the rules of primitives, if there are such rooms."""
    missing = set(primitives) - _imported
    if missing:
        for name, module in list(sys.modules.items()):
            if name.rpartition(".")[0] in _DECLARING and name not in _searched:
                _search(name, module)
        for room in set().union(*[_rooms_of.get(primitive, ()) for primitive in missing]):
            importlib.import_module(f"{lowerings.__name__}.{room}")
        _imported.update(missing)


def _search(name: str, module: ModuleType) -> None:
    """Note the room with rules for the primitives in a module: one with the module's name, or with its floor's."""
    rooms = [room for room in reversed(name.split(".")) if room in _rooms()]
    for value in vars(module).values():
        if type(value) is Primitive:
            _rooms_of.setdefault(value, set()).update(rooms[:1])
    _searched.add(name)


@functools.cache
def _rooms() -> frozenset[str]:
    return frozenset(Path(name).stem for folder in lowerings.__path__ for name in os.listdir(folder))


# All dtypes of numbers in compiled code.
NUMBERS = ELEMENTS.keys() | PARTS.keys()
# Elements that are read again are few beside so many times as many.
_FEW = 4
# So many equations may be in one expression.
_DEEPEST = 40


class Lowering:
    """A jaxpr on its way to steps.

    Attributes:
        fusion: The program under construction.
        fallbacks: Equations that became calls of NumPy.
    """

    def __init__(self, fusion: Fusion) -> None:
        self.fusion = fusion
        self.fallbacks: list[Equation] = []
        self.factors: dict[tuple[Any, ...], tuple[Tensor, Tensor, Tensor]] = {}  # of matrices, by where these are
        self.depth = 0  # of loops around
        # By identity: of a loop the equation that goes back through it, and what is left to such an equation.
        self.returns: dict[int, Equation] = {}
        self.left: dict[int, Any] = {}
        # What is needed after the equation at hand, for each region around; and what a region may overwrite.
        self._live: list[dict[Var, Tensor]] = []
        self._owned: set[Buffer] = set()

    def program(self, jaxpr: Jaxpr) -> None:
        """Lower a whole jaxpr: inputs and outputs in buffers of the caller, in order."""
        assert not jaxpr.constants
        arguments = [
            view(Buffer(v.aval.size, v.aval.dtype, "input", number), v.aval.shape)
            for number, v in enumerate(jaxpr.inputs)
        ]
        results = [
            view(Buffer(x.aval.size, x.aval.dtype, "output", number), x.aval.shape)
            for number, x in enumerate(jaxpr.outputs)
        ]
        self.region(jaxpr, arguments, results)

    def region(self, jaxpr: Jaxpr, arguments: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Lower a jaxpr whose arguments are given and whose results have their places."""
        env: dict[Var, Tensor] = dict(zip(jaxpr.inputs, arguments, strict=True))
        places: dict[Var, Tensor] = {}
        for x, place in zip(jaxpr.outputs, results, strict=True):
            if isinstance(x, Var) and x not in places:
                places[x] = place
        for v in jaxpr.inputs:
            places.pop(v, None)
        self._equations(jaxpr, env, places)
        for x, place in zip(jaxpr.outputs, results, strict=True):
            if isinstance(x, Var) and places.get(x) is place:
                continue
            y = self.read(env, x)
            if y.dtype in NUMBERS:
                self.fusion.realise(Tensor(y.shape, y.dtype, y.at), place)
            else:  # numbers that only NumPy knows: half precision, 80 bits
                copy = Equation(stop_gradient_p, [x], [Var(x.aval)], {})
                self.fusion.append(PythonStep(copy, [y] if isinstance(x, Var) else [], [place]))

    def _equations(self, jaxpr: Jaxpr, env: dict[Var, Tensor], places: dict[Var, Tensor]) -> None:
        """Lower the equations of a jaxpr one after the other; what nothing needs any more leaves the environment."""
        _import_rules([eqn.primitive for eqn in jaxpr.equations])
        uses, layouts = _uses(jaxpr), _layouts(jaxpr)
        self.returns |= _returns(jaxpr)
        self._live.append(env)
        for eqn, dead in zip(jaxpr.equations, jaxpr.last_uses, strict=True):
            xs = [self.read(env, x) for x in eqn.inputs]
            for v in dead:
                env.pop(v, None)
            ys = self.equation(eqn, xs)
            for v, y in zip(eqn.outputs, ys, strict=True):
                self._settle(v, y, uses.get(v, 0), places.get(v), layouts.get(v))
                if v in uses:
                    env[v] = y
        self._live.pop()

    def _settle(self, v: Var, y: Tensor, uses: int, place: Tensor | None, layout: tuple[int, ...] | None) -> None:
        """Store a result whose place is known, or that several will use and that takes work."""
        if y.dtype != v.aval.dtype or y.shape != v.aval.shape:
            raise TypeError(f"lowered to {y.dtype}{y.shape}, the equation gives {v.aval!r}")
        if place is not None:
            if y.buffer is None:
                self.fusion.realise(y, place)
            elif not _moved_in(y, place):
                self.fusion.realise(Tensor(y.shape, y.dtype, y.at), place)
        elif y.buffer is None and y.cost > 0.0:
            if layout is not None:
                self.fusion.realise(y, self.fusion.laid_out(y, layout))
            elif uses > 1:
                self.fusion.realise(y)

    def read(self, env: dict[Var, Tensor], x: Atom) -> Tensor:
        """The tensor of a variable or a literal."""
        if isinstance(x, Literal):
            return constant(x.value, x.aval.dtype)
        return env[x]

    def equation(self, eqn: Equation, xs: list[Tensor]) -> list[Tensor]:
        """Lower one equation; what has become too long an expression is stored."""
        ys = self._lowered(eqn, xs)
        depth = 1 + max([x.depth for x in xs], default=0)
        for y in ys:
            if y.buffer is None and y not in xs:
                y.depth = depth
                if depth > _DEEPEST:
                    self.fusion.realise(y)
        return ys

    def _lowered(self, eqn: Equation, xs: list[Tensor]) -> list[Tensor]:
        rule = RULES.get(eqn.primitive)
        dtypes = [x.aval.dtype for x in (*eqn.inputs, *eqn.outputs)]
        known = NUMBERS if eqn.primitive in COMPLEX else ELEMENTS
        if rule is not None and all(dtype in known for dtype in dtypes):
            ys = rule(self, eqn, *xs, **eqn.params)
            if ys is not NotImplemented:
                return list(ys) if eqn.primitive.multiple_results else [ys]
        return self.fallback(eqn, xs)

    def fallback(self, eqn: Equation, xs: list[Tensor]) -> list[Tensor]:
        """Call the primitive's NumPy implementation in this place."""
        self.fallbacks.append(eqn)
        operands = [
            self.fusion.contiguous(x) for x, atom in zip(xs, eqn.inputs, strict=True) if not isinstance(atom, Literal)
        ]
        ys = [self.fusion.buffer(v.aval.shape, v.aval.dtype) for v in eqn.outputs]
        self.fusion.append(PythonStep(eqn, operands, ys))
        return ys

    def inner(
        self, jaxpr: Jaxpr, arguments: Sequence[Tensor], carried: Sequence[Tensor] = ()
    ) -> tuple[Fusion, list[Tensor]]:
        """Lower a jaxpr as a region of its own; its results stay as they are.

        Args:
            carried: Those of the arguments that the region may overwrite once it needs them no more.
        """
        outer, self.fusion = self.fusion, Fusion()
        outer_owned, self._owned = self._owned, {x.buffer for x in carried if x.buffer is not None}
        try:
            env: dict[Var, Tensor] = dict(zip(jaxpr.inputs, arguments, strict=True))
            self._equations(jaxpr, env, {})
            return self.fusion, [self.read(env, x) for x in jaxpr.outputs]
        finally:
            self.fusion, self._owned = outer, outer_owned

    # What rules are written with

    def cast(self, x: Tensor, dtype: np.dtype[Any]) -> Tensor:
        """x in another dtype, as C converts."""
        if x.dtype == dtype:
            return x
        return Tensor(x.shape, dtype, lambda index: cast(x.at(index), dtype))

    def once(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """x, stored first if it takes work and is about to be repeated to a larger shape."""
        if x.buffer is None and x.shape != shape and x.cost > 0.0:
            size = 1
            for n in shape:
                size *= n
            if size > x.size:
                self.fusion.realise(x)
        return x

    def repeated(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """x broadcast to a shape, computed once."""
        return broadcast(self.once(x, shape), shape)

    def reshaped(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """x in another shape, stored first where that is no index map."""
        y = reshaped(x, shape)
        if y is None:
            y = reshaped(self.fusion.contiguous(x), shape)
        assert y is not None
        return y

    def overwritten(self, x: Tensor) -> Tensor:
        """A tensor that begins as x, to be updated: x's own memory if nothing else needs it, or else a copy."""
        self._settle_readers(x)
        if self.is_free(x):
            assert x.buffer is not None
            return view(x.buffer, x.shape)
        y = self.fusion.buffer(x.shape, x.dtype)
        self.fusion.realise(Tensor(x.shape, x.dtype, x.at), y)
        return y

    def is_free(self, x: Tensor) -> bool:
        """Whether x is all of a buffer that is written in this region and that nothing will read again."""
        b = x.buffer
        return b is not None and self._may_write(x) and not any(reads(y, b) for y in self._live[-1].values())

    def _may_write(self, x: Tensor) -> bool:
        """Whether x is all of a buffer that is written in this region."""
        b = x.buffer
        if b is None or b.size != x.size or not x.is_contiguous() or x.offset != ZERO:
            return False
        return b in self._owned or self.fusion.has_written(b)

    def _settle_readers(self, x: Tensor) -> None:
        """Store the few elements of x that will be read again, if they are few, so that x itself is free."""
        if not self._may_write(x):
            return
        assert x.buffer is not None
        readers = [y for y in self._live[-1].values() if reads(y, x.buffer)]
        if _FEW * sum(y.size for y in readers) <= x.size:
            for y in readers:
                y.store(self.fusion.realise(Tensor(y.shape, y.dtype, y.at), self.fusion.buffer(y.shape, y.dtype)))

    def view_of(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The elements of a stored contiguous tensor in another shape."""
        assert x.buffer is not None
        return view(x.buffer, shape, strides_of(shape), x.offset)

    def require(self, condition: Tensor, reason: str) -> None:
        """Let NumPy take over, and say what is wrong, unless a condition holds everywhere."""
        index = identity(condition.shape)
        flag = self.fusion.reduce(condition.shape, (), _negated(condition.at(index)), "any", (), np.dtype(np.bool_))
        assert flag.buffer is not None
        self.fusion.append(Check(flag.buffer, reason))


def cast(x: Expression, dtype: np.dtype[Any]) -> Expression:
    """A scalar in another dtype."""
    if x.dtype == dtype:
        return x
    if type(x) is Constant:
        with np.errstate(all="ignore"):
            value = np.asarray(x.value)
            value = value.real if dtype.kind not in "bc" and value.dtype.kind == "c" else value
            return Constant(value.astype(dtype)[()], dtype)
    if dtype in PARTS:
        return Apply(ToComplex(PARTS[dtype]), (x,), dtype, 0.5)
    return Apply(Convert(ELEMENTS[dtype]), (x,), dtype, 0.5)


def _moved_in(y: Tensor, place: Tensor) -> bool:
    """Let a tensor that is all of a temporary buffer be the program's result itself, if it is to become one."""
    buffer, target = y.buffer, place.buffer
    assert buffer is not None
    assert target is not None
    whole = y.is_contiguous() and buffer.size == y.size and y.offset == ZERO
    if not (whole and buffer.place == "workspace" and target.place == "output"):
        return False
    buffer.place, buffer.number = target.place, target.number
    return True


def _negated(x: Expression) -> Expression:
    return Apply(logical_not, (x,), np.dtype(np.bool_))


def reads(x: Tensor, b: Buffer) -> bool:
    """Whether a tensor's elements come from a buffer."""
    if x.buffer is not None:
        return x.buffer is b
    return x.size > 0 and any(load.buffer is b for load in loads(x.at(identity(x.shape))))


def _layouts(jaxpr: Jaxpr) -> dict[Var, tuple[int, ...]]:
    """The orders of axes in memory that equations wish for; of several the last."""
    layouts: dict[Var, tuple[int, ...]] = {}
    for eqn in jaxpr.equations:
        wish = WISHES.get(eqn.primitive)
        if wish is not None:
            for x, layout in zip(eqn.inputs, wish(eqn), strict=True):
                if isinstance(x, Var) and layout is not None:
                    layouts[x] = layout
    return layouts


def _returns(jaxpr: Jaxpr) -> dict[int, Equation]:
    """Loops of unknown length, by identity, with the first equation that goes back through them."""
    loops: dict[Hashable, Equation] = {}
    found: dict[int, Equation] = {}
    for eqn in jaxpr.equations:
        if eqn.primitive is while_p:
            loops[loop_key(eqn, eqn.inputs)] = eqn
        elif "has_run" in eqn.params:
            loop = loops.pop(loop_key(eqn, eqn.inputs), None)
            if loop is not None:
                found[id(loop)] = eqn
    return found


def _uses(jaxpr: Jaxpr) -> dict[Var, int]:
    uses: dict[Var, int] = {}
    for eqn in jaxpr.equations:
        for x in set(eqn.inputs):
            if isinstance(x, Var):
                uses[x] = uses.get(x, 0) + 1
    for x in jaxpr.outputs:
        if isinstance(x, Var):
            uses[x] = uses.get(x, 0) + 1
    return uses
