"""Predictions beside what happened, marks beside the alerts, signatures, and what earlier sessions had left."""

import itertools
import json
import re
from pathlib import Path

import msgspec
import pytest

from gameday.journal.events import AlertState, FindingKind, Mark, Outlook, Role, Verdict
from gameday.journal.log import JOURNAL_NAME
from gameday.journal.signatures import Signature, add_signature, journal_hash
from gameday.people.action_log import outcomes_of
from gameday.people.actions import Action, Change, Content, action_id, changes_after
from gameday.people.predicting import Answer
from gameday.people.wording import say_signal
from gameday.report.earlier import Standing, earlier_actions, owners
from gameday.report.figures import figures, figures_of_people, first_alert
from gameday.report.found import HEADINGS, Heading, lists_of
from gameday.report.html import _signers
from gameday.report.model import load_report
from gameday.report.predictions import say_prediction, tabulate_predictions
from gameday.report.render import Format, render
from gameday.report.views import ExperimentReport, Report
from gameday.report.words import sentences

from . import journals
from .journals import CPU, ERRORS, LATENCY, TRAFFIC, Journal
from .test_render import Page

BUILDER, SRE, LEAD = "@checkout-dev", "@sre-oncall", "@lead"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return journals.partnership(tmp_path_factory.mktemp("people") / "run").directory


@pytest.fixture(scope="module")
def report(directory: Path) -> Report:
    return load_report(directory)


# -- predictions


def answers(experiment: ExperimentReport) -> dict[str, tuple[str, dict[str, Answer]]]:
    """Of each question what happened, and how each who said anything had it."""
    return {
        question.text: (question.observed, {said.author: said.answer for said in question.said if said.text})
        for question in experiment.predictions.questions
    }


def test_predictions_beside_what_happened(report: Report) -> None:
    right, wrong, unsure = Answer.RIGHT, Answer.WRONG, Answer.OPEN
    assert answers(report.experiments[0]) == {
        f"Will {say_signal(LATENCY)} hold?": ("it broke", {BUILDER: wrong, SRE: right}),
        f"Will {say_signal(ERRORS)} hold?": ("it broke", {BUILDER: wrong, SRE: unsure}),
        f"Will {say_signal(CPU)} hold?": ("it held", {BUILDER: right, SRE: right}),
        f"Will {say_signal(TRAFFIC)} hold?": ("it held", {LEAD: wrong}),
        "Will PaymentsErrorsHigh fire?": ("it fired after 12.9\N{NO-BREAK SPACE}s", {BUILDER: wrong, SRE: right}),
        "Will CheckoutErrorsHigh fire?": ("it did not fire", {BUILDER: wrong, SRE: right}),
        "Will users notice?": ("they did", {BUILDER: wrong, SRE: right, LEAD: right}),
    }


def test_where_builder_and_sre_differ_comes_first(report: Report) -> None:
    differ = [question.differ for question in report.experiments[0].predictions.questions]
    assert differ == [True] * 5 + [False] * 2


def test_what_was_said_after_the_injection_is_not_counted(report: Report) -> None:
    found = report.experiments[0].predictions
    assert [event.author for event in found.made] == [BUILDER, SRE, LEAD]
    [late] = found.late
    assert (late.author, say_prediction(late)) == ("@sam", f"Will {say_signal(LATENCY)} hold? breaks; I said so")


def test_of_an_aborted_run_only_what_happened_is_known(report: Report) -> None:
    could_not = ("could not be told", {BUILDER: Answer.OPEN})
    asked = (f"Will {say_signal(ERRORS)} hold?", "Will EdgeSlow fire?")
    assert answers(report.experiments[1]) == dict.fromkeys(asked, could_not)


def said_in(directory: Path, build: str, signals: dict[str, Outlook], alerts: dict[str, float | None]) -> Report:
    """A session of one experiment with one prediction."""
    journal = Journal(directory)
    journal.start([journals.experiment()])
    journals.predict(journal, 0, SRE, Role.SRE, signals=signals, alerts=alerts, users_notice=True)
    journal.now += 0.1
    getattr(journals, build)(journal, 0)
    return load_report(journal.close_session(Verdict.HELD))


