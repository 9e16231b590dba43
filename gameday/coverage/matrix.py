"""What of a project's alerts, runbooks, dashboards and experiments is there, and what was ever exercised. Pure; no I/O.

`build_matrix` puts together what is written (gameday.yaml, experiments, runbooks), which alerting rules are known, and
what past runs have shown. Times are Unix times.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import msgspec

from gameday.journal.events import AlertExamination, AlertRuleInfo, Verdict
from gameday.spec.model import ExpectedAlert, Experiment, Project, Runbook
from gameday.spec.project import RUNBOOKS
from gameday.spec.runbook import is_url

type _Expectation = tuple[Experiment, ExpectedAlert]

_NO_SEVERITY = "no severity"


class Result(StrEnum):
    """What became of an expected alert whose fault was injected."""

    IN_TIME = "in-time"
    LATE = "late"
    MISSED = "missed"
    BEFORE = "fired-before"  # it was there before the fault, so that it fired proves nothing


class Moment(msgspec.Struct, frozen=True):
    """When something happened last, and in which run."""

    run: str
    at: float


class Exercise(Moment, frozen=True):
    """An alert was expected, and its fault injected (`at`). `after_s`: from then until it fired. `verdict`: of the
    experiment; None when it has not ended."""

    result: Result
    after_s: float | None = None
    verdict: Verdict | None = None


class Look(Moment, frozen=True):
    """A dashboard was looked at, or could not be (`found` is None). `failing`: some panel had no data or failed."""

    found: bool | None
    failing: bool = False


class ExperimentRun(Moment, frozen=True):
    """An experiment began. `verdict` is None when it has not ended."""

    verdict: Verdict | None = None


class Past(msgspec.Struct, frozen=True):
    """What runs have shown, of each thing the last time. Runbooks and dashboards by the names that they were given (a
    runbook that was followed by its file's), experiments by their paths."""

    alerts: dict[str, Exercise] = {}
    runbooks_exercised: dict[str, Moment] = {}  # an alert or service that names it had its fault injected
    runbooks_followed: dict[str, Moment] = {}
    dashboards: dict[str, Look] = {}
    dashboards_moved: dict[str, Moment] = {}
    experiments: dict[str, ExperimentRun] = {}


def merge(pasts: Iterable[Past]) -> Past:
    """All of these, of each thing what came last."""
    merged = Past()
    for past in pasts:
        _update(merged.alerts, past.alerts)
        _update(merged.runbooks_exercised, past.runbooks_exercised)
        _update(merged.runbooks_followed, past.runbooks_followed)
        _update(merged.dashboards, past.dashboards)
        _update(merged.dashboards_moved, past.dashboards_moved)
        _update(merged.experiments, past.experiments)
    return merged


def _update[T: Moment](known: dict[str, T], more: dict[str, T]) -> None:
    for name, found in more.items():
        if name not in known or found.at >= known[name].at:
            known[name] = found


class Rules(msgspec.Struct, frozen=True):
    """The alerting rules that are known. `are_all`: a rule that is not among them does not exist. `examined`: what
    else the environment said of them, by their places among `rules`; nothing, where it was not asked."""

    rules: tuple[AlertRuleInfo, ...] = ()
    are_all: bool = False
    examined: dict[int, AlertExamination] = {}
    unanswered: tuple[str, ...] = ()  # what was asked and gave no answer, and why
    is_blind: bool = False  # so that a missing rule, or that nobody is told, may not have been seen


class RunbookState(StrEnum):
    WHOLE = "whole"
    INCOMPLETE = "incomplete"
    MISSING = "missing"
    UNKNOWN = "unknown"  # it lies at a URL, which is not asked, or in another directory


class RunbookRow(msgspec.Struct, frozen=True):
    """A runbook by its name or URL, and when it was followed and exercised last."""

    name: str
    state: RunbookState
    missing_sections: tuple[str, ...] = ()
    followed: Moment | None = None
    exercised: Moment | None = None


class DashboardRow(msgspec.Struct, frozen=True):
    """A dashboard by the name that it is given, and when it was looked at, and moved during a fault, last."""

    name: str
    named_by: tuple[str, ...]
    looked_at: Look | None = None
    moved: Moment | None = None


class AlertRow(msgspec.Struct, frozen=True):
    """An alert of a service. `expected_by`: paths of experiments; none: it only has a rule. `has_rule` is None when
    that is not known; `examined` where it was not asked who would be told, and whether its rule can fire. `severity`:
    where rules of its name have several, of which each has a row; of rules that have it in common, the worst is said.
    """

    name: str
    expected_by: tuple[str, ...]
    has_rule: bool | None
    runbook: RunbookRow | None
    dashboards: tuple[DashboardRow, ...]
    exercise: Exercise | None = None
    examined: AlertExamination | None = None
    severity: str | None = None

    @property
    def title(self) -> str:
        """Its name, and its severity where the name alone does not say which is meant."""
        return self.name if self.severity is None else f"{self.name} ({self.severity})"


class ExperimentRow(msgspec.Struct, frozen=True):
    path: str
    title: str
    last: ExperimentRun | None = None


class ServiceCoverage(msgspec.Struct, frozen=True):
    """All that belongs to one service; `name` is None for what belongs to none."""

    name: str | None
    owner: str | None
    alerts: tuple[AlertRow, ...]
    runbooks: tuple[RunbookRow, ...]
    dashboards: tuple[DashboardRow, ...]
    experiments: tuple[ExperimentRow, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of it."""
        return not (self.alerts or self.runbooks or self.dashboards or self.experiments)


def services_of(project: Project, experiments: Iterable[Experiment]) -> tuple[str, ...]:
    """The names of all services: those of gameday.yaml, then those that only experiments name."""
    names = [service.name for service in project.services]
    return tuple(dict.fromkeys([*names, *sorted({item.service for item in experiments if item.service})]))


def alerts_of(project: Project, experiments: Sequence[Experiment], rules: Iterable[AlertRuleInfo]) -> tuple[str, ...]:
    """The names of all alerts that a matrix has: those that experiments expect, and those of rules for its services."""
    expected = [alert.name for item in experiments for alert in item.alerts]
    services = services_of(project, experiments)
    return tuple(dict.fromkeys([*expected, *(rule.name for rule in rules if rule.service in services)]))


def build_matrix(
    project: Project, experiments: Sequence[Experiment], rules: Rules, past: Past
) -> tuple[ServiceCoverage, ...]:
    """One entry a service, in the order of `services_of`; last, where there is any, what belongs to none."""
    builder = _Builder(project, experiments, rules, past)
    entries = [builder.service(name) for name in services_of(project, experiments)]
    rest = builder.rest({book.name for entry in entries for book in entry.runbooks})
    return (*entries, *(() if rest.is_empty else (rest,)))


class _Builder(msgspec.Struct, frozen=True):
    project: Project
    experiments: Sequence[Experiment]
    rules: Rules
    past: Past

    def service(self, name: str) -> ServiceCoverage:
        declared = self.project.service(name)
        mine = [item for item in self.experiments if item.service == name]
        alerts = self._alerts(mine, [rule.name for rule in self.rules.rules if rule.service == name], name)
        books = [*(declared.runbooks if declared else ())]
        books += [alert.runbook.name for alert in alerts if alert.runbook]
        books += [book.name for book in self.project.runbooks if book.service == name]
        named = [(board, f"service {name}") for board in (declared.dashboards if declared else ())]
        return ServiceCoverage(
            name,
            declared.owner if declared else None,
            alerts,
            tuple(self._runbook(book) for book in dict.fromkeys(books)),
            self._dashboards([*named, *self._named(mine, alerts, books)]),
            tuple(map(self._experiment, mine)),
        )

    def rest(self, seen: set[str]) -> ServiceCoverage:
        """What belongs to no service. Rules are left out: those that no experiment expects are others' affair."""
        mine = [item for item in self.experiments if item.service is None]
        alerts = self._alerts(mine, [], None)
        books = [alert.runbook.name for alert in alerts if alert.runbook]
        books += [book.name for book in self.project.runbooks if book.name not in seen]
        return ServiceCoverage(
            None,
            None,
            alerts,
            tuple(self._runbook(book) for book in dict.fromkeys(books)),
            self._dashboards(self._named(mine, alerts, books)),
            tuple(map(self._experiment, mine)),
        )

    def _alerts(
        self, experiments: Sequence[Experiment], more: Iterable[str], service: str | None
    ) -> tuple[AlertRow, ...]:
        expected: dict[str, list[_Expectation]] = {}
        for item in experiments:
            for alert in item.alerts:
                expected.setdefault(alert.name, []).append((item, alert))
        rows: list[AlertRow] = []
        for name in dict.fromkeys([*expected, *more]):
            by_severity = self._rules_of(name, service)
            for severity, rules in by_severity.items():
                wanted = [
                    (item, alert)
                    for item, alert in expected.get(name, ())
                    if alert.severity in (None, severity) or alert.severity not in by_severity
                ]
                rows.append(self._alert(name, severity if len(by_severity) > 1 else None, rules, wanted))
        return tuple(rows)

    def _rules_of(self, name: str, service: str | None) -> dict[str, list[int]]:
        """The places of its rules by their severities: those of the service where it has any, for others may have rules
        of the same name. Without a rule, no places."""
        places = [place for place, rule in enumerate(self.rules.rules) if rule.name == name]
        mine = [place for place in places if service and self.rules.rules[place].service == service]
        found: dict[str, list[int]] = {}
        for place in mine or places:
            found.setdefault(self.rules.rules[place].severity or _NO_SEVERITY, []).append(place)
        return found or {_NO_SEVERITY: []}

    def _alert(
        self, name: str, severity: str | None, places: Sequence[int], expected: Sequence[_Expectation]
    ) -> AlertRow:
        rules = [self.rules.rules[place] for place in places]
        book = self._runbook_of(name, [alert for _, alert in expected], rules)
        boards = [(rule.dashboard, f"alert {name}") for rule in rules if _is_fixed(rule.dashboard)]
        if book and (known := self.project.runbook(book)):
            boards += [(board, f"runbook {known.name}") for board in known.dashboards]
        for item, _ in expected:
            boards += [(board, self._path(item)) for board in item.dashboards]
            if item.service and (service := self.project.service(item.service)):
                boards += [(board, f"service {service.name}") for board in service.dashboards]
        examined = [found for place in places if (found := self.rules.examined.get(place))]
        return AlertRow(
            name,
            tuple(dict.fromkeys(self._path(item) for item, _ in expected)),
            True if rules else False if self.rules.are_all else None,
            self._runbook(book) if book else None,
            self._dashboards(boards),
            self.past.alerts.get(name) if expected or severity is None else None,
            max(examined, key=lambda found: (bool(found.error), bool(found.quiet), bool(found.doubts)), default=None),
            severity,
        )

    def _runbook_of(self, name: str, expected: Iterable[ExpectedAlert], rules: Iterable[AlertRuleInfo]) -> str | None:
        """The one that an experiment names, else one that lists the alert, else that of a rule's `runbook_url`."""
        if named := next((alert.runbook for alert in expected if alert.runbook), None):
            return named
        if listing := next((book for book in self.project.runbooks if name in book.alerts), None):
            return listing.name
        url = next((rule.runbook_url for rule in rules if _is_fixed(rule.runbook_url)), None)
        if url is None:
            return None
        ours = self.project.runbook(_stem(url))
        return ours.name if ours else url if is_url(url) or _is_elsewhere(url) else _stem(url)

    def _runbook(self, name: str) -> RunbookRow:
        book = self.project.runbook(name)
        return RunbookRow(
            name,
            _state(name, book),
            book.missing_sections if book else (),
            self.past.runbooks_followed.get(_stem(name) if book is None else name),
            self.past.runbooks_exercised.get(name),
        )

    def _named(
        self, experiments: Iterable[Experiment], alerts: Iterable[AlertRow], books: Iterable[str]
    ) -> list[tuple[str, str]]:
        """Dashboards, and who names each."""
        named = [(board, f"{self._path(item)}") for item in experiments for board in item.dashboards]
        for book in filter(None, map(self.project.runbook, dict.fromkeys(books))):
            named += [(board, f"runbook {book.name}") for board in book.dashboards]
        expected = {alert.name for alert in alerts}
        for rule in self.rules.rules:
            if rule.name in expected and rule.dashboard and _is_fixed(rule.dashboard):
                named.append((rule.dashboard, f"alert {rule.name}"))
        return named

    def _dashboards(self, named: Iterable[tuple[str | None, str]]) -> tuple[DashboardRow, ...]:
        by: dict[str, dict[str, None]] = {}
        for name, who in named:
            if name:
                by.setdefault(name, {})[who] = None
        looks, moved = self.past.dashboards, self.past.dashboards_moved
        return tuple(DashboardRow(name, tuple(who), looks.get(name), moved.get(name)) for name, who in by.items())

    def _experiment(self, item: Experiment) -> ExperimentRow:
        path = self._path(item)
        return ExperimentRow(path, item.title, self.past.experiments.get(path))

    def _path(self, item: Experiment) -> str:
        """As the journal has it: relative to the project."""
        path = item.path
        return path.relative_to(self.project.root).as_posix() if path.is_relative_to(self.project.root) else path.name


def _state(name: str, book: Runbook | None) -> RunbookState:
    if book is None:
        return RunbookState.UNKNOWN if is_url(name) or _is_elsewhere(name) else RunbookState.MISSING
    return RunbookState.INCOMPLETE if book.missing_sections else RunbookState.WHOLE


def _is_fixed(text: str | None) -> bool:
    """Whether an annotation is the same for all alerts of its rule: no template that is filled in when one fires."""
    return text is not None and "{{" not in text


def _is_elsewhere(name: str) -> bool:
    """Whether it is a path that leads to another directory than that of the project's runbooks."""
    return PurePosixPath(name).parent.name not in ("", RUNBOOKS)


def _stem(url: str) -> str:
    """The name of the file that an address ends in."""
    try:
        return PurePosixPath(urlsplit(url).path).stem
    except ValueError:
        return ""
