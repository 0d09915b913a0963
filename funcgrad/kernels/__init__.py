"""Floor 1: numba functions on plain ndarrays, loaded on first use; imports nothing of funcgrad.

`compiling.py` owns the compile flags and decides when a kernel is worth its compile time.
"""
