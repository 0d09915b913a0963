"""Are the laws strict enough?  Every derivative rule is mutated, and the laws have to notice.

    python -m tests.mutation                 all mutants, and a table of survivors
    python -m tests.mutation sin pow         those of these primitives
    python -m tests.mutation --sample 60     some, as the tests do

A mutant is a change of one expression in a rule as it stands in `funcgrad/primitives/`: a sign, a factor 2, a term or
a factor left out, operands swapped, a transpose or conjugation left out, another axis, a comparison turned. The rule's
code is exchanged in place, so that forward and reverse mode and whatever else uses it see the mutant. A mutant that
no law notices is run through the tests of conventions (kinks, infinities, special values); one that survives these,
too, has to be explained in `tests/mutation_explained.py`.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import importlib
import pkgutil
import random
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

import funcgrad.numpy
import funcgrad.primitives
from funcgrad.core.avals import get_aval
from funcgrad.core.primitive import Primitive
from funcgrad.testing.flat import cotangent_function, directions, is_inexact, quietly
from funcgrad.testing.laws import pullback_is_adjoint, tangent_equals_differences
from funcgrad.transforms.evaluate import record_abstract
from funcgrad.transforms.vmap import evaluate_batched
from tests.mutation_explained import EXPLAINED
from tests.primitives import specs
from tests.spec import Spec

ROOM = Path(funcgrad.primitives.__file__).parent
# Where the kinds of declarations are; their loops are the same for all primitives.
KINDS = ("strict.py", "kinds.py")
# Few for a start, since most mutants fail at once; many for those that do not, so that all branches are reached.
FEW, MANY = 8, 60
# Quick tests of what the laws' examples do not reach: special values, large arrays, phases.
CONVENTIONS = ("tests/primitives", "--ignore=tests/primitives/test_laws.py")


@dataclass
class Mutant:
    """One changed expression of one rule.

    Attributes:
        function: The rule, whose code is exchanged.
        primitives: Names of those that use it.
        what: What is changed: "sign", "factor 2", ...
        expression: The expression as it stands.
        change: Gives the one in its place.
        number: Which of several that read the same.
        verdict: What noticed it; empty if nothing did.
    """

    function: types.FunctionType
    primitives: list[str]
    what: str
    expression: ast.expr
    change: Callable[[Any], ast.expr]
    number: int = 1
    verdict: str = ""

    @property
    def name(self) -> str:
        """Which mutant it is, without line numbers."""
        owner = self.function.__name__ if self.function.__name__ != "<lambda>" else self.primitives[0]
        text = f"{owner}: {self.what} of `{ast.unparse(self.expression)}`"
        return f"{text} ({self.number})" if self.number > 1 else text

    def code(self) -> types.CodeType:
        """The rule's code with the change."""
        file = self.function.__code__.co_filename
        number = next(i for i, code in enumerate(compiled(file)) if code == self.function.__code__)
        tree = _Replace(where(self.expression), self.change).visit(copy.deepcopy(parsed(file)))
        return list(codes(compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)))[number]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The rule with the change."""
        original = self.function.__code__
        self.function.__code__ = self.code()
        try:
            yield
        finally:
            self.function.__code__ = original


# Which functions are rules


def declared_primitives() -> dict[str, Primitive]:
    found: dict[str, Primitive] = {}
    for module in pkgutil.iter_modules([str(ROOM)]):
        room = importlib.import_module(f"funcgrad.primitives.{module.name}")
        found.update({value.name: value for value in vars(room).values() if isinstance(value, Primitive)})
    return found


def rules_of(primitive: Primitive) -> list[types.FunctionType]:
    """The functions of `funcgrad/primitives/` that give a primitive's derivatives."""
    found: dict[int, types.FunctionType] = {}

    def visit(x: Any) -> None:
        if isinstance(x, functools.partial):
            visit([x.func, *x.args])
        elif isinstance(x, (tuple, list)):
            for part in x:
                visit(part)
        elif isinstance(x, dict):
            visit(list(x.values()))
        elif isinstance(x, types.FunctionType) and id(x) not in found and Path(x.__code__.co_filename).parent == ROOM:
            found[id(x)] = x
            # What a rule closes over are other rules, but for how the primitive is computed.
            cells = zip(x.__code__.co_freevars, x.__closure__ or (), strict=True)
            visit([cell.cell_contents for name, cell in cells if name not in ("implementation", "abstract", "batch")])
            names = (x.__globals__.get(name) for name in x.__code__.co_names if name.startswith("_"))
            visit([f for f in names if isinstance(f, types.FunctionType) and "implementation" not in f.__name__])

    visit([primitive.jvp, primitive.vjp, list(primitive.derivatives or ())])
    return [f for f in found.values() if Path(f.__code__.co_filename).name not in KINDS]


