"""Events and the append-only log: the only truth of a run."""
