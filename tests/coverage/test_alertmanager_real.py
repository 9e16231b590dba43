"""An alert's whole way, through a real Prometheus and a real Alertmanager to a pager."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring_stack import Stack, ask, start_stack, wait_for

from gameday.coverage import (
    AlertSource,
    AlertsSeen,
    AlertWatch,
    Evidence,
    PingOutcome,
    PingResult,
    check_alert,
    check_pipeline,
    examine,
    open_alerts,
)
from gameday.coverage.sources.alertmanager import Alertmanager
from gameday.journal.events import AlertObserved, AlertState
from gameday.spec.location import Location
from gameday.spec.model import AlertsConfig, Environment, EnvironmentKind, ExpectedAlert

pytestmark = pytest.mark.lab

PENDING, FIRING = AlertState.PENDING, AlertState.FIRING
NOTIFIED, RESOLVED = AlertState.NOTIFIED, AlertState.RESOLVED
BROKEN = 'broken{service="payments"}'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(tmp_path_factory.mktemp("alerts")) as stack:
        stack.exporter.gauges[BROKEN] = 0
        yield stack


async def with_source[T](stack: Stack, work: Callable[[AlertSource], Awaitable[T]], *, receiver: bool = True) -> T:
    pager = stack.pager_url if receiver else None
    config = AlertsConfig("alertmanager", stack.alertmanager, stack.prometheus, pager)
    source = open_alerts(Environment("test", EnvironmentKind.DECLARED, alerts=config))
    assert source
    try:
        return await work(source)
    finally:
        await source.close()


async def until(source: AlertSource, done: Callable[[AlertsSeen], bool], seconds: float = 20.0) -> AlertsSeen:
    deadline = time.monotonic() + seconds
    while not done(seen := await source.look()):
        assert time.monotonic() < deadline, f"still {seen}"
        await asyncio.sleep(0.2)
    return seen


def named(seen: AlertsSeen, name: str) -> set[AlertState]:
    return {alert.state for alert in seen.alerts if alert.name == name}


def calm(seen: AlertsSeen) -> bool:
    return {alert.name for alert in seen.alerts} == {"Watchdog"} and {NOTIFIED, FIRING} == named(seen, "Watchdog")


async def follow(source: AlertSource, stack: Stack) -> tuple[float, float, list[AlertObserved], Evidence]:
    """Break it, wait for all that must come, mend it, wait until all is silent; what the watch saw of it."""
    watch = AlertWatch(0, [])
    stack.exporter.gauges[BROKEN] = 0
    watch.before(await until(source, calm))
    events: list[AlertObserved] = []

    async def watch_until(done: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"seen {events}"
            events.extend(watch.observe(await source.look(), time.time()))
            await asyncio.sleep(0.2)

    def count(state: AlertState, name: str) -> int:
        return sum(event.state is state and event.name == name for event in events)

    broken_at = time.time()
    stack.exporter.gauges[BROKEN] = 1
    await watch_until(lambda: count(FIRING, "AfterTwoSeconds") == 1)
    await watch_until(lambda: bool(count(NOTIFIED, "AfterTwoSeconds") or watch.evidence.suppressed))
    mended_at = time.time()
    stack.exporter.gauges[BROKEN] = 0
    await watch_until(lambda: count(RESOLVED, "AfterTwoSeconds") == 1 and count(RESOLVED, "AtOnce") == 1)
    return broken_at, mended_at, events, watch.evidence


def test_the_rules(stack: Stack) -> None:
    rules = asyncio.run(with_source(stack, lambda source: source.rules()))
    by_name = {rule.name: rule for rule in rules}
    assert set(by_name) > {"AfterTwoSeconds", "AtOnce", "Watchdog"}
    assert by_name["Lasting"].keep_firing_for_s == 300
    assert {rule.interval_s for rule in rules} == {1.0, 30.0}
    at_once, after = by_name["AtOnce"], by_name["AfterTwoSeconds"]
    assert (at_once.severity, at_once.for_s, at_once.runbook_url) == ("page", 0.0, "runbooks/a.md")
    assert (after.service, after.for_s, after.runbook_url, after.expression) == ("payments", 2.0, None, "broken > 0")
    assert by_name["Watchdog"].dashboard == "http://d"


def test_from_the_fault_to_the_pager_and_back(stack: Stack) -> None:
    broken_at, mended_at, events, evidence = asyncio.run(with_source(stack, lambda source: follow(source, stack)))
    old = [event for event in events if event.existed_before]
    assert {event.name for event in old} == {"Watchdog"}
    new = {(event.name, event.state): event for event in events if not event.existed_before}
    order = [event.state for event in events if event.name == "AfterTwoSeconds"]
    assert order[:2] == [PENDING, FIRING]
    assert set(order[2:]) == {NOTIFIED, RESOLVED}
    assert {state for name, state in new if name == "AtOnce"} == {FIRING, NOTIFIED, RESOLVED}

    pending, firing = new["AfterTwoSeconds", PENDING], new["AfterTwoSeconds", FIRING]
    assert pending.since
    assert broken_at - 0.1 <= pending.since <= pending.at
    assert 1.9 <= firing.at - pending.since <= 5
    assert firing.labels["service"] == "payments"
    assert "alertname" not in firing.labels
    notified = new["AfterTwoSeconds", NOTIFIED]
    assert notified.source == "receiver"
    assert notified.since
    assert firing.at - 1.5 <= notified.since <= notified.at
    assert new["AtOnce", FIRING].summary == "payments is broken"
    assert new["AfterTwoSeconds", RESOLVED].at > mended_at
    assert evidence.unanswered == ()


def test_alertmanager_knows_since_when_it_fires(stack: Stack) -> None:
    async def work(source: AlertSource) -> AlertsSeen:
        stack.exporter.gauges[BROKEN] = 1
        try:
            return await until(source, lambda seen: {FIRING, NOTIFIED} <= named(seen, "AfterTwoSeconds"))
        finally:
            stack.exporter.gauges[BROKEN] = 0

    began = time.time()
    seen = asyncio.run(with_source(stack, work, receiver=False))
    firing = next(a for a in seen.alerts if a.name == "AfterTwoSeconds" and a.state is FIRING)
    notified = next(a for a in seen.alerts if a.name == "AfterTwoSeconds" and a.state is NOTIFIED)
    assert firing.since
    assert began + 2 <= firing.since <= time.time()
    assert notified.source == "alertmanager"
    # The external label is added on the way to Alertmanager: the two sets are not the same.
    assert dict(notified.labels) == dict(firing.labels) | {"cluster": "test"}


def test_a_silenced_alert_fires_and_tells_nobody(stack: Stack) -> None:
    # A silence would hold back what earlier tests have still to say.
    asyncio.run(with_source(stack, lambda source: until(source, calm)))
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "alertname", "value": "AfterTwoSeconds|AtOnce", "isRegex": True, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
        "createdBy": "test",
        "comment": "test",
    }
    answer = ask(f"{stack.alertmanager}/api/v2/silences", silence)
    assert isinstance(answer, dict), answer
    before = len(stack.pager.record)
    _, _, events, evidence = asyncio.run(with_source(stack, lambda source: follow(source, stack)))
    assert FIRING in {event.state for event in events if event.name == "AfterTwoSeconds"}
    assert NOTIFIED not in {event.state for event in events if event.name == "AfterTwoSeconds"}
    assert dict(evidence.suppressed)["AfterTwoSeconds"] == f"silenced in Alertmanager (silence {answer['silenceID']})"
    assert not [entry for entry in stack.pager.record[before:] if entry["status"] == "firing"]


def test_what_preflight_says_of_each_way_in_which_a_rule_can_be_broken(stack: Stack) -> None:
    async def work(source: AlertSource) -> dict[str, list[str]]:
        assert isinstance(source, Alertmanager)
        await until(source, lambda seen: {NOTIFIED, FIRING} <= named(seen, "Watchdog"))
        rules = [rule for rule in await source.rules() if rule.name != "Watchdog"]
        survey = await source.survey(rules)
        assert survey.unanswered == ()
        assert survey.external_labels == {"cluster": "test"}
        [watchdog] = check_pipeline(["Watchdog"], await source.rules(), survey)
        said = {"watchdog": [watchdog.detail]}
        now = time.time()
        for rule in rules:
            expected = ExpectedAlert(rule.name, 60.0, None, None, Location(Path("x.yaml")))
            examined = examine(expected, rules, survey, now, now + 60)
            said[rule.name] = [result.detail for result in check_alert(expected, rules, examined, 60.0)]
        for severity in ("warning", "page"):
            twin = ExpectedAlert("Twins", 60.0, severity, None, Location(Path("x.yaml")))
            results = check_alert(twin, rules, examine(twin, rules, survey, now, now + 60), 60.0)
            said |= {result.check: [result.detail] for result in results}
        return said

    said = asyncio.run(with_source(stack, work))
    goes = "goes to `pager` (webhook)"
    assert said["watchdog"] == ["`Watchdog` fires, and somebody is told of it"]
    assert said["AfterTwoSeconds"][0].startswith("its rule exists, and fires within 4s of its cause (scrape 1s")
    slow, lacks = said["Slow"][0].split("; ")
    assert slow == "cannot fire within 1m: it takes 5m to 5m31s (scrape 1s + evaluation 30s + for 5m)"
    assert lacks == "it has no label `severity` or `service` and no annotation `runbook_url` or `dashboard`"
    assert 'brings series that there are none of: broken{service="payment"}' in said["Misspelt"][0]
    assert said["Either"][0].startswith("its rule exists")
    assert said["Fails"][0].startswith("its rule cannot be evaluated: ")
    assert "many" in said["Fails"][0]
    assert "fires on for 5m2s when its cause has gone" in said["Lasting"][0]
    assert said["BlackHole"][1].startswith("nobody would be told: routed to `nobody`, which tells nobody")
    assert "muted by the time interval `always`" in said["Muted"][1]
    assert "inhibited by Watchdog, which fires" in said["Inhibited"][1]
    assert said["Slow"][1] == goes, "no series has the labels by which others are routed elsewhere"
    assert said["alert Twins (warning)"][0].startswith("its rule exists, and fires within 2s")
    assert said["alert Twins (warning), notification"][0].startswith("nobody would be told: routed to `nobody`")
    assert said["alert Twins (page)"][0].startswith("cannot fire within 1m: it takes 5m")
    assert said["alert Twins (page), notification"][0] == goes
    assert not any("s3cret" in text for texts in said.values() for text in texts)


def test_an_alert_of_a_black_hole_is_not_notified(stack: Stack) -> None:
    async def work(source: AlertSource) -> AlertsSeen:
        assert isinstance(source, Alertmanager)
        await source.survey([])
        stack.exporter.gauges["hole"] = 1
        try:
            return await until(source, lambda seen: "BlackHole" in dict(seen.suppressed))
        finally:
            stack.exporter.gauges["hole"] = 0

    seen = asyncio.run(with_source(stack, work, receiver=False))
    assert named(seen, "BlackHole") == {FIRING}
    assert dict(seen.suppressed)["BlackHole"] == "routed to `nobody`, which tells nobody"


@pytest.mark.parametrize(
    ("receiver", "labels", "outcome", "to"),
    [
        (True, {}, PingOutcome.ARRIVED, "pager"),
        (False, {}, PingOutcome.SENT, "pager"),
        (True, {"hole": "yes"}, PingOutcome.UNSEEN, "nobody"),
    ],
)
def test_an_alert_of_our_own(
    stack: Stack, receiver: bool, labels: dict[str, str], outcome: PingOutcome, to: str
) -> None:
    async def work(source: AlertSource) -> PingResult:
        assert isinstance(source, Alertmanager)
        return await source.ping({"alertname": "GamedayPing"} | labels, 3.0 if labels else 20.0)

    result = asyncio.run(with_source(stack, work, receiver=receiver))
    assert (result.outcome, result.left) == (outcome, ""), result
    assert to in (result.receivers or (to,))

    def ended() -> bool:
        alerts = ask(f"{stack.alertmanager}/api/v2/alerts")
        assert isinstance(alerts, list)
        return not any("gameday_test" in alert["labels"] for alert in alerts)

    wait_for(ended, 10, "the test alert has ended")
