"""How to ask a signal source, one source a file."""
