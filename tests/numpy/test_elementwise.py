"""NumPy's elementwise functions that are no ufuncs, on traced arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import funcgrad
from tests.numpy.checks import assert_derivatives, assert_same, assert_values

RNG = np.random.default_rng(8)
V, W = RNG.uniform(0.3, 2.0, 4), RNG.uniform(-2.0, -0.3, 4)
Z, Z2 = V + 1j * W, (W - 0.5j * V).reshape(2, 2)
SINGLE = V.astype("f4")
SINGLE_COMPLEX = Z.astype("c8")
S, ZS = np.float64(0.7), np.complex128(0.6 - 0.8j)
NUMBERS = np.array([-3, 0, 5])
SPECIAL = np.array([1.5, np.nan, np.inf, -np.inf, -0.0])
SPECIAL_COMPLEX = np.array([1.5 + 2j, complex(np.nan, 1.0), complex(np.inf, np.nan), complex(0.0, -np.inf)])

SMOOTH: dict[str, tuple[Any, list[Any]]] = {
    "real-imag": (lambda z: (np.real(z), np.imag(z), z.real * z.imag), [Z]),
    "real-imag-scalar": (lambda z: (z.real, np.imag(z), np.real(z) * z), [ZS]),
    "real-imag-of-real": (lambda x: (np.real(x), x.real * 2), [V]),
    "conj": (lambda z: (np.conj(z), z.conj() * z, z.conjugate(), np.conjugate(z)), [Z2]),
    "conj-of-real": (lambda x: (np.conj(x), x.conj(), x.conjugate()), [V]),
    "angle": (lambda z: (np.angle(z), np.angle(z, deg=True)), [Z]),
    "angle-of-real": (lambda x: (np.angle(x), np.angle(-x), np.angle(x + 1j)), [V]),
    "absolute": (lambda z: (np.abs(z), np.absolute(z), abs(z), np.sign(z)), [Z]),
    "absolute-single": (lambda z: (np.abs(z), np.sign(z), np.angle(z), z.real), [SINGLE_COMPLEX]),
    "real_if_close": (lambda z, x: (np.real_if_close(z), np.real_if_close(x), np.real_if_close(x + 0j)), [Z, V]),
    "nan_to_num": (lambda x, z: (np.nan_to_num(x), np.nan_to_num(z), np.nan_to_num(x[0])), [V, Z]),
    "nan_to_num-in-place": (lambda x: (lambda y: np.nan_to_num(y, copy=False) + y)(x * 1.0), [V]),
    "sinc": (lambda x: (np.sinc(x), np.sinc(x[0])), [V]),
    "sinc-single": (np.sinc, [SINGLE]),
    "sinc-complex": (np.sinc, [Z]),
    "i0": (lambda x: (np.i0(x), np.i0(-x)), [V]),
}
STEPS: dict[str, tuple[Any, list[Any]]] = {
    "round": (lambda x: (np.round(x), np.around(x, 1), x.round(2), np.round(x, decimals=-1)), [V * 7]),
    "round-complex": (lambda z: (np.round(z, 1), z.round()), [Z]),
    "round-integers": (lambda x: (np.round(x), np.round(x, -1), np.fix(x)), [NUMBERS]),
    "fix": (lambda x: (np.fix(x), np.fix(-x)), [V]),
    "isreal": (lambda z, x: (np.isreal(z), np.iscomplex(z), np.isreal(x), np.iscomplex(x)), [Z, V]),
    "isreal-scalar": (lambda z, x: (np.isreal(z), np.iscomplex(z), np.isreal(x), np.iscomplex(x)), [ZS, S]),
    "isposinf": (lambda x: (np.isposinf(x), np.isneginf(x), np.isneginf(x[3])), [SPECIAL]),
    "isclose": (
        lambda x: (
            np.isclose(x, x + 1e-9),
            np.isclose(x, SPECIAL, equal_nan=True),
            np.isclose(1.5, x, rtol=0.1),
            np.isclose(x, 1),
        ),
        [SPECIAL],
    ),
    "isclose-complex": (lambda z: (np.isclose(z, z + 1e-9j), np.isclose(z, Z * 1.1, rtol=0.2)), [Z]),
    "nan_to_num": (lambda x: (np.nan_to_num(x), np.nan_to_num(x, nan=7, posinf=3.0, neginf=-np.inf)), [SPECIAL]),
    "nan_to_num-complex": (lambda z: np.nan_to_num(z), [SPECIAL_COMPLEX]),
    "nan_to_num-integers": (lambda x: np.nan_to_num(x), [NUMBERS]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_function_traced_equals_numpy_and_differentiates(name: str) -> None:
    f, xs = SMOOTH[name]
    if name != "real_if_close":
        assert_values(f, *xs)
    assert_derivatives(f, *xs, order=1 if "single" in name else 2)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")  # since NumPy 2.5
def test_step_function_traced_equals_numpy(name: str) -> None:
    f, xs = STEPS[name]
    expected = f(*xs)
    assert_same(funcgrad.jit(f)(*xs), expected)
    batched = funcgrad.vmap(f)(*[np.stack([x, x]) for x in xs])
    for a, b in zip(
        batched if isinstance(batched, tuple) else (batched,),
        expected if isinstance(expected, tuple) else (expected,),
        strict=True,
    ):
        np.testing.assert_array_equal(a[1], b)


def test_answers_of_python_equal_numpys() -> None:
    def f(x: Any, z: Any) -> Any:
        assert np.allclose(x, V + 1e-12) is True
        assert np.allclose(V, x + 1.0) is False
        assert np.array_equal(x, V) is True
        assert np.array_equal(x, V[:2]) is False
        assert np.array_equal(x * np.nan, V * np.nan) is False
        assert np.array_equal(x * np.nan, V * np.nan, equal_nan=True) is True
        assert np.array_equiv(x, np.stack([V, V])) is True
        assert np.array_equiv(x, V[:3]) is False
        assert np.iscomplexobj(z)
        assert np.isrealobj(x)
        return (x * z.real).sum()

    np.testing.assert_allclose(funcgrad.grad(f)(V, Z), V)


def test_imag_of_a_real_array_is_zero_and_read_only() -> None:
    def f(x: Any) -> Any:
        assert_same(x.imag, V.imag)
        assert_same(np.imag(x[0]), np.imag(V[0]))
        with pytest.raises(ValueError, match="read-only"):
            x.imag[0] = 1.0
        with pytest.raises(TypeError, match="imaginary part"):
            x.imag = 1.0
        return x.sum()

    funcgrad.grad(f)(V)


def test_parts_are_views() -> None:
    def f(z: Any) -> Any:
        y = z * 1.0
        part = y.imag
        y.real *= 2.0
        part[1:] = 5.0
        y.imag[0] = y.real[1]
        return y

    assert_same(funcgrad.jit(f)(Z), f(Z))
    assert_derivatives(f, Z)


def test_conj_of_a_real_array_is_itself() -> None:
    def f(x: Any) -> Any:
        assert x.conj() is x
        return x.sum()

    funcgrad.grad(f)(V)


def test_replaced_values_have_no_derivative() -> None:
    x = np.array([1.0, np.nan, np.inf])
    np.testing.assert_array_equal(funcgrad.grad(lambda x: (np.nan_to_num(x, posinf=2.0) ** 2).sum())(x), [2, 0, 0])


def test_sinc_at_zero_has_all_derivatives() -> None:
    f: Any = np.sinc
    for expected in (1.0, 0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5):
        np.testing.assert_allclose(f(0.0), expected, rtol=1e-14)
        f = funcgrad.grad(f)


def test_refused_arguments_raise_as_numpy() -> None:
    with pytest.raises(TypeError, match="i0 not supported for complex"):
        funcgrad.jit(np.i0)(Z)
    with pytest.raises(TypeError, match="ambiguous"), warnings.catch_warnings():
        funcgrad.jit(np.isposinf)(Z)
    with pytest.raises(TypeError, match="not supported for the input types"):
        funcgrad.jit(np.floor)(Z)
