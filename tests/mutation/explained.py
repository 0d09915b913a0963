"""Mutants of derivative rules that no test notices, and why each of them is none.

`python -m tests.mutation` fails if one survives that is not here; a test fails if one is here that does not exist.
"""

from __future__ import annotations

_NUMERATOR = "The divisor is changed only where the numerator is 0, from 1 to -1: 0 either way."
_SYMMETRIC = "The function is the same with its operands swapped."
_ANOTHER_WAY = "Picks among ways of computing the same product, for speed."
_TRUTH = "Only its truth is asked for, and -True and 2 are as true as True, 0 as false as False."
_NEARNESS = "How near two singular values count as one: a matter of rounding."
_COMPARED = "The two are compared for equality, and only places where they are equal have an influence."
_UNTRACED = "For operands without a derivative, which no transformation traces: a guard, which is not reached."
_ORDER = "The order is an integer n, and I of -n is I of n."
_ANY_BRANCH = "All branches have the same operands and results: any of them will do."

EXPLAINED: dict[str, str] = {
    "_absolute_derivative: sign of `y + (y == 0)`": _NUMERATOR,
    "_norm_partial: sign of `y + zero`": _NUMERATOR,
    "_reciprocal: sign of `x + zero`": _NUMERATOR,
    "_reciprocal_gaps: sign of `row(w) - column(w) + same`": _NUMERATOR,
    "_root_derivative: sign of `y + zero`": _NUMERATOR,
    "_sign_complex_tangent: sign of `radius + (radius == 0)`": _NUMERATOR,
    "_square_radius: sign of `x1 * x1 + x2 * x2 + ((x1 == 0) & (x2 == 0))` (2)": _NUMERATOR,
    "_fmax_share: swapped operands of `fmax(x1, -np.inf)`": _SYMMETRIC,
    "_fmax_share: swapped operands of `fmax(x2, -np.inf)`": _SYMMETRIC,
    "_fmin_share: swapped operands of `fmin(x1, np.inf)`": _SYMMETRIC,
    "_fmin_share: swapped operands of `fmin(x2, np.inf)`": _SYMMETRIC,
    "_share: swapped operands of `equal(x, 0.0)`": _SYMMETRIC,
    "_share: another number of `1.0`": "A divisor where x is 0, where the quotient is not chosen: any but 0 will do.",
    "_qr_tangent: swapped operands of `min(m, n)`": _SYMMETRIC,
    "_qr_tangent: swapped operands of `np.tri(k, k, -1, dtype=real_dtype(x_dot.dtype))`": "k and k are swapped.",
    "_svd_tangent: swapped operands of `min(m, n)`": _SYMMETRIC,
    "_is_worth_matmul: another number (or axis) of `1`": _ANOTHER_WAY,
    "_matmul_transpose_left: another number (or axis) of `1` (2)": _ANOTHER_WAY,
    "_matmul_transpose_left: another number (or axis) of `2` (2)": _ANOTHER_WAY,
    "_matmul_transpose_left: turned comparison of `rank1 == 2`": _ANOTHER_WAY,
    "_matmul_transpose_right: another number (or axis) of `1` (2)": _ANOTHER_WAY,
    "_outer: another number (or axis) of `1`": _ANOTHER_WAY,
    "_outer: another number (or axis) of `1` (2)": _ANOTHER_WAY,
    "_outer: turned comparison of `shape_of(x1)[:-1] == shape_of(x2)[:-1] != ()`": _ANOTHER_WAY,
    "_reduce_sum_transpose: turned comparison of `x.size <= _FILLED_SIZE`": _ANOTHER_WAY,
    "_is_python_number: factor 2 of `type(x) in _PYTHON_NUMBERS or getattr(x, 'weak_type', False) is True`": _TRUTH,
    "_is_python_number: sign of `type(x) in _PYTHON_NUMBERS or getattr(x, 'weak_type', False) is True`": _TRUTH,
    "_cholesky_tangent: another number (or axis) of `1`": "Matrices are square: the last two axes are of one size.",
    "_eigvalsh_tangent: missing transpose of `hermitian_part(x_dot)`": "The rest of x_dot is skew, and its diagonal in "
    "any orthonormal basis has no real part.",
    "_inverse: another number (or axis) of `0`": "A list to be filled: every element is written to.",
    "_select_jvp: factor 2 of `None`": "Forward mode asks no rule when no tangent is there; a mask has none.",
    "_select_jvp: sign of `None`": "Forward mode asks no rule when no tangent is there; a mask has none.",
    "_svdvals_tangent: another number (or axis) of `2`": _NEARNESS,
    "_svdvals_tangent: dropped second factor of `resolution * _columns(s, 0, 1)`": _NEARNESS,
    "_svdvals_tangent: dropped second factor of `np.finfo(s.dtype).eps * max(shape_of(x)[-2:])`": _NEARNESS,
    "_with_complement: another number (or axis) of `1` (2)": "Spares only the work on a complement without columns.",
    "cond._cond_inline: another number (or axis) of `0` (2)": _ANY_BRANCH,
    "cond._cond_inline: another number (or axis) of `0` (3)": _ANY_BRANCH,
    "cond._linear: another number (or axis) of `0`": _ANY_BRANCH,
    "cond._transposed: another number (or axis) of `0`": _ANY_BRANCH,
    "linear_solve._inline: factor 2 of `bind(linear_solve_p, *lowered.values, system=system)`": _UNTRACED,
    "linear_solve._inline: sign of `bind(linear_solve_p, *lowered.values, system=system)`": _UNTRACED,
    "linear_solve._solve_transposed: another number (or axis) of `0`": "Where the values begin of which the method has "
    "none: none is put there, wherever that is.",
    "hypot: sign of `y + (y == 0)`": _NUMERATOR,
    "hypot: sign of `y + (y == 0)` (2)": _NUMERATOR,
    "reduce_max: swapped operands of `shares(x, y, axes)`": _COMPARED,
    "reduce_min: swapped operands of `shares(x, y, axes)`": _COMPARED,
    "shares: sign of `winners + cast(winners == 0, tangent_dtype(x))` (2)": _NUMERATOR,
    "shares: sign of `winners + cast(winners == 0, tangent_dtype(x))` (4)": _NUMERATOR,
    "unstack: factor 2 of `unstack(tangents[0])`": "Twice a tuple is a longer one, of which the rest is not looked at.",
    "x_tangent: swapped operands of `shares(y, x, v, arrays, index)`": _COMPARED,
    "x_tangent: swapped operands of `shares(y, x, v, arrays, index)` (2)": _COMPARED,
    "bessel_i: swapped operands of `order - 1`": _ORDER,
    "bessel_ie: swapped operands of `order - 1`": _ORDER,
}
