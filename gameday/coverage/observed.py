"""Which rules, examinations and events of one name are those of an expected alert: severities tell them apart."""

from collections.abc import Collection, Iterable, Sequence

from gameday.journal.events import AlertExamination, AlertInfo, AlertObserved, AlertRuleInfo, AlertState
from gameday.spec.model import ExpectedAlert


def of_alert[T: (AlertExamination, AlertRuleInfo)](found: Iterable[T], alert: ExpectedAlert | AlertInfo) -> list[T]:
    """Those of its name, and of its severity where one of them has that."""
    named = [one for one in found if one.name == alert.name]
    return [one for one in named if alert.severity and one.severity == alert.severity] or named


def events_of(
    severity: str | None, events: Sequence[AlertObserved], severities: Collection[str | None]
) -> Sequence[AlertObserved]:
    """Of the events of one name those of the severity that is expected, where its rules have several (`severities`):
    that a warning came in time says nothing of the page. All of them where nothing was seen of that severity, and
    another fired: then that is what was wrong. People acknowledge an alert by its name."""
    mine = {event.state for event in events if event.labels.get("severity") == severity}
    if severity is None or not (mine or severity in severities):
        return events
    if began_to_fire(events) and mine.isdisjoint((AlertState.PENDING, AlertState.FIRING)):
        return events
    acknowledged = AlertState.ACKNOWLEDGED
    return [one for one in events if one.labels.get("severity") == severity or one.state is acknowledged]


def began_to_fire(events: Iterable[AlertObserved]) -> list[AlertObserved]:
    """Those that say that an alert fires which was not there before the fault."""
    return [event for event in events if event.state is AlertState.FIRING and not event.existed_before]
