"""numpy.fft on traced arrays: values, derivatives, transforms of transforms, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funcgrad as fg
from tests.numpy.checks import assert_derivatives, assert_values

RNG = np.random.default_rng(0)
REAL, COMPLEX = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 5)) + 1j * RNG.normal(size=(4, 5))
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fft2", "ifft2", "fftn", "ifftn", "rfft2", "irfft2", "rfftn", "irfftn"]


def argument(name: str) -> Any:
    return REAL if ("rfft" in name and "i" not in name) or name == "ihfft" else COMPLEX


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
def test_transforms_along_an_axis_equal_those_of_numpy(name: str, norm: Any) -> None:
    transform, x = getattr(np.fft, name), argument(name)
    for axis in (0, -1):
        for n in (None, 3, 6):
            assert_values(lambda x: transform(x, n, axis, norm), x)
    assert_values(lambda x: transform(x, norm=norm), x.astype(np.complex64 if x is COMPLEX else np.float32))
    assert_values(lambda x: transform(x, norm=norm), REAL)
    assert_derivatives(lambda x: transform(x, 6, 0, norm), x)
    assert_derivatives(lambda x: transform(x, norm=norm), x)


@pytest.mark.parametrize("name", SEVERAL)
def test_transforms_along_several_axes_equal_those_of_numpy(name: str) -> None:
    transform, x = getattr(np.fft, name), argument(name)
    for norm in (None, "ortho", "forward"):
        assert_values(lambda x: transform(x, norm=norm), x)
        assert_values(lambda x: transform(x, s=(3, 6), axes=(1, 0), norm=norm), x)
        assert_derivatives(lambda x: transform(x, s=(3, 6), axes=(0, 1), norm=norm), x)
    assert_derivatives(transform, x)


def test_shifts_move_zero_to_the_middle_and_back() -> None:
    for shift in (np.fft.fftshift, np.fft.ifftshift):
        for axes in (None, 0, -1, (0, 1)):
            assert_values(lambda x: shift(x, axes), REAL)
    np.testing.assert_array_equal(
        fg.grad(lambda x: np.fft.fftshift(x)[0, 0])(REAL), np.fft.ifftshift(np.eye(20)[0].reshape(4, 5))
    )


def test_transforms_of_integers_and_of_batches() -> None:
    assert fg.jit(np.fft.fft)(np.arange(4)).dtype == np.complex128
    np.testing.assert_array_equal(fg.vmap(np.fft.rfft, in_axes=1)(REAL), np.fft.rfft(REAL.T))
    np.testing.assert_array_equal(
        fg.vmap(np.fft.fft2)(np.stack([REAL, COMPLEX])), np.fft.fft2(np.stack([REAL, COMPLEX]))
    )


def test_circular_convolution_has_the_derivative_of_its_matrix_compiled_and_not() -> None:
    x, kernel = REAL[0], REAL[1]

    def convolved(x: Any) -> Any:
        return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(kernel), n=5)

    matrix = np.stack([np.roll(kernel, k) for k in range(5)], axis=1)
    np.testing.assert_allclose(convolved(x), matrix @ x)
    for f in (convolved, fg.jit(convolved)):
        for jacobian in (fg.jacfwd(f), fg.jacrev(f), fg.jit(fg.jacobian(f))):
            for _ in range(3):
                np.testing.assert_allclose(jacobian(x), matrix, atol=1e-14)
    hessian = fg.hessian(lambda x: np.sum(convolved(x) ** 2))(x)
    np.testing.assert_allclose(hessian, 2 * matrix.T @ matrix, atol=1e-13)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.fft.fft(x, 0),
        lambda x: np.fft.fft(x, axis=3),
        lambda x: np.fft.fft(x, norm="other"),
        lambda x: np.fft.rfft(x + 1j),
        lambda x: np.fft.hfft(x, norm="other"),
        lambda x: np.fft.fftn(x, s=(2,), axes=(0, 1)),
        lambda x: np.fft.fft(x[:0], axis=0),
        lambda x: np.fft.irfft(x[:, :1]),
    ],
)
def test_errors_are_those_of_numpy(f: Any) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever NumPy raises)
        f(REAL)
    with pytest.raises(expected.type):
        fg.jvp(f, (REAL,), (REAL,))
