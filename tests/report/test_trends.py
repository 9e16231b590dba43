"""What sessions show together: recounted by other means, and unmoved by what says nothing."""

import math
import statistics
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage.matrix import Result
from gameday.journal.events import FindingKind, FindingRaised, Loss, Verdict
from gameday.people.actions import Outcome, action_id, changes_after, replay
from gameday.report import trend_words as words
from gameday.report.past_run import AlertPast, ExperimentPast, SessionPast, Weakness
from gameday.report.trend_chart import COLUMNS, trend_chart
from gameday.report.trends import (
    LEAST,
    By,
    Regression,
    Selection,
    Standing,
    Times,
    Trial,
    balances,
    detected,
    recovered,
    regressions,
    times,
    trend,
    trends,
    verdict_of,
)
from gameday.report.views import Recovery, Status

JUDGED = (Verdict.HELD, Verdict.WEAKNESS)
KIND = FindingKind.ALERT_MISSED


def experiment(verdict: Verdict | None = Verdict.HELD, **changes: object) -> ExperimentPast:
    found = ExperimentPast("experiments/a.yaml", "A", "checkout", 1.0, 2.0, verdict, ("pods/kill",))
    return msgspec.structs.replace(found, **changes)


def session(number: int, *experiments: ExperimentPast, **changes: object) -> SessionPast:
    verdict = max((item.verdict for item in experiments if item.verdict), key=list(Verdict).index, default=None)
    found = SessionPast(f"run-{number:04}", 1000.0 + number, "S", "staging", verdict, experiments)
    return msgspec.structs.replace(found, **changes)


def trials(*experiments: ExperimentPast) -> tuple[Trial, ...]:
    """One session each."""
    return Selection().trials(session(number, item) for number, item in enumerate(experiments))


def weaknesses(names: Sequence[str], path: str = "experiments/a.yaml") -> tuple[Weakness, ...]:
    return tuple(Weakness(action_id(path, KIND, name), KIND, name) for name in names)


def took(seconds: float | None, **changes: object) -> ExperimentPast:
    """Of which it is known how long it took to detect; infinite: the alert was missed."""
    if seconds is None:
        return experiment(**changes)
    missed = math.isinf(seconds)
    alert = AlertPast("Down", Result.MISSED if missed else Result.IN_TIME, None if missed else seconds)
    return experiment(**({"alerts": (alert,)} | changes))


ALERT = st.builds(
    lambda result, after: AlertPast("Down", result, after if result in (Result.IN_TIME, Result.LATE) else None),
    st.sampled_from(Result),
    st.integers(0, 100).map(float),
)
RECOVERY = st.one_of(
    st.none(),
    st.builds(Recovery, st.just(True), st.integers(0, 100).map(float), st.sampled_from([None, 50.0])),
    st.just(Recovery(False, None, 50.0)),
)
EXPERIMENT = st.builds(
    lambda path, verdict, alerts, recovery, names: experiment(
        verdict,
        path=path,
        service=path[-6],
        faults=(f"fault/{path[-6]}",),
        alerts=alerts,
        recovery=recovery,
        weaknesses=weaknesses(names, path),
    ),
    st.sampled_from(["experiments/a.yaml", "experiments/b.yaml"]),
    st.sampled_from([*Verdict, None]),
    st.tuples(ALERT),
    RECOVERY,
    st.lists(st.sampled_from("xyz"), unique=True, max_size=3),
)
SESSIONS = st.lists(
    st.tuples(st.lists(EXPERIMENT, min_size=1, max_size=3), st.sampled_from(["staging", "lab"])), max_size=12
).map(
    lambda items: [
        session(number, *experiments, environment=where) for number, (experiments, where) in enumerate(items)
    ]
)
UNCOUNTED = st.sampled_from([Verdict.NOT_STARTED, Verdict.ABORTED, Verdict.UNDO_FAILED, None])


# -- what counts


@given(SESSIONS, EXPERIMENT, UNCOUNTED, st.integers(0, 12))
def test_what_does_not_count_changes_nothing(
    sessions: list[SessionPast], item: ExperimentPast, verdict: Verdict | None, place: int
) -> None:
    item = msgspec.structs.replace(item, verdict=verdict)
    more = [*sessions, session(9999, item, started=1000.0 + place - 0.5)]
    before, after = Selection().trials(sessions), Selection().trials(more)
    assert len(after) == len(before) + 1
    assert regressions(after) == regressions(before)
    old, new = trend("", before) if before else None, trend("", after)
    if old is None:
        assert (new.judged, new.uncounted) == (0, 1)
    else:
        assert (new.held, new.weak, new.detect, new.recover) == (old.held, old.weak, old.detect, old.recover)
        assert new.uncounted == old.uncounted + 1