# How an expression can be changed


MOVING = {
    "swap_last",
    "adjoint",
    "conjugate",
    "transpose",
    "moveaxis",
    "flip",
    "hermitian_part",
    "column",
    "row",
    "conj",
}
TURNED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.LtE: ast.GtE, ast.GtE: ast.LtE}


def pick(options: list[ast.expr], i: int) -> ast.expr:
    """One of several expressions; the others stay in the code, so that it closes over the same variables."""
    return ast.Subscript(ast.Tuple(options, ast.Load()), ast.Constant(i), ast.Load())


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], ast.expr]]]:
    """What can be changed about an expression: a word for it, and the new expression."""
    if isinstance(node, ast.BinOp):
        yield from binary_changes(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", lambda n: n.operand
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield "negation", lambda n: n.operand
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in MOVING and node.args:
            yield "missing transpose", lambda n: pick([n.args[0], n.func, *n.args[1:]], 0)
        if len(node.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in node.args[:2]):
            yield "swapped operands", lambda n: ast.Call(n.func, [n.args[1], n.args[0], *n.args[2:]], n.keywords)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield "missing transpose", lambda n: n.value
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED and not isinstance(node.left, ast.Call):
        yield "turned comparison", lambda n: ast.Compare(n.left, [TURNED[type(n.ops[0])](), *n.ops[1:]], n.comparators)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield "another number (or axis)", lambda n: ast.Constant(n.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is float and np.isfinite(node.value):
        yield "another number", lambda n: ast.Constant(n.value * 2 if n.value else 1.0)


def binary_changes(node: ast.BinOp) -> Iterator[tuple[str, Callable[[Any], ast.expr]]]:
    """Terms and factors left out, operands swapped, operations exchanged."""
    what = "term" if isinstance(node.op, (ast.Add, ast.Sub)) else "factor"
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        yield f"dropped first {what}", lambda n: pick([n.left, n.right], 1)
        yield f"dropped second {what}", lambda n: pick([n.left, n.right], 0)
    if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult)):
        yield "swapped operands", lambda n: ast.BinOp(n.right, n.op, n.left)
    if isinstance(node.op, ast.Add):
        yield "sign", lambda n: ast.BinOp(n.left, ast.Sub(), n.right)
    if isinstance(node.op, ast.Div):
        yield "factor in place of divisor", lambda n: ast.BinOp(n.left, ast.Mult(), n.right)


def results(function: ast.AST) -> Iterator[ast.expr]:
    """The expressions that are a rule's results."""
    bodies = [function.body] if isinstance(function, ast.Lambda) else []
    if isinstance(function, ast.FunctionDef):
        bodies = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    for body in bodies:
        for part in [body.body, body.orelse] if isinstance(body, ast.IfExp) else [body]:
            yield from part.elts if isinstance(part, (ast.Tuple, ast.List)) else [part]


WHOLE: dict[str, Callable[[Any], ast.expr]] = {
    "sign": lambda n: ast.UnaryOp(ast.USub(), n),
    "factor 2": lambda n: ast.BinOp(ast.Constant(2), ast.Mult(), n),
}


class _Replace(ast.NodeTransformer):
    def __init__(self, place: tuple[Any, ...], change: Callable[[Any], ast.expr]) -> None:
        self.place, self.change, self.done = place, change, False

    def visit(self, node: ast.AST) -> ast.AST:
        if not self.done and where(node) == self.place:
            self.done = True
            return ast.copy_location(self.change(node), node)
        return self.generic_visit(node)


def where(node: ast.AST) -> tuple[Any, ...]:
    """What tells an expression from all others of a file."""
    if not isinstance(node, ast.expr):
        return ()
    return type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


@functools.cache
def parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code and all that are in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


@functools.cache
def compiled(file: str) -> list[types.CodeType]:
    return list(codes(compile(parsed(file), file, "exec", dont_inherit=True)))


