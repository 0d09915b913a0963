"""The choice between branches: results = branches[index](operands).

Where derivatives are wanted and the index has a value, the branch taken dissolves into its equations. Elsewhere each
branch is split into what is known without tangents and what is linear in them; the residuals of all branches share
places by their types, and a branch leaves zeros where it has none.

In a batch whose rows choose differently the branches that any row chooses are computed, and each row selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from funcgrad.control.cond_rows import Branches, choose_by_row, joined
from funcgrad.control.derived import (
    Closed,
    active_outputs,
    closed,
    derived,
    linearized,
    only_differentiated,
    picked,
    pulled_back,
    settled,
    valued,
)
from funcgrad.control.equations import Lowered, derivative_equation
from funcgrad.control.running import prepared
from funcgrad.control.scan import batched_jaxpr, in_front, strong
from funcgrad.control.splitting import spread
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.structural import broadcast_p
from funcgrad.transforms.evaluate import evaluate, record_abstract
from funcgrad.transforms.transpose import tangent_aval


def _cond_implementation(index: Any, *xs: Any, branches: Branches) -> tuple[Any, ...]:
    branch = branches[min(max(int(index), 0), len(branches) - 1)]
    return prepared(branch)(*[strong(x, v.aval) for x, v in zip(xs, branch.inputs, strict=True)])


def _cond_abstract(index: ShapedArray, *xs: ShapedArray, branches: Branches) -> tuple[ShapedArray, ...]:
    return tuple([ShapedArray(x.shape, x.dtype) for x in branches[0].out_avals])


# The two parts of each branch -----------------------------------------------------------------------------------------


class _Split(NamedTuple):
    """Branches in two parts.

    Attributes:
        known: The branches, with residuals as further results.
        values: What `known` takes in front of the operands.
        tangent: (arrays, operands, residuals, dots) to dots: tangents of active operands and results.
        arrays: What `tangent` takes in front of the operands.
        active_results: Which results have tangents.
        sizes: The numbers of arrays, operands and residuals.
    """

    known: Branches
    values: list[Any]
    tangent: Branches
    arrays: list[Any]
    active_results: tuple[bool, ...]
    sizes: tuple[int, int, int]


def _split_branches(branches: Branches, active: tuple[bool, ...]) -> _Split:
    return derived(branches[0], ("cond", branches[1:], active), lambda _: _split(branches, active))


def _split(branches: Branches, active: tuple[bool, ...]) -> _Split:
    outs = [active_outputs(branch, active) for branch in branches]
    wanted = tuple(map(any, zip(*outs, strict=True)))
    parts = [linearized(branch, active, wanted) for branch in branches]
    places: list[ShapedArray] = []
    arrays: list[Any] = []
    taken = []  # for each branch: residual variable -> ("array" | "operand" | "place", number)
    for part in parts:
        uses: dict[Var, tuple[str, int]] = {}
        free = list(range(len(places)))
        for v, residual in part.residuals:
            if not isinstance(residual, Atom):
                uses[v] = ("array", len(arrays))
                arrays.append(residual)
            elif residual in part.known.inputs:
                uses[v] = ("operand", part.known.inputs.index(residual))
            else:
                place = next((i for i in free if places[i] == v.aval), None)
                if place is None:
                    place = len(places)
                    places.append(v.aval)
                else:
                    free.remove(place)
                uses[v] = ("place", place)
        taken.append(uses)
    sizes = len(arrays), len(active), len(places)
    known, tangent = [], []
    for part, uses in zip(parts, taken, strict=True):
        sources = dict(part.residuals)
        filled = {number: sources[v] for v, (kind, number) in uses.items() if kind == "place"}
        known.append(closed(_with_places(part.known, [filled.get(i) for i in range(len(places))], places)))
        named = {use: v for v, use in uses.items()}
        keys = [(kind, i) for kind, size in zip(("array", "operand", "place"), sizes, strict=True) for i in range(size)]
        avals = [*map(get_aval, arrays), *branches[0].in_avals, *places]
        inputs = [named.get(key) or Var(aval) for key, aval in zip(keys, avals, strict=True)]
        tangent.append(Jaxpr([*inputs, *part.tangent.inputs], (), part.tangent.equations, part.tangent.outputs))
    all_known, values = joined(known)
    return _Split(all_known, values, tuple(tangent), arrays, wanted, sizes)


def _with_places(known: Jaxpr, residuals: Sequence[Atom | None], avals: Sequence[ShapedArray]) -> Jaxpr:
    """A branch with residuals as further results, zeros where it has none."""
    equations, outputs = list(known.equations), list(known.outputs)
    for residual, aval in zip(residuals, avals, strict=True):
        zero: Atom = Literal(aval.dtype.type(0))
        if residual is None and aval.shape:
            zeros = Var(aval)
            equations.append(Equation(broadcast_p, [zero], [zeros], {"shape": aval.shape}))
            zero = zeros
        outputs.append(zero if residual is None else residual)
    return Jaxpr(known.inputs, known.constants, equations, outputs)


def _transposed(split: _Split, given: tuple[bool, ...]) -> tuple[Branches, list[Any]]:
    """Branches from (arrays, operands, residuals, cotangents given) to cotangents of the active operands."""
    count = sum(split.sizes)

    def transposed(branch: Jaxpr) -> Closed:
        dots = branch.inputs[count:]

        def function(*xs: Any) -> list[Any]:
            cts = spread(xs[count:], given)
            x_cts = pulled_back(branch, xs[:count], cts, dots)
            return [settled(ct, v.aval) for ct, v in zip(x_cts, dots, strict=True)]

        avals = [*branch.in_avals[:count], *[tangent_aval(v.aval) for v in picked(branch.outputs, given)]]
        return closed(record_abstract("transpose", function, avals))

    return derived(split.tangent[0], ("transposed", given), lambda _: joined(list(map(transposed, split.tangent))))


def _pull(
    split: _Split,
    index: Any,
    operands: Sequence[Any],
    residuals: Sequence[Any],
    cts: Sequence[Any],
) -> Sequence[Any]:
    """The cotangents of the active operands, given those of the active results (None: zero)."""
    given = tuple(ct is not None for ct in cts)
    branches, values = _transposed(split, given)
    return bind(cond_p, index, *values, *split.arrays, *operands, *residuals, *picked(cts, given), branches=branches)


# cond: branches[index](operands) --------------------------------------------------------------------------------------


def _cond_inline(*args: Any, branches: Branches) -> Any:
    """A choice whose derivative is wanted."""
    index, *operands = args
    if only_differentiated(index):
        branch = branches[min(max(int(index), 0), len(branches) - 1)]
        return tuple(evaluate(branch, operands))
    lowered = Lowered(args)
    index, *xs = lowered.values
    if not any(lowered.active):
        return bind(cond_p, *lowered.values, branches=branches)
    active = lowered.active[1:]
    if lowered.recording.abstract:
        results = _cond_abstract(*map(get_aval, lowered.values), branches=branches)
        return lowered.record(
            _cond_equation, results, _never, lambda cts: _linear(cts, lowered.values, active, branches)
        )
    split = _split_branches(branches, active)
    results = bind(cond_p, index, *split.values, *xs, branches=split.known)
    count = len(branches[0].outputs)
    residuals = results[count:]
    dot_avals = split.tangent[0].in_avals[sum(split.sizes) :]

    def push(tangents: Sequence[Any]) -> list[Any]:
        dots = [settled(x_dot, aval) for x_dot, aval in zip(tangents, dot_avals, strict=True)]
        y_dots = bind(cond_p, index, *split.arrays, *xs, *residuals, *dots, branches=split.tangent)
        return spread(y_dots, split.active_results)

    def pull(cts: Sequence[Any]) -> Sequence[Any]:
        return _pull(split, index, xs, residuals, picked(cts, split.active_results))

    return lowered.record(_cond_equation, results[:count], push, pull)


def _never(tangents: Sequence[Any]) -> Any:
    raise AssertionError("a recording without values is transposed, not pushed forward")


def _linear(cts: Sequence[Any], args: Sequence[Any], active: tuple[bool, ...], branches: Branches) -> Sequence[Any]:
    """The cotangents of operands in which the branches are linear, of which there are types only."""
    index, *xs = map(valued, args)
    split = _split_branches(branches, active)
    residuals: Sequence[Any] = ()
    if split.sizes[2]:
        residuals = bind(cond_p, index, *split.values, *xs, branches=split.known)[len(branches[0].outputs) :]
    return _pull(split, index, xs, residuals, picked(cts, split.active_results))


def _cond_vjp(
    cts: Sequence[Any], ys: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> list[Any]:
    active = tuple(number is not None for number in ids[1:])
    return [None, *spread(_linear(cts, xs, active, params["branches"]), active)]


def _cond_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[int | None]]:
    (index, *operands), (index_dim, *row_dims) = xs, dims
    branches: Branches = params["branches"]
    in_dims = tuple(None if dim is None else 0 for dim in row_dims)
    rows = [x if dim is None else in_front(x, dim, size) for x, dim in zip(operands, row_dims, strict=True)]
    if index_dim is not None:
        ys = choose_by_row(index, rows, in_dims, branches)
        return ys, [0] * len(ys)
    found = [batched_jaxpr(branch, size, in_dims, ())[1] for branch in branches]
    forced = tuple(any(dim is not None for dim in column) for column in zip(*found, strict=True))
    batched, values = joined([batched_jaxpr(branch, size, in_dims, forced)[0] for branch in branches])
    ys = bind(cond_p, index, *values, *rows, branches=batched)
    return ys, [0 if yes else None for yes in forced]


_cond_equation = derivative_equation("cond")

cond_p = Primitive(
    "cond",
    implementation=_cond_implementation,
    abstract=_cond_abstract,
    batch=_cond_batch,
    inline=_cond_inline,
    vjp=_cond_vjp,
    is_linear=lambda active: True,
    multiple_results=True,
)


def cond(index: Any, branches: Sequence[Jaxpr], operands: Sequence[Any]) -> list[Any]:
    """The results of the branch of a number, counted from 0; beyond either end the nearest branch."""
    return list(bind(cond_p, index, *operands, branches=tuple(branches)))
