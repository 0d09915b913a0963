"""`kinks`: what the evaluation passed near, by which convention, and whether it matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.testing import kinks


def python_branch(x):
    if x > 1:
        return x**2
    return x


def smooth_branch(x):
    if x > 1:
        return x**2
    return 2 * x - 1


ONE = [
    ("abs", lambda x: np.sum(np.abs(x)), np.array([0.0, 2.0]), "`absolute` at 0", True),
    ("abs-squared", lambda x: np.sum(np.abs(x) ** 2), np.array([0.0, 2.0]), "`absolute` at 0", False),
    ("maximum", lambda x: np.maximum(x[0], x[1]), np.array([1.0, 1.0]), "a tie of `maximum`", True),
    ("minimum", lambda x: np.sum(np.minimum(x, 1.0)), np.array([1.0, 3.0]), "a tie of `minimum`", True),
    ("max", lambda x: np.max(x), np.array([2.0, 2.0, 1.0]), "a tie of `reduce_max`", True),
    ("min", lambda x: np.sum(np.min(x, axis=1)), np.array([[2.0, 2.0], [1.0, 5.0]]), "a tie of `reduce_min`", True),
    ("sort", lambda x: np.sort(x)[0], np.array([2.0, 2.0]), "a tie of `sort`", True),
    ("sort-sum", lambda x: np.sum(np.sort(x)), np.array([2.0, 2.0]), "a tie of `sort`", False),
    ("relu", lambda x: np.sum(np.where(x > 0, x, 0)), np.array([1e-9, 1.0]), "a branch on `greater`", True),
    ("branch", python_branch, 1.0, "a branch on `greater`", True),
    ("smooth-branch", smooth_branch, 1.0, "a branch on `greater`", False),
    ("norm", lambda x: np.linalg.norm(x), np.zeros(2), "`norm` at the origin", True),
    ("floor", lambda x: np.floor(x) + x, 2.0, "a jump of `floor`", False),
    ("rint", lambda x: np.rint(x) * x, 2.5, "a jump of `rint`", True),
    ("round", lambda x: np.round(x, 1) * x, 0.25, "a jump of `round`", True),
    ("remainder", lambda x: x % 2.0, 4.0, "a jump of `remainder`", False),
    ("sign", lambda x: np.sign(x) * x, 0.0, "`sign` at 0", True),
    ("sqrt", lambda x: np.sqrt(x**2 + 0.0), 0.0, "`sqrt` at 0", True),
    ("jit", lambda x: fg.jit(lambda u: np.abs(u) * 2)(x), 0.0, "`absolute` at 0", True),
    ("argmax", lambda x: x[np.argmax(x)], np.array([1.0, 1.0]), "a tie of `argmax`", None),
]


@pytest.mark.parametrize(("f", "x", "what", "matters"), [case[1:] for case in ONE], ids=[case[0] for case in ONE])
def test_kinks_one_place_is_found_with_its_line_and_whether_it_matters(
    f: Any, x: Any, what: str, matters: bool | None
) -> None:
    found = kinks(f)(x)
    assert len(found) == 1
    assert found[0].what.startswith(what)
    assert found[0].source.file == __file__
    assert found[0].distance <= 1e-8
    assert found[0].convention
    if matters is not None:
        assert found[0].matters is matters
        assert (found[0].sides is not None) is matters


def test_kinks_edges_of_clip_are_two() -> None:
    found = kinks(lambda x: np.sum(np.clip(x, 0, 1)))(np.array([0.0, 1.0, 0.5]))
    assert [kink.what for kink in found] == ["the lower edge of `clip`", "the upper edge of `clip`"]
    left, right = found[0].sides
    np.testing.assert_array_equal(left[0], [1.0, 0.5, 1.0])
    np.testing.assert_array_equal(right[0], [0.0, 0.5, 1.0])


def test_kinks_sides_of_a_python_branch_are_the_branches() -> None:
    (kink,) = kinks(python_branch)(1.0)
    assert kink.sides == ([2.0], [1.0])


def test_kinks_far_from_any_there_is_none() -> None:
    found = kinks(lambda x: np.sum(np.abs(x) + np.sort(x)))(np.array([1.0, -2.0]))
    assert found == ()
    assert repr(found) == "no kink nearby"


def test_kinks_distance_is_the_callers() -> None:
    f = lambda x: np.abs(x - 1.0)
    assert not kinks(f)(1.001)
    (kink,) = kinks(f, distance=0.01)(1.001)
    assert kink.distance == pytest.approx(0.001)


def test_kinks_in_words() -> None:
    text = str(kinks(lambda params: np.sum(np.maximum(params["w"], 0.0)))({"w": np.zeros(2), "name": "layer"}))
    assert text.startswith("a tie of `maximum`, of 2 elements\n")
    assert 'operand    params["w"] = [0., 0.]' in text
    assert "convention split evenly at a tie" in text
    assert "matters    yes: the derivative is [1., 1.] on one side, [0., 0.] on the other" in text


def test_kinks_complex_numbers_have_none() -> None:
    assert not kinks(lambda z: np.abs(z) ** 2)(np.array([0j]))
    assert repr(kinks(np.sin)) == "kinks(sin)"


def test_kinks_inside_of_a_loop_are_found_at_the_line_of_its_body() -> None:
    def f(x):
        def body(s):
            y = np.abs(s[1])  # here
            return s[0] + 1, y * 2

        return fg.while_loop(lambda s: s[0] < 2, body, (0, x))[1]

    found = kinks(f)(0.0)
    assert [kink.source.text for kink in found] == ["y = np.abs(s[1])  # here"] * 2
    assert found[0].matters is None
    assert "not asked, inside of a loop or a branch" in str(found)
