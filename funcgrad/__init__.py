"""Composable derivatives of plain NumPy code: grad, vjp, jvp, jacobian, hessian, vmap, jit."""

from funcgrad.api.differentiation import grad, value_and_grad
from funcgrad.api.products import jvp, linear_transpose, linearize, stop_gradient, vjp
from funcgrad.numpy import operators as _operators  # noqa: F401 (gives traced arrays their operators)

__all__ = ["grad", "jvp", "linear_transpose", "linearize", "stop_gradient", "value_and_grad", "vjp"]
