"""Would anyone notice, and could they act: what is known of each alert, as the cells of a table."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import msgspec

from gameday.journal.events import AlertExamination, PanelState, ReceiverInfo
from gameday.report.format import duration, listing, plural
from gameday.report.views import Alert, Dashboard, ExperimentReport


class Said(msgspec.Struct, frozen=True):
    """One cell. `tone` is "good", "bad", "warn", "plain", or "" for a word that judges nothing; no `word`: not known,
    or it did not happen."""

    word: str = ""
    tone: str = ""
    remarks: tuple[str, ...] = ()


_COLUMNS = ("Rule", "Routed to", "Fired", "Notified", "Acknowledged", "Resolved", "Runbook", "Dashboard")
_NOTHING = Said()


class Row(msgspec.Struct, frozen=True):
    """All that is known of one alert; `cells` are in the order of the table's columns."""

    alert: Alert
    cells: tuple[Said, ...]


class Table(msgspec.Struct, frozen=True):
    """What is known of each alert that was expected or seen. A column of which nothing is known is left out."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def tabulate_alerts(experiment: ExperimentReport) -> Table:
    """The table of an experiment's alerts, in their order."""
    cells = {alert.name: _cells(alert, experiment) for alert in experiment.alerts}
    kept = [n for n in range(len(_COLUMNS)) if any(row[n] != _NOTHING for row in cells.values())]
    return Table(
        tuple(_COLUMNS[n] for n in kept),
        tuple(Row(alert, tuple(cells[alert.name][n] for n in kept)) for alert in experiment.alerts),
    )


def _cells(alert: Alert, experiment: ExperimentReport) -> tuple[Said, ...]:
    """In the order of _COLUMNS."""
    return (
        _rule(alert),
        _routed(alert),
        *_course(alert, experiment.injected_at),
        _runbook(alert, experiment),
        _dashboard(alert, experiment),
    )


def expectation(alert: Alert) -> str:
    """What was expected of it, and what was seen instead: "expected within 10 s, page; severity seen: ticket"."""
    expected = alert.expected
    said = []
    if expected:
        said.append(", ".join(filter(None, (f"expected within {duration(expected.within_s)}", expected.severity))))
    if alert.severities and not (expected and alert.severities == (expected.severity,)):
        said.append(f"severity seen: {listing(list(alert.severities))}")
    if alert.existed_before:
        said.append("one was there before the fault")
    return "; ".join(said)


def _rule(alert: Alert) -> Said:
    if alert.expected is None:
        return _NOTHING
    found = alert.examined
    if found is None:
        if alert.has_rule is None:
            return Said("not known", "plain")
        return Said("exists", "good") if alert.has_rule else Said("missing", "bad")
    takes = _takes(found)
    if found.error:
        return Said("fails", "bad", (found.error,))
    if found.at_best_s is not None and found.at_best_s > alert.expected.within_s:
        return Said("too slow", "bad", takes)
    if found.fires:
        return Said("fires already", "warn", takes)
    if found.missing_series:
        return Said("may never fire", "warn", (f"finds no {listing(list(found.missing_series))}", *takes))
    if found.at_most_s is not None and found.at_most_s > alert.expected.within_s:
        return Said("may be too slow", "warn", takes)
    return Said("exists", "good", takes)


def _takes(found: AlertExamination) -> tuple[str, ...]:
    if found.at_most_s is None:
        return ()
    best = found.at_best_s
    span = duration(found.at_most_s)
    if best is not None and best != found.at_most_s:
        span = f"{duration(best)} to {span}"
    return (f"takes {span}" + (f": {found.because}" if found.because else ""),)


def _routed(alert: Alert) -> Said:
    found = alert.examined
    if found is None or (found.receivers is None and not found.quiet):
        return _NOTHING
    told = [_receiver(receiver) for receiver in found.receivers or () if receiver.integrations]
    if found.quiet or not told:
        return Said("nobody", "bad", found.quiet)
    return Said(listing(told), "warn" if found.doubts else "", found.doubts)


def _receiver(receiver: ReceiverInfo) -> str:
    return f"{receiver.name} ({listing(list(receiver.integrations))})"


