"""What Prometheus, Alertmanager and the receiver may answer, and what is made of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest
from loopback import Request, Respond, answer, serve, vector

from gameday.coverage import AlertSource, AlertSourceError, AlertsSeen, SeenAlert, Survey, Surveyor, open_alerts
from gameday.journal.events import AlertRuleInfo, AlertState
from gameday.spec.model import AlertsConfig, Environment, EnvironmentKind, SignalsConfig

TIMEOUT_S = 1.0
LABELS = {"alertname": "Down", "service": "payments", "severity": "page"}
SET = (("service", "payments"), ("severity", "page"))


def open_at(url: str, *, receiver: bool = False) -> AlertSource:
    config = AlertsConfig("alertmanager", url, url, f"{url}/pager" if receiver else None, TIMEOUT_S)
    source = open_alerts(Environment("test", EnvironmentKind.DECLARED, alerts=config))
    assert source
    return source


def ask[T](
    respond: Respond, question: Callable[[AlertSource], Coroutine[None, None, T]], *, receiver: bool = False
) -> T:
    async def run() -> T:
        async with serve(respond) as server:
            source = open_at(server.url, receiver=receiver)
            try:
                return await question(source)
            finally:
                await source.close()

    return asyncio.run(run())


def look(respond: Respond, *, receiver: bool = False) -> AlertsSeen:
    return ask(respond, lambda source: source.look(), receiver=receiver)


def prometheus(*alerts: dict[str, object]) -> bytes:
    return answer({"status": "success", "data": {"alerts": alerts}})


def active(state: str, **labels: str) -> dict[str, object]:
    annotations = {"summary": "It is down"}
    active_at = "2026-01-01T00:00:10.123456789Z"
    return {"labels": LABELS | labels, "annotations": annotations, "state": state, "activeAt": active_at, "value": "1"}


def routed(state: str = "active", receivers: tuple[str, ...] = ("sre",), **status: list[str]) -> dict[str, object]:
    return {
        "labels": LABELS | {"cluster": "eu"},
        "annotations": {"description": "It is down"},
        "startsAt": "2026-01-01T01:00:12.000+01:00",
        "receivers": [{"name": name} for name in receivers],
        "status": {"state": state, "silencedBy": [], "inhibitedBy": []} | status,
    }


def pipeline(
    prometheus_says: bytes | None, alertmanager_says: bytes | None, pager_says: bytes | None = None
) -> Respond:
    def respond(request: Request) -> bytes | None:
        paths = {
            "/api/v1/alerts": prometheus_says,
            "/api/v2/alerts": alertmanager_says,
            "/pager/notifications": pager_says,
        }
        return paths[request.path]

    return respond


def test_pending_since_when() -> None:
    seen = look(pipeline(prometheus(active("pending")), answer([])))
    [alert] = seen.alerts
    assert alert == SeenAlert("Down", SET, AlertState.PENDING, "prometheus", alert.since, "It is down")
    assert alert.since == pytest.approx(1767225610.123, abs=0.001)
    assert seen.unreachable == ()


def test_firing_takes_its_time_from_alertmanager_and_the_alert_is_notified() -> None:
    firing, notified = look(pipeline(prometheus(active("firing")), answer([routed()]))).alerts
    assert (firing.state, firing.since) == (AlertState.FIRING, 1767225612.0)
    assert (notified.state, notified.source, notified.since) == (AlertState.NOTIFIED, "alertmanager", None)
    assert ("cluster", "eu") in notified.labels


def test_firing_not_yet_known_to_alertmanager_has_no_time() -> None:
    other = {**active("firing"), "labels": LABELS | {"service": "inventory"}}
    firing = look(pipeline(prometheus(other), answer([routed()]))).alerts[0]
    assert firing.since is None


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        (routed("suppressed", silencedBy=["f00"]), "silenced in Alertmanager (silence f00)"),
        (routed("suppressed", inhibitedBy=["f00"]), "inhibited in Alertmanager by another alert"),
        (routed("unprocessed"), "unprocessed in Alertmanager"),
        (routed(receivers=()), "routed to no receiver"),
    ],
)
def test_what_nobody_is_told_is_not_notified(alert: dict[str, object], why: str) -> None:
    seen = look(pipeline(prometheus(active("firing")), answer([alert])))
    assert [found.state for found in seen.alerts] == [AlertState.FIRING]
    assert seen.suppressed == (("Down", why),)


def note(status: str, at: float, **labels: str) -> dict[str, object]:
    return {"name": "Down", "labels": LABELS | labels, "status": status, "received_at": at}


def test_a_receivers_record_says_what_arrived() -> None:
    record = [
        note("firing", 1.0),
        note("resolved", 2.0),
        note("firing", 3.0),
        note("firing", 4.0),  # repeated
        note("firing", 5.0, instance="b"),
        note("resolved", 6.0, instance="b"),
    ]
    seen = look(pipeline(prometheus(), answer([routed()]), answer(record)), receiver=True)
    assert seen.alerts == (SeenAlert("Down", SET, AlertState.NOTIFIED, "receiver", 3.0),)


PARTS = ("prometheus", "alertmanager", "receiver")
GOOD = (prometheus(active("firing")), answer([routed()]), answer([note("firing", 1.0)]))
BAD = {
    "hangs": (None, "no answer within 1 s"),
    "fails": (answer("oops", 500), "HTTP 500: oops"),
    "speaks HTML": (answer("<html>"), "the answer is not as expected"),
    "speaks of something else": (answer({"a": 1}), "the answer is not as expected"),
    "redirects": (answer("", 302, "Location: /login\r\n"), "redirected to /login"),
}


@pytest.mark.parametrize("part", range(3), ids=PARTS)
@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD.keys())
def test_one_part_that_fails_hides_no_other(part: int, raw: bytes | None, reason: str) -> None:
    answers: list[bytes | None] = list(GOOD)
    answers[part] = raw
    began = time.monotonic()
    seen = look(pipeline(*answers), receiver=True)
    assert time.monotonic() - began < TIMEOUT_S + 20.0
    [(name, why)] = seen.unreachable
    assert name == PARTS[part]
    assert reason in why
    shown = {alert.source for alert in seen.alerts}
    assert shown == {"prometheus", "receiver"} - {PARTS[part]}


def test_prometheus_says_no() -> None:
    no = answer({"status": "error", "errorType": "unavailable", "error": "starting"}, 200)
    assert look(pipeline(no, answer([]))).unreachable == (("prometheus", "Prometheus says unavailable: starting"),)


RULE = {
    "name": "Down",
    "query": "up == 0",
    "duration": 90,
    "keepFiringFor": 300,
    "labels": {"severity": "page", "service": "payments"},
    "annotations": {"runbook": "http://r", "dashboard_url": "http://d"},
    "state": "inactive",
    "type": "alerting",
    "alerts": [],
    "health": "ok",
}


def test_rules() -> None:
    bare = {"name": "Bare", "query": "x", "duration": 0, "state": "firing", "type": "alerting"}
    bare |= {"health": "err", "lastError": "no such thing"}
    recording = {"name": "no:alert", "query": "y", "type": "recording"}
    body = {"status": "success", "data": {"groups": [{"interval": 15, "rules": [RULE]}, {"rules": [recording, bare]}]}}
    rules = ask(lambda _: answer(body), lambda source: source.rules())
    assert rules == (
        AlertRuleInfo(
            name="Down",
            expression="up == 0",
            for_s=90,
            severity="page",
            service="payments",
            runbook_url="http://r",
            dashboard="http://d",
            interval_s=15,
            keep_firing_for_s=300,
            labels={"severity": "page", "service": "payments"},
        ),
        AlertRuleInfo(name="Bare", expression="x", for_s=0, state="firing", error="no such thing"),
    )


@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD.keys())
def test_rules_that_cannot_be_read(raw: bytes | None, reason: str) -> None:
    with pytest.raises(AlertSourceError) as caught:
        ask(lambda _: raw, lambda source: source.rules())
    assert "cannot be read from Prometheus" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "has_series", "config", "labels"),
    [
        ("sum by (team) (up) > 0 unless up", True, "global: {}", {"job", "team"}),
        ("vector(1)", True, "global: {}", set()),
        ("up > 0", False, "global: {}", None),  # of series that are not there nothing is known
        ("up > 0", True, None, None),  # nor what is added to each alert on its way
        ('label_replace(up, "team", "a", "", "") > 0', True, "global: {}", None),
        ("absent(up)", True, "global: {}", None),
    ],
)
def test_the_labels_that_series_have(
    expression: str, has_series: bool, config: str | None, labels: set[str] | None
) -> None:
    def respond(request: Request) -> bytes:
        match request.path:
            case "/api/v1/labels":
                assert request.query["match[]"] == "up"
                return answer({"status": "success", "data": ["job", "team"]})
            case "/api/v1/query":
                return answer(vector("1") if has_series else vector())
            case "/api/v1/status/config" if config:
                return answer({"status": "success", "data": {"yaml": config}})
        return answer("", 404)

    rule = AlertRuleInfo(name="A", expression=expression, for_s=0)

    async def survey(source: AlertSource) -> Survey:
        assert isinstance(source, Surveyor)
        return await source.survey([rule])

    assert ask(respond, survey).expressions[expression].labels == labels


def environment(source: str = "alertmanager", **settings: str) -> Environment:
    signals = SignalsConfig("prometheus", "http://signals:9090", "envoy")
    alerts = AlertsConfig(source, "http://alerts:9093", **settings)
    return Environment("test", EnvironmentKind.DECLARED, signals=signals, alerts=alerts)


def test_no_alerts_no_source() -> None:
    assert open_alerts(Environment("test", EnvironmentKind.DECLARED)) is None


def test_the_rules_are_where_the_signals_are_unless_said_otherwise() -> None:
    assert open_alerts(environment()) is not None
    alone = Environment("test", EnvironmentKind.DECLARED, alerts=AlertsConfig("alertmanager", "http://a"))
    with pytest.raises(AlertSourceError, match="`rules-url` is missing"):
        open_alerts(alone)


def test_mistakes_are_named() -> None:
    with pytest.raises(AlertSourceError, match=r"no alert source `alertmanger`.*did you mean `alertmanager`\?"):
        open_alerts(environment("alertmanger"))
    with pytest.raises(AlertSourceError, match="expected http:// or https://"):
        open_alerts(environment(receiver_url="pager:80"))
