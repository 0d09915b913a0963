"""`check_grads`: right derivatives pass, wrong ones are found and located, kinks are no errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError
from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import elementwise, linear
from funcgrad.testing import DerivativeError, check_grads
from funcgrad.testing.differences import complex_step, differences, reference


def broken(*derivatives: Any) -> Any:
    """A sine with other derivatives."""
    primitive = elementwise("broken_sine", np.sin, *derivatives)
    return lambda x: bind(primitive, x)


def failure(f: Any, *args: Any, **options: Any) -> Any:
    with pytest.raises(DerivativeError) as caught:
        check_grads(f, args, **options)
    assert isinstance(caught.value, AssertionError)
    return caught.value.report


RIGHT = {
    "tanh": (np.tanh, np.array([0.5, -1.0])),
    "python-number": (lambda x: x**3, 2.0),
    "python-int": (lambda x: x**2, 3),
    "empty": (lambda x: np.sin(x), np.zeros((0, 3))),
    "tree": (lambda p: {"a": np.sum(p["w"] ** 2), "b": (p["b"] * 2, "name")}, {"w": np.ones((2, 2)), "b": 1.0}),
    "complex": (lambda z: np.abs(z) ** 2 + np.real(z), np.array([1 + 2j, -0.5j])),
    "cholesky": (lambda x: np.linalg.cholesky(x @ x.T + np.eye(2)), np.array([[1.0, 0.2], [0.3, 1.0]])),
    "integers": (lambda x: (x * 2.0, np.argmax(x)), np.array([1.0, 3.0])),
    "small": (np.log, 1e-8),
    "large": (np.sqrt, 1e12),
    "pole-nearby": (lambda x: 1 / x, 1e-6),
    "oscillating": (lambda x: np.sin(1000 * x), 0.3),
    "byte-swapped": (np.sin, np.array([0.5, 1.0], ">f8")),
    "read-only": (np.sin, np.broadcast_to(np.array(0.5), (2, 2))),
    "branch": (lambda x: x**2 if x > 1 else np.sin(x), 0.3),
    "domain-edge-close": (lambda x: np.sqrt(x), 1e-10),
    "raises-outside": (lambda x: np.linalg.cholesky(x), np.array([[1e-3]])),
}


@pytest.mark.parametrize("name", RIGHT)
def test_check_grads_right_derivative_passes_to_order_two(name: str) -> None:
    f, x = RIGHT[name]
    report = check_grads(f, (x,))
    assert report.passed
    assert not report.failures
    assert not report.undecided
    assert "right" in repr(report)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float16, np.longdouble])
def test_check_grads_other_precisions_have_their_own_tolerances(dtype: Any) -> None:
    assert check_grads(lambda x: x * x * x, (np.array([0.5, 1.5], dtype),)).passed


def test_check_grads_third_order_nests_all_modes() -> None:
    report = check_grads(lambda x: np.sin(x) * x, (0.5,), order=3)
    assert len(report.comparisons) == 2 + 4 + 8
    assert {c.order for c in report.comparisons} == {1, 2, 3}
    assert "vjp of jvp of" in "".join(c.function for c in report.comparisons)


def test_check_grads_step_goes_through_complex_numbers_where_it_can() -> None:
    assert check_grads(np.exp, (0.5,), order=1).comparisons[0].method == "complex step"
    assert check_grads(np.abs, (0.5,), order=1).comparisons[0].method == "central differences"
    # np.maximum of complex numbers is a complex number, but no analytic function.
    assert check_grads(lambda x: np.real(x + 0j) * x, (0.5,), order=1).passed


WRONG = {
    "forgotten": (lambda t, y, x: t * 0.0, "forgotten"),
    "sign": (lambda t, y, x: -t * np.cos(x), "a sign"),
    "doubled": (lambda t, y, x: 2 * t * np.cos(x), "2 were too much"),
    "halved": (lambda t, y, x: t * np.cos(x) / 2, "2 were missing"),
    "sign-doubled": (lambda t, y, x: -2 * t * np.cos(x), "a sign and a factor 2"),
    "slightly": (lambda t, y, x: t * np.cos(x) * (1 + 1e-6), ""),
    "nan": (lambda t, y, x: t * np.nan, ""),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")], ids="-".join)
def test_check_grads_wrong_rule_is_found_in_each_mode(name: str, modes: Any) -> None:
    rule, guess = WRONG[name]
    report = failure(broken(rule), np.array([0.5, 1.0]), modes=modes)
    assert report.worst.order == 1
    assert report.worst.mode == modes[0]
    assert guess in report.worst.guess()


def test_check_grads_wrong_second_order_is_found_at_second_order() -> None:
    frozen = broken(lambda t, y, x: t * fg.stop_gradient(np.cos(x)))
    report = failure(frozen, 0.5)
    assert report.worst.order == 2
    assert report.worst.function in ("jvp of <lambda>", "vjp of <lambda>")


def test_check_grads_wrong_transpose_is_located_in_the_arguments() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    wrong = linear(
        "wrong_product",
        implementation=lambda x: matrix @ x,
        abstract=lambda x: x,
        transpose=lambda ct, x: matrix.T @ ct + np.array([0.0, 0.0, 1.0]),
        batch=lambda *args: None,
    )
    report = failure(lambda params: np.sin(bind(wrong, params["x"])), {"x": np.zeros(3), "y": 1.0})
    assert report.worst.mode == "rev"
    assert report.worst.place == "params['x'][2]"
    assert "jvp and the adjoint identity" in str(report)


def test_check_grads_failure_names_leaf_element_and_both_values() -> None:
    wrong = broken(lambda t, y, x: t * np.cos(x) * np.array([1.0, 1.0, 2.0]))

    def f(x):
        return {"first": x * 2, "second": wrong(x)}

    report = failure(f, np.array([0.1, 0.2, 0.3]), order=1)
    assert report.worst.place == "result['second'][2]"
    assert report.worst.actual == pytest.approx(2 * report.worst.expected)
    text = str(report)
    assert text.startswith("f has a wrong derivative: 1 of 3 comparisons fail.")
    assert "order 1 in forward mode, result['second'][2]: WRONG" in text
    assert "looks as  if a factor 2 were too much" in text
    assert "is allowed" in text
    assert f"{__file__}:" in text.splitlines()[-1]
    assert report.worst.estimate < 1e-8
    assert f"+- {report.worst.estimate:.1g}, by" in text


KINKS = {
    "relu": (lambda x: np.where(x > 0, x, 0.0), 0.0, (1.0, 0.0)),
    "maximum": (lambda x: np.maximum(x, 0) * 2, 0.0, None),
    "abs": (np.abs, 0.0, None),
    "shifted-abs": (lambda x: np.abs(x) + x, 0.0, None),
    "clip": (lambda x: np.clip(x, 0, 1), 1.0, None),
    "norm": (lambda x: np.linalg.norm(x), np.zeros(2), None),
}


@pytest.mark.parametrize("name", KINKS)
@pytest.mark.parametrize("modes", ["fwd", "rev"])
def test_check_grads_at_a_kink_is_no_error(name: str, modes: Any) -> None:
    f, x, sides = KINKS[name]
    report = check_grads(f, (x,), order=1, modes=modes)
    assert report.passed
    if sides is not None and modes == "fwd":
        assert report.kinks[0].sides == sides
        assert "at a kink" in str(report)


JUMPS = {
    "where": (lambda x: np.where(x > 0, x + 1.0, x), 0.0, (1.0, 0.0)),
    "branch": (lambda x: x * 2 if x > 0 else x - 1, 0.0, (0.0, -1.0)),
    "floor": (lambda x: np.floor(x) * x, 2.0, (4.0, 2.0)),
    "heaviside": (lambda x: np.heaviside(x, 0.5), 0.0, (1.0, 0.0)),
    "one-of-several": (lambda x: np.where(x > 0, 1.0, x * x), np.array([0.0, 1.0]), (1.0, 0.0)),
}


@pytest.mark.parametrize("name", JUMPS)
@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")], ids="-".join)
def test_check_grads_at_a_jump_says_so_and_nothing_else(name: str, modes: Any) -> None:
    f, x, values = JUMPS[name]
    report = check_grads(f, (x,), order=1, modes=modes)
    assert report.passed
    assert not report.undecided
    assert not report.kinks
    if modes != ("rev",):
        (jump,) = report.jumps
        assert jump.sides == pytest.approx(values, abs=1e-8)
        head, *told = str(report).splitlines()
        assert head.endswith("1 at a jump.")
        assert "right (" not in head
        assert "at a jump, where there is no derivative" in told[0]
        assert any(line.startswith("  values ") for line in told)


def test_check_grads_kink_of_one_element_hides_no_wrong_element() -> None:
    wrong = broken(lambda t, y, x: t * np.cos(x) * np.array([1.0, 1.0 + 1e-6]))
    report = failure(lambda x: np.where(x > 0, x, 0.0) + wrong(x), np.array([0.0, 1.0]), order=1)
    assert report.worst.place == "result[1]"
    assert report.worst.verdict == "wrong"


def test_check_grads_several_elements_at_a_kink_are_counted() -> None:
    report = check_grads(lambda x: np.where(x > 0, x, 0.0), (np.array([0.0, 1.0, 0.0]),), order=1)
    (kink,) = report.kinks
    assert kink.count == 2
    assert "(and 1 elements more)" not in str(kink)
    assert "(and 1 more)" in str(kink)


def test_check_grads_jump_on_one_side_of_a_domain_is_told() -> None:
    f = lambda x: np.where(x > 1, x + 5, x)
    assert check_grads(f, (1.0,), order=1, domain=(0.0, 1.0)).jumps == []


def test_check_grads_rule_outside_of_both_sides_of_a_kink_is_wrong() -> None:
    primitive = elementwise("broken_abs", np.absolute, lambda t, y, x: t * 3.0)
    report = failure(lambda x: bind(primitive, x), 0.0, order=1)
    assert report.worst.sides == (1.0, -1.0)


def test_check_grads_infinite_derivative_is_undecided_not_wrong() -> None:
    report = check_grads(np.sqrt, (0.0,), order=1)
    assert report.undecided
    assert "undecided" in str(report)


def test_check_grads_steps_stay_in_the_domain() -> None:
    asked: list[float] = []

    def f(x):
        asked.append(float(np.real(fg.stop_gradient(x))))
        return np.where(x <= 1, x**2, 1e6)

    assert check_grads(f, (1.0,), order=1, domain=(0.0, 1.0)).passed
    assert max(asked) <= 1.0
    assert check_grads(f, (1.0,), order=1, domain=lambda x: x <= 1).passed
    assert not check_grads(f, (0.5,), order=1, domain=(0.0, 1.0)).kinks


def test_check_grads_keyword_arguments_are_differentiated_too() -> None:
    report = check_grads(lambda x, *, scale: x * scale, (2.0,), kwargs={"scale": 3.0})
    assert report.passed
    wrong = broken(lambda t, y, x: t)
    report = failure(lambda x, *, scale: x + wrong(scale), 2.0, kwargs={"scale": 3.0}, modes="rev")
    assert report.worst.path == "scale"


def test_check_grads_rtol_replaces_the_table() -> None:
    slightly = broken(lambda t, y, x: t * np.cos(x) * (1 + 1e-6))
    assert check_grads(slightly, (0.5,), order=1, rtol=1e-4).passed


def test_check_grads_nan_value_is_refused() -> None:
    with pytest.raises(ArgumentError, match="gives NaN at these arguments"):
        check_grads(np.log, (-1.0,))


def test_check_grads_bad_options_are_refused() -> None:
    for options in ({"modes": "sideways"}, {"modes": ()}, {"order": 0}):
        with pytest.raises(ArgumentError, match="check_grads got modes="):
            check_grads(np.sin, (1.0,), **options)
    with pytest.raises(DifferentiationError, match="can be differentiated"):
        check_grads(lambda name: name, ("a",))
    with pytest.raises(DifferentiationError, match="no number or array"):
        check_grads(lambda x: {"x": x, "bad": object()}, (1.0,))
    with pytest.raises(ArgumentError, match="outside of the domain"):
        check_grads(np.sin, (2.0,), domain=(0.0, 1.0))


def test_report_is_data() -> None:
    report = failure(broken(lambda t, y, x: t), 0.5)
    again = pickle.loads(pickle.dumps(DerivativeError(report))).report
    assert str(again) == str(report)
    assert report.worst.ratio > 1


def test_check_grads_works_without_hypothesis_and_pytest() -> None:
    code = """
