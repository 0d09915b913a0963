"""Functions with a derivative rule of their own: either rule in both modes, in every place of every transformation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from funcgrad.core.errors import ArgumentError, DifferentiationError, TreeMismatchError

X, Y = 0.7, 1.3


def by_jvp() -> Any:
    @fg.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return np.sin(x) * y

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (x_dot, y_dot) = primals, tangents
        return f(x, y), 3 * np.cos(x) * x_dot * y + np.sin(x) * y_dot  # 3 times: so that one sees the rule at work

    return f


def by_vjp() -> Any:
    @fg.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return np.sin(x) * y

    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, ct: (3 * np.cos(r[0]) * ct * r[1], np.sin(r[0]) * ct))
    return f


def by_partials() -> Any:
    return fg.custom_elementwise(
        lambda x, y: np.sin(x) * y, lambda z, x, y: 3 * np.cos(x) * y, lambda z, x, y: np.sin(x)
    )


RULES = [by_jvp, by_vjp, by_partials]
AROUND: dict[str, Callable[[Any], Any]] = {
    "plain": lambda f: f,
    "jit": fg.jit,
    "vmap": lambda f: lambda x, y: fg.vmap(f)(np.stack([x, x]), np.stack([y, y]))[1],
    "jit_vmap": lambda f: lambda x, y: fg.jit(fg.vmap(f))(np.stack([x, x]), np.stack([y, y]))[1],
    "vmap_jit": lambda f: lambda x, y: fg.vmap(fg.jit(f), (0, None))(np.stack([x, x]), y)[1],
    "checkpoint": fg.checkpoint,
    "scan": lambda f: lambda x, y: fg.scan(lambda c, _: (f(x, y), None), 0.0 * x, None, 2)[0],
    "cond": lambda f: lambda x, y: fg.cond(x > 0, f, lambda x, y: x, x, y),
}
DERIVATIVES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "grad": (fg.grad, 3 * np.cos(X) * Y),
    "jvp": (lambda f: lambda x, y: fg.jvp(f, (x, y), (1.0, 2.0))[1], 3 * np.cos(X) * Y + 2 * np.sin(X)),
    "vjp": (lambda f: lambda x, y: fg.vjp(f, x, y)[1](2.0)[1], 2 * np.sin(X)),
    "linearize": (lambda f: lambda x, y: fg.linearize(f, x, y)[1](1.0, 0.0), 3 * np.cos(X) * Y),
    "grad_grad": (lambda f: fg.grad(fg.grad(f)), -3 * np.sin(X) * Y),
    "jvp_of_grad": (lambda f: fg.jacfwd(fg.grad(f, 1)), np.cos(X)),
    "grad_of_jvp": (lambda f: fg.grad(fg.jacfwd(f)), -3 * np.sin(X) * Y),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_rule_serves_both_modes_inside_everything(rule: Any, around: str, derivative: str) -> None:
    transformation, expected = DERIVATIVES[derivative]
    if derivative == "jvp_of_grad" and rule is not by_jvp:
        expected = np.cos(X)
    for outer in (lambda g: g, fg.jit):
        np.testing.assert_allclose(outer(transformation(AROUND[around](rule())))(X, Y), expected, rtol=1e-13)
    rows = fg.vmap(transformation(AROUND[around](rule())))(np.array([X, X]), np.array([Y, Y]))
    np.testing.assert_allclose(rows, [expected] * 2, rtol=1e-13)


def test_rule_of_a_function_without_tracers_is_not_asked() -> None:
    @fg.custom_vjp
    def f(x: Any) -> Any:
        return 2 * x

    def never(*args: Any) -> Any:
        raise AssertionError

    f.defvjp(never, never)
    assert f(3.0) == 6.0


def test_closure_over_an_outer_traced_value_is_differentiated_there() -> None:
    def outer(w: Any) -> Any:
        @fg.custom_vjp
        def f(x: Any) -> Any:
            return w * x

        f.defvjp(lambda x: (w * x, None), lambda _, ct: (10 * w * ct,))
        return fg.grad(f)(2.0)

    assert fg.grad(outer)(3.0) == 10.0


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_batched_value_that_no_closure_shows_is_noticed_in_the_results(rule: str) -> None:
    def total(x: Any) -> Any:
        def row(w: Any) -> Any:
            box = [w]
            if rule == "jvp":
                f: Any = fg.custom_jvp(lambda z: z * box[0])
                f.defjvp(lambda primals, tangents: (primals[0] * box[0], 2 * tangents[0] * box[0]))
            else:
                f = fg.custom_vjp(lambda z: z * box[0])
                f.defvjp(lambda z: (z * box[0], None), lambda _, ct: (2 * ct * box[0],))
            return f(x)

        return np.sum(fg.vmap(row)(np.arange(4.0)))

    assert fg.grad(total)(1.0) == 12.0
    assert fg.jvp(total, (1.0,), (1.0,)) == (6.0, 12.0)


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_closure_over_a_batched_value_outlives_the_batch(rule: str) -> None:
    def total(x: Any) -> Any:
        def row(w: Any) -> Any:
            if rule == "jvp":
                f: Any = fg.custom_jvp(lambda z: z * w)
                f.defjvp(lambda primals, tangents: (primals[0] * w, 2 * tangents[0] * w))
            else:
                f = fg.custom_vjp(lambda z: z * w)
                f.defvjp(lambda z: (z * w, None), lambda _, ct: (2 * ct * w,))
            return f(x)

        return np.sum(fg.vmap(row)(np.arange(4.0)))

    assert fg.grad(total)(1.0) == 12.0
    assert fg.jvp(total, (1.0,), (1.0,)) == (6.0, 12.0)
    assert fg.jit(fg.grad(total))(1.0) == 12.0


def _doubling(x: Any, w: Any, rule: str, again: Callable[[Any], Any] = lambda f: f) -> Any:
    """w e^x, with twice its derivative."""
    f: Any = fg.custom_jvp(lambda z: w * np.exp(z)) if rule == "jvp" else fg.custom_vjp(lambda z: w * np.exp(z))
    if rule == "jvp":
        f.defjvp(lambda xs, x_dots: (again(f)(xs[0]), 2 * again(f)(xs[0]) * x_dots[0]))
    elif rule == "vjp":
        f.defvjp(lambda z: (again(f)(z), z), lambda z, ct: (2 * np.cos(0 * w) * again(f)(z) * ct,))
    else:
        f.defvjp(lambda z: (y := f(z) * np.cos(0 * w), y), lambda y, ct: (2 * y * ct,))
    return f(x)


@pytest.mark.parametrize("rule", ["jvp", "vjp", "vjp forward"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_rule_that_calls_its_function_which_captures_a_traced_value_has_all_derivatives(rule: str, order: int) -> None:
    def derivative(f: Any, order: int = order) -> Any:
        for _ in range(order):
            f = fg.grad(f)
        return f

    x, ws = np.float64(0.3), np.array([1.0, 2.0, -0.5])
    expected = 2.0**order * np.exp(x) * ws

    def f(x: Any, w: Any) -> Any:
        return _doubling(x, w, rule)

    def rows(x: Any) -> Any:
        return fg.vmap(f, (None, 0))(x, ws)

    def steps(x: Any) -> Any:
        return fg.scan(lambda total, w: (total + f(x, w), None), 0.0 * x, ws)[0]

    for _ in range(2):
        np.testing.assert_allclose(fg.jit(derivative(f))(x, 2.0), expected[1])
    np.testing.assert_allclose(fg.vmap(derivative(f), (None, 0))(x, ws), expected)
    np.testing.assert_allclose(derivative(fg.jit(f))(x, 2.0), expected[1])
    np.testing.assert_allclose(derivative(lambda x: np.sum(rows(x)))(x), np.sum(expected))
    np.testing.assert_allclose(derivative(steps)(x), np.sum(expected))
    np.testing.assert_allclose(fg.jit(derivative(steps))(x), np.sum(expected))


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_rule_that_calls_its_function_in_a_branch_has_one_derivative_and_says_so(rule: str) -> None:
    def again(f: Any) -> Any:
        return lambda z: fg.cond(True, f, f, z)

    def f(x: Any) -> Any:
        return np.sum(fg.vmap(lambda w: _doubling(x, w, rule, again))(np.array([1.0, 2.0])))

    np.testing.assert_allclose(fg.grad(f)(0.3), 6 * np.exp(0.3))
    with pytest.raises(DifferentiationError, match=r"is called in its own derivative rule"):
        fg.grad(fg.grad(f))(0.3)


def test_rule_that_calls_its_function_with_another_shape_or_parameter_is_recorded_for_each() -> None:
    def f(x: Any, w: Any) -> Any:
        power: Any = fg.custom_jvp(lambda n, z: w * z**n, nondiff_argnums=0)

        @power.defjvp
        def _(n: int, xs: Any, x_dots: Any) -> Any:
            return power(n, *xs), 10 * n * (power(n - 1, xs[0]) if n > 0 else 1.0) * x_dots[0]

        return power(2, x)

    np.testing.assert_allclose(fg.vmap(fg.grad(f), (None, 0))(3.0, np.ones(2)), 60.0)
    np.testing.assert_allclose(fg.vmap(fg.grad(fg.grad(f)), (None, 0))(3.0, np.ones(2)), 200.0)


@pytest.mark.parametrize(
    "around", [lambda f: f, fg.jit, lambda f: lambda w: fg.vmap(lambda a: f(w) + a)(np.ones(2))[0]]
)
def test_closure_over_the_differentiated_value_itself_raises(around: Any) -> None:
    def loss(w: Any) -> Any:
        f = fg.custom_vjp(lambda x: w * x)
        f.defvjp(lambda x: (w * x, None), lambda _, ct: (w * ct,))
        return f(2.0 * w)

    with pytest.raises(DifferentiationError, match=r"custom_vjp\(<lambda>\) has a derivative rule, and uses"):
        fg.grad(around(loss))(3.0)


def test_nondiff_argument_comes_first_to_the_rules() -> None:
    @fg.custom_jvp
    def unused(x: Any) -> Any:
        return x

    for names in ({"nondiff_argnums": (0,)}, {"nondiff_argnames": ("g",)}):
        f = fg.custom_jvp(lambda g, x: g(x), **names)
        f.defjvp(lambda g, primals, tangents: (g(*primals), 5.0 * tangents[0]))
        assert fg.grad(lambda x, f=f: f(np.sin, x))(1.0) == 5.0
        h = fg.custom_vjp(lambda g, x: g(x), **names)
        h.defvjp(lambda g, x: (g(x), None), lambda g, _, ct: (7.0 * ct,))
        assert fg.grad(lambda x, h=h: h(np.sin, x))(1.0) == 7.0
        assert fg.jit(fg.grad(lambda x, h=h: h(np.sin, x)))(1.0) == 7.0


def test_keyword_and_default_arguments_reach_the_rule_by_position() -> None:
    @fg.custom_vjp
    def f(x: Any, scale: Any = 2.0) -> Any:
        return x * scale

    f.defvjp(lambda x, scale: (x * scale, (x, scale)), lambda r, ct: (ct * r[1], ct * r[0]))
    assert fg.grad(f)(3.0) == 2.0
    assert fg.grad(lambda s: f(scale=s, x=3.0))(5.0) == 3.0


def test_trees_and_none_in_cotangents() -> None:
    @fg.custom_vjp
    def f(p: Any, n: Any) -> Any:
        return {"y": p["a"] * p["b"][0] * n}

    f.defvjp(lambda p, n: (f(p, n), (p, n)), lambda r, ct: ({"a": ct["y"] * r[0]["b"][0] * r[1], "b": [None]}, None))
    p = {"a": 2.0, "b": [3.0]}
    assert fg.grad(lambda p: f(p, 4)["y"])(p) == {"a": 12.0, "b": [0.0]}
    assert fg.jvp(lambda p: f(p, 4)["y"], (p,), ({"a": 1.0, "b": [1.0]},))[1] == 12.0


def test_symbolic_zeros_tell_what_is_not_differentiated() -> None:
    seen: list[Any] = []
    f = fg.custom_jvp(lambda x, y: x * y)

    def jvp(primals: Any, tangents: Any) -> Any:
        seen.append([isinstance(t, fg.SymbolicZero) for t in tangents])
        return primals[0] * primals[1], tangents[0] * primals[1]

    f.defjvp(jvp, symbolic_zeros=True)
    assert fg.grad(lambda x: f(x, 3.0))(2.0) == 3.0
    g = fg.custom_vjp(lambda x, y: (x * y, x + y))

    def forward(x: Any, y: Any) -> Any:
        seen.append([x.perturbed, y.perturbed])
        return (x.value * y.value, x.value + y.value), y.value

    def backward(y: Any, cts: Any) -> Any:
        seen.append([isinstance(ct, fg.SymbolicZero) for ct in cts])
        return cts[0] * y, None

    g.defvjp(forward, backward, symbolic_zeros=True)
    assert fg.grad(lambda x: g(x, 3.0)[0])(2.0) == 3.0
    assert seen == [[False, True], [True, False], [False, True]]


def test_linear_function_with_its_transpose_in_one_line() -> None:
    a = np.random.default_rng(0).normal(size=(3, 2))
    f = fg.custom_linear(lambda x: a @ x, lambda ct: a.T @ ct)
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(fg.jacrev(f)(x), a)
    np.testing.assert_allclose(fg.jacfwd(f)(x), a)
    np.testing.assert_allclose(fg.vmap(fg.jacrev(f))(np.stack([x, x])), [a, a])


def test_rule_calls_scipy_on_plain_arrays() -> None:
    from scipy import special

    f = fg.custom_vjp(lambda x: special.jv(0, x))
    f.defvjp(lambda x: (special.jv(0, x), x), lambda x, ct: (-ct * special.jv(1, x),))
    x = np.linspace(0.1, 2, 4)
    np.testing.assert_allclose(fg.grad(lambda x: np.sum(f(x)))(x), -special.jv(1, x))


@pytest.mark.parametrize(
    ("forward", "backward", "words"),
    [
        (lambda x: x, lambda r, ct: (ct,), "gives no pair"),
        (lambda x: (x, None), lambda r, ct: ct, "needs 1 cotangents"),
        (lambda x: (x, None), lambda r, ct: (ct, ct), "gives 2 where it needs 1 cotangents"),
        (lambda x: (x, None), lambda r, ct: ({"a": ct},), "another structure"),
        (lambda x: (x, None), lambda r, ct: (np.ones(5),), "does not fit"),
        (lambda x: (x, None), lambda r, ct: ("ct",), "no number or array|does not fit"),
    ],
)
def test_wrong_results_of_a_rule_are_named(forward: Any, backward: Any, words: str) -> None:
    f = fg.custom_vjp(lambda x: x)
    f.defvjp(forward, backward)
    with pytest.raises(TreeMismatchError, match=words):
        fg.grad(lambda x: np.sum(f(x)))(np.ones(3))


def test_missing_rule_says_how_to_give_it() -> None:
    with pytest.raises(ArgumentError, match="has no derivative rule yet"):
        fg.custom_vjp(lambda x: x)(1.0)
    with pytest.raises(ArgumentError, match=r"defjvp\(\.\.\.\) before its use"):
        fg.custom_jvp(lambda x: x)(1.0)


def test_defjvps_sums_the_rules_of_the_arguments() -> None:
    f = fg.custom_jvp(lambda x, y: x**2 * y)
    f.defjvps(lambda t, z, x, y: 2 * x * y * t, None)
    assert fg.grad(f, (0, 1))(3.0, 5.0) == (30.0, 0.0)
    for a, b in itertools.product((fg.jacfwd, fg.jacrev), repeat=2):
        assert a(b(f))(3.0, 5.0) == 10.0


def test_rules_are_checked_against_differences_once_in_their_context() -> None:
    right, wrong = by_vjp(), fg.custom_elementwise(np.sin, lambda y, x: np.cos(x) + 1e-3)
    exact = fg.custom_vjp(lambda p: {"y": p["a"] ** 2 * p["b"]})
    exact.defvjp(
        lambda p: (exact(p), p),
        lambda p, ct: ({"a": ct["y"] * 2 * p["a"] * p["b"], "b": np.sum(ct["y"] * p["a"] ** 2)},),
    )
    fg.grad(wrong)(1.0)
    with fg.check_rules():
        p = {"a": np.arange(3.0), "b": 2.0}
        fg.grad(lambda p: np.sum(exact(p)["y"]))(p)
        fg.jit(lambda p: np.sum(exact(p)["y"]))(p)
        for differentiate in (fg.grad(wrong), fg.jacfwd(wrong), fg.jit(fg.grad(wrong))):
            with pytest.raises(fg.RuleError, match="disagrees with finite differences"):
                differentiate(1.0)
        with pytest.raises(AssertionError, match="by the rule"):
            fg.grad(right)(X, Y)  # three times too large on purpose
    fg.grad(wrong)(1.0)
