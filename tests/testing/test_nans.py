"""Where NaN comes from: `why_nan` on seeded bugs, and `debug_nans` there and then."""

from __future__ import annotations

import inspect
import re
import textwrap
import threading
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.testing import NanError, debug_nans, why_nan
from tests.testing.seeded_nans import BUGS, Bug, root_at_zero, softmax_overflow


def quiet(f: Any, *args: Any) -> Any:
    with np.errstate(all="ignore"):
        return f(*args)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.function.__name__)
def test_seeded_bug_derivative_is_right_or_the_culprit_is_named(bug: Bug) -> None:
    gradient = quiet(fg.grad(bug.function), *bug.args)
    report = why_nan(fg.grad(bug.function))(*bug.args)
    if all(np.isfinite(x).all() for x in fg.tree.leaves(gradient)):
        assert not report
        if bug.derivative is not None:
            np.testing.assert_allclose(gradient, bug.derivative, atol=1e-12)
        return
    assert bug.derivative is None
    assert report
    assert report.kind == "nan"
    assert "# culprit" in report.source.text
    assert report.source.file == __file__.replace("test_nans", "seeded_nans")


def test_seeded_bugs_are_at_least_twenty_and_most_are_nan() -> None:
    bad = [bug for bug in BUGS if why_nan(fg.grad(bug.function))(*bug.args)]
    assert len(BUGS) >= 20
    assert len(bad) >= 12
    # Of every one of them a rewrite is found that gives finite numbers, but where two lines had to be rewritten.
    without = {bug.function.__name__ for bug in bad if why_nan(fg.grad(bug.function))(*bug.args).suggestion is None}
    assert without == {"softmax_of_a_masked_row"}


def rewritten(bug: Bug, text: str, replaced: str) -> Any:
    """The function with the suggestion in its text."""
    text, _, said = text.partition(" with ")
    if said:
        name, _, value = said.partition(" = ")
        text = re.sub(rf"\b{name}\b", f"({value})", text)
    source = textwrap.dedent(inspect.getsource(bug.function))
    assert source.count(replaced) >= 1, (replaced, source)
    names = dict(bug.function.__globals__)
    exec(source.replace(replaced, f"({text})"), names)
    return names[bug.function.__name__]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.function.__name__)
