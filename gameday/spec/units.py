"""Durations, percentages, rates, bytes and comparisons as people write them: read to base units, and written back."""

import math
import re
from decimal import Decimal

from gameday.spec.model import BlastRadius, Comparator, Unit


class UnitError(ValueError):
    """A text is not of the kind that was wanted."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found = found
        self.expected = expected


DURATION = "a duration such as 300ms, 90s or 1h30m"
PERCENTAGE = "a percentage such as 25%"
RATE = "a rate such as 20/s or 20rps"
SIZE = "a size such as 512MiB"

_SECONDS = {
    "us": Decimal("0.000001"),
    "µs": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "w": Decimal(604800),
}
_LONGEST = Decimal(366 * 86400)
_BYTES = {"B": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("KMGT", 1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_PER_SECOND = {"/s": Decimal(1), "rps": Decimal(1), "/m": Decimal(1) / 60, "/h": Decimal(1) / 3600}

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"  # bounded: what follows stays finite and exact
_PART = re.compile(rf"({_NUMBER})\s*(us|µs|ms|s|m|h|d|w)\s*")
_QUANTITY = re.compile(rf"({_NUMBER})\s*([^\s0-9.].*)?")
_COMPARISON = re.compile(r"(<=|>=|<|>)\s*(.+)")


def excerpt(text: str) -> str:
    """A user's text for a message: quoted, on one line, at most some 60 characters."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:61])
    return f"`{clean[:60]}…`" if len(text) > 60 else f"`{clean}`"


def parse_duration(text: str) -> float:
    """Seconds. "300ms", "2m", "1h30m", "1.5s": numbers with units, the larger units first. Raises UnitError."""
    total, position, last = Decimal(0), 0, _LONGEST
    stripped = text.strip()
    while part := _PART.match(stripped, position):
        unit = _SECONDS[part[2]]
        if unit >= last:
            break
        total, position, last = total + Decimal(part[1]) * unit, part.end(), unit
    if not stripped or position != len(stripped):
        raise UnitError(excerpt(text), DURATION)
    if total > _LONGEST:
        raise UnitError(excerpt(text), "a duration of at most 366 days")
    return float(total)


