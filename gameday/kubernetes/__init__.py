"""A small synchronous client for Kubernetes' API: which cluster, with whose credentials, asked with deadlines.

Our own, for three reasons. What faults run in is killed at any moment, and the clients there are put private keys into
files that nobody removes then. They build a class for each field of each object, which for 5,000 pods takes longer than
all else together. And a chaos tool must never fall back to another context than the one it was given.
"""
