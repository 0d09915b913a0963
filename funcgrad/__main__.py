"""`python -m funcgrad`: the demo, and what is kept of compiled programs."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from funcgrad.compiler import cache
from funcgrad.demo.program import run

_DEMO_NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "threadpoolctl": "threadpoolctl", "tqdm": "tqdm"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m funcgrad", description="Derivatives of plain NumPy code.")
    parser.add_argument("--version", action="version", version=f"funcgrad {version('funcgrad')}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="train two networks on handwritten digits",
        description="Train the one-layer network of PyTorch's autograd tutorial and a multi-layer perceptron on the "
        "UCI digits, check their derivatives, and draw loss and accuracy.",
    )
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("funcgrad-demo.png"),
        metavar="PATH",
        help="where to write the picture (default: %(default)s)",
    )
    kept = commands.add_parser(
        "cache",
        help="show or clear the compiled programs on disk",
        description="jit keeps compiled programs on disk. FUNCGRAD_CACHE_DIR names another folder for them, "
        "FUNCGRAD_CACHE_MEGABYTES another size, and FUNCGRAD_CACHE=0 switches this off.",
    )
    kept.add_argument("action", choices=["info", "clear"])
    options = parser.parse_args(arguments)
    if options.command == "cache":
        return clear_cache() if options.action == "clear" else show_cache()
    return run_demo(demo, options.output)


def show_cache() -> int:
    """Print where compiled programs are kept, and how many."""
    state = cache.information()
    print(f"folder    {state.folder or '-'}")
    print(f"in use    {f'no: {state.obstacle}' if state.obstacle else 'yes'}")
    print(f"programs  {state.files}")
    print(f"size      {state.size / 1e6:.1f} MB of {state.limit / 1e6:.0f} MB")
    return 0


def clear_cache() -> int:
    """Remove all compiled programs from the disk."""
    folder, count = cache.folder(), cache.clear()
    print(f"{count} {'program' if count == 1 else 'programs'} removed{f' from {folder}' if folder else ''}")
    return 0


def run_demo(parser: argparse.ArgumentParser, output: Path) -> int:
    """The demo, once everything that it needs is known to be there."""
    missing = [package for module, package in _DEMO_NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(
            f"The demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.\n"
            'In a checkout of funcgrad, run:  python -m pip install ".[demo]"',
            file=sys.stderr,
        )
        return 1
    if output.suffix.lower() != ".png":
        parser.error(f"--output {output}: the picture is a PNG, so its name ends in .png")
    if not output.parent.is_dir():
        parser.error(f"--output {output}: there is no folder {output.parent}")
    return 0 if run(output) else 1


if __name__ == "__main__":
    sys.exit(main())
