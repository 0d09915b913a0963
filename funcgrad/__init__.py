"""Composable derivatives of plain NumPy code: grad, vjp, jvp, jacobian, hessian, vmap, jit."""

from funcgrad import lax, scipy, tree
from funcgrad.api.batching import vmap
from funcgrad.api.branches import cond, switch
from funcgrad.api.custom_batching import custom_vmap
from funcgrad.api.custom_rules import custom_elementwise, custom_jvp, custom_linear, custom_vjp
from funcgrad.api.declaring import defprimitive
from funcgrad.api.differentiation import grad, value_and_grad
from funcgrad.api.directional import elementwise_grad, hvp
from funcgrad.api.implicit import argmin, fixed_point, root
from funcgrad.api.jacobians import hessian, jacfwd, jacobian, jacrev
from funcgrad.api.linear_systems import SolutionError, linear_solve
from funcgrad.api.loops import fori_loop, scan, while_loop
from funcgrad.api.opaque import opaque
from funcgrad.api.products import jvp, linear_transpose, linearize, stop_gradient, vjp
from funcgrad.api.programs import CompilationWarning, clear_caches, disable_jit
from funcgrad.api.remat import checkpoint
from funcgrad.api.rule_checks import RuleError, check_rules
from funcgrad.api.rule_results import SymbolicZero
from funcgrad.api.staging import RetracingWarning, ShapeDtypeStruct, eval_shape, jit, make_jaxpr
from funcgrad.numpy import operators as _operators  # noqa: F401 (gives traced arrays their operators)

__all__ = [
    "CompilationWarning",
    "RetracingWarning",
    "RuleError",
    "ShapeDtypeStruct",
    "SolutionError",
    "SymbolicZero",
    "argmin",
    "check_rules",
    "checkpoint",
    "clear_caches",
    "cond",
    "custom_elementwise",
    "custom_jvp",
    "custom_linear",
    "custom_vjp",
    "custom_vmap",
    "defprimitive",
    "disable_jit",
    "elementwise_grad",
    "eval_shape",
    "fixed_point",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linear_solve",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "opaque",
    "root",
    "scan",
    "scipy",
    "stop_gradient",
    "switch",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