@given(SESSIONS)
def test_the_order_in_which_sessions_are_given_does_not_matter(sessions: list[SessionPast]) -> None:
    forth, back = Selection().trials(sessions), Selection().trials(sessions[::-1])
    assert forth == back


@given(SESSIONS, st.sampled_from(By))
def test_groups_hold_every_run_once(sessions: list[SessionPast], by: By) -> None:
    every = Selection().trials(sessions)
    found = trends(every, by)
    assert sorted(trial.session.run for one in found for trial in one.trials) == [t.session.run for t in every]
    assert sum(one.judged + one.uncounted for one in found) == len(every)
    newest = [one.trials[-1].session.started for one in found]
    assert newest == sorted(newest, reverse=True)


def test_one_with_two_faults_counts_under_both_and_one_without_service_under_none() -> None:
    every = trials(experiment(faults=("a", "b"), service=None))
    assert [one.key for one in trends(every, By.FAULT)] == ["a", "b"]
    assert [one.key for one in trends(every, By.SERVICE)] == [""]


def test_what_never_had_its_turn_was_not_run() -> None:
    later = experiment(None, started=None, injected_at=None)
    sessions = [session(0, experiment(Verdict.ABORTED), later), session(1, later, verdict=Verdict.NOT_STARTED)]
    assert [trial.status for trial in Selection().trials(sessions)] == [Status.ABORTED, Status.NOT_STARTED]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, "weakness"), ({"verdict": None}, "interrupted"), ({"verdict": None, "is_running": True}, "running")],
)
def test_verdicts(changes: dict[str, object], verdict: str) -> None:
    found = session(0, experiment(Verdict.WEAKNESS), **changes)
    assert verdict_of(found) == verdict
    assert Selection(verdict=verdict).wants(found)
    assert not Selection(verdict="held").wants(found)


def test_what_is_asked_of_experiments_is_asked_of_one_and_the_same() -> None:
    other = experiment(service="cart", faults=("network/deny",), path="experiments/b.yaml")
    found = session(0, experiment(), other)
    assert Selection(service="checkout", fault="pods/kill").wants(found)
    assert not Selection(service="checkout", fault="network/deny").wants(found)
    assert not Selection(environment="lab").wants(found)
    assert Selection(environment="staging", since=1000.0).wants(found)
    assert not Selection(since=1000.1).wants(found)
    (trial,) = Selection(experiment="experiments/b.yaml").trials([found])
    assert trial.experiment is other


# -- how long it took

DURATIONS = st.one_of(st.integers(0, 1000).map(float), st.just(math.inf))


@given(st.lists(DURATIONS, max_size=9))
def test_times(taken: list[float]) -> None:
    found = times(trials(*map(took, taken)), detected)
    if not taken:
        assert found == Times()
        return
    assert (found.runs, found.never, found.last) == (len(taken), sum(map(math.isinf, taken)), taken[-1])
    assert found.median == statistics.median(taken)
    *before, last = taken
    assert (found.before is None) == (not before)
    if found.before is None:
        return
    assert found.before.runs == len(before)
    if len(taken) < LEAST:
        assert found.before.standing is None
        assert words.change(found) == ""
    else:
        slower, faster = all(last > one for one in before), all(last < one for one in before)
        standing = Standing.SLOWER if slower else Standing.FASTER if faster else Standing.WITHIN
        assert found.before.standing is standing
    median = statistics.median(before)
    finite = math.isfinite(last) and math.isfinite(median)
    assert found.before.change == (pytest.approx(last - median) if finite else None)


def test_the_last_is_compared_with_the_same_experiment_in_the_same_environment() -> None:
    sessions = [
        session(number, took(seconds, path=path), environment=where)
        for number, (seconds, path, where) in enumerate(
            [(10, "a", "staging"), (12, "a", "staging"), (90, "b", "staging"), (80, "a", "lab"), (20, "a", "staging")]
        )
    ]
    found = times(Selection().trials(sessions), detected)
    assert (found.runs, found.median) == (5, 20)
    assert found.before is not None
    assert (found.before.runs, found.before.median, found.before.change) == (2, 11, 9)
    assert found.before.standing is Standing.SLOWER


