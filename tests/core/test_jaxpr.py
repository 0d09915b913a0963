"""A jaxpr is checked, printed and compared; what is wrong with one is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import JaxprError
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var, check_jaxpr
from funcgrad.core.naming import name_of, parameter_name, parameters_of
from funcgrad.core.tree import leaf_paths, tree_flatten, tree_leaves, tree_map, tree_structure
from funcgrad.primitives.trigonometric import sin_p

FLOAT = ShapedArray((), np.float64)
SINGLE = ShapedArray((), np.float32)


def sine(x: Any, y: Var) -> Equation:
    return Equation(sin_p, [x], [y], {})


def test_check_jaxpr_well_formed_passes() -> None:
    x, y = Var(FLOAT), Var(FLOAT)
    check_jaxpr(Jaxpr([x], [], [sine(x, y)], [y, Literal(1.0)]))


MALFORMED = {
    "an input assigns a variable that is assigned already": lambda x, y: Jaxpr([x, x], [], [], [x]),
    "a constant is float64, its variable": lambda x, y: Jaxpr([x], [(Var(SINGLE), np.float64(1.0))], [], [x]),
    "uses Var(float64[]) before it is assigned": lambda x, y: Jaxpr([x], [], [sine(y, Var(FLOAT))], [x]),
    "equation 0 (`sin`) gives": lambda x, y: Jaxpr([x], [], [sine(x, Var(SINGLE))], [x]),
    "output Var(float64[]) is never assigned": lambda x, y: Jaxpr([x], [], [], [y]),
}


@pytest.mark.parametrize("text", MALFORMED)
def test_check_jaxpr_malformed_says_what_is_wrong(text: str) -> None:
    with pytest.raises(JaxprError) as caught:
        check_jaxpr(MALFORMED[text](Var(FLOAT), Var(FLOAT)))
    assert text.replace("float64, its", "float64[], its") in str(caught.value)


def test_variables_and_literals_say_what_they_are() -> None:
    assert repr(Var(FLOAT)) == "Var(float64[])"
    assert repr(Literal(2.0)) == "Literal(2.0)"
    assert Literal(2).aval == get_aval(2)


def test_jaxpr_html_has_a_row_for_each_equation_and_escapes_text() -> None:
    jaxpr = fg.make_jaxpr(lambda x: np.sum(np.sin(x) * (x < 1)) + np.ones(2))(np.ones(2))
    page = jaxpr._repr_html_()
    assert page.count("<tr>") >= 5
    assert "x &lt; 1" in page


def test_jaxpr_more_than_26_variables_are_named_aa_and_so_on() -> None:
    def f(x):
        for _ in range(30):
            x = np.sin(x)
        return x

    assert "aa:float64[]" in str(fg.make_jaxpr(f)(np.float64(1.0)))


def test_avals_of_things_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError, match="is not an array or a number"):
        get_aval(object())
    assert FLOAT != "float64"
    assert len({FLOAT, ShapedArray((), np.float64)}) == 1


def test_names_of_functions_without_a_signature_are_numbers() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, first):
            return first

    assert parameters_of(Unhashable()) is not None
    assert parameter_name(Unhashable(), 0) == "first"
    assert parameter_name(min, 3) == "args[3]"
    assert parameter_name(lambda *rest: rest, 2) == "rest[2]"
    assert name_of(Unhashable()) == "Unhashable"


def test_tree_helpers_go_leaf_by_leaf() -> None:
    tree = {"b": [1.0, 2.0], "a": (3.0, None)}
    assert tree_leaves(tree) == [3.0, 1.0, 2.0]
    assert tree_map(lambda x, y: x - y, tree, tree) == {"b": [0.0, 0.0], "a": (0.0, None)}
    assert tree_structure(tree) == tree_flatten(tree)[1]
    assert leaf_paths(tree_structure(tree), "t") == ["t['a'][0]", "t['b'][0]", "t['b'][1]"]
    with pytest.raises(ValueError, match="trees of different structures"):
        tree_map(lambda x, y: x, tree, {"b": 1.0})
