"""Whose is it: the user's, or Python's, NumPy's, SciPy's, funcgrad's, or that of another installed package?"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Collection
from typing import Any

from funcgrad.api.transformed import Transformed
from funcgrad.core.source import installed_files, internal_files


def package_of(x: Any) -> str:
    """The package to which a function, a class, a module or an object's class belongs."""
    return _module_of(x).partition(".")[0]


def is_users(x: Any, home: Collection[str]) -> bool:
    """Whether a function, a class or a module is of the user's own code.

    Args:
        home: Packages that count as such even if they are installed.
    """
    file, name = _file_of(x), _module_of(x)
    if not file and name != "__main__" and name.partition(".")[0] in sys.stdlib_module_names:
        return False
    return not internal_files[file] and not is_installed(x, home)


def is_installed(x: Any, home: Collection[str]) -> bool:
    """Whether a function, a class or a module is of an installed package that is none of some at home."""
    return installed_files[_file_of(x)] and not internal_files[_file_of(x)] and package_of(x) not in home


def _file_of(x: Any) -> str:
    if type(x) is types.FunctionType:
        return x.__code__.co_filename
    return getattr(sys.modules.get(_module_of(x)), "__file__", None) or ""


def _module_of(x: Any) -> str:
    if isinstance(x, types.ModuleType):
        return x.__name__
    if isinstance(x, types.FunctionType):
        return str(x.__globals__.get("__name__", ""))
    if isinstance(x, types.MethodType):
        return _module_of(x.__func__)
    if isinstance(x, functools.partial):
        return _module_of(x.func)
    if isinstance(x, Transformed):
        return _module_of(x.function)
    return str((x if isinstance(x, type) else type(x)).__module__)
