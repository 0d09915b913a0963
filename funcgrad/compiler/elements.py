"""How a nest reaches elements of buffers: one, a run of neighbours, scattered ones; some lanes of them or all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import Apply, Buffer, Counter, Expression
from funcgrad.compiler.scalars import add
from funcgrad.compiler.scope import Scope
from funcgrad.kernels.assembly import BOOL, ELEMENTS, I8, I64, Element, Value
from funcgrad.kernels.complex import PARTS, Complex, by_turns, parted


class Elements(ABC):
    """Loads and stores of a nest that is being emitted.

    Attributes:
        scope: The function.
        builder: Its instructions.
        vector: The counter that differs from lane to lane.
        width: The number of lanes.
        counters: The values of the counters of open loops; of the vector's, that of the first lane.
        mask: Which lanes are computed, unless all are.
    """

    scope: Scope
    vector: int | None
    width: int

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.builder = scope.builder
        self.counters: dict[int, Value] = {}
        self.mask: Value | None = None

    @abstractmethod
    def value(self, x: Expression, copy: int = 0) -> Any:
        """The value of an expression that has been computed."""

    @abstractmethod
    def is_vector(self, x: Expression) -> bool:
        """Whether an expression differs from lane to lane."""

    # Indices

    def splat(self, x: Any) -> Any:
        """A scalar in all lanes."""
        if x.width == self.width:
            return x
        if type(x) is Complex:
            return x.each(self.splat)
        return self.builder.splat(x, self.width)

    def _counter(self, copy: int) -> dict[int, Value]:
        """The counters as the given copy of the loop's body has them."""
        if copy == 0 or self.vector is None:
            return self.counters
        return {**self.counters, self.vector: self.counters[self.vector] + copy * self.width}

    def _count(self, index: Affine, copy: int) -> Value:
        base = self.scope.affine(index, self._counter(copy))
        stride = index.coefficient(self.vector) if self.vector is not None else 0
        return self.splat(base) + self._lanes(stride) if stride else base

    def _lanes(self, stride: int) -> Value:
        items = ", ".join(f"i64 {k * stride}" for k in range(self.width))
        return Value(self.builder, f"<{items}>", I64, self.width)

    # Loads and stores

    def address(self, buffer: Buffer, index: Value) -> str:
        """The pointer, or pointers, to elements of a buffer; of complex numbers to their parts, counted by twos."""
        b, element = self.builder, PARTS.get(buffer.dtype) or ELEMENTS[buffer.dtype]
        kind = "i8" if element is BOOL else element.llvm
        name = b.name()
        b.do(f"{name} = getelementptr {kind}, ptr {self.scope.pointer(buffer)}, {index.type} {index.text}")
        return name

    def _run(self, index: Index, copy: int) -> tuple[Value, int] | None:
        """The first lane's index and the distance of the lanes; None where each lane's index is computed."""
        base: Expression | None = None
        if type(index) is Apply and index.function is add and type(index.operands[1]) is Counter:
            # A row that is computed, and a place in it.
            base, index = index.operands[0], index.operands[1].index
            if self.is_vector(base):
                return None
        if type(index) is not Affine:
            return None
        stride = index.coefficient(self.vector) if self.vector is not None else 0
        place = self.scope.affine(index, self._counter(copy))
        return (place if base is None else self.value(base) + place), stride

    def load(self, buffer: Buffer, index: Index, copy: int) -> Value:
        """An element, or a vector of them."""
        if buffer.dtype in PARTS:
            return self._load_complex(buffer, index, copy)
        element = ELEMENTS[buffer.dtype]
        stored = I8 if element is BOOL else element
        run = self._run(index, copy)
        if run is not None:
            place, stride = run
            if stride in (0, 1):
                raw = self._load_run(self.address(buffer, place), stored, self.width if stride else 1)
            else:
                raw = self._gather(self.address(buffer, self.splat(place) + self._lanes(stride)), stored)
        else:
            place = self.value(index, copy)  # type: ignore[arg-type]
            pointers = self.address(buffer, place)
            raw = self._gather(pointers, stored) if place.width > 1 else self._load_run(pointers, stored, 1)
        return raw.differs(0) if element is BOOL else raw

    def _load_run(self, pointer: str, element: Element, width: int) -> Value:
        kind, size = element.of_width(width), element.bits // 8
        if width > 1 and self.mask is not None:
            suffix = f"v{width}{'f' if element.kind == 'f' else 'i'}{element.bits}"
            name = f"llvm.masked.load.{suffix}.p0"
            self.builder.module.declare(f"declare {kind} @{name}(ptr, i32, <{width} x i1>, {kind})")
            call = f"call {kind} @{name}(ptr {pointer}, i32 {size}, {self.mask.type} {self.mask.text}, "
            return self.builder.emit(f"{call}{kind} zeroinitializer)", element, width)
        return self.builder.emit(f"load {kind}, ptr {pointer}, align {size}", element, width)

    def _every_lane(self) -> Value:
        return Value(self.builder, "splat (i1 true)", BOOL, self.width) if self.mask is None else self.mask

    def _gather(self, pointers: str, element: Element) -> Value:
        kind, width, mask = element.of_width(self.width), self.width, self._every_lane()
        name = f"llvm.masked.gather.v{width}{'f' if element.kind == 'f' else 'i'}{element.bits}.v{width}p0"
        self.builder.module.declare(f"declare {kind} @{name}(<{width} x ptr>, i32, <{width} x i1>, {kind})")
        call = f"call {kind} @{name}(<{width} x ptr> {pointers}, i32 {element.bits // 8}, {mask.type} {mask.text}, "
        return self.builder.emit(f"{call}{kind} zeroinitializer)", element, width)

    def store(self, buffer: Buffer, index: Index, x: Any, copy: int, streams: bool = False) -> None:
        """Store an element, or a vector of them, past the cache if it streams."""
        if type(x) is Complex:
            return self._store_complex(buffer, index, x, copy)
        if x.element is BOOL:
            x = x.convert(I8)
        size = x.element.bits // 8
        run = self._run(index, copy)
        place, stride = run or (self.value(index, copy), 0)  # type: ignore[arg-type]
        b = self.builder
        if place.width > 1 or stride not in (0, 1):
            if run is not None:
                place = self.splat(place) + self._lanes(stride)
            self._scatter(self.address(buffer, place), x)
            return
        pointer = self.address(buffer, place)
        if stride == 1:
            x = self.splat(x)
            if self.mask is not None:
                suffix = f"v{x.width}{'f' if x.element.kind == 'f' else 'i'}{x.element.bits}"
                name = f"llvm.masked.store.{suffix}.p0"
                b.module.declare(f"declare void @{name}({x.type}, ptr, i32, <{x.width} x i1>)")
                mask = self.mask
                b.do(f"call void @{name}({x.type} {x.text}, ptr {pointer}, i32 {size}, {mask.type} {mask.text})")
                return
        how = f"align {x.width * size}, !nontemporal !2" if streams else f"align {size}"
        b.do(f"store {x.type} {x.text}, ptr {pointer}, {how}")

    def _scatter(self, pointers: str, x: Value) -> None:
        mask, x, size = self._every_lane(), self.splat(x), x.element.bits // 8
        name = f"llvm.masked.scatter.v{x.width}{'f' if x.element.kind == 'f' else 'i'}{x.element.bits}.v{x.width}p0"
        self.builder.module.declare(f"declare void @{name}({x.type}, <{x.width} x ptr>, i32, <{x.width} x i1>)")
        operands = f"{x.type} {x.text}, <{x.width} x ptr> {pointers}, i32 {size}, {mask.type} {mask.text}"
        self.builder.do(f"call void @{name}({operands})")

    # Complex numbers

    def _places(self, index: Index, copy: int) -> tuple[Value, bool]:
        """Where the real parts are, and whether the numbers of a whole vector are neighbours there."""
        run = self._run(index, copy)
        if run is None:
            return self.value(index, copy) * 2, False  # type: ignore[arg-type]
        place, stride = run
        if stride == 0 or (stride == 1 and self.mask is None):
            return place * 2, stride == 1
        return (self.splat(place) + self._lanes(stride)) * 2, False

    def _load_complex(self, buffer: Buffer, index: Index, copy: int) -> Any:
        part = PARTS[buffer.dtype]
        place, run = self._places(index, copy)
        if run:
            return parted(self._load_run(self.address(buffer, place), part, 2 * self.width))
        load = self._gather if place.width > 1 else lambda pointer, element: self._load_run(pointer, element, 1)
        return Complex(load(self.address(buffer, place), part), load(self.address(buffer, place + 1), part))

    def _store_complex(self, buffer: Buffer, index: Index, x: Complex, copy: int) -> None:
        place, run = self._places(index, copy)
        if run:
            both = by_turns(self.splat(x))
            pointer = self.address(buffer, place)
            self.builder.do(f"store {both.type} {both.text}, ptr {pointer}, align {both.element.bits // 8}")
            return
        for at, part in ((place, x.re), (place + 1, x.im)):
            pointer = self.address(buffer, at)
            if place.width > 1:
                self._scatter(pointer, part)
            else:
                self.builder.do(f"store {part.type} {part.text}, ptr {pointer}, align {part.element.bits // 8}")
