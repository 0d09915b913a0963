"""From LLVM's text to machine code in memory, by way of bytes that can be kept on disk.

The text is meant as it stands: explicit vectors, explicit order. So the passes are few (inlining, folding, dead
code), and their time grows linearly. A text of many functions of moderate size compiles in linear time; one huge
function does not, for register allocation.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

from funcgrad.compiler import runtime

# One thread at a time, as llvmlite has it; and none while the process forks, for its child would wait for ever.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_DECLARATION = re.compile(r"^(?:declare [^@\n]*|(?=@[\w.$]+ = external ))@([\w.$]+).*\n?", re.MULTILINE)
# Libraries of one engine: their memory is freed one by one, but for some kilobytes that go with the engine.
_LIBRARIES_PER_ENGINE = 64


@functools.cache
def _binding() -> Any:
    """llvmlite's binding, ready for this machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def host() -> tuple[str, str, str]:
    """The triple, the processor's name and its features, as LLVM calls them."""
    llvm = _binding()
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def version() -> str:
    """The versions of LLVM and of its binding."""
    import llvmlite

    return f"{llvmlite.__version__} {_binding().llvm_version_info}"


def vector_bytes() -> int:
    """The size of this machine's vector registers in bytes."""
    features = set(host()[2].split(","))
    return 64 if {"+avx512f", "+avx512dq"} <= features else 32 if "+avx2" in features else 16


def _target_machine(*, quick: bool = False) -> Any:
    """What generates code for this machine. Position-independent, as its data may be far from other libraries'."""
    triple, cpu, features = host()
    return (
        _binding()
        .Target.from_triple(triple)
        .create_target_machine(cpu=cpu, features=features, opt=0 if quick else 2, reloc="pic", codemodel="jitdefault")
    )


def compile_module(text: str, *, quick: bool = False) -> bytes:
    """Compile a module for this machine.

    Args:
        text: LLVM assembly. It may declare functions of the runtime, and the same one several times.
        quick: Whether to generate code that is slower, in a quarter of the time.

    Returns:
        Code for `load`: the names of what it needs and of what it offers, and an object file.

    Raises:
        RuntimeError: the text is not well formed.
    """
    whole = _whole(text)
    with _lock:
        return _compiled(whole, quick)


def _compiled(text: str, quick: bool) -> bytes:
    module = _parsed(text)
    module.triple = host()[0]
    module.verify()
    machine = _target_machine(quick=quick)
    _optimise(module, machine)
    needs, offers = _symbols(module)
    return f"{' '.join(needs)}\n{' '.join(offers)}\n".encode() + machine.emit_object(module)


def optimised(text: str) -> str:
    """A module's text as it goes to the code generator, for people to read."""
    with _lock:
        module = _parsed(_whole(text))
        _optimise(module, _target_machine())
        return str(module)


def assembly(text: str) -> str:
    """A module as this machine's assembly, for people to read."""
    with _lock:
        return _target_machine().emit_assembly(_parsed(optimised(text)))


def _parsed(text: str) -> Any:
    llvm = _binding()
    return llvm.parse_assembly(text, llvm.create_context())


def _optimise(module: Any, machine: Any) -> None:
    llvm = _binding()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
    _passes().run(module, builder)


@functools.cache
def _passes() -> Any:
    """What the text is put through before code is generated of it; made once, as llvmlite never frees all of it.

    Redundancy elimination costs as much as these together and finds nothing: the emitter moves invariants out of
    loops itself, and the code generator sees equal terms of a block.
    """
    manager = _binding().create_new_module_pass_manager()
    manager.add_always_inliner_pass()
    manager.add_sroa_pass()
    manager.add_instruction_combine_pass()
    manager.add_simplify_cfg_pass()
    manager.add_dead_code_elimination_pass()
    manager.add_global_dead_code_eliminate_pass()
    return manager


def _whole(text: str) -> str:
    """A module of several texts that each declare what they use, with what the runtime has as text."""
    added = {name: definition for name, definition in runtime.TEXT.items() if f"@{name}(" in text}
    text = "".join((text, *added.values()))
    seen = set(added)

    def keep(found: re.Match[str]) -> str:
        line = "" if found[1] in seen else found[0]
        seen.add(found[1])
        return line

    return _DECLARATION.sub(keep, text)


def _symbols(module: Any) -> tuple[list[str], list[str]]:
    """What a module needs that the runtime does not have at all times, and what it offers."""
    needs, offers = [], []
    for value in (*module.functions, *module.global_variables):
        if value.is_declaration:
            if not value.name.startswith("llvm.") and value.name not in runtime.symbols():
                needs.append(value.name)
        elif value.linkage.name == "external":
            offers.append(value.name)
    return needs, offers


class Library:
    """Machine code in memory, for as long as this object lives.

    Attributes:
        keep: What else has to live as long.
    """

    __slots__ = ("__weakref__", "_addresses", "_engine", "_tracker", "keep")

    def __init__(self, engine: _Engine, tracker: Any, names: list[str]) -> None:
        self._engine = engine
        self._tracker = tracker
        self._addresses = {name: tracker[name] for name in names}
        self.keep: list[Any] = []

    def address(self, symbol: str) -> int:
        """Where a function of the module is.

        Raises:
            KeyError: there is none of that name.
        """
        return self._addresses[symbol]

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            return
        _dead.append((self._tracker, self._engine))
        del self._tracker, self._engine
        if _lock.acquire(blocking=False):  # or else whoever has the lock sees to it
            try:
                _free_dead()
            finally:
                _lock.release()


_dead: list[tuple[Any, _Engine]] = []


def _free_dead() -> None:
    """Free the memory of libraries that are gone; a thread that collects garbage cannot wait for the lock to do it."""
    while _dead:
        tracker, _ = _dead.pop()
        tracker.close()  # before its engine goes


class _Engine:
    """LLVM's linker and memory manager for some libraries."""

    __slots__ = ("_base", "count", "jit")

    def __init__(self) -> None:
        llvm = _binding()
        self.count = 0
        self.jit = llvm.create_lljit_compiler(_target_machine(), use_jit_link=sys.platform != "win32")
        builder = llvm.JITLibraryBuilder()
        for name, address in runtime.symbols().items():
            builder.import_symbol(name, address)
        self._base = builder.export_symbol("malloc").link(self.jit, "runtime")

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and hasattr(self, "_base"):
            self._base.close()
            self.jit.close()

    def link(self, name: str, needs: list[str], offers: list[str], object_file: bytes) -> Any:
        """Put an object file into memory."""
        builder = _binding().JITLibraryBuilder().add_object_img(object_file).add_jit_library("runtime")
        for symbol in needs:
            builder.import_symbol(symbol, runtime.address(symbol))
        for symbol in offers:
            builder.export_symbol(symbol)
        return builder.link(self.jit, name)


_current: list[_Engine] = []


def load(code: bytes) -> Library:
    """Put compiled code into memory, joined to the runtime.

    Args:
        code: What `compile_module` gave.

    Raises:
        runtime.UnavailableError: it needs a function that is not to be had here (of SciPy, which is not installed).
    """
    needs, offers, object_file = code.split(b"\n", 2)
    names = offers.decode().split()
    with _lock:
        _free_dead()
        if not _current or _current[0].count == _LIBRARIES_PER_ENGINE:
            _current[:] = [_Engine()]
        engine = _current[0]
        engine.count += 1
        tracker = engine.link(f"library{engine.count}", needs.decode().split(), names, object_file)
    return Library(engine, tracker, names)
