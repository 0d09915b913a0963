"""Lowerings of `primitives/trigonometric.py`."""

from __future__ import annotations

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.lowerings.elementwise import LIBRARY, pointwise
from funcgrad.kernels.math.hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from funcgrad.kernels.math.inverse_trigonometric import acos, asin, atan, atan2
from funcgrad.kernels.math.powers import hypot
from funcgrad.kernels.math.trigonometric import cos, sin, tan
from funcgrad.primitives import trigonometric

pointwise(trigonometric.sin_p, np.sin, sin, 2.0 * LIBRARY)
pointwise(trigonometric.cos_p, np.cos, cos, 2.0 * LIBRARY)
pointwise(trigonometric.tan_p, np.tan, tan, 2.0 * LIBRARY)
pointwise(trigonometric.sinh_p, np.sinh, sinh, LIBRARY)
pointwise(trigonometric.cosh_p, np.cosh, cosh, LIBRARY)
pointwise(trigonometric.tanh_p, np.tanh, tanh, LIBRARY)
pointwise(trigonometric.arcsin_p, np.arcsin, asin, 2.0 * LIBRARY)
pointwise(trigonometric.arccos_p, np.arccos, acos, 2.0 * LIBRARY)
pointwise(trigonometric.arctan_p, np.arctan, atan, 2.0 * LIBRARY)
pointwise(trigonometric.arctan2_p, np.arctan2, atan2, 2.0 * LIBRARY)
pointwise(trigonometric.arcsinh_p, np.arcsinh, asinh, 2.0 * LIBRARY)
pointwise(trigonometric.arccosh_p, np.arccosh, acosh, 2.0 * LIBRARY)
pointwise(trigonometric.arctanh_p, np.arctanh, atanh, 2.0 * LIBRARY)
pointwise(trigonometric.hypot_p, np.hypot, hypot, LIBRARY)
pointwise(trigonometric.deg2rad_p, np.deg2rad, scalars.degrees_to_radians)
pointwise(trigonometric.rad2deg_p, np.rad2deg, scalars.radians_to_degrees)
