"""When does a loop that may keep so many states keep which?  The binomial schedule, in whole numbers.

To go backwards through n steps with s states (the first one among them), the loop runs forwards from the last state
kept, keeps some states on the way, takes the last step backwards, and so on. With s states and no step running more
than t times forwards, (s + t)! / (s! t!) steps can be reached, and no schedule takes fewer runs of steps in all.

Reference: A. Griewank and A. Walther, "Algorithm 799: revolve", ACM Trans. Math. Software 26 (2000).
"""

from __future__ import annotations

import math

# In a budget of memory so few bytes that no step may be kept: states for about so many runs of each step.
_MOST_RUNS = 20


def repetitions(length: int, states: int) -> int:
    """How often a step runs forwards at most, before it is taken backwards."""
    reached, runs = 1, 0
    while reached < length:
        runs += 1
        reached = reached * (states + runs) // runs
    return runs


def advances(length: int, states: int) -> int:
    """How many steps run forwards in all, the steps that are taken backwards not counted: the fewest possible."""
    runs = repetitions(length, states)
    return runs * length - math.comb(states + runs, runs - 1) if runs else 0


def distance(length: int, states: int) -> int:
    """How far to go before a state is kept, with so many steps ahead and states to keep, the present one among them.

    Where that is just before the last step, that step is taken backwards at once.
    """
    runs = repetitions(length, states)
    reached = math.comb(states + runs, states)
    before = reached * runs // (states + runs)
    fewest = before * (runs - 1) // (states + runs - 1) if runs else 0
    return max(fewest, length - (reached - before), min(length - 1, 1))


def kept_positions(length: int, states: int) -> list[int]:
    """Before which steps a state is kept when the loop runs for the first time."""
    positions = [0]
    while len(positions) < states:
        following = positions[-1] + distance(length - positions[-1], states - len(positions) + 1)
        if following >= length - 1:
            break
        positions.append(following)
    return positions


def evaluations(length: int, states: int) -> int:
    """How many steps are computed for a value and its gradient: forwards once, and then as the schedule says."""
    if not length:
        return 0
    return 2 * length + advances(length, states) - kept_positions(length, states)[-1]


def cheapest(length: int, state: int, step: int, memory: int) -> tuple[int, int]:
    """The number of steps in a block, and of blocks whose first state is kept, that cost least within some memory.

    What the backward pass needs of the steps is kept for one block at a time.

    Args:
        length: How many steps there are.
        state: The bytes of a state.
        step: The bytes that the backward pass needs of one step.
        memory: The bytes that may be kept; where that is impossible, or takes too long, a few more are.

    Returns:
        `(length, 1)` if everything may be kept.
    """
    if length * step <= memory:
        return length, 1
    best: tuple[int, int, int] | None = None
    block = 1
    while block < length:
        blocks, left = -(-length // block), memory - block * step
        # All blocks' states are one loop's output; of fewer, the first ones and those that replace them are kept.
        states = blocks if blocks * state <= left else left // max(2 * state, 1)
        if states >= 1 and repetitions(blocks, states) <= _MOST_RUNS:
            cost = length + block * (blocks if states == blocks else advances(blocks, states))
            if best is None or cost < best[0]:
                best = cost, block, states
        block = block + 1 if block < 32 else block * 17 // 16
    if best is not None:
        return best[1:]
    return 1, next(s for s in range(1, length + 1) if repetitions(length, s) <= _MOST_RUNS)
