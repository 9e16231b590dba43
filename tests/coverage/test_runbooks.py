"""Runbooks that an experiment relies on: found, whole, reviewed."""

from datetime import date
from pathlib import Path

from gameday.coverage import describe_runbooks, judge_runbooks, judge_steps
from gameday.journal.events import FindingKind, RunbookInfo, RunbookStep, RunbookStepInfo, StepOutcome
from gameday.spec.location import Location
from gameday.spec.model import ExpectedAlert, Experiment, Hypothesis, Project, Runbook, Service, Timing

TODAY = date(2026, 6, 30)
HERE = Location(Path("/shop/experiments/x.yaml"))


def experiment(service: str | None, *runbooks: str | None) -> Experiment:
    alerts = tuple(ExpectedAlert(f"A{n}", 60, None, runbook, HERE) for n, runbook in enumerate(runbooks))
    return Experiment(
        HERE.path, "x", "", service, Hypothesis("x"), (), (), alerts, None, (), Timing(), plain=False, location=HERE
    )


def project(*runbooks: Runbook) -> Project:
    services = (Service("payments", "team-a", ("payments-down", "payments-slow")),)
    return Project(Path("/shop/gameday.yaml"), "shop", (), services, "", runbooks)


def runbook(name: str, reviewed: date | None = TODAY, missing: tuple[str, ...] = ()) -> Runbook:
    path = Path(f"/shop/runbooks/{name}.md")
    return Runbook(path, name, name.title(), owner="sre", reviewed=reviewed, missing_sections=missing)


def test_the_alerts_runbooks_and_then_the_services_each_once() -> None:
    infos = describe_runbooks(project(), experiment("payments", "extra", None, "payments-down"), TODAY)
    assert [info.name for info in infos] == ["extra", "payments-down", "payments-slow"]
    assert not any(info.found for info in infos)


def test_without_a_service() -> None:
    assert describe_runbooks(project(), experiment(None), TODAY) == ()
    assert describe_runbooks(project(), experiment("unknown"), TODAY) == ()


def test_what_is_said_of_a_runbook() -> None:
    [info] = describe_runbooks(project(runbook("r", missing=("Rollback",))), experiment(None, "r"), TODAY)
    assert info == RunbookInfo(
        name="r",
        found=True,
        path="runbooks/r.md",
        title="R",
        owner="sre",
        reviewed="2026-06-30",
        missing_sections=("Rollback",),
    )


def test_stale_from_the_181st_day() -> None:
    def is_stale(reviewed: date | None) -> bool:
        [info] = describe_runbooks(project(runbook("r", reviewed)), experiment(None, "r"), TODAY)
        return info.stale

    assert not is_stale(date(2026, 1, 1))  # 180 days
    assert is_stale(date(2025, 12, 31))
    assert not is_stale(None)


def test_findings() -> None:
    whole = RunbookInfo(name="whole", found=True, reviewed="2026-06-01", owner="sre")
    infos = [
        whole,
        RunbookInfo(name="none", found=False),
        RunbookInfo(name="torn", found=True, reviewed="2026-06-01", missing_sections=("Impact", "Rollback")),
        RunbookInfo(name="old", found=True, reviewed="2025-01-01", stale=True, owner="sre"),
        RunbookInfo(name="never", found=True),
    ]
    findings = judge_runbooks(infos, "team-a")
    assert [(f.kind, f.title, f.detail, f.weakness, f.suggested_owner) for f in findings] == [
        (FindingKind.RUNBOOK_MISSING, "There is no runbook none", "expected runbooks/none.md", True, "team-a"),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook torn is incomplete",
            "it lacks Impact, Rollback",
            True,
            "team-a",
        ),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook old has not been reviewed for 180 days",
            "last reviewed 2025-01-01",
            False,
            "sre",
        ),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook never has not been reviewed for 180 days",
            "it says no date of review",
            False,
            "team-a",
        ),
    ]
    assert judge_runbooks([whole]) == ()


def test_what_followers_found_wanting() -> None:
    def step(outcome: StepOutcome, number: int, note: str = "", owner: str | None = None) -> RunbookStep:
        info = RunbookStepInfo(
            runbook="r", outcome=outcome, section="Diagnosis", step=number, text="look", note=note, owner=owner
        )
        return RunbookStep(at=1.0, author="@s", step=info)

    findings = judge_steps(
        [
            step(StepOutcome.DONE, 1),
            step(StepOutcome.STUCK, 2, "no access", "sre"),
            step(StepOutcome.STUCK, 2, "still none", "sre"),
            step(StepOutcome.WRONG, 3),
            step(StepOutcome.MISSING, 0, "say who decides"),
        ],
        "team-a",
    )
    assert [(f.kind, f.title, f.detail, f.weakness, f.suggested_owner) for f in findings] == [
        (
            FindingKind.RUNBOOK_STUCK,
            "The runbook r: somebody was stuck at step 2 of Diagnosis",
            "@s: no access; @s: still none",
            True,
            "sre",
        ),
        (FindingKind.RUNBOOK_WRONG, "The runbook r: wrong: step 3 of Diagnosis", "@s: look", True, "team-a"),
        (
            FindingKind.RUNBOOK_WRONG,
            "The runbook r: a step is missing at Diagnosis",
            "@s: say who decides",
            True,
            "team-a",
        ),
    ]
