"""Datadog's monitors as alerts: which are seen, who is told, and what can be known before."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from datadog_server import API_KEY, APPLICATION_KEY, DatadogServer, downtime, group, monitor, points, rule

from gameday.coverage import AlertSourceError, AlertsSeen, SeenAlert, Surveyor, check_alert, examine, open_alerts
from gameday.coverage.sources import datadog
from gameday.coverage.sources.datadog import Datadog
from gameday.coverage.sources.datadog_monitors import Told, covers, kind_of, read_scope, told
from gameday.journal.events import AlertExamination, AlertRuleInfo, AlertState, CheckOutcome
from gameday.spec.location import Location
from gameday.spec.model import AlertsConfig, Credentials, Environment, EnvironmentKind, ExpectedAlert

TIMEOUT_S = 1.0
KEYS = Credentials(api_key=API_KEY, application_key=APPLICATION_KEY)
NOW = 1_767_225_600
SET = (("service", "payments"), ("severity", "page"), ("team", "payments"))


def open_at(url: str, keys: Credentials = KEYS) -> Datadog:
    config = AlertsConfig("datadog", url, timeout_s=TIMEOUT_S, credentials=keys)
    source: object = open_alerts(Environment("test", EnvironmentKind.DECLARED, alerts=config))
    assert isinstance(source, Datadog)
    assert isinstance(source, Surveyor)
    return source


def ask[T](
    server: DatadogServer, question: Callable[[Datadog], Coroutine[None, None, T]], keys: Credentials = KEYS
) -> T:
    async def run() -> T:
        source = open_at(server.url, keys)
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def look(server: DatadogServer) -> AlertsSeen:
    return ask(server, lambda source: source.look())


def rules(server: DatadogServer) -> tuple[AlertRuleInfo, ...]:
    return ask(server, lambda source: source.rules())


def firing(*groups: tuple[str, dict[str, object]], **fields: object) -> dict[str, object]:
    states = dict(groups) or {"*": group("Alert", triggered=NOW, notified=NOW + 1)}
    return monitor(**{"overall_state": "Alert", "state": {"groups": states}, **fields})  # type: ignore[arg-type]


def test_one_that_alerts_and_has_told_somebody() -> None:
    with DatadogServer(monitors=[monitor(2, "Fine"), firing()]) as server:
        seen = look(server)
    text = "Payments is down. @slack-payments @pagerduty-Payments"
    assert seen.alerts == (
        SeenAlert("PaymentsDown", SET, AlertState.FIRING, "datadog", NOW, text),
        SeenAlert("PaymentsDown", SET, AlertState.NOTIFIED, "datadog", NOW + 1, text),
    )
    assert (seen.unreachable, seen.suppressed) == ((), ())


def test_each_group_is_an_alert_with_its_tags() -> None:
    groups = [
        ("host:a,zone:eu", group("Alert", triggered=NOW, notified=NOW)),
        ("host:b,zone:eu", group("Warn", triggered=NOW + 5)),
        ("host:c,zone:eu", group("OK", triggered=NOW - 99)),
        ("host:d,zone:eu", group("No Data")),
    ]
    with DatadogServer(monitors=[firing(*groups, multi=True)]) as server:
        seen = look(server)
    found = [(dict(alert.labels)["host"], alert.state, alert.since) for alert in seen.alerts]
    assert found == [
        ("a", AlertState.FIRING, NOW),
        ("a", AlertState.NOTIFIED, NOW),
        ("b", AlertState.PENDING, NOW + 5),
    ]


def test_one_without_groups_goes_by_its_overall_state() -> None:
    with DatadogServer(monitors=[monitor(overall_state="Alert", state={"groups": {}})]) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING, AlertState.NOTIFIED]
    assert seen.alerts[0].since == 1620047183.0


@pytest.mark.parametrize(
    ("options", "fires"),
    [
        ({"notify_no_data": False}, False),
        ({"notify_no_data": True}, True),
        ({"on_missing_data": "show_no_data"}, False),
        ({"on_missing_data": "show_and_notify_no_data"}, True),
    ],
)
def test_missing_data_fire_where_people_are_told(options: dict[str, object], fires: bool) -> None:
    one = firing(("*", group("No Data")), options=options, message="{{#is_no_data}}@sre@example.com{{/is_no_data}}")
    with DatadogServer(monitors=[one]) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING, AlertState.NOTIFIED] * fires
    assert all(alert.summary.startswith("no data: ") for alert in seen.alerts)


def test_told_later_is_told_later() -> None:
    not_yet = firing(("*", group("Alert", triggered=NOW, notified=NOW - 3600)))
    with DatadogServer(monitors=[not_yet]) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING]
    assert seen.suppressed == ()


SILENT = {"state": {"groups": {}}, "overall_state": "Alert"}


@pytest.mark.parametrize(
    ("fields", "downtimes", "why"),
    [
        ({"message": "mail sre@example.com"}, [], "it has a message without an @-handle, and there is no notification"),
        ({"message": "{{#is_recovery}}@slack-x{{/is_recovery}}"}, [], "a message without an @-handle"),
        ({"options": {"silenced": {"*": None}}}, [], "its monitor is muted"),
        ({"options": {"silenced": {"host:a": None}}}, [], "its monitor is muted for host:a"),
        ({"draft_status": "draft"}, [], "its monitor is a draft"),
        ({}, [downtime(7)], "in a downtime (downtime 00000000-0000-1234-0000-000000000007)"),
        ({}, [downtime(7, monitor_id=1)], "in a downtime"),
        ({}, [downtime(7, monitor_tags=["team:payments"], scope="host:a")], "in a downtime"),
        ({}, [downtime(7, scope="env:prod AND host:a")], "perhaps in a downtime"),
        ({}, [downtime(7, scope="host:(a OR b)")], "perhaps in a downtime"),
        (
            {"message": '{{#is_match "host.name" "a"}}@slack-x{{/is_match}}'},
            [],
            "told only if conditions of its message",
        ),
    ],
)
def test_what_nobody_is_told(fields: dict[str, object], downtimes: list[object], why: str) -> None:
    silent = {"status": "Alert", "name": "host:a", "last_triggered_ts": NOW}
    with DatadogServer(monitors=[firing(("host:a", silent), **fields)], downtimes=downtimes) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING]
    [(name, said)] = seen.suppressed
    assert name == "PaymentsDown"
    assert said.startswith(why) or why in said


@pytest.mark.parametrize(
    "downtimes",
    [
        [downtime(monitor_id=2)],
        [downtime(monitor_tags=["team:payments", "team:other"])],
        [downtime(scope="host:b")],
        [downtime(status="canceled")],
        [downtime(status="ended")],
    ],
)
def test_downtimes_of_others_and_of_other_times(downtimes: list[object]) -> None:
    silent = {"status": "Alert", "name": "host:a", "last_triggered_ts": NOW}
    with DatadogServer(monitors=[firing(("host:a", silent))], downtimes=downtimes) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING, AlertState.NOTIFIED]


def test_a_downtime_that_has_not_begun_silences_nobody_yet() -> None:
    later = downtime(status="scheduled")
    later["attributes"]["schedule"] = {"start": "2999-01-01T00:00:00+00:00", "end": None}
    with DatadogServer(monitors=[firing()], downtimes=[later]) as server:
        assert look(server).suppressed == ()


def test_a_notification_rule_tells_those_whom_the_message_does_not() -> None:
    one = firing(message="nobody")
    with DatadogServer(monitors=[one], rules=[rule("slack-payments", tags=("team:payments",))]) as server:
        assert look(server).suppressed == ()
    with DatadogServer(monitors=[one], rules=[rule("slack-payments", tags=("team:other",))]) as server:
        assert "there is no notification rule for it" in look(server).suppressed[0][1]


def test_what_may_not_be_asked_is_not_concluded_from() -> None:
    silent = {"status": "Alert", "name": "*", "last_triggered_ts": NOW}
    denied = ("/api/v2/",)
    with DatadogServer(monitors=[firing(("*", silent))], denied=denied) as server:
        seen = look(server)
    assert [alert.state for alert in seen.alerts] == [AlertState.FIRING]
    assert "Datadog's downtimes cannot be asked" in seen.suppressed[0][1]
    assert "`monitors_downtime`" in seen.suppressed[0][1]
    with DatadogServer(monitors=[firing()], denied=denied) as server:  # Datadog has told somebody
        assert [alert.state for alert in look(server).alerts] == [AlertState.FIRING, AlertState.NOTIFIED]


def test_a_look_is_repeated_for_ten_seconds_and_asks_no_more_than_it_must() -> None:
    async def often(source: Datadog) -> set[AlertsSeen]:
        return {await source.look() for _ in range(20)}

    with DatadogServer(monitors=[monitor()]) as server:
        assert len(ask(server, often)) == 1
        assert [one.path for one in server.requests] == ["/api/v1/monitor"]


def test_an_alert_that_comes_later_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_LOOK_EVERY_S", 0.0)

    async def twice(source: Datadog) -> list[int]:
        before = len((await source.look()).alerts)
        server.monitors[0] = firing()
        return [before, len((await source.look()).alerts)]

    with DatadogServer(monitors=[monitor()]) as server:
        assert ask(server, twice) == [0, 2]


def test_pages() -> None:
    monitors = [monitor(number, f"Monitor{number}") for number in range(2100)]
    with DatadogServer(monitors=monitors) as server:
        assert [rule.name for rule in rules(server)] == [one["name"] for one in monitors]
        assert [one.query["page"] for one in server.requests] == ["0", "1", "2"]


def test_downtimes_have_pages_too() -> None:
    downtimes = [*(downtime(number, monitor_id=99) for number in range(250)), downtime(999, monitor_id=1)]
    silent = {"status": "Alert", "name": "*", "last_triggered_ts": NOW}
    with DatadogServer(monitors=[firing(("*", silent))], downtimes=downtimes) as server:
        assert "downtime" in look(server).suppressed[0][1]
        assert len(server.asked("/api/v2/downtime")) == 3


TROUBLES = [
    (500, "Datadog answers HTTP 500 at /api/v1/monitor"),
    (b"<html>", "is not as expected"),
    (b'[{"id": 1}]', "is not as expected"),
    (None, "closed the connection"),
    (2.0, "no answer within 1 s"),
]


@pytest.mark.parametrize(("trouble", "reason"), TROUBLES)
def test_a_look_that_fails(trouble: int | bytes | float | None, reason: str) -> None:
    with DatadogServer(troubles={"/api/v1/monitor": trouble}) as server:
        seen = look(server)
        [(part, why)] = seen.unreachable
        assert (seen.alerts, part) == ((), "datadog")
        assert reason in why
        with pytest.raises(AlertSourceError) as caught:
            rules(server)
    assert "the monitors cannot be read from Datadog" in str(caught.value)
    assert reason in str(caught.value)


def test_keys_without_permission() -> None:
    keys = Credentials(api_key=API_KEY, application_key="another-application-key")
    with DatadogServer() as server, pytest.raises(AlertSourceError) as caught:
        ask(server, lambda source: source.rules(), keys)
    assert "HTTP 403 (Forbidden)" in str(caught.value)
    assert "`monitors_read`" in str(caught.value)
    assert "another-application-key" not in str(caught.value)


def test_the_rate_limit_ends_all_asking_for_now() -> None:
    async def often(source: Datadog) -> list[AlertsSeen]:
        return [await source.look() for _ in range(10)]

    with DatadogServer(limits={"/api/v1/monitor": (0, 60)}) as server:
        looks = ask(server, often)
        assert len(server.requests) == 1
    assert all("HTTP 429" in seen.unreachable[0][1] for seen in looks)


def test_configuration_without_keys() -> None:
    with pytest.raises(AlertSourceError, match="alerts: found no `api-key` and `application-key`"):
        open_at("https://api.datadoghq.eu", Credentials())


def test_a_monitor_as_a_rule() -> None:
    message = (
        "Down! See [the runbook](https://wiki.example.com/payments) and\n"
        "[graphs](https://app.datadoghq.eu/dashboard/abc-def-ghi/payments) @slack-x"
    )
    one = monitor(message=message, overall_state="Alert", options={"evaluation_delay": 60})
    with DatadogServer(monitors=[one]) as server:
        [found] = rules(server)
    assert found == AlertRuleInfo(
        name="PaymentsDown",
        expression="min(last_5m):sum:trace.http.request.errors{service:payments}.as_rate() > 1",
        for_s=360.0,
        severity="page",
        service="payments",
        runbook_url="https://wiki.example.com/payments",
        dashboard="https://app.datadoghq.eu/dashboard/abc-def-ghi/payments",
        state="firing",
        interval_s=60.0,
        labels={"severity": "page", "service": "payments", "team": "payments"},
    )


@pytest.mark.parametrize(
    ("fields", "runbook"),
    [
        ({"message": "text\nRunbook: https://wiki.example.com/r?a=b @x"}, "https://wiki.example.com/r?a=b"),
        ({"message": "no link to a runbook: none"}, None),
        ({"message": "x", "tags": ["runbook:payments-down"]}, "payments-down"),
        ({"assets": [{"category": "runbook", "name": "R", "url": "/notebooks/1"}]}, "/notebooks/1"),
        ({"message": None, "tags": None}, None),
    ],
)
def test_runbooks(fields: dict[str, object], runbook: str | None) -> None:
    with DatadogServer(monitors=[monitor(**fields)]) as server:  # type: ignore[arg-type]
        assert rules(server)[0].runbook_url == runbook


@pytest.mark.parametrize(
    ("query", "kind", "for_s", "interval_s"),
    [
        ("avg(last_5m):avg:m{*} > 1", "metric alert", 0.0, 60.0),
        ("max(last_10m):avg:m{*} by {host} <= 0.5", "query alert", 600.0, 60.0),
        ("max(last_10m):avg:m{*} > 1", "query alert", 0.0, 60.0),
        ("min(last_1d):avg:m{*} >= 1e3", "query alert", 86400.0, 600.0),
        ("avg(last_2w):avg:m{*} > 1", "query alert", 0.0, 1800.0),
        ("change(avg(last_5m),last_1h):avg:m{*} > 1", "query alert", 0.0, 60.0),
        ("avg(last_4h):anomalies(avg:m{*}, 'basic', 2) >= 1", "query alert", 0.0, None),
        ('logs("status:error").index("*").rollup("count").last("5m") > 1', "log alert", 0.0, None),
        ("12345 && 67890", "composite", 0.0, None),
    ],
)
def test_how_long_a_cause_must_last(query: str, kind: str, for_s: float, interval_s: float | None) -> None:
    with DatadogServer(monitors=[monitor(query=query, type=kind)]) as server:
        [found] = rules(server)
    assert (found.for_s, found.interval_s) == (for_s, interval_s)


def test_one_with_a_schedule_of_its_own() -> None:
    schedule = {"recurrences": [{"rrule": "FREQ=DAILY;INTERVAL=1", "timezone": "Europe/Berlin"}]}
    options = [{"scheduling_options": {"custom_schedule": schedule}}, {"scheduling_options": None}]
    with DatadogServer(monitors=[monitor(options=one) for one in options]) as server:
        assert [found.interval_s for found in rules(server)] == [None, 60.0]


def test_the_priority_is_the_severity_where_no_tag_is() -> None:
    with DatadogServer(monitors=[monitor(priority=2, tags=[]), monitor(priority=2)]) as server:
        assert [found.severity for found in rules(server)] == ["P2", "page"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("@slack-a, @user@example.com. (@pagerduty-B)", Told(("slack-a", "user@example.com", "pagerduty-B"))),
        ("mail me@example.com, see https://x/@y", Told()),
        ("{{#is_alert}}@a{{/is_alert}}{{#is_warning}}@b{{/is_warning}}{{^is_alert}}@c{{/is_alert}}", Told(("a",))),
        ("{{#is_alert}}@a{{else}}@b{{/is_alert}}", Told(("a",))),
        ("{{#is_recovery}}@a{{else}}@b{{/is_recovery}}", Told(("b",))),
        (
            "{{#is_alert}}{{#is_match 'env.name' 'prod'}}@a{{else}}@b{{/is_match}}{{/is_alert}} @c",
            Told(("c",), ("a", "b")),
        ),
        ("{{#is_warning}}{{#is_match 'env.name' 'prod'}}@a{{/is_match}}{{/is_warning}}", Told()),
        ("@slack-{{host.name}} on {{value}}", Told(("slack-…",))),
        ("{{/is_alert}} {{else}} @a {{#is_alert", Told(("a",))),
    ],
)
def test_handles(message: str, expected: Told) -> None:
    assert told(message, "Alert", {}, ()) == expected


@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        ("slack-x", "slack"),
        ("pagerduty-X", "pagerduty"),
        ("a@b.c", "e-mail"),
        ("someone", "user"),
        ("team-lead", "team"),
    ],
)
def test_kinds_of_handles(handle: str, kind: str) -> None:
    assert kind_of(handle) == kind


@pytest.mark.parametrize(
    ("scope", "labels", "applies"),
    [
        ("*", {}, True),
        ("env:prod", {"env": "prod"}, True),
        ("env:prod", {"env": "dev"}, False),
        ("env:prod", {}, None),
        ("env:prod AND host:a", {"env": "prod", "host": "b"}, False),
        ("env:prod,host:a", {"env": "prod", "host": "a"}, True),
        ("-env:prod", {"env": "prod"}, None),
        ("env:prod OR env:dev", {"env": "prod"}, None),
        ("env:(prod OR dev)", {"env": "prod"}, None),
        ("host:web*", {"host": "web1"}, None),
    ],
)
def test_scopes(scope: str, labels: dict[str, str], applies: bool | None) -> None:
    assert covers(read_scope(scope), labels) is applies


def examined(server: DatadogServer) -> tuple[AlertExamination, tuple[tuple[str, str], ...], list[str]]:
    """What is found out before a session of the alert, what was not answered, and what preflight says."""

    async def survey(source: Datadog) -> tuple[AlertExamination, tuple[tuple[str, str], ...], list[str]]:
        known = await source.rules()
        alert = ExpectedAlert("PaymentsDown", 600.0, "page", None, Location(Path("x.yaml")))
        found = await source.survey([one for one in known if one.name == alert.name])
        now = time.time()
        examination = examine(alert, known, found, now, now + 3600)
        assert examination
        said = check_alert(alert, known, examination, 600.0)
        return examination, found.unanswered, [one.detail for one in said if one.outcome is CheckOutcome.WARNING]

    return ask(server, survey)


METRIC = "sum:trace.http.request.errors{service:payments}.as_rate()"


def test_before_a_session_whom_it_would_tell() -> None:
    with DatadogServer(monitors=[monitor(), monitor(2, "Other", message="")]) as server:
        server.metrics[METRIC] = [points(server.now(), 1.0)]
        found, unanswered, said = examined(server)
    assert [(one.name, one.integrations) for one in found.receivers or ()] == [
        ("@slack-payments", ("slack",)),
        ("@pagerduty-Payments", ("pagerduty",)),
    ]
    assert (found.quiet, found.doubts, found.missing_series, unanswered) == ((), (), (), ())
    assert [line.partition(", but ")[2] for line in said] == ["has no annotation `runbook_url` or `dashboard`"]
    assert (found.at_best_s, found.at_most_s) == (300.0, None)


def test_before_a_session_nobody() -> None:
    with DatadogServer(monitors=[monitor(message="nobody reads this")]) as server:
        found, _, said = examined(server)
    assert found.quiet == ("routed to `a message without an @-handle`, which tells nobody",)
    assert found.missing_series == (METRIC,)
    assert any("nobody would be told" in detail for detail in said)
    assert any(f"series that there are none of: {METRIC}" in detail for detail in said)


def test_before_a_session_a_draft() -> None:
    with DatadogServer(monitors=[monitor(draft_status="draft")]) as server:
        assert examined(server)[0].quiet == ("routed to `nobody, for it is a draft`, which tells nobody",)


def test_before_a_session_perhaps() -> None:
    message = "{{#is_match 'env.name' 'prod'}}@slack-a{{/is_match}}"
    with DatadogServer(monitors=[monitor(message=message)]) as server:
        found, _, _ = examined(server)
    assert [one.name for one in found.receivers or ()] == ["@slack-a"]
    assert found.quiet == ()
    assert found.doubts == ("its route depends on `a condition of its message`, which its rule does not set",)


def test_before_a_session_downtimes_and_mutes() -> None:
    soon = downtime(2, status="scheduled", scope="host:a")
    start = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 600))
    soon["attributes"]["schedule"] = {"current_downtime": {"start": start, "end": "2999-01-01T00:00:00+00:00"}}
    one = monitor(options={"silenced": {"*": None}})
    with DatadogServer(monitors=[one], downtimes=[downtime(1), soon, downtime(3, monitor_id=99)]) as server:
        found, _, _ = examined(server)
    muted, active = found.quiet
    assert muted.endswith("(silence its monitor is muted: it has no end)")
    assert "(silence downtime 00000000-0000-1234-0000-000000000001: it has no end)" in active
    [doubt] = found.doubts
    assert "silenced from " in doubt
    assert doubt.endswith('where host="a"')


def test_before_a_session_what_may_not_be_asked() -> None:
    with DatadogServer(monitors=[monitor(message="")], denied=("/api/v2/", "/api/v1/query")) as server:
        found, unanswered, _ = examined(server)
    assert [part for part, _ in unanswered] == ["Datadog's downtimes", "Datadog's notification rules"]
    assert found.quiet == ()
    assert [one.name for one in found.receivers or ()] == ["whoever a notification rule names"]
    assert found.missing_series == ()


def test_before_a_session_nothing_answers() -> None:
    with DatadogServer(troubles={"/api/v1/monitor": 500}) as server:
        survey = ask(server, lambda source: source.survey([]))
    assert survey.unanswered == survey.seen.unreachable
    assert "HTTP 500" in survey.unanswered[0][1]


def test_one_that_alerts_already_is_among_the_active_ones() -> None:
    with DatadogServer(monitors=[firing()]) as server:
        survey = ask(server, lambda source: source.survey([]))
    assert survey.active == ({"alertname": "PaymentsDown", **dict(SET)},)
