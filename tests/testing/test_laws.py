"""`check_laws` and `derivative_laws`: right functions pass, each law catches what breaks it, failures reproduce."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad.core.errors import ArgumentError
from funcgrad.core.primitive import Primitive, bind
from funcgrad.testing import DerivativeError, LawError, check_laws, derivative_laws, tolerances
from funcgrad.testing.laws import LAWS, close
from funcgrad.testing.programs import random_program
from funcgrad.testing.reproducing import code_of, reproducer
from funcgrad.testing.strategies import arrays, functions, like
from funcgrad.testing.tolerances import VALUE

PHASES = [hypothesis.Phase.generate, hypothesis.Phase.shrink]
FEW = hypothesis.settings(
    max_examples=10, deadline=None, database=None, print_blob=False, phases=PHASES, report_multiple_bugs=False
)

test_softplus_obeys_the_laws = derivative_laws(lambda x: np.logaddexp(0, x), arrays(), settings=FEW)
test_norm_obeys_the_laws_away_from_zero = derivative_laws(
    np.linalg.norm, arrays((3,), domain="positive"), settings=FEW, order=1
)
test_inverse_obeys_the_laws = derivative_laws(
    np.linalg.inv, arrays((2, 2), domain="well-conditioned"), settings=FEW, laws=["differences", "adjoint", "vmap"]
)
test_trees_obey_the_laws = derivative_laws(
    lambda params, *, scale: {"y": np.tanh(params["w"] @ params["x"]) * scale, "n": params["n"]},
    like({"w": np.zeros((2, 3)), "x": np.zeros(3), "n": 3}),
    scale=arrays((), domain="positive"),
    settings=FEW,
)
test_complex_functions_obey_the_laws = derivative_laws(
    lambda z: np.abs(z) ** 2 * np.real(z), arrays((2,), np.complex128), settings=FEW
)
test_single_precision_obeys_the_laws = derivative_laws(np.sin, arrays((3,), np.float32), settings=FEW)
test_python_branches_obey_the_laws = derivative_laws(
    lambda x: x**2 if x > 0 else np.sin(x), arrays((), domain=(0.5, 2.0)), settings=FEW
)


def primitive(**rules: Any) -> Any:
    """The sine as a primitive of its own, some of its rules exchanged."""
    sine = Primitive(
        "other_sine",
        **{
            "implementation": np.sin,
            "abstract": lambda x: x,
            "jvp": lambda ts, y, xs, params: ts[0] * np.cos(xs[0]),
            "vjp": lambda ct, y, xs, ids, params: (ct * np.cos(xs[0]),),
            "batch": lambda size, xs, dims, params: (bind(sine, *xs), dims[0]),
            **rules,
        },
    )
    return lambda x: bind(sine, x)


calls: list[int] = []


def impure(x: Any) -> Any:
    calls.append(0)
    return x * len(calls)


def modifying(x: Any) -> Any:
    y = x * 2
    if isinstance(x, np.ndarray):
        x[...] = 0.0
    return y


BROKEN = {
    "purity": impure,
    "differences": primitive(jvp=lambda ts, y, xs, params: ts[0] * 2, vjp=lambda ct, y, xs, ids, params: (ct * 2,)),
    "linearity": primitive(jvp=lambda ts, y, xs, params: ts[0] * ts[0]),
    "adjoint": primitive(vjp=lambda ct, y, xs, ids, params: (ct,)),
    "chain": lambda x: np.sin(x) if getattr(x, "place", None) is None else fg.stop_gradient(np.sin(x)),
    "symmetry": primitive(jvp=lambda ts, y, xs, params: ts[0] * np.cos(xs[0]) * np.roll(xs[0], 1)),
    "vmap": primitive(batch=lambda size, xs, dims, params: (xs[0], dims[0])),
    "jit": lambda x: x if isinstance(x, np.ndarray) else x * 2,
    "linearize": primitive(jvp=lambda ts, y, xs, params: ts[0] * (1.0 if isinstance(ts[0], np.ndarray) else 2.0)),
    "complex": primitive(jvp=lambda ts, y, xs, params: ts[0] * 2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_law_alone_catches_what_breaks_it(name: str) -> None:
    with pytest.raises((LawError, DerivativeError)):
        check_laws(BROKEN[name], (np.array([0.5, 1.0]),), [name])


def test_law_of_purity_catches_a_function_that_writes_to_its_arguments() -> None:
    with pytest.raises(LawError, match="law of purity"):
        check_laws(modifying, (np.array([0.5, 1.0]),), ["purity"])


def test_laws_are_all_tested_here() -> None:
    assert set(LAWS) | {"differences"} == set(BROKEN)


def test_check_laws_names_function_and_law() -> None:
    with pytest.raises(LawError, match=r"<lambda> breaks the law of adjoint: vjp is not the adjoint of jvp, order 1"):
        check_laws(BROKEN["adjoint"], (np.array([0.5, 1.0]),), ["adjoint"])


def test_check_laws_names_the_leaf_and_the_element() -> None:
    wrong = primitive(batch=lambda size, xs, dims, params: (bind_twice(xs[0]), dims[0]))
    f = lambda x: {"right": x * 2, "wrong": wrong(x)}
    with pytest.raises(LawError, match=r"not the loop, in result\['wrong'\]: .* at \(1,\)"):
        check_laws(f, (np.array([0.0, 1.0]),), ["vmap"])


def bind_twice(x: Any) -> Any:
    return np.sin(x) * 2


def test_check_laws_refuses_a_law_that_it_does_not_know() -> None:
    with pytest.raises(ArgumentError, match=r"there is no law of 'associativity'\."):
        check_laws(np.sin, (0.5,), ["associativity"])


def test_close_tells_where_arrays_differ() -> None:
    close(np.array([1.0, np.nan, np.inf]), np.array([1.0, np.nan, np.inf]), VALUE)
    with pytest.raises(LawError, match=r"1\.0 and 2\.0 at \(1,\)"):
        close(np.array([1.0, 1.0]), np.array([1.0, 2.0]), VALUE)
    with pytest.raises(LawError, match="shapes"):
        close(np.zeros(2), np.zeros(3), VALUE)
    with pytest.raises(LawError, match="nan"):
        close(np.array([np.nan]), np.zeros(1), VALUE)


def test_order_comes_from_the_settings_where_nobody_says() -> None:
    only_first = primitive(jvp=lambda ts, y, xs, params: ts[0] * fg.stop_gradient(np.cos(xs[0])))
    before = tolerances.settings.order
    try:
        tolerances.settings.order = 1
        check_laws(only_first, (0.5,), ["differences", "symmetry"])
        tolerances.settings.order = 2
        with pytest.raises(DerivativeError):
            check_laws(only_first, (0.5,), ["differences"])
    finally:
        tolerances.settings.order = before


# Programs of which transformations themselves are the subject


@FEW
@given(program=functions(), seed=st.integers(0, 1000))
def test_random_programs_obey_the_laws(program: Any, seed: int) -> None:
    check_laws(program, program.example(seed), seed=seed)


# Failing examples


SCALE = np.array([2.0, 3.0])


def wrong(x: Any) -> Any:
    return np.sum(fg.stop_gradient(x) * x) * SCALE[0]


def failing_program(test: Any, kind: type[Exception] = AssertionError) -> str:
    with pytest.raises(kind) as caught:
        test()
    head, program = caught.value.__notes__[0].split("\n\n", 1)
    assert head == "This program fails in the same way:"
    return program


def run_program(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert result.returncode == 1
    return result.stderr


FAILING = {
    "module": lambda: derivative_laws(wrong, arrays((2,)), settings=FEW),
    "lambda": lambda: derivative_laws(lambda x: wrong(x) + SCALE[1], arrays((2,)), settings=FEW),
}


@pytest.mark.parametrize("name", FAILING)
def test_reproducer_runs_as_it_stands_and_fails_in_the_same_way(name: str) -> None:
    error = run_program(failing_program(FAILING[name]()))
    assert "DerivativeError" in error
    assert "has a wrong derivative" in error


def test_reproducer_is_of_a_minimal_example() -> None:
    program = failing_program(derivative_laws(wrong, arrays((2,)), settings=FEW))
    assert "args = (np.array([0.0, 0.0], dtype=np.float64),)" in program
    assert "order=2" in program


def test_reproducer_of_a_closure_carries_what_it_uses() -> None:
    offset = np.array([1.0, 2.0])
    inner = lambda x: x + offset

    def f(x):
        return inner(x) * 2

    names: dict[str, Any] = {}
    exec(reproducer(f, (1.0, {"a": np.float32(2.0)}, np.zeros((0, 2))), "y = f(args[0])"), names)
    np.testing.assert_array_equal(names["y"], f(1.0))
    assert names["args"][2].shape == (0, 2)


def test_reproducer_of_a_numpy_function_and_of_a_random_program() -> None:
    names: dict[str, Any] = {}
    exec(reproducer(np.tanh, (0.5,), "y = f(*args)"), names)
    assert names["y"] == np.tanh(0.5)
    program = random_program(np.random.default_rng(3))
    args = program.example(1)
    exec(reproducer(program, args, "y = f(*args)"), names)
    np.testing.assert_array_equal(names["y"], program(*args))


def test_reproducer_of_a_function_without_text_says_so() -> None:
    f = eval("lambda x: x")
    assert "whose text is not to be found" in reproducer(f, (1.0,), "f")


def test_code_of_gives_an_equal_value() -> None:
    x = {"a": [np.array([1.0, np.nan, -np.inf]), (3,)], "b": np.float32(0.1), "c": -0.0, "d": "text", "e": 1j}
    again = eval(code_of(x), {"np": np})
    np.testing.assert_array_equal(again["a"][0], x["a"][0])
    assert again["b"] == x["b"]
    assert type(again["b"]) is np.float32
    assert np.signbit(again["c"])
    assert again["a"][1] == (3,)
    assert again["d"] == "text"


def test_derivative_laws_has_a_name_of_its_own() -> None:
    assert derivative_laws(np.sin, arrays(())).__name__ == "test_derivative_laws_of_sin"


SCRIPT = """
import numpy as np
import funcgrad as fg
from functools import partial
from funcgrad.testing import derivative_laws
from funcgrad.testing.strategies import arrays
import hypothesis

