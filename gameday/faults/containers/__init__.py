"""Faults on the containers of pods."""
