"""np.dot, np.einsum and their kin of traced arrays: NumPy's results, bit for bit, and their derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcgrad
import funcgrad.numpy
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

RNG = np.random.default_rng(7)


def draw(*shape, dtype=np.float64):
    x = RNG.standard_normal(shape)
    return (x + 1j * RNG.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def strided(*shape):
    """An array of this shape with gaps and a negative stride, which BLAS cannot take as it is."""
    return draw(*[2 * n for n in shape])[tuple(slice(None, None, -2) for _ in shape)]


def pairs(*shapes):
    return [(draw(*a), draw(*b)) for a, b in shapes]


PRODUCTS = {
    "dot": (
        np.dot,
        pairs(
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3, 4)),
            ((2, 4, 3), (5, 3, 2)),
            ((2, 3), (2, 3, 2)),
            ((), (2, 3)),
            ((3,), ()),
            ((0, 3), (3, 2)),
        ),
    ),
    "dot-strided": (np.dot, [(strided(4, 3), strided(3, 5)), (strided(7), strided(7)), (strided(2, 4, 3), strided(3))]),
    "dot-method": (lambda a, b: a.dot(b), pairs(((2, 3), (3, 4)))),
    "operator": (lambda a, b: a @ b, pairs(((2, 3), (3, 4)), ((3,), (3,)), ((2, 4, 3), (3, 2)))),
    "matmul": (np.matmul, [*pairs(((2, 4, 3), (3,)), ((2, 3), (5, 3, 2))), (strided(4, 3), strided(3, 5))]),
    "matmul-axes": (lambda a, b: np.matmul(a, b, axes=[(0, 1), (0, 1), (1, 0)]), pairs(((2, 3, 5), (3, 4, 5)))),
    "matmul-dtype": (lambda a, b: np.matmul(a, b, dtype=np.complex128), pairs(((2, 3), (3, 4)))),
    "linalg-matmul": (np.linalg.matmul, pairs(((2, 4, 3), (3, 2)))),
    "vdot": (np.vdot, [*pairs(((2, 3), (3, 2)), ((3,), (3,))), (strided(5), strided(5)), (strided(2, 3), draw(6))]),
    "inner": (np.inner, pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 3), (5, 4, 3)), ((), (2, 3)))),
    "outer": (np.outer, pairs(((3,), (2,)), ((2, 2), (3,)), ((), (3,)))),
    "linalg-outer": (np.linalg.outer, pairs(((3,), (2,)))),
    "tensordot-1": (lambda a, b: np.tensordot(a, b, 1), pairs(((2, 3), (3, 4)), ((2, 4, 3), (3, 2, 2)))),
    "tensordot-0": (lambda a, b: np.tensordot(a, b, axes=0), pairs(((2, 3), (3,)))),
    "tensordot-2": (np.tensordot, pairs(((2, 3, 4), (3, 4, 2)), ((3, 4), (3, 4)))),
    "tensordot-axes": (lambda a, b: np.tensordot(a, b, ([0, -1], [2, 0])), pairs(((2, 3, 4), (4, 3, 2)))),
    "tensordot-axis": (lambda a, b: np.linalg.tensordot(a, b, axes=(1, 0)), pairs(((2, 3), (3, 4)))),
    "kron": (np.kron, pairs(((2, 3), (2, 2)), ((3,), (2, 2)), ((2, 2, 2), (3,)), ((), (2, 3)), ((2,), (3,)))),
    "cross": (np.cross, pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)))),
    "cross-axes": (lambda a, b: np.cross(a, b, axisa=0, axisb=-1, axisc=0), pairs(((3, 4), (2, 4, 3)))),
    "cross-axis": (lambda a, b: np.linalg.cross(a, b, axis=0), pairs(((3, 4), (3, 4)))),
    "vecdot": (np.vecdot, pairs(((2, 3), (3,)), ((3,), (3,)))),
    "vecdot-axis": (lambda a, b: np.vecdot(a, b, axis=0), pairs(((3, 2), (3, 4, 2)))),
    "vecdot-keepdims": (lambda a, b: np.vecdot(a, b, keepdims=True), pairs(((2, 3), (2, 3)))),
    "linalg-vecdot": (lambda a, b: np.linalg.vecdot(a, b, axis=-2), pairs(((3, 2), (3, 2)))),
    "multi_dot-2": (lambda a, b: np.linalg.multi_dot([a, b]), pairs(((2, 3), (3, 4)))),
    "multi_dot-3": (
        lambda *xs: np.linalg.multi_dot(xs),
        [(draw(2, 3), draw(3, 5), draw(5, 2)), (draw(5, 2), draw(2, 3), draw(3)), (draw(3), draw(3, 4), draw(4))],
    ),
    "multi_dot-5": (
        lambda *xs: np.linalg.multi_dot(xs),
        [(draw(4, 2), draw(2, 7), draw(7, 3), draw(3, 3), draw(3, 1)), (draw(6), draw(6, 2), draw(2, 5), draw(5, 2))],
    ),
}
if hasattr(np, "matvec"):
    PRODUCTS["matvec"] = (np.matvec, pairs(((4, 3), (2, 3)), ((2, 4, 3), (3,))))
    PRODUCTS["vecmat"] = (np.vecmat, pairs(((3,), (3, 4)), ((2, 3), (2, 3, 4))))

CALLS = [
    pytest.param(f, args, id=f"{name}-{i}") for name, (f, cases) in PRODUCTS.items() for i, args in enumerate(cases)
]


@pytest.mark.parametrize(("f", "args"), CALLS)
def test_product_traced_equals_numpy(f, args):
    assert_values(f, *args)
    assert_values(f, *[x.astype(np.float32) for x in args])
    assert_values(f, *[x + 1j * x[::-1] if x.ndim else x * 1j for x in args])
    assert_values(f, args[0].astype(np.float32), *args[1:])


@pytest.mark.parametrize(("f", "args"), CALLS)
def test_product_derivatives_equal_differences(f, args):
    assert_derivatives(f, *args, order=2)
    assert_derivatives(f, *[x + 1j * x[::-1] if x.ndim else x * 1j for x in args])
    assert_derivatives(f, args[0].astype(np.float32), *args[1:])


@pytest.mark.parametrize(("f", "args"), [case for case in CALLS if "method" not in case.id])
def test_product_one_operand_traced_equals_numpy(f, args):
    expected = f(*args)
    for i in range(len(args)):
        assert_same(funcgrad.vjp(lambda x, i=i: f(*args[:i], x, *args[i + 1 :]), args[i])[0], expected)


@pytest.mark.parametrize(("f", "args"), CALLS)
def test_product_mapped_equals_the_loop(f, args):
    batch = [np.stack([x, 2 * x, x - 1]) for x in args]
    expected = np.stack([f(*row) for row in zip(*batch, strict=True)])
    np.testing.assert_allclose(funcgrad.vmap(f)(*batch), expected, rtol=1e-12, atol=1e-12)


def test_cross_of_plane_vectors_equals_numpy_and_warns():
    for a, b in pairs(((2,), (2,)), ((4, 2), (4, 3)), ((4, 3), (2,))):
        if np.lib.NumpyVersion(np.__version__) >= "2.5.0":  # where it is an error at last
            for f in (np.cross, lambda a, b: funcgrad.vjp(np.cross, a, b)):
                with pytest.raises(ValueError, match="3-dimensional vectors"):
                    f(a, b)
            continue
        with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
            y, _ = funcgrad.vjp(np.cross, a, b)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_same(y, np.cross(a, b))
            assert_derivatives(np.cross, a, b)


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b, out: np.dot(a, b, out=out),
        lambda a, b, out: np.dot(a, b, out),
        lambda a, b, out: np.matmul(a, b, out=out),
        lambda a, b, out: np.einsum("ij,jk", a, b, out=out),
        lambda a, b, out: np.outer(a[0], b[0, :3], out),
        lambda a, b, out: np.linalg.multi_dot([a, b], out=out),
        lambda a, b, out: np.linalg.multi_dot([a, b, b[:, :3]], out=out),
    ],
)
def test_product_out_is_written_and_returned(f):
    a, b = draw(3, 3), draw(3, 3)

    def g(a, b):
        out = funcgrad.numpy.zeros((3, 3))
        assert f(a, b, out) is out
        return out * 1.0

    expected = f(a, b, np.zeros((3, 3)))
    assert_same(funcgrad.vjp(g, a, b)[0], expected)
    assert_derivatives(g, a, b)
    with pytest.raises(ValueError) as numpys:  # noqa: PT011 (NumPy's text)
        f(a, b, np.zeros(2))
    with pytest.raises(ValueError) as ours:  # noqa: PT011 (NumPy's text)
        funcgrad.vjp(lambda a, b: f(a, b, funcgrad.numpy.zeros(2)), a, b)
    assert str(ours.value) == str(numpys.value)
    with pytest.raises(TypeError, match="plain value"):
        funcgrad.vjp(lambda a, b: f(a, b, np.zeros((3, 3))), a, b)


def test_dot_list_of_traced_numbers_works():
    w = np.array([1.0, 2.0, 3.0])
    gradient = funcgrad.grad(lambda x: np.dot([x, x * x, 1.0], w * x))(2.0)
    assert gradient == 1 * 2 * 2.0 + 2 * 3 * 2.0**2 + 3


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (np.dot, ((2, 3), (4, 3))),
        (np.matmul, ((2, 3), (4, 3))),
        (np.matmul, ((), (3,))),
        (np.vdot, ((2,), (3,))),
        (np.inner, ((2, 3), (4, 2))),
        (np.tensordot, ((2, 3), (3, 2))),
        (lambda a, b: np.tensordot(a, b, ([0, 0], [0, 1])), ((2, 3), (2, 2))),
        (lambda a, b: np.tensordot(a, b, ([5], [0])), ((2, 3), (2, 2))),
        (np.linalg.outer, ((2, 3), (2,))),
        (np.cross, ((4,), (3,))),
        (np.cross, ((2, 3), (4, 3))),
        (np.linalg.cross, ((2,), (3,))),
        (np.vecdot, ((2,), (3,))),
        (lambda a, b: np.vecdot(a, b, axis=3), ((2,), (2,))),
        (lambda a, b: np.linalg.multi_dot([a]), ((2, 2), (2, 2))),
        (lambda a, b: np.linalg.multi_dot([a, a, b]), ((2, 2), (2, 2, 2))),
        (lambda a, b: np.einsum("ij,jk->ik", a, b), ((2, 3), (4, 3))),
        (lambda a, b: np.einsum("ij,jk->il", a, b), ((2, 3), (3, 3))),
        (lambda a, b: np.einsum("ij,j", a, b), ((2, 3), (3, 3))),
        (lambda a, b: np.einsum("i...,j->ij", a, b), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ii,j", a, b), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ij", a, b), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ij,j->iij", a, b), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ij,%", a, b), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ij,j", a, b, dtype=np.float32), ((2, 3), (3,))),
        (lambda a, b: np.einsum("ij,j", a, b, nonsense=1), ((2, 3), (3,))),
    ],
)
def test_product_wrong_shapes_raise_as_numpy(f, shapes):
    args = [draw(*shape) for shape in shapes]
    with pytest.raises(Exception) as expected:  # noqa: PT011 (which, NumPy says)
        f(*args)
    for transformed in (lambda: funcgrad.vjp(f, *args), lambda: funcgrad.eval_shape(f, *args)):
        with pytest.raises(expected.type) as actual:
            transformed()
        assert str(actual.value) == str(expected.value)


# einsum

SUBSCRIPTS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "ji,jk": ((3, 2), (3, 4)),
    "ba": ((2, 3),),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "...ii->...i": ((2, 3, 3),),
    "i...->...": ((2, 3, 4),),
    "...,...": ((2, 3), (4, 1, 3)),
    "...ij,...jk->...ik": ((2, 1, 3, 4), (5, 4, 2)),
    "...ij,jk": ((5, 3, 4), (4, 2)),
    "i...j,j...->...i": ((3, 4, 2), (2, 4)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)),
    "ij,jk,kl,lm,m": ((2, 3), (3, 4), (4, 5), (5, 2), (2,)),
    "ij,ij,ij->j": ((2, 3), (2, 3), (2, 3)),
    "ijk,ljk,i->l": ((2, 3, 4), (5, 3, 4), (2,)),
    "ij,kl->": ((2, 3), (2, 2)),
    "ij,jk->ik ": ((2, 1), (3, 4)),
    " i j , j -> i": ((2, 3), (1,)),
    ",ij->ji": ((), (2, 3)),
    "ZA,Ab": ((2, 3), (3, 4)),
    "iij,jkk->ik": ((2, 2, 3), (3, 4, 4)),
    "ij,j->i": ((0, 3), (3,)),
    "ij,jk->k": ((2, 0), (0, 3)),
    "...->": ((),),
}


@pytest.mark.parametrize("optimize", [False, True, None, "optimal", ("greedy", 20)], ids=str)
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_einsum_traced_equals_numpy(subscripts, optimize):
    def f(*xs):
        return np.einsum(subscripts, *xs, optimize=optimize)

    args = [draw(*shape) for shape in SUBSCRIPTS[subscripts]]
    assert_values(f, *args)
    assert_values(f, *[x.astype(np.float32) for x in args])
    assert_values(f, *[x * (1 + 2j) for x in args])
    if optimize in (False, True):
        assert_derivatives(f, *args)
        assert_derivatives(f, *[x * (1 + 2j) for x in args])


@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "ii->i", "...ij,...jk->...ik", "ijk,ljk,i->l"])
def test_einsum_second_derivatives_equal_differences(subscripts):
    args = [draw(*shape) for shape in SUBSCRIPTS[subscripts]]
    assert_derivatives(lambda *xs: np.einsum(subscripts, *xs), *args, order=2)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 3), (1, 3)])
def test_einsum_of_a_diagonal_of_what_is_not_square_tells_both_lengths(shape):
    # Of (0, 3) NumPy reads three numbers that are not there.
    with pytest.raises(ValueError, match=rf"collapsing index 'i' don't match \({shape[0]} != {shape[1]}\)"):
        funcgrad.jit(lambda x: np.einsum("ii->i", x))(np.ones(shape))


def test_einsum_sublists_equal_numpy():
    a, b = draw(2, 3), draw(3, 4)
    for f in (
        lambda a, b: np.einsum(a, [0, 1], b, [1, 2]),
        lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]),
        lambda a, b: np.einsum(a, [5, 30], b, [30, 27]),
        lambda a, b: np.einsum(a, [0, 1], b, [..., 2], [..., 2, 0, 1]),
        lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0], optimize=True),
    ):
        assert_values(f, a, b)
        assert_derivatives(f, a, b)


def test_einsum_dtype_and_order_are_taken():
    a, b = draw(2, 3, dtype=np.float32), draw(3, 4, dtype=np.float32)
    assert_values(lambda a, b: np.einsum("ij,jk", a, b, dtype=np.float64, order="F"), a, b)
    assert_values(lambda a, b: np.einsum("ij,jk", a, b, dtype=np.float16, casting="same_kind"), a, b)


def test_einsum_explicit_path_is_followed_in_pairs():
    args = [draw(2, 3), draw(3, 4), draw(4, 5)]
    path = ["einsum_path", (1, 2), (0, 1)]

    def f(*xs):
        assert np.einsum_path("ij,jk,kl->il", *xs)[0][0] == "einsum_path"
        return np.einsum("ij,jk,kl->il", *xs, optimize=path)

    assert_values(f, *args)
    assert str(funcgrad.make_jaxpr(f)(*args)).count("einsum[") == 2
    with pytest.raises(RuntimeError, match="Invalid einsum_path"):
        funcgrad.vjp(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path[:2]), *args)


def test_einsum_large_products_pull_back_by_matmul():
    a, b = draw(60, 70), draw(70, 50)
    text = str(funcgrad.make_jaxpr(lambda a, b: funcgrad.vjp(lambda a: np.einsum("ij,jk", a, b), a)[1](a @ b))(a, b))
    assert "optimize=True" in text


@st.composite
def contractions(draw_):
    """Random subscripts of two or three operands with few labels, so that they repeat, and shapes that fit."""
    sizes = {label: draw_(st.integers(1, 3)) for label in "abcd"}
    terms = draw_(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(draw_(st.permutations(used))[: draw_(st.integers(0, len(used)))])
    subscripts = ",".join(terms) + (f"->{output}" if draw_(st.booleans()) else "")
    return subscripts, [tuple(sizes[label] for label in term) for term in terms]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(contractions(), st.booleans(), st.integers(0, 99))
def test_einsum_any_subscripts_equal_numpy(contraction, optimize, seed):
    subscripts, shapes = contraction
    rng = np.random.default_rng(seed)
    args = [rng.standard_normal(shape) for shape in shapes]

    def f(*xs):
        return np.einsum(subscripts, *xs, optimize=optimize)

    assert_values(f, *args)
    assert_derivatives(f, *args)
    batch = [np.stack([x, 1 - x], axis=-1) for x in args]
    expected = np.stack([f(*[x[..., i] for x in batch]) for i in range(2)])
    np.testing.assert_allclose(funcgrad.vmap(f, in_axes=-1)(*batch), expected, rtol=1e-12, atol=1e-12)