WIDTH = np.array([0.5, 2.0])

@fg.custom_vjp
def smooth_abs(x):
    return np.sqrt(x**2 + WIDTH**2)

def forward(x):
    y = smooth_abs(x)
    return y, (x, y)

def backward(residuals, ct):
    x, y = residuals
    return (2 * ct * x / y,)

smooth_abs.defvjp(forward, backward)

@fg.custom_jvp
def cube(x):
    return x**3

@cube.defjvp
def cube_jvp(primals, tangents):
    return cube(*primals), tangents[0] * primals[0] ** 2

def scaled(scale, x):
    return scale * cube(x)

CASES = {
    "custom_vjp": smooth_abs,
    "custom_jvp": cube,
    "vmap": fg.vmap(lambda row: cube(row) * 2, in_axes=-1),
    "jit": fg.jit(lambda x: smooth_abs(x) + cube(x)),
    "partial": partial(scaled, 2.0),
}
settings = hypothesis.settings(max_examples=2, deadline=None, database=None, phases=[hypothesis.Phase.generate])
import sys
from pathlib import Path
try:
    derivative_laws(CASES[sys.argv[1]], arrays((2,), domain="positive"), settings=settings)()
except AssertionError as error:
    print(error.__notes__[0].partition(chr(10) * 2)[2])
