"""NumPy's ufuncs: which primitive each one is, and what `reduce`, `accumulate`, `outer`, `out=`, `where=` do."""

from __future__ import annotations

import numpy as np

from funcgrad.numpy.protocol import ufunc_primitives
from funcgrad.primitives import contractions, elementwise

ufunc_primitives.update(
    {
        np.add: elementwise.add_p,
        np.subtract: elementwise.subtract_p,
        np.multiply: elementwise.multiply_p,
        np.divide: elementwise.divide_p,
        np.negative: elementwise.negative_p,
        np.exp: elementwise.exp_p,
        np.log: elementwise.log_p,
        np.tanh: elementwise.tanh_p,
        np.sin: elementwise.sin_p,
        np.cos: elementwise.cos_p,
        np.power: elementwise.pow_p,
        np.matmul: contractions.matmul_p,
    }
)
