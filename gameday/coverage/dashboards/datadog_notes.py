"""Notes of a run in Datadog: events, which dashboards show beside their graphs.

API: https://docs.datadoghq.com/api/latest/events/. It can post events and read them, and has no way to remove any.
"""

import msgspec

from gameday.common.datadog import Api, DatadogError, split_tags, tag_value
from gameday.coverage.dashboards.base import Annotation, DashboardError, Moment

_PATH = "/api/v1/events"
_LONGEST_TITLE, _LONGEST_TEXT = 100, 4000  # characters; the latter is Datadog's limit
_KEPT_S = 30 * 86400.0  # how far back events are looked for
_PAGE, _MOST_PAGES = 1000, 20
_LEVELS = {Moment.INJECTION: "warning", Moment.STAGE: "info", Moment.UNDO: "success", Moment.ABORT: "error"}


class _NewEvent(msgspec.Struct, frozen=True):
    title: str
    text: str
    date_happened: int  # Unix time
    alert_type: str
    tags: tuple[str, ...]


class _Posted(msgspec.Struct, frozen=True):
    status: str = ""


class _Event(msgspec.Struct, frozen=True):
    text: str | None = None
    date_happened: float = 0.0
    tags: tuple[str, ...] | None = None


class _Events(msgspec.Struct, frozen=True):
    events: tuple[_Event, ...] = ()


async def post(api: Api, note: Annotation) -> None:
    """Post a note as an event. Raises DashboardError."""
    tags = [
        "gameday",
        f"gameday_run:{tag_value(note.run)}",
        f"gameday_moment:{note.moment}",
        f"gameday_at:{note.at:.3f}",
    ]
    tags += [f"gameday_until:{note.until:.3f}"] if note.until is not None else []
    tags += [f"service:{tag_value(note.service)}"] if note.service else []
    event = _NewEvent(
        title=_cut(f"gameday: {note.text}", _LONGEST_TITLE),
        text=_cut(note.text, _LONGEST_TEXT),
        date_happened=int(note.at),
        alert_type=_LEVELS[note.moment],
        tags=tuple(tags),
    )
    try:
        await api.post(_Posted, _PATH, event)
    except DatadogError as error:
        raise DashboardError(f"Datadog does not take the event: {error}", error.status) from error


async def read(api: Api, run: str) -> tuple[Annotation, ...]:
    """The notes of a run of the last 30 days. Raises DashboardError."""
    tag = f"gameday_run:{tag_value(run)}"
    now = api.now()
    span = (("start", str(int(now - _KEPT_S))), ("end", str(int(now) + 1)), ("tags", tag), ("unaggregated", "true"))
    found: list[_Event] = []
    try:
        for page in range(_MOST_PAGES):
            answer = await api.get(_Events, _PATH, (*span, ("page", str(page))), needs="events_read")
            found += answer.events
            if len(answer.events) < _PAGE:
                break
    except DatadogError as error:
        raise DashboardError(f"the events cannot be read from Datadog: {error}", error.status) from error
    notes = (_note(run, event) for event in found if tag in (event.tags or ()))
    return tuple(note for note in notes if note is not None)


def _note(run: str, event: _Event) -> Annotation | None:
    """None for an event that is no note of ours, though it bears the run's tag."""
    tags = split_tags(event.tags or ())
    moment = tags.get("gameday_moment", "")
    if moment not in Moment:
        return None
    at = _number(tags.get("gameday_at"))
    return Annotation(
        run,
        Moment(moment),
        event.text or "",
        event.date_happened if at is None else at,
        _number(tags.get("gameday_until")),
        tags.get("service"),
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