def test_what_fired_before_the_fault_or_could_not_fire_before_an_abort_was_not_put_to_the_test() -> None:
    missed = AlertPast("Down", Result.MISSED)
    assert detected(experiment(alerts=(AlertPast("Down", Result.BEFORE),))) is None
    assert detected(experiment(alerts=(missed,))) == math.inf
    assert detected(experiment(Verdict.ABORTED, alerts=(missed,))) is None
    fired = (AlertPast("Slow", Result.LATE, 70.0), AlertPast("Up", Result.IN_TIME, 9.0))
    assert detected(experiment(alerts=(missed, *fired))) == 9.0
    assert detected(experiment()) is None


def test_recovery() -> None:
    assert recovered(experiment()) is None
    assert recovered(experiment(recovery=Recovery(True, 3.5, None))) == 3.5
    assert recovered(experiment(recovery=Recovery(False, None, 10.0))) == math.inf


def test_what_stands_out_is_said_and_of_few_runs_nothing() -> None:
    assert [*words.claims(trend("", trials(*map(took, (5.0, 9.0)))), "checkout")] == []
    assert [*words.claims(trend("", trials(*map(took, (5.0, 5.0, 9.0)))), "checkout")] == [
        "checkout: the last detection (9.0\N{NO-BREAK SPACE}s) was slower than all 2 before it"
    ]
    assert [*words.claims(trend("", trials(*map(took, (5.0, 5.0, math.inf)))), "x")] == [
        "x: the last detection (it never came) was slower than all 2 before it"
    ]


# -- findings


@given(SESSIONS)
def test_findings_are_opened_and_closed_as_action_items_are(sessions: list[SessionPast]) -> None:
    actions, events = {}, []
    for one, balance in zip(sessions, balances(Selection().trials(sessions)), strict=True):
        outcomes = [
            Outcome(
                item.path,
                item.service,
                item.verdict or Verdict.ABORTED,
                tuple(
                    FindingRaised(at=0.0, experiment=0, kind=found.kind, title=found.title) for found in item.weaknesses
                ),
            )
            for item in one.experiments
        ]
        changes = changes_after(actions, one.run, outcomes, one.started)
        events += changes
        actions = replay(events)
        assert balance.session is one
        assert balance.open == sum(action.is_open for action in actions.values())
        assert balance.closed == sum(event.change == "closed" for event in changes)
        assert balance.opened == len(changes) - balance.closed


# -- what used to hold


def brute(states: Sequence[bool | None]) -> tuple[int, int, int, int] | None:
    """By looking at every pair: the last good one, and the bad ones after it, with none good among them."""
    known = [(index, state) for index, state in enumerate(states) if state is not None]
    for place in reversed(range(len(known))):
        rest = known[place + 1 :]
        if known[place][1] and rest and not any(state for _, state in rest):
            return known[place][0], rest[0][0], rest[-1][0], len(rest)
    return None


@given(st.lists(st.sampled_from([*Verdict, None]), max_size=9))
def test_a_verdict_that_is_lost(verdicts: list[Verdict | None]) -> None:
    every = trials(*map(experiment, verdicts))
    states = [{Verdict.HELD: True, Verdict.WEAKNESS: False}.get(verdict) if verdict else None for verdict in verdicts]
    assert_found(every, Loss.VERDICT, brute(states))


@given(st.lists(st.sampled_from(Result), max_size=9))
def test_an_alert_that_is_lost(results: list[Result]) -> None:
    every = trials(*(experiment(alerts=(AlertPast("Down", result),)) for result in results))
    states = [None if result is Result.BEFORE else result is Result.IN_TIME for result in results]
    assert_found(every, Loss.ALERT, brute(states))


@given(st.lists(RECOVERY, max_size=9))
def test_a_recovery_that_is_lost(recoveries: list[Recovery | None]) -> None:
    every = trials(*(experiment(recovery=recovery) for recovery in recoveries))
    states = [
        None if one is None else one.recovered and (one.within_s is None or (one.seconds or 0.0) <= one.within_s)
        for one in recoveries
    ]
    assert_found(every, Loss.RECOVERY, brute(states))


def assert_found(every: Sequence[Trial], loss: Loss, expected: tuple[int, int, int, int] | None) -> None:
    found = [one for one in regressions(every) if one.loss is loss]
    if expected is None:
        assert found == []
        return
    good, first, last, runs = expected
    assert found == [
        Regression(loss, every[good], every[first], every[last], runs, "Down" if loss is Loss.ALERT else "")
    ]


@given(SESSIONS)
def test_when_all_is_well_again_nothing_is_lost(sessions: list[SessionPast]) -> None:
    paths = {(item.path, one.environment) for one in sessions for item in one.experiments}
    mended = [
        session(
            5000 + number,
            experiment(path=path, alerts=(AlertPast("Down", Result.IN_TIME, 1.0),), recovery=Recovery(True, 1.0, 50.0)),
            environment=where,
        )
        for number, (path, where) in enumerate(sorted(paths))
    ]
    assert regressions(Selection().trials([*sessions, *mended])) == ()


