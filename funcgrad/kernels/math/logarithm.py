"""log and its kin: x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and a polynomial in f."""

from __future__ import annotations

from funcgrad.kernels.assembly import Value, fabs, fma, kernel, select
from funcgrad.kernels.math.arithmetic import INF, NAN, chosen, format_of, polynomial

LN2 = 0.6931471805599453
LN2_REST = 2.3190468138462996e-17
LN2_F32 = float.fromhex("0x1.62e430p-1")
LN2_REST_F32 = LN2 - LN2_F32

# (log(1 + f) - f) / f^2 for sqrt(1/2) <= 1 + f <= sqrt(2); log(1 + f) to 2^-56.3, and to 2^-27.8 for float32.
LOG_F64 = (
    -0.5000000000000007,
    0.3333333333333338,
    -0.2499999999996102,
    0.19999999999953572,
    -0.16666666673349095,
    0.14285714296784965,
    -0.12499999481286046,
    0.11111110007966486,
    -0.10000021559966307,
    0.09090965687087874,
    -0.08332821647533646,
    0.07690662392071902,
    -0.07149702527876442,
    0.06694673582383256,
    -0.062060365554777806,
    0.056099610558711904,
    -0.055635703770555635,
    0.06599348122621486,
    -0.06387209161767533,
    0.028995360544765206,
)
LOG_F32 = (
    -0.49999988079071045,
    0.33333325386047363,
    -0.2500159740447998,
    0.20001986622810364,
    -0.16608862578868866,
    0.14181695878505707,
    -0.13244318962097168,
    0.129044771194458,
    -0.07618086785078049,
)


def split(x: Value) -> tuple[Value, Value]:
    """k and the mantissa between sqrt(1/2) and sqrt(2) with x = 2^k mantissa; x must be normal."""
    form = format_of(x)
    unsigned = form.unsigned
    root = x.like(0.5**0.5).bits(unsigned)
    bits = x.bits(unsigned) + (x.like(1.0).bits(unsigned) - root)
    # The exponent in the last bits of 2^52 is a number that integers need no conversion for.
    carrier = 2.0**form.mantissa
    k = ((bits >> form.mantissa) | x.like(carrier).bits(unsigned)).bits(x.element) - (carrier + form.bias)
    fraction = (1 << form.mantissa) - 1
    return k, ((bits & fraction) + root).bits(x.element)


def split_any(x: Value) -> tuple[Value, Value]:
    """As `split`, k and mantissa of subnormal numbers too."""
    form = format_of(x)
    lift = form.mantissa + 2
    small = x < form.least
    k, mantissa = split(select(small, x * 2.0**lift, x))
    return select(small, k - float(lift), k), mantissa


def log_sum(k: Value, f: Value) -> Value:
    """k log 2 + log(1 + f)."""
    ln2, ln2_rest = chosen(f, (LN2, LN2_REST), (LN2_F32, LN2_REST_F32))
    rest = fma(f * f, polynomial(f, chosen(f, LOG_F64, LOG_F32)), k * ln2_rest)
    return fma(k, ln2, f + rest)


def limits(x: Value, y: Value) -> Value:
    """y, a logarithm of x, or what it is at zero, below zero, at infinity and NaN."""
    y = select(x < INF, y, x)
    return select(x <= 0.0, select(x.equals(0.0), -INF, x.like(NAN)), y)


@kernel
def log(x: Value) -> Value:
    """The natural logarithm."""
    k, mantissa = split_any(x)
    return limits(x, log_sum(k, mantissa - 1.0))


@kernel
def log1p(x: Value) -> Value:
    """log(1 + x): 1 + x = 2^k m is rounded; what it lost is added to m - 1, which is x itself where k is 0."""
    total = 1.0 + x
    k, mantissa = split(total)
    integer = format_of(x).integer
    shrink = (mantissa.bits(integer) - total.bits(integer) + x.like(1.0).bits(integer)).bits(x.element)
    # 1 counts beside x only below 2^60.
    lost = select(x < 2.0**60, (x - (total - 1.0)) * shrink, 0.0)
    y = limits(total, log_sum(k, (mantissa - 1.0) + lost))
    return select(fabs(x) < format_of(x).least, x, y)
