"""Sinks that tell people what the journal says: the terminal now, Slack later."""
