"""The binomial schedule, against all schedules that there are."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgrad.control.binomial import (
    advances,
    cheapest,
    distance,
    evaluations,
    kept_positions,
    repetitions,
)


@functools.cache
def fewest(length: int, states: int) -> int:
    """The fewest steps forwards of any schedule, by trying all."""
    if length <= 1:
        return 0
    if states == 1:
        return length * (length - 1) // 2
    return min(m + fewest(length - m, states - 1) + fewest(m, states) for m in range(1, length))


def backwards(length: int, states: int) -> tuple[int, list[int]]:
    """Follow the schedule: the steps computed behind the first run, and how often each ran forwards."""
    stack, end, computed, runs = kept_positions(length, states), length, 0, [0] * length
    while end:
        position = stack[-1]
        target = position + distance(end - position, states - len(stack) + 1)
        assert position <= target < end
        for i in range(position, target):
            runs[i] += 1
        computed += target - position
        if target == end - 1:
            end, computed = end - 1, computed + 1
            if target == position:
                stack.pop()
        else:
            stack.append(target)
            assert len(stack) <= states
    return computed, runs


@pytest.mark.parametrize("states", range(1, 8))
def test_advances_are_the_fewest_of_all_schedules(states: int) -> None:
    for length in range(50):
        assert advances(length, states) == fewest(length, states)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_schedule_reaches_every_step_with_the_states_that_there_are(length: int, states: int) -> None:
    computed, runs = backwards(length, states)
    assert length + computed == evaluations(length, states)
    assert max(runs) <= repetitions(length, states)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**6), st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 10**6))
def test_cheapest_blocks_fit_into_the_memory(length: int, state: int, step: int, memory: int) -> None:
    block, states = cheapest(length, state, step, memory)
    blocks = -(-length // block)
    copies = 1 if states == blocks else 2
    assert repetitions(blocks, states) <= 20
    if block == length > 1:
        assert length * step <= memory
    elif block * step + copies * states * state > memory:  # as few as can be
        assert block == 1
        assert states == 1 or repetitions(length, states - 1) > 20


def test_cheapest_blocks_of_a_tight_budget_are_binomial_and_of_a_loose_one_run_once_more() -> None:
    block, states = cheapest(10**5, 8000, 16000, 10**7)
    assert states == -(-(10**5) // block)
    block, states = cheapest(10**5, 8000, 16000, 10**6)
    assert states < -(-(10**5) // block)
    assert cheapest(100, 8, 16, 1600) == (100, 1)
    assert evaluations(0, 1) == 0
