"""State machines without clock, socket or randomness; `now` and `rng` are arguments."""
