"""What users write, as frozen values: experiment, game day, runbook, project."""

from base64 import b64encode
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.common.json import JsonObject
from gameday.kubernetes.reference import ClusterRef
from gameday.spec.location import Location, Mistake


class SignalKind(StrEnum):
    """The four golden signals (Site Reliability Engineering, O'Reilly 2016, chapter 6)."""

    LATENCY = "latency"
    TRAFFIC = "traffic"
    ERRORS = "errors"
    SATURATION = "saturation"


class Unit(StrEnum):
    """The base unit a value is kept in. A ratio of 1 is 100 %."""

    SECONDS = "s"
    RATIO = "ratio"
    PER_SECOND = "/s"
    BYTES = "B"
    NUMBER = "number"


class Comparator(StrEnum):
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class SignalId(msgspec.Struct, frozen=True, order=True):
    """One measured series: `measure` is p50…p99.9 for latency, rate for traffic, ratio for errors, and cpu, memory,
    connections or a name of the user's own for saturation."""

    service: str
    kind: SignalKind
    measure: str

    def __str__(self) -> str:
        return f"{self.service}.{self.kind}.{self.measure}"


class Condition(msgspec.Struct, frozen=True):
    """A comparison of a signal with a threshold in its base unit.

    With `relative`, what is compared is |value - baseline| / baseline (traffic's `change`). `for_s` is how long, in
    seconds, a breach (of a hypothesis) or a match (of an abort condition) must last before it counts.
    """

    signal: SignalId
    comparator: Comparator
    threshold: float
    unit: Unit
    for_s: float
    text: str  # as written: "< 300ms"
    location: Location
    relative: bool = False

    def holds_for(self, value: float) -> bool:
        """Whether `value` (base unit, or relative change) satisfies the comparison. Never called with NaN."""
        match self.comparator:
            case Comparator.LESS:
                return value < self.threshold
            case Comparator.LESS_OR_EQUAL:
                return value <= self.threshold
            case Comparator.GREATER:
                return value > self.threshold
            case Comparator.GREATER_OR_EQUAL:
                return value >= self.threshold


class ActivityKind(StrEnum):
    PROBE = "probe"
    ACTION = "action"


class Dry(StrEnum):
    """What is only pretended, by the names of `chaos run --dry`."""

    PROBES = "probes"
    ACTIONS = "actions"
    ACTIVITIES = "activities"
    PAUSE = "pause"

    def pretends(self, kind: ActivityKind) -> bool:
        """Whether an activity of this kind is not run."""
        return self is Dry.ACTIVITIES or self.value == f"{kind.value}s"


class Activity(msgspec.Struct, frozen=True):
    """A Chaos Toolkit activity, kept as it was written; only the adapter looks into `definition`."""

    kind: ActivityKind
    name: str
    definition: JsonObject
    background: bool
    pause_before_s: float
    pause_after_s: float
    location: Location
    timeout_s: float | None = None  # its provider's
    dry: Dry | None = None  # its own, before the experiment's


class BlastRadius(msgspec.Struct, frozen=True):
    """How much of the target one stage touches: a count, or a share between 0 and 1. Exactly one is set."""

    count: int | None = None
    share: float | None = None

    def of(self, total: int) -> int:
        """How many of `total` this allows: rounded down, so that the ceiling is never exceeded."""
        if self.count is not None:
            return min(self.count, total)
        assert self.share is not None
        from fractions import Fraction

        # Fraction of the decimal text: 0.29 * 100 is 28.999… in binary floating point.
        return int(Fraction(repr(self.share)) * total)

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{(self.share or 0) * 100:g}%"


