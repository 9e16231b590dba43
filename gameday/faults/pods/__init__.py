"""Faults on the pods of a cluster."""
