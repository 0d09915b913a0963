"""Floor 1: abstract values, the jaxpr, primitives and `bind`, the tracer, trees, sources, errors.

Nothing here knows a primitive, a transformation or a NumPy name.
"""
