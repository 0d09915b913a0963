"""Are the laws strict enough?  Every derivative rule is mutated, and the laws have to notice.

    python -m tests.mutation                 all mutants, and a table of survivors
    python -m tests.mutation sin pow         those of these primitives
    python -m tests.mutation --sample 60     some, as the tests do

A mutant is a change of one expression in a rule as it stands in `funcgrad/primitives/` and
`funcgrad/control/`: a sign, a factor 2, a term or
a factor left out, operands swapped, a transpose or conjugation left out, another axis, a comparison turned. The rule's
code is exchanged in place, so that forward and reverse mode and whatever else uses it see the mutant. A mutant that
no law notices is run through the tests of conventions (kinks, infinities, special values); one that survives these,
too, has to be explained in `tests/mutation/explained.py`.
"""
