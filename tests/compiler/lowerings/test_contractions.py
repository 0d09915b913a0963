from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.compiler.comparison import assert_compiled_equals_eager, compiled


def numbers(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return (3 * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(dtype)


SMALL = [
    ((3, 4), (4, 5)),
    ((7,), (7,)),
    ((2, 3), (3,)),
    ((3,), (3, 5)),
    ((3,), (2, 3, 4)),
    ((2, 3, 4), (4,)),
    ((2, 1, 3, 4), (5, 4, 6)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((1, 1), (1, 1)),
    ((2, 0, 3, 4), (4, 2)),
]
LARGE = [
    ((60, 70), (70, 80)),
    ((200, 150), (150,)),
    ((150,), (150, 300)),
    ((1, 300), (300, 200)),
    ((300, 200), (200, 1)),
    ((20000, 3), (3,)),
    ((3, 20000), (20000,)),
    ((5, 60, 70), (70, 80)),
    ((5, 60, 70), (5, 70, 80)),
    ((5, 1, 60, 70), (3, 70, 80)),
    ((2, 5, 60, 70), (2, 5, 70, 80)),
    ((4, 200, 150), (4, 150, 1)),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shapes", SMALL + LARGE)
def test_matmul_any_shapes_equals_numpy(shapes: Any, dtype: Any) -> None:
    x1, x2 = (numbers(*shape, dtype=dtype) for shape in shapes)
    assert_compiled_equals_eager(lambda a, b: a @ b, x1, x2, scale=100.0)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int64])
def test_products_of_integers_equal_numpy(dtype: Any) -> None:
    x1, x2 = numbers(3, 4, dtype=np.int64).astype(dtype), numbers(4, 5, dtype=np.int64).astype(dtype)
    assert_compiled_equals_eager(lambda a, b: a @ b, x1, x2)
    assert_compiled_equals_eager(lambda a, b: np.einsum("ij,jk->ki", a, b), x1, x2)
    assert_compiled_equals_eager(lambda a, b: np.dot(a[0], b[:, 0]), x1, x2)


def test_matmul_of_several_dtypes_converts_first() -> None:
    single, double, whole = numbers(60, 70, dtype=np.float32), numbers(70, 80), numbers(70, 80, dtype=np.int64)
    assert_compiled_equals_eager(lambda a, b: a @ b, single, double, scale=100.0)
    assert_compiled_equals_eager(lambda a, b: a @ b, single, whole, scale=100.0)
    assert_compiled_equals_eager(lambda a, b: a @ b, single[:2, :3], whole[:3], scale=100.0)


VIEWS = [
    lambda a, b: a.T @ b,
    lambda a, b: a.T @ b[:, ::-1],
    lambda a, b: b.T @ a,
    lambda a, b: (a.T @ b).T,
    lambda a, b: a[::2].T @ b[::2],
    lambda a, b: a[10:90, 3:60].T @ b[5:85, 1:],
    lambda a, b: a[:, 0] @ b,
    lambda a, b: b.T @ a[:, 0],
    lambda a, b: a[::-1].T @ b,
    lambda a, b: (2 * a).T @ (b + 1),
    lambda a, b: (a.T @ b) @ (b.T @ a),
    lambda a, b: a.T[:, :1] @ b[:1],
]


@pytest.mark.parametrize("f", VIEWS)
def test_matmul_of_views_equals_numpy(f: Any) -> None:
    assert_compiled_equals_eager(f, numbers(100, 60), numbers(100, 70), scale=1e4)


def test_matmul_of_strided_views_copies_nothing() -> None:
    program, _ = compiled(lambda a, b: a[10:90, 3:60].T @ b[10:90], numbers(100, 60), numbers(100, 70))
    assert [step.text for step in program.steps] == ["gemm"]  # type: ignore[attr-defined]


def test_blas_overwrites_what_was_in_its_place() -> None:
    a, b = np.full((150, 150), np.nan), numbers(150, 150)
    _program, call = compiled(lambda a, b, v: (a + 1, (b @ b).sum(), (b @ v).sum(), b @ v), a, b, b[0])
    for _ in range(3):
        total, matrix, vector = call(a, b, b[0])[1:]
        assert np.isclose(total, (b @ b).sum())
        assert np.isclose(matrix, (b @ b[0]).sum())
        np.testing.assert_allclose(vector, b @ b[0], rtol=1e-10)


DOTS = [((2, 3, 4), (5, 4, 6)), ((3,), (3,)), ((2, 3, 4), (4,)), ((20, 30, 40), (5, 40, 60)), ((), (3,)), ((2, 3), ())]


@pytest.mark.parametrize("shapes", DOTS)
def test_dot_any_shapes_equals_numpy(shapes: Any) -> None:
    assert_compiled_equals_eager(np.dot, *(numbers(*shape) for shape in shapes), scale=100.0)


def test_vector_products_equal_numpy() -> None:
    assert_compiled_equals_eager(np.vdot, numbers(3, 4), numbers(4, 3), scale=100.0)
    assert_compiled_equals_eager(np.vdot, numbers(3, 4).T.copy().T, numbers(12), scale=100.0)
    assert_compiled_equals_eager(np.vecdot, numbers(3, 4), numbers(4), scale=100.0)
    assert_compiled_equals_eager(np.linalg.vecdot, numbers(5, 1, 4), numbers(3, 4), scale=100.0)
    for dtype in (np.float64, np.float32, np.int64):
        a, b = numbers(5, 3, dtype=dtype), numbers(3, dtype=dtype)
        assert_compiled_equals_eager(lambda a, b: [np.cross(a, b), np.cross(b, b)], a, b)


EINSUMS = [
    ("ij,jk->ik", ((3, 4), (4, 5))),
    ("ij,jk->ki", ((30, 40), (40, 50))),
    ("bij,bjk->ibk", ((6, 30, 40), (6, 40, 50))),
    ("ii->i", ((4, 4),)),
    ("ii", ((4, 4),)),
    ("ij->", ((4, 4),)),
    ("ij->ji", ((4, 3),)),
    ("ijk->k", ((4, 3, 5),)),
    ("ij,jk,kl->il", ((4, 3), (3, 5), (5, 6))),
    ("i,j,k->ijk", ((4,), (3,), (5,))),
    ("i,i,i->", ((4,), (4,), (4,))),
    ("ij,kl->", ((4, 3), (5, 6))),
    ("ij,ij->j", ((400, 3), (400, 3))),
    ("nd,kde,ne->nk", ((100, 3), (5, 3, 3), (100, 3))),
    ("iij,jk->ik", ((4, 4, 3), (3, 3))),
    ("abcd,cdef->abef", ((10, 6, 7, 8), (7, 8, 5, 9))),
    ("abcd,cdef->efab", ((10, 6, 7, 8), (7, 8, 5, 9))),
    ("abcd,cefd->aebf", ((10, 6, 7, 8), (7, 5, 9, 8))),
    ("ij,j->i", ((3, 0), (0,))),
    ("ij,jk->ik", ((0, 3), (3, 2))),
    (",ij->ij", ((), (2, 3))),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS)
def test_einsum_any_subscripts_equals_numpy(subscripts: str, shapes: Any, dtype: Any) -> None:
    xs = [numbers(*shape, dtype=dtype) for shape in shapes]
    assert_compiled_equals_eager(lambda *xs: np.einsum(subscripts, *xs), *xs, scale=1000.0)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((60, 70), (70, 80)), ((300, 200), (200,))])
def test_products_of_infinities_and_nan_equal_numpy(shapes: Any) -> None:
    x1, x2 = (numbers(*shape) for shape in shapes)
    x1[0, 0], x1[1, 1] = np.inf, np.nan
    x2[0] = 0.0
    assert_compiled_equals_eager(lambda a, b: a @ b, x1, x2, scale=100.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rows", "length"), [(300, 7), (301, 12), (1000, 2)])
def test_what_is_made_of_products_with_short_rows_lies_by_columns(rows: int, length: int, dtype: Any) -> None:
    x, w, shift = (numbers(*shape, dtype=dtype) / dtype(8) for shape in ((rows, 40), (40, length), (length,)))

    def nearest(x: Any, w: Any, shift: Any) -> Any:
        y = np.square(x @ w - shift)
        return y - np.min(y, axis=1)[:, None], np.exp(-y).sum(axis=0), x.T @ (y * y[::-1])

    program = funcgrad.jit(nearest).lower(x, w, shift)
    assert f"[i0 + {rows}*i1] = " in str(program.as_text("loops"))
    assert_compiled_equals_eager(nearest, x, w, shift, scale=100.0)
