"""Faults on the nodes of a cluster."""
