"""The matrix says what is written, and what was exercised the last time, and nothing that is not known."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gameday.coverage.matrix import (
    AlertRow,
    Exercise,
    ExperimentRun,
    Look,
    Moment,
    Past,
    Result,
    Rules,
    RunbookState,
    ServiceCoverage,
    build_matrix,
    merge,
    services_of,
)
from gameday.journal.events import AlertExamination, AlertRuleInfo, Verdict
from gameday.spec.experiment import load_experiment
from gameday.spec.model import Experiment, Project, Runbook, Service

ROOT = Path("/shop")
WHOLE = Runbook(ROOT / "runbooks/down.md", "down", "It is down", alerts=("ListedDown",), dashboards=("boards/down",))
PART = Runbook(ROOT / "runbooks/slow.md", "slow", "It is slow", service="payments", missing_sections=("Rollback",))
PROJECT = Project(
    path=ROOT / "gameday.yaml",
    name="shop",
    environments=(),
    services=(
        Service("checkout", "team-checkout", ("down",), ("payments",), ("overview",)),
        Service("payments"),
    ),
    history="",
    runbooks=(WHOLE, PART),
)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Of checkout; it expects CheckoutDown, with the runbook `down`, and Unruly without any."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "title: A\nservice: checkout\nmethod: []\nexpect:\n  dashboards: [extra]\n  alerts:\n"
        "    - {name: CheckoutDown, within: 10s, runbook: down}\n    - {name: Unruly, within: 10s}\n"
    )
    return msgspec.structs.replace(load_experiment(path), path=ROOT / "experiments/a.yaml")


def rule(name: str, service: str | None = None, **values: str) -> AlertRuleInfo:
    return msgspec.convert({"name": name, "expression": "x", "for_s": 1.0, "service": service} | values, AlertRuleInfo)


def matrix(
    experiments: Sequence[Experiment] = (),
    rules: Sequence[AlertRuleInfo] = (),
    past: Past | None = None,
    are_all: bool = True,
) -> dict[str | None, ServiceCoverage]:
    found = build_matrix(PROJECT, experiments, Rules(tuple(rules), are_all), past or Past())
    assert len({entry.name for entry in found}) == len(found)
    return {entry.name: entry for entry in found}


def alert(entry: ServiceCoverage, name: str) -> AlertRow:
    (found,) = [row for row in entry.alerts if row.name == name]
    return found


def test_services_are_those_of_the_project_and_of_experiments(experiment: Experiment) -> None:
    others = [msgspec.structs.replace(experiment, service=name) for name in ("zeta", "alpha", "checkout", None)]
    assert services_of(PROJECT, others) == ("checkout", "payments", "alpha", "zeta")
    assert list(matrix(others)) == ["checkout", "payments", "alpha", "zeta", None]


def test_an_alert_is_of_the_services_that_expect_it_and_of_its_label(experiment: Experiment) -> None:
    rules = [rule("CheckoutDown", "payments"), rule("Idle", "payments"), rule("Foreign", "elsewhere"), rule("Bare")]
    found = matrix([experiment], rules)
    assert [row.name for row in found["checkout"].alerts] == ["CheckoutDown", "Unruly"]
    assert [row.name for row in found["payments"].alerts] == ["CheckoutDown", "Idle"]
    assert alert(found["checkout"], "CheckoutDown").expected_by == ("experiments/a.yaml",)
    assert alert(found["payments"], "Idle").expected_by == ()
    assert None not in found, "rules of others are no affair of this project"


def test_a_rule_is_missing_only_where_all_are_known(experiment: Experiment) -> None:
    rules = [rule("CheckoutDown")]
    found = matrix([experiment], rules)["checkout"]
    assert [row.has_rule for row in found.alerts] == [True, False]
    found = matrix([experiment], rules, are_all=False)["checkout"]
    assert [row.has_rule for row in found.alerts] == [True, None]


def test_rules_of_one_name_and_several_severities_have_a_row_each(experiment: Experiment) -> None:
    rules = (
        rule("CheckoutDown", "checkout", severity="warning", runbook_url="https://x.example/slow"),
        rule("CheckoutDown", "checkout", severity="page"),
        rule("CheckoutDown", "checkout", severity="page", dashboard="https://d.example/1"),
        rule("Unruly", severity="page"),
    )
    down, unruly = experiment.alerts
    paged = msgspec.structs.replace(down, severity="page")
    wanted = msgspec.structs.replace(experiment, alerts=(paged, unruly))
    examined = {
        0: AlertExamination(name="CheckoutDown"),
        1: AlertExamination(name="CheckoutDown"),
        2: AlertExamination(name="CheckoutDown", quiet=("silenced",)),
    }
    past = Past(alerts={"CheckoutDown": Exercise("run-1", 100.0, Result.IN_TIME)})
    [found, *_] = build_matrix(PROJECT, [wanted], Rules(rules, True, examined), past)
    assert [row.title for row in found.alerts] == ["CheckoutDown (warning)", "CheckoutDown (page)", "Unruly"]
    warning, page, other = found.alerts
    assert (warning.expected_by, warning.exercise, warning.runbook and warning.runbook.name) == ((), None, "slow")
    assert (page.expected_by, page.exercise is not None, page.runbook and page.runbook.name) == (
        ("experiments/a.yaml",), True, "down"
    )  # fmt: skip
    assert (warning.examined, page.examined) == (examined[0], examined[2]), "of two rules the worse is said"
    assert (other.severity, other.examined) == (None, None)
    # Whoever asks for no severity, or for one that no rule has, may mean any.
    for severity in (None, "info"):
        wanted = msgspec.structs.replace(experiment, alerts=(msgspec.structs.replace(down, severity=severity),))
        rows = build_matrix(PROJECT, [wanted], Rules(rules, True), past)[0].alerts
        assert [row.expected_by for row in rows] == [("experiments/a.yaml",)] * 2


def test_a_rule_of_the_same_name_for_another_service_is_not_taken_for_ours() -> None:
    rules = [
        rule("Errors", "payments", runbook_url="https://x.example/slow"),
        rule("Errors", "checkout", runbook_url="https://x.example/down"),
    ]
    found = matrix([], rules)
    books = {name: alert(found[name], "Errors").runbook for name in ("payments", "checkout")}
    assert {name: book.name for name, book in books.items() if book} == {"payments": "slow", "checkout": "down"}


@pytest.mark.parametrize(
    ("rules", "name", "runbook", "state"),
    [
        ([], "CheckoutDown", "down", RunbookState.WHOLE),
        ([], "Unruly", None, None),
        ([rule("ListedDown", "checkout")], "ListedDown", "down", RunbookState.WHOLE),
        (
            [rule("Unruly", "checkout", runbook_url="https://x.example/books/slow.md#top")],
            "Unruly",
            "slow",
            RunbookState.INCOMPLETE,
        ),
        (
            [rule("Unruly", "checkout", runbook_url="https://x.example/other.md")],
            "Unruly",
            "https://x.example/other.md",
            RunbookState.UNKNOWN,
        ),
        ([rule("Unruly", "checkout", runbook_url="runbooks/gone.md")], "Unruly", "gone", RunbookState.MISSING),
        ([rule("Unruly", "checkout", runbook_url="gone")], "Unruly", "gone", RunbookState.MISSING),
        (
            [rule("Unruly", "checkout", runbook_url="docs/db/vacuum.md#stuck")],
            "Unruly",
            "docs/db/vacuum.md#stuck",
            RunbookState.UNKNOWN,
        ),
        ([rule("Unruly", "checkout", runbook_url="https://x.example/{{ $labels.a }}")], "Unruly", None, None),
        # What the experiment says goes before what its rule says.
        (
            [rule("CheckoutDown", "checkout", runbook_url="https://x.example/slow")],
            "CheckoutDown",
            "down",
            RunbookState.WHOLE,
        ),
    ],
)
def test_the_runbook_of_an_alert(
    experiment: Experiment,
    rules: list[AlertRuleInfo],
    name: str,
    runbook: str | None,
    state: RunbookState | None,
) -> None:
    found = alert(matrix([experiment], rules)["checkout"], name).runbook
    assert (found.name if found else None, found.state if found else None) == (runbook, state)


def test_a_runbook_that_is_not_there(experiment: Experiment) -> None:
    (first, second) = experiment.alerts
    lost = msgspec.structs.replace(first, runbook="nowhere")
    changed = msgspec.structs.replace(experiment, alerts=(lost, second))
    found = {row.name: row.state for row in matrix([changed])["checkout"].runbooks}
    assert found == {"down": RunbookState.WHOLE, "nowhere": RunbookState.MISSING}


def test_the_runbooks_and_dashboards_of_a_service(experiment: Experiment) -> None:
    rules = [rule("CheckoutDown", dashboard="https://grafana.example.com/d/1"), rule("Unruly", dashboard="d/{{ $x }}")]
    found = matrix([experiment], rules)
    assert [row.name for row in found["checkout"].runbooks] == ["down"]
    assert [row.name for row in found["payments"].runbooks] == ["slow"]  # its front matter says so
    assert {row.name: row.named_by for row in found["checkout"].dashboards} == {
        "overview": ("service checkout",),
        "extra": ("experiments/a.yaml",),
        "boards/down": ("runbook down",),
        "https://grafana.example.com/d/1": ("alert CheckoutDown",),
    }
    assert [row.name for row in alert(found["checkout"], "Unruly").dashboards] == ["extra", "overview"]


def test_what_belongs_to_no_service_comes_last(experiment: Experiment) -> None:
    alone = msgspec.structs.replace(experiment, service=None)
    stray = msgspec.structs.replace(PROJECT, runbooks=(*PROJECT.runbooks, Runbook(ROOT / "x.md", "stray", "Stray")))
    found = build_matrix(stray, [alone], Rules(), Past())[-1]
    assert (found.name, [row.name for row in found.alerts]) == (None, ["CheckoutDown", "Unruly"])
    assert [row.name for row in found.runbooks] == ["down", "stray"]
    assert [row.path for row in found.experiments] == ["experiments/a.yaml"]


def test_what_was_exercised(experiment: Experiment) -> None:
    exercise = Exercise("run-1", 100.0, Result.LATE, 12.0, Verdict.WEAKNESS)
    past = Past(
        alerts={"CheckoutDown": exercise},
        runbooks_exercised={"down": Moment("run-1", 100.0)},
        runbooks_followed={"down": Moment("run-1", 130.0), "other": Moment("run-2", 7.0)},
        dashboards={"overview": Look("run-1", 90.0, True)},
        dashboards_moved={"extra": Moment("run-1", 140.0)},
        experiments={"experiments/a.yaml": ExperimentRun("run-1", 95.0, Verdict.WEAKNESS)},
    )
    rules = [rule("Unruly", runbook_url="https://x.example/other.md")]
    found = matrix([experiment], rules, past)["checkout"]
    assert [row.exercise for row in found.alerts] == [exercise, None]
    books = {row.name: (row.followed, row.exercised) for row in found.runbooks}
    assert books == {
        "down": (Moment("run-1", 130.0), Moment("run-1", 100.0)),
        "https://x.example/other.md": (Moment("run-2", 7.0), None),  # followed under its file's name
    }
    boards = {row.name: (row.looked_at, row.moved) for row in found.dashboards}
    assert boards["overview"] == (Look("run-1", 90.0, True), None)
    assert boards["extra"] == (None, Moment("run-1", 140.0))
    assert found.experiments[0].last == ExperimentRun("run-1", 95.0, Verdict.WEAKNESS)


def test_the_last_time_counts_whatever_the_order() -> None:
    early = Past(alerts={"A": Exercise("one", 1.0, Result.MISSED)}, dashboards={"d": Look("one", 1.0, False)})
    late = Past(alerts={"A": Exercise("two", 2.0, Result.IN_TIME, 0.5), "B": Exercise("two", 2.0, Result.LATE, 3.0)})
    assert merge([early, late]) == merge([late, early])
    assert {name: found.run for name, found in merge([early, late]).alerts.items()} == {"A": "two", "B": "two"}
    assert merge([early, late]).dashboards == early.dashboards
    assert early.alerts["A"].run == "one", "what is merged stays as it was"
