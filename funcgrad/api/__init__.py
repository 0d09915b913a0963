"""Floor 6: the public transformations. Argument numbers, trees, checks and messages; no mathematics."""