def _course(alert: Alert, began: float | None) -> Iterable[Said]:
    """Fired, notified, acknowledged, resolved."""

    def after(at: float | None, remark: str = "") -> Said:
        if at is None or began is None:
            return _NOTHING
        return Said(duration(at - began), remarks=(remark,) if remark else ())

    fired, is_expected = alert.firing_at is not None, alert.expected is not None
    pending = after(alert.pending_at).word
    yield Said(after(alert.firing_at).word, remarks=(f"pending after {pending}",) if pending else ())
    told = after(alert.notified_at)
    yield Said("not seen", "bad") if fired and is_expected and not told.word else told
    taken = after(alert.acknowledged_at, alert.acknowledged_by)
    yield Said("by nobody", "plain") if fired and is_expected and not taken.word else taken
    if alert.firing_at is None:
        yield _NOTHING
    elif alert.resolved_at is None:
        yield Said("not seen", "warn" if is_expected else "plain")
    else:
        yield Said(f"{duration(alert.resolved_at - alert.firing_at)} later")


def runbook_of(alert: Alert) -> str | None:
    """The name or URL of its runbook: the one that the experiment says, else the one of its rule."""
    if alert.expected is None:
        return None
    return alert.expected.runbook or (alert.rule.runbook_url if alert.rule else None)


def followed_by(alert: Alert, experiment: ExperimentReport) -> tuple[str, ...]:
    """Who has followed its runbook, each once."""
    name = runbook_of(alert)
    if name is None:
        return ()
    names = {name, PurePosixPath(name.partition("#")[0]).stem}  # one at a URL is followed under its file's name
    return tuple(dict.fromkeys(event.author for event in experiment.followed if event.step.runbook in names))


def _runbook(alert: Alert, experiment: ExperimentReport) -> Said:
    if alert.expected is None:
        return _NOTHING
    name = runbook_of(alert)
    if name is None:
        return Said("none named", "warn")
    info = next((book for book in experiment.info.runbooks if book.name == name), None)
    authors = followed_by(alert, experiment)
    followed = f"followed by {listing(list(authors))}" if authors else "not followed"
    if info is None or info.found is None:
        return Said("not read", "plain", (name, followed))
    if not info.found:
        return Said("missing", "bad", (name,))
    remarks = (info.title or name, followed)
    if info.missing_sections:
        return Said("incomplete", "bad", remarks)
    return Said("found" if info.detail else "whole", "good", remarks)


def dashboards_of(alert: Alert, dashboards: Iterable[Dashboard]) -> tuple[Dashboard, ...]:
    """Those that the alert's rule or its runbook names; else those of the experiment, its service and tags."""
    own = {f"alert {alert.name}"}
    if alert.expected and alert.expected.runbook:
        own.add(f"runbook {alert.expected.runbook}")
    known = tuple(dashboards)
    if named := tuple(one for one in known if not own.isdisjoint(one.info.named_by)):
        return named
    others = ("alert ", "runbook ")
    return tuple(one for one in known if not all(by.startswith(others) for by in one.info.named_by))


def _dashboard(alert: Alert, experiment: ExperimentReport) -> Said:
    if alert.expected is None:
        return _NOTHING
    mine = dashboards_of(alert, experiment.dashboards)
    if not mine:
        return Said("none looked at", "plain")
    names = (listing([one.label for one in mine]),)
    if any(one.info.found is False for one in mine):
        missing = [one.label for one in mine if one.info.found is False]
        return Said("missing", "bad", (listing(missing),))
    if all(one.info.found is None for one in mine):
        return Said("not looked at", "plain", names)
    asked = [panel for one in mine for panel in one.asked]
    shown = sum(panel.state is PanelState.DATA for panel in asked)
    data = (f"{shown} of {plural(len(asked), 'panel')} with data",) if asked else ()
    compared = [panel for one in mine for panel in one.compared]
    if any(panel.moved for panel in compared):
        return Said("moved", "good", (*names, *data))
    if compared:
        return Said("did not move", "warn", (*names, *data))
    return Said("found", "good" if shown == len(asked) else "warn", (*names, *data))
