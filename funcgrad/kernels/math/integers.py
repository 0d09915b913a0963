"""Integers: quotients, remainders, powers, common divisors and multiples, as NumPy's; nothing traps.

Division by zero gives 0, the least number divided by -1 gives itself, and what is out of range wraps.
"""

from __future__ import annotations

from funcgrad.kernels.assembly import F64, SIGNED, UNSIGNED, Value, select
from funcgrad.kernels.definitions import kernel, repeated

# Quotients and remainders ------------------------------------------------------------------------------------------


def _quotient(x1: Value, x2: Value) -> Value:
    """x1 / x2 towards zero; 0 where x2 is 0.

    float64 holds numbers of up to 32 bits, and the quotient of two of them is nearest to another whole number only
    where it is that number: vectors have a division of these, and none of integers.
    """
    zero = x2.equals(0)
    if x1.element.bits <= 32:
        wide = UNSIGNED[64] if x1.element.kind == "u" else SIGNED[64]
        y = (x1.convert(F64) / select(zero, x2.like(1), x2).convert(F64)).convert(wide)
        return select(zero, 0, y.convert(x1.element))
    if x1.element.kind == "u":
        return select(zero, 0, x1 / select(zero, x2.like(1), x2))
    negated = x2.equals(-1)
    y = x1 / select(zero | negated, x2.like(1), x2)
    return select(zero, 0, select(negated, -x1, y))


@kernel
def floor_divide(x1: Value, x2: Value) -> Value:
    """The quotient rounded down."""
    y = _quotient(x1, x2)
    if x1.element.kind == "u":
        return y
    rest = x1 - y * x2
    uneven = rest.differs(0) & ((rest ^ x2) < 0) & x2.differs(0)
    return select(uneven, y - 1, y)


@kernel
def remainder(x1: Value, x2: Value) -> Value:
    """What the quotient rounded down leaves, with x2's sign; 0 where x2 is 0."""
    rest = x1 - _quotient(x1, x2) * x2
    if x1.element.kind != "u":
        rest = select(rest.differs(0) & ((rest ^ x2) < 0), rest + x2, rest)
    return select(x2.equals(0), 0, rest)


@kernel
def fmod(x1: Value, x2: Value) -> Value:
    """What the quotient rounded towards zero leaves, with x1's sign; 0 where x2 is 0."""
    return select(x2.equals(0), 0, x1 - _quotient(x1, x2) * x2)


# Loops: until every number of a vector is done ---------------------------------------------------------------------


@kernel
def power(x1: Value, x2: Value) -> Value:
    """x1 to the power x2 by squaring, modulo 2^bits; for a negative x2, which NumPy refuses, that rounded to zero."""
    negative = x2 < 0

    def step(y: Value, base: Value, exponent: Value) -> tuple[Value, ...]:
        return select((exponent & 1).differs(0), y * base, y), base * base, exponent >> 1

    unsigned = UNSIGNED[x1.element.bits]
    exponent = x2.bits(unsigned)
    y, _, _ = repeated((x1.like(1), x1, exponent), lambda y, base, left: left.differs(0), step)
    if x1.element.kind == "u":
        return y
    odd = (x2 & 1).differs(0)
    whole = select(x1.equals(1), 1, select(x1.equals(-1), select(odd, x1.like(-1), 1), 0))
    return select(negative, whole, y)


def _magnitude(x: Value) -> Value:
    """|x| without a sign, of the least number too."""
    unsigned = UNSIGNED[x.element.bits]
    return x.bits(unsigned) if x.element.kind == "u" else select(x < 0, -x, x).bits(unsigned)


def _zeros_below(x: Value) -> Value:
    """How many zeros are below the lowest one bit; 0 for 0."""
    name = f"llvm.cttz.v{x.width}i{x.element.bits}" if x.width > 1 else f"llvm.cttz.i{x.element.bits}"
    x.builder.module.declare(f"declare {x.type} @{name}({x.type}, i1)")
    return x.builder.emit(f"call {x.type} @{name}({x.type} {x.text}, i1 false)", x.element, x.width) & (
        x.element.bits - 1
    )


def _common_divisor(u: Value, v: Value) -> Value:
    """The greatest common divisor of numbers without a sign, from their differences and halves (Stein)."""
    u = select(u.equals(0), v, u)
    v = select(v.equals(0), u, v)
    shift = _zeros_below(u | v)

    def step(u: Value, v: Value) -> tuple[Value, ...]:
        done = v.equals(0)
        v = v >> _zeros_below(v)
        less = u < v
        low, high = select(less, u, v), select(less, v, u)
        return select(done, u, low), select(done, 0, high - low)

    y, _ = repeated((u >> _zeros_below(u), v), lambda u, v: v.differs(0), step)
    return y << shift


@kernel
def gcd(x1: Value, x2: Value) -> Value:
    """The greatest common divisor, of magnitudes; that of 0 and x is |x|."""
    return _common_divisor(_magnitude(x1), _magnitude(x2)).bits(x1.element)


@kernel
def lcm(x1: Value, x2: Value) -> Value:
    """The least common multiple, of magnitudes; 0 where one of them is."""
    u, v = _magnitude(x1), _magnitude(x2)
    return (_quotient(u, _common_divisor(u, v)) * v).bits(x1.element)