"""


@pytest.mark.parametrize("name", ["custom_vjp", "custom_jvp", "vmap", "jit", "partial"])
def test_reproducer_of_a_script_carries_rules_and_transformations(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    program = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True, check=True).stdout
    assert "as this session has it" not in program
    assert "DerivativeError" in run_program(program)


def test_reproducer_of_a_transformed_function_is_that_function() -> None:
    offset = np.array([1.0, 2.0])
    f = fg.grad(lambda x, y: np.sum(x * offset * y), argnums=1)
    names: dict[str, Any] = {}
    args = (np.ones(2), np.ones(2))
    exec(reproducer(f, args, "y = f(*args)"), names)
    np.testing.assert_array_equal(names["y"], f(*args))


@pytest.mark.parametrize(("profile", "expected"), [({}, 25), ({"max_examples": 7}, 7)])
def test_derivative_laws_takes_the_number_of_examples_from_hypothesis_profile(profile: Any, expected: int) -> None:
    before = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile("derivatives", hypothesis.settings(**profile))
    hypothesis.settings.load_profile("derivatives")
    try:
        test: Any = derivative_laws(np.sin, arrays(()))
    finally:
        hypothesis.settings.load_profile(before)
    found = test._hypothesis_internal_use_settings
    assert found.max_examples == expected
    assert found.deadline is None
