"""Lowerings of `primitives/scattering.py`: a copy, and updates of it in the order in which NumPy has them."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler import scalars
from funcgrad.compiler.indices import strides_of
from funcgrad.compiler.loops import BOOL, INT64, Apply, Buffer, Constant, Counter, Expression
from funcgrad.compiler.lowering import Lowering, lowers, reads
from funcgrad.compiler.lowerings.indexing import Selected, update
from funcgrad.compiler.tensors import Tensor, flat_index
from funcgrad.core.jaxpr import Equation
from funcgrad.core.primitive import Primitive
from funcgrad.primitives import scattering
from funcgrad.primitives.index import Index as Selection


def _scatters(primitive: Primitive, combine: str) -> None:
    @lowers(primitive, complex_numbers=combine in ("set", "add"))
    def rule(lowering: Lowering, eqn: Equation, x: Tensor, v: Tensor, *arrays: Tensor, index: Selection) -> Any:
        if any(a.dtype == BOOL for a in arrays) or (x.dtype == BOOL and combine != "set"):
            return NotImplemented
        selected = Selected(lowering, index, x.shape, arrays)
        y = lowering.overwritten(x)
        assert y.buffer is not None
        update(lowering, y, selected, _apart(lowering, v, y.buffer), combine)
        return y


def _apart(lowering: Lowering, v: Tensor, target: Buffer) -> Tensor:
    """v in the target's dtype, stored first if it is read from what is about to be written."""
    y = lowering.cast(v, target.dtype)
    if not reads(y, target):
        return y
    return lowering.fusion.realise(Tensor(y.shape, y.dtype, y.at), lowering.fusion.buffer(y.shape, y.dtype))


_scatters(scattering.scatter_set_p, "set")
_scatters(scattering.scatter_add_p, "add")
_scatters(scattering.scatter_min_p, "lower")
_scatters(scattering.scatter_max_p, "raise")


@lowers(scattering.gather_last_p, complex_numbers=True)
def _gather_last(lowering: Lowering, eqn: Equation, x: Tensor, *arrays: Tensor, index: Selection) -> Any:
    """Each element writes its number where it is from; those read their own number that were last."""
    aval = eqn.outputs[0].aval
    if any(a.dtype == BOOL for a in arrays):
        return NotImplemented
    if x.cost > 0.0:
        lowering.fusion.realise(x)
    selected = Selected(lowering, index, x.shape, arrays)
    if all(a.size == 1 for a in arrays):
        return Tensor(aval.shape, x.dtype, lambda i: x.at(selected.source(i)))
    strides = strides_of(aval.shape)

    def number(i: Any) -> Expression:
        flat = flat_index(i, strides)
        return flat if isinstance(flat, Expression) else Counter(flat)

    numbers = Tensor(aval.shape, INT64, number)
    owners = lowering.fusion.buffer(x.shape, INT64)
    update(lowering, owners, selected, numbers, "set")

    def element(i: Any) -> Expression:
        source = selected.source(i)
        is_last = Apply(scalars.equal, (owners.at(source), number(i)), BOOL)
        return Apply(scalars.select, (is_last, x.at(source), Constant(0, x.dtype)), x.dtype)

    return Tensor(aval.shape, x.dtype, element)
