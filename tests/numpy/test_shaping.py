"""NumPy's shaping, joining and rearranging of traced arrays: its results, bit for bit, its errors, and derivatives."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import funcgrad
from funcgrad.core.errors import TracedConversionError, UnsupportedFunctionError
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

RNG = np.random.default_rng(5)


def draw(*shape):
    return RNG.standard_normal(shape)


V, W = draw(3), draw(3)
M, N = draw(2, 3), draw(2, 3)
T = draw(2, 1, 3)
S = np.float64(0.7)
FORTRAN = np.asfortranarray(draw(3, 4))
SWAPPED = draw(4, 2, 3).transpose(2, 0, 1)[:, ::-1]
EMPTY = np.zeros((0, 3))
ROWS = np.array([2, 0])
MASK = np.array([True, False, True])


def _steps(a, b):
    y, step = np.linspace(a, b, 3, retstep=True)
    return y, step


CALLS = {
    # views
    "reshape": (lambda x: (np.reshape(x, (3, 2)), np.reshape(x, -1), np.reshape(x, (3, -1)), np.reshape(x, 6)), [M]),
    "reshape-orders": (lambda x: (np.reshape(x, (2, 6), order="F"), np.reshape(x, 12, copy=True)), [FORTRAN]),
    "reshape-method": (lambda x: (x.reshape(3, 2), x.reshape((3, 2)), x.reshape(-1), x.reshape(3, 2, order="F")), [M]),
    "reshape-empty": (lambda x: (x.reshape(3, 0), x.reshape(3, -1), np.reshape(x, (0, 7))), [EMPTY]),
    "reshape-scalar": (lambda x: (np.reshape(x, (1, 1)), np.reshape(x, ())), [S]),
    "ravel": (lambda x: (np.ravel(x), x.ravel(), x.flatten(), x.flatten("F"), x.flat[2]), [M]),
    "ravel-orders": (lambda x: (np.ravel(x, "F"), x.ravel("C"), x.flatten("F")), [FORTRAN]),
    "transpose": (
        lambda x: (np.transpose(x), np.transpose(x, (1, 2, 0)), np.permute_dims(x, (-1, 0, 1)), x.T),
        [T],
    ),
    "transpose-method": (lambda x: (x.transpose(), x.transpose(1, 2, 0), x.transpose((2, 0, 1)), x.mT), [T]),
    "transpose-none": (lambda x: (x.transpose(None), np.transpose(x, None), np.matrix_transpose(x)), [M]),
    "transpose-vector": (lambda x: (x.T, np.transpose(x), np.transpose(x, 0)), [V]),
    "matrix-transpose": (lambda x: np.linalg.matrix_transpose(x), [T]),
    "swapaxes": (lambda x: (np.swapaxes(x, 0, -1), x.swapaxes(1, 2)), [T]),
    "moveaxis": (lambda x: (np.moveaxis(x, 0, -1), np.moveaxis(x, (0, 1), (-1, 0))), [T]),
    "rollaxis": (lambda x: (np.rollaxis(x, 2), np.rollaxis(x, 0, 3), np.rollaxis(x, 1, -1), np.rollaxis(x, 1, 1)), [T]),
    "expand_dims": (lambda x: (np.expand_dims(x, 0), np.expand_dims(x, (0, -1)), np.expand_dims(x, [1])), [M]),
    "squeeze": (lambda x: (np.squeeze(x), np.squeeze(x, 1), x.squeeze(), x.squeeze((1,)), x.squeeze(-2)), [T]),
    "squeeze-scalar": (lambda x: (np.squeeze(x), np.squeeze(x, -1)), [np.array(0.5)]),
    "atleast": (
        lambda x, y, z: (np.atleast_1d(x), np.atleast_2d(y), np.atleast_3d(z), np.atleast_3d(y), np.atleast_2d(x)),
        [S, V, M],
    ),
    "atleast-several": (lambda x, y: (*np.atleast_1d(x, y), *np.atleast_2d(x, y), *np.atleast_3d(x, y)), [S, V]),
    "flip": (lambda x: (np.flip(x), np.flip(x, 1), np.flip(x, (0, -1)), np.fliplr(x), np.flipud(x)), [M]),
    "flip-nothing": (lambda x, y: (np.flip(x), np.flip(y, ())), [S, M]),
    "rot90": (lambda x: tuple(np.rot90(x, k) for k in range(-1, 5)), [M]),
    "rot90-axes": (lambda x: (np.rot90(x, 1, (1, 2)), np.rot90(x, 3, (-1, 0)), np.rot90(x, 2, (2, 0))), [T]),
    "broadcast_to": (lambda x: (np.broadcast_to(x, (2, 3)), np.broadcast_to(x, 3)), [V]),
    "broadcast_arrays": (lambda x, y: np.broadcast_arrays(x, y, 1.0), [V, T]),
    "meshgrid": (lambda x, y: (*np.meshgrid(x, y), *np.meshgrid(x, y, indexing="ij")), [V, draw(2)]),
    "meshgrid-sparse": (lambda x, y: (*np.meshgrid(x, y, V, sparse=True), *np.meshgrid(x)), [V, draw(2)]),
    "diagonal": (
        lambda x: (np.diagonal(x), np.diagonal(x, 1), x.diagonal(-1), np.diagonal(x, 0, 1, 0), np.linalg.diagonal(x)),
        [draw(3, 4)],
    ),
    "diagonal-stack": (lambda x: (np.diagonal(x), x.diagonal(1, 0, 2), np.linalg.diagonal(x, offset=-1)), [T]),
    # joining
    "concatenate": (
        lambda x, y: (np.concatenate([x, y]), np.concatenate((x, y), 1), np.concatenate([x, M, y], axis=-1)),
        [M, N],
    ),
    "concatenate-flat": (lambda x, y: np.concatenate([x, y], None), [M, V]),
    "concatenate-array": (lambda x: (np.concatenate(x), np.concatenate([x]), np.concat([x, EMPTY])), [M]),
    "concatenate-lists": (lambda x: np.concatenate([x, [1.0, 2.0], [x[0], 3.0]]), [V]),
    "concatenate-dtypes": (
        lambda x: (np.concatenate([x, ROWS]), np.concatenate([x, [1j]]), np.concatenate([x, np.float32([1])])),
        [V],
    ),
    "concatenate-dtype": (lambda x: np.concatenate([x, V.astype("f4")], dtype="f4"), [V.astype("f4")]),
    "stack": (lambda x, y: (np.stack([x, y]), np.stack((x, y), 1), np.stack([x, y, M], axis=-1)), [M, N]),
    "stack-scalars": (lambda x: np.stack([x, 2.0, x * x, 3]), [S]),
    "stack-array": (lambda x: np.stack(x, 1), [M]),
    "stack-dtype": (lambda x: np.stack([x, x], dtype=np.complex128), [V]),
    "vstack": (lambda x, y: (np.vstack([x, y]), np.vstack((V, y, x))), [V, M]),
    "hstack": (lambda x, y: (np.hstack([x, x]), np.hstack((y, M)), np.hstack([S, x])), [V, M]),
    "dstack": (lambda x, y: (np.dstack([x, V]), np.dstack([y, M])), [V, M]),
    "column_stack": (lambda x, y: (np.column_stack([x, V, x]), np.column_stack((V, y))), [V, draw(3, 2)]),
    "block": (lambda x, y: (np.block([[x, y], [N, M]]), np.block([x, np.array([[0.5], [1.5]])]), np.block(x)), [M, N]),
    "block-mixed": (lambda x: (np.block([[np.eye(3), x.reshape(3, 1)], [x, 0.5]]), np.block([x, 1.0, V])), [V]),
    "append": (lambda x: (np.append(x, 1.0), np.append(x, [N[0]], 0), np.append(M, x, axis=1)), [M]),
    "kron": (lambda x, y: (np.kron(x, y), np.kron(y, x), np.kron(x, 2.0)), [M, V]),
    # splitting
    "split": (lambda x: (*np.split(x, 3, 1), *np.split(x, [1], axis=0), *np.split(x, [1, 2], 1)), [M]),
    "array_split": (lambda x: (*np.array_split(x, 2), *np.array_split(x, 4), *np.array_split(x, [1, 5, 2])), [V]),
    "split-axes": (lambda x: (*np.hsplit(x, 3), *np.vsplit(x, [1]), *np.hsplit(x[0], [2])), [M]),
    "dsplit": (lambda x: np.dsplit(x, 3), [T]),
    "unstack": (lambda x: (*np.unstack(x), *np.unstack(x, axis=1)), [M]),
    # repeating and moving
    "tile": (lambda x: (np.tile(x, 2), np.tile(x, (2, 1)), np.tile(x, (2, 1, 2)), np.tile(x, 1), np.tile(x, ())), [M]),
    "tile-scalar": (lambda x: (np.tile(x, 3), np.tile(x, (0, 2))), [S]),
    "repeat": (lambda x: (np.repeat(x, 2), np.repeat(x, 2, 1), x.repeat(2, axis=0), np.repeat(x, 0, 0)), [M]),
    "repeat-each": (lambda x: (np.repeat(x, [1, 0, 2], 1), np.repeat(x, [2], -1), np.repeat(x, ROWS, 0)), [M]),
    "resize": (lambda x: (np.resize(x, 7), np.resize(x, (2, 2)), np.resize(x, (0, 2))), [M]),
    "resize-empty": (lambda x: np.resize(x, (2, 2)), [EMPTY]),
    "roll": (lambda x: (np.roll(x, 1), np.roll(x, -4, 1), np.roll(x, (1, 2), (0, 1)), np.roll(x, 0, 0)), [M]),
    "roll-repeated": (lambda x: (np.roll(x, (1, 1), (1, 1)), np.roll(x, 1, (0, 1)), np.roll(x, (1, 2), 1)), [M]),
    "roll-empty": (lambda x: (np.roll(x, 1), np.roll(x, 1, 0)), [EMPTY]),
    "delete": (
        lambda x: (
            np.delete(x, 1),
            np.delete(x, [0, -1], 1),
            np.delete(x, slice(None, None, 2), 1),
            np.delete(x, 0, 0),
        ),
        [M],
    ),
    "delete-mask": (lambda x: (np.delete(x, MASK), np.delete(x, [])), [V]),
    "insert": (lambda x: (np.insert(x, 1, 5.0), np.insert(x, [0, 2], [7.0, 8.0]), np.insert(x, -1, [1, 2, 3])), [V]),
    "insert-axis": (
        lambda x, y: (np.insert(x, 1, y, axis=0), np.insert(x, [1], y, axis=0), np.insert(x, [0, 3], 9.0, axis=1)),
        [M, V],
    ),
    "insert-flat": (lambda x: (np.insert(x, slice(1, 4), 5.0), np.insert(x, MASK.nonzero()[0], [1.0, 2.0])), [M]),
    "insert-into-constant": (lambda x: np.insert(V, 2, x), [S]),
    "pad": (lambda x: (np.pad(x, 1), np.pad(x, (1, 2)), np.pad(x, ((1, 0), (0, 2))), np.pad(x, 0)), [M]),
    "pad-values": (
        lambda x: (
            np.pad(x, 1, constant_values=3),
            np.pad(x, ((1, 0), (2, 3)), constant_values=((1, 2), (3, 4))),
            np.pad(x, 1, constant_values=-0.0),
        ),
        [M],
    ),
    "pad-traced-value": (lambda x, c: np.pad(x, (1, 2), constant_values=c), [M, S]),
    **{
        f"pad-{mode}": (lambda x, mode=mode: (np.pad(x, 2, mode), np.pad(x, ((1, 0), (0, 4)), mode)), [M])
        for mode in ("edge", "reflect", "symmetric", "wrap")
    },
    # matrices
    "diag": (lambda x, y: (np.diag(x), np.diag(x, 2), np.diag(x, k=-1), np.diag(y), np.diag(y, 1)), [V, M]),
    "diagflat": (lambda x: (np.diagflat(x), np.diagflat(x, -1)), [M]),
    "trace": (
        lambda x, y: (np.trace(x), x.trace(1), np.trace(y, 0, 0, 2), np.linalg.trace(y), np.trace(x, dtype=complex)),
        [M, T],
    ),
    "tril": (lambda x, y: (np.tril(x), np.tril(x, 1), np.triu(x, -1), np.triu(y), np.tril(y[0, 0])), [M, T]),
    "vander": (lambda x: (np.vander(x), np.vander(x, 4), np.vander(x, 5, increasing=True), np.vander(x, 1)), [V]),
    # neighbours
    "diff": (
        lambda x: (np.diff(x), np.diff(x, 2), np.diff(x, axis=0), np.diff(x, prepend=0.0, append=x), np.diff(x, 0)),
        [M],
    ),
    "diff-ends": (lambda x: np.diff(V, prepend=x, append=[x, 2.0]), [S]),
    "ediff1d": (lambda x: (np.ediff1d(x), np.ediff1d(x, 7.0), np.ediff1d(x, to_begin=[1, 2], to_end=x)), [M]),
    "trapezoid": (lambda x: (np.trapezoid(x), np.trapezoid(x, dx=0.5, axis=0), np.trapezoid(x, [1, 2, 4])), [M]),
    "trapezoid-positions": (lambda x, p: (np.trapezoid(x, p), np.trapezoid(p, V), np.trapezoid(x, x)), [M, V]),
    "gradient": (
        lambda x: (
            np.gradient(x),
            np.gradient(x, 0.5),
            np.gradient(x, edge_order=2),
            np.gradient(x, 2.0, edge_order=2),
        ),
        [draw(5)],
    ),
    "gradient-axes": (lambda x: (*np.gradient(x), np.gradient(x, axis=-1), *np.gradient(x, 1.0, 2.0)), [draw(4, 3)]),
    "gradient-positions": (
        lambda x: (np.gradient(x, [0, 1, 3, 4.5]), np.gradient(x, [0, 1, 3, 4.5], edge_order=2)),
        [draw(4)],
    ),
    "gradient-uniform-positions": (lambda x: np.gradient(x, [0, 2, 4, 6], [0.0, 1, 3], axis=(0, 1))[0], [draw(4, 3)]),
    "gradient-traced-positions": (
        lambda x, p: (np.gradient(x, p), np.gradient(x, p, edge_order=2)),
        [draw(5), np.array([0.0, 0.7, 1.9, 3.0, 3.4])],
    ),
    "gradient-traced-step": (lambda x, h: np.gradient(x, h), [draw(5), S]),
    # evenly spaced numbers
    "linspace": (
        lambda a, b: (np.linspace(a, b, 5), np.linspace(a, 3, 4, endpoint=False), np.linspace(a, b, 1), *_steps(a, b)),
        [S, np.float64(2.4)],
    ),
    "linspace-arrays": (
        lambda x, y: (np.linspace(x, 1, 3), np.linspace(0.5, y, 4, axis=-1), np.linspace(x, y, 0), *_steps(x, y)),
        [V, M],
    ),
    "logspace": (
        lambda a, x: (np.logspace(a, 1.5, 4), np.logspace(x, 2, 3, base=2, axis=1), np.logspace(a, a, 2, base=x * x)),
        [S, V],
    ),
    "geomspace": (
        lambda a, x: (np.geomspace(a, 2, 4), np.geomspace(x, x * 4, 3), np.geomspace(a, x, 3, endpoint=False, axis=-1)),
        [S, np.array([0.3, 0.5, 0.9])],
    ),
    # copies and dtypes
    "copy": (lambda x: (np.copy(x), x.copy(), copy.copy(x), copy.deepcopy(x)), [M]),
    "astype": (
        lambda x: (x.astype(float), x.astype(complex), x.astype(int), np.astype(x, complex)),
        [M],
    ),
    "like": (lambda x: (np.zeros_like(x), np.ones_like(x, int), np.full_like(x, 2), np.zeros_like(x, shape=2)), [M]),
    "full_like-traced": (lambda x, c: (np.full_like(x, c), np.full_like(x, c, dtype=complex, shape=(2,))), [M, S]),
    "asarray": (lambda x: (np.asarray([1, 2], like=x), np.array([x[0], 2.0], ndmin=2, like=x)), [V]),
    "asarray-contiguous": (lambda x: (np.ascontiguousarray(x[0], like=x), np.array(x, complex, like=x)), [V]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_traced_arguments_equal_numpy(name):
    f, args = CALLS[name]
    assert_values(f, *args)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_traced_arguments_equal_differences(name):
    f, args = CALLS[name]
    assert_derivatives(f, *args)


@pytest.mark.parametrize("name", CALLS)
def test_vmap_two_rows_equal_the_loop(name):
    f, args = CALLS[name]
    batches = [np.stack([x, 1.5 - x]) for x in args]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        rows = [f(*row) for row in zip(*batches, strict=True)]
        batched = funcgrad.vmap(f)(*batches)
    if not isinstance(batched, (tuple, list)):
        rows, batched = [(row,) for row in rows], (batched,)
    for i, y in enumerate(batched):
        for k in (0, 1):
            expected = np.asarray(rows[k][i])
            assert (y[k].dtype, y[k].shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(y[k], expected, rtol=1e-14, atol=1e-15)


ERRORS = {
    "reshape": (lambda x: x.reshape(4), M),
    "reshape-two-unknown": (lambda x: x.reshape(-1, -1), M),
    "reshape-remainder": (lambda x: x.reshape(4, -1), M),
    "reshape-float": (lambda x: x.reshape((2.0, 3)), M),
    "reshape-order": (lambda x: np.reshape(x, 6, order="Z"), M),
    "transpose-few": (lambda x: x.transpose(0), M),
    "transpose-none": (lambda x: x.transpose(()), M),
    "transpose-repeated": (lambda x: x.transpose(0, 0), M),
    "transpose-range": (lambda x: np.transpose(x, (0, 2)), M),
    "mT": (lambda x: x.mT, V),
    "matrix_transpose": (lambda x: np.matrix_transpose(x), V),
    "swapaxes": (lambda x: np.swapaxes(x, 0, 2), M),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), 0), M),
    "moveaxis-range": (lambda x: np.moveaxis(x, 3, 0), M),
    "rollaxis": (lambda x: np.rollaxis(x, 0, 4), M),
    "expand_dims": (lambda x: np.expand_dims(x, 5), M),
    "squeeze": (lambda x: np.squeeze(x, 0), M),
    "squeeze-range": (lambda x: np.squeeze(x, 3), M),
    "squeeze-scalar": (lambda x: np.squeeze(x, 1), np.array(0.5)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 4)), M),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, np.ones(4)), M),
    "meshgrid": (lambda x: np.meshgrid(x, indexing="no"), V),
    "flip": (lambda x: np.flip(x, 2), M),
    "fliplr": (lambda x: np.fliplr(x), V),
    "flipud": (lambda x: np.flipud(x), np.array(0.5)),
    "rot90-axes": (lambda x: np.rot90(x, 1, (0, 0)), M),
    "rot90-range": (lambda x: np.rot90(x, 1, (0, 5)), M),
    "diagonal": (lambda x: np.diagonal(x), V),
    "diagonal-same": (lambda x: np.diagonal(x, 0, 1, 1), M),
    "concatenate-shapes": (lambda x: np.concatenate([x, np.ones((2, 2))]), M),
    "concatenate-ranks": (lambda x: np.concatenate([x, V]), M),
    "concatenate-scalars": (lambda x: np.concatenate([x, 1.0]), S),
    "concatenate-axis": (lambda x: np.concatenate([x, x], 2), M),
    "concatenate-casting": (lambda x: np.concatenate([x], dtype=int), M),
    "concatenate-both": (lambda x: np.concatenate([x], dtype=float, out=np.ones((2, 3))), M),
    "stack-shapes": (lambda x: np.stack([x, V]), M),
    "stack-axis": (lambda x: np.stack([x, x], 4), M),
    "hstack": (lambda x: np.hstack([x, V]), M),
    "block-tuple": (lambda x: np.block([(x, x)]), M),
    "block-empty": (lambda x: np.block([[x], []]), M),
    "block-depths": (lambda x: np.block([[x], x]), M),
    "split": (lambda x: np.split(x, 2), V),
    "split-zero": (lambda x: np.array_split(x, 0), V),
    "vsplit": (lambda x: np.vsplit(x, 1), V),
    "dsplit": (lambda x: np.dsplit(x, 1), M),
    "unstack": (lambda x: np.unstack(x), np.array(0.5)),
    "repeat-negative": (lambda x: np.repeat(x, -1), V),
    "repeat-many": (lambda x: np.repeat(x, [1, 2]), V),
    "repeat-axis": (lambda x: np.repeat(x, 1, 2), V),
    "resize": (lambda x: np.resize(x, -1), V),
    "roll": (lambda x: np.roll(x, 1, 2), M),
    "roll-matrix": (lambda x: np.roll(x, [[1]], 0), M),
    "delete": (lambda x: np.delete(x, 4, 1), M),
    "delete-mask": (lambda x: np.delete(x, [True, False]), V),
    "insert": (lambda x: np.insert(x, 5, 1.0, axis=1), M),
    "insert-shape": (lambda x: np.insert(x, 1, [1.0, 2.0], axis=0), M),
    "pad-mode": (lambda x: np.pad(x, 1, "no"), V),
    "pad-option": (lambda x: np.pad(x, 1, "edge", constant_values=1), V),
    "pad-negative": (lambda x: np.pad(x, -1), V),
    "pad-widths": (lambda x: np.pad(x, ((1, 2), (3, 4), (5, 6))), M),
    "pad-empty": (lambda x: np.pad(x, 1, "edge"), np.zeros(0)),
    "diag": (lambda x: np.diag(x), T),
    "vander": (lambda x: np.vander(x), M),
    "diff-scalar": (lambda x: np.diff(x), np.array(0.5)),
    "diff-negative": (lambda x: np.diff(x, -1), V),
    "diff-axis": (lambda x: np.diff(x, axis=2), V),
    "ediff1d": (lambda x: np.ediff1d(x, to_begin=1j), V),
    "gradient-short": (lambda x: np.gradient(x, edge_order=2), draw(2)),
    "gradient-order": (lambda x: np.gradient(x, edge_order=3), V),
    "gradient-many": (lambda x: np.gradient(x, 1.0, 2.0), V),
    "gradient-length": (lambda x: np.gradient(x, [1.0, 2.0]), V),
    "gradient-rank": (lambda x: np.gradient(x, M, M), M),
    "linspace-negative": (lambda x: np.linspace(x, 1, -1), V),
    "geomspace-zero": (lambda x: np.geomspace(x, 0.0), V),
    "astype-casting": (lambda x: x.astype(int, casting="safe"), V),
    "to_device": (lambda x: x.to_device("gpu"), V),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_traced_argument_are_numpys(name):
    f, x = ERRORS[name]
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        f(x)
    for transformation in (funcgrad.vjp, funcgrad.eval_shape):
        with pytest.raises(type(expected.value)) as actual:
            transformation(f, x)
        assert str(actual.value) == str(expected.value)


def test_memory_order_traced_argument_equals_numpy():
    for x in (FORTRAN, SWAPPED, FORTRAN[::-1], M):
        assert_values(lambda x: (np.ravel(x, "K"), np.ravel(x, "A"), x.flatten("A"), np.reshape(x, -1, "A")), x)


def test_metadata_traced_argument_equals_numpy():
    def f(x):
        return (
            (np.shape(x), np.ndim(x), np.size(x), np.size(x, 0), x.itemsize, x.nbytes, x.strides, x.device),
            (np.result_type(x, 1), np.result_type(x, np.float32), np.can_cast(x, "f4"), np.min_scalar_type(x[0, 0])),
            (np.iscomplexobj(x), np.isrealobj(x), np.common_type(x), x.flags.c_contiguous, x.to_device("cpu").shape),
            [index.tolist() for index in (*np.tril_indices_from(x), *np.triu_indices_from(x, 1))],
            [index.tolist() for index in np.diag_indices_from(x)],
        )

    x = draw(2, 2).astype("f4")
    seen = []
    funcgrad.vjp(lambda x: seen.append(f(x)) or x, x)
    expected = f(x)
    expected[1][3]  # a value of its own: NumPy looks at it
    assert seen[0][0] == expected[0]
    assert seen[0][1][:3] == expected[1][:3]
    assert seen[0][2:] == expected[2:]


def test_astype_other_precision_equals_numpy():
    assert_values(lambda x: (x.astype("f4"), np.astype(x, np.float32), x.astype(bool), np.full_like(x, x[0], "f4")), V)


def test_astype_complex_to_real_warns_as_numpy():
    with pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"):
        _, pull = funcgrad.vjp(lambda z: z.astype(float), np.array([1 + 2j]))
    assert_same(pull(np.array([3.0]))[0], np.array([3 + 0j]))


def test_astype_to_integers_and_back_has_no_derivative():
    assert funcgrad.grad(lambda x: x * x.astype(int))(2.5) == 2.0


def test_memory_of_a_traced_array_is_refused():
    for f in (lambda x: x.view("i8"), lambda x: x.tobytes(), lambda x: memoryview(x)):
        with pytest.raises(TypeError):
            funcgrad.grad(f)(V)
    with pytest.raises(TracedConversionError, match="plain value"):
        funcgrad.grad(lambda x: x.tobytes())(V)


def test_pad_unsupported_mode_names_it():
    for mode in ("mean", "linear_ramp"):
        with pytest.raises(UnsupportedFunctionError, match=mode):
            funcgrad.vjp(lambda x, mode=mode: np.pad(x, 1, mode), V)
    with pytest.raises(UnsupportedFunctionError, match="odd"):
        funcgrad.vjp(lambda x: np.pad(x, 1, "reflect", reflect_type="odd"), V)


def test_copies_updated_in_place_leave_the_original():
    def f(x):
        copies = [
            np.copy(x),
            np.tile(x, 1),
            np.concatenate([x]),
            np.roll(x, 0),
            x.flatten(),
            np.pad(x, 0),
            x.astype(float),
        ]
        for y in copies:
            y += 1.0
        return x

    assert_values(f, V)


def test_views_updated_in_place_update_the_original():
    def f(x):
        x = x * 1.0
        x.reshape(3, 2)[0] = 1.0
        x.T[0, 1] = 2.0
        np.flip(x, 1)[0, 0] = 3.0
        x.ravel()[4] = 4.0
        np.split(x, 3, 1)[1][0] = 5.0
        np.squeeze(x[None])[1, 2] *= 6.0
        return x

    assert_values(f, M)
    assert_derivatives(f, M)
