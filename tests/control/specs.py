"""Rows for the primitives that carry programs: loops, branches, checkpoints, rules of one's own, foreign functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad import lax
from tests.spec import FLOATS, Spec, arrays, outputs

A = np.random.default_rng(0).normal(size=(3, 3)) / 2
XS = np.random.default_rng(1).normal(size=(4, 3))
FACTORS = np.array([0.5, 1.0, 1.5])


def of_shapes(*shapes: tuple[int, ...]) -> Callable[[Any], st.SearchStrategy[tuple[Any, ...]]]:
    return lambda dtype: st.tuples(*[arrays(dtype, shape, -1.5, 1.5) for shape in shapes])


def recurrent(w: Any, c: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        c = np.tanh(w @ c) + x
        return c, c * x

    return lax.scan(step, c, xs)


def recurrent_loop(w: Any, c: Any, xs: Any) -> Any:
    ys = []
    for x in xs:
        c = np.tanh(w @ c) + x
        ys.append(c * x)
    return c, np.stack(ys)


def recurrent_kept(w: Any, c: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        c = np.tanh(w @ c) + x
        return c, c * x

    return lax.scan(step, c, xs, checkpoint=2)


def backwards(c: Any, d: Any, xs: Any, checkpoint: Any = None) -> Any:
    """What is carried: numbers, a number that is not differentiated, and one on which nothing depends."""

    def step(carry: Any, x: Any) -> Any:
        c, d, n = carry
        return (np.sin(c) * x + d, d * 0.5, n + 1), (np.cos(c) + n, x * XS[0, 0])

    (c, d, _), (ys, zs) = lax.scan(step, (c, d, 0), xs, reverse=True, checkpoint=checkpoint)
    return c, d, ys, zs


def backwards_loop(c: Any, d: Any, xs: Any) -> Any:
    ys, zs = [], []
    for n, x in enumerate(xs[::-1]):
        ys.append(np.cos(c) + n)
        zs.append(x * XS[0, 0])
        c, d = np.sin(c) * x + d, d * 0.5
    return c, d, np.stack(ys[::-1]), np.stack(zs[::-1])


def constant_rows(c: Any) -> Any:
    """Nothing but the first value is differentiated; rows and matrix are residuals that every step shares, or not."""

    def step(c: Any, x: Any) -> Any:
        return np.tanh(A @ c) * np.exp(x), np.sum(c**2)

    return lax.scan(step, c, XS)


def constant_rows_loop(c: Any) -> Any:
    ys = []
    for x in XS:
        ys.append(np.sum(c**2))
        c = np.tanh(A @ c) * np.exp(x)
    return c, np.stack(ys)


def ruled_by_arrays(c: Any, checkpoint: Any = None) -> Any:
    """A rule that brings an array with it, into what is known without tangents."""

    def step(c: Any, x: Any) -> Any:
        f = fg.custom_jvp(lambda u: np.sin(u * FACTORS))
        f.defjvp(lambda us, dots: (np.sin(us[0] * FACTORS), np.cos(us[0] * FACTORS) * FACTORS * dots[0]))
        return f(c) + A @ x, f(c) * x

    return lax.scan(step, c, XS, checkpoint=checkpoint)


def ruled_by_arrays_loop(c: Any) -> Any:
    ys = []
    for x in XS:
        ys.append(np.sin(c * FACTORS) * x)
        c = np.sin(c * FACTORS) + A @ x
    return c, np.stack(ys)


def product_with_arrays(row: Any, x: Any) -> Any:
    """A product whose rule brings an array with it, and has something to compute without tangents.

    The row is an operand: a rule that captured a traced value would be recorded, its arrays operands as well.
    """
    f = fg.custom_jvp(lambda row, x: np.tan(row) @ x)

    @f.defjvp
    def tangents(xs: Any, dots: Any) -> Any:
        (row, x), (row_dot, x_dot) = xs, dots
        slope = np.tan(row) * FACTORS / FACTORS
        return np.tan(row) @ x, slope @ x_dot + (row_dot * (1 + np.tan(row) ** 2)) @ x

    return f(row, x)


def counted(w: Any, c: Any, checkpoint: Any = None) -> Any:
    body = lambda s: (s[0] + 1, np.sin(w @ s[1]) + s[1] * 0.5)
    return lax.while_loop(lambda s: s[0] < 4, body, (0, c), checkpoint=checkpoint)[1]


def counted_loop(w: Any, c: Any) -> Any:
    for _ in range(4):
        c = np.sin(w @ c) + c * 0.5
    return c


def until_small(c: Any, d: Any) -> Any:
    """How many steps it takes depends on the values; the condition has constants of its own."""
    limit = np.max(np.abs(fg.stop_gradient(d))) + 0.25

    def body(s: Any) -> Any:
        return s[0] * 0.5 + np.sin(d) * 0.01, s[1] + s[0]

    return lax.while_loop(lambda s: np.max(np.abs(s[0])) > limit * 0.5, body, (c, d))


def until_small_loop(c: Any, d: Any) -> Any:
    limit = np.max(np.abs(d)) + 0.25
    s = (c, d)
    while np.max(np.abs(s[0])) > limit * 0.5:
        s = s[0] * 0.5 + np.sin(d) * 0.01, s[1] + s[0]
    return s


def chosen(c: Any, d: Any) -> Any:
    return lax.cond(c[0] > 0, lambda c, d: (np.sin(c) * d, d), lambda c, d: (np.exp(c), A @ d), c, d)


def chosen_loop(c: Any, d: Any) -> Any:
    return (np.sin(c) * d, d) if c[0] > 0 else (np.exp(c), A @ d)


BRANCHES = (np.sin, lambda c: c * c * XS[0], lambda c: np.tanh(A @ c), lambda c: XS[1])


def switched(c: Any) -> Any:
    return lax.switch(np.argmax(fg.stop_gradient(c)) + (c[0] > 1), BRANCHES, c)


def switched_loop(c: Any) -> Any:
    return BRANCHES[int(np.argmax(c)) + int(c[0] > 1)](c)


def kept(c: Any, d: Any) -> Any:
    return fg.checkpoint(lambda c, d: (np.sin(A @ np.tanh(c)) * d, d * 2))(c, d)


def by_tangents(c: Any, d: Any) -> Any:
    f = fg.custom_jvp(lambda c, d: (np.exp(c) * d, d * 3))
    f.defjvp(
        lambda xs, dots: (
            (np.exp(xs[0]) * xs[1], xs[1] * 3),
            (np.exp(xs[0]) * (xs[1] * dots[0] + dots[1]), dots[1] * 3),
        )
    )
    return f(c, d)


def by_cotangents(c: Any, d: Any) -> Any:
    f = fg.custom_vjp(lambda c, d: np.sin(c) * d)
    f.defvjp(lambda c, d: (np.sin(c) * d, (c, d)), lambda r, ct: (np.cos(r[0]) * r[1] * ct, np.sin(r[0]) * ct))
    return f(c, d)


def by_partials(c: Any, d: Any) -> Any:
    return fg.custom_elementwise(lambda x, y: np.sin(x) * y, lambda z, x, y: np.cos(x) * y, lambda z, x, y: np.sin(x))(
        c, d
    )


def foreign(c: Any) -> Any:
    return fg.opaque(lambda c: A @ c, derivative=fg.jit(lambda c: A + 0 * c))(c) * c


def solved(w: Any, b: Any) -> Any:
    return fg.linear_solve(w + 4 * np.eye(3), b)


def solved_loop(w: Any, b: Any) -> Any:
    return np.linalg.solve(w + 4 * np.eye(3), b)


def solved_by_function(c: Any, b: Any) -> Any:
    return fg.linear_solve(lambda x: A @ x + 5 * x * (1 + np.sum(c**2)), b)


def solved_by_function_loop(c: Any, b: Any) -> Any:
    return np.linalg.solve(A + 5 * (1 + np.sum(c**2)) * np.eye(3), b)


def with_captured(c: Any) -> Any:
    """Rules that use a row of the loop around them, which is traced and not differentiated."""

    def step(c: Any, x: Any) -> Any:
        scale = np.cos(x)
        f = fg.custom_vjp(lambda u: np.sin(u) * scale)
        f.defvjp(lambda u: (np.sin(u) * scale, (np.cos(u), "slope")), lambda r, ct: (ct * r[0] * scale,))
        g = fg.custom_jvp(lambda u: u * u * scale)
        g.defjvp(lambda xs, dots: (xs[0] * xs[0] * scale, 2 * xs[0] * scale * dots[0]))
        return f(c) + 0.5, g(c)

    return lax.scan(step, c, XS)


def with_captured_loop(c: Any) -> Any:
    ys = []
    for x in XS:
        ys.append(c * c * np.cos(x))
        c = np.sin(c) * np.cos(x) + 0.5
    return c, np.stack(ys)


def product_by_tangents(x: Any) -> Any:
    f = fg.custom_jvp(lambda x: A @ x)
    f.defjvp(lambda xs, dots: (A @ xs[0], A @ dots[0]))
    return f(x)


def product_by_cotangents(x: Any) -> Any:
    f = fg.custom_vjp(lambda x: A @ x)
    f.defvjp(lambda x: (A @ x, ()), lambda _, ct: (A.T @ ct,))
    return f(x)


# The product A x as a program, which is transposed as such.
PRODUCTS: dict[str, Callable[[Any], Any]] = {
    "checkpoint": lambda x: fg.checkpoint(lambda x: A @ x)(x),
    "cond": lambda x: lax.cond(np.sum(A) > 100, lambda x: 2 * x, lambda x: A @ x, x),
    "custom_jvp": product_by_tangents,
    "custom_vjp": product_by_cotangents,
    "scan": lambda x: lax.scan(lambda c, row: (c, row @ c), x, A)[1],
    # Of each step something is known besides its operands: that is computed by a loop of its own.
    "scan_known": lambda x: lax.scan(lambda c, row: (c, product_with_arrays(row, c)), x, np.arctan(A))[1],
    "steps": lambda x: lax.scan(lambda c, row: (c, row @ c), x, A, checkpoint=2)[1],
    "steps_known": lambda x: lax.scan(lambda c, row: (c, product_with_arrays(row, c)), x, np.arctan(A), checkpoint=2)[
        1
    ],
    "steps_while": lambda x: lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, A @ s[1]), (0, x), checkpoint=2)[
        1
    ],
    "while": lambda x: lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, A @ s[1]), (0, x))[1],
}


def solved_with(product: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda c, b: fg.linear_solve(lambda x: product(x) + 5 * x * (1 + np.sum(c**2)), b)


def ruled_with(product: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A rule whose tangent is a program, which is recorded without values."""

    def f(c: Any) -> Any:
        g = fg.custom_jvp(lambda c: A @ c)
        g.defjvp(lambda xs, dots: (A @ xs[0], product(dots[0])))
        return np.sin(g(c))

    return f


