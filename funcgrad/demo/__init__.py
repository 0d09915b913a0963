"""Floor 8: `python -m funcgrad demo`, two networks on real data, written as a user would write them."""
