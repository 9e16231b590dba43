"""An environment: its sources of signals, alerts, dashboards and on-call, its channels, and its policy."""

from base64 import b64encode
from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.common.json import JsonObject
from gameday.kubernetes.reference import ClusterRef


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
