"""Microbenchmarks: one cost of funcgrad in each file, whose `measure()` yields entries.

An entry has the keys of a result of a workload (`workload`, `size`, `library`, `samples`, `median`, ...), so that runs
compare in the same way, and the `unit` of its numbers.
"""