class Target(msgspec.Struct, frozen=True):
    """What a fault hits. `service` is the victim; `caller`, for dependency faults, limits it to calls from there
    (written `from:`). The others find pods and nodes of a cluster; `keys` are those that were written."""

    service: str | None
    location: Location
    caller: str | None = None
    selector: str | None = None
    owner: str | None = None
    name: str | None = None
    node: str | None = None
    zone: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    pick: str | None = None
    keys: tuple[tuple[str, Location], ...] = ()

    def __str__(self) -> str:
        """For people: "payments", "checkout → payments", "deployment/payments in zone a"."""
        subject = self.service or self.owner or self.name or self.selector
        parts = [
            f"{self.caller} → {subject}" if self.caller else subject or ("nodes" if self.node or self.zone else "")
        ]
        parts += [f"on {self.node}"] if self.node else []
        parts += [f"in zone {self.zone}"] if self.zone else []
        parts += [f"in the cluster {self.cluster}"] if self.cluster else []
        return " ".join(filter(None, parts))


class Argument(msgspec.Struct, frozen=True):
    """A fault's own setting, as written; the fault says what it means."""

    name: str
    text: str
    location: Location


class FaultStep(msgspec.Struct, frozen=True):
    """A native fault in a method: a ladder of stages, each held and judged before the next."""

    fault: str  # "process/kill"
    target: Target
    ladder: tuple[BlastRadius, ...]
    hold_s: float
    arguments: tuple[Argument, ...]
    location: Location
    name: str


class Hypothesis(msgspec.Struct, frozen=True):
    """The steady state: native conditions on golden signals, and any Chaos Toolkit probes."""

    title: str
    conditions: tuple[Condition, ...] = ()
    probes: tuple[Activity, ...] = ()


class ExpectedAlert(msgspec.Struct, frozen=True):
    """An alert that must fire within `within_s` seconds of the first injection."""

    name: str
    within_s: float
    severity: str | None
    runbook: str | None
    location: Location


class Timing(msgspec.Struct, frozen=True):
    """How an experiment is measured, all in seconds."""

    interval_s: float = 1.0  # between samples
    baseline_s: float = 10.0  # how long the baseline is recorded
    steady_s: float = 5.0  # how long signals must hold again to count as recovered
    recovery_s: float = 60.0  # how long recovery is waited for
    blind_after_s: float = 10.0  # how long a guarding signal may be unreadable


class HypothesisStrategy(StrEnum):
    """When a plain experiment's hypothesis is judged, by the names of `chaos run --hypothesis-strategy`."""

    DEFAULT = "default"  # before and after the method
    BEFORE = "before-method-only"
    AFTER = "after-method-only"
    DURING = "during-method-only"
    CONTINUOUSLY = "continuously"  # before, during and after
    SKIP = "skip"

    @property
    def judges_before(self) -> bool:
        """Whether it must hold before anything is done."""
        return self in (self.DEFAULT, self.BEFORE, self.CONTINUOUSLY)

    @property
    def judges_during(self) -> bool:
        """Whether it is judged again and again while the method runs."""
        return self in (self.DURING, self.CONTINUOUSLY)

    @property
    def judges_after(self) -> bool:
        """Whether it is judged when the method has ended."""
        return self in (self.DEFAULT, self.AFTER, self.CONTINUOUSLY)


class RollbackStrategy(StrEnum):
    """When a plain experiment's rollbacks run, by the names of `chaos run --rollback-strategy`."""

    DEFAULT = "default"
    ALWAYS = "always"
    NEVER = "never"
    DEVIATED = "deviated"


class Runtime(msgspec.Struct, frozen=True):
    """How a plain experiment is run: what `chaos run` has options for."""

    hypothesis: HypothesisStrategy = HypothesisStrategy.DEFAULT
    frequency_s: float = 1.0  # between two judgements while the method runs
    fail_fast: bool = False  # the first of them that does not hold ends the method
    rollbacks: RollbackStrategy = RollbackStrategy.DEFAULT
    dry: Dry | None = None


