"""Nested arguments and results as flat lists, by optree; dataclasses need no registration.

A field of a dataclass that holds no number or array (a string, a function, a bool, a count) is configuration: it
belongs to the structure and is no leaf.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import optree

from funcgrad.core.avals import ShapedArray
from funcgrad.core.tracing import Tracer

NAMESPACE = "funcgrad"
TreeDef: TypeAlias = optree.PyTreeSpec

_ARRAYS = (np.ndarray, np.generic, Tracer, ShapedArray)
_STATIC = (str, bytes, bool, enum.Enum, type, np.dtype, range, slice)


def is_static(x: Any) -> bool:
    """Whether a leaf is configuration rather than a number or an array."""
    if isinstance(x, _ARRAYS):
        return False
    return isinstance(x, _STATIC) or callable(x)


def _register_dataclass(cls: type) -> None:
    fields = dataclasses.fields(cls)
    counts = {field.name for field in fields if "float" not in str(field.type) and "ndarray" not in str(field.type)}

    def flatten(x: Any) -> tuple[list[Any], tuple[Any, ...], list[str]]:
        children, names, statics = [], [], []
        for field in fields:
            value = getattr(x, field.name)
            if is_static(value) or (type(value) is int and field.name in counts):
                statics.append((field.name, type(value), value))  # the type, since True == 1
            else:
                names.append(field.name)
                children.append(value)
        return children, (tuple(names), tuple(statics)), names

    def unflatten(structure: Any, children: Iterable[Any]) -> Any:
        names, statics = structure
        x: Any = object.__new__(cls)
        for name, value in zip(names, children, strict=True):
            object.__setattr__(x, name, value)
        for name, _, value in statics:
            object.__setattr__(x, name, value)
        return x

    optree.register_pytree_node(cls, flatten, unflatten, path_entry_type=optree.DataclassEntry, namespace=NAMESPACE)
    _registered.add(cls)


_registered: set[type] = set()
_registering = threading.Lock()


def tree_flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of a tree, in order, and its structure.

    Dicts (in the order of sorted keys), lists, tuples, NamedTuples, None (no leaf) and dataclasses are nodes.
    """
    leaves, treedef = optree.tree_flatten(tree, namespace=NAMESPACE)
    while unknown := {type(x) for x in leaves if dataclasses.is_dataclass(x) and not isinstance(x, type)}:
        with _registering:
            for cls in unknown - _registered:
                _register_dataclass(cls)
        leaves, treedef = optree.tree_flatten(tree, namespace=NAMESPACE)
    return leaves, treedef


class _Static:
    """A leaf that has become a node, so that it belongs to the structure; out of it comes the leaf again."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _flatten_static(x: Any) -> tuple[tuple[()], Any]:
    return (), (type(x.value), x.value)


def _unflatten_static(structure: Any, children: Any) -> Any:
    return structure[1]


optree.register_pytree_node(_Static, _flatten_static, _unflatten_static, namespace=NAMESPACE)  # type: ignore[arg-type]


def flatten_results(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of what a function returned, and a structure to which strings and other configuration belong."""
    leaves, treedef = tree_flatten(tree)
    statics = [is_static(x) and not isinstance(x, bool) for x in leaves]
    if any(statics):
        wrapped = [_Static(x) if static else x for x, static in zip(leaves, statics, strict=True)]
        leaves, treedef = tree_flatten(tree_unflatten(treedef, wrapped))
    return leaves, treedef


def tree_unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of a structure with given leaves."""
    return optree.tree_unflatten(treedef, leaves)


def tree_structure(tree: Any) -> TreeDef:
    """The structure of a tree."""
    return tree_flatten(tree)[1]


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    return tree_flatten(tree)[0]


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `f` leaf by leaf to trees of the same structure."""
    leaves, treedef = tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_def = tree_flatten(other)
        if other_def != treedef:
            raise ValueError(f"tree_map got trees of different structures: {treedef} and {other_def}")
        columns.append(other_leaves)
    return tree_unflatten(treedef, [f(*xs) for xs in zip(*columns, strict=True)])


def leaf_paths(treedef: TreeDef, root: str) -> list[str]:
    """How each leaf is reached, for messages: `params['w']`."""
    return [accessor.codify(root) for accessor in treedef.accessors()]
