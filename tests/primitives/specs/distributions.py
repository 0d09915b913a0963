"""Rows of `primitives/{entropy,normal,gammas}.py`."""

from __future__ import annotations

import scipy.special

from funcgrad.primitives import entropy, gammas, normal
from tests.primitives.specs.elementwise import one, row, two
from tests.spec import FLOATS

ROWS = [
    row("xlogy", entropy.xlogy, scipy.special.xlogy, two(0.3, 2.0), FLOATS),
    row("xlog1py", entropy.xlog1py, scipy.special.xlog1py, two(-0.6, 2.0), FLOATS),
    row("entr", entropy.entr, scipy.special.entr, one(0.3, 2.0), FLOATS),
    row("rel_entr", entropy.rel_entr, scipy.special.rel_entr, two(0.3, 2.0), FLOATS),
    row("erfcx", normal.erfcx, scipy.special.erfcx, one(), FLOATS),
    row("erfinv", normal.erfinv, scipy.special.erfinv, one(-0.8, 0.8), FLOATS),
    row("erfcinv", normal.erfcinv, scipy.special.erfcinv, one(0.2, 1.8), FLOATS),
    row("ndtri", normal.ndtri, scipy.special.ndtri, one(0.1, 0.9), FLOATS),
    row("log_ndtr", normal.log_ndtr, scipy.special.log_ndtr, one(), FLOATS),
    row("logit", normal.logit, scipy.special.logit, one(0.1, 0.9), FLOATS),
    row("gamma", gammas.gamma, scipy.special.gamma, one(0.5, 3.0), FLOATS),
    row("betaln", gammas.betaln, scipy.special.betaln, two(0.5, 3.0), FLOATS),
    row("bessel_ie", lambda x: gammas.bessel_ie(x, 0), scipy.special.i0e, one(0.2, 3.0), FLOATS, exact=False),
    row("bessel_ie-one", lambda x: gammas.bessel_ie(x, 1), scipy.special.i1e, one(0.2, 3.0), FLOATS, exact=False),
    row("bessel_j", lambda x: gammas.bessel_j(x, 0), scipy.special.j0, one(), FLOATS, exact=False),
    row("bessel_j-two", lambda x: gammas.bessel_j(x, 2), lambda x: scipy.special.jv(2, x), one(), FLOATS, exact=False),
]
