"""The same jaxpr with less to do: calls dissolved, common subexpressions shared, dead equations dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from funcgrad.control.checkpoint import checkpoint_p
from funcgrad.control.checkpointed_while import checkpointed_while_p, while_equations
from funcgrad.control.cond_rows import cond_rows_p, rows_equations
from funcgrad.control.custom import custom_p
from funcgrad.control.custom_batching import custom_vmap_p
from funcgrad.control.linear_solve import linear_solve_p
from funcgrad.control.reversal import steps_p, steps_transpose_p
from funcgrad.control.reversal_equations import steps_equations, transpose_equations
from funcgrad.control.while_loop import while_p, while_transpose_p
from funcgrad.core.capturing import unrepeated
from funcgrad.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from funcgrad.core.primitive import Primitive
from funcgrad.primitives import arithmetic, identity, indexing, scattering, structural
from funcgrad.transforms.call import jit_p


def with_known(jaxpr: Jaxpr, known: dict[int, np.ndarray[Any, Any]]) -> Jaxpr:
    """The jaxpr without some inputs, whose values are the same number in all elements and known for good."""
    equations, inputs = [], []
    for number, v in enumerate(jaxpr.inputs):
        if number in known:
            scalar = Literal(known[number].flat[0])
            equations.append(Equation(structural.broadcast_p, [scalar], [v], {"shape": v.aval.shape}))
        else:
            inputs.append(v)
    return Jaxpr(inputs, jaxpr.constants, [*equations, *jaxpr.equations], jaxpr.outputs)


def is_uniform(x: np.ndarray[Any, Any]) -> bool:
    """Whether all elements are the same bits."""
    if x.size == 0 or x.dtype.kind not in "fiub" or x.ndim == 0:
        return False
    bits = np.ascontiguousarray(unrepeated(x)).view(f"u{x.dtype.itemsize}" if x.dtype.itemsize <= 8 else x.dtype)
    return bool((bits == bits.flat[0]).all())


def simplified(jaxpr: Jaxpr) -> Jaxpr:
    """An equal jaxpr: nested calls inlined, equal equations once, equations that nobody needs not at all."""
    rebuild = _Rebuild()
    outputs = rebuild.jaxpr(jaxpr, {v: v for v in jaxpr.inputs})
    simple = _without_dead(Jaxpr(jaxpr.inputs, jaxpr.constants, rebuild.equations, outputs))
    return _readers_first(_without_dead(_with_updates(simple)))


class _Rebuild:
    """The equations so far, and which results are known already."""

    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self._known: dict[Hashable, list[Atom]] = {}
        # Arrays that are one number in all elements.
        self._uniform: dict[Atom, Literal] = {}

    def jaxpr(self, jaxpr: Jaxpr, env: dict[Var, Atom]) -> list[Atom]:
        """Append the equations of a jaxpr; returns what its outputs are now."""

        def read(x: Atom) -> Atom:
            return x if isinstance(x, Literal) else env[x]

        for eqn in jaxpr.equations:
            inputs = [read(x) for x in eqn.inputs]
            env.update(zip(eqn.outputs, self._equation(eqn, inputs), strict=True))
        return [read(x) for x in jaxpr.outputs]

    def _equation(self, eqn: Equation, inputs: list[Atom]) -> list[Atom]:
        inner = _CALLS[eqn.primitive](eqn.params) if eqn.primitive in _CALLS else None
        if inner is not None:
            return self._call(eqn, inner, inputs)
        inputs = self._scalars(eqn, inputs)
        same = _identity(eqn, inputs)
        if same is not None:
            return [same]
        if eqn.primitive is while_transpose_p and loop_key(eqn, inputs) in self._known:
            # The loop has run already, and not outside of a checkpoint.
            eqn = Equation(eqn.primitive, inputs, eqn.outputs, {**eqn.params, "has_run": True}, eqn.place)
        key = _key(eqn, inputs)
        known = None if key is None else self._known.get(key)
        if known is None:
            # Variables are assigned once, also where an inlined jaxpr is called twice.
            outputs = [Var(v.aval) for v in eqn.outputs]
            self.equations.append(Equation(eqn.primitive, inputs, outputs, eqn.params, eqn.place))
            known = list(outputs)
            if eqn.primitive in (structural.broadcast_p, structural.reshape_p):
                scalar = inputs[0] if isinstance(inputs[0], Literal) else self._uniform.get(inputs[0])
                if scalar is not None:
                    self._uniform[outputs[0]] = scalar
            if key is not None:
                self._known[key] = known
        return known

    def _call(self, eqn: Equation, inner: Jaxpr, inputs: list[Atom]) -> list[Atom]:
        """The equations of a jaxpr in the place of the equation that calls it."""
        known = self._known
        if eqn.primitive is checkpoint_p:
            self._known = {}  # what it computes again is not to be kept from the first time
        env = {v: _as_strong(x, v) for v, x in zip(inner.inputs, inputs, strict=True)}
        outputs = self.jaxpr(inner, env)
        self._known = known
        return outputs

    def _scalars(self, eqn: Equation, inputs: list[Atom]) -> list[Atom]:
        """The operands with numbers for uniform arrays, where the others say what the shape is."""
        if eqn.primitive.derivatives is None or not any(x in self._uniform for x in inputs):
            return inputs
        for k, x in enumerate(inputs):
            others = [other.aval.shape for i, other in enumerate(inputs) if i != k]
            if x in self._uniform and others and np.broadcast_shapes(*others) == eqn.outputs[0].aval.shape:
                inputs = [*inputs[:k], self._uniform[x], *inputs[k + 1 :]]
        return inputs


# Equations that stand for a jaxpr: where it is among the parameters.
_CALLS: dict[Primitive, Callable[[dict[str, Any]], Jaxpr | None]] = {
    **dict.fromkeys((jit_p, custom_p, custom_vmap_p, checkpoint_p), lambda params: params["jaxpr"]),
    linear_solve_p: lambda params: params["system"].solve,
    cond_rows_p: rows_equations,
    checkpointed_while_p: while_equations,
    steps_p: steps_equations,
    steps_transpose_p: transpose_equations,
}


def _as_strong(x: Atom, v: Var) -> Atom:
    """A Python number as NumPy's where a jaxpr was recorded with that."""
    if isinstance(x, Literal) and x.aval.weak_type and not v.aval.weak_type:
        return Literal(v.aval.dtype.type(x.value))
    return x


