"""Numbers, durations and times as the report writes them, and texts of unknown origin made safe to look at."""

import math
import re
import unicodedata
from datetime import UTC, datetime

from gameday.journal.events import PanelInfo, RunbookStep, StepOutcome
from gameday.spec.model import Unit

_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
# Characters that reorder the text around them (Unicode Standard Annex #9) or that cannot be seen.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_MARKS = 8  # on one character: as many as any script needs; more would cover the lines above and below
_RUN = re.compile(rf"[^\0-\u02ff]{{{_MARKS + 1}}}")  # shorter ones hold no more
_KINDS = {
    "latency": Unit.SECONDS,
    "traffic": Unit.PER_SECOND,
    "errors": Unit.RATIO,
    "saturation": Unit.RATIO,
}


def clean(text: str, limit: int = 2000) -> str:
    """The text without characters that control a display or reorder their surroundings, at most `limit` long, and with
    no more marks on a character than a line has room for."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if _RUN.search(text):
        text = _without_piles(text)
    if text.isprintable() and not _REORDERING & set(text):
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if (character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co"))
        or character in _REORDERING
        else character
        for character in text
    )


def _without_piles(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)


def unit_of(text: str) -> Unit:
    """The unit of that name; a plain number where it is not known."""
    try:
        return Unit(text)
    except ValueError:
        return Unit.NUMBER


def usual_unit(signal: str) -> Unit:
    """The base unit of a signal "<service>.<kind>.<measure>" that no condition names."""
    return next((unit for kind, unit in _KINDS.items() if f".{kind}." in signal), Unit.NUMBER)


def number(value: float) -> str:
    """Three significant digits, whole numbers whole, thousands apart."""
    if not math.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e15 or magnitude < 1e-4:
        text = f"{value:.2e}"
    elif magnitude >= 999.5:
        text = f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(magnitude)))}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", _MINUS)


def duration(seconds: float) -> str:
    """A duration for people: "83 ms", "3.7 s", "2 min 5 s", "1 h 4 min"."""
    if not math.isfinite(seconds):
        return "not a number"
    if seconds < 0:
        return _MINUS + duration(-seconds)
    if seconds == 0:
        return f"0{_SPACE}s"
    if seconds < 0.001:
        return f"{number(seconds * 1e6)}{_SPACE}µs"
    if seconds < 0.9995:
        return f"{number(seconds * 1000)}{_SPACE}ms"
    if seconds < 99.95:
        return f"{number(round(seconds, 1))}{_SPACE}s" if seconds >= 10 else f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s" if not hours else "")]
    return _SPACE.join(f"{amount}{_SPACE}{unit}" for amount, unit in parts if amount and unit) or f"{hours}{_SPACE}h"


def value(amount: float | None, unit: Unit | None) -> str:
    """A measured value in its base unit: "83.5 ms", "0.43 %", "12.3 /s", "512 MiB"."""
    if amount is None:
        return "—"
    match unit:
        case Unit.SECONDS if abs(amount) < 60:
            scale, name = (1000, "ms") if abs(amount) < 0.9995 else (1, "s")
            return f"{number(amount * scale)}{_SPACE}{name}"
        case Unit.SECONDS:
            return duration(amount)
        case Unit.RATIO:
            return f"{number(amount * 100)}{_SPACE}%"
        case Unit.PER_SECOND:
            return f"{number(amount)}{_SPACE}/s"
        case Unit.BYTES:
            power = 0
            while abs(amount) >= 1024 and power < 5:
                amount, power = amount / 1024, power + 1
            return f"{number(amount)}{_SPACE}{('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[power]}"
        case _:
            return number(amount)


def moment(at: float) -> datetime:
    """The time in UTC; 1970 for one that no calendar has, as a damaged journal may say."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def clock(at: float) -> str:
    """The time of day in UTC: "10:03:21"."""
    return f"{moment(at):%H:%M:%S}"


def date(at: float) -> str:
    """The day in UTC: "6 March 2026"."""
    return f"{moment(at).day} {moment(at):%B %Y}"


def minute(at: float) -> str:
    """The day and the time of day in UTC: "6 March 2026, 10:03"."""
    return f"{date(at)}, {moment(at):%H:%M}"


def span(times: tuple[float, float]) -> str:
    """From when to when, in UTC: "6 March 2026, 10:03 to 11:03", or to another day."""
    start, end = times
    return f"{minute(start)} to {f'{moment(end):%H:%M}' if date(start) == date(end) else minute(end)}"


def panel(info: PanelInfo) -> str:
    """A panel of a dashboard, by its title where it has one."""
    return info.title or f"number {info.id}"


def iso(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 fault", "2 faults"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listing(items: list[str], limit: int = 4) -> str:
    """ "a, b and c"; beyond the limit "a, b, c and 7 more"."""
    if len(items) > limit:
        items = [*items[: limit - 1], f"{len(items) - limit + 1} more"]
    return items[0] if len(items) == 1 else " and ".join([", ".join(items[:-1]), items[-1]]) if items else ""


def say_step(event: RunbookStep) -> str:
    """What somebody said of a step of a runbook, on one line."""
    step = event.step
    where = f", {step.section}" if step.section else ""
    where += f" {step.step}" if step.step else ""
    how = "run" if step.outcome is StepOutcome.CHECKED else step.outcome.value
    ended = ""
    if step.outcome is StepOutcome.CHECKED:
        ended = ", not ended in time" if step.status is None else f", exit status {step.status}"
    after = f" after {duration(step.seconds)}" if step.seconds else ""
    return f"{step.runbook}{where}: {how}{ended}{after} by {event.author}" + (f": {step.note}" if step.note else "")
