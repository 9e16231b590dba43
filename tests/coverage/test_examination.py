"""What is found out of an alert before the session: the sum until it fires, and who would be told."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage import AlertsSeen, SeenAlert, Survey, check_alert, check_pipeline, examination_of, examine
from gameday.coverage.base import Expression, Silence
from gameday.coverage.matchers import parse_matchers
from gameday.coverage.routing import parse_routing
from gameday.coverage.soonest import time_to_fire
from gameday.journal.events import AlertExamination, AlertRuleInfo, AlertState, CheckOutcome, ReceiverInfo
from gameday.spec.location import Location
from gameday.spec.model import ExpectedAlert

NOW = 1_800_000_000.0  # 15 Jan 2027, 08:00 UTC, a Friday
END = NOW + 600
CONFIG = """
route:
  receiver: nobody
  group_wait: 10s
  routes:
  - {receiver: pager, matchers: ['severity="page"'], group_wait: 5s}
  - {receiver: office, matchers: ['severity="ticket"'], mute_time_intervals: [night]}
receivers:
- name: nobody
- {name: pager, pagerduty_configs: [{routing_key: <secret>}], webhook_configs: []}
- {name: office, email_configs: [{to: a@b}]}
inhibit_rules:
- {source_matchers: ['alertname="Outage"'], target_matchers: ['severity="page"'], equal: [cluster]}
time_intervals:
- {name: night, time_intervals: [{times: [{start_time: "08:05", end_time: "24:00"}]}]}
"""


def expected(within_s: float = 60.0, severity: str | None = "page") -> ExpectedAlert:
    return ExpectedAlert("A", within_s, severity, None, Location(Path("x.yaml")))


def rule(severity: str = "page", **changes: object) -> AlertRuleInfo:
    made = AlertRuleInfo(
        name="A",
        expression="x",
        for_s=2.0,
        severity=severity,
        service="shop",
        runbook_url="http://r",
        dashboard="http://d",
        interval_s=1.0,
        labels={"severity": severity},
    )
    return msgspec.structs.replace(made, **changes)


def survey(**changes: object) -> Survey:
    made = Survey(
        AlertsSeen(()),
        parse_routing(CONFIG),
        external_labels={"cluster": "eu"},
        expressions={"x": Expression(1, (), 5)},
    )
    return msgspec.structs.replace(made, **changes)


def look(rules: list[AlertRuleInfo], found: Survey | None, alert: ExpectedAlert | None = None) -> AlertExamination:
    examined = examine(alert or expected(), rules, found, NOW, END)
    assert examined
    return examined


def said(rules: list[AlertRuleInfo], found: Survey | None, alert: ExpectedAlert | None = None) -> list[str]:
    examined = examine(alert or expected(), rules, found, NOW, END)
    results = check_alert(alert or expected(), rules, examined, 60.0)
    return [f"{result.check} {result.outcome}: {result.detail}" for result in results]


def test_the_sum() -> None:
    assert said([rule()], survey()) == [
        "alert A ok: its rule exists, and fires within 8s of its cause (scrape 5s + evaluation 1s + for 2s)",
        "alert A, notification ok: goes to `pager` (pagerduty), after 5s of grouping",
    ]
    found = look([rule()], survey())
    assert (found.at_best_s, found.at_most_s, found.clears_s, found.group_wait_s) == (2.0, 8.0, 6.0, 5.0)
    assert found.receivers == (ReceiverInfo(name="pager", integrations=("pagerduty",)),)


def test_it_cannot_fire_in_time_or_only_perhaps() -> None:
    slow = rule(for_s=300.0, interval_s=30.0)
    assert said([slow], survey())[0] == (
        "alert A warning: cannot fire within 1m: it takes 5m to 5m35s (scrape 5s + evaluation 30s + for 5m)"
    )
    assert said([rule(interval_s=30.0, for_s=30.0)], survey())[0] == (
        "alert A warning: may fire too late: it may take 1m5s (scrape 5s + evaluation 30s + for 30s), "
        "and is expected within 1m"
    )
    assert said([rule(for_s=60.0, interval_s=None)], None)[0].startswith("alert A warning: cannot fire within 1m:")


def test_for_is_rounded_up_to_evaluations() -> None:
    found = time_to_fire(rule(for_s=10.0, interval_s=4.0), 1.0)
    assert (found.at_best_s, found.at_most_s) == (12.0, 17.0)
    assert found.because == "scrape 1s + evaluation 4s + for 10s, in evaluations 12s"
    assert time_to_fire(rule(for_s=0.3, interval_s=0.1), 0.0).because == "evaluation 100ms + for 300ms"


tenths = st.integers(1, 3000).map(lambda tenths: tenths / 10)


@given(for_s=tenths, interval_s=tenths, scrape_s=tenths)
def test_a_simulated_prometheus_fires_between_the_two(for_s: float, interval_s: float, scrape_s: float) -> None:
    found = time_to_fire(rule(for_s=for_s, interval_s=interval_s), scrape_s)
    assert found.at_most_s is not None
    for lag in (0.0, 0.5, 1.0):  # how far into the interval the cause comes
        first = scrape_s * lag + interval_s * lag
        ticks = 0
        while ticks * interval_s < for_s - 1e-6:
            ticks += 1
        assert found.at_best_s - 1e-3 <= first + ticks * interval_s <= found.at_most_s + 1e-3


def test_what_is_not_known_is_not_summed() -> None:
    found = look([rule(interval_s=None)], None)
    assert (found.at_best_s, found.at_most_s, found.receivers) == (2.0, None, None)
    assert "not known" in found.because


def test_the_best_of_several_rules_counts() -> None:
    rules = [rule("ticket", for_s=0.0), rule(for_s=5.0), rule(for_s=1.0, error="no"), rule(for_s=600.0)]
    assert look(rules, survey()).at_best_s == 5.0


def test_the_expected_severity_says_which_of_several_rules_is_meant() -> None:
    """A warning and a page of one name: that the one can fire says nothing of the other."""
    rules = [rule("ticket", for_s=1.0, expression="early"), rule(for_s=5.0, error="many-to-many")]
    assert "its rule cannot be evaluated: many-to-many" in said(rules, survey())[0]
    rules = [rule("ticket", for_s=1.0), rule(for_s=300.0)]
    assert "cannot fire within 1m: it takes 5m" in said(rules, survey())[0]
    assert "its rule exists, and fires within 7s" in said(rules, survey(), expected(severity="ticket"))[0]
    assert "its rule exists, and fires within 7s" in said(rules, survey(), expected(severity=None))[0]
    assert "muted by the time interval `night`" in said(rules, survey(), expected(severity="ticket"))[1]
    assert (
        "its severity is page, ticket, and was expected to be info"
        in said(rules, survey(), expected(severity="info"))[0]
    )


def test_of_several_rules_one_that_can_come_true_counts() -> None:
    found = survey(expressions={"x": Expression(0, ('x{a="b"}',), 5), "y": Expression(1, (), 5)})
    assert look([rule(), rule(expression="y", for_s=4.0)], found).at_best_s == 4.0


def test_that_a_warning_fires_says_nothing_of_the_page() -> None:
    def fires(*labels: tuple[str, str]) -> bool:
        seen = SeenAlert("A", labels, AlertState.FIRING, "prometheus")
        both = [rule("ticket"), rule()]
        return look(both, survey(seen=AlertsSeen((seen,)))).fires

    assert not fires(("severity", "ticket"))
    assert fires(("instance", "a"), ("severity", "page"))


def test_each_expectation_has_its_own_examination() -> None:
    rules = [rule("ticket", for_s=1.0), rule(for_s=30.0)]
    alerts = [expected(), expected(severity="ticket"), expected(severity=None)]
    examined = [found for alert in alerts if (found := examine(alert, rules, None, NOW, END))]
    assert [found and found.at_best_s for found in (examination_of(alert, examined) for alert in alerts)] == [
        30.0,
        1.0,
        1.0,
    ]
    assert examination_of(msgspec.structs.replace(expected(), name="B"), examined) is None


def test_no_rule_a_failing_one_and_one_that_fires_already() -> None:
    assert said([rule(name="AB")], survey()) == ["alert A warning: there is no such rule; did you mean `AB`?"]
    assert "its rule cannot be evaluated: many-to-many" in said([rule(error="many-to-many")], survey())[0]
    fires = survey(seen=AlertsSeen((SeenAlert("A", (("severity", "page"),), AlertState.FIRING, "prometheus"),)))
    assert "it fires already: that it fires will prove nothing" in said([rule()], fires)[0]
    assert look([rule(state="firing")], None).fires


def test_series_that_are_missing_and_a_severity() -> None:
    none = survey(expressions={"x": Expression(0, ('x{a="b"}',), 5)})
    assert 'unless the fault brings series that there are none of: x{a="b"}' in said([rule()], none)[0]
    assert "its severity is ticket, and was expected to be page" in said([rule("ticket")], survey())[0]


def test_what_whoever_is_paged_goes_by() -> None:
    bare = rule(service=None, runbook_url=None, dashboard=None)
    assert said([bare], survey())[0] == (
        "alert A warning: its rule exists, and fires within 8s of its cause (scrape 5s + evaluation 1s + for 2s), "
        "but has no label `service` and no annotation `runbook_url` or `dashboard`"
    )
    assert said([rule(runbook_url=None)], survey())[0].startswith("alert A warning: ")
    without = said([rule(dashboard=None)], survey())[0]
    assert without.startswith("alert A ok: ")
    assert without.endswith("but has no annotation `dashboard`"), "it can be done without"
    assert said([bare, rule("ticket")], survey(), expected(severity="ticket"))[0].startswith("alert A (ticket) ok:")
    filled_in = rule("{{ $labels.severity }}")
    assert said([filled_in], survey())[0].startswith("alert A ok: its rule exists"), "it may well be a page"


ROUTED_BY_TEAM = """
route: {receiver: pager, routes: [{receiver: office, matchers: ['team="b"']}]}
receivers: [{name: pager, webhook_configs: [{}]}, {name: office, email_configs: [{}]}]
inhibit_rules: [{source_matchers: ['alertname="Outage"'], target_matchers: ['region="eu"']}]
"""


def test_labels_that_its_series_do_not_have_are_no_doubt() -> None:
    silence = Silence("1", parse_matchers('{pod="x"}'), NOW - 60, END)

    def doubts(labels: frozenset[str] | None) -> tuple[str, ...]:
        expressions = {"x": Expression(1, (), 5, labels=labels)}
        active = ({"alertname": "Outage"},)
        routing = parse_routing(ROUTED_BY_TEAM)
        found = look([rule()], survey(routing=routing, silences=(silence,), active=active, expressions=expressions))
        assert (found.quiet, found.receivers and found.receivers[0].name) == ((), "pager")
        return found.doubts

    assert doubts(frozenset({"instance"})) == ()
    assert doubts(frozenset({"instance", "team"})) == ("its route depends on `team`, which its rule does not set",)
    assert len(doubts(frozenset({"region", "pod"}))) == 2
    assert len(doubts(None)) == 3


def test_a_recording_rule_may_be_missing() -> None:
    none = survey(expressions={"x": Expression(0, ('shop:errors:ratio{a="b"}',), 5)})
    assert 'none of: shop:errors:ratio{a="b"} (by its name a recording rule makes it' in said([rule()], none)[0]
    other = survey(expressions={"x": Expression(0, ('errors{a="b:c"}',), 5)})
    assert "recording" not in said([rule()], other)[0]


def test_it_keeps_firing_for_longer_than_it_is_watched() -> None:
    assert (
        "fires on for 5m6s when its cause has gone, and is watched for 1m"
        in (said([rule(keep_firing_for_s=300.0)], survey())[0])
    )


def notification(found: Survey, *, severity: str = "page") -> str:
    return said([rule(severity)], found, expected(severity=severity))[1].removeprefix("alert A, notification ")


def test_a_black_hole() -> None:
    assert notification(survey(), severity="info") == (
        "warning: nobody would be told: routed to `nobody`, which tells nobody"
    )


def test_muted_before_the_session_ends() -> None:
    assert notification(survey(), severity="ticket") == (
        "warning: nobody would be told: muted by the time interval `night` before the session ends"
    )


@pytest.mark.parametrize(
    ("matchers", "starts", "told"),
    [
        ('severity="page"', NOW - 9, "nobody would be told: silenced until 15 Jan 09:00 UTC (silence s1: by hand)"),
        ('cluster=~"e."', NOW + 60, "nobody would be told: silenced from 15 Jan 08:01 until 15 Jan 09:00 UTC"),
        ('severity="page"', END + 1, "goes to `pager` (pagerduty)"),
        ('severity="ticket",zone="a"', NOW, "goes to `pager` (pagerduty)"),
        ('severity="page",zone="a"', NOW, 'silenced until 15 Jan 09:00 UTC (silence s1: by hand) where zone="a"'),
    ],
)
def test_silences(matchers: str, starts: float, told: str) -> None:
    silence = Silence("s1", parse_matchers(matchers), starts, NOW + 3600, "by hand")
    found = notification(survey(silences=(silence,)))
    assert told in found
    assert found.startswith("warning") == told.startswith("nobody")


def test_inhibited_by_what_fires() -> None:
    assert "inhibited by Outage, which fires" in notification(
        survey(active=({"alertname": "Outage", "cluster": "eu"},))
    )
    assert notification(survey(active=({"alertname": "Outage", "cluster": "us"},))).startswith("ok")
    unknown = survey(active=({"alertname": "Outage", "cluster": "us"},), external_labels={})
    assert "perhaps inhibited by Outage" in notification(unknown)


def test_what_could_not_be_asked_is_a_doubt_and_never_good() -> None:
    """Without an answer about silences, or about what fires, none is taken to be there or not."""
    assert "; whether it is silenced could not be asked" in notification(survey(silences=None))
    blind = survey(seen=AlertsSeen((), (("alertmanager", "refused"),)))
    assert "; whether it is inhibited could not be asked" in notification(blind)
    sure = msgspec.structs.replace(blind, routing=parse_routing(CONFIG.replace("inhibit_rules", "x")))
    assert "could not be asked" not in notification(sure) + notification(survey())


def watchdog(found: Survey, *names: str) -> list[tuple[CheckOutcome, str]]:
    results = check_pipeline(("Watchdog",), [rule(name=name) for name in names], found)
    return [(result.outcome, result.detail) for result in results if result.check == "watchdog"]


def test_the_watchdog() -> None:
    firing = SeenAlert("Watchdog", (), AlertState.FIRING, "prometheus")
    told = SeenAlert("Watchdog", (), AlertState.NOTIFIED, "receiver")
    has = ({"alertname": "Watchdog"},)
    assert watchdog(survey())[0][0] is CheckOutcome.WARNING
    assert "does not fire" in watchdog(survey(), "Watchdog")[0][1]
    assert "Alertmanager does not have it" in watchdog(survey(seen=AlertsSeen((firing,))), "Watchdog")[0][1]
    arrived = survey(seen=AlertsSeen((firing, told)), active=has)
    assert watchdog(arrived, "Watchdog") == [(CheckOutcome.OK, "`Watchdog` fires, and somebody is told of it")]
    [(outcome, detail)] = watchdog(survey(seen=AlertsSeen((firing,)), active=has), "Watchdog")
    assert (outcome, "not shown" in detail) == (CheckOutcome.OK, True)
    assert check_pipeline((), [], survey()) == ()


@pytest.mark.parametrize(
    ("silent", "has", "detail"),
    [
        (("alertmanager",), False, "whether `Watchdog` arrives is not known: no answer from alertmanager"),
        (("receiver",), True, "whether `Watchdog` arrives is not known: no answer from receiver"),
        (("alertmanager", "prometheus"), False, "not known: no answer from alertmanager, prometheus"),
        (("prometheus",), False, "`Watchdog` may fire, and Alertmanager does not have it: no alert may get there"),
    ],
)
def test_a_watchdog_of_which_a_part_says_nothing_is_no_good_sign(
    silent: tuple[str, ...], has: bool, detail: str
) -> None:
    firing = SeenAlert("Watchdog", (), AlertState.FIRING, "prometheus")
    seen = AlertsSeen(() if "prometheus" in silent else (firing,), tuple((part, "refused") for part in silent))
    active = ({"alertname": "Watchdog"},) if has else ()
    [(outcome, said)] = watchdog(survey(seen=seen, active=active), "Watchdog")
    assert (outcome, detail in said) == (CheckOutcome.WARNING, True)


def test_what_could_not_be_asked_is_said() -> None:
    [result] = check_pipeline((), [], survey(unanswered=(("Alertmanager's silences", "HTTP 404"),)))
    assert (result.check, result.detail) == ("alert pipeline", "Alertmanager's silences: HTTP 404")


@pytest.mark.parametrize(
    "text", ["{", "route: 1", "route: {receiver: [", "route: {}", "route: {receiver: a, routes: 1}"]
)
def test_a_configuration_that_is_none_repeats_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^{]*$") as caught:
        parse_routing(f"{text} # s3cret")
    assert not re.search("s3cret", str(caught.value))
