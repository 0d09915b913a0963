"""How places in the user's code read."""

from __future__ import annotations

import sys
import types

import pytest

from funcgrad.core.source import Source


def test_source_reads_as_file_line_function_and_text() -> None:
    source = Source("/home/model.py", 41, "model", "z = x @ w + b", "z")
    assert str(source) == "/home/model.py:41, in model:  z = x @ w + b"
    assert source.brief == "model.py:41"


def test_source_in_a_notebook_reads_as_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def format_code_name(name: str) -> tuple[str, str] | None:
        return ("Cell", "In[3]") if name == "/tmp/ipykernel_9/17.py" else None

    shell = types.SimpleNamespace(compile=types.SimpleNamespace(format_code_name=format_code_name))
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert Source("/tmp/ipykernel_9/17.py", 2, "f", "y = x", None).brief == "Cell In[3]:2"
    assert str(Source("/home/model.py", 2, "f", "", None)) == "/home/model.py:2, in f"
    ipython.get_ipython = lambda: None
    assert Source("/tmp/ipykernel_9/17.py", 2, "f", "y = x", None).brief == "17.py:2"
