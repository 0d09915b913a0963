"""Floor 2: every primitive with all its rules side by side, a family a file.

A primitive is declared once, as one of the five kinds in `kinds.py`. Nothing here knows a transformation.
"""
