"""Contractions of which several results are computed at once: the same products, each summed as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funcgrad.compiler import tiling
from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Apply, Buffer, Load, Nest, Statement, Window
from funcgrad.compiler.scalars import add, multiply
from tests.compiler.comparison import assert_compiled_equals_eager, compiled

F64 = np.dtype(np.float64)
RNG = np.random.default_rng(5)


def product(rows: int, inner: int, columns: int) -> Nest:
    """y[i, n] = sum_j q[i, j] x[j, n], counters i, n, j."""
    q, x, y = (Buffer(size, F64) for size in (rows * inner, inner * columns, rows * columns))
    i, n, j = (0, inner, rows), (1, 1, columns), (2, 1, inner)
    first = Load(q, Affine(0, (i, j)))
    second = Load(x, Affine(0, (n, (2, columns, inner))))
    index = Affine(0, ((0, columns, rows), n))
    return Nest((rows, columns, inner), [Statement(y, index, Apply(multiply, (first, second), F64), "sum")])


@pytest.mark.parametrize(("rows", "at_once"), [(10, 10), (20, 10), (32, 8), (7, 7), (13, 1), (1, 1)])
def test_so_many_rows_are_computed_at_once_as_divide_all(rows: int, at_once: int) -> None:
    made = tiling.tiled(product(rows, 8, 100), 1)
    assert len(made.statements) == at_once
    assert made.extents == (rows // at_once, 100, 8)
    assert sum(type(x) is Load for s in made.statements[:1] for x in s.expression.operands) == 2  # type: ignore
    assert len({id(s.expression.operands[1]) for s in made.statements}) == 1  # type: ignore


def test_across_lanes_both_operands_are_shared() -> None:
    made = tiling.tiled(product(10, 1000, 10), 2)
    assert (len(made.statements), made.extents) == (10, (2, 5, 1000)) or made.extents == (5, 2, 1000)


def test_what_is_no_contraction_or_gains_nothing_is_left() -> None:
    short, few = product(10, 2, 100), product(2, 1000, 2)
    assert tiling.tiled(short, 1) is short
    assert tiling.tiled(few, 2) is few
    ordered = product(10, 8, 100)
    ordered.ordered = True
    assert tiling.tiled(ordered, 1) is ordered
    assert tiling.tiled(other := product(10, 8, 100), None) is other
    parted = product(10, 8, 100)
    parted.window = Window(0, -1, 2, 0)
    assert tiling.tiled(parted, 1) is parted


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("count", "points", "length"), [(5, 1000, 10), (3, 333, 7), (25, 300, 2), (2, 100, 12)])
@pytest.mark.parametrize("subscripts", ["kij,knj->kni", "kij,njk->kin", "kni,knj->kij", "nik,njk->kij"])
def test_stacks_of_small_products_equal_numpy(
    subscripts: str, count: int, points: int, length: int, dtype: Any
) -> None:
    sizes = {"k": count, "n": points, "i": length, "j": length}
    xs = [RNG.normal(size=[sizes[a] for a in term]).astype(dtype) for term in subscripts.split("->")[0].split(",")]
    xs[0].flat[3], xs[1].flat[5] = np.inf, np.nan
    assert_compiled_equals_eager(lambda x, y: np.einsum(subscripts, x + 1, y - 1), *xs, scale=100.0)


def total(rows: int, length: int) -> Nest:
    """y[n] = sum_j x[n, j]^2 by columns, counters n, j."""
    x, y = Buffer(rows * length, F64), Buffer(rows, F64)
    load = Load(x, Affine(0, ((0, 1, rows), (1, rows, length))))
    square = Apply(add, (load, load), F64)
    return Nest((rows, length), [Statement(y, Affine(0, ((0, 1, rows),)), square, "sum")])


@pytest.mark.parametrize(
    ("length", "rounds", "additions"), [(8, 8, 8), (11, 11, 11), (20, 5, 7), (64, 8, 11), (72, 72, 72)]
)
def test_short_sums_add_in_pairs(length: int, rounds: int, additions: int) -> None:
    nest = total(300, length)
    assert tiling.tiled(nest, 0).extents == (300, rounds)
    assert tiling.additions(nest, nest.statements[0], 0) == additions
    assert tiling.tiled(nest, 1) is nest


@pytest.mark.parametrize("length", [8, 9, 12, 20, 32, 64, 65])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_short_sums_equal_numpy(length: int, dtype: Any) -> None:
    x = RNG.normal(size=(length, 301)).astype(dtype)
    x[1, 2], x[3, 4], x[:, 7] = np.nan, -np.inf, -0.0
    assert_compiled_equals_eager(lambda x: np.sum((x + 1) * (x - 1) + x, axis=0), x, scale=100.0)
    _, call = compiled(lambda x: np.sum(np.square(x), axis=0), x)
    finite = x[:, 8:]
    exact = np.sum(finite.astype(np.longdouble) ** 2, axis=0)
    assert np.all(np.abs(call(x)[0][8:] - exact) <= 12 * np.finfo(dtype).eps * exact)
