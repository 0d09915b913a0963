"""How is each library set up: for one thread, in double precision, with or without its cache on disk?"""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

# What one process of a library imports before anything is timed.
MODULES = {
    "funcgrad": ("funcgrad",),
    "jax": ("jax", "jax.numpy", "jax.scipy.special"),
    "torch": ("torch", "torch.func"),
    "autograd": ("autograd", "autograd.numpy"),
    "numpy": ("numpy",),
    "numba": ("numba",),
    "scipy": ("scipy.optimize",),
}
# Those that compile, and can read in a second process what a first one has compiled.
COMPILERS = ("funcgrad", "jax", "torch:compile")
KEEP_BY_DEFAULT = ("funcgrad", "torch:compile")
PACKAGES = ("funcgrad", "numpy", "scipy", "numba", "llvmlite", "jax", "jaxlib", "torch", "autograd")

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NPROC",  # what JAX takes for the number of cores
)


def package_of(library: str) -> str:
    """`torch` of `torch:compile`."""
    return library.partition(":")[0]


def is_installed(library: str) -> bool:
    """Whether the library's package can be found, without importing it."""
    return importlib.util.find_spec(package_of(library)) is not None


def variables(threads: int, cache: Path, *, keep: bool) -> dict[str, str]:
    """Environment variables for a process with a number of threads.

    Args:
        threads: The number of threads.
        cache: Where compiled code is kept.
        keep: Whether it is kept by libraries, too, that do so only when asked to.
    """
    result = {name: str(threads) for name in _THREADS}
    result["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'} intra_op_parallelism_threads={threads}"
    )
    result["PYTHONDONTWRITEBYTECODE"] = ""  # as pip installs packages, JAX too
    result["JAX_ENABLE_X64"] = "1"
    result["JAX_PLATFORMS"] = "cpu"
    result["FUNCGRAD_CACHE_DIR"] = str(cache / "funcgrad")
    result["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
    if keep:
        result["JAX_COMPILATION_CACHE_DIR"] = str(cache / "jax")
        result["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        result["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return result


def idlest(count: int) -> list[int]:
    """The cores of this machine, among those that this process may use, that have the least to do just now."""
    available = os.sched_getaffinity(0)

    def idle() -> dict[int, int]:
        with open("/proc/stat", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("cpu") and line[3].isdigit()]
        return {int(name[3:]): int(numbers[3]) for name, *numbers in lines}

    before = idle()
    time.sleep(0.2)
    rested = {core: ticks - before.get(core, 0) for core, ticks in idle().items() if core in available}
    return sorted(rested, key=lambda core: -rested[core])[:count]


def pin(cores: list[int]) -> None:
    """Keep this process on as many cores as it may have threads: some libraries heed nothing else."""
    os.sched_setaffinity(0, cores)


def prepare(library: str, threads: int) -> None:
    """Import a library, so that its import is not timed with its first call."""
    package = package_of(library)
    for module in MODULES[package]:
        importlib.import_module(module)
    if package == "torch":
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
