"""Composable derivatives of plain NumPy code: grad, vjp, jvp, jacobian, hessian, vmap, jit."""

from funcgrad import tree
from funcgrad.api.batching import vmap
from funcgrad.api.differentiation import grad, value_and_grad
from funcgrad.api.directional import elementwise_grad, hvp
from funcgrad.api.jacobians import hessian, jacfwd, jacobian, jacrev
from funcgrad.api.products import jvp, linear_transpose, linearize, stop_gradient, vjp
from funcgrad.api.staging import RetracingWarning, ShapeDtypeStruct, eval_shape, jit, make_jaxpr
from funcgrad.numpy import operators as _operators  # noqa: F401 (gives traced arrays their operators)

__all__ = [
    "RetracingWarning",
    "ShapeDtypeStruct",
    "elementwise_grad",
    "eval_shape",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "stop_gradient",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
]