class Experiment(msgspec.Struct, frozen=True):
    """One experiment file. `plain` means that it uses nothing but the Chaos Toolkit's own keys."""

    path: Path
    title: str
    description: str
    service: str | None
    hypothesis: Hypothesis
    method: tuple[FaultStep | Activity, ...]
    rollbacks: tuple[Activity, ...]
    alerts: tuple[ExpectedAlert, ...]
    recovers_within_s: float | None
    abort_when: tuple[Condition, ...]
    timing: Timing
    plain: bool
    location: Location
    tags: tuple[str, ...] = ()
    runtime: Runtime = Runtime()
    # Opaque to us, handed to the adapter.
    configuration: JsonObject = {}
    secrets: JsonObject = {}
    document: JsonObject = {}  # all of it, as written
    controls: tuple[str, ...] = ()
    dashboards: tuple[str, ...] = ()  # that must show what happens, named as a service's are
    warnings: tuple[Mistake, ...] = ()  # what is probably not meant, and keeps nothing from running

    def pretends(self, activity: Activity) -> bool:
        """Whether the activity is only pretended."""
        dry = activity.dry or self.runtime.dry
        return dry is not None and dry.pretends(activity.kind)

    def pauses(self, activity: Activity) -> tuple[float, float]:
        """How long to wait before and after it, in seconds."""
        if self.pretends(activity) or (activity.dry or self.runtime.dry) is Dry.PAUSE:
            return 0.0, 0.0
        return activity.pause_before_s, activity.pause_after_s


ON_CALL = "on-call:"  # before the name of a service: whoever is on call for it when a session starts


class GivenPair(msgspec.Struct, frozen=True):
    """Who is named for one experiment; None: somebody is to be proposed."""

    builder: str | None = None
    sre: str | None = None


class People(msgspec.Struct, frozen=True):
    """Handles, by role. `pairs`: who is named for each experiment, in their order; empty where nobody is for any."""

    facilitator: str | None = None
    builders: tuple[str, ...] = ()
    sres: tuple[str, ...] = ()
    scribe: str | None = None
    observers: tuple[str, ...] = ()
    pairs: tuple[GivenPair, ...] = ()


class Blackout(msgspec.Struct, frozen=True):
    """When nothing may start by itself: from one day to another, both included, or during the events of a calendar."""

    first: date | None = None
    last: date | None = None
    calendar: str | None = None  # an absolute path, or a URL in which `${VARIABLES}` stand as they are written


class Schedule(msgspec.Struct, frozen=True):
    """When a game day is due: by a cron expression or on dates, in a time zone."""

    cron: str | None
    timezone: str
    duration_s: float | None
    dates: tuple[datetime, ...] = ()  # aware, in that time zone, in their order
    blackouts: tuple[Blackout, ...] = ()
    catch_up_s: float | None = None  # how late a missed one may still start; None: it is skipped
    owner: str | None = None


class GameDay(msgspec.Struct, frozen=True):
    """One game day file, with its experiments already read."""

    path: Path
    title: str
    environment: str | None
    people: People
    schedule: Schedule | None
    experiments: tuple[Experiment, ...]
    location: Location


class Runbook(msgspec.Struct, frozen=True):
    """A Markdown runbook: front matter, and which of the expected sections it has, with their steps."""

    path: Path
    name: str  # the file's stem, by which it is referred to
    title: str
    alerts: tuple[str, ...] = ()
    service: str | None = None
    owner: str | None = None
    reviewed: date | None = None
    escalation: str | None = None
    dashboards: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    missing_sections: tuple[str, ...] = ()


class EnvironmentKind(StrEnum):
    LAB = "lab"
    DECLARED = "declared"


class Credentials(msgspec.Struct, frozen=True):
    """What a source lets us in by. Never shown, and never written down."""

    token: str | None = None  # a bearer token, or the service's own kind of key
    user: str | None = None  # with `password`, for basic authentication
    password: str | None = None
    api_key: str | None = None  # Datadog's two
    application_key: str | None = None

    def __repr__(self) -> str:
        return "Credentials()"

    def headers(self) -> dict[str, str]:
        """The Authorization header (RFC 6750, RFC 7617), where there is a token or a user."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token}"}
        if self.user is not None:
            pair = f"{self.user}:{self.password or ''}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}


class SignalsConfig(msgspec.Struct, frozen=True):
    """Where golden signals are read. `queries` maps "<kind>.<measure>" to the user's own query (platform: custom);
    `$service` in it is replaced by the service's name and `$window` by the rate window."""

    source: str
    url: str
    platform: str
    queries: tuple[tuple[str, str], ...] = ()
    window_s: float | None = None
    timeout_s: float = 3.0
    stale_after_s: float = 15.0
    credentials: Credentials = Credentials()