def loop_key(eqn: Equation, inputs: Sequence[Atom]) -> Hashable:
    """What a loop of unknown length, and an equation that goes back through it, have in common."""
    names = ("cond_jaxpr", "body_jaxpr", "num_cond_consts", "num_body_consts")
    params = {name: eqn.params[name] for name in names}
    count = params["num_cond_consts"] + len(params["body_jaxpr"].inputs)
    return _key(Equation(while_p, (), (), params), inputs[:count])


def _key(eqn: Equation, inputs: Sequence[Atom]) -> Hashable | None:
    """What two equal equations have in common; None where it cannot be told."""
    operands = tuple(
        ("literal", x.aval, type(x.value), _bits(x.value)) if isinstance(x, Literal) else id(x) for x in inputs
    )
    key = (eqn.primitive, operands, tuple(eqn.params.items()))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _bits(value: Any) -> Hashable:
    return np.asarray(value).tobytes()


def _identity(eqn: Equation, inputs: list[Atom]) -> Atom | None:
    """The operand that is the result, if there is one: x * 1, x / 1, a value that is only passed on."""
    out = eqn.outputs[0].aval
    if eqn.primitive is identity.stop_gradient_p:
        return inputs[0]
    # Of an infinite complex number both make NaN.
    if eqn.primitive in (arithmetic.multiply_p, arithmetic.divide_p) and out.dtype.kind != "c":
        for x, other in (inputs, inputs[::-1]) if eqn.primitive is arithmetic.multiply_p else (inputs,):
            if isinstance(other, Literal) and other.value == 1 and _same_type(x, out):
                return x
    return None