def test_users_do_not_notice_what_held(tmp_path: Path) -> None:
    [held] = said_in(tmp_path / "run", "held", {CPU: Outlook.HOLDS}, {"PaymentsReplicaDown": None}).experiments
    assert answers(held) == {
        f"Will {say_signal(CPU)} hold?": ("it held", {SRE: Answer.RIGHT}),
        "Will PaymentsReplicaDown fire?": ("it fired after 3.0\N{NO-BREAK SPACE}s", {SRE: Answer.WRONG}),
        "Will users notice?": ("they did not", {SRE: Answer.WRONG}),
    }


@pytest.mark.parametrize("service", ["payments", None])
def test_users_notice_the_service_s_own_signals(service: str | None, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.start([journals.experiment(service=service)])
    journals.predict(journal, 0, SRE, Role.SRE, users_notice=True)
    journal.now += 0.1
    journals.broken(journal, 0)  # checkout's break
    [experiment] = load_report(journal.close_session(Verdict.WEAKNESS)).experiments
    assert answers(experiment) == {"Will users notice?": ("could not be told", {SRE: Answer.OPEN})}


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ((LATENCY, ERRORS), "they did not"),
        ((LATENCY, TRAFFIC), "could not be told"),  # quick errors are what users notice most
        ((ERRORS, CPU), "could not be told"),
    ],
)
def test_that_users_noticed_nothing_takes_latency_and_errors(
    signals: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    conditions = tuple(condition for condition in journals.CONDITIONS if condition.signal in signals)
    journal = Journal(tmp_path / "run")
    journal.start([journals.experiment(conditions=conditions)])
    journals.predict(journal, 0, SRE, Role.SRE, users_notice=False)
    journal.now += 0.1
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    journal.end_stage(0, 0, dict.fromkeys(signals, 0.002))
    journal.undo(0, 1)
    journal.end(0, Verdict.HELD)
    [experiment] = load_report(journal.close_session(Verdict.HELD)).experiments
    assert answers(experiment)["Will users notice?"][0] == told


def test_what_was_not_read_or_was_there_before_is_not_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.start([journals.experiment()])
    signals = {LATENCY: Outlook.HOLDS, ERRORS: Outlook.HOLDS}
    alerts = {"Watchdog": None, "Unheard": None}
    journals.predict(journal, 0, SRE, Role.SRE, signals=signals, alerts=alerts, users_notice=False)
    journal.now += 0.1
    journal.begin(0)
    journal.alert(0, "Watchdog", AlertState.FIRING, expected=False, existed_before=True)
    journal.inject(0, 0, ["payments-1"])
    journal.end_stage(0, 0, {LATENCY: None, ERRORS: 0.002})
    journal.undo(0, 1)
    journal.end(0, Verdict.WEAKNESS)
    [experiment] = load_report(journal.close_session(Verdict.WEAKNESS)).experiments
    told = {question: observed for question, (observed, _) in answers(experiment).items()}
    assert told == {
        f"Will {say_signal(LATENCY)} hold?": "could not be told",
        f"Will {say_signal(ERRORS)} hold?": "it held",
        "Will Watchdog fire?": "could not be told",
        "Will Unheard fire?": "it did not fire",
        "Will users notice?": "could not be told",
    }


def test_nothing_is_told_of_alerts_without_a_source_or_an_injection(tmp_path: Path) -> None:
    for name, injects in (("blind", True), ("idle", False)):
        journal = Journal(tmp_path / name)
        journal.start([journals.experiment(alerts=())])
        journals.predict(journal, 0, SRE, Role.SRE, alerts={"PaymentsDown": None})
        journal.now += 0.1
        journal.begin(0)
        if injects:
            journal.inject(0, 0, ["payments-1"])
        journal.end(0, Verdict.HELD)
        [experiment] = load_report(journal.close_session(Verdict.HELD)).experiments
        assert answers(experiment)["Will PaymentsDown fire?"][0] == "could not be told"
        assert experiment.predictions.late == ()


def test_a_column_for_each_side_that_spoke(report: Report, tmp_path: Path) -> None:
    table = tabulate_predictions(report.experiments[0].predictions)
    assert table.sides == (("Builder says", BUILDER), ("SRE says", SRE), ("Other says", LEAD))
    journal = Journal(tmp_path / "run")
    journal.start([journals.experiment()])
    for author in ("@a", "@b"):
        journals.predict(journal, 0, author, Role.SRE, users_notice=True)
    [experiment] = load_report(journal.close()).experiments
    table = tabulate_predictions(experiment.predictions)
    assert table.sides == (("SREs say", ""),)
    [(_, [said])] = table.rows
    assert [one.author for one in said] == ["@a", "@b"]


# -- marks


def test_people_beside_the_machines(report: Report) -> None:
    weak, ended = report.experiments
    space = "\N{NO-BREAK SPACE}"
    assert [(one.name, one.figure, one.remark) for one in figures(weak)][1:3] == [
        ("Time to detect", f"12.9{space}s", "1 of 2 alerts"),
        ("Noticed by people", f"13.3{space}s", f"by {SRE}, 380{space}ms after PaymentsErrorsHigh fired"),
    ]
    assert [(one.name, one.figure, one.remark) for one in figures_of_people(weak)] == [
        ("Diagnosed", f"22.8{space}s", f"by {SRE}"),
        ("Mitigated", f"27.8{space}s", f"by {BUILDER}"),
        ("All clear", f"41.8{space}s", f"by {LEAD}"),
    ]
    assert [one.name for one in figures(ended)] == ["Blast radius", "Time to detect", "Time to notify", "Recovery"]


def test_marks_are_on_the_timeline_and_on_the_charts(report: Report) -> None:
    weak = report.experiments[0]
    assert [(entry.kind, entry.text) for entry in weak.timeline if entry.at in {mark.at for mark in weak.marks}] == [
        ("Detected", f"{SRE}: the error graph"),
        ("Diagnosed", f"{SRE}: two replicas are gone"),
        ("Mitigated", BUILDER),
        ("All clear", LEAD),
    ]
    page = render(report, Format.HTML)
    assert page.count('class="rule m-mark"') == 4 * 4  # of four charts


def test_the_first_mark_after_the_injection_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.start([journals.experiment(alerts=())])
    journal.add(journals.MarkSet, author="@early", mark=Mark.DETECTED, text="before anything began")
    journal.begin(0)
    journal.add(journals.MarkSet, author="@early", mark=Mark.DETECTED, experiment=0)
    journal.inject(0, 0, ["payments-1"])
    began = journal.now
    for author, after in (("@second", 8.0), ("@first", 5.0)):
        journal.add(journals.MarkSet, author=author, mark=Mark.DETECTED, experiment=0, at=began + after)
    report = load_report(journal.close())
    [experiment] = report.experiments
    assert first_alert(experiment) is None
    assert [one.remark for one in figures(experiment)][1:] == ["by @first; no alert fired"]
    assert [(note.author, note.text) for note in report.notes] == [("@early", "detected: before anything began")]
    [_, said] = render(report, Format.MARKDOWN).split("\n### Notes\n\n")
    assert said.endswith(" UTC, @\N{ZERO WIDTH SPACE}early: detected&#58; before anything began\n")


# -- action items


def test_every_kind_of_finding_is_in_one_list() -> None:
    assert set(HEADINGS) == set(FindingKind)
    assert set(HEADINGS.values()) == set(Heading)


def test_lists(report: Report) -> None:
    found = {one.heading: [finding.kind for finding in one.findings] for one in lists_of(report)}
    assert found == {
        Heading.BROKE: [FindingKind.HYPOTHESIS_BROKEN],
        Heading.UNSEEN: [FindingKind.ALERT_LATE, FindingKind.ALERT_MISSED],
        Heading.UNABLE: [FindingKind.RUNBOOK_MISSING],
        Heading.OTHER: [FindingKind.ALERT_UNEXPECTED],
    }


def test_what_earlier_sessions_left(report: Report) -> None:
    earlier = earlier_actions(report)
    assert [(one.standing, one.experiment) for one in earlier] == [
        (Standing.FOUND_AGAIN, 0),
        (Standing.CLOSED, 0),
        (Standing.NOT_TESTED, 1),  # its experiment was aborted
        (Standing.NOT_TESTED, None),  # by hand
    ]
    assert [one.is_regression for one in earlier] == [True, False, False, False]


def test_the_report_says_of_each_what_will_become_of_it(report: Report, directory: Path) -> None:
    """As `gameday actions` will have it, which reads the log that the report cannot see."""
    infos = {one.index: one.info for one in report.experiments}
    actions = {}
    for one in earlier_actions(report):
        paths = [info.path for info in infos.values()]
        kinds = [(path, kind) for path in paths for kind in FindingKind]
        made_of = next(
            (pair for pair in kinds if action_id(*pair, one.action.title) == one.action.action), (None, None)
        )
        content = Content(one.action.title, one.action.service, experiment=made_of[0], kind=made_of[1])
        actions[one.action.action] = Action(one.action.action, content, one.action.opened_at, one.action.opened_by)
    changes = changes_after(actions, "run", outcomes_of(directory), 0.0)
    closed = {event.id for event in changes if event.change is Change.CLOSED}
    opened = {event.id for event in changes if event.change is Change.OPENED}
    assert closed == {one.action.action for one in earlier_actions(report) if one.standing is Standing.CLOSED}
    assert opened == {one.action for one in report.findings if one.action} - set(actions)


def test_an_action_stays_with_whoever_has_it(report: Report) -> None:
    late = next(one for one in report.findings if one.kind is FindingKind.ALERT_LATE)
    assert late.action
    assert (late.owner, owners(report)[late.action]) == ("team-checkout", "team-payments")


def test_what_is_next(report: Report, tmp_path: Path) -> None:
    assert sentences(report)[2] == (
        f"Mend first: {journals.LATE} (team-payments). Then the 3 other weaknesses. Run it again to see."
    )
    for name, said in (
        ("undo_failed", "Undo what is left"),
        ("not_started", "Settle what kept it from starting"),
        ("interrupted", "Undo what is left"),
    ):
        assert sentences(load_report(getattr(journals, name)(tmp_path / name).directory))[2].startswith(said)
    held = said_in(tmp_path / "held", "held", {}, {})
    assert sentences(held)[2] == ("Show next that whoever is paged for checkout can understand, act and escalate.")
    recalled = msgspec.structs.replace(held, recalled=report.recalled[3:])
    assert sentences(recalled)[2].startswith("Nothing new is to be done; 1 action item of earlier sessions")


# -- what is written


def page_of(directory: Path) -> str:
    return " ".join("".join(Page(render(load_report(directory), Format.HTML)).text).split())


def test_page(directory: Path) -> None:
    said = page_of(directory)
    for phrase in (
        "REGRESSION: It did not stay mended: PaymentsErrorsHigh fired 40 s too late. "
        "It came back 2 times, and is there again.",
        "What broke 1",
        "What went unseen 2",
        "What could not be acted on 1",
        "you did not agree",
        "Said too late, not counted",
        "retries hide it, up to two replicas",
        "its experiment ran to its end, and did not find it any more: experiment 1",
        "its experiment did not run to its end: experiment 2",
        "no experiment of this session is the one that found it",
        "the dashboard payments is not there (experiment 1)",
        "Nobody has signed yet. Missing: a builder and an SRE.",
    ):
        assert phrase in said
    assert said.count("you did not agree") == 5
    headings = ["What was found", "Still open from earlier sessions", "Can it be handed over?", "Appendix"]
    assert sorted(headings, key=said.index) == headings


def test_links_of_actions_lead_nowhere_but_to_pages(directory: Path) -> None:
    links = Page(render(load_report(directory), Format.HTML)).attributes("href")
    assert "https://github.com/example/shop/issues/12" in links
    assert not [link for link in links if "javascript" in link]


def test_signatures(tmp_path: Path) -> None:
    directory = journals.partnership(tmp_path / "run").directory
    assert [role for role, _ in _signers(load_report(directory))] == ["Facilitator", "Builder", "SRE"]
    now = journal_hash(directory)
    add_signature(directory, Signature(BUILDER, Role.BUILDER, journals.T0 + 4000, now, "once the queue has a panel"))
    add_signature(directory, Signature(SRE, Role.SRE, journals.T0 + 4060, now))
    report = load_report(directory)
    assert [(one.signature.author, one.is_valid) for one in report.signatures] == [(BUILDER, True), (SRE, True)]
    assert _signers(report) == (("Facilitator", LEAD),)
    said = page_of(directory)
    assert "once the queue has a panel" in said
    assert "6 March 2026, 11:06 UTC" in said
    assert "void" not in said
    assert "Still missing" not in said

    with (directory / JOURNAL_NAME).open("ab") as file:
        file.write(b"\n")
    add_signature(directory, Signature(SRE, Role.SRE, journals.T0 + 4120, journal_hash(directory)))
    report = load_report(directory)
    assert [(one.signature.author, one.is_valid) for one in report.signatures] == [(BUILDER, False), (SRE, True)]
    assert _signers(report) == (("Facilitator", LEAD), ("Builder", BUILDER))
    said = page_of(directory)
    assert "voidthe journal has changed since" in said
    assert "Still missing: a builder." in said
    markdown = render(report, Format.MARKDOWN)
    assert "**void**, the journal has changed since" in markdown
    assert "- Not signed by a builder" in markdown


def test_json(directory: Path) -> None:
    document = json.loads(render(load_report(directory), Format.JSON))
    weak = document["experiments"][0]
    assert [question["differ"] for question in weak["predictions"]["questions"]] == [True] * 5 + [False] * 2
    assert [late["after_s"] for late in weak["predictions"]["too_late"]] == [13.27]
    assert [(mark["mark"], mark["after_s"]) for mark in weak["marks"]] == [
        ("detected", 13.27),
        ("diagnosed", 22.77),
        ("mitigated", 27.77),
        ("all-clear", 41.77),
    ]
    assert weak["detection"] == {
        "people_after_s": 13.27,
        "by": SRE,
        "alert": "PaymentsErrorsHigh",
        "alert_after_s": 12.89,
    }
    [handover] = document["handover"]
    assert (handover["service"], handover["readiness"]) == ("checkout", "not yet")
    assert [one["standing"] for one in document["earlier_actions"]][:2] == ["found again", "closed"]
    assert document["unsigned"] == ["builder", "sre"]
    documented = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
    for keys in (
        document,
        weak,
        weak["predictions"],
        weak["predictions"]["questions"][0],
        weak["predictions"]["questions"][0]["said"][0],
        weak["predictions"]["words"][0],
        weak["predictions"]["too_late"][0],
        weak["marks"][0],
        weak["detection"],
        weak["findings"][0],
        handover,
        handover["lines"][0],
        handover["lines"][0]["evidence"][0],
        document["earlier_actions"][0],
    ):
        for key in keys:
            assert f"`{key}`" in documented, f"docs/report.md does not say what {key} is"


def test_markdown(directory: Path) -> None:
    text = render(load_report(directory), Format.MARKDOWN).replace("\\", "")
    for words in (
        "### What broke\n",
        "### What went unseen\n",
        "### What could not be acted on\n",
        "### Still open from earlier sessions\n",
        "### Can it be handed over?\n",
        "hold? **(you did not agree)** | holds: ❌ wrong | breaks: ✅ right | — | it broke |",
        "- **REGRESSION&#58; It did not stay mended",
        "**found again**",
        "Said too late by",
    ):
        assert words in text
    assert_tables(text)


def assert_tables(text: str) -> None:
    """Each row has as many cells as the head of its table."""
    lines = text.splitlines()
    ruled = [n for n, line in enumerate(lines) if re.fullmatch(r"(\|---)+\|", line)]
    assert len(ruled) > 5
    for first in ruled:
        assert lines[first - 1].count("|") == lines[first].count("|")
        for line in itertools.takewhile(lambda line: line.startswith("|"), lines[first:]):
            assert line.count("|") == lines[first].count("|"), line
