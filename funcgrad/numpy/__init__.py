"""Floor 5: NumPy's names and protocols. The rooms give traced arrays NumPy's functions, methods and operators.

To users this is NumPy once more, `import funcgrad.numpy as np`, with what no protocol can catch: arrays into which
traced values can be assigned (`np.zeros(n)`), arrays of traced values (`np.array([a, b])`), and `np.at(x)[i].set(v)`.
"""

# ruff: noqa: F401 (the order counts: NumPy's names go over rooms of the same name, and ours over NumPy's)

from typing import TYPE_CHECKING, Any

import numpy as _numpy

from funcgrad.numpy import (
    applying,
    arrays,
    contractions,
    counting,
    creation,
    cumulative,
    differences,
    elementwise,
    fourier,
    indexing,
    inplace,
    joining,
    linear_algebra,
    matrices,
    nanfunctions,
    norms,
    operators,
    protocol,
    quantiles,
    ranges,
    rearranging,
    reductions,
    selection,
    sets,
    signals,
    sorting,
    statistics,
    subscripts,
    ufunc_methods,
    ufuncs,
    updates,
    views,
)

if TYPE_CHECKING:
    from numpy import *  # noqa: F403 (this is what the module is)
else:
    # Those that are loaded: a star would load numpy.f2py and numpy.testing, too, which cost more than all of funcgrad.
    globals().update({name: value for name, value in vars(_numpy).items() if not name.startswith("_")})

from funcgrad.numpy.updates import at

if not TYPE_CHECKING:  # to a type checker they are NumPy's
    from funcgrad.numpy.creation import (
        arange,
        array,
        asarray,
        copy,
        empty,
        empty_like,
        eye,
        full,
        full_like,
        identity,
        linspace,
        ones,
        ones_like,
        take,
        zeros,
        zeros_like,
    )

__all__ = [*_numpy.__all__, "at"]


def __getattr__(name: str) -> Any:
    return getattr(_numpy, name)
