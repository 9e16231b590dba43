"""Signals as people say them: "checkout.latency.p99" is checkout’s p99 latency."""

import re

_KINDS = ("latency", "traffic", "errors", "saturation")
_WORDS = {("traffic", "rate"): "request rate", ("errors", "ratio"): "share of failed requests"}
_IN_TEXT = re.compile(rf"(?<![\w.:/-])[\w-]+(?:\.[\w-]+)*\.(?:{'|'.join(_KINDS)})\.[\w-]+(?![\w:/-]|\.\w)")


def parts_of(signal: str) -> tuple[str, str, str] | None:
    """Service, kind and measure of a golden signal; None for another name. A service may have dots in its own."""
    for parts in (signal.rsplit(".", 2), signal.split(".", 2)):
        if len(parts) == 3 and parts[1] in _KINDS:
            return parts[0], parts[1], parts[2]
    return None


def say_signal(signal: str) -> str:
    """The signal in words; one of another name as it is."""
    parts = parts_of(signal)
    if parts is None:
        return signal
    service, kind, measure = parts
    return f"{service}’s {_WORDS.get((kind, measure), f'{measure} {kind}')}"


def say_signals(text: str) -> str:
    """The text with each golden signal that it names in words."""
    return _IN_TEXT.sub(lambda found: say_signal(found[0]), text)
