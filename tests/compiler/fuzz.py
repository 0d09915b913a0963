"""Random programs, compiled and by NumPy: `python -m tests.compiler.fuzz 0 5000` tries thousands."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import funcgrad as fg
from funcgrad.compiler.simplify import simplified
from funcgrad.core.errors import FuncgradError
from funcgrad.core.tree import tree_flatten
from tests.compiler.drawing import Drawn, Noise

# Seeds of one child process.
_PORTION = 100


class MismatchError(AssertionError):
    """A compiled program and NumPy differ."""


def check(seed: int, loops: bool = False) -> str:
    """Draw a program, and compare what `jit` gives with what NumPy does: values, types and exceptions.

    Args:
        loops: Whether most of it is to be loops and branches.

    Returns:
        What became of it: "compiled", "recorded anew", or "refused" (by NumPy, or by all transformations).

    Raises:
        MismatchError: They differ.
    """
    drawn = Drawn(seed, 7, loops) if loops else Drawn(seed)
    f, jitted = drawn.function(), fg.jit(drawn.function())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", fg.RetracingWarning)
        for number, arguments in enumerate([drawn.arguments[0], *drawn.arguments, drawn.arguments[0]]):
            copies = [x.copy() for x in arguments]
            expected, actual = outcome(f, arguments), outcome(jitted, arguments)
            for x, copy in zip(arguments, copies, strict=True):
                np.testing.assert_array_equal(x, copy, "an argument has been written to")
            if isinstance(actual, FuncgradError):
                return "refused"
            if isinstance(expected, Exception) or isinstance(actual, Exception):
                if isinstance(expected, Exception) and not isinstance(actual, Exception):
                    expected = without_dead_code(jitted, arguments)
                    if not isinstance(expected, Exception) or _is_undefined(expected, arguments, drawn):
                        continue
                same = number == 0 or str(expected) == str(actual)
                if type(expected) is not type(actual) or not same:
                    raise MismatchError(f"call {number}: {_short(expected)}\n   compiled: {_short(actual)}")
                if number == 0:
                    return "refused"
                continue
            assert_equal(drawn, number, arguments, expected, actual)
    programs = jitted.explain().programs  # type: ignore[attr-defined]
    return "compiled" if any(program.executable is not None for program in programs) else "recorded anew"


def outcome(f: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """A function's flat results, or the exception that it raises."""
    try:
        return tree_flatten(f(*arguments))[0]
    except Exception as error:
        return error


def without_dead_code(jitted: Any, arguments: Sequence[Any]) -> Any:
    """The results by NumPy, or the exception, of what a compiled function has been compiled from: no more is needed."""
    for program in jitted.explain().programs:
        if program.executable is not None:
            return outcome(Noise(0, 0.0).results, [simplified(program.jaxpr), [*program.constants, *arguments]])
    return None


def _is_undefined(error: Exception, arguments: Sequence[Any], drawn: Drawn) -> bool:
    """Whether an error depends on LAPACK's version, in matrices with infinities or NaN, or on rounding."""
    if not isinstance(error, np.linalg.LinAlgError):
        return False
    if not all(np.all(np.isfinite(x)) for x in arguments):
        return True
    jaxpr = fg.make_jaxpr(drawn.function())(*drawn.arguments[0])
    noisy = [outcome(Noise(seed).results, [jaxpr, arguments]) for seed in range(4)]
    return not all(isinstance(results, Exception) for results in noisy)


def assert_equal(drawn: Drawn, number: int, arguments: Sequence[Any], expected: list[Any], actual: list[Any]) -> None:
    """Compare results: types exactly, numbers as far as their rounding lets NumPy itself say what they are."""
    if list(map(_type, actual)) != list(map(_type, expected)):
        raise MismatchError(f"call {number}: {_short(expected)}\n   compiled: {_short(actual)}")
    if all(np.array_equal(y, z, equal_nan=True) for y, z in zip(actual, expected, strict=True)):
        return
    jaxpr = fg.make_jaxpr(drawn.function())(*arguments)
    noises = [Noise(seed) for seed in range(4)]
    noisy = [outcome(noise.results, [jaxpr, arguments]) for noise in noises]
    if any(noise.undefined for noise in noises):
        return
    noisy = [results for results in noisy if not isinstance(results, Exception)]
    for n, (y, z) in enumerate(zip(actual, expected, strict=True)):
        y, z, *others = map(_parts, (y, z, *[results[n] for results in noisy]))
        far = ~_near(y, z, others)
        if np.any(far):
            places = np.flatnonzero(far)[:5]
            found = "\n".join(f"  {k}: {y.flat[k]!r}, by NumPy {z.flat[k]!r}" for k in places)
            raise MismatchError(f"call {number}: result {n}, {np.sum(far)} of {y.size} elements of {z.dtype}\n{found}")