import sys
sys.modules["hypothesis"] = sys.modules["pytest"] = None
import numpy as np
from funcgrad.testing import check_grads, check_laws, kinks, why_nan
print(check_grads(np.tanh, (1.0,)).passed, len(kinks(np.abs)(0.0)), bool(why_nan(np.sqrt)(0.0)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "1", "True"]


# The references themselves


def test_differences_error_estimate_bounds_the_error() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 30.0):
        x, t = rng.uniform(-1, 1, 20), rng.uniform(-1, 1, 20)
        found = differences(lambda u, scale=scale: [np.sin(scale * u) * np.exp(u)], [x], [t])
        exact = t * np.exp(x) * (scale * np.cos(scale * x) + np.sin(scale * x))
        error = np.abs(found.values[0] - exact)
        assert np.all(error <= 10 * found.errors[0])
        assert np.max(error) < 1e-8 * max(1.0, scale)


def test_differences_on_one_side_see_only_that_side() -> None:
    for side, expected in ((1, 1.0), (-1, -1.0)):
        found = differences(lambda x: [np.abs(x)], [0.0], [1.0], side=side)
        assert found.values[0] == pytest.approx(expected)


def test_reference_at_the_edge_of_the_domain_takes_the_side_that_is_there() -> None:
    found = reference(lambda x: [np.where(x >= 0, np.exp(x), np.nan)], [0.0], [1.0])
    assert found.method == "differences on one side"
    assert found.values[0] == pytest.approx(1.0, abs=1e-7)


def test_complex_step_is_exact_and_absent_where_it_cannot_be() -> None:
    found = complex_step(lambda x: [np.exp(x)], [np.array(0.5)], [np.array(1.0)])
    assert found is not None
    assert found.values[0] == pytest.approx(np.exp(0.5), rel=1e-15)
    assert complex_step(lambda x: [np.abs(x)], [np.array(0.5)], [np.array(1.0)]) is None
    assert complex_step(lambda x: [x], [np.array(0.5j)], [np.array(1.0)]) is None
