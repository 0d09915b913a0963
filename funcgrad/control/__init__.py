"""Floor 4: primitives that carry jaxprs: loops, branches, custom rules, checkpoints, foreign functions."""
