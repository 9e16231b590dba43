"""How software is delivered while it is broken."""
