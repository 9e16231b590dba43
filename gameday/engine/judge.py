"""Judges samples against conditions: did it hold, was it broken, or could nobody tell. Pure; no clock, no I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gameday.journal.events import Judgement, Outcome, Reading, ReadingState
from gameday.spec.model import Condition

_ENOUGH_READABLE = 0.5  # of a window's samples; with fewer, a verdict would rest on too little


class Sample(msgspec.Struct, frozen=True):
    """All readings of one tick."""

    at: float
    readings: Mapping[str, Reading]


def number_of(reading: Reading | None) -> float | None:
    """The number in it, if there is one: a source may forget a signal, or say of a NaN that all is well."""
    if reading is None or reading.state is not ReadingState.OK or reading.value is None or math.isnan(reading.value):
        return None
    return reading.value


def value_of(condition: Condition, sample: Sample, baseline: Mapping[str, float]) -> float | None:
    """What the condition compares: the value, or its relative change; None when it cannot be told."""
    number = number_of(sample.readings.get(str(condition.signal)))
    if number is None or not condition.relative:
        return number
    before = baseline.get(str(condition.signal))
    # Beyond nine digits there is nothing but the noise of floating point.
    return round(abs(number - before) / before, 9) if before else None


def baseline_of(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of each signal's readable values, in its base unit."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        for name, reading in sample.readings.items():
            if (number := number_of(reading)) is not None:
                values.setdefault(name, []).append(number)
    if not values:
        return {}
    from statistics import median

    return {name: median(found) for name, found in values.items()}


class Streak:
    """For how long a condition has been one way without interruption, sample by sample.

    A sample that cannot be read neither ends a streak nor makes it longer: it is no evidence either way.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._since: float | None = None
        self.longest_s = 0.0

    def feed(self, at: float, matches: bool | None) -> float:
        """Take one sample in; the length of the streak that it belongs to, in seconds (0 when it does not match)."""
        if matches is None:
            return 0.0
        if not matches:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = at
        # One sample stands for the interval that it was taken in.
        length = at - self._since + self._interval_s
        self.longest_s = max(self.longest_s, length)
        return length


def judge_condition(
    condition: Condition, samples: Sequence[Sample], baseline: Mapping[str, float], interval_s: float
) -> Judgement:
    """One condition of a hypothesis over one window of samples.

    Broken when a breach lasted at least `for_s`, or all of a window that is shorter than that; unreadable when fewer
    than half of the samples could be read.
    """
    streak = Streak(interval_s)
    values: list[float] = []
    for sample in samples:
        value = value_of(condition, sample, baseline)
        streak.feed(sample.at, None if value is None else not condition.holds_for(value))
        if value is not None:
            values.append(value)
    tolerance = interval_s * 0.25  # ticks are not exact to the millisecond
    window_s = samples[-1].at - samples[0].at + interval_s if samples else 0.0
    if streak.longest_s and streak.longest_s >= min(condition.for_s, window_s) - tolerance:
        outcome, detail = Outcome.BROKEN, ""
    elif len(values) < max(1, len(samples) * _ENOUGH_READABLE):
        outcome, detail = Outcome.UNREADABLE, _why_unreadable(condition, samples)
    else:
        outcome, detail = Outcome.HELD, ""
    return Judgement(
        subject=str(condition.signal),
        condition=("change " if condition.relative else "") + condition.text,
        outcome=outcome,
        worst=_worst(condition, values),
        breached_for_s=streak.longest_s,
        readable=len(values),
        samples=len(samples),
        detail=detail,
    )


def _worst(condition: Condition, values: Sequence[float]) -> float | None:
    if not values:
        return None
    return max(values) if condition.comparator.value.startswith("<") else min(values)


def _why_unreadable(condition: Condition, samples: Sequence[Sample]) -> str:
    reasons: dict[str, int] = {}
    for sample in samples:
        reading = sample.readings.get(str(condition.signal))
        if reading is not None and reading.state is not ReadingState.OK:
            reason = f"{reading.state}: {reading.detail}" if reading.detail else str(reading.state)
            reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return "no samples" if not samples else "no baseline to compare with"
    return max(reasons, key=lambda reason: reasons[reason])


def all_hold(conditions: Iterable[Condition], sample: Sample, baseline: Mapping[str, float]) -> bool | None:
    """Whether every condition holds in one sample; None when none is broken but some cannot be told."""
    unknown = False
    for condition in conditions:
        value = value_of(condition, sample, baseline)
        if value is None:
            unknown = True
        elif not condition.holds_for(value):
            return False
    return None if unknown else True