WATCHDOGS = ("Watchdog", "DeadMansSwitch")


class AlertsConfig(msgspec.Struct, frozen=True):
    """Where alerts are seen: the rules' Prometheus, the Alertmanager, and optionally a receiver's record."""

    source: str
    url: str
    rules_url: str | None = None  # default: the signals' URL when that is a Prometheus
    receiver_url: str | None = None
    timeout_s: float = 3.0
    watchdogs: tuple[str, ...] = WATCHDOGS  # names that an alert which always fires may have; none: there is none
    credentials: Credentials = Credentials()


class DashboardsConfig(msgspec.Struct, frozen=True):
    """Where dashboards are looked at. `url` is None where the source knows its own; `tags`: every dashboard that has
    one of them belongs to every experiment. With `annotate`, what happens in a run is noted on them."""

    source: str
    url: str | None = None
    tags: tuple[str, ...] = ()
    annotate: bool = True
    timeout_s: float = 10.0
    credentials: Credentials = Credentials()


class SlackConfig(msgspec.Struct, frozen=True):
    """Where Slack is told of a session: a channel with a bot's `token`, or an incoming `webhook`. With an `app_token`,
    it can be steered from there, too. `allowed`: who may end it, else everybody in the game day; `people`: members by
    our handles; `quiet`: the session's message, its abort and its end alone."""

    channel: str = ""
    token: str | None = None
    app_token: str | None = None
    webhook: str | None = None
    url: str = "https://slack.com/api/"
    quiet: bool = False
    allowed: tuple[str, ...] = ()
    people: tuple[tuple[str, str], ...] = ()
    templates: Path | None = None
    timeout_s: float = 10.0

    def __repr__(self) -> str:  # without the tokens
        return f"SlackConfig({self.channel!r})"


class ChannelConfig(msgspec.Struct, frozen=True):
    """Another channel, by the `kind` under which it is registered (entry points `gameday.channels`)."""

    kind: str
    webhook: str | None = None
    secret: str | None = None
    quiet: bool = False
    timeout_s: float = 10.0
    options: JsonObject = {}  # a third party's own

    def __repr__(self) -> str:
        return f"ChannelConfig({self.kind!r})"


class OnCallConfig(msgspec.Struct, frozen=True):
    """Where it is known who is on call. `path` is that of a file, in place of a `url`; `schedule` is whose
    schedule it is for services that name none of their own; `within_s`: how far ahead a hole is looked for."""

    source: str
    url: str | None = None
    path: Path | None = None
    schedule: str | None = None
    within_s: float = 14 * 86400.0
    timeout_s: float = 10.0
    credentials: Credentials = Credentials()


class Hours(msgspec.Struct, frozen=True):
    """Weekly hours in which a run may start; days count from Monday = 0; minutes since midnight."""

    days: frozenset[int]
    start_minute: int
    end_minute: int
    timezone: str
    text: str


class ErrorBudget(msgspec.Struct, frozen=True):
    """How much of the error budget must be left: the query answers with a share, 1 for all of it."""

    query: str
    or_equal: bool
    least: float
    text: str  # as written: "> 20%"


class Incidents(msgspec.Struct, frozen=True):
    """Where it is seen whether an incident is open: a query for their number, or a URL whose JSON has a list of them,
    under the keys of `list_at`, which are parted by dots."""

    query: str | None = None
    url: str | None = None
    list_at: str = "incidents"
    timeout_s: float = 5.0
    credentials: Credentials = Credentials()


class Approval(msgspec.Struct, frozen=True):
    """That somebody else must have consented: one of `by`, if any are named, within the last `within_s`. `file`: where
    consent is kept, in place of the project's own."""

    by: tuple[str, ...] = ()
    within_s: float = 86400.0
    file: Path | None = None


