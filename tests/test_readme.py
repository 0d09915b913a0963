"""What README.md shows is what happens: its Python blocks run in order, and print what stands beside them."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n?^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[int, str, str | None]]:
    """Line number, code, and the text that follows in a block of its own, of each Python block."""
    text = README.read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in BLOCK.finditer(text)]


def run_block(line: int, code: str, namespace: dict[str, Any]) -> str:
    """Run a block; check each `expression  # -> value` in it; return what it printed."""
    printed = io.StringIO()
    lines = code.splitlines()
    with contextlib.redirect_stdout(printed):
        for statement in ast.parse(code).body:
            # Compiled alone with its own line numbers, so that messages and jaxprs name README.md.
            comment = re.search(r"#\s*->\s*(.+)$", lines[statement.end_lineno - 1])  # type: ignore[operator]
            ast.increment_lineno(statement, line - 1)
            if comment is None or not isinstance(statement, ast.Expr):
                exec(compile(ast.Module([statement], []), str(README), "exec"), namespace)
                continue
            value = eval(compile(ast.Expression(statement.value), str(README), "eval"), namespace)
            assert "".join(repr(value).split()) == "".join(comment[1].split()), f"README.md:{statement.lineno}"
    return printed.getvalue()


def without_lines(text: str) -> str:
    """A text in which README's own line numbers, which move when it is edited, are blank."""
    return re.sub(r"README\.md:\d+", "README.md", text).rstrip()


def test_readme_blocks_run_and_print_what_they_say() -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    assert blocks()
    for line, code, expected in blocks():
        printed = run_block(line, code, namespace)
        if expected is not None:
            assert without_lines(printed) == without_lines(expected), f"README.md:{line}"


def test_readme_is_up_to_200_lines() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize(
    "command",
    [
        'python -m pip install ".[demo]" && python -m funcgrad demo',
        'python -m pip install -e ".[test]" && python -m pytest',
    ],
)
def test_readme_has_the_set_up_commands_on_lines_of_their_own(command: str) -> None:
    assert command in README.read_text(encoding="utf-8").splitlines()
