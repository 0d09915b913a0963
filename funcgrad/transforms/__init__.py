"""Floor 3: the transformations, each one loop over equations that names no primitive.

Everything here works on flat lists of arrays; trees, argument numbers and messages belong to `api.py`.
"""
