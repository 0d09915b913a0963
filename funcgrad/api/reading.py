"""May a function read elements of the arrays around it in Python, where no recording shows it?

`float(c)`, `if c[0] > 0`, `x[:n[0]]` make numbers and choices of an array's elements. The function's text is followed
from expression to expression, and into the functions that it calls, with three kinds of values: plain ones, traced
ones, and what may hold elements of arrays around the function. In doubt the answer is yes: of code without its text,
of arrays that are handed to functions of which nothing is known.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from funcgrad.api.ownership import is_users, package_of
from funcgrad.api.signatures import Call
from funcgrad.api.surroundings import Surroundings
from funcgrad.api.texts import FunctionNode, text_of
from funcgrad.api.transformed import Transformed
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import is_static, tree_leaves

_UNKNOWN = object()
_MOST_PASSES = 8
_FUNCTIONS = (types.FunctionType, types.MethodType, Transformed)
# What can be asked of arrays without a look at their elements.
_OF_TYPES = {"shape", "ndim", "dtype", "size", "itemsize", "nbytes"}
_OF_STRUCTURE = {len, isinstance, issubclass, hasattr, callable, id, type, print}
_OF_PARTS = {zip, enumerate, reversed, list, tuple, dict, iter, next, getattr, abs, sum, divmod, pow, vars, super}
_READING = {"item", "tolist", "tobytes", "tofile", "dumps", "nonzero"}
# What writes to the array that it is a method of, or to its first argument.
_WRITING = {"sort", "fill", "put", "partition", "resize", "setfield", "byteswap"}
_WRITING_FIRST = {"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis", "at", "shuffle"}


class _ReadError(Exception):
    """An element may be read in Python."""


class _Value(NamedTuple):
    """What is known of a value.

    Attributes:
        kind: "plain", "traced" or "around": the last may hold elements of arrays around the function.
        known: The value itself, where it is the same at each call.
        floating: Of what is around: that it cannot be a count, an index or a condition.
    """

    kind: str = "plain"
    known: Any = _UNKNOWN
    floating: bool = False

    def __eq__(self, other: object) -> bool:  # arrays count by identity
        if not isinstance(other, _Value) or (self.kind, self.floating) != (other.kind, other.floating):
            return False
        return self.known is other.known or (isinstance(self.known, _Local) and self.known == other.known)

    def __hash__(self) -> int:
        return hash((self.kind, self.floating))


_PLAIN, _TRACED = _Value(), _Value("traced")


class _Derived(NamedTuple):
    """What a transformation gives of a function."""

    function: _Value


class _Local(NamedTuple):
    """A function that is made by the one that is followed."""

    node: FunctionNode
    scope: _Scope


def reads_elements(call: Call) -> bool:
    """Whether the function of a call may read elements of an array around it in Python."""
    args, kwargs = call.arguments([Tracer] * len(call.arrays))
    try:
        follower = _Follower(call.roots)
        named = {name: follower.argument(x) for name, x in kwargs.items()}
        follower.call(follower.of(call.function), [*map(follower.argument, args)], named)
    except Exception:  # a read, or code that is beyond what is followed here
        return True
    return False


def _combined(values: Iterable[_Value]) -> _Value:
    """What arithmetic makes of values: something traced if any of them is."""
    values = list(values)
    if any(x.kind == "traced" for x in values):
        return _TRACED
    around = [x for x in values if x.kind == "around"]
    return _Value("around", floating=all(x.floating for x in around)) if around else _PLAIN


def _joined(values: Iterable[_Value]) -> _Value:
    """What can be any of some values, or holds all of them."""
    values = list(values)
    around = [x for x in values if x.kind == "around"]
    if around:
        return _Value("around", floating=all(x.floating for x in around))
    return _TRACED if values and all(x.kind == "traced" for x in values) else _PLAIN


def _made_by_others(value: _Value) -> _Value:
    """What a transformation gives: a derivative may be made of arrays around alone, also where values are traced."""
    return _Value("around", floating=True) if value.kind == "traced" else value


def _unread(value: _Value) -> _Value:
    """A value that Python looks at."""
    if value.kind == "around":
        raise _ReadError
    return value


class _Follower:
    """Follows a function into those that it calls, each once for each kind of arguments."""

    def __init__(self, roots: Sequence[Any]) -> None:
        self._home = {package_of(x) for x in roots}
        self._results: dict[Any, _Value] = {}
        self._holders: dict[int, _Value] = {}

    def of(self, x: Any) -> _Value:
        """What is known of a value that is there."""
        if isinstance(x, (np.ndarray, np.generic)):
            return _Value("around", x, x.dtype.kind in "fc")
        if isinstance(x, (types.ModuleType, types.FunctionType, Transformed, _Local)) or is_static(x):
            return _Value("plain", x)
        if id(x) not in self._holders:
            arrays = Surroundings(x).arrays
            floating = all(y.dtype.kind in "fc" for y in arrays)
            self._holders[id(x)] = _Value("around" if arrays else "plain", x, floating)
        return self._holders[id(x)]

    def argument(self, x: Any) -> _Value:
        """What is known of an argument, in which arrays are replaced by the class of traced ones."""
        leaves = tree_leaves(x)
        if leaves and all(y is Tracer for y in leaves):
            return _TRACED
        return _PLAIN if Tracer in leaves else self.of(x)

    def call(self, f: _Value, args: Sequence[_Value], named: Mapping[str, _Value] = MappingProxyType({})) -> _Value:
        """The value of a call with arguments by position and by name."""
        target = f.known
        if isinstance(target, (Transformed, _Derived)):
            inner = target.function if isinstance(target, _Derived) else self.of(target.function)
            return _made_by_others(self.call(inner, args, named))
        if isinstance(target, types.MethodType):
            return self.call(_Value("plain", target.__func__), [self.of(target.__self__), *args], named)
        if isinstance(target, functools.partial):
            own = {name: self.of(x) for name, x in target.keywords.items()}
            return self.call(self.of(target.func), [*map(self.of, target.args), *args], {**own, **named})
        method = inspect.getattr_static(type(target), "__call__", None)
        if isinstance(method, types.FunctionType) and not isinstance(target, type):
            return self.call(_Value("plain", method), [f._replace(known=target), *args], named)
        if isinstance(target, _Local):
            return self._follow(target.node, target.scope, args, named)
        if isinstance(target, types.FunctionType) and is_users(target, self._home):
            node = text_of(target.__code__)
            if node is None:
                raise _ReadError
            return self._follow(node, _Scope(self, None, target), args, named)
        args = [*args, *named.values()]
        if any(target is x for x in (*_OF_STRUCTURE, *_OF_PARTS)):
            return self._call_of_others(f, args)
        functions = [x for x in args if isinstance(x.known, (*_FUNCTIONS, _Local, _Derived))]
        rest = [x for x in args if x not in functions]
        for inner in functions:
            self.call(inner, [_joined(rest)] * 8)
        if functions and rest == [x for x in rest if x.kind == "plain"]:
            return _Value("plain", _Derived(functions[0]))
        result = self._call_of_others(f, rest)
        return _made_by_others(result) if functions else result

    def _call_of_others(self, f: _Value, args: Sequence[_Value]) -> _Value:
        """A call of code that is not followed."""
        if any(f.known is x for x in _OF_STRUCTURE):
            return _PLAIN
        if any(f.known is x for x in _OF_PARTS):
            held = any(isinstance(x.known, (types.ModuleType, types.FunctionType, type)) for x in args)
            return _Value("around") if held else _joined(args)
        if getattr(f.known, "__name__", "") in _WRITING_FIRST:
            _unread(args[0] if args else _PLAIN)
        result = _combined([f, *args])
        around = [x for x in args if x.kind == "around"]
        if isinstance(f.known, np.ufunc) or not around:
            return result
        numpys = str(getattr(f.known, "__module__", "")).partition(".")[0] in ("numpy", "scipy", "funcgrad")
        if not numpys and not (f.known is _UNKNOWN and f.kind != "plain"):
            raise _ReadError
        if result.kind == "traced" and not all(x.floating for x in around):
            raise _ReadError  # a shape or an axis may be among them
        return result

    def _follow(self, node: FunctionNode, scope: _Scope, args: Sequence[_Value], named: Mapping[str, _Value]) -> _Value:
        given = [*enumerate(args), *named.items()]
        key = (id(node), scope.key, *[(name, x.kind, id(x.known), x.floating) for name, x in given])
        if key not in self._results:
            self._results[key] = _PLAIN  # of one that calls itself
            self._results[key] = scope.inner().run(node, args, named)
        return self._results[key]


class _Scope:
    """The names that one function sees."""

    def __init__(self, follower: _Follower, outer: _Scope | None, function: types.FunctionType | None) -> None:
        self._follower = follower
        self._outer = outer
        self._function = function
        self._locals: dict[str, _Value] = {}
        self._returned: list[_Value] = []

    @property
    def key(self) -> int:
        """Tells it from others."""
        return id(self._function or self)

    def inner(self) -> _Scope:
        """The scope of a call."""
        return _Scope(self._follower, self, None)

    def look_up(self, name: str) -> _Value:
        """What is known of a name's value."""
        if name in self._locals:
            return self._locals[name]
        if self._outer is not None:
            return self._outer.look_up(name)
        if self._function is None:
            return _PLAIN
        f = self._function
        cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        if name in cells:
            try:
                return self._follower.of(cells[name].cell_contents)
            except ValueError:
                return _PLAIN
        if name in f.__globals__:
            return self._follower.of(f.__globals__[name])
        return _Value("plain", getattr(builtins, name, _UNKNOWN))

    def run(self, node: FunctionNode, args: Sequence[_Value], named: Mapping[str, _Value]) -> _Value:
        """The value of a call of a function with arguments."""
        spec = node.args
        names = [x.arg for x in (*spec.posonlyargs, *spec.args)]
        defaults = dict(zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True))
        defaults |= {x.arg: y for x, y in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if y is not None}
        self._locals = {name: _unread(self.value(default)) for name, default in defaults.items()}
        # What is given by stars may be anywhere.
        everything = _joined([*args, *named.values()]) if "*" in named else _PLAIN
        self._locals |= {x.arg: everything for x in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if "*" in named}
        if spec.vararg is not None:
            self._locals[spec.vararg.arg] = _joined([everything, *args[len(names) :]])
        if spec.kwarg is not None:
            self._locals[spec.kwarg.arg] = _joined([everything, *named.values()])
        if "*" not in named:
            self._locals |= dict(zip(names, args, strict=False)) | dict(named)
        if isinstance(node, ast.Lambda):
            return self.value(node.body)
        for _ in range(_MOST_PASSES):  # what a loop assigns is seen at its beginning
            before = dict(self._locals)
            for statement in node.body:
                self._statement(statement)
            if before == self._locals:
                return _joined(self._returned)
        raise _ReadError

    # Statements

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._locals[node.name] = _Value("plain", _Local(node, self))
            return
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, self.value(node.value))
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, node.value, self.value(node.value))
        elif isinstance(node, ast.AugAssign):
            old, value = self.value(node.target), self.value(node.value)
            self._write(old, value)
            self._store(node.target, _combined([old, value]))
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._iterate(node.target, node.iter)
        elif isinstance(node, (ast.If, ast.While, ast.Assert)):
            _unread(self.value(node.test))
        elif isinstance(node, ast.Return):
            self._returned.append(self.value(node.value) if node.value is not None else _PLAIN)
        elif isinstance(node, ast.Expr):
            self.value(node.value)
        elif isinstance(node, (ast.Match, ast.ClassDef, ast.With, ast.Delete)):
            for name in [x for x in ast.walk(node) if isinstance(x, ast.Name)]:
                _unread(self.value(name))
        for part in ast.iter_child_nodes(node):
            statements = part.body if isinstance(part, ast.ExceptHandler) else [part]
            for statement in [x for x in statements if isinstance(x, ast.stmt)]:
                self._statement(statement)

    def _assign(self, target: ast.expr, source: ast.expr, value: _Value) -> None:
        displays = (ast.Tuple, ast.List)
        if isinstance(target, displays) and isinstance(source, displays) and len(target.elts) == len(source.elts):
            for part, origin in zip(target.elts, source.elts, strict=True):
                self._assign(part, origin, self.value(origin))
        else:
            if isinstance(target, ast.Subscript):
                self._write(self.value(target.value), value)
            self._store(target, value)

    @staticmethod
    def _write(into: _Value, value: _Value) -> None:
        """Note that elements are copied into an array around the function: when compiled code runs they are not."""
        if into.kind == "around":
            _unread(value)

    def _store(self, target: ast.expr, value: _Value) -> None:
        if isinstance(target, ast.Name):
            old = self._locals.get(target.id)
            self._locals[target.id] = value if old is None or old == value else _joined([old, value])
        elif isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._store(part, self._element(value))
        elif isinstance(target, (ast.Starred, ast.Subscript, ast.Attribute)):
            self._store(target.value, value)

    def _iterate(self, target: ast.expr, source: ast.expr) -> None:
        """Give a loop's variables what they run over."""
        if isinstance(source, ast.Call) and isinstance(target, ast.Tuple) and not source.keywords:
            function, parts = self.value(source.func).known, [self._element(self.value(x)) for x in source.args]
            if function is enumerate:
                parts = [_PLAIN, *parts[:1]]
            if function in (enumerate, zip) and len(parts) == len(target.elts):
                for variable, part in zip(target.elts, parts, strict=True):
                    self._store(variable, part)
                return
        self._store(target, self._element(self.value(source)))

    @staticmethod
    def _element(value: _Value) -> _Value:
        return value._replace(known=_UNKNOWN)

    # Expressions

    def value(self, node: ast.AST) -> _Value:
        """What is known of the value of an expression."""
        rule = _RULES.get(type(node))
        if rule is not None:
            return rule(self, node)
        return _joined([self.value(x) for x in ast.iter_child_nodes(node) if isinstance(x, ast.expr)])

    def _constant(self, node: ast.Constant) -> _Value:
        return _Value("plain", node.value)

    def _name(self, node: ast.Name) -> _Value:
        return self.look_up(node.id)

    def _lambda(self, node: ast.Lambda) -> _Value:
        return _Value("plain", _Local(node, self))

    def _binop(self, node: ast.BinOp) -> _Value:
        return _combined([self.value(node.left), self.value(node.right)])

    def _unaryop(self, node: ast.UnaryOp) -> _Value:
        value = self.value(node.operand)
        return _unread(value) if isinstance(node.op, ast.Not) else _combined([value])

    def _compare(self, node: ast.Compare) -> _Value:
        values = [self.value(x) for x in (node.left, *node.comparators)]
        if all(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            return _PLAIN
        if len(node.ops) > 1 or isinstance(node.ops[0], (ast.In, ast.NotIn)):
            for x in values:
                _unread(x)
        return _combined(values)._replace(floating=False)

    def _boolop(self, node: ast.BoolOp) -> _Value:
        values = [self.value(x) for x in node.values]
        return _joined([*map(_unread, values[:-1]), values[-1]])

    def _ifexp(self, node: ast.IfExp) -> _Value:
        _unread(self.value(node.test))
        return _joined([self.value(node.body), self.value(node.orelse)])

    def _namedexpr(self, node: ast.NamedExpr) -> _Value:
        value = self.value(node.value)
        self._store(node.target, value)
        return value

    def _formattedvalue(self, node: ast.FormattedValue) -> _Value:
        return _unread(self.value(node.value))

    def _comprehension_of(self, generators: list[ast.comprehension], *parts: ast.expr) -> _Value:
        for generator in generators:
            self._iterate(generator.target, generator.iter)
            for test in generator.ifs:
                _unread(self.value(test))
        return _joined([self.value(x) for x in parts])

    def _listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> _Value:
        return self._comprehension_of(node.generators, node.elt)

    _setcomp = _generatorexp = _listcomp

    def _dictcomp(self, node: ast.DictComp) -> _Value:
        return self._comprehension_of(node.generators, node.key, node.value)

    def _attribute(self, node: ast.Attribute) -> _Value:
        base = self.value(node.value)
        if node.attr in _OF_TYPES:
            return _PLAIN
        if isinstance(base.known, (np.ndarray, np.generic)):
            if node.attr in _READING or node.attr in _WRITING:
                raise _ReadError
            return _Value("around", base.known.T if node.attr == "T" else _UNKNOWN, base.floating)
        if base.known is not _UNKNOWN and not isinstance(base.known, _Local):
            return self._attribute_of(base, node.attr)
        if base.kind == "around" and (node.attr in _READING or node.attr in _WRITING):
            raise _ReadError
        return base._replace(known=_UNKNOWN)

    def _attribute_of(self, base: _Value, name: str) -> _Value:
        """An attribute of a value that is there: what Python finds without running code, but for properties."""
        x = base.known
        own = getattr(x, "__dict__", {})
        if name in own:
            found = own[name]
            return self._follower.of(found.__func__ if isinstance(found, (staticmethod, classmethod)) else found)
        for cls in (x if isinstance(x, type) else type(x)).__mro__:
            if name in vars(cls):
                found = vars(cls)[name]
                if isinstance(found, property) and found.fget is not None:
                    return self._follower.call(_Value("plain", found.fget), [base])
                if isinstance(found, types.FunctionType) and not isinstance(x, type):
                    return _Value("plain", types.MethodType(found, x))
                if isinstance(found, (types.MemberDescriptorType, staticmethod, classmethod, Transformed)):
                    return self._follower.of(getattr(x, name))
                return self._follower.of(found)
        return base._replace(known=_UNKNOWN)

    def _subscript(self, node: ast.Subscript) -> _Value:
        base, index = self.value(node.value), self.value(node.slice)
        if base.kind != "around" and index.kind == "around":
            direct = isinstance(index.known, np.ndarray) and index.known.ndim > 0
            if not (direct and base.kind == "traced"):
                raise _ReadError
        if base.kind == "traced":
            return _TRACED
        if isinstance(base.known, (list, tuple, dict)) and index.known is not _UNKNOWN:
            try:
                return self._follower.of(base.known[index.known])
            except (LookupError, TypeError):
                pass
        if base.kind == "around" and index.kind == "traced":
            return _TRACED
        return base._replace(known=_UNKNOWN)

    def _slice(self, node: ast.Slice) -> _Value:
        for bound in (node.lower, node.upper, node.step):
            if bound is not None:
                _unread(self.value(bound))
        return _PLAIN

    def _call(self, node: ast.Call) -> _Value:
        args = [self.value(x) for x in node.args]
        named = {x.arg or "*": self.value(x.value) for x in node.keywords}
        _unread(named.get("out", _PLAIN))
        if any(isinstance(x, ast.Starred) for x in node.args):
            named["*"] = _PLAIN
        return self._follower.call(self.value(node.func), args, named)


# By the type of an expression; of others all parts count.
_RULES: dict[type[ast.AST], Callable[[_Scope, Any], _Value]] = {
    kind: rule
    for name, kind in vars(ast).items()
    if isinstance(kind, type) and (rule := vars(_Scope).get(f"_{name.lower()}")) is not None
}
