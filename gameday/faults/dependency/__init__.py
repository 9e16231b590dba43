"""Faults on the calls from one service to another, injected in the mesh."""