def test_suggestion_written_into_the_line_gives_what_the_report_says(bug: Bug) -> None:
    found = why_nan(fg.grad(bug.function))(*bug.args).suggestion
    if found is None:
        return
    gradient = fg.grad(rewritten(bug, found.text, found.replaced))
    for a, b in zip(fg.tree.leaves(quiet(gradient, *bug.args)), found.results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


SUGGESTIONS = [
    (lambda x: np.sqrt(np.sum(x**2)), np.zeros(2), "np.linalg.norm(x)"),
    (lambda x: np.sum(np.sqrt(np.sum(x * x, axis=1))), np.zeros((2, 2)), "np.linalg.norm(x, axis=1)"),
    (lambda x: np.sqrt(x[0] ** 2 + x[1] ** 2), np.zeros(2), "np.hypot(x[0], x[1])"),
    (lambda x: np.log(np.sum(np.exp(x))), np.array([0.0, 1e4]), "np.logaddexp.reduce(x, axis=0)"),
    (lambda x: np.log(np.exp(x[0]) + np.exp(x[1])), np.array([0.0, 1e4]), "np.logaddexp(x[0], x[1])"),
    (lambda x: np.sum(np.log(1 + np.exp(x))), np.array([1e4]), "np.logaddexp(0, x)"),
    (lambda x: np.sum(np.sin(x) / x), np.zeros(2), "np.sinc(x / np.pi)"),
    (lambda x: np.sum(np.log(np.exp(x) / np.sum(np.exp(x)))), np.array([0.0, 1e4]), "np.logaddexp.reduce(x, axis=0, k"),
    (lambda x: np.sum(np.arcsin(x)) * 0, np.array([1.0]), "np.arcsin(np.clip(x, -1 + 1e-12, 1 - 1e-12))"),
    (lambda x: np.sum(np.log1p(x) * 0), np.array([-1.0, 2.0]), "np.log1p(np.clip(x, -1 + 1e-12, None))"),
    (lambda x: np.sum(x * np.log(x)), np.array([0.0, 2.0]), "np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0)"),
    (lambda x: np.sum(np.cbrt(x) * 0), np.array([0.0, 2.0]), "np.where(x > 0, np.cbrt(np.where(x > 0, x, 1)), 0)"),
    (lambda x: np.sum(np.exp(x) * np.zeros(2)), np.array([0.0, 1e4]), "np.exp(np.minimum(x, 700))"),
    (lambda x: np.sum(np.reciprocal(1 + np.exp(-x))), np.array([-1e4]), "0.5 * (1 + np.tanh(x / 2))"),
    (lambda x: np.sum(1 / (1 + np.exp(x))), np.array([1e4]), "0.5 * (1 - np.tanh(x / 2))"),
]


@pytest.mark.parametrize(("f", "x", "text"), SUGGESTIONS, ids=[text for *_, text in SUGGESTIONS])
def test_suggestion_each_pattern_is_found_and_has_been_run(f: Any, x: Any, text: str) -> None:
    report = why_nan(fg.grad(f))(x)
    assert text in report.suggestion.text
    assert all(np.isfinite(y).all() for y in report.suggestion.results)
    before = quiet(fg.grad(f), x)
    finite = np.isfinite(before)
    np.testing.assert_allclose(report.suggestion.results[0][finite], before[finite], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_suggestion_for_a_singular_matrix_keeps_values_and_signs_of_all_others(dtype: Any) -> None:
    matrices = np.stack([np.diag([1e-12, -1.0]), np.ones((2, 2)), 3 * np.eye(2)]).astype(dtype)

    def f(a: Any) -> Any:
        sign, logarithm = np.linalg.slogdet(a)
        return np.sum(np.real(sign) * np.exp(logarithm))

    found = why_nan(f)(matrices).suggestion
    text, _, said = found.text.partition(" with ")
    names = {"np": np, "a": matrices, "d": eval(said.partition(" = ")[2], {"np": np, "a": matrices})}
    for y, expected in zip(eval(text, names), np.linalg.slogdet(matrices), strict=True):
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(found.results[0][2], 3 * np.eye(2), rtol=1e-5)
    np.testing.assert_array_equal(found.results[0][1], np.zeros((2, 2)))


def test_suggestion_written_into_the_function_gives_what_the_report_says() -> None:
    report = why_nan(fg.grad(root_at_zero))(np.zeros(2))
    rewritten = eval(f"lambda x: {report.suggestion.text}", {"np": np})
    np.testing.assert_array_equal(fg.grad(rewritten)(np.zeros(2)), report.suggestion.results[0])


def test_suggestion_nothing_helps_says_so() -> None:
    report = why_nan(lambda x: np.fmod(x, 0.0))(1.0)
    assert report.suggestion is None
    assert "none of the usual rewrites helps" in str(report)


def test_why_nan_of_a_function_looks_at_its_derivative_when_the_value_is_finite() -> None:
    report = why_nan(root_at_zero)(np.zeros(2))
    assert report.mode == "reverse"
    assert report.path == "the derivative of root_at_zero in x"
    assert report.became[1] == "multiply"


def test_why_nan_of_a_value_names_the_operation_itself() -> None:
    report = why_nan(lambda x: {"loss": np.log(x - 1)})(0.5)
    assert (report.primitive, report.mode, report.kind) == ("log", "", "nan")
    assert report.path == "the result['loss'] of <lambda>"
    assert report.operands == (("x - 1", -0.5),)


def test_why_nan_infinite_result_is_traced_to_its_operation() -> None:
    report = why_nan(lambda x: 2.0 / x)(0.0)
    assert (report.primitive, report.kind) == ("divide", "inf")


def test_why_nan_argument_that_is_nan_is_named() -> None:
    report = why_nan(lambda params: np.sum(params["w"] ** 2))({"w": np.array([1.0, np.nan])})
    assert report.argument == "params['w']"
    assert "because params['w'] is not finite itself" in str(report)


def test_why_nan_infinity_among_the_arguments_the_line_where_it_becomes_nan_is_named() -> None:
    def f(x):
        y = x * 2
        return np.sum(y - y)

    report = why_nan(f)(np.array([np.inf, 1.0]))
    assert report.source.text == "return np.sum(y - y)"
    assert report.primitive == "subtract"


def test_why_nan_constant_that_is_nan_is_told() -> None:
    report = why_nan(lambda x: x + np.array([np.nan, 1.0]))(1.0)
    assert report.argument == "a constant in it"


def test_why_nan_finite_function_is_false() -> None:
    report = why_nan(np.sin)(1.0)
    assert not report
    assert str(report) == "sin and its derivative are finite at these arguments."


def test_why_nan_dropped_by_where_does_not_count() -> None:
    def f(x):
        dropped = np.where(x > 0, np.log(x), 0.0)
        kept = np.sqrt(x)
        return np.sum(dropped + kept)

    report = why_nan(fg.grad(f))(np.array([0.0, 1.0]))
    assert report.source.text == "kept = np.sqrt(x)"


def test_why_nan_of_two_births_the_one_that_matters_is_named() -> None:
    def f(x):
        first = np.log(x)  # minus infinity, and dropped
        second = np.where(np.array([False, True]), first, 0.0) + x / x
        return np.sum(second)

    report = why_nan(f)(np.array([0.0, 1.0]))
    assert report.primitive == "divide"


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: fg.jit(fg.grad(f)),
        fg.hessian,
        fg.jacfwd,
        lambda f: fg.vmap(fg.grad(f)),
        lambda f: lambda x: fg.grad(lambda u: np.sum(fg.grad(f)(u)))(x),
    ],
    ids=["jit-grad", "hessian", "jacfwd", "vmap-grad", "grad-grad"],
)
def test_why_nan_of_nested_transformations_names_the_line(transform: Any) -> None:
    def f(x):
        s = np.sum(x**2)
        return np.sqrt(s)  # culprit

    vmapped = "vmap" in repr(transform(f))
    report = why_nan(transform(f))(np.zeros((1, 2)) if vmapped else np.zeros(2))
    assert "# culprit" in report.source.text
    assert report.suggestion is not None


