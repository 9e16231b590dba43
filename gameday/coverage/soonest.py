"""How soon an alert can fire: the sum of scrape, evaluation and `for`, and how long it may fire on. Pure.

Prometheus evaluates a group's rules each `interval`. An alert whose expression is true is pending from that evaluation
on, and fires at the first one at which it has been pending for `for`. What the expression itself needs to come true (a
rate over five minutes, say, or a recording rule of another group) is not in the sum.
"""

import math

import msgspec

from gameday.journal.events import AlertRuleInfo
from gameday.spec.units import format_duration


class TimeToFire(msgspec.Struct, frozen=True):
    """Seconds after the cause: with scrape and evaluation right behind it, and with both only just missed; None when
    an interval is not known. `because`: the sum, in words. `clears_s`: how long it fires on when the cause has gone."""

    at_best_s: float
    at_most_s: float | None
    because: str
    clears_s: float | None


def time_to_fire(rule: AlertRuleInfo, scrape_s: float | None) -> TimeToFire:
    """`scrape_s` is 0 for an expression about no series, None when it is not known."""
    waits = in_evaluations(rule.for_s, rule.interval_s)
    terms = [
        "a scrape, of which the interval is not known" if scrape_s is None else f"scrape {format_duration(scrape_s)}",
        "an evaluation, of which the interval is not known"
        if rule.interval_s is None
        else f"evaluation {format_duration(rule.interval_s)}",
        f"for {format_duration(rule.for_s)}"
        + (f", in evaluations {format_duration(waits)}" * (not math.isclose(waits, rule.for_s))),
    ]
    known = scrape_s is not None and rule.interval_s is not None
    both_s = (scrape_s or 0.0) + (rule.interval_s or 0.0)
    keeps = in_evaluations(rule.keep_firing_for_s, rule.interval_s)
    return TimeToFire(
        at_best_s=waits,
        at_most_s=both_s + waits if known else None,
        because=" + ".join(terms[(scrape_s == 0) :]),
        clears_s=both_s + keeps if known or keeps else None,
    )


def in_evaluations(seconds: float, interval_s: float | None) -> float:
    """The time rounded up to whole evaluations: between two, nothing changes."""
    return math.ceil(round(seconds / interval_s, 9)) * interval_s if interval_s else seconds