def parse_positive_duration(text: str) -> float:
    """Seconds, more than none. Raises UnitError."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise UnitError(excerpt(text), "a duration longer than 0s")
    return seconds


def _quantity(text: str, expected: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UnitError(excerpt(text), expected)
    return Decimal(match[1]), (match[2] or "").strip()


def parse_percentage(text: str) -> float:
    """A ratio: "25%" is 0.25. Raises UnitError, also for a number without the sign."""
    number, unit = _quantity(text, PERCENTAGE)
    if unit != "%":
        raise UnitError(excerpt(text), PERCENTAGE)
    return float(number / 100)


def parse_share(text: str) -> float:
    """A percentage above 0% and up to 100%, as a ratio. Raises UnitError."""
    share = parse_percentage(text)
    if not 0 < share <= 1:
        raise UnitError(excerpt(text), "a percentage above 0% and up to 100%")
    return share


def parse_ratio(text: str) -> float:
    """A ratio: "85%" and "0.85" are the same. Raises UnitError."""
    expected = "a percentage such as 85%, or a ratio such as 0.85"
    number, unit = _quantity(text, expected)
    if unit not in ("", "%"):
        raise UnitError(excerpt(text), expected)
    return float(number / 100 if unit else number)


def parse_bytes(text: str) -> float:
    """Bytes. "512MiB" (1024), "1GB" (1000), "100B". Raises UnitError."""
    number, unit = _quantity(text, SIZE)
    if unit not in _BYTES:
        raise UnitError(excerpt(text), SIZE)
    return float(number * _BYTES[unit])


def parse_rate(text: str) -> float:
    """Events a second. "20/s", "20rps", "1200/m". Raises UnitError."""
    number, unit = _quantity(text, RATE)
    if unit not in _PER_SECOND:
        raise UnitError(excerpt(text), RATE)
    return float(number * _PER_SECOND[unit])


def parse_number(text: str) -> float:
    """A number without a unit. Raises UnitError."""
    number, unit = _quantity(text, "a number")
    if unit:
        raise UnitError(excerpt(text), "a number without a unit")
    return float(number)


_PARSERS = {
    Unit.SECONDS: (parse_duration, "a duration", '"< 300ms"'),
    Unit.RATIO: (parse_ratio, "a percentage or ratio", '"< 1%"'),
    Unit.PER_SECOND: (parse_rate, "a rate", '"> 20/s"'),
    Unit.BYTES: (parse_bytes, "a size", '"< 512MiB"'),
    Unit.NUMBER: (parse_number, "a number", '"< 100"'),
}


def parse_comparison(text: str, unit: Unit) -> tuple[Comparator, float]:
    """How and with what to compare, the threshold in the base unit: "< 300ms" is (LESS, 0.3). Raises UnitError."""
    parse, what, example = _PARSERS[unit]
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        raise UnitError(excerpt(text), f"a comparison with {what}, such as {example}")
    try:
        return Comparator(match[1]), parse(match[2])
    except UnitError:
        raise UnitError(excerpt(text), f"a comparison with {what}, such as {example}") from None


def parse_blast_radius(text: str) -> BlastRadius:
    """A count of at least 1, or a percentage above 0% and up to 100%. Raises UnitError."""
    expected = "a count such as 1, or a percentage such as 25%"
    number, unit = _quantity(text, expected)
    if unit == "%":
        return BlastRadius(share=parse_share(text))
    if unit or number != int(number):
        raise UnitError(excerpt(text), expected)
    if number < 1:
        raise UnitError(excerpt(text), "a count of at least 1, or a percentage above 0%")
    return BlastRadius(count=int(number))


def _trim(value: float, digits: int) -> str:
    """A number without an exponent and without trailing zeros."""
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_duration(seconds: float) -> str:
    """As a user would write it: "300ms", "1.5s", "2m", "1h30m"; to the millisecond, below that to the microsecond.

    `parse_duration` reads it back. A negative duration has a minus sign.
    """
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    microseconds = round(seconds * 1_000_000)
    if microseconds == 0:
        return "0s"
    if microseconds < 1000:
        return f"{microseconds}us"
    if microseconds < 1_000_000:
        return f"{_trim(microseconds / 1000, 3)}ms"
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{_trim(rest / 1000, 3)}s" if rest else "",
    ]
    return "".join(parts)


def format_percentage(ratio: float) -> str:
    """Three significant digits: "0.43%", "99.9%", "150%"."""
    return f"{_significant(ratio * 100)}%"


def format_bytes(size: float) -> str:
    """In binary units: "512MiB"."""
    power = 0
    while abs(size) >= 1024 and power < 4:
        size, power = size / 1024, power + 1
    return f"{_significant(size)}{('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def format_value(value: float, unit: Unit | str) -> str:
    """A measured value in its base unit, rounded for people: "83.5ms", "0.43%", "12.3/s", "512MiB".

    In a unit that is not known, as in a journal that is newer or damaged, it is a plain number.
    """
    if not math.isfinite(value):
        return str(value)
    match Unit(unit) if unit in set(Unit) else Unit.NUMBER:
        case Unit.SECONDS:
            # Three digits are what a person compares; minutes keep their seconds.
            return format_duration(float(f"{value:.3g}") if abs(value) < 60 else round(value))
        case Unit.RATIO:
            return format_percentage(value)
        case Unit.PER_SECOND:
            return f"{_significant(value)}/s"
        case Unit.BYTES:
            return format_bytes(value)
        case Unit.NUMBER:
            return _significant(value)


def _significant(value: float) -> str:
    """Three significant digits, whole numbers whole, never an exponent unless very small."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
