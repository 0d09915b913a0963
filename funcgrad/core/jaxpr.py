"""The intermediate representation: a typed, immutable list of equations with inputs, constants and outputs."""

from __future__ import annotations

import html
import itertools
import string
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import JaxprError
from funcgrad.core.primitive import Primitive
from funcgrad.core.source import Place, Source, read_source
from funcgrad.core.tracing import Recording, Tracer

# NumPy takes about as long for a call as for filling so many bytes.
_CALL = 2048


class Var:
    """A variable: an identity with a type."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval!r})"


class Literal:
    """A scalar that is printed where it is used."""

    __slots__ = ("aval", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.aval = get_aval(value)

    def __repr__(self) -> str:
        return f"Literal({self.value!r})"


Atom: TypeAlias = Var | Literal


class Equation:
    """`outputs = primitive[params] inputs`, and the user's line that asked for it."""

    __slots__ = ("inputs", "outputs", "params", "place", "primitive")

    def __init__(
        self,
        primitive: Primitive,
        inputs: Sequence[Atom],
        outputs: Sequence[Var],
        params: dict[str, Any],
        place: Place | None = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.params = params
        self.place = place

    @property
    def source(self) -> Source | None:
        """The user's file, line, text and assigned variable."""
        return read_source(self.place)


class Jaxpr:
    """A function as equations.

    Attributes:
        inputs: Variables of the arguments, in order.
        constants: Captured arrays, as pairs of variable and value.
        equations: In the order of evaluation; every variable is assigned once.
        outputs: Variables or literals.
    """

    __slots__ = ("__weakref__", "_last_uses", "constants", "equations", "inputs", "outputs")

    def __init__(
        self,
        inputs: Sequence[Var],
        constants: Sequence[tuple[Var, Any]],
        equations: Sequence[Equation],
        outputs: Sequence[Atom],
    ) -> None:
        self.inputs = tuple(inputs)
        self.constants = tuple(constants)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self._last_uses: list[list[Var]] | None = None

    @property
    def last_uses(self) -> list[list[Var]]:
        """For each equation the variables that nothing after it needs."""
        if self._last_uses is None:
            self._last_uses = _last_uses(self)
        return self._last_uses

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The inputs' types."""
        return [v.aval for v in self.inputs]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The outputs' types."""
        return [v.aval for v in self.outputs]

    @property
    def effort(self) -> float:
        """Bytes of all values that it goes through; NumPy's call for each counts as some thousand."""
        return sum([_effort(eqn) for eqn in self.equations])

    def pretty_print(self, *, source_info: bool = False) -> str:
        """The jaxpr as text; with `source_info` each equation with the user's line that asked for it."""
        return jaxpr_text(self, sources=source_info)

    def __repr__(self) -> str:
        return jaxpr_text(self)

    def _repr_html_(self) -> str:
        return jaxpr_html(self)


def body_effort(params: dict[str, Any]) -> float:
    """The effort of an equation that goes through its jaxpr once."""
    effort: float = params["jaxpr"].effort
    return effort


def _effort(eqn: Equation) -> float:
    if eqn.primitive.effort is not None:
        return eqn.primitive.effort(eqn.params)
    return _CALL + sum([v.aval.nbytes for v in eqn.outputs])


def _last_uses(jaxpr: Jaxpr) -> list[list[Var]]:
    needed = {x for x in jaxpr.outputs if isinstance(x, Var)}
    dead: list[list[Var]] = []
    for eqn in reversed(jaxpr.equations):
        uses = {x for x in (*eqn.inputs, *eqn.outputs) if isinstance(x, Var)}
        dead.append(list(uses - needed))
        needed |= uses
    return dead[::-1]


def subjaxprs(equation: Equation) -> Iterator[tuple[str, Jaxpr]]:
    """The jaxprs among an equation's parameters, by name."""
    for name, value in equation.params.items():
        if isinstance(value, Jaxpr):
            yield name, value
        elif isinstance(value, tuple):
            yield from ((f"{name}[{i}]", part) for i, part in enumerate(value) if isinstance(part, Jaxpr))


def recording_to_jaxpr(recording: Recording, outputs: Sequence[Any]) -> Jaxpr:
    """The jaxpr of a recording whose function returned `outputs` (tracers, arrays and scalars).

    Scalars become literals; other values that the recording does not trace become constants, each once.
    """
    variables: dict[int, Var] = {i: Var(get_aval(value)) for i, value in enumerate(recording.inputs)}
    constants: dict[Hashable, tuple[Var, Any]] = {}

    def atom(value: Any, number: int | None) -> Atom:
        if number is not None:
            return variables[number]
        if _is_scalar(value):
            return Literal(value)
        key = (value.recording.level, value.id) if type(value) is Tracer else id(value)
        if key not in constants:
            constants[key] = (Var(get_aval(value)), value)
        return constants[key][0]

    equations = []
    for primitive, params, xs, ids, y, first, place in recording.equations or ():
        inputs = [atom(x, i) for x, i in zip(xs, ids, strict=True)]
        results = y if primitive.multiple_results else (y,)
        outs = [Var(get_aval(value)) for value in results]
        variables.update(enumerate(outs, first))
        equations.append(Equation(primitive, inputs, outs, params, place))
    outs_atoms = [atom(*recording.lower(x)) for x in outputs]
    return Jaxpr([variables[i] for i in range(len(recording.inputs))], list(constants.values()), equations, outs_atoms)


def _is_scalar(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x.ndim == 0 and not x.flags.writeable
    return not isinstance(x, Tracer)


def check_jaxpr(jaxpr: Jaxpr) -> None:
    """Check that every variable is assigned once and before its use, and that every type is what its equation gives.

    Raises:
        JaxprError: naming the equation that is wrong.
    """
    assigned: set[Var] = set()

    def assign(v: Var, what: str) -> None:
        if v in assigned:
            raise JaxprError(f"{what} assigns a variable that is assigned already: {v!r}")
        assigned.add(v)

    for v in jaxpr.inputs:
        assign(v, "an input")
    for v, value in jaxpr.constants:
        assign(v, "a constant")
        if get_aval(value) != v.aval:
            raise JaxprError(f"a constant is {get_aval(value)!r}, its variable {v.aval!r}")
    for number, eqn in enumerate(jaxpr.equations):
        what = f"equation {number} (`{eqn.primitive.name}`)"
        for x in eqn.inputs:
            if isinstance(x, Var) and x not in assigned:
                raise JaxprError(f"{what} uses {x!r} before it is assigned")
        for _, inner in subjaxprs(eqn):
            check_jaxpr(inner)
        result = eqn.primitive.abstract(*[x.aval for x in eqn.inputs], **eqn.params)
        avals = list(result) if eqn.primitive.multiple_results else [result]
        if avals != [v.aval for v in eqn.outputs]:
            raise JaxprError(f"{what} gives {avals}, its variables are {[v.aval for v in eqn.outputs]}")
        for v in eqn.outputs:
            assign(v, what)
    for x in jaxpr.outputs:
        if isinstance(x, Var) and x not in assigned:
            raise JaxprError(f"output {x!r} is never assigned")


# How a jaxpr reads


class _Names(dict[Var, str]):
    """a, b, ..., z, aa, ab, ... in the order of first use."""

    def __init__(self) -> None:
        self.fresh = _letters()

    def __missing__(self, v: Var) -> str:
        self[v] = next(self.fresh)
        return self[v]


def _letters() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)


def jaxpr_text(jaxpr: Jaxpr, *, sources: bool = False, indent: int = 0) -> str:
    """The jaxpr, an equation a line.

    Args:
        sources: Whether to put the user's `file:line` behind each equation.
        indent: Spaces before each line.
    """
    names = _Names()
    margin = " " * indent
    head = [f"{names[v]}:{v.aval!r}" for v in jaxpr.inputs]
    constants = [f"{names[v]}:{v.aval!r}" for v, _ in jaxpr.constants]
    lines = [f"{{ lambda {' '.join(constants)} ; {' '.join(head)} . let".replace("  ", " ")]
    for eqn in jaxpr.equations:
        left = " ".join(f"{names[v]}:{v.aval!r}" for v in eqn.outputs)
        right = " ".join(_atom_text(x, names) for x in eqn.inputs)
        line = f"{margin}    {left} = {eqn.primitive.name}{_params_text(eqn.params, indent + 8)} {right}".rstrip()
        if sources and eqn.source is not None:
            line = f"{line:<60}  # {eqn.source.brief}  {eqn.source.text}".rstrip()
        lines.append(line)
    outs = ", ".join(_atom_text(x, names) for x in jaxpr.outputs)
    lines.append(f"{margin}  in ({outs}{',' if len(jaxpr.outputs) == 1 else ''}) }}")
    return "\n".join(lines)


def _atom_text(x: Atom, names: _Names) -> str:
    if isinstance(x, Literal):
        return f"{x.value}:{x.aval!r}"
    return names[x]


def _params_text(params: dict[str, Any], indent: int) -> str:
    if not params:
        return ""
    return "[" + " ".join(f"{name}={_param_text(value, indent)}" for name, value in params.items()) + "]"


def _param_text(value: Any, indent: int) -> str:
    if isinstance(value, Jaxpr):
        return jaxpr_text(value, indent=indent)
    if isinstance(value, tuple) and any(isinstance(part, Jaxpr) for part in value):
        return f"({', '.join(_param_text(part, indent) for part in value)})"
    if isinstance(value, np.dtype):
        return value.name
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return str(value).replace(" ", "")


_STYLE = "font-family:monospace;border-collapse:collapse"
_CELL = "text-align:left;padding:1px 12px;white-space:pre"


def jaxpr_html(jaxpr: Jaxpr) -> str:
    """The jaxpr as a table: result, operation, operands, and the user's line."""
    names = _Names()
    rows = [("input", f"{names[v]}", repr(v.aval), "", "") for v in jaxpr.inputs]
    rows += [("constant", f"{names[v]}", repr(v.aval), "", "") for v, _ in jaxpr.constants]
    for eqn in jaxpr.equations:
        operands = " ".join(_atom_text(x, names) for x in eqn.inputs)
        operation = f"{eqn.primitive.name}{_params_text(eqn.params, 0)} {operands}"
        source = eqn.source
        line = f"{source.brief}  {source.text}" if source else ""
        variable = source.variable if source and source.variable else ""
        outs = " ".join(names[v] for v in eqn.outputs)
        rows.append((variable, outs, " ".join(repr(v.aval) for v in eqn.outputs), operation, line))
    rows.append(("output", ", ".join(_atom_text(x, names) for x in jaxpr.outputs), "", "", ""))
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in ("", "value", "type", "operation", "line"))
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<table style="{_STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
