"""A sample of mutated derivative rules, each noticed by the laws; all of them by `python -m tests.mutation`."""

from __future__ import annotations

import random

import pytest

from tests.mutation.changes import Mutant
from tests.mutation.explained import EXPLAINED
from tests.mutation.noticing import breaks_conventions, noticed
from tests.mutation.rules import all_mutants, declared_primitives, rules_of

MUTANTS = all_mutants()
SAMPLE = random.Random(1).sample([mutant for mutant in MUTANTS if mutant.name not in EXPLAINED], 30)


@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: mutant.name)
def test_mutant_of_a_rule_is_noticed_by_the_laws(mutant: Mutant) -> None:
    assert noticed(mutant) or breaks_conventions(mutant)


def test_rules_unmutated_are_in_order() -> None:
    unchanged = [
        Mutant(mutant.function, mutant.primitives, "nothing", mutant.expression, lambda node: node)
        for mutant in SAMPLE[:4]
    ]
    assert not any(noticed(mutant, most=2) for mutant in unchanged)


def test_every_primitive_with_a_derivative_has_mutants() -> None:
    mutated = {name for mutant in MUTANTS for name in mutant.primitives}
    assert {"scan", "while", "steps", "checkpointed_while", "cond", "cond_rows", "custom", "linear_solve"} <= mutated
    without = {name for name, p in declared_primitives().items() if p.differentiable and rules_of(p)} - mutated
    # These pass their tangents on as they are: there is nothing in their rules to be changed.
    assert without <= {"positive"}, without


def test_every_explanation_is_of_a_mutant() -> None:
    assert set(EXPLAINED) <= {mutant.name for mutant in MUTANTS}