def _short(x: Any) -> str:
    return repr(x) if isinstance(x, Exception) else ", ".join(f"{np.result_type(y)}{np.shape(y)}" for y in x)


def _type(x: Any) -> tuple[Any, ...]:
    """A result's type; NumPy's own functions differ in whether they give numbers or arrays without axes."""
    return isinstance(x, (np.ndarray, np.generic)) or type(x), np.result_type(x), np.shape(x)


def _parts(x: Any) -> Any:
    """An array with the real and imaginary parts of complex numbers side by side."""
    return np.stack([x.real, x.imag], axis=-1) if np.result_type(x).kind == "c" else np.asarray(x)


def _near(y: Any, z: Any, others: Sequence[Any]) -> Any:
    """Where y is z, to a few times what rounding makes of it."""
    same = (y == z) | ((y != y) & (z != z))
    unsure = np.zeros(z.shape, bool)
    spread = np.zeros(z.shape)
    for other in others:
        # Rounding decides whether there is a number, and which infinity or NaN where there is none.
        unsure |= ~(np.isfinite(other) & np.isfinite(z)) & (other != z) & ~(np.isnan(other) & np.isnan(z))
        spread = np.fmax(spread, np.abs(other - z) if z.dtype.kind in "fc" else np.where(other != z, np.inf, 0.0))
    if z.dtype.kind not in "fc":
        return same | (spread > 0)
    eps = np.finfo(z.dtype).eps
    size = np.max(np.abs(z[np.isfinite(z)]), initial=0.0)
    finite = np.isfinite(y) & np.isfinite(z)
    return same | unsure | finite & (np.abs(y - z) <= 30 * spread + 50 * eps * np.maximum(np.abs(z), 1e-3 * size))


def check_many(start: int, stop: int, loops: bool = False) -> None:
    """Check a range of seeds; each mismatch is printed."""
    for seed in range(start, stop):
        print(f"#{seed}", flush=True)
        try:
            print(check(seed, loops))
        except Exception as error:
            drawn = Drawn(seed, 7, loops) if loops else Drawn(seed)
            print(f"MISMATCH {type(error).__name__}: {error}\n{drawn}\n", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check seeds in child processes, so that one that dies leaves its seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compiler.fuzz", description=__doc__)
    parser.add_argument("start", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--here", action="store_true", help="in this process")
    parser.add_argument("--loops", action="store_true", help="programs made of loops and branches, and derivatives")
    options = parser.parse_args(arguments)
    if options.here:
        check_many(options.start, options.stop, options.loops)
        return 0
    counts: dict[str, int] = {}
    start = options.start
    while start < options.stop:
        stop = min(start + _PORTION, options.stop)
        command = [sys.executable, "-m", "tests.compiler.fuzz", str(start), str(stop), "--here"]
        command += ["--loops"] if options.loops else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        parts = done.stdout.split("#")[1:]
        for part in parts:
            seed, _, said = part.partition("\n")
            said = said[said.find("MISMATCH") :] if "MISMATCH" in said else said.strip().rpartition("\n")[2]
            what = said.split(maxsplit=1)[0] if said else "DIED"
            counts[what] = counts.get(what, 0) + 1
            if what == "MISMATCH":
                print(f"seed {seed}: {said}", flush=True)
            elif what == "DIED":
                print(f"seed {seed}: the process died ({done.returncode}): {done.stderr[-2000:]}", flush=True)
        start = stop if done.returncode == 0 else start + max(1, len(parts))
    print(counts)
    return int(bool(counts.get("MISMATCH", 0) + counts.get("DIED", 0)))


if __name__ == "__main__":
    sys.exit(main())
