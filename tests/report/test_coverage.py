"""Would anyone notice, and could they act: what the journal says of it, in the page, the Markdown and the JSON."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gameday.journal.events import (
    AlertExamination,
    AlertInfo,
    AlertRuleInfo,
    FindingKind,
    ReceiverInfo,
    RunbookExamined,
    RunbookInfo,
    RunbookStep,
    RunbookStepInfo,
    StepOutcome,
)
from gameday.report import words
from gameday.report.coverage import Said, Table, tabulate_alerts
from gameday.report.model import load_report
from gameday.report.render import Format, render
from gameday.report.views import Alert, AlertOutcome, Dashboard, ExperimentReport

from . import journals
from .test_render import assert_junit, assert_sound, page_of

FIXTURE = Path(__file__).parents[1] / "journal" / "fixtures" / "format-1-dashboards.jsonl"
DOCS = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")


def plain(text: str) -> str:
    """On one line, with usual spaces, without what Markdown is escaped by."""
    text = re.sub(r"\\(?=[^\w\s])", "", text.replace("&#58;", ":"))
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_every_kind_of_finding_has_words() -> None:
    assert set(words.KINDS) == set(FindingKind)


def test_the_page_of_dashboards_and_on_call() -> None:
    page, text = page_of(FIXTURE)
    assert_sound(page, text)
    said = plain(" ".join(page.text))
    for phrase in (
        "Would anyone notice, and could they act?",
        "Checkout overview",
        "named by service checkout",
        "1 of 2",
        "Queue depth",
        "not there there is no dashboard of this uid",
        "pagerduty , for checkout",
        "Ada",
        "Grace , Lin",
        "6 March 2026, 12:26",
        "7 March 2026, 16:13 to 17:13",
        "Dashboard missing",
        "Nobody on call",
    ):
        assert phrase in said, phrase
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a" and "rel" in attributes]
    assert links == [
        "https://example.pagerduty.com/schedules/P1",
        "https://wiki.example.com/checkout-down",  # a runbook's
        "https://grafana.example.com/d/checkout-overview",
    ]


def test_the_markdown_of_dashboards_and_on_call() -> None:
    said = plain(render(load_report(FIXTURE), Format.MARKDOWN))
    assert "| Checkout overview | 1 of 2 | Queue depth | none | Requests | Notes |" in said
    assert "| payments | **not there**, there is no dashboard of this uid |" in said
    assert (
        "- On call for checkout: Ada, then Grace and Lin, until 6 March 2026, 12:26 UTC; "
        "nobody from 7 March 2026, 16:13 to 17:13 UTC" in said
    )


def test_the_document_of_dashboards_and_on_call() -> None:
    (experiment,) = json.loads(render(load_report(FIXTURE), Format.JSON))["experiments"]
    lost, overview = sorted(experiment["dashboards"], key=lambda board: board["name"], reverse=True)
    assert (lost["name"], lost["found"], lost["compared"], lost["panels"]) == ("payments", False, False, [])
    assert (overview["title"], overview["named_by"], overview["compared"]) == (
        "Checkout overview",
        ["service checkout"],
        True,
    )
    assert [(panel["title"], panel["state"], panel["moved"]) for panel in overview["panels"]] == [
        ("Requests", "data", True),
        ("Queue depth", "empty", None),
        ("Notes", "unknown", None),
    ]
    (call,) = experiment["on_call"]
    assert (call["people"], call["until"]) == ([["Ada"], ["Grace", "Lin"]], "2026-03-06T12:26:40.000Z")
    assert call["holes"] == [{"from": "2026-03-07T16:13:20.000Z", "to": "2026-03-07T17:13:20.000Z"}]
    for value in (overview, overview["panels"][0], call, call["holes"][0]):
        for key in value:
            assert f"`{key}`" in DOCS, key


def test_a_missing_dashboard_is_a_failure_of_its_own_in_junit() -> None:
    root = assert_junit(render(load_report(FIXTURE), Format.JUNIT))
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ["finding: There is no dashboard payments"]


def test_a_whole_experiment_in_one_table(tmp_path: Path) -> None:
    report = load_report(journals.rich(tmp_path / "run").directory)
    table = tabulate_alerts(report.experiments[1])
    assert table.columns == (
        "Rule", "Routed to", "Fired", "Notified", "Acknowledged", "Resolved", "Runbook", "Dashboard",
    )  # fmt: skip
    late, missed, unexpected = (dict(zip(table.columns, row.cells, strict=True)) for row in table.rows)
    assert (late["Rule"].word, plain(late["Rule"].remarks[0])) == (
        "may be too slow",
        "takes 6.0 s to 12 s: scrape 5s + evaluation 1s + for 5s",
    )
    assert late["Routed to"].word == "sre-pager (pagerduty and slack)"
    assert [plain(late[name].word) for name in ("Fired", "Notified", "Acknowledged")] == ["12.9 s", "20 s", "by nobody"]
    assert late["Runbook"] == Said("incomplete", "bad", ("Payments answers with errors", "followed by @sre-oncall"))
    assert late["Dashboard"] == Said("missing", "bad", ("payments",))  # its own, not the service's
    assert (missed["Rule"].word, missed["Rule"].tone) == ("missing", "bad")
    assert missed["Dashboard"].word == "moved"
    assert missed["Runbook"] == Said("missing", "bad", ("checkout-errors",))
    assert [unexpected[name].word for name in ("Rule", "Runbook", "Dashboard")] == ["", "", ""]


def experiment(
    tmp_path: Path, alert: Callable[[Alert], Alert] = lambda alert: alert, **changes: object
) -> ExperimentReport:
    """The one experiment in which all is well, with something changed."""
    found = load_report(journals.rich(tmp_path / "run").directory).experiments[0]
    found = msgspec.structs.replace(found, **changes)
    return msgspec.structs.replace(found, alerts=tuple(map(alert, found.alerts)))


def cell(table: Table, column: str) -> Said:
    return table.rows[0].cells[table.columns.index(column)]


@pytest.mark.parametrize(
    ("found", "word", "tone"),
    [
        ({"at_best_s": 2.0, "at_most_s": 9.0}, "exists", "good"),
        ({"at_best_s": 11.0, "at_most_s": 19.0}, "too slow", "bad"),
        ({"at_best_s": 2.0, "at_most_s": 19.0}, "may be too slow", "warn"),
        ({"at_best_s": 2.0, "at_most_s": 9.0, "fires": True}, "fires already", "warn"),
        ({"missing_series": ("up",)}, "may never fire", "warn"),
        ({"error": "no such function"}, "fails", "bad"),
    ],
)
def test_what_is_said_of_a_rule(tmp_path: Path, found: dict[str, object], word: str, tone: str) -> None:
    examined = msgspec.convert({"name": "PaymentsReplicaDown"} | found, AlertExamination)
    table = tabulate_alerts(
        experiment(tmp_path, lambda alert: msgspec.structs.replace(alert, examined=examined, has_rule=True))
    )
    assert (cell(table, "Rule").word, cell(table, "Rule").tone) == (word, tone)


@pytest.mark.parametrize(("has_rule", "word"), [(None, "not known"), (True, "exists"), (False, "missing")])
def test_a_rule_that_was_not_examined(tmp_path: Path, has_rule: bool | None, word: str) -> None:
    table = tabulate_alerts(experiment(tmp_path, lambda alert: msgspec.structs.replace(alert, has_rule=has_rule)))
    assert cell(table, "Rule").word == word
    assert "Routed to" not in table.columns  # nothing is known of it


@pytest.mark.parametrize(
    ("receivers", "quiet", "word"),
    [
        ((ReceiverInfo(name="pager", integrations=("webhook",)),), (), "pager (webhook)"),
        ((ReceiverInfo(name="null"),), (), "nobody"),
        ((ReceiverInfo(name="pager", integrations=("webhook",)),), ("silenced",), "nobody"),
    ],
)
def test_whom_it_is_routed_to(
    tmp_path: Path, receivers: tuple[ReceiverInfo, ...], quiet: tuple[str, ...], word: str
) -> None:
    examined = AlertExamination(name="x", receivers=receivers, quiet=quiet)
    table = tabulate_alerts(experiment(tmp_path, lambda alert: msgspec.structs.replace(alert, examined=examined)))
    assert (cell(table, "Routed to").word, cell(table, "Routed to").remarks) == (word, quiet)


def test_a_runbook_that_the_rule_names_and_somebody_followed(tmp_path: Path) -> None:
    url = "https://example.com/books/replica-down.md#first"
    rule = AlertRuleInfo(name="PaymentsReplicaDown", expression="up == 0", for_s=1.0, runbook_url=url)
    expected = AlertInfo(name="PaymentsReplicaDown", within_s=10.0)
    step = RunbookStepInfo(runbook="replica-down", outcome=StepOutcome.DONE)
    followed = (RunbookStep(at=1.0, author="@ada", step=step),)

    def change(alert: Alert) -> Alert:
        return msgspec.structs.replace(alert, expected=expected, rule=rule)

    changed = experiment(tmp_path, change, followed=followed)
    assert cell(tabulate_alerts(changed), "Runbook") == Said("not read", "plain", (url, "followed by @ada"))
    unread = RunbookInfo(name=url, found=None, detail="HTTP 403")
    info = msgspec.structs.replace(changed.info, runbooks=(unread,))
    changed = msgspec.structs.replace(changed, info=info)
    assert cell(tabulate_alerts(changed), "Runbook").word == "not read"
    page_like = RunbookInfo(name=url, found=True, detail="a page of HTML")
    info = msgspec.structs.replace(changed.info, runbooks=(page_like,))
    assert cell(tabulate_alerts(msgspec.structs.replace(changed, info=info)), "Runbook").word == "found"
    changed = experiment(tmp_path, lambda alert: msgspec.structs.replace(alert, expected=expected))
    assert cell(tabulate_alerts(changed), "Runbook").word == "none named"


@pytest.mark.parametrize(
    ("dashboards", "word", "tone"),
    [
        ((), "none looked at", "plain"),
        ((Dashboard(journals.CHECKOUT),), "found", "warn"),
        ((Dashboard(journals.WIKI),), "not looked at", "plain"),
        ((Dashboard(journals.moved(journals.CHECKOUT, "2"), looked_again=True),), "moved", "good"),
        ((Dashboard(journals.moved(journals.CHECKOUT), looked_again=True),), "did not move", "warn"),
        # Another alert's is not this one's.
        ((Dashboard(journals.PAYMENTS), Dashboard(journals.moved(journals.CHECKOUT, "2"), True)), "moved", "good"),
    ],
)
def test_what_is_said_of_its_dashboards(
    tmp_path: Path, dashboards: tuple[Dashboard, ...], word: str, tone: str
) -> None:
    table = tabulate_alerts(experiment(tmp_path, dashboards=dashboards))
    assert (cell(table, "Dashboard").word, cell(table, "Dashboard").tone) == (word, tone)


def test_no_rules_where_nothing_was_injected_may_be_no_answer(tmp_path: Path) -> None:
    journal = journals.Journal(tmp_path / "run")
    journal.start([journals.experiment()])
    journal.add(journals.AlertRulesRead, rules=(), experiment=0)
    (alert,) = load_report(journal.directory).experiments[0].alerts
    assert (alert.has_rule, alert.outcome) == (None, AlertOutcome.NOT_TESTED)
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    (alert,) = load_report(journal.directory).experiments[0].alerts
    assert alert.has_rule is False


def test_a_runbook_at_a_url_is_shown_as_it_was_found_later(tmp_path: Path) -> None:
    url = "https://example.com/books/replica-down.md"
    journal = journals.Journal(tmp_path / "run")
    alerts = (AlertInfo(name="PaymentsReplicaDown", within_s=10.0, runbook=url),)
    journal.start([journals.experiment(alerts=alerts, runbooks=(RunbookInfo(name=url, found=None),))])
    found = RunbookInfo(name=url, found=True, title="A replica is down", missing_sections=("Rollback",))
    journal.add(RunbookExamined, runbook=found, experiment=0)
    report = load_report(journal.directory)
    assert report.experiments[0].info.runbooks == (found,)
    assert cell(tabulate_alerts(report.experiments[0]), "Runbook").word == "incomplete"
    page, _ = page_of(journal.directory)
    assert [attributes["href"] for tag, attributes in page.elements if tag == "a" and "rel" in attributes] == [url]
