"""How each primitive becomes loops, one room for each family of `primitives/`. Importing this registers all rules."""

from funcgrad.compiler.lowerings import contractions, elementwise, reductions, shaping

__all__ = ["contractions", "elementwise", "reductions", "shaping"]
