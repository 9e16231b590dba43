"""Signals in the words of people."""

import pytest

from gameday.people.wording import say_signal, say_signals


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("checkout.latency.p99", "checkout’s p99 latency"),
        ("checkout.traffic.rate", "checkout’s request rate"),
        ("checkout.errors.ratio", "checkout’s share of failed requests"),
        ("checkout.saturation.cpu", "checkout’s cpu saturation"),
        ("shop.example.com.latency.p50", "shop.example.com’s p50 latency"),
        ("queue.depth", "queue.depth"),
    ],
)
def test_a_signal(signal: str, said: str) -> None:
    assert say_signal(signal) == said


def test_signals_in_a_text() -> None:
    assert say_signals("checkout.latency.p99 was > 1s for 3.0 s.") == "checkout’s p99 latency was > 1s for 3.0 s."
    address = "see https://grafana.example.com/d/checkout.latency.p99 and a/checkout.errors.ratio:x"
    assert say_signals(address) == address