def _with_updates(jaxpr: Jaxpr) -> Jaxpr:
    """The jaxpr with x + (zeros but for a part) as an addition to that part of x.

    Reverse mode makes such sums of every array that is read by parts, element by element in a loop.
    """
    uses = Counter([x for eqn in jaxpr.equations for x in eqn.inputs] + list(jaxpr.outputs))
    parts = {
        eqn.outputs[0]: eqn
        for eqn in jaxpr.equations
        if eqn.primitive in (indexing.embed_p, indexing.scatter_sum_p) and uses[eqn.outputs[0]] == 1
    }
    equations = []
    for eqn in jaxpr.equations:
        if eqn.primitive is arithmetic.add_p:
            for x, part in (eqn.inputs, eqn.inputs[::-1]):
                if part in parts and x is not part and _same_type(x, part.aval) and isinstance(x, Var):
                    v, *arrays = parts[part].inputs
                    params = {"index": parts[part].params["index"]}
                    eqn = Equation(scattering.scatter_add_p, [x, v, *arrays], eqn.outputs, params, eqn.place)
                    break
        equations.append(eqn)
    return Jaxpr(jaxpr.inputs, jaxpr.constants, equations, jaxpr.outputs)


_UPDATES = {
    scattering.scatter_set_p,
    scattering.scatter_add_p,
    scattering.scatter_min_p,
    scattering.scatter_max_p,
}
_READERS = {indexing.basic_index_p, indexing.gather_p, scattering.gather_last_p}


def _readers_first(jaxpr: Jaxpr) -> Jaxpr:
    """The jaxpr with what reads elements of an array before what updates it, so that it can be updated in place."""
    equations = list(jaxpr.equations)
    readers = Counter(x for eqn in equations for x in set(eqn.inputs))
    for eqn in jaxpr.equations:
        if eqn.primitive in _UPDATES and readers[eqn.inputs[0]] > 1:
            place = equations.index(eqn)
            moved = _movable(equations[place:], eqn.inputs[0], jaxpr.outputs)
            if moved:
                rest = [other for other in equations[place:] if other not in moved]
                equations[place:] = [*moved, *rest]
    return Jaxpr(jaxpr.inputs, jaxpr.constants, equations, jaxpr.outputs)


def _movable(equations: Sequence[Equation], x: Atom, outputs: Sequence[Atom]) -> list[Equation]:
    """The equations to be moved before the first, an update of x, if all others that need x only read elements."""
    later = [eqn for eqn in equations[1:] if x in eqn.inputs]
    if not later or x in outputs or any(eqn.primitive not in _READERS for eqn in later):
        return []
    after = set(equations[0].outputs)
    for eqn in equations[1:]:
        if not after.isdisjoint(eqn.inputs):
            after.update(eqn.outputs)
    if any(not after.isdisjoint(eqn.inputs) for eqn in later):
        return []
    needed = set(later[-1].inputs).union(*[eqn.inputs for eqn in later])
    moved = []
    for eqn in reversed(equations[1:]):
        if eqn in later or not needed.isdisjoint(eqn.outputs):
            moved.append(eqn)
            needed.update(eqn.inputs)
    return moved[::-1]


def _same_type(x: Atom, aval: Any) -> bool:
    return x.aval.shape == aval.shape and x.aval.dtype == aval.dtype and x.aval.weak_type == aval.weak_type


def _without_dead(jaxpr: Jaxpr) -> Jaxpr:
    needed = {x for x in jaxpr.outputs if isinstance(x, Var)}
    kept = []
    for eqn in reversed(jaxpr.equations):
        if any(v in needed for v in eqn.outputs):
            kept.append(eqn)
            needed.update(x for x in eqn.inputs if isinstance(x, Var))
    return Jaxpr(jaxpr.inputs, jaxpr.constants, kept[::-1], jaxpr.outputs)
