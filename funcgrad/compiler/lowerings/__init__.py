"""How each primitive becomes loops, a room for each room of primitives, of the same name (of `control/`, one for all).

The rooms are imported when a program first needs their rules.
"""
