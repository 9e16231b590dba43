"""Faults on the configuration of what runs in a cluster."""
