"""What is found about alerts: each thing once, as a weakness or as advice, with its numbers."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage import Evidence, Finding, judge_alerts
from gameday.journal.events import AlertExamination, AlertObserved, AlertRuleInfo, AlertState, FindingKind
from gameday.spec.location import Location
from gameday.spec.model import ExpectedAlert

INJECTED, UNDONE = 1000.0, 1100.0
ALL_SEEN = Evidence(looks=100)
PENDING, FIRING, NOTIFIED = AlertState.PENDING, AlertState.FIRING, AlertState.NOTIFIED
RESOLVED = AlertState.RESOLVED


def expected(name: str = "A", within_s: float = 60.0, severity: str | None = "page") -> ExpectedAlert:
    return ExpectedAlert(name, within_s, severity, None, Location(Path("x.yaml")))


def rule(
    name: str = "A",
    *,
    for_s: float = 2.0,
    severity: str | None = "page",
    service: str | None = "shop",
    runbook_url: str | None = "http://r",
    dashboard: str | None = "http://d",
) -> AlertRuleInfo:
    return AlertRuleInfo(
        name=name,
        expression="x",
        for_s=for_s,
        severity=severity,
        service=service,
        runbook_url=runbook_url,
        dashboard=dashboard,
    )


def event(
    state: AlertState,
    after_s: float,
    name: str = "A",
    *,
    since_s: float | None = None,
    before: bool = False,
    source: str = "prometheus",
    **labels: str,
) -> AlertObserved:
    return AlertObserved(
        at=INJECTED + after_s,
        experiment=0,
        name=name,
        state=state,
        expected=name == "A",
        labels={"severity": "page"} | labels,
        source=source,
        since=None if since_s is None else INJECTED + since_s,
        existed_before=before,
    )


def good() -> list[AlertObserved]:
    return [event(FIRING, 5), event(NOTIFIED, 6, source="receiver"), event(RESOLVED, 110)]


def judge(
    observed: Sequence[AlertObserved],
    *,
    alerts: Sequence[ExpectedAlert] = (expected(),),
    rules: Sequence[AlertRuleInfo] = (rule(),),
    undone_at: float = UNDONE,
    evidence: Evidence = ALL_SEEN,
    examined: Sequence[AlertExamination] = (),
    holds: Sequence[tuple[float, float]] = (),
    is_cut_short: bool = False,
) -> tuple[Finding, ...]:
    return judge_alerts(
        alerts,
        observed,
        rules,
        injected_at=INJECTED,
        undone_at=undone_at,
        owner="team-a",
        evidence=evidence,
        examined=examined,
        holds=holds,
        is_cut_short=is_cut_short,
    )


def kinds(findings: Sequence[Finding]) -> list[tuple[FindingKind, bool]]:
    return [(finding.kind, finding.weakness) for finding in findings]


def test_all_is_well() -> None:
    assert judge(good()) == ()


def test_missed() -> None:
    [finding] = judge([event(PENDING, 3.0)])
    assert finding == Finding(
        FindingKind.ALERT_MISSED,
        "A did not fire",
        "expected within 60 s of the injection; it became pending after 3.0 s",
        True,
        "team-a",
    )


BOTH = (rule(severity="ticket"), rule())


def test_a_warning_in_time_is_no_page_in_time() -> None:
    """Rules of one name and several severities: each expectation has its own."""
    early = [event(FIRING, 5, severity="ticket"), event(NOTIFIED, 6, source="receiver", severity="ticket")]
    late = [event(FIRING, 90), event(NOTIFIED, 91, source="receiver"), event(RESOLVED, 110)]
    ended = event(RESOLVED, 110, severity="ticket")
    alerts = (expected(severity="ticket"), expected())
    assert [finding.title for finding in judge([*early, *late, ended], alerts=alerts, rules=BOTH)] == [
        "A fired 30.0 s too late"
    ]
    assert [finding.title for finding in judge([*early, late[0], ended], rules=BOTH)] == [
        "A fired 30.0 s too late",
        "A fired, and nobody was seen to be notified",
        "A was not seen to resolve after the undo",
    ]
    assert [finding.title for finding in judge([*early, ended], rules=BOTH)] == [
        "A fired with severity ticket instead of page"
    ]
    [missed] = judge([*early, ended, event(PENDING, 7)], rules=BOTH)
    assert (missed.title, missed.detail) == (
        "A did not fire",
        "expected within 60 s of the injection; it became pending after 7.0 s",
    )


def test_a_warning_that_was_there_before_says_nothing_of_the_page() -> None:
    before = event(FIRING, -5, before=True, severity="ticket")
    assert judge([before, *good()], rules=BOTH) == ()
    [missed] = judge([before], rules=BOTH)
    assert (missed.kind, missed.title) == (FindingKind.ALERT_MISSED, "A did not fire")
    [finding] = judge([before], alerts=(expected(severity=None),), rules=BOTH)
    assert finding.kind is FindingKind.ALERT_FIRED_BEFORE


def test_what_the_other_rule_lacks_is_not_held_against_it() -> None:
    assert judge(good(), rules=(rule(severity="ticket", runbook_url=None, dashboard=None), rule())) == ()
    assert kinds(judge(good(), rules=(rule(severity="ticket"), rule(runbook_url=None)))) == [
        (FindingKind.RULE_WITHOUT_RUNBOOK, True)
    ]


def test_missed_because_the_fault_was_too_short_or_nobody_could_look() -> None:
    [finding] = judge([], undone_at=INJECTED + 20, evidence=Evidence(30, (("prometheus", 12),)))
    assert "the fault was undone after 20.0 s, before that time was over" in finding.detail
    assert "prometheus did not answer 12 of 30 looks" in finding.detail


@pytest.mark.parametrize(
    ("unanswered", "title"),
    [
        ((("prometheus", 30),), "Whether A fired is not known"),
        ((("datadog", 30),), "Whether A fired is not known"),
        ((("prometheus", 29),), "A did not fire"),
        ((("alertmanager", 30), ("receiver", 30)), "A did not fire"),
    ],
)
def test_a_source_that_never_answered_has_not_said_that_it_did_not_fire(
    unanswered: tuple[tuple[str, int], ...], title: str
) -> None:
    [finding] = judge([], evidence=Evidence(30, unanswered))
    assert (finding.kind, finding.title, finding.weakness) == (FindingKind.ALERT_MISSED, title, True)


def test_what_an_abort_left_no_time_for_is_no_weakness() -> None:
    soon, late = INJECTED + 2, INJECTED + 60
    assert judge([], undone_at=soon, is_cut_short=True) == ()
    assert kinds(judge([], undone_at=late, is_cut_short=True)) == [(FindingKind.ALERT_MISSED, True)]
    assert kinds(judge([], undone_at=soon)) == [(FindingKind.ALERT_MISSED, True)], "the experiment wanted it so"
    assert kinds(judge([event(FIRING, 1)], undone_at=soon, is_cut_short=True)) == [
        (FindingKind.ALERT_MISSED, False),
        (FindingKind.ALERT_NOT_RESOLVED, False),
    ]
    examined = (AlertExamination(name="A", quiet=("its receiver has nobody",)),)
    assert kinds(judge([], undone_at=soon, is_cut_short=True, examined=examined)) == [
        (FindingKind.ALERT_NOT_ROUTED, True)
    ]


def test_late_by_how_much() -> None:
    [finding] = judge([event(FIRING, 75.5), *good()[1:]])
    assert kinds([finding]) == [(FindingKind.ALERT_LATE, True)]
    assert finding.title == "A fired 15.5 s too late"
    assert finding.detail == "it fired 75.5 s after the injection, and was expected within 60 s"


def test_what_the_source_says_counts_over_when_we_looked() -> None:
    assert judge([event(FIRING, 60.9, since_s=59.5), *good()[1:]]) == ()


@pytest.mark.parametrize("since_s", [-3600.0, 3600.0])
def test_a_clock_that_cannot_be_right_is_not_believed(since_s: float) -> None:
    assert judge([event(FIRING, 5, since_s=since_s), *good()[1:]]) == ()
    [finding] = judge([event(FIRING, 70, since_s=since_s), *good()[1:]])
    assert finding.kind is FindingKind.ALERT_LATE


def test_one_label_set_in_time_is_enough() -> None:
    late = [event(FIRING, 80, instance="2"), event(RESOLVED, 111, instance="2")]
    assert judge([*good(), *late]) == ()


def test_wrong_severity() -> None:
    observed = [
        event(FIRING, 5, severity="ticket"),
        event(NOTIFIED, 6, source="receiver"),
        event(RESOLVED, 110, severity="ticket"),
    ]
    [finding] = judge(observed)
    assert kinds([finding]) == [(FindingKind.ALERT_SEVERITY, True)]
    assert finding.title == "A fired with severity ticket instead of page"
    assert judge(observed, alerts=[expected(severity=None)]) == ()


def test_fired_before_proves_nothing() -> None:
    [finding] = judge([event(FIRING, 1, before=True)])
    assert kinds([finding]) == [(FindingKind.ALERT_FIRED_BEFORE, True)]
    assert finding.detail == "already firing when the fault was injected"


def test_fired_before_ended_and_fired_again() -> None:
    assert judge([event(FIRING, 1, before=True), event(RESOLVED, 2, before=True), *good()]) == ()


def test_rule_missing() -> None:
    [finding] = judge([], rules=[rule("B")])
    assert kinds([finding]) == [(FindingKind.RULE_MISSING, True)]


def test_an_alert_that_fires_needs_no_rule_that_we_know() -> None:
    assert judge(good(), rules=[]) == ()


def test_pending_without_a_rule_is_missed() -> None:
    assert kinds(judge([event(PENDING, 2)], rules=[])) == [(FindingKind.ALERT_MISSED, True)]


def test_fired_and_nobody_was_told() -> None:
    quiet = [good()[0], good()[2]]
    [finding] = judge(quiet, evidence=Evidence(9, (), (("A", "silenced in Alertmanager"),)))
    assert kinds([finding]) == [(FindingKind.ALERT_MISSED, True)]
    assert finding.title == "A fired, and nobody was seen to be notified"
    assert finding.detail == "silenced in Alertmanager"


def test_not_resolved() -> None:
    [finding] = judge(good()[:2])
    assert kinds([finding]) == [(FindingKind.ALERT_NOT_RESOLVED, True)]


def test_flapping_ends_resolved() -> None:
    assert judge([*good(), event(FIRING, 120), event(RESOLVED, 130)]) == ()
    assert kinds(judge([*good(), event(FIRING, 120)])) == [(FindingKind.ALERT_NOT_RESOLVED, True)]


def test_unexpected_is_no_weakness_and_said_once_a_name() -> None:
    others = [event(FIRING, 8, "B", instance="1"), event(FIRING, 9, "B", instance="2"), event(PENDING, 9, "C")]
    [finding] = judge([*good(), *others])
    assert kinds([finding]) == [(FindingKind.ALERT_UNEXPECTED, False)]
    assert finding.title == "B fired, and nobody expected it"
    assert finding.detail == (
        "8.0 s after the injection; severity=page, instance=1; severity=page, instance=2; still firing at the end"
    )


def test_what_always_fires_is_not_unexpected() -> None:
    assert judge([*good(), event(FIRING, 0.5, "Watchdog", before=True)]) == ()


def test_a_rule_without_a_runbook_is_a_weakness_and_without_a_dashboard_advice() -> None:
    assert kinds(judge(good(), rules=[rule(runbook_url=None)])) == [(FindingKind.RULE_WITHOUT_RUNBOOK, True)]
    assert kinds(judge(good(), rules=[rule(dashboard=None)])) == [(FindingKind.RULE_WITHOUT_DASHBOARD, False)]
    assert judge(good(), rules=[rule(), rule("B", runbook_url=None, dashboard=None)]) == ()


def flap(*after_s: float, before: bool = False, **labels: str) -> list[AlertObserved]:
    """It fires at each of these moments, and resolves a second later."""
    states = [(state, at + late) for at in after_s for state, late in ((FIRING, 0.0), (RESOLVED, 1.0))]
    return [event(state, at, before=before, **labels) for state, at in states]


def test_flapping_within_one_hold_is_said_and_no_weakness() -> None:
    notified = event(NOTIFIED, 6, source="receiver")
    [finding] = judge([*flap(5, 10, 15), notified], holds=[(INJECTED, INJECTED + 20)])
    assert finding == Finding(
        FindingKind.ALERT_FLAPPING, "A is flapping", "it fired 3 times while one stage was held: severity=page", False,
        "team-a",
    )  # fmt: skip
    other = [msgspec.structs.replace(e, name="B") for e in flap(5, 10)]
    assert kinds(judge([*good(), *other])) == [
        (FindingKind.ALERT_FLAPPING, False),
        (FindingKind.ALERT_UNEXPECTED, False),
    ]


def test_one_fire_a_stage_or_an_instance_is_no_flapping() -> None:
    notified = event(NOTIFIED, 6, source="receiver")
    stages = [(INJECTED, INJECTED + 9), (INJECTED + 9.5, INJECTED + 20)]
    assert judge([*flap(5, 10), notified], holds=stages) == ()
    assert judge([*flap(5, instance="1"), *flap(8, instance="2"), notified]) == ()


def test_what_was_found_out_before_explains_what_was_missed() -> None:
    slow = AlertExamination(name="A", at_best_s=300.0, at_most_s=345.0, because="scrape 15s + evaluation 30s + for 5m")
    [finding] = judge([event(PENDING, 3.0)], examined=[slow])
    assert finding.detail.endswith(
        "; cannot fire within 1m: it takes 5m to 5m45s (scrape 15s + evaluation 30s + for 5m)"
    )
    [finding] = judge([], examined=[AlertExamination(name="A", missing_series=('x{a="b"}',))])
    assert finding.detail.endswith('series that there are none of: x{a="b"}')


def test_a_rule_that_fails_and_one_that_nobody_would_hear() -> None:
    found = AlertExamination(name="A", error="many-to-many matching not allowed", quiet=("routed to `null`",))
    assert kinds(judge([], examined=[found])) == [
        (FindingKind.ALERT_MISSED, True),
        (FindingKind.ALERT_NOT_ROUTED, True),
        (FindingKind.RULE_FAILS, True),
    ]
    loud = msgspec.structs.replace(found, error="")
    assert judge(good(), examined=[loud]) == (), "it was heard, whatever was thought before"


def test_labels_that_the_rule_lacks_are_advice() -> None:
    [finding] = judge(good(), rules=[rule(service=None)])
    assert (finding.kind, finding.weakness) == (FindingKind.RULE_WITHOUT_LABELS, False)
    assert finding.title == "The rule A sets no label `service`"


def test_an_alert_that_may_fire_on_for_longer_than_anybody_looked_is_no_weakness() -> None:
    firing = good()[:2]
    examined = [AlertExamination(name="A", clears_s=302.0)]
    evidence = Evidence(looks=100, until=UNDONE + 60)
    [finding] = judge(firing, evidence=evidence, examined=examined)
    assert (finding.kind, finding.weakness) == (FindingKind.ALERT_NOT_RESOLVED, False)
    assert "watched for 60.0 s after the undo" in finding.detail
    assert "fire on for 5m2s" in finding.detail
    [finding] = judge(firing, evidence=Evidence(looks=100, until=UNDONE + 400), examined=examined)
    assert finding.weakness


@given(
    st.lists(
        st.builds(
            lambda state, at, name, before: event(state, at, name, before=before),
            st.sampled_from(list(AlertState)),
            st.floats(0, 200),
            st.sampled_from("AB"),
            st.booleans(),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_an_expectation_that_is_not_met_is_always_a_weakness(observed: list[AlertObserved], has_rule: bool) -> None:
    findings = judge(observed, rules=[rule()] if has_rule else [])
    in_time = [
        e for e in observed if e.name == "A" and e.state is FIRING and not e.existed_before and e.at <= INJECTED + 60
    ]
    assert in_time or any(finding.weakness for finding in findings)
    assert len(set(findings)) == len(findings)
