"""What is found out of coverage: alerts and their rules, runbooks, dashboards, and who is on call."""

from enum import StrEnum

import msgspec

from gameday.journal.events.base import Event, Struct


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    NOTIFIED = "notified"
    ACKNOWLEDGED = "acknowledged"  # somebody has taken it on
    RESOLVED = "resolved"


class PanelState(StrEnum):
    """What a panel of a dashboard shows."""

    DATA = "data"
    EMPTY = "empty"
    ERROR = "error"  # its queries fail
    UNKNOWN = "unknown"  # it has none, or none that can be asked


class AlertInfo(Struct, frozen=True, kw_only=True):
    """An alert that the experiment expects."""

    name: str
    within_s: float
    severity: str | None = None
    runbook: str | None = None


class RunbookInfo(Struct, frozen=True, kw_only=True):
    """A runbook that an expected alert or the service names, by its file's name or by a URL.

    `found` is False when no such file exists, and None where it is not known: what is at the URL could not be read
    (`detail` says why), or has not been asked for. With `detail`, its sections and review could not be looked at.
    """

    name: str
    found: bool | None
    path: str | None = None
    title: str | None = None
    owner: str | None = None
    reviewed: str | None = None
    missing_sections: tuple[str, ...] = ()
    stale: bool = False
    detail: str = ""


class AlertRuleInfo(Struct, frozen=True, kw_only=True):
    """An alerting rule as the rules' server has it; None where an annotation or label is absent.

    `interval_s`: between two evaluations; None where the server does not say. `error`: why it cannot be evaluated.
    """

    name: str
    expression: str
    for_s: float
    severity: str | None = None
    service: str | None = None
    runbook_url: str | None = None
    dashboard: str | None = None
    state: str = "inactive"
    interval_s: float | None = None
    keep_firing_for_s: float = 0.0
    error: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class ReceiverInfo(Struct, frozen=True, kw_only=True):
    """A receiver of Alertmanager, and what it tells people by ("webhook", say): with nothing, it tells nobody."""

    name: str
    integrations: tuple[str, ...] = ()


class AlertExamination(Struct, frozen=True, kw_only=True):
    """What could be found out of an expected alert before anything was injected; None is what could not.

    It fires between `at_best_s` and `at_most_s` after its cause shows in what is scraped, `because` says the sum in
    words; Alertmanager then waits for `group_wait_s`. After its cause has gone it may fire for `clears_s` more.
    """

    name: str
    fires: bool = False  # already
    at_best_s: float | None = None
    at_most_s: float | None = None
    because: str = ""
    clears_s: float | None = None
    group_wait_s: float | None = None
    receivers: tuple[ReceiverInfo, ...] | None = None
    quiet: tuple[str, ...] = ()  # why nobody would be told
    doubts: tuple[str, ...] = ()  # why perhaps nobody would be, or somebody else
    missing_series: tuple[str, ...] = ()  # selectors without which its expression cannot come true
    error: str = ""  # why its expression cannot be evaluated
    severity: str | None = None  # of its rule: several may have its name


class PanelInfo(Struct, frozen=True, kw_only=True):
    """A panel of a dashboard. `moved`: whether it changed while the fault was in place; None before, or unknown."""

    id: str
    title: str
    state: PanelState
    series: int = 0
    detail: str = ""
    moved: bool | None = None


class DashboardInfo(Struct, frozen=True, kw_only=True):
    """A dashboard, by the name that it was given, and by whom ("alert PaymentsDown", "service checkout").

    `found` is None when that could not be asked, and `detail` says why. Of a plain page there are no panels.
    """

    name: str
    named_by: tuple[str, ...]
    found: bool | None
    title: str = ""
    url: str = ""
    detail: str = ""
    panels: tuple[PanelInfo, ...] = ()


class OnCallInfo(Struct, frozen=True, kw_only=True):
    """Who would be paged for a service. `people`: the levels of escalation, the first first; None when that could not
    be asked, and `detail` says why. `until`: when the first level changes; `holes`: times at which nobody is on call,
    from and to. Unix times."""

    service: str | None
    source: str
    schedule: str = ""
    people: tuple[tuple[str, ...], ...] | None = None
    until: float | None = None
    holes: tuple[tuple[float, float], ...] = ()
    url: str = ""
    detail: str = ""


class AlertRulesRead(Event, frozen=True, kw_only=True, tag="alert-rules-read"):
    rules: tuple[AlertRuleInfo, ...]
    experiment: int


class AlertExamined(Event, frozen=True, kw_only=True, tag="alert-examined"):
    """An expected alert that has a rule was looked at before anything was injected."""

    experiment: int
    alert: AlertExamination


class RunbookExamined(Event, frozen=True, kw_only=True, tag="runbook-examined"):
    """A runbook at a URL was read, after the session had begun: this is what is known of it."""

    experiment: int
    runbook: RunbookInfo


class DashboardExamined(Event, frozen=True, kw_only=True, tag="dashboard-examined"):
    """A dashboard was looked at: before anything was injected, or (`after`) when all was undone, over all that time."""

    experiment: int
    dashboard: DashboardInfo
    after: bool = False


class OnCallExamined(Event, frozen=True, kw_only=True, tag="on-call-examined"):
    """Who is on call was looked up before anything was injected."""

    experiment: int
    on_call: OnCallInfo


class AlertObserved(Event, frozen=True, kw_only=True, tag="alert-observed"):
    """An alert was seen in a state for the first time since the experiment began.

    `at` is when we saw it; `since` is when its source says that the state began. `by`: who has acknowledged it.
    """

    experiment: int
    name: str
    state: AlertState
    expected: bool
    labels: dict[str, str]
    source: str
    since: float | None = None
    existed_before: bool = False  # already pending or firing before the first injection
    summary: str = ""
    by: str = ""
