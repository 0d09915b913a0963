"""Execute copies of the notebooks and compare their outputs with the committed ones; `--update` commits new ones.

Every output that is text must be as committed, but for cells tagged `timing`; pictures must be there, their bytes
may differ with the version of matplotlib.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
# What looks like a place on somebody's machine has no business in an output.
MACHINE_PATHS = re.compile(r"/(home|root|tmp|work|Users|usr|opt|var)/|[A-Z]:\\\\|site-packages")


def execute(path: Path) -> Any:
    """The notebook with fresh outputs, and nothing in it of the machine that made them."""
    notebook = nbformat.read(path, as_version=4)
    # Beside the notebook stands no module that would shadow an installed one.
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", record_timing=False, extra_arguments=["--log-level=ERROR"]
    ).execute(cwd=str(FOLDER))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = merged_streams(cell.outputs)
    return notebook


def merged_streams(outputs: list[Any]) -> list[Any]:
    """Outputs in which neighbouring pieces of one stream are one: how they arrive is chance."""
    merged: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def texts(cell: Any) -> list[tuple[str, str]]:
    """A cell's outputs as pairs of kind and text; of a picture only that it is there."""
    found: list[tuple[str, str]] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            found.append((output.name, output.text))
            continue
        data = output.get("data", {})
        has_picture = any(kind.startswith("image/") for kind in data)
        for kind in sorted(data):
            found.append((kind, "" if has_picture else str(data[kind])))
    return found


def differences(committed: Any, executed: Any) -> list[str]:
    """What is wrong with the executed copy of a notebook."""
    wrong: list[str] = []
    for number, (old, new) in enumerate(zip(committed.cells, executed.cells, strict=True)):
        if new.cell_type != "code":
            continue
        place = f"cell {number}: {new.source.splitlines()[0]}"
        wrong += [f"{place}\n  warns: {text}" for kind, text in texts(new) if kind == "stderr"]
        wrong += [f"{place}\n  shows a path: {text}" for _, text in texts(new) if MACHINE_PATHS.search(text)]
        timed = "timing" in new.metadata.get("tags", [])
        if not timed and texts(old) != texts(new):
            wrong.append(f"{place}\n  committed: {texts(old)}\n  now:       {texts(new)}")
    return wrong


def main() -> int:
    """Check, or with `--update` rewrite, all notebooks or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    parser.add_argument("--update", action="store_true", help="write the new outputs into the notebooks")
    options = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "default"
    failed = False
    for path in options.notebooks:
        try:
            executed = execute(path)
        except CellExecutionError as error:
            print(f"{path.name}: {error}")
            return 1
        if options.update:
            nbformat.write(executed, path)
            print(f"{path.name}: written")
            continue
        wrong = differences(nbformat.read(path, as_version=4), executed)
        failed |= bool(wrong)
        print(f"{path.name}: {'as committed' if not wrong else 'DIFFERS'}", *wrong, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
