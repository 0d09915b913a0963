"""The examples of JAX's pages on loops, branches, rules and solvers, for any library that has these names.

Each takes a library's namespaces and gives numbers, and the numbers that mathematics gives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy


def loops(lib: Any, lax: Any, np: Any) -> Any:
    """A cumulative sum, a running product with a tree, lengths without rows, the other way round."""
    xs = np.array([1.0, 2.0, 3.0, 4.0])
    total, sums = lax.scan(lambda c, x: (c + x, c + x), 0.0, xs)
    (count, product), seen = lax.scan(lambda c, x: ((c[0] + 1, c[1] * x["v"]), {"n": c[0]}), (0, 1.0), {"v": xs})
    power, none = lax.scan(lambda c, _: (2.0 * c, None), 1.0, None, length=10)
    _, back = lax.scan(lambda c, x: (c + x, c), 0.0, xs, reverse=True)
    assert none is None
    found = [total, sums, count, product, seen["n"], power, back]
    return found, [10.0, [1.0, 3.0, 6.0, 10.0], 4, 24.0, [0, 1, 2, 3], 1024.0, [9.0, 7.0, 4.0, 0.0]]


def unrolled_scan(lib: Any, lax: Any, np: Any) -> Any:
    """The same scan with any number of steps in a round."""
    xs = np.arange(7.0)
    found = [lax.scan(lambda c, x: (0.5 * c + x, c), 1.0, xs, unroll=k)[0] for k in (1, 3, 7, True, False)]
    return found, [sum(x * 0.5 ** (6 - x) for x in range(7)) + 0.5**7] * 5


def fibonacci(lib: Any, lax: Any, np: Any) -> Any:
    """Fibonacci's numbers by each of the loops."""
    step = lambda s: (s[1], s[0] + s[1])
    by_scan = lax.scan(lambda s, _: (step(s), s[0]), (0, 1), None, length=10)[1]
    by_count = lax.fori_loop(0, 10, lambda i, s: step(s), (0, 1))[0]
    by_while = lax.while_loop(lambda s: s[0] < 50, step, (0, 1))[0]
    return [by_scan, by_count, by_while], [[0, 1, 1, 2, 3, 5, 8, 13, 21, 34], 55, 55]


def counting_loops(lib: Any, lax: Any, np: Any) -> Any:
    """Sums and factorials; no steps where upper <= lower; bounds that are traced."""
    factorial = lib.jit(lambda n: lax.fori_loop(1, n + 1, lambda i, x: x * i, 1))
    found = [
        lax.fori_loop(0, 10, lambda i, x: x + i, 0),
        lax.fori_loop(5, 3, lambda i, x: x + i, 7),
        factorial(5),
        lib.grad(lambda x: lax.fori_loop(0, 3, lambda i, y: y * x, 1.0))(2.0),
        lib.jvp(
            lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, 1.0))[1], (2.0,), (1.0,)
        ),
    ]
    return found, [45, 7, 120, 12.0, (8.0, 12.0)]


def branches(lib: Any, lax: Any, np: Any) -> Any:
    """cond with operands, switch with clamped indices, select; derivatives and batches of them."""
    f = lambda x: lax.cond(x < 3.0, lambda x: 3.0 * x**2, lambda x: -4.0 * x, x)
    g = lambda i, x: lax.switch(i, [lambda x: x, lambda x: x * x, lambda x: -x], x)
    xs = np.array([2.0, 4.0])
    found = [
        f(2.0),
        f(4.0),
        lib.grad(f)(2.0),
        lib.vmap(lib.grad(f))(xs),
        g(-7, 3.0),
        g(1, 3.0),
        g(99, 3.0),
        lib.grad(g, argnums=1)(1, 3.0),
        lib.vmap(g)(np.array([0, 1, 2]), np.array([5.0, 5.0, 5.0])),
        lax.select(np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0])),
    ]
    return found, [12.0, -16.0, 12.0, [12.0, -4.0], 3.0, 9.0, -3.0, 6.0, [5.0, 25.0, -5.0], [1.0, 4.0]]


def mapped(lib: Any, lax: Any, np: Any) -> Any:
    """A function of each row: one by one, in batches, and all at once."""
    x = np.ones((10, 3, 4))
    found = [lax.map(lambda row: np.sum(row) + row[0, 0], x, batch_size=k) for k in (None, 1, 3, 10, 0)]
    return found, [[13.0] * 10] * 5


def associative(lib: Any, lax: Any, np: Any) -> Any:
    """Partial sums, products of matrices, and sums from the end."""
    numbers = np.arange(0, 4)
    turns = np.array([[[0.0, -1.0], [1.0, 0.0]]] * 4)
    found = [
        lax.associative_scan(np.add, numbers),
        lax.associative_scan(np.add, numbers, reverse=True),
        lax.associative_scan(np.matmul, turns)[3],
    ]
    return found, [[0, 1, 3, 6], [6, 6, 5, 3], [[1.0, 0.0], [0.0, 1.0]]]