def node_of(function: types.FunctionType) -> ast.AST | None:
    """The expression or statement of which a function was made."""
    code = function.__code__
    tree = parsed(code.co_filename)
    if code.co_name != "<lambda>":
        return next(
            (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno == code.co_firstlineno), None
        )
    inside = [p for p in code.co_positions() if p[0] is not None and p[2] is not None and (p[1], p[3]) != (p[0], p[2])]
    if not inside:
        return None
    line, _, column, _ = inside[-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            body = node.body
            end = (body.end_lineno, body.end_col_offset)
            if (body.lineno, body.col_offset) <= (line, column) < end:
                return node
    return None


def mutants_of(function: types.FunctionType, primitives: list[str]) -> Iterator[Mutant]:
    """Every change of one expression of a rule."""
    node = node_of(function)
    if node is None:
        return
    for part in results(node):
        yield from (Mutant(function, primitives, what, part, change) for what, change in WHOLE.items())
    bodies = [node.body] if isinstance(node, ast.Lambda) else node.body  # type: ignore[attr-defined]
    for part in (inner for body in bodies for inner in ast.walk(body)):
        for what, change in changes(part):
            yield Mutant(function, primitives, what, part, change)  # type: ignore[arg-type]


def all_mutants(names: list[str] | None = None) -> list[Mutant]:
    """The mutants of all primitives, or of some."""
    owners: dict[int, tuple[types.FunctionType, list[str]]] = {}
    for name, primitive in sorted(declared_primitives().items()):
        if primitive.differentiable:
            for function in rules_of(primitive):
                owners.setdefault(id(function), (function, []))[1].append(name)
    found = []
    for function, primitives in owners.values():
        if names is None or set(names) & set(primitives):
            found += mutants_of(function, primitives)
    seen: Counter[str] = Counter()
    for mutant in found:
        name = mutant.name
        seen[name] += 1
        mutant.number = seen[name]
    return found


# What notices


@functools.cache
def rows() -> dict[str, list[Spec]]:
    """The rows of the spec table by primitive."""
    found: dict[str, list[Spec]] = {}
    for module in pkgutil.iter_modules(specs.__path__):
        for row in importlib.import_module(f"{specs.__name__}.{module.name}").ROWS:
            for name in row.primitives:
                found.setdefault(name, []).append(row)
    return found


_examples: dict[tuple[Any, ...], list[Any]] = {}


def examples(row: Spec, dtype: Any) -> list[Any]:
    """Some arguments of a row, the same at each call."""
    key = (row.name, dtype)
    if key not in _examples:
        drawn: list[Any] = []

        @settings(
            max_examples=MANY,
            deadline=None,
            database=InMemoryExampleDatabase(),
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @seed(1)
        @given(data=st.data())
        def draw(data: Any) -> None:
            drawn.append(data.draw(row.arguments(dtype)))

        draw()
        _examples[key] = drawn
    return _examples[key]


def flat(row: Spec, args: Any) -> tuple[Any, list[Any]]:
    """A row's function of its inexact arguments, and these."""
    positions = [i for i, x in enumerate(args) if is_inexact(x)]

    def f(*xs: Any) -> list[Any]:
        full = list(args)
        for i, x in zip(positions, xs, strict=True):
            full[i] = x
        y = row.function(*full)
        return list(y) if isinstance(y, (tuple, list)) else [y]

    return f, [args[i] for i in positions]


def break_laws(row: Spec, args: Any) -> str:
    """The law that a row breaks at some arguments; empty if none."""
    f, xs = flat(row, args)
    return _broken(f, xs, row.order)


def _broken(f: Any, xs: list[Any], order: int) -> str:
    rng = np.random.default_rng(0)
    try:
        pullback_is_adjoint(f, xs, rng, order)
    except Exception as error:
        return "adjoint" if isinstance(error, AssertionError) else f"an error: {type(error).__name__}"
    try:
        tangent_equals_differences(f, xs, directions(rng, xs), order)
    except Exception as error:
        return "differences" if isinstance(error, AssertionError) else f"an error: {type(error).__name__}"
    return ""


# Arguments at which derivatives are conventions: zeros, ties, and both.
EDGES: tuple[Callable[[Any], Any], ...] = (
    np.zeros_like,
    np.ones_like,
    lambda x: np.round(x),
    lambda x: -np.abs(np.round(x)),
)


def edge_arguments(row: Spec, dtype: Any) -> list[Any]:
    """Arguments at edges of a row's domain where its derivative is the mean of both sides', as the convention says."""
    key = (row.name, dtype, "edges")
    if key not in _examples:
        made = [
            tuple(edge(x).astype(x.dtype)[()] if is_inexact(x) else x for x in args)
            for args in examples(row, dtype)[:FEW]
            for edge in EDGES
        ]
        _examples[key] = [args for args in made if not quietly(break_law_at_edge, row, args)]
    return _examples[key]


def break_law_at_edge(row: Spec, args: Any) -> str:
    """Whether a derivative is not the mean of both sides' (of their differences, that is), or no adjoint."""
    f, xs = flat(row, args)
    return _broken(f, xs, 1)


def break_laws_alone(row: Spec, args: Any) -> str:
    """The law that a row breaks where only one of its operands is differentiated, the others being constants."""
    f, xs = flat(row, args)
    for i in range(len(xs) if len(xs) > 1 else 0):
        broken = _broken(lambda x, i=i: f(*xs[:i], x, *xs[i + 1 :]), [xs[i]], 1)
        if broken:
            return broken
    return ""


def break_laws_in_reverse(row: Spec, args: Any) -> str:
    """The law that cotangents of a row's squares break, when they are differentiated again."""
    f, xs = flat(row, args)
    squares = lambda *us: [y * y for y in f(*us) if is_inexact(y)]
    cts = directions(np.random.default_rng(1), squares(*xs))
    return _broken(cotangent_function(squares, cts), xs, 1) if row.order > 1 else ""


def break_law_in_batch(row: Spec, args: Any) -> str:
    """The law that a row breaks when it is batched, and then differentiated."""
    f, xs = flat(row, args)
    jaxpr = record_abstract("vmap", f, [get_aval(x) for x in xs])

    def batched(*rows: Any) -> list[Any]:
        ys, dims = evaluate_batched(jaxpr, 2, rows, [0] * len(rows))
        return [y for y, dim in zip(ys, dims, strict=True) if dim is not None]

    return _broken(batched, [np.stack([x, x * (1 - 1 / 64)]).astype(x.dtype) for x in xs], 1)


def noticed(mutant: Mutant) -> str:
    """What notices a mutant; empty if it survives."""
    table = [row for name in mutant.primitives for row in rows().get(name, []) if row.order]
    columns = [
        (row, examples(row, dtype), edge_arguments(row, dtype))
        for row in table
        for dtype in row.dtypes
        if np.dtype(dtype).name in _DOUBLE
    ]
    with mutant.applied():
        for law, cases in (
            (break_laws, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_laws_alone, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_laws_in_reverse, [(row, args) for row, drawn, _ in columns for args in drawn[:FEW]]),
            (break_law_at_edge, [(row, args) for row, _, edges in columns for args in edges]),
            (break_law_in_batch, [(row, args) for row, drawn, _ in columns for args in drawn[: FEW // 2]]),
            (break_laws, [(row, args) for row, drawn, _ in columns for args in drawn[FEW:]]),
        ):
            for row, args in cases:
                broken = quietly(law, row, args)
                if broken:
                    return str(broken)
    return ""


_DOUBLE = ("float64", "complex128")


def breaks_conventions(mutant: Mutant) -> bool:
    """Whether a test of kinks, infinities and other special values fails with a mutant, in a process of its own."""
    code = f"import sys; from tests.mutation import run_conventions; sys.exit(run_conventions({mutant.name!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1


def run_conventions(name: str) -> int:
    """The tests of conventions with a mutant in place."""
    import pytest

    mutant = next(m for m in all_mutants() if m.name == name)
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
    with mutant.applied():
        return int(pytest.main([*options, *CONVENTIONS]))


def main() -> int:
    """Run the mutants, print what noticed them, and fail if one survives without explanation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("primitives", nargs="*", help="names of primitives; all if there are none")
    parser.add_argument("--sample", type=int, help="so many mutants, at random")
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts, for as many processes")
    parser.add_argument("--laws-only", action="store_true", help="leave out the tests of conventions")
    options = parser.parse_args()
    start = time.perf_counter()
    mutants = all_mutants(options.primitives or None)
    if options.sample:
        mutants = random.Random(0).sample(mutants, min(options.sample, len(mutants)))
    part, parts = map(int, options.part.split("/"))
    mutants = mutants[part - 1 :: parts]
    survivors = []
    for i, mutant in enumerate(mutants):
        mutant.verdict = noticed(mutant)
        if not mutant.verdict:
            survivors.append(mutant)
            print(f"{i} of {len(mutants)}: no law notices {mutant.name}", flush=True)
    for mutant in survivors:
        if not options.laws_only and mutant.name not in EXPLAINED and breaks_conventions(mutant):
            mutant.verdict = "conventions"
    report(mutants, time.perf_counter() - start)
    return int(any(not m.verdict and m.name not in EXPLAINED for m in mutants))


def report(mutants: list[Mutant], seconds: float) -> None:
    """The table."""
    by = Counter(("an error" if m.verdict.startswith("an error") else m.verdict) or "survives" for m in mutants)
    kinds = Counter(m.what for m in mutants)
    print(f"{len(mutants)} mutants of {len({p for m in mutants for p in m.primitives})} primitives in {seconds:.0f} s")
    print("  changes:   ", ", ".join(f"{n} {change}" for change, n in kinds.most_common()))
    print("  noticed by:", ", ".join(f"{n} {what}" for what, n in by.most_common()))
    for mutant in mutants:
        if not mutant.verdict:
            print(f"  survives: {mutant.name}\n            {EXPLAINED.get(mutant.name, 'NOT EXPLAINED')}")


if __name__ == "__main__":
    sys.exit(main())
