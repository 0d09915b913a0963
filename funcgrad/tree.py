"""Trees of arrays, for users: optimisers and the like, leaf by leaf.

Dicts, lists, tuples, NamedTuples, dataclasses and None are nodes; everything else is a leaf.
"""

from funcgrad.core.tree import tree_flatten as flatten
from funcgrad.core.tree import tree_leaves as leaves
from funcgrad.core.tree import tree_map as map
from funcgrad.core.tree import tree_structure as structure
from funcgrad.core.tree import tree_unflatten as unflatten
from funcgrad.numpy.raveling import ravel_pytree

__all__ = ["flatten", "leaves", "map", "ravel_pytree", "structure", "unflatten"]
