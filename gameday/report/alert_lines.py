"""The lines of a timeline that tell of alerts: at the times that the table of alerts has, instances joined or named."""

from collections.abc import Iterable, Sequence

from gameday.journal.events import AlertObserved, AlertState
from gameday.report.alerts import began
from gameday.report.format import listing
from gameday.report.views import Entry

_ADDRESS = "instance"  # Prometheus' own label, an address; where another tells instances apart, people know that one


def alert_entries(observed: Sequence[AlertObserved], injected_at: float | None) -> list[tuple[int, Entry]]:
    """Each line with the place of its first event in `observed`. What one source says of several instances of an alert
    at a time is one line."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, event in enumerate(observed):
        if event.expected or not event.existed_before:
            at = _moment(event, injected_at)
            key = (event.name, event.state, event.source, event.by, event.existed_before, round(at, 1))
            groups.setdefault(key, []).append(number)
    apart = {name: _telling(event for event in observed if event.name == name) for name in {e.name for e in observed}}
    return [
        (numbers[0], _entry([observed[n] for n in numbers], apart[observed[numbers[0]].name], injected_at))
        for numbers in groups.values()
    ]


def _moment(event: AlertObserved, injected_at: float | None) -> float:
    """As the table of alerts has it: that it is gone counts from when that was seen."""
    return event.at if event.state is AlertState.RESOLVED else began(event, injected_at)


def _entry(events: Sequence[AlertObserved], telling: str | None, injected_at: float | None) -> Entry:
    first = events[0]
    names = list(dict.fromkeys(event.labels[telling] for event in events if telling and event.labels.get(telling)))
    what = f" for {listing(names)}" if names else ""
    if len(events) > max(len(names), 1):
        what += f" ×{len(events)}"
    notes = [f"by {first.by}" if first.by else first.source, "" if first.expected else "not expected"]
    notes.append("was there before" if first.existed_before else "")
    text = f"{first.name} {first.state}{what} ({', '.join(filter(None, notes))})"
    return Entry(_moment(first, injected_at), "Alert", text, "alert")


def _telling(events: Iterable[AlertObserved]) -> str | None:
    """The label that tells most of an alert's instances apart, the shortest of several; none of a single instance."""
    sets = list({frozenset(event.labels.items()): event.labels for event in events}.values())
    keys = dict.fromkeys(key for labels in sets for key in labels)
    values = {key: [labels[key] for labels in sets if key in labels] for key in keys}
    most = max((len(set(told)) for told in values.values()), default=0)
    best = [key for key, told in values.items() if len(set(told)) == most > 1]
    return min(best, key=lambda key: (key == _ADDRESS, len("".join(values[key]))), default=None)