def rule_for_tangents(lib: Any, lax: Any, np: Any) -> Any:
    """sin(x) y with its tangents, in one rule and in one for each argument."""
    f = lib.custom_jvp(lambda x, y: np.sin(x) * y)

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (x_dot, y_dot) = primals, tangents
        return f(x, y), np.cos(x) * x_dot * y + np.sin(x) * y_dot

    g = lib.custom_jvp(lambda x, y: np.sin(x) * y)
    g.defjvps(lambda x_dot, z, x, y: np.cos(x) * x_dot * y, lambda y_dot, z, x, y: np.sin(x) * y_dot)
    found = [
        f(2.0, 3.0),
        lib.jvp(f, (2.0, 3.0), (1.0, 0.0)),
        lib.grad(f, argnums=(0, 1))(2.0, 3.0),
        lib.grad(g, argnums=(0, 1))(2.0, 3.0),
        lib.grad(lib.grad(f))(2.0, 3.0),
        lib.vmap(lib.grad(f), (0, None))(np.array([0.0, 2.0]), 3.0),
    ]
    s, c = math.sin(2), math.cos(2)
    return found, [3 * s, (3 * s, 3 * c), (3 * c, s), (3 * c, s), -3 * s, [3.0, 3 * c]]


def stable_rule(lib: Any, lax: Any, np: Any) -> Any:
    """log(1 + exp(x)), whose derivative must not be NaN where the exponential overflows."""
    f = lib.custom_jvp(lambda x: np.log(1.0 + np.exp(x)))
    f.defjvp(lambda xs, dots: (f(xs[0]), (1 - 1 / (1 + np.exp(xs[0]))) * dots[0]))
    found = [lib.grad(f)(3.0), lib.jit(lib.grad(f))(3.0), lib.vmap(lib.grad(f))(np.array([0.0, 3.0]))]
    exact = 1 / (1 + math.exp(-3))
    return found, [exact, exact, [0.5, exact]]


def convention_at_a_singularity(lib: Any, lax: Any, np: Any) -> Any:
    """x / (1 + sqrt(x)), with the derivative that it has from the right at 0."""
    f = lib.custom_jvp(lambda x: x / (1 + np.sqrt(x)))

    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (x_dot,) = primals, tangents
        return f(x), ((np.sqrt(x) + 2) / (2 * (np.sqrt(x) + 1) ** 2)) * x_dot

    f.defjvp(rule)
    return [lib.grad(f)(0.0), lib.grad(f)(1.0)], [1.0, 3 / 8]


def rule_for_cotangents(lib: Any, lax: Any, np: Any) -> Any:
    """sin(x) y with its pullback; a gradient that is clipped on its way back; arguments that are no arrays."""
    f = lib.custom_vjp(lambda x, y: np.sin(x) * y)
    f.defvjp(lambda x, y: (f(x, y), (np.cos(x), np.sin(x), y)), lambda res, ct: (res[0] * ct * res[2], res[1] * ct))
    clipped = lib.custom_vjp(lambda lo, hi, x: x)
    clipped.defvjp(lambda lo, hi, x: (x, (lo, hi)), lambda res, ct: (None, None, np.clip(ct, res[0], res[1])))
    applied = lib.custom_vjp(lambda g, x: g(x), nondiff_argnums=(0,))
    applied.defvjp(lambda g, x: (g(x), x), lambda g, x, ct: (5.0 * ct,))
    t = np.array([0.0, 1.0, 3.0])
    loss = lambda x: np.sum(np.sin(clipped(-0.75, 0.75, x)))
    found = [
        lib.grad(f, argnums=(0, 1))(2.0, 3.0),
        lib.grad(loss)(t),
        lib.vmap(lib.grad(lambda x: np.sin(clipped(-0.75, 0.75, x))))(t),
        lib.grad(lambda x: applied(lambda y: y**3, x))(4.0),
    ]
    slopes = [0.75, math.cos(1), -0.75]
    return found, [(3 * math.cos(2), math.sin(2)), slopes, slopes, 5.0]


def fixed_point(lib: Any, lax: Any, np: Any) -> Any:
    """Newton's square root as a fixed point, with a rule by the implicit function theorem: a while loop in it, too."""

    def solve(step: Any, a: Any, guess: Any) -> Any:
        going = lambda s: abs(s[0] - s[1]) > 1e-6
        return lax.while_loop(going, lambda s: (s[1], step(a, s[1])), (guess, step(a, guess)))[1]

    found = lib.custom_vjp(solve, nondiff_argnums=(0,))

    def backward(step: Any, res: Any, ct: Any) -> Any:
        a, x = res
        _, pull_a = lib.vjp(lambda a: step(a, x), a)
        _, pull_x = lib.vjp(lambda x: step(a, x), x)
        (a_ct,) = pull_a(solve(lambda _, u: ct + pull_x(u)[0], 0.0, ct))
        return a_ct, 0.0 * x

    found.defvjp(lambda step, a, guess: ((x := found(step, a, guess)), (a, x)), backward)
    root = lambda a: found(lambda a, x: 0.5 * (x + a / x), a, a)
    return [root(2.0), lib.grad(root)(2.0), lib.grad(root)(3.0)], [2**0.5, 0.5 / 2**0.5, 0.5 / 3**0.5]


