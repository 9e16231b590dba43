"""The embedded environment: a small shop of real processes on loopback."""
