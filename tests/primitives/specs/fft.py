"""Rows of `primitives/fft.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import fft
from tests.spec import ALL, FLOATS, Spec, arrays

COMPLEX = (np.complex128, np.complex64)


def _filled(*shapes: tuple[int, ...]) -> Any:
    return lambda dtype: arrays(dtype, st.sampled_from(shapes)).map(lambda x: (x,))


ROWS = [
    Spec(
        "fft",
        ("fft",),
        lambda x: fft.fft(x, 0),
        lambda x: np.fft.fft(x, axis=0),
        _filled((1,), (4,), (5,), (3, 2), (6, 1)),
        ALL,
    ),
    Spec(
        "fft-inverse",
        ("fft",),
        lambda x: fft.fft(x, 1, True, "forward"),
        lambda x: np.fft.ifft(x, axis=1, norm="forward"),
        _filled((2, 1), (2, 4), (3, 5), (0, 3)),
        ALL,
    ),
    Spec("rfft", ("rfft",), lambda x: fft.rfft(x, 0), np.fft.rfft, _filled((1,), (2,), (4,), (5,)), FLOATS),
    Spec(
        "rfft-rows",
        ("rfft",),
        lambda x: fft.rfft(x, 1),
        lambda x: np.fft.rfft(x, axis=1),
        _filled((2, 4), (3, 5, 2)),
        FLOATS,
    ),
    *[
        Spec(
            f"irfft-{n}",
            ("irfft",),
            lambda x, n=n: fft.irfft(x, 0, n),
            lambda x, n=n: np.fft.irfft(x, n, 0),
            _filled((n // 2 + 1,), (n // 2 + 1, 2)),
            COMPLEX,
        )
        for n in (1, 2, 5, 6)
    ],
]
