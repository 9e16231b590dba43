"""gameday: builders and SREs break a service together, on purpose."""

__version__ = "0.1.0"