def implicit_root(lib: Any, lax: Any, np: Any) -> Any:
    """A cube root by bisection, and its derivatives by the implicit function theorem."""

    def bisect(f: Any, _: Any) -> Any:
        def halve(i: Any, s: Any) -> Any:
            low, high = s
            middle = 0.5 * (low + high)
            above = f(middle) > 0
            return np.where(above, low, middle), np.where(above, middle, high)

        low, high = lax.fori_loop(0, 60, halve, (np.array(0.0), np.array(10.0)))
        return 0.5 * (low + high)

    root = lambda a: lax.custom_root(lambda x: x**3 - a, np.array(1.0), bisect, lambda g, y: y / g(1.0))
    found = [root(8.0), lib.grad(root)(8.0), lib.grad(lib.grad(root))(8.0), lib.jvp(root, (8.0,), (1.0,))[1]]
    return found, [2.0, 1 / 12, -1 / 144, 1 / 12]


def linear_solves(lib: Any, lax: Any, np: Any) -> Any:
    """A solve by conjugate gradients' place-holder, symmetric and with a transposed one."""
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    t = np.array([[2.0, 1.0], [0.0, 4.0]])
    b = np.array([1.0, 2.0])
    dense = lambda matvec, b: np.linalg.solve(np.stack([matvec(e) for e in np.eye(2)], axis=1), b)
    symmetric = lambda b: lax.custom_linear_solve(lambda x: a @ x, b, dense, symmetric=True)
    general = lambda b: lax.custom_linear_solve(lambda x: t @ x, b, dense, transpose_solve=dense)
    found = [
        symmetric(b),
        lib.jacrev(symmetric)(b),
        general(b),
        lib.jacrev(general)(b),
        lib.jacfwd(general)(b),
        lib.grad(lambda k: np.sum(lax.custom_linear_solve(lambda x: k * (a @ x), b, dense, symmetric=True)))(1.0),
    ]
    inverse, triangular = [[3 / 11, -1 / 11], [-1 / 11, 4 / 11]], [[0.5, -0.125], [0.0, 0.25]]
    return found, [[1 / 11, 7 / 11], inverse, [0.25, 0.5], triangular, triangular, -8 / 11]


def rematerialized(lib: Any, lax: Any, np: Any) -> Any:
    """sin(sin(x)) with nothing kept, whole and nested; with an argument that is no array."""
    f = lib.checkpoint(lambda x: np.sin(np.sin(x)))
    nested = lib.checkpoint(lambda x: np.sin(lib.checkpoint(np.sin)(x)))
    flagged = lib.checkpoint(lambda x, doubled: np.sin(2 * x) if doubled else np.sin(x), static_argnums=(1,))
    exact = math.cos(2) * math.cos(math.sin(2))
    found = [f(2.0), lib.grad(f)(2.0), lib.jit(lib.grad(nested))(2.0), lib.grad(flagged)(2.0, True)]
    return found, [math.sin(math.sin(2)), exact, exact, 2 * math.cos(4)]


def rule_for_batches(lib: Any, lax: Any, np: Any) -> Any:
    """sin with a rule that gives the cosine, so that one sees it; another that is told what has rows."""
    f = lib.custom_vmap(lambda x: np.sin(x))
    f.def_vmap(lambda axis_size, in_batched, x: (np.cos(x), in_batched[0]))
    g = lib.custom_vmap(lambda x, y: x + y**2)
    g.def_vmap(lambda axis_size, in_batched, x, y: ((x if in_batched[0] else x + 0.0 * y) + y**2, True))
    xs, ys = np.array([0.0, 1.0]), np.array([3.0, 4.0])
    found = [
        f(0.5),
        lib.vmap(f)(xs),
        lib.jit(lib.vmap(f))(xs),
        lib.vmap(lambda x: lib.jvp(f, (x,), (1.0,))[0])(xs),
        lib.vmap(g)(xs, ys),
        lib.vmap(g, (None, 0))(1.0, ys),
    ]
    cosines = [1.0, math.cos(1)]
    return found, [math.sin(0.5), cosines, cosines, cosines, [9.0, 17.0], [10.0, 17.0]]


EXAMPLES = [
    loops,
    unrolled_scan,
    fibonacci,
    counting_loops,
    branches,
    mapped,
    associative,
    rule_for_tangents,
    stable_rule,
    convention_at_a_singularity,
    rule_for_cotangents,
    fixed_point,
    implicit_root,
    linear_solves,
    rematerialized,
    rule_for_batches,
]


def check(example: Any, lib: Any, lax: Any, np: Any) -> None:
    """Compare an example's numbers with those of mathematics."""

    def compare(found: Any, exact: Any) -> None:
        if isinstance(found, (tuple, list)):
            for a, b in zip(found, exact, strict=True):
                compare(a, b)
        else:
            numpy.testing.assert_allclose(numpy.asarray(found), exact, rtol=1e-9, atol=1e-12)
            assert numpy.shape(found) == numpy.shape(exact)

    compare(*example(lib, lax, np))
