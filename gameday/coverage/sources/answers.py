"""What Prometheus and Alertmanager answer, and how they are asked: the formats of their HTTP APIs.

Prometheus's /api/v1 (https://prometheus.io/docs/prometheus/latest/querying/api/), Alertmanager's /api/v2 (its
openapi.yaml), and the receiver's record: GET <receiver>/notifications is a list, oldest first, of {"name", "labels",
"status": "firing" or "resolved", "received_at": Unix time}.
"""

from datetime import datetime
from typing import Literal

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError

MAX_BYTES = 16 * 1024 * 1024  # thousands of alerts, or the rules of a large organisation

type Labels = dict[str, str]


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    query: str
    duration: float = 0.0  # seconds
    labels: Labels = {}
    annotations: Labels = {}
    state: str = "inactive"
    type: str = "alerting"
    keep_firing_for: float = 0.0
    health: str = "unknown"
    last_error: str = ""


class Group(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...] = ()
    interval: float | None = None  # seconds


class Groups(msgspec.Struct, frozen=True):
    groups: tuple[Group, ...] = ()


class ActiveAlert(msgspec.Struct, frozen=True, rename="camel"):
    """`active_at` is when it became pending, also of an alert that fires."""

    labels: Labels
    state: Literal["pending", "firing", "inactive"]
    annotations: Labels = {}
    active_at: datetime | None = None


class ActiveAlerts(msgspec.Struct, frozen=True):
    alerts: tuple[ActiveAlert, ...] = ()


class Body[T](msgspec.Struct, frozen=True, rename="camel"):
    """The envelope of Prometheus's answers."""

    status: str
    data: T | None = None
    error_type: str = ""
    error: str = ""


class Receiver(msgspec.Struct, frozen=True):
    name: str


class Status(msgspec.Struct, frozen=True, rename="camel"):
    state: str  # "active", "suppressed" or "unprocessed"
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


class RoutedAlert(msgspec.Struct, frozen=True, rename="camel"):
    """An alert in Alertmanager; `starts_at` is when Prometheus says that it began to fire."""

    labels: Labels
    starts_at: datetime
    status: Status
    receivers: tuple[Receiver, ...] = ()
    annotations: Labels = {}


class Notification(msgspec.Struct, frozen=True):
    name: str
    labels: Labels
    status: Literal["firing", "resolved"]
    received_at: float


class Sample(msgspec.Struct, frozen=True):
    """A series of an instant query's answer."""

    metric: Labels


class QueryResult(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: msgspec.Raw = msgspec.Raw(b"[]")


class LabelNames(msgspec.Struct, frozen=True):
    """The answer to /api/v1/labels."""

    data: frozenset[str]


class Target(msgspec.Struct, frozen=True, rename="camel"):
    labels: Labels
    scrape_interval: str = ""


class Targets(msgspec.Struct, frozen=True, rename="camel"):
    active_targets: tuple[Target, ...] = ()


class ServedConfig(msgspec.Struct, frozen=True):
    """Prometheus's configuration, as YAML."""

    yaml: str


class Original(msgspec.Struct, frozen=True):
    original: str


class AlertmanagerStatus(msgspec.Struct, frozen=True):
    """Its configuration, as YAML."""

    config: Original


class SilenceMatcher(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


class SilenceStatus(msgspec.Struct, frozen=True):
    state: str  # "expired", "active" or "pending"


class ServedSilence(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    status: SilenceStatus
    matchers: tuple[SilenceMatcher, ...]
    starts_at: datetime
    ends_at: datetime
    comment: str = ""


RULES = msgspec.json.Decoder(Body[Groups])
ACTIVE = msgspec.json.Decoder(Body[ActiveAlerts])
ROUTED = msgspec.json.Decoder(tuple[RoutedAlert, ...])
NOTIFICATIONS = msgspec.json.Decoder(tuple[Notification, ...])
QUERY = msgspec.json.Decoder(Body[QueryResult])
SAMPLES = msgspec.json.Decoder(tuple[Sample, ...])
LABELS = msgspec.json.Decoder(LabelNames)
TARGETS = msgspec.json.Decoder(Body[Targets])
CONFIG = msgspec.json.Decoder(Body[ServedConfig])
STATUS = msgspec.json.Decoder(AlertmanagerStatus)
SILENCES = msgspec.json.Decoder(tuple[ServedSilence, ...])


async def ask[T](client: HttpClient, url: URL, decoder: msgspec.json.Decoder[T], *, secret: bool = False) -> T:
    """The answer to a GET. Raises HttpError, whose message repeats nothing of a `secret` answer."""
    answer = await client.get(url, max_bytes=MAX_BYTES)
    try:
        if answer.status == 200:
            return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if secret:
            raise HttpError("the answer is not as expected") from None
        raise HttpError(f"the answer is not as expected ({error}): {answer.excerpt() or 'empty'}") from error
    said = "" if secret else f": {answer.excerpt() or 'an empty answer'}"
    raise HttpError(f"HTTP {answer.status}{said}")


def data_of[T](body: Body[T]) -> T:
    """What is in Prometheus's envelope. Raises HttpError where there is only an error."""
    if body.data is None:
        raise HttpError(f"Prometheus says {body.error_type or body.status}: {body.error or 'no reason'}")
    return body.data