def test_why_nan_report_in_words() -> None:
    text = str(why_nan(fg.grad(softmax_overflow))(np.array([0.0, 1000.0])))
    assert text.startswith("the result of grad(softmax_overflow) is nan: `exp` gives it.\n")
    assert "operand   x = [   0., 1000.]" in text
    assert "it became nan in `divide`" in text
    assert "np.exp(x - np.max(x, axis=0, keepdims=True))" in text


# debug_nans


def culprit(f: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(NanError) as caught, debug_nans(**options):
        f(*args)
    return str(caught.value)


def logarithm(x):
    y = x - 1
    return np.sum(np.log(y))  # here


def test_debug_nans_forward_operation_raises_at_its_line() -> None:
    text = culprit(fg.grad(logarithm), np.array([0.5, 2.0]))
    assert text.startswith("`log` gives nan.")
    assert "return np.sum(np.log(y))  # here" in text
    assert "[-0.5,  1. ]" in text
    assert isinstance(NanError("x"), FloatingPointError)


def test_debug_nans_eager_and_compiled_report_the_same_line() -> None:
    bad, good = np.array([0.5, 2.0]), np.array([1.5, 2.0])
    jitted = fg.jit(fg.grad(logarithm))
    eager = culprit(fg.grad(logarithm), bad)
    first = culprit(fg.jit(fg.grad(logarithm)), bad)
    for _ in range(4):  # recorded, compiled, and run
        jitted(good)
    compiled = culprit(jitted, bad)
    assert eager == first == compiled
    with debug_nans():
        np.testing.assert_allclose(jitted(good), 1 / (good - 1))


def test_debug_nans_derivative_rule_raises_with_the_forward_line() -> None:
    def f(x):
        y = x * 1.0
        return np.sum(y**0.5)  # here

    for transformed in (fg.grad(f), fg.jit(fg.grad(f))):
        text = culprit(transformed, np.zeros(2), infs=True)
        assert "# here" in text
        assert "inf" in text


def test_debug_nans_forward_mode_rule_raises() -> None:
    text = culprit(lambda: fg.jvp(lambda x: np.sqrt(x) * 1.0, (0.0,), (0.0,)))
    assert "the derivative of `sqrt` in forward mode gives nan" in text


def test_debug_nans_nested_transformations_raise() -> None:
    assert "gives nan" in culprit(fg.hessian(root_at_zero), np.zeros(2))
    assert "`log` gives nan" in culprit(fg.vmap(fg.grad(logarithm)), np.full((3, 2), 0.5))


def test_debug_nans_nan_among_the_arguments_passes() -> None:
    with debug_nans():
        assert np.isnan(fg.grad(lambda x: x * x)(np.nan))


def test_debug_nans_finite_function_is_what_it_is_and_everything_is_restored() -> None:
    x = np.array([1.0, 2.0])
    expected = fg.hessian(lambda u: np.sum(np.sin(u) * u))(x)
    with debug_nans(infs=True):
        np.testing.assert_array_equal(fg.hessian(lambda u: np.sum(np.sin(u) * u))(x), expected)
        with debug_nans():
            pass
        culprit(fg.grad(logarithm), np.array([0.5]))
    assert not np.isfinite(quiet(fg.grad(root_at_zero), np.zeros(2))).all()


def test_debug_nans_other_threads_are_not_concerned() -> None:
    results = []
    with debug_nans():
        thread = threading.Thread(target=lambda: results.append(quiet(fg.grad(root_at_zero), np.zeros(2))))
        thread.start()
        thread.join()
    assert np.isnan(results[0]).all()


# Inside of loops and branches


def scanned(x):
    def body(carry, u):
        r = np.log(u - 1)  # culprit
        return carry + r, carry

    return fg.scan(body, x * 0.0, np.array([2.0, 0.5]) * x)[0]


def repeated(x):
    def step(i, c):
        return np.sqrt(c) * 1.0  # culprit

    return fg.fori_loop(0, 2, step, x)


def chosen(x):
    def root(u):
        return np.sqrt(u) * 0.0  # culprit

    return fg.cond(x > -1, root, lambda u: u, x)


@pytest.mark.parametrize(
    ("f", "x", "inside", "primitive"),
    [
        (scanned, 1.0, "scan", "log"),
        (fg.grad(repeated), 0.0, "scan", "sqrt"),
        (fg.grad(chosen), 0.0, "cond", "sqrt"),
    ],
    ids=["scan", "fori_loop", "cond"],
)
def test_why_nan_inside_of_a_loop_or_a_branch_names_the_line_of_its_body(
    f: Any, x: float, inside: str, primitive: str
) -> None:
    report = why_nan(f)(x)
    assert "# culprit" in report.source.text
    assert (report.inside, report.primitive) == (inside, primitive)
    assert f"in `{inside}`" in str(report)


def test_debug_nans_inside_of_a_loop_names_the_line_of_its_body() -> None:
    for f in (fg.grad(scanned), fg.jit(fg.grad(scanned))):
        assert "r = np.log(u - 1)  # culprit" in culprit(f, 1.0)


def edge(u):
    return np.log(u - 1) * 2.0  # culprit


def by_tangents(f: Any) -> Any:
    g = fg.custom_jvp(f)
    g.defjvp(lambda xs, dots: fg.jvp(f, xs, dots))
    return g


def by_cotangents(f: Any) -> Any:
    g = fg.custom_vjp(f)
    g.defvjp(lambda x: fg.vjp(f, x), lambda pull, ct: pull(ct))
    return g


CONSTRUCTS = {
    "plain": lambda f: f,
    "scan": lambda f: lambda x: fg.scan(lambda c, _: (c + f(x), None), 0.0 * x, None, 2)[0],
    "while": lambda f: lambda x: fg.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, s[1] + f(x)), (0, 0.0 * x))[1],
    "cond": lambda f: lambda x: fg.cond(np.sum(x) > -9, f, lambda x: x, x),
    "custom_jvp": by_tangents,
    "custom_vjp": by_cotangents,
    "jit": fg.jit,
    "vmap": fg.vmap,
    "checkpoint": fg.checkpoint,
    "vmap-scan": lambda f: fg.vmap(lambda x: fg.scan(lambda c, _: (c + f(x), None), 0.0 * x, None, 2)[0]),
}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_every_construct_names_the_line_eager_and_compiled(name: str) -> None:
    f = lambda x: np.sum(CONSTRUCTS[name](edge)(x))
    bad, good = np.array([0.5, 3.0]), np.array([2.5, 3.0])
    assert "# culprit" in why_nan(f)(bad).source.text
    compiled = [fg.jit(f), fg.jit(fg.grad(f))]
    for g in compiled * 3:
        g(good)
    for g in (fg.grad(f), fg.jit(f), *compiled):
        assert "# culprit" in culprit(g, bad)


def test_debug_nans_foreign_function_is_named_where_it_is_called() -> None:
    f = lambda x: np.sum(fg.opaque(edge, derivative="differences")(x))  # here
    assert "# here" in culprit(fg.grad(f), np.array([0.5, 3.0]))
    assert "# here" in why_nan(f)(np.array([0.5, 3.0])).source.text
