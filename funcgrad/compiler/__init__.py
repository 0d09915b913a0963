"""Floor 5: a jaxpr becomes one native function.

`simplify` and `recomputing` (jaxpr), `lowerings` and `fusion` (jaxpr to loops), `planning` (memory), `emission` (loops
to LLVM), `native` and `entry` (LLVM to a Python callable), `cache`, `pipeline` (all of it).
"""
