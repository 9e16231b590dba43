"""Faults on the Services of a cluster."""