def branching_rule(c: Any) -> Any:
    """A rule with a branch on a row of the loop around it, for which there is no value yet."""

    def step(c: Any, x: Any) -> Any:
        choose = lambda c: lax.cond(x[0] > 0, lambda c: A @ c, lambda c: 2 * c, c)
        g = fg.custom_jvp(choose)
        g.defjvp(lambda xs, dots: (choose(xs[0]), choose(dots[0])))
        return np.sin(g(c)), None

    return lax.scan(step, c, XS)[0]


def branching_rule_loop(c: Any) -> Any:
    for x in XS:
        c = np.sin(A @ c if x[0] > 0 else 2 * c)
    return c


def chosen_by_element(c: Any, d: Any) -> Any:
    return fg.vmap(lambda c, d: lax.cond(c > 0, lambda c, d: np.sin(c) * d, lambda c, d: c * d**2, c, d))(c, d)


def rows_at_once(c: Any, d: Any) -> Any:
    f = fg.custom_vmap(lambda c, d: np.sin(c) * d)
    f.def_vmap(lambda size, batched, c, d: (np.sin(c) * d, True))
    return f(c, d)


def inside_of_a_loop(f: Callable[..., Any]) -> Callable[..., Any]:
    """Three steps with a function of the carry in each: there it is recorded without values, and transposed.

    The first of what is carried is halved on the way: a matrix of ones would make so many steps in one another so
    sensitive that differences by fixed steps are no reference any more.
    """

    def looped(*xs: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            first, *others = outputs(f, carry)
            return (np.tanh(carry[0] + np.sum(first)) / 2, *carry[1:]), (first, *others)

        return lax.scan(step, xs, None, 3)[1]

    return looped


def unrolled(f: Callable[..., Any]) -> Callable[..., Any]:
    def looped(*xs: Any) -> Any:
        rows = []
        for _ in range(3):
            rows.append(outputs(f, xs))
            xs = (np.tanh(xs[0] + np.sum(rows[-1][0])) / 2, *xs[1:])
        return tuple(map(np.stack, zip(*rows, strict=True)))

    return looped


DOUBLE = (np.float64,)
SINE = lambda c, d: np.sin(c) * d
VECTORS = of_shapes((3,), (3,))


def row(name: str, primitives: Any, function: Any, reference: Any, arguments: Any, dtypes: Any = FLOATS) -> Spec:
    return Spec(name, tuple(primitives.split()), function, reference, arguments, dtypes, exact=False)


PLAIN = [
    row("scan", "scan", recurrent, recurrent_loop, of_shapes((3, 3), (3,), (4, 3))),
    row("scan-reverse", "scan", backwards, backwards_loop, of_shapes((), (), (4,)), DOUBLE),
    row("scan-constant-rows", "scan", constant_rows, constant_rows_loop, of_shapes((3,)), DOUBLE),
    row("scan-rule", "scan custom", ruled_by_arrays, ruled_by_arrays_loop, of_shapes((3,)), DOUBLE),
    row(
        "steps-rule",
        "steps steps_transpose",
        lambda c: ruled_by_arrays(c, 2),
        ruled_by_arrays_loop,
        of_shapes((3,)),
        DOUBLE,
    ),
    row("while", "while while_transpose", counted, counted_loop, of_shapes((3, 3), (3,))),
    row("while-until", "while while_transpose", until_small, until_small_loop, VECTORS, DOUBLE),
    row("steps", "steps steps_transpose", recurrent_kept, recurrent_loop, of_shapes((3, 3), (3,), (4, 3))),
    row(
        "steps-reverse",
        "steps steps_transpose",
        lambda c, d, xs: backwards(c, d, xs, 3),
        backwards_loop,
        of_shapes((), (), (4,)),
        DOUBLE,
    ),
    row(
        "steps-while",
        "checkpointed_while steps steps_transpose",
        lambda w, c: counted(w, c, 2),
        counted_loop,
        of_shapes((3, 3), (3,)),
        DOUBLE,
    ),
    row(
        "cond_rows",
        "cond_rows",
        chosen_by_element,
        lambda c, d: np.where(c > 0, np.sin(c) * d, c * d**2),
        VECTORS,
        DOUBLE,
    ),
    row("cond", "cond", chosen, chosen_loop, VECTORS, DOUBLE),
    row("switch", "cond", switched, switched_loop, of_shapes((3,)), DOUBLE),
    row("checkpoint", "checkpoint", kept, lambda c, d: (np.sin(A @ np.tanh(c)) * d, d * 2), VECTORS, DOUBLE),
    row("custom_jvp", "custom", by_tangents, lambda c, d: (np.exp(c) * d, d * 3), VECTORS),
    row("custom_vjp", "custom", by_cotangents, SINE, VECTORS),
    row("custom_elementwise", "custom", by_partials, SINE, VECTORS),
    row("opaque", "opaque custom", foreign, lambda c: A @ c * c, of_shapes((3,)), DOUBLE),
    row("linear_solve", "linear_solve", solved, solved_loop, of_shapes((3, 3), (3,)), DOUBLE),
    row("linear_solve-function", "linear_solve", solved_by_function, solved_by_function_loop, VECTORS, DOUBLE),
    row("custom-captured", "custom", with_captured, with_captured_loop, of_shapes((3,)), DOUBLE),
    row("custom-branching", "custom cond", branching_rule, branching_rule_loop, of_shapes((3,)), DOUBLE),
    row("custom_vmap", "custom_vmap", rows_at_once, SINE, VECTORS),
]
NESTED = [
    row(
        f"scan-of-{inner.name}",
        " ".join(inner.primitives),
        inside_of_a_loop(inner.function),
        unrolled(inner.reference),
        inner.arguments,
        DOUBLE,
    )
    for inner in PLAIN
]
SOLVED = [
    row(
        f"linear_solve-of-{name}",
        f"linear_solve {name.split('_')[0]}",
        solved_with(product),
        solved_by_function_loop,
        VECTORS,
        DOUBLE,
    )
    for name, product in PRODUCTS.items()
]
RULED = [
    row(
        f"custom_jvp-of-{name}",
        f"custom {name if name == 'linear_solve' else name.split('_')[0]}",
        ruled_with(product),
        lambda c: np.sin(A @ c),
        of_shapes((3,)),
        DOUBLE,
    )
    for name, product in {**PRODUCTS, "linear_solve": lambda x: fg.linear_solve(np.linalg.inv(A), x)}.items()
]
ROWS = [*PLAIN, *NESTED, *SOLVED, *RULED]
