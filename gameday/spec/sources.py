"""Reads where an environment's signals, alerts and dashboards are asked for, and who is on call."""

from pathlib import Path
from urllib.parse import urlsplit

from gameday.spec.conditions import is_measure
from gameday.spec.model import (
    WATCHDOGS,
    AlertsConfig,
    Credentials,
    DashboardsConfig,
    OnCallConfig,
    SignalKind,
    SignalsConfig,
)
from gameday.spec.nodes import Scalar
from gameday.spec.reader import Fields, describe
from gameday.spec.units import UnitError, excerpt, parse_positive_duration
from gameday.spec.variables import VARIABLE

_FRESHNESS = "freshness"  # among queries: how to ask for the age, in seconds, of the data behind the others


def read_url(text: str, expected: str = "a URL such as http://prometheus:9090") -> str:
    """An http or https URL, or a text with `${VARIABLES}`. Raises UnitError."""
    if VARIABLE.search(text):
        return text  # it will be looked at when it is filled in
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        # What is no URL may still have a password in it.
        raise UnitError(excerpt(text.rpartition("@")[2]), expected)
    return text


def read_signals(fields: Fields) -> SignalsConfig | None:
    """`signals` of an environment; mistakes are noted."""
    signals = fields.mapping("signals", "signals, such as {source: prometheus, url: …, platform: istio}")
    if signals is None:
        return None
    signals.require("url", "where the source is, such as http://prometheus:9090")
    if not signals.has("queries"):
        signals.require("platform", "the name of a platform, or queries of your own")
        if signals.text("platform") == "custom":
            signals.file.mistake(signals.get("platform"), "`custom` without `queries`", "queries of your own")
    default = SignalsConfig("prometheus", "", "custom")
    config = SignalsConfig(
        source=signals.text("source", "the name of a source, such as prometheus") or default.source,
        url=signals.scalar("url", read_url) or "",
        platform=signals.text("platform", "the name of a platform, such as envoy") or default.platform,
        queries=_queries(signals),
        window_s=signals.scalar("window", parse_positive_duration),
        timeout_s=signals.scalar("timeout", parse_positive_duration) or default.timeout_s,
        stale_after_s=signals.scalar("stale-after", parse_positive_duration) or default.stale_after_s,
        credentials=read_credentials(signals),
    )
    signals.close()
    return config


def _queries(signals: Fields) -> tuple[tuple[str, str], ...]:
    fields = signals.mapping("queries", "queries, such as {errors: {ratio: …}}")
    if fields is None:
        return ()
    queries = []
    freshness = fields.text(_FRESHNESS, "a query for the age of the data")
    if freshness:
        queries.append((_FRESHNESS, freshness))
    for kind in SignalKind:
        measures = fields.mapping(kind, f"queries for {kind}")
        if measures is None:
            continue
        for name, where, node in measures.rest():
            query = measures.parse(node, str, "a query")
            if name == "change" or not is_measure(kind, name):
                measures.file.mistake(where, f"the measure {excerpt(name)}", f"a measure of {kind}")
            elif query is not None:
                queries.append((f"{kind}.{name}", query))
    fields.close()
    return tuple(queries)


def read_alerts(fields: Fields) -> AlertsConfig | None:
    """`alerts` of an environment; mistakes are noted."""
    alerts = fields.mapping("alerts", "alerts, such as {source: alertmanager, url: …}")
    if alerts is None:
        return None
    alerts.require("url", "where the source is, such as http://alertmanager:9093")
    config = AlertsConfig(
        source=alerts.text("source", "the name of a source, such as alertmanager") or "alertmanager",
        url=alerts.scalar("url", read_url) or "",
        rules_url=alerts.scalar("rules-url", read_url),
        receiver_url=alerts.scalar("receiver-url", read_url),
        timeout_s=alerts.scalar("timeout", parse_positive_duration) or 3.0,
        watchdogs=_watchdogs(alerts),
        credentials=read_credentials(alerts),
    )
    alerts.close()
    return config


def _watchdogs(alerts: Fields) -> tuple[str, ...]:
    node = alerts.get("watchdog")
    if isinstance(node, Scalar) and node.value is False:
        return ()
    expected = "the name of an alert that always fires, or false"
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        alerts.file.mistake(node, describe(node), expected)
        return ()
    name = alerts.text("watchdog", expected)
    return (name,) if name else WATCHDOGS


def read_dashboards(fields: Fields) -> DashboardsConfig | None:
    """`dashboards` of an environment; mistakes are noted."""
    dashboards = fields.mapping("dashboards", "dashboards, such as {source: grafana, url: …, token: …}")
    if dashboards is None:
        return None
    dashboards.require("url", "where the source is, such as https://grafana.example.com")
    default = DashboardsConfig("grafana")
    config = DashboardsConfig(
        source=dashboards.text("source", "the name of a source, such as grafana") or default.source,
        url=dashboards.scalar("url", read_url),
        tags=tuple(text for text, _ in dashboards.texts("tags", "a list of dashboards' tags")),
        annotate=dashboards.boolean("annotate") or not dashboards.has("annotate"),
        timeout_s=dashboards.scalar("timeout", parse_positive_duration) or default.timeout_s,
        credentials=read_credentials(dashboards),
    )
    dashboards.close()
    return config


def read_on_call(fields: Fields, root: Path) -> OnCallConfig | None:
    """`on-call` of an environment; mistakes are noted. `root` is what a path in it is relative to."""
    on_call = fields.mapping("on-call", "who is on call, such as {source: pagerduty, token: …}")
    if on_call is None:
        return None
    on_call.require("source", "the name of a source: file, pagerduty or opsgenie")
    path, url = on_call.text("path", "the path of a file"), on_call.scalar("url", read_url)
    source = on_call.text("source", "the name of a source, such as pagerduty") or ""
    if source == "file":
        on_call.require("path", "the path of a file, such as on-call.yaml")
    default = OnCallConfig(source)
    config = OnCallConfig(
        source=source,
        url=url,
        path=root / Path(path).expanduser() if path else None,
        schedule=on_call.text("schedule", "what the source calls a schedule"),
        within_s=on_call.scalar("within", parse_positive_duration) or default.within_s,
        timeout_s=on_call.scalar("timeout", parse_positive_duration) or default.timeout_s,
        credentials=read_credentials(on_call),
    )
    on_call.close()
    return config


def read_credentials(fields: Fields) -> Credentials:
    """What lets us in, as it stands beside a URL; mistakes are noted."""
    read = Credentials(
        token=fields.text("token", "a token, such as ${TOKEN}"),
        user=fields.text("user", "a user's name"),
        password=fields.text("password", "a password, such as ${PASSWORD}"),
        api_key=fields.text("api-key", "a key, such as ${DD_API_KEY}"),
        application_key=fields.text("application-key", "a key, such as ${DD_APP_KEY}"),
    )
    if read.password is not None and read.user is None:
        fields.file.mistake(fields.key("password"), "a password without a `user`", "both")
    return read
