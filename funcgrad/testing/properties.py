"""`derivative_laws`: one line that is a property test of a function's derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import strategies as st

from funcgrad.core.naming import name_of
from funcgrad.testing import tolerances
from funcgrad.testing.laws import check_laws
from funcgrad.testing.reproducing import reproducer

_SEEDS = 2**16 - 1
_EXAMPLES = 25
_HYPOTHESIS_EXAMPLES = 100
# All but the search for arguments that may be others: it takes long, and every law fails on most arguments.
_PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate, hypothesis.Phase.shrink)


def derivative_laws(
    f: Callable[..., Any],
    *strategies: st.SearchStrategy[Any],
    laws: Sequence[str] | None = None,
    order: int | None = None,
    settings: hypothesis.settings | None = None,
    **kwargs: st.SearchStrategy[Any],
) -> Callable[[], None]:
    """A test for pytest: hypothesis draws arguments, and every law of derivatives is checked on f there.

    The laws are: arguments stay as they are, and the same ones give the same result; tangents are the limits of
    differences (or complex steps) to some order; `jvp` is linear in the tangent; `vjp` is its adjoint; the chain rule
    with a random inner function; second derivatives are symmetric; `vmap` is the loop, and `jit` what it is not
    applied to; `linearize` is `jvp`. A failing example is shrunk, and a program that fails in the same way is added
    to the error.

    Args:
        f: Any function of trees of arrays.
        strategies: One for each argument, as `funcgrad.testing.strategies.arrays(...)`.
        laws: Which of "purity", "differences", "linearity", "adjoint", "chain", "symmetry", "vmap", "jit",
            "linearize", "complex"; all of them if None.
        order: Of derivatives; 2 if pytest's option --derivative-order does not say otherwise.
        settings: hypothesis's, as `hypothesis.settings(max_examples=20)`. If None, those of its profile, without a
            deadline; 25 examples, if the profile leaves it at hypothesis's own number.
        kwargs: Strategies of keyword arguments.

    Returns:
        A function without arguments, to be given a name that begins with `test_` in a test module.

    Example:
        >>> import numpy as np
        >>> from funcgrad.testing.strategies import arrays
        >>> test_softplus = derivative_laws(lambda x: np.logaddexp(0, x), arrays((2,)))
        >>> test_softplus()
    """
    asked = None if laws is None else list(laws)

    @(settings or _settings())
    @hypothesis.given(args=st.tuples(*strategies), keywords=st.fixed_dictionaries(kwargs), seed=st.integers(0, _SEEDS))
    def test(args: tuple[Any, ...], keywords: dict[str, Any], seed: int) -> None:
        __tracebackhide__ = True
        try:
            check_laws(f, args, asked, order=order, kwargs=keywords, seed=seed)
        except Exception as error:
            more = f", kwargs={keywords!r}" if keywords else ""
            to = tolerances.settings.order if order is None else order
            call = f"check_laws(f, args, {asked!r}, order={to}, seed={seed}{more})"
            error.add_note(f"This program fails in the same way:\n\n{reproducer(f, args, call)}")
            raise

    test.__name__ = test.__qualname__ = f"test_derivative_laws_of_{name_of(f)}"
    return test


def _settings() -> hypothesis.settings:
    """The settings of hypothesis's profile as they suit laws, of which each example checks many."""
    profile = hypothesis.settings()
    examples = _EXAMPLES if profile.max_examples == _HYPOTHESIS_EXAMPLES else profile.max_examples
    phases = [phase for phase in profile.phases if phase in _PHASES]
    return hypothesis.settings(max_examples=examples, phases=phases, deadline=None, report_multiple_bugs=False)