class Policy(msgspec.Struct, frozen=True):
    """What a run in this environment may do at most. `unattended`: what must hold besides when nobody is there."""

    max_blast_radius: float | None = None  # a share between 0 and 1
    namespaces: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()  # names or patterns
    hours: Hours | None = None
    confirm: bool = False
    services: tuple[str, ...] = ()  # names or patterns, as all that follow
    faults: tuple[str, ...] = ()  # none: any
    faults_refused: tuple[str, ...] = ()
    error_budget: ErrorBudget | None = None
    incidents: Incidents | None = None
    approval: Approval | None = None
    unattended: "Policy | None" = None
    places: tuple[tuple[str, str], ...] = ()  # where each rule stands: "policy.hours, gameday.yaml:12"

    def place(self, rule: str) -> str:
        """Where the rule stands, for the end of a message: " (policy.hours, gameday.yaml:12)"."""
        return next((f" ({place})" for key, place in self.places if key == rule), "")


class Environment(msgspec.Struct, frozen=True):
    """Where it runs. The command line turns one of kind LAB into a DECLARED one once the lab is up."""

    name: str
    kind: EnvironmentKind
    signals: SignalsConfig | None = None
    alerts: AlertsConfig | None = None
    inventory: Path | None = None
    cluster: ClusterRef | None = None
    clusters: tuple[tuple[str, ClusterRef], ...] = ()  # further ones, by the names that targets use
    policy: Policy = Policy()
    dashboards: DashboardsConfig | None = None
    on_call: OnCallConfig | None = None
    slack: SlackConfig | None = None
    channels: tuple[ChannelConfig, ...] = ()  # further ones
    # Values among all these that must never be shown.
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:  # without the secrets
        return f"Environment({self.name!r})"


class Service(msgspec.Struct, frozen=True):
    """A service of the project: who owns it, which runbooks and dashboards it has, what it depends on.

    A dashboard is named by its URL, its uid, or `tag:…`; `on_call` is what the environment's source calls its schedule.
    """

    name: str
    owner: str | None = None
    runbooks: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    dashboards: tuple[str, ...] = ()
    on_call: str | None = None


class TrackerConfig(msgspec.Struct, frozen=True):
    """Where action items are carried to. `repository` is GitHub's, `project` and `issue_type` are Jira's; `assignees`:
    owners of actions, and the accounts that they are in the tracker."""

    tracker: str
    url: str | None = None  # None: the tracker's usual one
    repository: str | None = None
    project: str | None = None
    issue_type: str = "Task"
    labels: tuple[str, ...] = ()
    assignees: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 10.0
    credentials: Credentials = Credentials()
    secrets: tuple[str, ...] = ()  # values among all these that must never be shown

    def __repr__(self) -> str:  # without the secrets
        return f"TrackerConfig({self.tracker!r})"


class Project(msgspec.Struct, frozen=True):
    """gameday.yaml, with the runbooks found under `runbooks/` beside it."""

    path: Path  # of gameday.yaml
    name: str
    environments: tuple[Environment, ...]
    services: tuple[Service, ...]
    history: str
    runbooks: tuple[Runbook, ...] = ()
    stop_switch_file: Path | None = None  # where gameday.yaml says that it is
    rules: tuple[Path, ...] = ()  # files and directories with alerting rules
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of people: names, without `@`, and members
    report_url: str | None = None  # where reports can be read by whoever is not at this machine; ends in a slash
    actions: TrackerConfig | None = None  # as it is written: `load_tracker` fills in its `${VARIABLES}`
    blackouts: tuple[Blackout, ...] = ()  # of every game day

    @property
    def root(self) -> Path:
        """The directory that holds gameday.yaml, and `.gameday/`."""
        return self.path.parent

    @property
    def stop_switch(self) -> Path:
        """The file that keeps runs from starting, and ends those that run, while it is there."""
        return self.stop_switch_file or self.root / ".gameday" / "stop"

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, or None."""
        return next((environment for environment in self.environments if environment.name == name), None)

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def runbook(self, name: str) -> Runbook | None:
        """The runbook of that name, or None."""
        return next((runbook for runbook in self.runbooks if runbook.name == name), None)

    def group(self, handle: str) -> tuple[str, ...] | None:
        """The members of the group that a handle, with or without `@`, names, or None."""
        return next((members for name, members in self.groups if name == handle.removeprefix("@")), None)
