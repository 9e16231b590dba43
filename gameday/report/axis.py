"""Axes: round ticks for values and times, and where on them something lies, in percent."""

import math

import msgspec

from gameday.report import format as fmt
from gameday.spec.model import Unit

_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 8
_LARGEST, _SMALLEST = 1e300, 1e-300  # beyond them a difference or a quotient has no number


class Tick(msgspec.Struct, frozen=True):
    """`position` in percent of the axis, from the left or from the top. `minor` ones go where room is short."""

    position: float
    label: str
    minor: bool = False


def percent(share: float) -> float:
    """A share of 1 as percent with two decimals: a tenth of a pixel on any screen."""
    return round(share * 100, 2)


class TimeAxis(msgspec.Struct, frozen=True):
    """Seconds since the Unix epoch from `start` to `end`; labels count from `zero`. All of them are real moments."""

    start: float
    end: float
    zero: float

    def share(self, at: float) -> float:
        """Between 0 and 1; what lies outside is moved to the edge."""
        return min(1.0, max(0.0, (at - self.start) / (self.end - self.start)))

    def at(self, at: float) -> float:
        """In percent from the left."""
        return percent(self.share(at))

    def label(self, at: float) -> str:
        """ "+12 s" after zero, "−3.5 s" before it."""
        seconds = at - self.zero
        if abs(seconds) < 0.05:
            return "0"
        text = fmt.duration(round(seconds, 1))
        return text if seconds < 0 else f"+{text}"

    def ticks(self) -> tuple[Tick, ...]:
        """Round moments, counted from zero."""
        span = self.end - self.start
        step = next((step for step in _TIME_STEPS if span / step <= _MOST_TICKS), span / _MOST_TICKS)
        first = math.ceil((self.start - self.zero) / step - 1e-6)
        last = math.floor((self.end - self.zero) / step + 1e-6)
        return tuple(
            Tick(self.at(self.zero + count * step), self._tick_label(count * step), minor=count % 2 != 0)
            for count in range(first, last + 1)
        )

    @staticmethod
    def _tick_label(seconds: float) -> str:
        if seconds == 0:
            return "0"
        size = abs(seconds)
        text = f"{size:g}\N{NO-BREAK SPACE}s" if size < 60 else fmt.duration(size)
        return ("\N{MINUS SIGN}" if seconds < 0 else "+") + text


class ValueAxis(msgspec.Struct, frozen=True):
    """Values in a base unit from `low` (bottom) to `high` (top)."""

    low: float
    high: float
    step: float
    unit: Unit

    def share(self, amount: float) -> float:
        """From the top, between 0 and 1; what lies outside is moved to the edge."""
        return min(1.0, max(0.0, (self.high - amount) / (self.high - self.low)))

    def at(self, amount: float) -> float:
        """In percent from the top."""
        return percent(self.share(amount))

    def ticks(self) -> tuple[Tick, ...]:
        """Round values, the lowest first."""
        count = round((self.high - self.low) / self.step)
        amounts = [self.low + index * self.step for index in range(count + 1)]
        return tuple(Tick(self.at(amount), fmt.value(amount, self.unit)) for amount in amounts)


def value_axis(amounts: list[float], unit: Unit) -> ValueAxis:
    """An axis with zero on it that has room for all of these, as far as numbers go."""
    low = max(min([0.0, *amounts]), -_LARGEST)
    high = min(max([0.0, *amounts]), _LARGEST)
    if high - low < _SMALLEST:
        high = low + (0.01 if unit is Unit.RATIO else 1.0)
    step = _round_step((high - low) / 3.2, 1024 if unit is Unit.BYTES else 1000)
    return ValueAxis(math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step, step, unit)


def _round_step(least: float, base: int) -> float:
    scale = float(base ** math.floor(math.log(least, base))) if base == 1024 and least >= 1 else 1.0
    power = 10.0 ** math.floor(math.log10(least / scale)) * scale
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least * (1 - 1e-9))
