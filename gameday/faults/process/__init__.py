"""Faults on processes that a supervisor runs."""
