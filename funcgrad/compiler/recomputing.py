"""What the way back through a loop needs is computed again, where that takes less time than to keep it.

A scan stacks residuals, a row for each step, and a scan behind it reads them. Beyond the cache a row takes longer to be
written and read than what a few sums and products take. So where residuals come cheaply of fewer values (of the carry
that a step begins with, of rows of operands, of what was expensive), these are stacked, and the other scan does the
rest again. The numbers are the same, bit for bit, but where a product is only summed: nowhere is it rounded before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import NamedTuple

from funcgrad.compiler.simplify import simplified
from funcgrad.control.scan import scan_p
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Atom, Equation, Jaxpr, Var
from funcgrad.primitives import arithmetic, comparison, indexing, masking, shaping, structural

# Stacks of fewer bytes stay in the cache.
_LARGE = 1 << 20
# What is stacked instead is at most such a part, and for each number spared there are at most so many operations.
_PART, _OPERATIONS = 0.6, 5.0

_MOVES = {
    structural.cast_p,
    structural.reshape_p,
    structural.transpose_p,
    structural.broadcast_p,
    shaping.concatenate_p,
    shaping.stack_p,
    shaping.flip_p,
    indexing.basic_index_p,
    indexing.embed_p,
}
_CHEAP = _MOVES | {
    arithmetic.add_p,
    arithmetic.subtract_p,
    arithmetic.multiply_p,
    arithmetic.negative_p,
    arithmetic.positive_p,
    arithmetic.absolute_p,
    arithmetic.abs_p,
    arithmetic.maximum_p,
    arithmetic.minimum_p,
    comparison.equal_p,
    comparison.not_equal_p,
    comparison.less_p,
    comparison.less_equal_p,
    comparison.greater_p,
    comparison.greater_equal_p,
    comparison.logical_and_p,
    comparison.logical_or_p,
    comparison.logical_not_p,
    masking.select_p,
}


def recomputed(jaxpr: Jaxpr) -> Jaxpr:
    """An equal jaxpr, simplified, whose loops keep less for the loops behind them."""
    jaxpr = simplified(jaxpr)
    equations = list(jaxpr.equations)
    readers: dict[Atom, set[int]] = {x: {-1} for x in jaxpr.outputs}
    for number, eqn in enumerate(equations):
        for x in eqn.inputs:
            readers.setdefault(x, set()).add(number)
    for number, maker in enumerate(equations):
        if maker.primitive is scan_p:
            stacks = maker.outputs[maker.params["num_carry"] :]
            for place in sorted(set().union(*[readers.get(v, ()) for v in stacks]) - {-1}):
                alone = {v for v in stacks if readers.get(v) == {place}}
                both = _exchanged(equations[number], equations[place], alone)
                if both is not None:
                    equations[number], equations[place] = both
                    for x in both[1].inputs:  # it may read stacks that another loop reads
                        readers.setdefault(x, set()).add(place)
    return Jaxpr(jaxpr.inputs, jaxpr.constants, equations, jaxpr.outputs)


def _exchanged(maker: Equation, user: Equation, alone: Set[Var]) -> tuple[Equation, Equation] | None:
    """Two loops of which the second computes again what the first has stacked for it; None if that does not pay.

    Args:
        alone: What only the second reads of what the first has stacked.
    """
    if user.primitive is not scan_p:
        return None
    last = user.params["num_consts"] + user.params["num_carry"]
    rows = alone & set(user.inputs[last:]) - set(user.inputs[:last])
    stacked = [k for k, v in enumerate(maker.outputs) if v in rows]
    if sum(maker.outputs[k].aval.nbytes for k in stacked) < _LARGE:
        return None
    body = simplified(maker.params["jaxpr"])
    sources = _Sources(body, maker.params["num_consts"], maker.params["num_carry"])
    found = [(k, x) for k in stacked if isinstance(x := body.outputs[k], Var)]
    groups = [group for group in sources.groups(found) if group.pays]
    if not groups:
        return None
    spared = {maker.outputs[k]: x for group in groups for k, x in group.stacked}
    leaves = sources.in_order(set().union(*[group.leaves for group in groups]))
    kept = [k for k, v in enumerate(maker.outputs) if v not in spared]
    stacks = {body.outputs[k]: maker.outputs[k] for k in kept if k >= maker.params["num_carry"]}
    new = [leaf for leaf in leaves if leaf not in stacks]
    length = maker.params["length"]
    stacks |= {leaf: Var(ShapedArray((length, *leaf.aval.shape), leaf.aval.dtype)) for leaf in new}
    jaxpr = Jaxpr(body.inputs, [], body.equations, [*[body.outputs[k] for k in kept], *new])
    outputs = [*[maker.outputs[k] for k in kept], *[stacks[leaf] for leaf in new]]
    keeper = Equation(scan_p, maker.inputs, outputs, {**maker.params, "jaxpr": jaxpr}, maker.place)
    return keeper, _again(maker, user, sources, spared, {leaf: stacks[leaf] for leaf in leaves})


def _again(
    maker: Equation, user: Equation, sources: _Sources, spared: dict[Var, Var], leaves: dict[Var, Var]
) -> Equation:
    """A loop that computes again what it read from the stacks of another one, which is before it in the same jaxpr.

    Args:
        spared: The stacks that it read, and what they were in the other one's body.
        leaves: The variables of that body that there are rows of, and their stacks.
    """
    body, num_consts, num_carry = user.params["jaxpr"], user.params["num_consts"], user.params["num_carry"]
    equations, operands = sources.needed_by(spared.values())
    consts = [v for v in sources.consts if v in operands]
    rows = [v for v in sources.rows if v in operands]
    outer = dict(zip(sources.body.inputs, maker.inputs, strict=True))
    new = {v: Var(v.aval) for v in (*consts, *rows, *leaves)}
    again = [_renamed(eqn, new) for eqn in equations]
    places = range(num_consts + num_carry, len(user.inputs))
    gone = {k: spared[x] for k in places if isinstance(x := user.inputs[k], Var) and x in spared}
    found = {body.inputs[k]: new.get(v, v) for k, v in gone.items()}
    jaxpr = Jaxpr(
        [
            *body.inputs[:num_consts],
            *[new[v] for v in consts],
            *body.inputs[num_consts : num_consts + num_carry],
            *[body.inputs[k] for k in places if k not in gone],
            *[new[v] for v in (*rows, *leaves)],
        ],
        [],
        [*again, *[_renamed(eqn, found) for eqn in body.equations]],
        [_other(x, found) for x in body.outputs],
    )
    inputs = [
        *user.inputs[:num_consts],
        *[outer[v] for v in consts],
        *user.inputs[num_consts : num_consts + num_carry],
        *[user.inputs[k] for k in places if k not in gone],
        *[outer[v] for v in rows],
        *leaves.values(),
    ]
    params = {**user.params, "jaxpr": jaxpr, "num_consts": num_consts + len(consts)}
    return Equation(scan_p, inputs, user.outputs, params, user.place)


def _other(x: Atom, new: Mapping[Var, Var]) -> Atom:
    return new.get(x, x) if isinstance(x, Var) else x


def _renamed(eqn: Equation, new: Mapping[Var, Var]) -> Equation:
    """An equation that takes other variables, where there are such."""
    return Equation(eqn.primitive, [_other(x, new) for x in eqn.inputs], eqn.outputs, eqn.params, eqn.place)


class _Group(NamedTuple):
    """Results that a loop stacks, and what they come of.

    Attributes:
        stacked: Their numbers, and the variables of the loop's body.
        leaves: What to stack instead.
        pays: Whether that is less, and the way from there short.
    """

    stacked: list[tuple[int, Var]]
    leaves: set[Var]
    pays: bool


class _Sources:
    """What the variables of a loop's body come of, at little expense.

    Attributes:
        body: The body.
        consts: Its operands that are the same in all steps.
        rows: Its operands that are rows of arrays.
    """

    def __init__(self, body: Jaxpr, num_consts: int, num_carry: int) -> None:
        self.body = body
        self.consts = body.inputs[:num_consts]
        self.rows = body.inputs[num_consts + num_carry :]
        self._free = {*self.consts, *self.rows}
        self._makers = {eqn.outputs[0]: eqn for eqn in body.equations if eqn.primitive in _CHEAP}

    def _come_of(self, x: Atom) -> tuple[set[Var], set[Var]]:
        """The variables that a value comes of, and those on the way, itself among them."""
        leaves: set[Var] = set()
        between: set[Var] = set()
        pending = [x]
        while pending:
            v = pending.pop()
            if not isinstance(v, Var) or v in self._free or v in between:
                continue
            if v in self._makers:
                between.add(v)
                pending.extend(self._makers[v].inputs)
            else:
                leaves.add(v)
        return leaves, between

    def groups(self, stacked: Sequence[tuple[int, Var]]) -> list[_Group]:
        """Results of the body by numbers and variables, those together that come of the same."""
        parts: list[tuple[list[tuple[int, Var]], set[Var], set[Var]]] = []
        for result in stacked:
            results, (leaves, between) = [result], self._come_of(result[1])
            for part in [part for part in parts if not part[1].isdisjoint(leaves)]:
                parts.remove(part)
                results, leaves, between = part[0] + results, part[1] | leaves, part[2] | between
            parts.append((results, leaves, between))
        return [_Group(results, leaves, self._pays(results, leaves, between)) for results, leaves, between in parts]

    def _pays(self, results: Sequence[tuple[int, Var]], leaves: set[Var], between: set[Var]) -> bool:
        before = sum(v.aval.nbytes for v in {v for _, v in results})
        after = sum(v.aval.nbytes for v in leaves)
        operations = sum(v.aval.nbytes for v in between if self._makers[v].primitive not in _MOVES)
        return after <= _PART * before and operations <= _OPERATIONS * (before - after)

    def in_order(self, variables: Set[Var]) -> list[Var]:
        """Variables as they come in the body."""
        return [
            v for v in (*self.body.inputs, *[v for eqn in self.body.equations for v in eqn.outputs]) if v in variables
        ]

    def needed_by(self, xs: Collection[Var]) -> tuple[list[Equation], set[Atom]]:
        """The equations between what values come of and these, and all that they take."""
        between = set().union(*[self._come_of(x)[1] for x in xs])
        equations = [eqn for eqn in self.body.equations if eqn.outputs[0] in between]
        return equations, {*xs, *[x for eqn in equations for x in eqn.inputs]}
