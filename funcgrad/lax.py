"""Control flow and custom rules under the names and conventions of `jax.lax`."""

from funcgrad.api.associative import associative_scan
from funcgrad.api.branches import cond, select, select_n, switch
from funcgrad.api.implicit import custom_root
from funcgrad.api.linear_systems import custom_linear_solve
from funcgrad.api.loops import fori_loop, map, scan, while_loop
from funcgrad.api.products import stop_gradient

__all__ = [
    "associative_scan",
    "cond",
    "custom_linear_solve",
    "custom_root",
    "fori_loop",
    "map",
    "scan",
    "select",
    "select_n",
    "stop_gradient",
    "switch",
    "while_loop",
]
