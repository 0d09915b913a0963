"""The mathematical functions of compiled code: branch-free kernels for numbers and vectors of any width.

Every polynomial is a minimax fit made for this package, by the exchange algorithm of Remez at 160 bits, with the
coefficients rounded one after another and those left fitted again; the error that a docstring gives is the fit's, after
rounding. Errors of the functions are measured (`python -m tests.kernels.math.ulp`), in units in the last place (ulp).
"""
