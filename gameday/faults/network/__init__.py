"""Faults on the networks of a cluster."""
