"""Datadog's monitors: what of their definition is a rule, and who is told by them when they alert. Pure; no I/O.

Formats: the definition of a monitor (https://docs.datadoghq.com/api/latest/monitors/), its message's handles and
conditions (https://docs.datadoghq.com/monitors/notify/variables/), notification rules
(https://docs.datadoghq.com/monitors/notify/notification_rules/).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from gameday.common.datadog import split_tags
from gameday.common.json import Json
from gameday.journal.events import AlertRuleInfo, AlertState

ALERT, WARN, NO_DATA = "Alert", "Warn", "No Data"
_STATES = {ALERT: "firing", WARN: "pending"}
_METRIC_TYPES = ("metric alert", "query alert")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAY_S = 86400.0
_WINDOW = re.compile(r"last_(\d+)([smhdw])\b")
_METRIC_QUERY = re.compile(
    r"(?P<aggregator>\w+)\(.*?last_[^:]*?\):(?P<metric>.+?)\s*(?P<operator>[<>]=?|[!=]=)\s*[-+.\de]+\s*"
)
_PREDICTING = re.compile(r"\b(anomalies|forecast|outliers)\(")
_TEMPLATE = re.compile(r"\{\{\s*(?P<mark>[#^/]?)\s*(?P<name>[\w.]+)(?P<arguments>[^}]*)\}\}")
_HANDLE = re.compile(r"(?<![\w@.…/+-])@(\w[\w.+/…-]*(?:@[\w.-]+)?)")
_LINK = re.compile(r"\[([^\]]*)\]\(\s*(https?://[^\s)]+)|(?:^|\n)[^\S\n]*([^\n:(\[]{0,60}):\s*<?(https?://[^\s)>]+)")
_KINDS = (
    "slack",
    "pagerduty",
    "opsgenie",
    "webhook",
    "teams",
    "team",
    "oncall",
    "case",
    "workflow",
    "servicenow",
    "jira",
)
_PAIR = re.compile(r'"?([\w.\-/]+)"?:"?([^\s"(),*]+)"?')
_AND = re.compile(r"\s+AND\s+|\s*,\s*|\s+")
_MAX_SUMMARY = 300

# Which conditions hold for the first notification of an alert in a state; of others nothing is known beforehand.
_HOLDS = {
    "is_alert": (ALERT,),
    "is_warning": (WARN,),
    "is_no_data": (NO_DATA,),
    "is_recovery": (),
    "is_alert_recovery": (),
    "is_warning_recovery": (),
    "is_no_data_recovery": (),
    "is_renotify": (),
}


class Group(msgspec.Struct, frozen=True):
    """The state of one group of a monitor. Unix times, 0 for never."""

    status: str = ""
    last_triggered_ts: float | None = None
    last_notified_ts: float | None = None


class _State(msgspec.Struct, frozen=True):
    groups: dict[str, Group] | None = None  # by their tags, with commas between them


class _Scheduling(msgspec.Struct, frozen=True):
    custom_schedule: Json = None  # when it is evaluated, in place of each so many minutes


class _Options(msgspec.Struct, frozen=True):
    silenced: dict[str, float | None] | None = None  # groups, and until when (Unix time; None: for ever)
    notify_no_data: bool | None = None
    on_missing_data: str | None = None
    evaluation_delay: float | None = None  # seconds
    scheduling_options: _Scheduling | None = None


class _Asset(msgspec.Struct, frozen=True):
    category: str = ""
    url: str = ""


class Monitor(msgspec.Struct, frozen=True):
    """`overall_state` is "Alert", "Warn", "No Data", "OK" and the like."""

    id: int
    type: str
    query: str
    name: str = ""
    message: str | None = None
    tags: tuple[str, ...] | None = None
    options: _Options | None = None
    priority: int | None = None  # 1 is the highest, 5 the lowest
    overall_state: str | None = None
    overall_state_modified: datetime | None = None
    state: _State | None = None
    assets: tuple[_Asset, ...] | None = None
    draft_status: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Its tags by their keys, and `severity`, if no tag says it, from its priority: P1 to P5."""
        severity = {"severity": f"P{self.priority}"} if self.priority else {}
        return severity | split_tags(self.tags or ())

    @property
    def notifies_no_data(self) -> bool:
        """Whether people are told when its data are missing."""
        options = self.options or _Options()
        return bool(options.notify_no_data) or options.on_missing_data == "show_and_notify_no_data"

    @property
    def muted(self) -> dict[str, float | None]:
        """Groups that it is muted for, `*` for all, and until when."""
        return (self.options.silenced if self.options else None) or {}


