"""Sparklines: the last values of a series in one row of block characters."""

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, scaled from the smallest to the largest; None (unreadable) is a dot."""
    known = [value for value in values if value is not None]
    if not known:
        return GAP * len(values)
    low, high = min(known), max(known)
    span, most = high - low or 1.0, len(_BLOCKS) - 1
    # Divided first: what is next to nothing is not within the reach of a factor.
    return "".join(GAP if value is None else _BLOCKS[int((value - low) / span * most)] for value in values)
