"""Faults on the Deployments of a cluster."""