class Raised(msgspec.Struct, frozen=True):
    """A group of a monitor that is not well. `group` is empty for a monitor without groups. Unix times."""

    monitor: Monitor
    group: str
    status: str
    since: float | None = None
    notified: float | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The monitor's, and the group's tags."""
        return self.monitor.labels | split_tags(self.group.split(",") if self.group not in ("", "*") else ())

    @property
    def alert_state(self) -> AlertState | None:
        """Missing data counts as firing where people are told of them, else for nothing; a warning as pending."""
        if self.status == NO_DATA:
            return AlertState.FIRING if self.monitor.notifies_no_data else None
        return {ALERT: AlertState.FIRING, WARN: AlertState.PENDING}.get(self.status)

    @property
    def summary(self) -> str:
        """The first words of the monitor's message, without its conditions."""
        text = " ".join(_TEMPLATE.sub("", self.monitor.message or "").split())
        return f"{'no data: ' if self.status == NO_DATA else ''}{text}"[:_MAX_SUMMARY]


def raised(monitor: Monitor) -> Iterator[Raised]:
    """The groups that are not well; of a monitor without any, the whole of it."""
    groups = (monitor.state.groups if monitor.state else None) or {}
    for name, group in groups.items():
        if group.status == NO_DATA:  # since when, and whether that was told, is not among a group's times
            yield Raised(monitor, name, group.status)
        else:
            yield Raised(monitor, name, group.status, group.last_triggered_ts or None, group.last_notified_ts)
    if not groups and monitor.overall_state:
        changed = monitor.overall_state_modified
        yield Raised(monitor, "", monitor.overall_state, changed.timestamp() if changed else None)


def rule_of(monitor: Monitor) -> AlertRuleInfo:
    """The monitor as a rule. `for_s`: how long its cause must last at the least, where its query says so."""
    labels, message = monitor.labels, monitor.message or ""
    links = [(label or word, url or bare) for label, url, word, bare in _LINK.findall(message)]
    runbooks = [asset.url for asset in monitor.assets or () if asset.category == "runbook"]
    runbooks += [url for label, url in links if "runbook" in label.lower()]
    dashboards = [url for label, url in links if "dashboard" in label.lower() or "/dashboard/" in url]
    return AlertRuleInfo(
        name=monitor.name,
        expression=monitor.query,
        for_s=_lasts_s(monitor),
        severity=labels.get("severity"),
        service=labels.get("service"),
        runbook_url=next(iter(runbooks), labels.get("runbook")),
        dashboard=next(iter(dashboards), None),
        state=_STATES.get(monitor.overall_state or "", "inactive"),
        interval_s=_interval_s(monitor),
        labels=labels,
    )


def metric_of(monitor: Monitor) -> str | None:
    """The query for metrics within a monitor's, without its time and its threshold; None if it has none."""
    found = _METRIC_QUERY.fullmatch(monitor.query.strip()) if monitor.type in _METRIC_TYPES else None
    return found["metric"] if found else None


def _window_s(monitor: Monitor) -> float:
    return max((int(number) * _UNITS_S[unit] for number, unit in _WINDOW.findall(monitor.query)), default=0)


def _lasts_s(monitor: Monitor) -> float:
    """All of the window where every point of it must cross the threshold (https://docs.datadoghq.com/monitors/guide/
    monitor_aggregators/): of a mean, one point may be enough. What is evaluated may be older by a delay."""
    found = _METRIC_QUERY.fullmatch(monitor.query.strip())
    is_all = found is not None and (found["aggregator"], found["operator"][0]) in (("min", ">"), ("max", "<"))
    delay_s = (monitor.options.evaluation_delay if monitor.options else None) or 0.0
    return delay_s + (_window_s(monitor) if is_all else 0.0)


