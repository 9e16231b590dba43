"""How to ask an alert source, one source a file."""
