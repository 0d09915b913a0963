"""Rows of `primitives/convolution.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from funcgrad.primitives import convolution
from tests.spec import ALL, Spec, arrays

LENGTHS = [(4, 3), (5, 2), (2, 5), (3, 4), (3, 3), (4, 1)]


def row(mode: str, lengths: tuple[int, int]) -> Spec:
    def arguments(dtype: Any) -> Any:
        return st.tuples(*[arrays(dtype, (n,)) for n in lengths])

    return Spec(
        f"correlate-{mode}-{lengths[0]}-{lengths[1]}",
        ("correlate",),
        lambda x1, x2: convolution.correlate(x1, x2, mode),
        lambda x1, x2: np.correlate(x1, x2.conj(), mode),
        arguments,
        ALL if lengths == (4, 3) else (np.float64,),
    )


ROWS = [row(mode, lengths) for mode in ("full", "same", "valid") for lengths in LENGTHS]