def _interval_s(monitor: Monitor) -> float | None:
    """How often it is evaluated (https://docs.datadoghq.com/monitors/configuration/#evaluation-frequency)."""
    scheduling = (monitor.options.scheduling_options if monitor.options else None) or _Scheduling()
    if monitor.type not in _METRIC_TYPES or scheduling.custom_schedule or _PREDICTING.search(monitor.query):
        return None
    window_s = _window_s(monitor)
    return 60.0 if window_s < _DAY_S else 600.0 if window_s < 2 * _DAY_S else 1800.0


class Told(msgspec.Struct, frozen=True):
    """Whom a monitor tells, without `@`: for certain, and where its conditions hold that are not known beforehand."""

    certain: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()


class _Filter(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None  # all of them
    scope: str | None = None


class _Condition(msgspec.Struct, frozen=True):
    recipients: tuple[str, ...] | None = None


class _Conditional(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    fallback_recipients: tuple[str, ...] | None = None


class _RuleAttributes(msgspec.Struct, frozen=True):
    filter: _Filter | None = None
    recipients: tuple[str, ...] | None = None
    conditional_recipients: _Conditional | None = None


class NotificationRule(msgspec.Struct, frozen=True):
    """It tells more people of all monitors and groups that have certain tags."""

    attributes: _RuleAttributes


def told(message: str, status: str, labels: Mapping[str, str], rules: Iterable[NotificationRule]) -> Told:
    """Whom a monitor with this message tells when a group with these labels comes to this status."""
    certain: dict[str, None] = {}
    perhaps: dict[str, None] = {}
    for text, holds in _segments(message, status):
        names = dict.fromkeys(name.rstrip("./-") for name in _HANDLE.findall(text))
        if holds is not False:
            (certain if holds else perhaps).update(names)
    for rule in (rule.attributes for rule in rules):
        wanted = rule.filter or _Filter()
        scope = tuple(split_tags(wanted.tags or ()).items()) if wanted.scope is None else read_scope(wanted.scope)
        matches = covers(scope, labels)
        if matches is not False:
            (certain if matches else perhaps).update(dict.fromkeys(rule.recipients or ()))
            conditional = rule.conditional_recipients or _Conditional()
            named = [name for case in conditional.conditions or () for name in case.recipients or ()]
            perhaps.update(dict.fromkeys([*named, *(conditional.fallback_recipients or ())]))
    return Told(tuple(certain), tuple(name for name in perhaps if name not in certain))


def _segments(message: str, status: str) -> Iterator[tuple[str, bool | None]]:
    """The parts of a message between its conditions, and whether they are shown: None where that is not known."""
    holding: list[bool | None] = []
    position, text = 0, ""

    def shown() -> bool | None:
        return False if False in holding else None if None in holding else True

    for found in _TEMPLATE.finditer(message):
        text += message[position : found.start()]
        position = found.end()
        mark, name = found["mark"], found["name"]
        if not mark and name != "else":
            text += "…"  # a variable
            continue
        yield text, shown()
        text = ""
        if mark in ("#", "^"):
            holds = status in _HOLDS[name] if name in _HOLDS else None
            holding.append(holds if mark == "#" else _not(holds))
        elif holding:
            last = holding.pop()
            if not mark:
                holding.append(_not(last))
    yield text + message[position:], shown()


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


def kind_of(handle: str) -> str:
    """What a handle tells people by: "slack", "pagerduty", "e-mail" and the like."""
    prefix = handle.partition("-")[0].lower()
    return prefix if "-" in handle and prefix in _KINDS else "e-mail" if "@" in handle else "user"


def read_scope(text: str) -> tuple[tuple[str, str], ...] | None:
    """The tags that a scope such as `env:prod AND team:sre` wants, all of them; none for `*`; None if it says more."""
    text = text.strip()
    if text in ("", "*"):
        return ()
    found = [_PAIR.fullmatch(part) for part in _AND.split(text)]
    return tuple((pair[1], pair[2]) for pair in found if pair) if all(found) else None


def covers(scope: Sequence[tuple[str, str]] | None, labels: Mapping[str, str]) -> bool | None:
    """Whether a scope applies to something with these labels: None where it asks for what is not known."""
    if scope is None:
        return None
    answers = [labels[key] == value if key in labels else None for key, value in scope]
    return False if False in answers else None if None in answers else True