def test_environments_and_experiments_are_not_mixed_up() -> None:
    weak = experiment(Verdict.WEAKNESS)
    other = msgspec.structs.replace(weak, path="experiments/b.yaml")
    held = session(0, experiment())
    assert regressions(Selection().trials([held, session(1, weak, environment="lab"), session(2, other)])) == ()
    (lost,) = regressions(Selection().trials([held, session(1, weak)]))
    assert (lost.good.session.run, lost.first.session.run) == ("run-0000", "run-0001")


def test_an_alert_that_is_not_expected_any_more_is_not_lost() -> None:
    in_time, missed = (experiment(alerts=(AlertPast("Down", result),)) for result in (Result.IN_TIME, Result.MISSED))
    assert regressions(trials(in_time, missed)) != ()
    assert regressions(trials(in_time, missed, experiment())) == ()


@pytest.mark.parametrize(("before", "after", "changed"), [("a", "a", False), ("a", "b", True), ("", "b", None)])
def test_an_experiment_that_is_written_otherwise(before: str, after: str, changed: bool | None) -> None:
    (lost,) = regressions(trials(experiment(document=before), experiment(Verdict.WEAKNESS, document=after)))
    assert lost.has_changed is changed


def test_regressions_in_words() -> None:
    well = experiment(alerts=(AlertPast("Down", Result.IN_TIME, 1.0),), recovery=Recovery(True, 2.0, 9.0))
    ill = experiment(
        Verdict.WEAKNESS, alerts=(AlertPast("Down", Result.LATE, 99.0),), recovery=Recovery(True, 30.0, 9.0)
    )
    gone = msgspec.structs.replace(ill, alerts=(AlertPast("Down", Result.MISSED),), recovery=Recovery(False, None, 9.0))
    assert [words.regression(one) for one in regressions(trials(well, ill))] == [
        "“A” on staging held, and does not any more",
        "Down fired in time for “A” on staging, and now is late",
        "“A” on staging came back in time, and now comes back late (30\N{NO-BREAK SPACE}s)",
    ]
    found = regressions(trials(well, ill, gone))
    assert [words.regression(one) for one in found][1:] == [
        "Down fired in time for “A” on staging, and now is missed",
        "“A” on staging came back in time, and now does not come back",
    ]
    assert words.since(found[0]) == "last well on 1 January 1970, not since 1 January 1970, 2 runs"


# -- charts


@given(SESSIONS.filter(bool))
def test_charts_hold_what_was_measured(sessions: list[SessionPast]) -> None:
    every = Selection().trials(sessions)
    chart = trend_chart(trend("", every))
    shown = every[-COLUMNS:]
    assert [cell.status for cell in chart.cells] == [trial.status for trial in shown]
    for name, measure in (("Time to detect", detected), ("Time to recover", recovered)):
        wanted = [seconds for t in shown if t.is_judged and (seconds := measure(t.experiment)) is not None]
        dots = [dot for panel in chart.panels if panel.name == name for dot in panel.dots]
        assert [dot.never for dot in dots] == [math.isinf(seconds) for seconds in wanted]
        finite = [(seconds, dot.top) for seconds, dot in zip(wanted, dots, strict=True) if math.isfinite(seconds)]
        assert [pair[0] for pair in sorted(finite)] == [pair[0] for pair in sorted(finite, key=lambda p: (-p[1], p[0]))]
    lefts = [cell.left for cell in chart.cells]
    assert all(0 < left < 100 for left in lefts)
    assert lefts == sorted(lefts)
    assert len(chart.rows) == len(shown)
    assert chart.rows[0].session.run == shown[-1].session.run


def test_lines_join_like_with_like_and_stop_where_something_never_came() -> None:
    sessions = [
        session(number, took(seconds, path=path))
        for number, (seconds, path) in enumerate([(1, "a"), (9, "b"), (2, "a"), (math.inf, "a"), (3, "a"), (9, "b")])
    ]
    (panel, *_) = trend_chart(trend("", Selection().trials(sessions))).panels
    assert [part.count("L") for part in panel.line.split("M")[1:]] == [1, 0, 1]


def test_old_runs_have_no_column() -> None:
    chart = trend_chart(trend("", trials(*(took(1.0) for _ in range(COLUMNS + 3)))))
    assert (len(chart.cells), chart.left_out) == (COLUMNS, 3)
